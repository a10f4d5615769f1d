//! A coordinator and those who ever had a session, as they know it: checks what comes out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use coordinator_core::{
    Alias, Config, Coordinator, Input, Output, Region, Resume, Selector, SessionId, Topology,
};
use proto::{
    ConnectMessage, LoadMessage, Message, MessageHeader, MessageType, Role, WebRtcMessage,
    WelcomeMessage, revocation::Target,
};

/// What a newcomer says that it had before.
#[derive(Clone, Copy)]
pub(crate) enum Claim {
    None,
    /// What the n-th of all had; true: of another who was given the same.
    Of(u8, bool),
    Forged(u64),
}

/// Somebody who was ever let in.
struct Member {
    session: SessionId,
    alias: u64,
    role: Role,
    resume: Option<Resume>,
}

pub(crate) struct World {
    coordinator: Coordinator,
    now: Instant,
    members: Vec<Member>,
    /// Sessions whose WebSocket is open.
    open: BTreeSet<SessionId>,
    /// Who asked for whom, by alias.
    contacts: BTreeSet<(u64, u64)>,
    next: u64,
}

impl World {
    pub(crate) fn new(topology: Topology, selector: Selector) -> Self {
        let mut config = Config {
            started: Duration::from_secs(1_000),
            seed: 7,
            topology,
            selector,
            ..Config::default()
        };
        config.limits.clients_max = 6;
        config.limits.servers_max = 4;
        config.limits.contacts_max = 3;
        Self {
            coordinator: Coordinator::new(config),
            now: Instant::now(),
            members: Vec::new(),
            open: BTreeSet::new(),
            contacts: BTreeSet::new(),
            next: 1,
        }
    }

    pub(crate) fn open(&mut self, role: Role, ours: bool, region: Option<Region>, claim: Claim) {
        let resume = match claim {
            Claim::None => None,
            Claim::Of(n, other) => self.at(n).and_then(|member| member.resume).map(|resume| {
                let series = resume.series ^ u64::from(other);
                Resume { series, ..resume }
            }),
            Claim::Forged(number) => Some(Resume {
                alias: Alias::from_wire(number),
                series: 0,
            }),
        };
        let session = SessionId(self.next);
        self.next += 1;
        self.open.insert(session);
        let opened = Input::SessionOpened {
            session,
            role,
            ours,
            // A few people, with a token each.
            identity: Bytes::copy_from_slice(&[b'a' + u8::try_from(self.next % 3).unwrap_or(0)]),
            token_id: self.next.is_multiple_of(2).then(|| "token".into()),
            resume,
            region,
        };
        self.input(opened, Some((session, role)));
    }

    pub(crate) fn close(&mut self, n: u8) {
        if let Some(session) = self.at(n).map(|member| member.session) {
            self.open.remove(&session);
            self.input(Input::SessionClosed { session }, None);
        }
    }

    pub(crate) fn connect(&mut self, from: u8, to: u8) {
        self.signal(from, to, MessageType::Connect.into());
    }

    /// A signal whose sender lies about itself.
    pub(crate) fn signal(&mut self, from: u8, to: u8, kind: i32) {
        let (Some(from), Some(to)) = (self.at(from), self.at(to)) else {
            return;
        };
        let signal = WebRtcMessage {
            r#type: kind,
            from_alias: 1,
            to_alias: to.alias,
            from_role: Role::CommunicationServerHub.into(),
            data: Bytes::from_static(b"{}"),
        };
        let (session, pair) = (from.session, (from.alias, to.alias));
        if kind == i32::from(MessageType::Connect) {
            self.contacts.insert(pair);
        }
        let bytes = signal.encode_to_vec().into();
        self.input(Input::Signal { session, bytes }, None);
    }

    pub(crate) fn bytes(&mut self, from: u8, bytes: Vec<u8>) {
        let Some((session, alias)) = self.at(from).map(|from| (from.session, from.alias)) else {
            return;
        };
        if let Ok(connect) = ConnectMessage::decode(&bytes[..]) {
            self.contacts.insert((alias, connect.to_alias));
        }
        let bytes = bytes.into();
        self.input(Input::Signal { session, bytes }, None);
    }

    pub(crate) fn load(&mut self, from: u8, state: i32, numbers: [u32; 3]) {
        let [peers, peers_max, cpu_permille] = numbers;
        let load = LoadMessage {
            r#type: MessageType::Load.into(),
            state,
            peers,
            peers_max,
            packets_per_s: 1,
            cpu_permille,
        };
        if let Some(session) = self.at(from).map(|member| member.session) {
            let bytes = load.encode_to_vec().into();
            self.input(Input::Signal { session, bytes }, None);
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Tick, None);
        let next = self.coordinator.next_deadline();
        assert!(
            next.is_none_or(|next| next > self.now),
            "what was due is done"
        );
    }

