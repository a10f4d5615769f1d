//! One peer: how far it has come, and what is known about it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::{Capability, Role};

use crate::{
    grants::Access,
    hold::Hold,
    interest::{Received, Telling},
    io::{Pair, PeerId},
    topic_rate::TopicBudget,
    topics::Form,
};

/// A remote on a data channel, from the first signal to the close.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    /// The remote's alias: the one it was set up with, until a server says that it has another.
    pub(crate) alias: u64,
    pub(crate) pair: Pair,
    /// Whether we sent CONNECT.
    pub(crate) dialed: bool,
    /// Its role in the coordinator's word.
    pub(crate) stamp: Role,
    pub(crate) state: State,
    /// Its turn among the clients whose lane is not open yet.
    pub(crate) handshake: Option<u64>,
    pub(crate) deadline: Option<Instant>,
}

impl Peer {
    /// Since when this has been a current link, if it is one.
    pub(crate) fn link_since(&self) -> Option<Instant> {
        match &self.state {
            State::Ready(ready) => ready.talk.as_ref().map(|talk| talk.since),
            _ => None,
        }
    }
}

/// How far a peer has come.
#[derive(Debug)]
pub(crate) enum State {
    /// Its reliable lane is not open yet.
    Signalling,
    /// Its lane is open, one side waits to be let in.
    Authenticating(Stage, Hold),
    /// It may do everything.
    Ready(Ready),
}

/// What an authenticating peer waits for.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// Acceptor: its AUTH.
    Auth,
    /// Acceptor: the authenticator's word.
    Verdict(Role, Hello),
    /// Dialer: the body for our AUTH.
    Proof,
    /// Dialer: its READY.
    Ready,
    /// Dialer: whether the proof in its READY is one.
    ProofVerdict(Hello),
}

/// What the other side says about itself in AUTH or READY.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    /// It announced capabilities at all, so it takes READY and INTEREST's like.
    pub(crate) ours: bool,
    /// It takes topic and sequence number with forwarded packets.
    pub(crate) forward_topic: bool,
    /// It announces interest by INTEREST.
    pub(crate) delta_interest: bool,
    /// A server's instance; 0 for none.
    pub(crate) instance: u64,
}

impl Hello {
    pub(crate) fn new(capabilities: &[i32], instance: u64) -> Self {
        let has = |capability: Capability| capabilities.contains(&capability.into());
        Self {
            ours: !capabilities.is_empty(),
            forward_topic: has(Capability::ForwardTopic),
            delta_interest: has(Capability::DeltaInterest),
            instance,
        }
    }
}

/// A peer that was let in.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) role: Role,
    pub(crate) identity: Bytes,
    pub(crate) hello: Hello,
    /// Of a client: what it may do.
    pub(crate) access: Access,
    /// Of a client: what it has used of its rate of topics.
    pub(crate) topic_budget: TopicBudget,
    pub(crate) renewal: Renewal,
    /// The coordinator says that its session has ended, and unless it is heard by then, it is gone.
    pub(crate) doubted_until: Option<Instant>,
    /// Of a link: where the announcements stand, both ways.
    pub(crate) talk: Option<Box<Talk>>,
}

/// How it stands with a client's next credentials.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renewal {
    /// When the last ones came.
    pub(crate) last: Instant,
    /// The authenticator looks at new ones.
    pub(crate) judged: bool,
    /// When it is closed, unless new ones come.
    pub(crate) close_at: Option<Instant>,
}

/// What two servers tell each other about their clients' interest.
#[derive(Debug)]
pub(crate) struct Talk {
    /// Since when this link is current.
    pub(crate) since: Instant,
    pub(crate) received: Received,
    /// `None` until the link is greeted.
    pub(crate) telling: Option<Telling>,
}

impl Ready {
    pub(crate) fn new(
        now: Instant,
        role: Role,
        identity: Bytes,
        access: Access,
        hello: Hello,
    ) -> Self {
        let talk = Talk {
            since: now,
            received: Received::default(),
            telling: None,
        };
        Self {
            role,
            identity,
            hello,
            access,
            topic_budget: TopicBudget::default(),
            renewal: Renewal {
                last: now,
                judged: false,
                close_at: None,
            },
            doubted_until: None,
            talk: is_server(role).then(|| Box::new(talk)),
        }
    }

    pub(crate) const fn is_link(&self) -> bool {
        is_server(self.role)
    }

    /// Whether silence until now is what made the coordinator's word true.
    pub(crate) fn is_gone(&self, now: Instant) -> bool {
        let late = |until: Instant| now.saturating_duration_since(until) <= SILENCE_NOTICED_WITHIN;
        self.doubted_until.is_some_and(late)
    }

    pub(crate) const fn form(&self) -> Form {
        if self.is_link() {
            Form::Server
        } else if self.hello.forward_topic {
            Form::Topical
        } else {
            Form::Bare
        }
    }
}

/// How late the end of a peer may be told. After that, it is another silence than the one that was
/// listened to.
const SILENCE_NOTICED_WITHIN: Duration = Duration::from_secs(1);

pub(crate) const fn is_server(role: Role) -> bool {
    matches!(
        role,
        Role::CommunicationServer | Role::CommunicationServerHub
    )
}
