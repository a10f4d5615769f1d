//! The world around a broker, which does anything in any order, and checks what comes out. The fuzz
//! targets (`fuzz/targets`) have the same one.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bytes::Bytes;
use commserver_core::{
    Broker, Config, Identity, Input, Limits, Output, PeerId, ResumeToken, SignalKind, Timings,
};
use proto::{
    AuthMessage, ConnectMessage, InterestMessage, Lane, Message, MessageType, PeerGoneMessage,
    ReadyMessage, Reason, RenamedMessage, ReplacedMessage, RevokedMessage, Role, ServerEntry,
    ServersMessage, SubscriptionMessage, WelcomeMessage, filter::Filters, frame, peek,
    revocation::Target,
};

/// Something that the world does; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Pass(u64),
    Uplink(bool),
    Welcome(u64, Vec<u64>, &'static str),
    Replaced,
    Gone(u64),
    Servers(u64, Vec<u64>),
    Connect(u64, Role),
    Signal(Vec<u8>),
    LocalSignal(usize),
    Open(usize),
    Packet(usize, Lane, Bytes),
    Verdict(usize, Result<u64, Reason>),
    Revoked(u64, u64),
    Proof(usize),
    ProofVerdict(usize, bool),
    Close(usize),
    Slow(usize),
    Load(Option<u64>),
    Drain,
    Shutdown,
}

pub(crate) fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

pub(crate) fn auth(role: Role, ours: bool, instance: u64) -> Bytes {
    encoded(&AuthMessage {
        r#type: MessageType::Auth.into(),
        role: role.into(),
        capabilities: if ours {
            frame::capabilities(true)
        } else {
            Vec::new()
        },
        instance,
        ..AuthMessage::default()
    })
}

pub(crate) fn ready(instance: u64) -> Bytes {
    encoded(&ReadyMessage {
        r#type: MessageType::Ready.into(),
        capabilities: frame::capabilities(true),
        instance,
        ..ReadyMessage::default()
    })
}

pub(crate) fn subscription(topics: &[String]) -> Bytes {
    encoded(&SubscriptionMessage {
        r#type: MessageType::Subscription.into(),
        format: 1,
        topics: topics.join(" ").into(),
    })
}

pub(crate) fn interest(version: u64, add: Vec<String>, begin: bool, end: bool) -> Bytes {
    encoded(&InterestMessage {
        r#type: MessageType::Interest.into(),
        version,
        add,
        snapshot_begin: begin,
        snapshot_end: end,
        ..InterestMessage::default()
    })
}

pub(crate) fn renamed(alias: u64) -> Bytes {
    encoded(&RenamedMessage {
        r#type: MessageType::Renamed.into(),
        alias,
    })
}

fn revoked(alias: u64, for_s: u64) -> Bytes {
    encoded(&RevokedMessage {
        r#type: MessageType::Revoked.into(),
        entries: vec![Target::Alias(alias).to_entry(for_s)],
    })
}

fn gone(alias: u64) -> Bytes {
    encoded(&PeerGoneMessage {
        r#type: MessageType::PeerGone.into(),
        alias,
    })
}

/// The broker, and what the world knows of it.
pub(crate) struct World {
    pub(crate) broker: Broker,
    now: Instant,
    peers: Vec<PeerId>,
    pub(crate) alive: BTreeSet<PeerId>,
    let_in: BTreeSet<PeerId>,
    compat: bool,
    drained: bool,
    down: bool,
}

impl World {
    pub(crate) fn new(compat: bool, hub: bool) -> Self {
        let limits = Limits {
            peers_max: 4,
            links_max: 3,
            subscriptions_max: 3,
            topics_max: 6,
            held_packets_max: 3,
            held_bytes_max: 200,
            ..Limits::default()
        };
        let config = Config {
            limits,
            hub,
            trust_unstamped_servers: compat,
            allow_2019_servers: compat,
            ..Config::new(3, 1)
        };
        let now = Instant::now();
        let mut world = Self {
            broker: Broker::new(now, config),
            now,
            peers: Vec::new(),
            alive: BTreeSet::new(),
            let_in: BTreeSet::new(),
            compat,
            drained: false,
            down: false,
        };
        world.act(Op::Welcome(6, vec![5, 7], ""));
        world
    }

