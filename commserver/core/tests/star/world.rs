//! A star of brokers in virtual time: a coordinator that tells the leaves of the hub and the hub of
//! the leaves, links with a delay for each packet, clients that are fed by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use commserver_core::{Broker, Config, Identity, Input, Output, PeerId, SignalKind};
use proto::{
    AuthMessage, ConnectMessage, Format, Lane, Message, MessageType, Reason, Role, ServerEntry,
    ServersMessage, SubscriptionMessage, TopicFwMessage, WebRtcMessage, WelcomeMessage, frame,
    peek,
};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// Something on its way.
enum Event {
    /// To a server in its life of then.
    Input(usize, u32, Input),
    /// A signal to the coordinator, from this alias.
    ToCoordinator(u64, Bytes),
}

/// A server, and what its clients have got.
struct Node {
    hub: bool,
    broker: Option<Broker>,
    run: u32,
    alias: u64,
    /// It has a session with the coordinator.
    listed: bool,
    opened: Option<PeerId>,
}

/// A client: of one server for good, as long as that lives.
pub(crate) struct Client {
    node: usize,
    run: u32,
    peer: PeerId,
    pub(crate) topics: BTreeSet<String>,
    counts: BTreeMap<(Lane, String), u64>,
    /// Lane, publisher's alias, topic and count of what it got.
    pub(crate) got: Vec<(Lane, u64, String, u64)>,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    queue: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    pub(crate) dice: Xoshiro256PlusPlus,
    nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    /// By node and peer: the other end.
    wires: BTreeMap<(usize, PeerId), (usize, PeerId)>,
    /// Peers that made an offer, by what the offer says.
    offers: Vec<(usize, u32, PeerId)>,
    /// What arrives on a path keeps its order.
    paths: BTreeMap<(usize, usize), Instant>,
    aliases: u64,
    versions: u64,
}

fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// A client's alias says which one it is.
pub(crate) fn client_alias(client: usize) -> u64 {
    1_000_000 + u64::try_from(client).expect("a small number")
}

impl World {
    /// With so many hubs, which come first, and so many leaves: all are started.
    pub(crate) fn new(hubs: usize, leaves: usize, seed: u64) -> Self {
        let node = |at: usize| Node {
            hub: at < hubs,
            broker: None,
            run: 0,
            alias: 0,
            listed: false,
            opened: None,
        };
        let mut world = Self {
            now: Instant::now(),
            queue: BTreeMap::new(),
            sequence: 0,
            dice: Xoshiro256PlusPlus::seed_from_u64(seed),
            nodes: (0..hubs + leaves).map(node).collect(),
            clients: Vec::new(),
            wires: BTreeMap::new(),
            offers: Vec::new(),
            paths: BTreeMap::new(),
            aliases: 0,
            versions: 0,
        };
        for at in 0..hubs + leaves {
            world.start(at);
        }
        world
    }

    pub(crate) fn broker(&self, node: usize) -> &Broker {
        self.nodes[node].broker.as_ref().expect("a living server")
    }

    /// The servers that live.
    pub(crate) fn living(&self) -> Vec<usize> {
        let nodes = self.nodes.iter().enumerate();
        let living = nodes.filter(|(_, node)| node.broker.is_some());
        living.map(|(at, _)| at).collect()
    }

    /// What the clients of a server want.
    pub(crate) fn wanted_at(&self, node: usize) -> BTreeSet<&String> {
        self.clients_of(node)
            .flat_map(|client| &client.topics)
            .collect()
    }

    /// How many subscriptions they have.
    pub(crate) fn subscriptions_at(&self, node: usize) -> usize {
        self.clients_of(node)
            .map(|client| client.topics.len())
            .sum()
    }

    fn clients_of(&self, node: usize) -> impl Iterator<Item = &Client> {
        let run = self.nodes[node].run;
        self.clients
            .iter()
            .filter(move |client| (client.node, client.run) == (node, run))
    }

    pub(crate) fn is_hub(&self, node: usize) -> bool {
        self.nodes[node].hub
    }

    // --- time ---