    /// The alias of the n-th of all, a subject or a token's name is not to be here any more.
    pub(crate) fn revoke(&mut self, n: u8, kind: u8, time: Duration) {
        let target = match kind {
            0 => Target::Identity(Bytes::from_static(b"a")),
            1 => Target::Token("token".into()),
            _ => Target::Alias(self.at(n).map_or(1, |member| member.alias)),
        };
        let until = self.now + time;
        self.input(Input::Revoke { target, until }, None);
    }

    pub(crate) fn shut_down(&mut self) {
        self.input(Input::ShuttingDown, None);
    }

    /// All go, and nothing is left of them.
    pub(crate) fn leave(&mut self) {
        while let Some(session) = self.open.pop_first() {
            self.input(Input::SessionClosed { session }, None);
        }
        let stats = self.coordinator.stats();
        assert_eq!((stats.clients, stats.servers, stats.waiting), (0, 0, 0));
    }

    fn at(&self, n: u8) -> Option<&Member> {
        self.members.get(usize::from(n) % self.members.len().max(1))
    }

    fn input(&mut self, input: Input, newcomer: Option<(SessionId, Role)>) {
        self.coordinator.handle_input(self.now, input);
        self.coordinator.check_invariants();
        let mut closed = BTreeSet::new();
        let mut sent = BTreeMap::<SessionId, Vec<Bytes>>::new();
        while let Some(output) = self.coordinator.poll_output() {
            match output {
                Output::Welcome {
                    session,
                    welcome,
                    resume,
                } => {
                    let (newcomer, role) = newcomer.expect("somebody who comes");
                    assert_eq!(session, newcomer);
                    self.welcome(session, role, &welcome, resume);
                }
                Output::Send { session, bytes } => {
                    assert!(!closed.contains(&session), "sent to after its end");
                    sent.entry(session).or_default().push(bytes);
                }
                Output::Close { session, .. } => {
                    assert!(closed.insert(session), "closed twice");
                }
            }
        }
        for (session, all) in sent {
            assert!(
                self.open.contains(&session),
                "{session:?} is gone, and is sent {all:?}"
            );
            all.iter().for_each(|bytes| self.check(session, bytes));
        }
        for session in closed {
            assert!(self.open.remove(&session), "closed one who is gone");
        }
    }

    fn welcome(
        &mut self,
        session: SessionId,
        role: Role,
        welcome: &WelcomeMessage,
        resume: Option<Resume>,
    ) {
        assert!(welcome.alias < 1 << 53, "a number of JavaScript's");
        if let Some(resume) = resume {
            assert_eq!(resume.alias.number(), welcome.alias);
        }
        self.members.push(Member {
            session,
            alias: welcome.alias,
            role,
            resume,
        });
    }

    /// What is relayed is stamped with who sent it, and goes along allowed pairs.
    fn check(&self, to: SessionId, bytes: &Bytes) {
        let header = MessageHeader::decode(&bytes[..]).expect("a message");
        let (from, role) = match header.r#type() {
            MessageType::Connect => {
                let connect = ConnectMessage::decode(&bytes[..]).expect("a CONNECT");
                (connect.from_alias, connect.from_role)
            }
            MessageType::WebrtcOffer
            | MessageType::WebrtcAnswer
            | MessageType::WebrtcIceCandidate => {
                let signal = WebRtcMessage::decode(&bytes[..]).expect("a signal");
                (signal.from_alias, signal.from_role)
            }
            MessageType::Servers
            | MessageType::ConnectionRefused
            | MessageType::Error
            | MessageType::Replaced
            | MessageType::PeerGone
            | MessageType::Revoked => return,
            other => unreachable!("{other:?} is not the coordinator's to send"),
        };
        let to = self.members.iter().find(|member| member.session == to);
        let to = to.expect("a member");
        let known = self.members.iter().rev();
        let from = known.clone().find(|member| member.alias == from);
        let from = from.expect("one who was given that alias");
        assert_eq!(i32::from(from.role), role);
        let asked = self.contacts.contains(&(to.alias, from.alias));
        assert!(is_server(from) || is_server(to), "clients stay apart");
        assert!(is_server(to) || asked, "nobody is called who did not call");
    }
}

fn is_server(member: &Member) -> bool {
    member.role != Role::Client
}
