//! Authentication as the shells around the cores would do it: names for clients, and between
//! servers a proof over both aliases and both fingerprints, under a secret that no client has.

use std::hash::{DefaultHasher, Hasher as _};

use bytes::Bytes;
use commserver_core::{Identity, Pair};
use proto::{Reason, Role};

use super::node::Life;

/// What a certificate's fingerprint is here.
pub(super) type Fingerprint = u64;

/// The two fingerprints of a joined pair.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Fingerprints {
    pub(super) dialer: Fingerprint,
    pub(super) acceptor: Fingerprint,
}

/// Whose proof it is.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) enum Side {
    Dialer,
    Acceptor,
}

/// A process has one certificate.
pub(super) fn fingerprint(life: Life) -> Fingerprint {
    hash(&("certificate", life))
}

/// What a member sends in AUTH.
pub(super) fn token(member: usize) -> Bytes {
    format!("{GOOD}client{member}").into()
}

/// A token that is none.
pub(super) fn wrong_token() -> Bytes {
    Bytes::from_static(b"forged:client0")
}

/// What a server sends in AUTH or READY.
pub(super) fn proof(side: Side, pair: Pair, fingerprints: Fingerprints) -> Bytes {
    let proof = hash(&(SECRET, side, pair, fingerprints));
    Bytes::copy_from_slice(&proof.to_be_bytes())
}

/// The authenticator's verdict on an AUTH.
pub(super) fn judge(
    role: Role,
    body: &Bytes,
    pair: Pair,
    fingerprints: Fingerprints,
) -> Result<Identity, Reason> {
    match role {
        Role::Client => {
            let name = body.strip_prefix(GOOD.as_bytes());
            let name = name.ok_or(Reason::Unauthenticated)?;
            Ok(Identity {
                identity: body.slice_ref(name),
            })
        }
        _ if *body == proof(Side::Dialer, pair, fingerprints) => Ok(Identity::default()),
        _ => Err(Reason::ProofFailed),
    }
}

fn hash(what: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

const GOOD: &str = "good:";
const SECRET: &str = "the cluster's secret";