    fn peer(&self, at: usize) -> Option<PeerId> {
        self.peers.get(at % self.peers.len().max(1)).copied()
    }

    /// Somebody who may do everything for ever, or not.
    fn identity(&self, seed: u64) -> Identity {
        let only = || Filters::parse(["a", "c/#"]).expect("filters");
        let mut identity = Identity::everything(Bytes::new());
        if seed.is_multiple_of(2) {
            identity.expires = Some(self.now + Duration::from_secs(seed));
        }
        if seed > 3 {
            identity.grants.publish = only();
        }
        if seed > 5 {
            identity.grants.subscribe = only();
            identity.subscriptions_max = Some(2);
        }
        identity
    }

    fn input(&self, op: Op) -> Option<Input> {
        let signal = |message: Bytes| Some(Input::Signal(message));
        match op {
            Op::Pass(_) => Some(Input::Tick),
            Op::Uplink(true) => Some(Input::UplinkOpened),
            Op::Uplink(false) => Some(Input::UplinkClosed),
            Op::Welcome(alias, available_servers, token) => signal(encoded(&WelcomeMessage {
                r#type: MessageType::Welcome.into(),
                alias,
                available_servers,
                resume_token: token.into(),
                capabilities: frame::capabilities(alias % 2 == 0),
            })),
            Op::Replaced => signal(encoded(&ReplacedMessage {
                r#type: MessageType::Replaced.into(),
            })),
            Op::Servers(version, listed) => signal(encoded(&ServersMessage {
                r#type: MessageType::Servers.into(),
                version,
                entries: listed.into_iter().map(entry).collect(),
            })),
            Op::Revoked(alias, for_s) => signal(revoked(alias, for_s)),
            Op::Gone(alias) => signal(gone(alias)),
            Op::Connect(from_alias, role) => signal(encoded(&ConnectMessage {
                r#type: MessageType::Connect.into(),
                from_alias,
                to_alias: 6,
                from_role: role.into(),
            })),
            Op::Signal(bytes) => signal(bytes.into()),
            Op::LocalSignal(at) => Some(Input::LocalSignal {
                peer: self.peer(at)?,
                kind: SignalKind::Candidate,
                data: Bytes::new(),
            }),
            Op::Open(at) => Some(Input::PeerOpened {
                peer: self.peer(at)?,
            }),
            Op::Packet(at, lane, bytes) => Some(Input::Packet {
                peer: self.peer(at)?,
                lane,
                bytes,
            }),
            Op::Verdict(at, result) => Some(Input::Authenticated {
                peer: self.peer(at)?,
                result: result.map(|seed| self.identity(seed)),
                proof: Bytes::new(),
            }),
            Op::Proof(at) => Some(Input::Proof {
                peer: self.peer(at)?,
                body: Bytes::new(),
            }),
            Op::ProofVerdict(at, valid) => Some(Input::ProofVerified {
                peer: self.peer(at)?,
                valid,
            }),
            Op::Close(at) => Some(Input::PeerClosed {
                peer: self.peer(at)?,
                reason: Reason::TransportClosed,
            }),
            Op::Slow(at) => Some(Input::SlowConsumer {
                peer: self.peer(at)?,
            }),
            Op::Load(cpu) => Some(Input::LoadMeasured {
                cpu: cpu.map(Duration::from_millis),
            }),
            Op::Drain => Some(Input::Drain),
            Op::Shutdown => Some(Input::Shutdown),
        }
    }

