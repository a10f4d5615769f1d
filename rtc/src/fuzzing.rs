//! Ways in for the fuzz targets, past what only the owner of a secret passes: an association behind
//! its DTLS session, and connectivity checks with a password. Nothing else uses them.

pub use crate::sctp::fuzzing::Association;
use crate::stun;

/// A STUN message of these attributes, with MESSAGE-INTEGRITY under the password.
#[must_use]
pub fn stun(kind: u16, attributes: &[u8], password: &str) -> Vec<u8> {
    let mut message = kind.to_be_bytes().to_vec();
    let length = u16::try_from(attributes.len() + INTEGRITY_BYTES).unwrap_or(u16::MAX);
    message.extend(length.to_be_bytes());
    message.extend(MAGIC_COOKIE);
    message.extend([7; 12]);
    message.extend(attributes);
    seal_stun(message, password)
}

/// The same message with its hash under the password, and nothing behind it; as it is when there is
/// none in it.
#[must_use]
pub fn reseal_stun(mut message: Vec<u8>, password: &str) -> Vec<u8> {
    let mut at = 20;
    while let Some([k0, k1, l0, l1]) = message.get(at..).and_then(<[u8]>::first_chunk) {
        if u16::from_be_bytes([*k0, *k1]) == MESSAGE_INTEGRITY {
            message.truncate(at);
            let length = u16::try_from(at - 20 + INTEGRITY_BYTES).unwrap_or(u16::MAX);
            if let Some(place) = message.get_mut(2..4) {
                place.copy_from_slice(&length.to_be_bytes());
            }
            return seal_stun(message, password);
        }
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        at += 4 + length.next_multiple_of(4);
    }
    message
}

fn seal_stun(mut message: Vec<u8>, password: &str) -> Vec<u8> {
    let hash = stun::sha1_hmac(password.as_bytes(), &[&message]);
    message.extend(MESSAGE_INTEGRITY.to_be_bytes());
    message.extend([0, 20]);
    message.extend(hash);
    message
}

// RFC 8489.
const MESSAGE_INTEGRITY: u16 = 8;
/// Header and hash.
const INTEGRITY_BYTES: usize = 24;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
