//! One broker, and the world around it as a script: what it asks of its shell is answered, what it
//! sends is kept for the test to look at, and its invariants are checked after every step.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use commserver_core::{Broker, Config, Identity, Input, Output, Pair, PeerId, SignalKind};
use proto::{
    AuthMessage, ConnectMessage, Lane, Message, MessageType, Reason, Role, ServerEntry,
    ServerState, ServersMessage, WelcomeMessage, frame, peek,
};

/// Our alias, unless the test says otherwise.
pub(crate) const OWN: u64 = 1_000;

/// The broker's own instance.
pub(crate) const INSTANCE: u64 = 7;

pub(crate) struct Server {
    pub(crate) broker: Broker,
    pub(crate) now: Instant,
    pub(crate) signals: Vec<Bytes>,
    pub(crate) opened: Vec<(PeerId, u64, bool)>,
    pub(crate) closed: Vec<(PeerId, Reason)>,
    pub(crate) expected: Vec<(PeerId, Duration)>,
    /// Whose lane is to be left unread, and until when.
    pub(crate) unread: Vec<(PeerId, Instant)>,
    pub(crate) remote_signals: Vec<(PeerId, SignalKind, Bytes)>,
    pub(crate) asked: Vec<(PeerId, Role, Bytes, Pair)>,
    pub(crate) proofs: Vec<(PeerId, Bytes, Pair)>,
    pub(crate) inbox: BTreeMap<PeerId, Vec<(Lane, Bytes)>>,
    pub(crate) deliveries: usize,
    pub(crate) drained: usize,
    /// What our thread has used so far.
    pub(crate) cpu: Option<Duration>,
}

impl Server {
    pub(crate) fn new(config: Config) -> Self {
        let now = Instant::now();
        Self {
            broker: Broker::new(now, config),
            now,
            signals: Vec::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            expected: Vec::new(),
            unread: Vec::new(),
            remote_signals: Vec::new(),
            asked: Vec::new(),
            proofs: Vec::new(),
            inbox: BTreeMap::new(),
            deliveries: 0,
            drained: 0,
            cpu: None,
        }
    }

    /// With the coordinator there, nobody else yet.
    pub(crate) fn welcomed() -> Self {
        Self::welcomed_with(Config::new(INSTANCE, 1))
    }

