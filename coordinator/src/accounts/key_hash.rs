//! What is kept of a client's key: enough to know it again, and not to guess it.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// Argon2id of a key, with what it was made with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyHash {
    memory_kib: u32,
    passes: u32,
    salt: String,
    hash: String,
}

impl KeyHash {
    /// Of a key, with a salt of its own.
    pub(super) fn of(key: &str) -> Self {
        let salt: [u8; SALT_BYTES] = rand::random();
        let hash = digest(key, &salt, MEMORY_KIB, PASSES).unwrap_or_else(random);
        Self::new(&salt, &hash)
    }

    /// Of no key.
    pub(super) fn decoy() -> Self {
        Self::new(&rand::random::<[u8; SALT_BYTES]>(), &random())
    }

    fn new(salt: &[u8], hash: &[u8]) -> Self {
        Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            salt: STANDARD_NO_PAD.encode(salt),
            hash: STANDARD_NO_PAD.encode(hash),
        }
    }

    /// Whether it is this key's.
    pub(super) fn matches(&self, key: &str) -> bool {
        let decode = |text: &str| STANDARD_NO_PAD.decode(text).ok();
        let (Some(salt), Some(hash)) = (decode(&self.salt), decode(&self.hash)) else {
            return false;
        };
        digest(key, &salt, self.memory_kib, self.passes)
            .is_some_and(|digest| digest.ct_eq(&hash).into())
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyHash").finish_non_exhaustive()
    }
}

/// `None` for parameters that there are not.
fn digest(key: &str, salt: &[u8], memory_kib: u32, passes: u32) -> Option<[u8; HASH_BYTES]> {
    let params = Params::new(memory_kib, passes, 1, Some(HASH_BYTES)).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = [0; HASH_BYTES];
    argon2
        .hash_password_into(key.as_bytes(), salt, &mut hash)
        .ok()?;
    Some(hash)
}

/// The hash of nothing.
fn random() -> [u8; HASH_BYTES] {
    rand::random()
}

/// 19 MiB and two passes: the first of OWASP's recommendations for argon2id, and some ten
/// milliseconds. Keys have 32 bytes or more; this is for those that were badly chosen.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_again() {
        let hash = KeyHash::of("a key");
        assert!(hash.matches("a key"));
        assert!(!hash.matches("a kez") && !hash.matches("") && !hash.matches("a key "));
        let written = serde_json::to_string(&hash).expect("plain text");
        assert!(!written.contains("a key"), "{written}");
        let read: KeyHash = serde_json::from_str(&written).expect("it was just written");
        assert!(read.matches("a key"));
    }

    #[test]
    fn one_key_has_many_hashes() {
        let (one, other) = (KeyHash::of("a key"), KeyHash::of("a key"));
        assert!(one != other && other.matches("a key"));
        assert!(!KeyHash::decoy().matches("a key"));
    }

    #[test]
    fn what_cannot_be_read_matches_nothing() {
        let good = KeyHash::of("a key");
        for broken in [
            KeyHash {
                salt: "*".into(),
                ..good.clone()
            },
            KeyHash {
                hash: String::new(),
                ..good.clone()
            },
            KeyHash {
                memory_kib: 0,
                ..good.clone()
            },
            KeyHash { passes: 0, ..good },
        ] {
            assert!(!broken.matches("a key"));
        }
    }
}
