//! The same things in the core's words and in the engine's: the two do not know each other.

use commserver_core::SignalKind;
use proto::{Lane, MessageType, Reason, peek};
use shard::rtc_peer;

pub(super) const fn core_lane(lane: rtc_peer::Lane) -> Lane {
    match lane {
        rtc_peer::Lane::Reliable => Lane::Reliable,
        rtc_peer::Lane::Unreliable => Lane::Unreliable,
    }
}

pub(super) const fn engine_lane(lane: Lane) -> rtc_peer::Lane {
    match lane {
        Lane::Reliable => rtc_peer::Lane::Reliable,
        Lane::Unreliable => rtc_peer::Lane::Unreliable,
    }
}

pub(super) const fn core_kind(kind: rtc_peer::SignalKind) -> SignalKind {
    match kind {
        rtc_peer::SignalKind::Offer => SignalKind::Offer,
        rtc_peer::SignalKind::Answer => SignalKind::Answer,
        rtc_peer::SignalKind::Candidate => SignalKind::Candidate,
    }
}

pub(super) const fn engine_kind(kind: SignalKind) -> rtc_peer::SignalKind {
    match kind {
        SignalKind::Offer => rtc_peer::SignalKind::Offer,
        SignalKind::Answer => rtc_peer::SignalKind::Answer,
        SignalKind::Candidate => rtc_peer::SignalKind::Candidate,
    }
}

pub(super) const fn auth_role(role: proto::Role) -> auth::Role {
    match role {
        proto::Role::CommunicationServer => auth::Role::Server,
        proto::Role::CommunicationServerHub => auth::Role::Hub,
        proto::Role::Client | proto::Role::UnknownRole => auth::Role::Client,
    }
}

/// Whether a packet shows that its sender is there, and nothing else: nobody waits for what becomes
/// of a PING. Its sender measures at its leisure, or asks by it whether all has arrived that went
/// before.
pub(super) fn is_keep_alive(packet: &[u8]) -> bool {
    peek::raw_type(packet).map(MessageType::try_from) == Some(Ok(MessageType::Ping))
}

/// Why a transport ended, among the numbered reasons.
pub(super) const fn reason(reason: rtc_peer::CloseReason) -> Reason {
    use rtc_peer::CloseReason;
    match reason {
        CloseReason::Local => Reason::Closed,
        // What the other side says of it is its own affair.
        CloseReason::Remote | CloseReason::RemoteCode(_) => Reason::TransportClosed,
        CloseReason::HandshakeTimeout => Reason::HandshakeTimeout,
        CloseReason::IdleTimeout => Reason::IdleTimeout,
        CloseReason::MessageTooLarge => Reason::MessageTooLarge,
        CloseReason::FingerprintMismatch
        | CloseReason::BadDescription
        | CloseReason::DtlsFailed
        | CloseReason::SctpFailed => Reason::ProtocolViolation,
    }
}

/// The same for an authenticator's refusal.
pub(crate) const fn refusal(refusal: auth::Refusal) -> Reason {
    match refusal {
        auth::Refusal::Missing | auth::Refusal::Invalid => Reason::Unauthenticated,
        auth::Refusal::Forbidden => Reason::Forbidden,
        auth::Refusal::Unavailable => Reason::AuthUnavailable,
    }
}

#[cfg(test)]
mod tests {
    use proto::{Message as _, PingMessage, SubscribeMessage};

    use super::*;

    #[test]
    fn a_ping_is_a_keep_alive_and_nothing_else_is() {
        let ping = PingMessage {
            r#type: MessageType::Ping.into(),
            time: 7.0,
        };
        assert!(is_keep_alive(&ping.encode_to_vec()));
        let subscribe = SubscribeMessage {
            r#type: MessageType::Subscribe.into(),
            ..Default::default()
        };
        assert!(!is_keep_alive(&subscribe.encode_to_vec()));
        assert!(!is_keep_alive(b""));
        assert!(!is_keep_alive(b"what is not understood"));
    }
}