    /// Up to `ms_max` from now, never before what went the same way earlier.
    fn send(&mut self, from: usize, to: usize, ms_max: u64, event: Event) {
        let delay = Duration::from_millis(self.dice.random_range(0..=ms_max));
        let path = self.paths.entry((from, to)).or_insert(self.now);
        let at = (self.now + delay).max(*path);
        *path = at;
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    fn send_input(&mut self, from: usize, to: usize, ms_max: u64, input: Input) {
        let run = self.nodes[to].run;
        self.send(from, to, ms_max, Event::Input(to, run, input));
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let nodes = self.nodes.iter().enumerate();
            let ticks =
                nodes.filter_map(|(at, node)| Some((node.broker.as_ref()?.next_deadline()?, at)));
            let tick = ticks.min().filter(|&(due, _)| due <= end);
            let next = self.queue.first_key_value().map(|(&key, _)| key);
            let next = next.filter(|&(at, _)| at <= end);
            match (tick, next) {
                (Some((due, node)), next) if next.is_none_or(|(at, _)| due <= at) => {
                    self.now = self.now.max(due);
                    self.input(node, Input::Tick);
                }
                (_, Some(key)) => {
                    self.now = key.0;
                    match self.queue.remove(&key).expect("just seen") {
                        Event::Input(node, run, input) if self.nodes[node].run == run => {
                            self.input(node, input);
                        }
                        Event::Input(..) => {}
                        Event::ToCoordinator(from, bytes) => self.relay(from, &bytes),
                    }
                }
                _ => break,
            }
        }
        self.now = end;
    }

    // --- servers come and go ---

    /// Starts a server as a new process would: another alias, another instance, no memory.
    pub(crate) fn start(&mut self, at: usize) {
        self.aliases += 1;
        let (alias, instance, seed) = (self.aliases, self.dice.random(), self.dice.random());
        let node = &mut self.nodes[at];
        node.run += 1;
        node.alias = alias;
        node.listed = true;
        let mut config = Config {
            hub: node.hub,
            ..Config::new(instance, seed)
        };
        config.timings.redial_max = Duration::from_secs(2);
        node.broker = Some(Broker::new(self.now, config));
        self.input(at, Input::UplinkOpened);
        let welcome = encoded(&WelcomeMessage {
            r#type: MessageType::Welcome.into(),
            alias,
            capabilities: frame::capabilities(true),
            ..WelcomeMessage::default()
        });
        self.input(at, Input::Signal(welcome));
        self.tell_lists();
    }

    /// It dies without a word. The others notice, and its clients are gone.
    pub(crate) fn kill(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.broker = None;
        node.run += 1;
        node.listed = false;
        let ends = self.wires.iter().filter(|&(&(node, _), _)| node == at);
        let ends: Vec<_> = ends.map(|(&end, &other)| (end, other)).collect();
        for (end, (node, peer)) in ends {
            self.wires.remove(&end);
            self.wires.remove(&(node, peer));
            let reason = Reason::IdleTimeout;
            self.send_input(at, node, 1_000, Input::PeerClosed { peer, reason });
        }
        for client in &mut self.clients {
            if client.node == at {
                client.topics.clear();
            }
        }
        self.tell_lists();
    }

    /// The coordinator does not hear of it any more, and its links stay.
    pub(crate) fn lose_uplink(&mut self, at: usize) {
        self.nodes[at].listed = false;
        self.input(at, Input::UplinkClosed);
        self.tell_lists();
    }

    /// A link ends, whatever is on its way with it.
    pub(crate) fn cut_a_link(&mut self) {
        let ends: Vec<_> = self
            .wires
            .iter()
            .map(|(&end, &other)| (end, other))
            .collect();
        if ends.is_empty() {
            return;
        }
        let (one, other) = ends[self.dice.random_range(0..ends.len())];
        for (node, peer) in [one, other] {
            self.wires.remove(&(node, peer));
            let reason = Reason::TransportClosed;
            self.send_input(node, node, 100, Input::PeerClosed { peer, reason });
        }
    }

    // --- the coordinator ---

