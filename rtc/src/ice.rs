//! ICE: which address is the other side's, proven by keyed checks, and that it still listens.

mod full;
mod lite;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use is::IceCreds;
use is::stun::StunMessage;

use self::full::Full;
use self::lite::Lite;
use crate::{Certificate, Role, Transmit};

/// An address of ours and one of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// The agent of one peer: lite or full.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a server holds thousands of lite agents: those are the ones not to box"
)]
pub(crate) enum Agent {
    Lite(Lite),
    Full(Box<Full>),
}

impl Agent {
    pub(crate) fn new(
        role: Role,
        certificate: &Certificate,
        seed: u64,
        local_addrs: &[SocketAddr],
    ) -> Self {
        let (credentials, tie_breaker) = derive(certificate, seed);
        match role {
            Role::Acceptor { ice_lite: true } => Self::Lite(Lite::new(credentials)),
            Role::Acceptor { ice_lite: false } | Role::Dialer => {
                Self::Full(Box::new(Full::new(credentials, tie_breaker, local_addrs)))
            }
        }
    }

    /// Who nominates: the offerer, unless it is lite (RFC 8445 section 6.1.1). Before
    /// [`Agent::set_remote`].
    pub(crate) fn set_controlling(&mut self, controlling: bool) {
        if let Self::Full(full) = self {
            full.set_controlling(controlling);
        }
    }

    pub(crate) fn credentials(&self) -> &IceCreds {
        match self {
            Self::Lite(lite) => lite.credentials(),
            Self::Full(full) => full.credentials(),
        }
    }

    pub(crate) fn set_remote(&mut self, now: Instant, ufrag: &str, password: &str) {
        match self {
            Self::Lite(lite) => lite.set_remote(ufrag),
            Self::Full(full) => full.set_remote(
                now,
                IceCreds {
                    ufrag: ufrag.to_owned(),
                    pass: password.to_owned(),
                },
            ),
        }
    }

    /// A candidate of the other side; `false` when it is of no use.
    pub(crate) fn add_remote_candidate(&mut self, now: Instant, line: &str) -> bool {
        match self {
            // A lite agent makes no checks: it learns addresses from those that it receives.
            Self::Lite(_) => true,
            Self::Full(full) => full.add_remote_candidate(now, line),
        }
    }

    /// Whether the message proves that it is meant for this agent. Changes nothing.
    pub(crate) fn accepts(&self, bytes: &[u8]) -> bool {
        let Ok(message) = StunMessage::parse(bytes) else {
            return false;
        };
        match self {
            Self::Lite(lite) => lite.accepts(&message),
            Self::Full(full) => full.accepts(&message),
        }
    }

    /// Takes a STUN message; `false` when it proves nothing and has changed nothing.
    pub(crate) fn handle(&mut self, now: Instant, path: Path, bytes: &[u8]) -> bool {
        let Ok(message) = StunMessage::parse(bytes) else {
            return false;
        };
        match self {
            Self::Lite(lite) => lite.handle(now, path, &message),
            Self::Full(full) => full.handle(now, path, message),
        }
    }

    /// Something authenticated came along a proven path.
    pub(crate) fn heard(&mut self, now: Instant, path: Path) {
        match self {
            Self::Lite(lite) => lite.heard(now, path),
            Self::Full(full) => full.heard(now, path),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Self::Full(full) = self {
            full.handle_timeout(now);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Lite(_) => None,
            Self::Full(full) => full.deadline(),
        }
    }

    /// Whether a valid check has come along this path.
    pub(crate) fn is_proven(&self, path: Path) -> bool {
        match self {
            Self::Lite(lite) => lite.is_proven(path),
            Self::Full(full) => full.is_proven(path),
        }
    }

    /// The other side's addresses from which valid checks, or answers to ours, have come lately.
    pub(crate) fn proven(&self) -> impl Iterator<Item = SocketAddr> + use<'_> {
        let proven = match self {
            Self::Lite(lite) => lite.proven(),
            Self::Full(full) => full.proven(),
        };
        proven.0.iter().map(|path| path.remote)
    }

    /// Where to send.
    pub(crate) fn selected(&self) -> Option<Path> {
        match self {
            Self::Lite(lite) => lite.selected(),
            Self::Full(full) => full.selected(),
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Lite(lite) => lite.poll_transmit(),
            Self::Full(full) => full.poll_transmit(),
        }
    }
}

/// The paths along which valid checks came lately, the oldest forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Proven(VecDeque<Path>);

impl Proven {
    fn insert(&mut self, path: Path) {
        if self.contains(path) {
            return;
        }
        if self.0.len() >= PROVEN_MAX {
            self.0.pop_front();
        }
        self.0.push_back(path);
    }

    fn contains(&self, path: Path) -> bool {
        self.0.contains(&path)
    }
}

/// Credentials and tie-breaker: a keyed hash of the seed under the certificate's private key, so
/// that they are reproducible and nobody without the key can guess them.
fn derive(certificate: &Certificate, seed: u64) -> (IceCreds, u64) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, certificate.private_key());
    let hash = |label: &[u8]| {
        let mut context = hmac::Context::with_key(&key);
        context.update(label);
        context.update(&seed.to_be_bytes());
        context.sign()
    };
    let text = |label: &[u8], bytes: usize| {
        let tag = hash(label);
        // RFC 8839 allows exactly base64's alphabet in both.
        STANDARD_NO_PAD.encode(tag.as_ref().get(..bytes).unwrap_or_default())
    };
    let credentials = IceCreds {
        ufrag: text(b"ice-ufrag", 9),
        pass: text(b"ice-pwd", 24),
    };
    let mut tie_breaker = [0; 8];
    tie_breaker.copy_from_slice(hash(b"tie-breaker").as_ref().get(..8).unwrap_or(&[0; 8]));
    (credentials, u64::from_be_bytes(tie_breaker))
}

/// Paths remembered per peer: a browser checks from each of its interfaces to each of our addresses.
const PROVEN_MAX: usize = 32;
