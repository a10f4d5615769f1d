//! The numbered reasons of every refusal, close and error: one table for the servers, the clients,
//! the metrics and the documentation.
//!
//! A number never changes its meaning and is never used again. On a WebSocket the close code is
//! [`crate::CLOSE_CODE_BASE`] plus the number; on a data channel it is the `code` of ERROR.

use std::{fmt, time::Duration};

use crate::{ErrorMessage, Message, MessageType};
use bytes::Bytes;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $number:literal $name:ident $retryable:ident $text:literal;)+) => {
        /// Why something was refused, closed or answered with an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number,)+ }
            }

            /// The name, as in the documentation.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What a person is told.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Whether trying again, unchanged, may succeed. If not, a client library stops.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => reasons!(@$retryable),)+ }
            }
        }
    };
    (@retry) => { true };
    (@final) => { false };
}

reasons! {
    // --- closes and refusals ---
    /// The role asked for is none that exists.
    1 UnknownRole final "the role is not known: use COMMUNICATION_SERVER or COMMUNICATION_SERVER_HUB";
    /// Credentials are missing or wrong.
    2 Unauthenticated final "the credentials are missing or not valid";
    /// The credentials are good, for something else.
    3 Forbidden final "the credentials do not allow this";
    /// The authenticator itself could not answer.
    4 AuthUnavailable retry "the credentials could not be checked just now";
    /// No AUTH came in time.
    5 AuthTimeout retry "no AUTH came in time";
    /// The first packet on the reliable channel was something else.
    6 AuthExpected final "the first packet on the reliable channel must be AUTH";
    /// Too many packets came before the authentication was decided.
    7 HeldOverflow final "too much was sent before the authentication was decided";
    /// A session limit of the coordinator is reached.
    8 Overloaded retry "the coordinator has no room for another session";
    /// The server is going away.
    9 ShuttingDown retry "the server is shutting down";
    /// The commserver's peer limit is reached.
    10 ServerFull retry "the communication server has no room for another peer";
    /// The peer did not read what it was sent.
    11 SlowConsumer retry "the peer did not keep up with what it was sent";
    /// Nothing authenticated was heard for too long.
    12 IdleTimeout retry "nothing was heard from the other side for too long";
    /// ICE, DTLS or SCTP did not finish in time.
    13 HandshakeTimeout retry "the data channels did not open in time";
    /// The other side closed, or its transport ended.
    14 TransportClosed retry "the other side closed";
    /// A message beyond what a channel carries.
    15 MessageTooLarge final "the message is larger than the channel takes";
    /// A newer peer with the same alias took its place.
    16 Replaced retry "a newer peer took this one's place";
    /// A server could not prove that it belongs to the cluster.
    17 ProofFailed retry "the server could not prove that it belongs to this cluster";
    /// Signalling or transport broke its own rules.
    18 ProtocolViolation final "the other side broke the protocol";
    /// The owner closed it.
    19 Closed final "closed by its owner";
    /// The session sent faster than its queue is drained, or did not read.
    20 SessionQueueFull retry "the session did not keep up with what it was sent";
    /// There is a hub already.
    21 HubTaken retry "there is a hub already, and a star has one";
    /// The credentials have ended, and no new ones came in time.
    25 TokenExpired retry "the credentials have ended: come with new ones";
    /// The operator has shut somebody out.
    26 Revoked final "the credentials have been revoked";
    /// An address has as many sessions or peers as one address may.
    27 TooManyFromAddress retry "there are as many from this address as there may be";
    /// A browser said that the page is of a site which may not come here.
    28 OriginForbidden final "pages of this site may not come here";

    // --- errors that close nothing ---
    /// A packet over the server's limit.
    100 PacketTooLarge final "the packet is larger than the server takes";
    /// A topic that is not one.
    101 BadTopic final "the topic is not valid";
    /// More subscriptions than allowed.
    102 TooManySubscriptions final "the peer is subscribed to as many topics as it may be";
    /// A topic list that cannot be read.
    103 BadTopicList final "the topic list cannot be read";
    /// A packet that cannot be decoded.
    104 Malformed final "the packet cannot be decoded";
    /// A signal to somebody who is not there, or whom the sender may not reach.
    105 PeerUnavailable retry "the peer is not there, or may not be reached from here";
    /// A request before AUTH, on a lane where it is dropped.
    106 NotAuthenticated final "the peer is not authenticated";
    /// A request on the unreliable lane.
    107 WrongLane final "this request goes on the reliable channel";
    /// More topics on the server than allowed.
    108 TooManyTopics retry "the server has as many topics as it may have";
    /// A topic that the credentials do not allow.
    109 TopicForbidden final "the credentials do not allow this topic";
    /// A subscription that new credentials do not allow.
    110 SubscriptionEnded final "the new credentials do not allow this subscription";
}

impl Reason {
    /// The reason with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| u32::from(reason.number()) == number)
    }

    /// The WebSocket close code that says it.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        crate::CLOSE_CODE_BASE + self.number()
    }

    /// The reason behind a WebSocket close code, if it is one of ours.
    #[must_use]
    pub fn from_close_code(code: u16) -> Option<Self> {
        Self::from_number(u32::from(code.checked_sub(crate::CLOSE_CODE_BASE)?))
    }

    /// An encoded ERROR about nothing in particular.
    #[must_use]
    pub fn error_frame(self) -> Bytes {
        self.error_about(0, "", None)
    }

    /// An encoded ERROR that answers request `id` (0 for none) and names a topic (or none).
    #[must_use]
    pub fn error_about(self, id: u32, topic: &str, retry_after: Option<Duration>) -> Bytes {
        let retry_after_ms = retry_after.map_or(0, |after| {
            u32::try_from(after.as_millis()).unwrap_or(u32::MAX)
        });
        let error = ErrorMessage {
            r#type: MessageType::Error.into(),
            code: self.number().into(),
            id,
            topic: topic.into(),
            text: self.text().into(),
            retryable: self.retryable(),
            retry_after_ms,
            alias: 0,
        };
        error.encode_to_vec().into()
    }

    /// An encoded ERROR about the peer with this alias.
    #[must_use]
    pub fn error_about_peer(self, alias: u64) -> Bytes {
        let error = ErrorMessage {
            r#type: MessageType::Error.into(),
            code: self.number().into(),
            text: self.text().into(),
            retryable: self.retryable(),
            alias,
            ..Default::default()
        };
        error.encode_to_vec().into()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name(), self.number(), self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_find_their_way_back() {
        for pair in Reason::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{pair:?}");
        }
        for &reason in Reason::ALL {
            assert_eq!(Reason::from_number(reason.number().into()), Some(reason));
            assert_eq!(Reason::from_close_code(reason.close_code()), Some(reason));
            assert!(reason.number() < 1000, "close codes end at 4999");
        }
        assert_eq!(Reason::from_number(0), None);
        assert_eq!(Reason::from_close_code(1001), None);
    }

    #[test]
    fn error_frame_says_it_all() {
        let after = Some(Duration::from_millis(250));
        let frame = Reason::ServerFull.error_about(7, "a/b", after);
        let error = ErrorMessage::decode(frame).expect("an ERROR");
        assert_eq!((error.code, error.id, error.topic.as_str()), (10, 7, "a/b"));
        assert!(error.retryable);
        assert_eq!(error.retry_after_ms, 250);
        let frame = Reason::PeerUnavailable.error_about_peer(64);
        let error = ErrorMessage::decode(frame).expect("an ERROR");
        assert_eq!((error.code, error.alias), (105, 64));
    }
}