    pub(crate) fn welcomed_with(config: Config) -> Self {
        let mut server = Self::new(config);
        server.input(Input::UplinkOpened);
        server.welcome(OWN, &[]);
        server
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.broker.handle_input(self.now, input);
        self.broker.check_invariants();
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Signal(bytes) => self.signals.push(bytes),
                Output::OpenPeer { peer, alias, dial } => self.opened.push((peer, alias, dial)),
                Output::RemoteSignal { peer, kind, data } => {
                    self.remote_signals.push((peer, kind, data));
                }
                Output::ClosePeer { peer, reason } => self.closed.push((peer, reason)),
                Output::MeasureLoad => self.input(Input::LoadMeasured { cpu: self.cpu }),
                Output::LeaveUnread { peer, until } => self.unread.push((peer, until)),
                Output::Drained => self.drained += 1,
                Output::ExpectTraffic { peer, within } => self.expected.push((peer, within)),
                Output::Authenticate {
                    peer,
                    role,
                    body,
                    pair,
                } => self.asked.push((peer, role, body, pair)),
                Output::Prove { peer, pair } => {
                    let body = format!("proof {} {}", pair.dialer, pair.acceptor).into();
                    self.input(Input::Proof { peer, body });
                }
                Output::VerifyProof { peer, proof, pair } => self.proofs.push((peer, proof, pair)),
                Output::Deliver(delivery) => {
                    self.deliveries += 1;
                    for peer in delivery.recipients {
                        let frame = (delivery.lane, delivery.frame.clone());
                        self.inbox.entry(peer).or_default().push(frame);
                    }
                }
            }
        }
    }

    /// Lets time pass, with a tick at every deadline.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.broker.next_deadline().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = end;
        self.input(Input::Tick);
    }

    // --- the coordinator ---

    pub(crate) fn signal(&mut self, message: &impl Message) {
        self.input(Input::Signal(message.encode_to_vec().into()));
    }

    pub(crate) fn welcome(&mut self, alias: u64, listed: &[u64]) {
        self.welcome_with_token(alias, listed, "");
    }

    pub(crate) fn welcome_with_token(&mut self, alias: u64, listed: &[u64], resume_token: &str) {
        self.signal(&WelcomeMessage {
            r#type: MessageType::Welcome.into(),
            alias,
            available_servers: listed.to_vec(),
            // None: it wants no reports, so nothing is due while nothing happens.
            capabilities: Vec::new(),
            resume_token: resume_token.into(),
        });
    }

    /// By a coordinator that takes reports.
    pub(crate) fn welcome_to_report(&mut self) {
        self.signal(&WelcomeMessage {
            r#type: MessageType::Welcome.into(),
            alias: OWN,
            capabilities: frame::capabilities(false),
            ..WelcomeMessage::default()
        });
    }

    /// The session breaks, and there is another one.
    pub(crate) fn resume(&mut self, alias: u64, listed: &[u64]) {
        self.input(Input::UplinkClosed);
        self.input(Input::UplinkOpened);
        self.welcome(alias, listed);
    }

    pub(crate) fn servers(&mut self, version: u64, listed: &[u64]) {
        self.servers_and_hubs(version, listed, &[]);
    }

    pub(crate) fn servers_and_hubs(&mut self, version: u64, listed: &[u64], hubs: &[u64]) {
        let live = |&alias: &u64| (alias, ServerState::Live);
        let listed: Vec<_> = listed.iter().map(live).collect();
        let hubs: Vec<_> = hubs.iter().map(live).collect();
        self.servers_in(version, &listed, &hubs);
    }

    pub(crate) fn servers_in(
        &mut self,
        version: u64,
        listed: &[(u64, ServerState)],
        hubs: &[(u64, ServerState)],
    ) {
        let entry = |&(alias, state): &(u64, ServerState), role: Role| ServerEntry {
            alias,
            role: role.into(),
            state: state.into(),
            ..ServerEntry::default()
        };
        let servers = listed.iter();
        let servers = servers.map(|server| entry(server, Role::CommunicationServer));
        let hubs = hubs.iter();
        let hubs = hubs.map(|hub| entry(hub, Role::CommunicationServerHub));
        self.signal(&ServersMessage {
            r#type: MessageType::Servers.into(),
            version,
            entries: servers.chain(hubs).collect(),
        });
    }

    pub(crate) fn connect(&mut self, alias: u64, stamp: Role) {
        self.signal(&ConnectMessage {
            r#type: MessageType::Connect.into(),
            from_alias: alias,
            to_alias: OWN,
            from_role: stamp.into(),
        });
    }

    /// The signals sent since the last look, decoded.
    pub(crate) fn take_signals<M: Message + Default>(&mut self, kind: MessageType) -> Vec<M> {
        let signals = std::mem::take(&mut self.signals);
        let of_kind = |bytes: &Bytes| peek::message_type(bytes) == Some(kind);
        let found = signals.into_iter().filter(of_kind);
        found
            .map(|bytes| M::decode(bytes).expect("a signal"))
            .collect()
    }

    // --- peers ---

    pub(crate) fn packet(&mut self, peer: PeerId, lane: Lane, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.input(Input::Packet { peer, lane, bytes });
    }

    pub(crate) fn say(&mut self, peer: PeerId, message: &impl Message) {
        self.packet(peer, Lane::Reliable, message.encode_to_vec());
    }

    /// The frames that a peer got since the last look.
    pub(crate) fn take(&mut self, peer: PeerId) -> Vec<(Lane, Bytes)> {
        self.inbox.remove(&peer).unwrap_or_default()
    }

    /// Those of one type, decoded.
    pub(crate) fn take_kind<M: Message + Default>(
        &mut self,
        peer: PeerId,
        kind: MessageType,
    ) -> Vec<M> {
        let frames = self.take(peer).into_iter().map(|(_, frame)| frame);
        let of_kind = frames.filter(|frame| peek::message_type(frame) == Some(kind));
        of_kind
            .map(|frame| M::decode(frame).expect("a packet"))
            .collect()
    }

    /// The codes of the ERRORs that a peer got since the last look.
    pub(crate) fn take_errors(&mut self, peer: PeerId) -> Vec<(Reason, String)> {
        let errors = self.take_kind::<proto::ErrorMessage>(peer, MessageType::Error);
        let read = |error: proto::ErrorMessage| {
            (
                Reason::from_number(error.code).expect("a reason"),
                error.topic,
            )
        };
        errors.into_iter().map(read).collect()
    }

    /// Why this peer was closed, if it was.
    pub(crate) fn closed(&self, peer: PeerId) -> Option<Reason> {
        let closed = self.closed.iter().find(|(id, _)| *id == peer);
        closed.map(|&(_, reason)| reason)
    }

    /// An acceptor's peer with its reliable lane open.
    pub(crate) fn arrive(&mut self, alias: u64, stamp: Role) -> PeerId {
        let before = self.opened.len();
        self.connect(alias, stamp);
        assert_eq!(self.opened.len(), before + 1, "{alias} is let at the door");
        let (peer, opened_alias, dial) = self.opened[before];
        assert_eq!((opened_alias, dial), (alias, false));
        self.input(Input::PeerOpened { peer });
        peer
    }

    pub(crate) fn verdict(&mut self, peer: PeerId, result: Result<&'static str, Reason>) {
        let result = result.map(|identity| Identity::everything(identity.into()));
        let proof = Bytes::from_static(b"proof of the acceptor");
        self.input(Input::Authenticated {
            peer,
            result,
            proof,
        });
    }

    /// A client of ours, let in.
    pub(crate) fn client(&mut self, alias: u64) -> PeerId {
        self.client_speaking(alias, frame::capabilities(false))
    }

    /// A 2019 client, let in.
    pub(crate) fn client_2019(&mut self, alias: u64) -> PeerId {
        self.client_speaking(alias, Vec::new())
    }

    fn client_speaking(&mut self, alias: u64, capabilities: Vec<i32>) -> PeerId {
        let peer = self.arrive(alias, Role::Client);
        self.say(peer, &auth(Role::Client, capabilities, 0));
        self.verdict(peer, Ok("ann"));
        self.take(peer);
        peer
    }

    /// A server that dialed us, let in. What it was told is still to be read.
    pub(crate) fn link(&mut self, alias: u64, instance: u64) -> PeerId {
        self.link_as(Role::CommunicationServer, alias, instance)
    }

    pub(crate) fn link_as(&mut self, role: Role, alias: u64, instance: u64) -> PeerId {
        let peer = self.arrive(alias, role);
        self.say(peer, &auth(role, frame::capabilities(true), instance));
        self.verdict(peer, Ok(""));
        peer
    }

    /// Subscribes a peer to a list of topics, replacing those before.
    pub(crate) fn subscription(&mut self, peer: PeerId, topics: &str) {
        self.say(
            peer,
            &proto::SubscriptionMessage {
                r#type: MessageType::Subscription.into(),
                format: proto::Format::Plain.into(),
                topics: topics.to_owned().into(),
            },
        );
    }

    pub(crate) fn publish(&mut self, peer: PeerId, lane: Lane, topic: &str, body: &'static str) {
        self.packet(peer, lane, frame::publish(topic, body.into(), 1, false));
    }
}

pub(crate) fn auth(role: Role, capabilities: Vec<i32>, instance: u64) -> AuthMessage {
    AuthMessage {
        r#type: MessageType::Auth.into(),
        role: role.into(),
        body: Bytes::from_static(b"who I am"),
        capabilities,
        instance,
    }
}