    pub(crate) fn act(&mut self, op: Op) {
        if let Op::Pass(ms) = op {
            self.now += Duration::from_millis(ms);
        }
        let token = match op {
            // One that goes away comes back to nobody.
            Op::Welcome(_, _, token) if !self.down => {
                Some(Some(token).filter(|&token| token == "token"))
            }
            Op::Replaced => Some(None),
            _ => None,
        };
        self.down |= matches!(op, Op::Shutdown);
        let Some(input) = self.input(op) else {
            return;
        };
        let published_by = match &input {
            Input::Packet { peer, bytes, .. } => is_topic(bytes).then_some(*peer),
            _ => None,
        };
        match &input {
            Input::PeerClosed { peer, .. } => {
                self.alive.remove(peer);
            }
            Input::Authenticated { peer, result, .. } if result.is_ok() => {
                self.let_in.insert(*peer);
            }
            Input::ProofVerified { peer, valid: true } => {
                self.let_in.insert(*peer);
            }
            _ => {}
        }
        let ticked = matches!(input, Input::Tick);
        self.broker.handle_input(self.now, input);
        self.broker.check_invariants();
        if let Some(token) = token {
            let kept = self.broker.resume_token().map(ResumeToken::expose);
            assert_eq!(kept, token, "the token of the last WELCOME");
        }
        let mut deliveries = 0;
        while let Some(output) = self.broker.poll_output() {
            deliveries += usize::from(matches!(output, Output::Deliver(_)));
            self.look_at(output, published_by);
        }
        if published_by.is_some() {
            // Three forms, and an ERROR or the like.
            assert!(deliveries <= 4, "{deliveries} deliveries for one packet");
        }
        if ticked {
            let next = self.broker.next_deadline();
            assert!(
                next.is_none_or(|due| due > self.now),
                "what was due is done"
            );
        }
    }

    fn look_at(&mut self, output: Output, published_by: Option<PeerId>) {
        match output {
            Output::OpenPeer { peer, dial, .. } => {
                self.peers.push(peer);
                if dial && self.compat {
                    // A 2019 server says nothing, and so does the world on its behalf.
                    self.let_in.insert(peer);
                }
                assert!(self.alive.insert(peer), "{peer} is new");
            }
            Output::ClosePeer { peer, .. } => {
                assert!(self.alive.remove(&peer), "{peer} is closed once");
            }
            Output::Deliver(delivery) => {
                let unique: BTreeSet<_> = delivery.recipients.iter().collect();
                assert_eq!(unique.len(), delivery.recipients.len(), "nobody twice");
                assert!(!unique.is_empty());
                for &peer in &delivery.recipients {
                    assert!(self.alive.contains(&peer), "{peer} is there");
                    let told = matches!(
                        peek::message_type(&delivery.frame),
                        Some(MessageType::Error | MessageType::Auth)
                    );
                    let may = told || self.let_in.contains(&peer);
                    assert!(may, "{peer} was not let in");
                    let echo = is_forwarded(&delivery.frame) && published_by == Some(peer);
                    assert!(!echo, "{peer} hears itself");
                }
            }
            Output::ExpectTraffic { peer, within } => {
                assert!(self.alive.contains(&peer) && self.let_in.contains(&peer));
                assert_eq!(within, Timings::default().gone_timeout);
            }
            Output::RemoteSignal { peer, .. }
            | Output::LeaveUnread { peer, .. }
            | Output::Authenticate { peer, .. }
            | Output::Prove { peer, .. }
            | Output::VerifyProof { peer, .. } => assert!(self.alive.contains(&peer)),
            Output::Drained => {
                assert!(!self.drained, "once");
                self.drained = true;
            }
            Output::Signal(_) | Output::MeasureLoad => {}
        }
    }
}

fn entry(alias: u64) -> ServerEntry {
    ServerEntry {
        alias,
        role: Role::CommunicationServer.into(),
        ..ServerEntry::default()
    }
}

fn is_topic(bytes: &Bytes) -> bool {
    matches!(
        peek::message_type(bytes),
        Some(MessageType::Topic | MessageType::TopicIdentity)
    )
}

fn is_forwarded(bytes: &Bytes) -> bool {
    is_topic(bytes)
        || matches!(
            peek::message_type(bytes),
            Some(MessageType::TopicFw | MessageType::TopicIdentityFw)
        )
}