    fn tell_lists(&mut self) {
        self.versions += 1;
        let nodes = 0..self.nodes.len();
        let listed: Vec<usize> = nodes.filter(|&node| self.nodes[node].listed).collect();
        for &at in &listed {
            let others = listed
                .iter()
                .copied()
                .filter(|&other| other != at && (self.nodes[at].hub || self.nodes[other].hub));
            let entries = others.map(|other| ServerEntry {
                alias: self.nodes[other].alias,
                role: self.role(other).into(),
                ..ServerEntry::default()
            });
            let servers = encoded(&ServersMessage {
                r#type: MessageType::Servers.into(),
                version: self.versions,
                entries: entries.collect(),
            });
            self.send_input(COORDINATOR, at, 150, Input::Signal(servers));
        }
    }

    fn role(&self, node: usize) -> Role {
        if self.nodes[node].hub {
            Role::CommunicationServerHub
        } else {
            Role::CommunicationServer
        }
    }

    fn relay(&mut self, from: u64, bytes: &Bytes) {
        let has = |node: &Node, alias: u64| node.listed && node.alias == alias;
        let of = |alias: u64| self.nodes.iter().position(|node| has(node, alias));
        let Some(from_role) = of(from).map(|node| self.role(node).into()) else {
            return;
        };
        let (to, stamped) = if peek::message_type(bytes) == Some(MessageType::Connect) {
            let mut message = ConnectMessage::decode(bytes.clone()).expect("CONNECT");
            (message.from_alias, message.from_role) = (from, from_role);
            (message.to_alias, encoded(&message))
        } else if peek::message_type(bytes) == Some(MessageType::ConnectionRefused) {
            let message = proto::ConnectionRefusedMessage::decode(bytes.clone());
            (message.expect("CONNECTION_REFUSED").to_alias, bytes.clone())
        } else if peek::message_type(bytes) == Some(MessageType::Load) {
            return;
        } else {
            let mut message = WebRtcMessage::decode(bytes.clone()).expect("a signal");
            (message.from_alias, message.from_role) = (from, from_role);
            (message.to_alias, encoded(&message))
        };
        if let Some(node) = of(to) {
            self.send_input(COORDINATOR, node, 150, Input::Signal(stamped));
        }
    }

    // --- clients ---

    /// A client of this server.
    pub(crate) fn add_client(&mut self, node: usize) -> usize {
        let connect = ConnectMessage {
            r#type: MessageType::Connect.into(),
            from_alias: client_alias(self.clients.len()),
            to_alias: 0,
            from_role: Role::Client.into(),
        };
        self.input(node, Input::Signal(encoded(&connect)));
        let peer = self.nodes[node].opened.take().expect("a client");
        self.clients.push(Client {
            node,
            run: self.nodes[node].run,
            peer,
            topics: BTreeSet::new(),
            counts: BTreeMap::new(),
            got: Vec::new(),
        });
        self.input(node, Input::PeerOpened { peer });
        let bytes = encoded(&AuthMessage {
            r#type: MessageType::Auth.into(),
            role: Role::Client.into(),
            capabilities: frame::capabilities(false),
            ..AuthMessage::default()
        });
        let lane = Lane::Reliable;
        self.input(node, Input::Packet { peer, lane, bytes });
        self.clients.len() - 1
    }

    /// Whether its server lives as it did when the client came.
    pub(crate) fn is_there(&self, client: usize) -> bool {
        let Client { node, run, .. } = self.clients[client];
        self.nodes[node].broker.is_some() && self.nodes[node].run == run
    }

    /// From now on it wants these.
    pub(crate) fn subscribe(&mut self, client: usize, topics: &[&str]) {
        let Client { node, peer, .. } = self.clients[client];
        self.clients[client].topics = topics.iter().map(ToString::to_string).collect();
        let bytes = encoded(&SubscriptionMessage {
            r#type: MessageType::Subscription.into(),
            format: Format::Plain.into(),
            topics: topics.join(" ").into(),
        });
        let lane = Lane::Reliable;
        self.input(node, Input::Packet { peer, lane, bytes });
    }

