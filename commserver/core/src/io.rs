//! What goes into the broker and what comes out of it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proto::{Lane, Reason, Role, filter::Grants};
use smallvec::SmallVec;

/// One peer, for as long as it lives. A stale one is harmless: it names nobody any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl PeerId {
    /// The slot: small, and used again after the peer is gone. For tables beside the broker's own.
    #[must_use]
    pub const fn index(self) -> usize {
        // Slots are counted by `u32`, and `usize` has at least as many bits here.
        #[expect(clippy::as_conversions, reason = "widening, and `const`")]
        {
            self.index as usize
        }
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Which of the three WebRTC signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalKind {
    /// WEBRTC_OFFER, from acceptor to dialer.
    Offer,
    /// WEBRTC_ANSWER, from dialer to acceptor.
    Answer,
    /// WEBRTC_ICE_CANDIDATE, either way.
    Candidate,
}

/// The two aliases under which a peer was set up. They stay the same for its life, whatever aliases
/// the coordinator gives out later, so both sides of a link compute their proofs from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// Who sent CONNECT.
    pub dialer: u64,
    /// To whom.
    pub acceptor: u64,
}

/// What the coordinator gave us to keep our alias with, to be shown at the next dial as it is. Who
/// has it can take our place, so it is not for the logs.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeToken(Arc<str>);

impl ResumeToken {
    pub(crate) fn new(token: &str) -> Self {
        Self(token.into())
    }

    /// As it stands in the header.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken(..)")
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A deadline may have passed.
    Tick,
    /// The coordinator is reached; its WELCOME follows as a signal.
    UplinkOpened,
    /// The coordinator is away. Nothing that is connected notices. The next dial shows
    /// [`crate::Broker::resume_token`].
    UplinkClosed,
    /// A signal from the coordinator, still encoded.
    Signal(Bytes),
    /// A peer's engine wants its remote side to have this.
    LocalSignal {
        /// Whose engine.
        peer: PeerId,
        /// Offer, answer or candidate.
        kind: SignalKind,
        /// JSON, as it travels.
        data: Bytes,
    },
    /// The peer's reliable lane is open.
    PeerOpened {
        /// Which.
        peer: PeerId,
    },
    /// A packet from a peer.
    Packet {
        /// From whom.
        peer: PeerId,
        /// On which lane.
        lane: Lane,
        /// Still encoded.
        bytes: Bytes,
    },
    /// The peer's transport is gone, or could not be opened at all.
    PeerClosed {
        /// Which.
        peer: PeerId,
        /// Why.
        reason: Reason,
    },
    /// The peer's reliable outbox was full for longer than its grace.
    SlowConsumer {
        /// Which.
        peer: PeerId,
    },
    /// Answers [`Output::Authenticate`].
    Authenticated {
        /// Who asked to be let in.
        peer: PeerId,
        /// The verified identity, or why not.
        result: Result<Identity, Reason>,
        /// Towards a server: our own proof, for READY. Empty for clients.
        proof: Bytes,
    },
    /// Answers [`Output::Prove`]: the body for AUTH.
    Proof {
        /// Towards whom.
        peer: PeerId,
        /// What AUTH carries.
        body: Bytes,
    },
    /// Answers [`Output::VerifyProof`].
    ProofVerified {
        /// Whose proof.
        peer: PeerId,
        /// Whether it is one.
        valid: bool,
    },
    /// Answers [`Output::MeasureLoad`].
    LoadMeasured {
        /// CPU time that the thread which forwards packets has used since its start; `None` where
        /// the system does not tell.
        cpu: Option<Duration>,
    },
    /// The server is to go away: clients that can are asked to go elsewhere, and no new ones are let
    /// in. [`Output::Drained`] answers, at once or in time.
    Drain,
    /// The server goes away: every peer is told and closed, none is let in any more.
    Shutdown,
}

/// Who a peer is and what it may do, as an authenticator found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Travels with this peer's TOPIC_IDENTITY packets.
    pub identity: Bytes,
    /// What it may do with topics.
    pub grants: Grants,
    /// Topics that it may be subscribed to, if fewer than the server allows.
    pub subscriptions_max: Option<usize>,
    /// Until when its credentials are good; `None` is for as long as it stays.
    pub expires: Option<Instant>,
    /// What its token is called.
    pub token_id: Option<Arc<str>>,
}

impl Identity {
    /// Somebody who may do everything that its role may, for as long as it stays.
    #[must_use]
    pub const fn everything(identity: Bytes) -> Self {
        Self {
            identity,
            grants: Grants::ALL,
            subscriptions_max: None,
            expires: None,
            token_id: None,
        }
    }
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A signal to the coordinator, encoded.
    Signal(Bytes),
    /// Set up a WebRTC peer: as dialer (wait for its offer) or as acceptor (make one).
    OpenPeer {
        /// The broker's name for it.
        peer: PeerId,
        /// The remote's alias, for the logs.
        alias: u64,
        /// Whether we are the dialer.
        dial: bool,
    },
    /// What the peer's remote side sent for its engine.
    RemoteSignal {
        /// Whose engine.
        peer: PeerId,
        /// Offer, answer or candidate.
        kind: SignalKind,
        /// JSON, as it travelled.
        data: Bytes,
    },
    /// Close the peer, after sending what was delivered to it before. No `PeerClosed` is awaited.
    ClosePeer {
        /// Which. Its id is stale already.
        peer: PeerId,
        /// Why.
        reason: Reason,
    },
    /// Listen closely to a peer: unless something authenticated comes from it within this time, it
    /// is gone, with [`Reason::IdleTimeout`]. What is delivered to it next provokes an answer.
    ExpectTraffic {
        /// Which.
        peer: PeerId,
        /// How long it has.
        within: Duration,
    },
    /// Read nothing from the peer's reliable lane until then; what it has sent waits, and so does it.
    LeaveUnread {
        /// Which.
        peer: PeerId,
        /// Until when.
        until: Instant,
    },
    /// Find out who this is; [`Input::Authenticated`] answers.
    Authenticate {
        /// Who asks to be let in.
        peer: PeerId,
        /// The role that it asks for, and that it may ask for.
        role: Role,
        /// The body of its AUTH.
        body: Bytes,
        /// For a link's proof; `pair.dialer` is the peer's alias.
        pair: Pair,
    },
    /// Make the body of our AUTH towards a server that we dialed; [`Input::Proof`] answers.
    Prove {
        /// Towards whom.
        peer: PeerId,
        /// What the proof is about.
        pair: Pair,
    },
    /// Check the proof in a server's READY; [`Input::ProofVerified`] answers. It takes
    /// microseconds, and packets from that server wait meanwhile: answer before the next packet.
    VerifyProof {
        /// Whose.
        peer: PeerId,
        /// What READY carried.
        proof: Bytes,
        /// What the proof is about.
        pair: Pair,
    },
    /// Answers [`Input::Drain`]: nobody is waited for any more. [`Input::Shutdown`] is to follow.
    Drained,
    /// Measure what only the shell can; [`Input::LoadMeasured`] answers, and a report to the
    /// coordinator follows.
    MeasureLoad,
    /// Send a frame to some peers.
    Deliver(Delivery),
}

/// Peers of one frame; up to four without an allocation.
pub type Recipients = SmallVec<[PeerId; 4]>;

/// One frame for some peers on one lane. It is encoded once and shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To whom; no peer twice.
    pub recipients: Recipients,
    /// On which lane.
    pub lane: Lane,
    /// The encoded packet.
    pub frame: Bytes,
}
