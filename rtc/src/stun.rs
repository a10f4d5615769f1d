//! STUN as ICE uses it (RFC 8489, RFC 8445): keyed hashes for its codec, and what tells apart the
//! peers that share a socket.

use aws_lc_rs::hmac;
use is::Sha1HmacProvider;
use is::stun::StunMessage;

/// HMAC-SHA1 by aws-lc, for the agent and for our own checks.
#[derive(Debug)]
pub(crate) struct Sha1;

impl Sha1HmacProvider for Sha1 {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        sha1_hmac(key, payloads)
    }
}

pub(crate) fn sha1_hmac(key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    for payload in payloads {
        context.update(payload);
    }
    let mut hash = [0; 20];
    hash.copy_from_slice(context.sign().as_ref());
    hash
}

/// The username fragment of the peer that a STUN Binding request is addressed to: what stands
/// before the colon of its USERNAME. Nothing is verified by it.
#[must_use]
pub fn stun_local_ufrag(bytes: &[u8]) -> Option<&str> {
    let message = StunMessage::parse(bytes).ok()?;
    if !message.is_binding_request() {
        return None;
    }
    message.username()?.split_once(':').map(|(local, _)| local)
}

/// What a datagram is by its first byte (RFC 7983).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stun,
    Dtls,
    Unknown,
}

impl Kind {
    pub(crate) fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(0..=3) => Self::Stun,
            Some(20..=63) => Self::Dtls,
            _ => Self::Unknown,
        }
    }
}