    /// It publishes the next count of this topic and lane, and says which that is.
    pub(crate) fn publish(&mut self, client: usize, topic: &str, lane: Lane) -> u64 {
        let Client { node, peer, .. } = self.clients[client];
        let counts = &mut self.clients[client].counts;
        let count = counts.entry((lane, topic.to_owned())).or_default();
        *count += 1;
        let count = *count;
        let bytes = frame::publish(topic, Bytes::new(), count, false);
        self.input(node, Input::Packet { peer, lane, bytes });
        count
    }

    // --- servers ---

    fn input(&mut self, node: usize, input: Input) {
        let Some(broker) = &mut self.nodes[node].broker else {
            return;
        };
        broker.handle_input(self.now, input);
        broker.check_invariants();
        while let Some(broker) = &mut self.nodes[node].broker
            && let Some(output) = broker.poll_output()
        {
            self.act(node, output);
        }
    }

    fn act(&mut self, node: usize, output: Output) {
        match output {
            Output::Signal(bytes) => {
                let event = Event::ToCoordinator(self.nodes[node].alias, bytes);
                self.send(node, COORDINATOR, 150, event);
            }
            Output::OpenPeer { peer, alias, dial } => {
                if alias >= client_alias(0) {
                    self.nodes[node].opened = Some(peer);
                } else if !dial {
                    let data = self.offers.len().to_string().into();
                    self.offers.push((node, self.nodes[node].run, peer));
                    let kind = SignalKind::Offer;
                    self.input(node, Input::LocalSignal { peer, kind, data });
                }
            }
            Output::RemoteSignal { peer, data, .. } => {
                let text = String::from_utf8(data.to_vec()).expect("text");
                let (other, run, other_peer) =
                    self.offers[text.parse::<usize>().expect("a number")];
                if self.nodes[other].run != run {
                    return;
                }
                let other = (other, other_peer);
                self.wires.insert((node, peer), other);
                self.wires.insert(other, (node, peer));
                for (node, peer) in [(node, peer), other] {
                    self.send_input(node, node, 100, Input::PeerOpened { peer });
                }
            }
            Output::ClosePeer { peer, reason } => {
                if let Some((other, peer)) = self.wires.remove(&(node, peer)) {
                    self.wires.remove(&(other, peer));
                    // Behind what was said before.
                    self.send_input(node, other, 150, Input::PeerClosed { peer, reason });
                }
            }
            Output::Authenticate { peer, .. } => {
                let result = Ok(Identity::everything(Bytes::new()));
                let proof = Bytes::new();
                let input = Input::Authenticated {
                    peer,
                    result,
                    proof,
                };
                self.input(node, input);
            }
            Output::Prove { peer, .. } => {
                let body = Bytes::new();
                self.input(node, Input::Proof { peer, body });
            }
            Output::VerifyProof { peer, .. } => {
                self.input(node, Input::ProofVerified { peer, valid: true });
            }
            Output::Deliver(delivery) => {
                for &peer in &delivery.recipients {
                    self.deliver(node, peer, delivery.lane, delivery.frame.clone());
                }
            }
            Output::ExpectTraffic { .. }
            | Output::LeaveUnread { .. }
            | Output::MeasureLoad
            | Output::Drained => {}
        }
    }

    fn deliver(&mut self, node: usize, peer: PeerId, lane: Lane, bytes: Bytes) {
        if let Some(&(other, peer)) = self.wires.get(&(node, peer)) {
            let input = Input::Packet { peer, lane, bytes };
            self.send_input(node, other, 150, input);
            return;
        }
        let run = self.nodes[node].run;
        let mut clients = self.clients.iter_mut();
        let client =
            clients.find(|client| (client.node, client.run, client.peer) == (node, run, peer));
        if let Some(client) = client
            && peek::message_type(&bytes) == Some(MessageType::TopicFw)
        {
            let packet = TopicFwMessage::decode(bytes).expect("TOPIC_FW");
            let got = (lane, packet.from_alias, packet.topic, packet.seq);
            client.got.push(got);
        }
    }
}

const COORDINATOR: usize = usize::MAX;
