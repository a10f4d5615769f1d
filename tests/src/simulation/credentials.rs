//! Authentication as the shells around the cores would do it: names for clients, and between
//! servers a proof over both aliases and both fingerprints, under a secret that no client has.

use std::hash::{DefaultHasher, Hasher as _};

use bytes::Bytes;
use commserver_core::{Identity, Pair};
use coordinator_core::{Alias, Resume};
use proto::{
    Reason, Role,
    filter::{Filters, Grants},
};

use super::{
    node::{Life, Node},
    workload,
};

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

/// The same, of a member that may publish to one topic, and subscribe to another.
pub(super) fn narrow_token(member: usize) -> Bytes {
    format!("{NARROW}client{member}").into()
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

/// What the coordinator gives a node to come back with.
pub(super) fn resume_token(resume: Resume, node: Node) -> String {
    let Resume { alias, series } = resume;
    let signature = hash(&(SECRET, "resume", alias, series, node));
    format!("{alias}.{series}.{signature}")
}

/// What a node may take up by this token, if it is one of its own.
pub(super) fn resumed(token: &str, node: Node) -> Option<Resume> {
    let mut numbers = token.split('.').map(str::parse);
    let mut number = || numbers.next()?.ok();
    let resume = Resume {
        alias: Alias::from_wire(number()?),
        series: number()?,
    };
    (resume_token(resume, node) == token).then_some(resume)
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
            let narrow = body.strip_prefix(NARROW.as_bytes());
            let name = narrow.or_else(|| body.strip_prefix(GOOD.as_bytes()));
            let name = name.ok_or(Reason::Unauthenticated)?;
            let mut found = Identity::everything(body.slice_ref(name));
            if narrow.is_some() {
                let only = |topic| Filters::parse([&*workload::topic(topic)]);
                found.grants = Grants {
                    publish: only(0).unwrap_or_else(|_| Filters::none()),
                    subscribe: only(1).unwrap_or_else(|_| Filters::none()),
                };
            }
            Ok(found)
        }
        _ if *body == proof(Side::Dialer, pair, fingerprints) => {
            Ok(Identity::everything(Bytes::new()))
        }
        _ => Err(Reason::ProofFailed),
    }
}

fn hash(what: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

const GOOD: &str = "good:";
const NARROW: &str = "narrow:";
const SECRET: &str = "the cluster's secret";
