//! A coordinator that is restarted gives a server its alias back when it shows a token that is still
//! good, and another one when not. The servers must find out that they are linked already: no second
//! link, no packet lost, doubled or out of order.
//!
//! A few brokers in virtual time, with every path delayed by its own dice.
#![expect(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use commserver_core::{Broker, Config, Identity, Input, Output, PeerId, SignalKind};
use proptest::{prelude::*, sample::select};
use proto::{
    AuthMessage, ConnectMessage, Lane, Message, MessageType, ReplacedMessage, Role, ServerEntry,
    ServersMessage, SubscriptionMessage, TopicFwMessage, WebRtcMessage, WelcomeMessage, frame,
    peek,
};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// Something on its way.
enum Event {
    Input(usize, Input),
    /// A signal to the coordinator, by a session of this epoch.
    ToCoordinator(u64, u64, Bytes),
    /// A server reaches the coordinator.
    Session(usize),
    /// The coordinator has closed a server's session under this alias.
    HangUp(usize, u64),
    Publish(usize),
}

struct Node {
    broker: Broker,
    client: Option<PeerId>,
    published: u64,
    /// What the client got: publisher's alias and count.
    received: Vec<(u64, u64)>,
}

struct World {
    now: Instant,
    queue: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    dice: Xoshiro256PlusPlus,
    nodes: Vec<Node>,
    /// By node and peer: the other end.
    wires: BTreeMap<(usize, PeerId), (usize, PeerId)>,
    /// Peers that made an offer, by what the offer says.
    offers: Vec<(usize, PeerId)>,
    /// What arrives on a path keeps its order.
    paths: BTreeMap<(usize, usize), Instant>,
    epoch: u64,
    next_alias: u64,
    lists: u64,
    sessions: BTreeMap<u64, usize>,
    /// How many in a hundred tokens are still good when they are shown.
    good_tokens: u32,
}

fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

const COORDINATOR: usize = usize::MAX;

impl World {
    fn new(nodes: usize, seed: u64) -> Self {
        let now = Instant::now();
        let node = |at: usize| {
            let at = u64::try_from(at).expect("a small number");
            Node {
                // Instances in another order than aliases.
                broker: Broker::new(now, Config::new(100 - at, seed ^ at)),
                client: None,
                published: 0,
                received: Vec::new(),
            }
        };
        Self {
            now,
            queue: BTreeMap::new(),
            sequence: 0,
            dice: Xoshiro256PlusPlus::seed_from_u64(seed),
            nodes: (0..nodes).map(node).collect(),
            wires: BTreeMap::new(),
            offers: Vec::new(),
            paths: BTreeMap::new(),
            epoch: 0,
            next_alias: 1_000,
            lists: 0,
            sessions: BTreeMap::new(),
            good_tokens: 0,
        }
    }

    /// Up to `ms_max` from now, never before what went the same way earlier.
    fn send(&mut self, from: usize, to: usize, ms_max: u64, event: Event) {
        let delay = Duration::from_millis(self.dice.random_range(0..=ms_max));
        let path = self.paths.entry((from, to)).or_insert(self.now);
        let at = (self.now + delay).max(*path);
        *path = at;
        self.at(at, event);
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let ticks = self.nodes.iter().enumerate();
            let ticks = ticks.filter_map(|(at, node)| Some((node.broker.next_deadline()?, at)));
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
                    let event = self.queue.remove(&key).expect("just seen");
                    self.handle(event);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Input(node, input) => self.input(node, input),
            Event::ToCoordinator(epoch, from, bytes) => {
                if epoch == self.epoch {
                    self.relay(from, &bytes);
                }
            }
            Event::Session(node) => {
                let token = self.nodes[node].broker.resume_token();
                let token = token.map(|token| token.expose().to_owned());
                self.join(node, token);
            }
            // Of a session that has not been replaced by another of the same server.
            Event::HangUp(node, alias) if self.sessions.get(&alias) != Some(&node) => {
                self.input(node, Input::UplinkClosed);
                self.send(node, COORDINATOR, 3_000, Event::Session(node));
            }
            Event::HangUp(..) => {}
            Event::Publish(node) => self.publish(node),
        }
    }

    // --- the coordinator ---

    /// It dies and comes back with nothing; the servers reach it in their own time.
    fn restart_coordinator(&mut self) {
        self.epoch += 1;
        self.next_alias += 1_000;
        self.sessions.clear();
        for node in 0..self.nodes.len() {
            self.input(node, Input::UplinkClosed);
            self.send(node, COORDINATOR, 3_000, Event::Session(node));
        }
    }

    /// A token is the alias that it keeps. Whoever had it until now is sent away.
    fn join(&mut self, node: usize, token: Option<String>) {
        let token = token.filter(|_| self.dice.random_range(0..100) < self.good_tokens);
        let alias = token.map_or(0, |token| token.parse().expect("an alias"));
        let alias = if alias == 0 {
            self.next_alias += 1;
            self.next_alias
        } else {
            alias
        };
        if let Some(loser) = self.sessions.insert(alias, node) {
            let replaced = encoded(&ReplacedMessage {
                r#type: MessageType::Replaced.into(),
            });
            self.signal(loser, replaced);
            self.send(COORDINATOR, loser, 150, Event::HangUp(loser, alias));
        }
        self.input(node, Input::UplinkOpened);
        let welcome = encoded(&WelcomeMessage {
            r#type: MessageType::Welcome.into(),
            alias,
            available_servers: self.sessions.keys().copied().collect(),
            capabilities: frame::capabilities(true),
            resume_token: alias.to_string(),
        });
        self.signal(node, welcome);
        let entry = |&alias: &u64| ServerEntry {
            alias,
            role: Role::CommunicationServer.into(),
            ..ServerEntry::default()
        };
        self.lists += 1;
        let servers = encoded(&ServersMessage {
            r#type: MessageType::Servers.into(),
            version: self.lists,
            entries: self.sessions.keys().map(entry).collect(),
        });
        for node in self.sessions.values().copied().collect::<Vec<_>>() {
            self.signal(node, servers.clone());
        }
    }

    fn signal(&mut self, node: usize, bytes: Bytes) {
        self.send(
            COORDINATOR,
            node,
            150,
            Event::Input(node, Input::Signal(bytes)),
        );
    }

    fn relay(&mut self, from: u64, bytes: &Bytes) {
        let (to, stamped) = if peek::message_type(bytes) == Some(MessageType::Connect) {
            let mut message = ConnectMessage::decode(bytes.clone()).expect("CONNECT");
            message.from_alias = from;
            message.from_role = Role::CommunicationServer.into();
            (message.to_alias, encoded(&message))
        } else {
            let mut message = WebRtcMessage::decode(bytes.clone()).expect("a signal");
            message.from_alias = from;
            message.from_role = Role::CommunicationServer.into();
            (message.to_alias, encoded(&message))
        };
        if let Some(&node) = self.sessions.get(&to) {
            self.signal(node, stamped);
        }
    }

    // --- the clients ---

    /// A client of this server, whose alias says so.
    fn add_client(&mut self, node: usize) {
        let connect = ConnectMessage {
            r#type: MessageType::Connect.into(),
            from_alias: client_alias(node),
            to_alias: 0,
            from_role: Role::Client.into(),
        };
        self.input(node, Input::Signal(encoded(&connect)));
        let peer = self.nodes[node].client.expect("a client");
        self.input(node, Input::PeerOpened { peer });
        let auth = encoded(&AuthMessage {
            r#type: MessageType::Auth.into(),
            role: Role::Client.into(),
            capabilities: frame::capabilities(false),
            ..AuthMessage::default()
        });
        let subscription = encoded(&SubscriptionMessage {
            r#type: MessageType::Subscription.into(),
            format: 1,
            topics: "t".into(),
        });
        for bytes in [auth, subscription] {
            let lane = Lane::Reliable;
            self.input(node, Input::Packet { peer, lane, bytes });
        }
    }

    fn publish(&mut self, node: usize) {
        let peer = self.nodes[node].client.expect("a client");
        self.nodes[node].published += 1;
        let bytes = frame::publish("t", Bytes::new(), self.nodes[node].published, false);
        let lane = Lane::Reliable;
        self.input(node, Input::Packet { peer, lane, bytes });
        self.at(self.now + Duration::from_millis(50), Event::Publish(node));
    }

    // --- the servers ---

    fn input(&mut self, node: usize, input: Input) {
        let broker = &mut self.nodes[node].broker;
        broker.handle_input(self.now, input);
        broker.check_invariants();
        while let Some(output) = self.nodes[node].broker.poll_output() {
            self.act(node, output);
        }
    }

    fn act(&mut self, node: usize, output: Output) {
        match output {
            Output::Signal(bytes) => {
                let mut sessions = self.sessions.iter();
                let session = sessions
                    .find(|&(_, &at)| at == node)
                    .map(|(&alias, _)| alias);
                let load = peek::message_type(&bytes) == Some(MessageType::Load);
                if let Some(from) = session.filter(|_| !load) {
                    let event = Event::ToCoordinator(self.epoch, from, bytes);
                    self.send(node, COORDINATOR, 150, event);
                }
            }
            Output::OpenPeer { peer, alias, dial } => {
                if alias == client_alias(node) {
                    self.nodes[node].client = Some(peer);
                } else if !dial {
                    let data = self.offers.len().to_string().into();
                    self.offers.push((node, peer));
                    let kind = SignalKind::Offer;
                    self.input(node, Input::LocalSignal { peer, kind, data });
                }
            }
            Output::RemoteSignal { peer, data, .. } => {
                let text = String::from_utf8(data.to_vec()).expect("text");
                let other = self.offers[text.parse::<usize>().expect("a number")];
                self.wires.insert((node, peer), other);
                self.wires.insert(other, (node, peer));
                // The way the packets will come: a lane is open before anything is read from it.
                for ((to, peer), (from, _)) in [((node, peer), other), (other, (node, peer))] {
                    let opened = Event::Input(to, Input::PeerOpened { peer });
                    self.send(from, to, 100, opened);
                }
            }
            Output::ClosePeer { peer, reason } => {
                if let Some((node, peer)) = self.wires.remove(&(node, peer)) {
                    self.wires.remove(&(node, peer));
                    self.input(node, Input::PeerClosed { peer, reason });
                }
            }
            Output::ExpectTraffic { .. } | Output::LeaveUnread { .. } | Output::Drained => {}
            Output::MeasureLoad => self.input(node, Input::LoadMeasured { cpu: None }),
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
        }
    }

    fn deliver(&mut self, node: usize, peer: PeerId, lane: Lane, bytes: Bytes) {
        if self.nodes[node].client == Some(peer) {
            if let Some(MessageType::TopicFw) = peek::message_type(&bytes) {
                let packet = TopicFwMessage::decode(bytes).expect("TOPIC_FW");
                let received = (packet.from_alias, packet.seq);
                self.nodes[node].received.push(received);
            }
        } else if let Some(&(other, peer)) = self.wires.get(&(node, peer)) {
            let input = Input::Packet { peer, lane, bytes };
            self.send(node, other, 150, Event::Input(other, input));
        }
    }
}

fn client_alias(node: usize) -> u64 {
    u64::try_from(node).expect("a small number") + 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn costs_no_link_and_no_packet(
        nodes in 2..5_usize,
        seed: u64,
        good_tokens in select(&[0, 50, 100]),
    ) {
        let mut world = World::new(nodes, seed);
        world.good_tokens = good_tokens;
        for node in 0..nodes {
            world.send(node, COORDINATOR, 1_000, Event::Session(node));
        }
        world.run(Duration::from_secs(10));
        for node in 0..nodes {
            world.add_client(node);
        }
        world.run(Duration::from_secs(1));
        for node in 0..nodes {
            world.at(world.now, Event::Publish(node));
        }
        world.run(Duration::from_secs(1));
        let dials = |world: &World| -> Vec<u64> {
            world.nodes.iter().map(|node| node.broker.stats().dials).collect()
        };
        let dials_before = dials(&world);
        for _ in 0..3 {
            world.restart_coordinator();
            world.run(Duration::from_secs(6));
            for node in &world.nodes {
                let stats = node.broker.stats();
                prop_assert_eq!(stats.links, nodes - 1);
                prop_assert_eq!(stats.links_replaced, 0);
            }
        }
        prop_assert_eq!(dials(&world), dials_before, "nobody dials an old acquaintance");
        for node in &world.nodes {
            let stats = node.broker.stats();
            prop_assert_eq!(stats.welcomes, 4);
            match good_tokens {
                0 => prop_assert_eq!(stats.renames, 3),
                100 => prop_assert_eq!(stats.renames, 0),
                _ => {}
            }
        }
        let published: Vec<u64> = world.nodes.iter().map(|node| node.published).collect();
        world.queue.retain(|_, event| !matches!(event, Event::Publish(_)));
        world.run(Duration::from_secs(1));
        for (at, node) in world.nodes.iter().enumerate() {
            for (from, &published) in published.iter().enumerate().filter(|&(from, _)| from != at) {
                let alias = client_alias(from);
                let received = node.received.iter().filter(|(publisher, _)| *publisher == alias);
                let counts: Vec<u64> = received.map(|&(_, count)| count).collect();
                prop_assert_eq!(counts, (1..=published).collect::<Vec<_>>(), "{} to {}", from, at);
            }
        }
    }

    #[test]
    fn two_with_one_token_end_as_two(nodes in 3..5_usize, seed: u64) {
        let mut world = World::new(nodes, seed);
        world.good_tokens = 100;
        for node in 0..nodes {
            world.send(node, COORDINATOR, 1_000, Event::Session(node));
        }
        world.run(Duration::from_secs(10));
        // As the copy of a machine would: the last one shows the token of the first.
        let token = world.nodes[0].broker.resume_token();
        let token = token.map(|token| token.expose().to_owned());
        let copy = nodes - 1;
        world.sessions.retain(|_, node| *node != copy);
        world.input(copy, Input::UplinkClosed);
        world.join(copy, token);
        world.run(Duration::from_secs(60));
        let mut aliases: Vec<_> = world.nodes.iter().map(|node| node.broker.alias()).collect();
        aliases.sort_unstable();
        aliases.dedup();
        prop_assert_eq!(aliases.len(), nodes, "an alias for each");
        prop_assert_eq!(world.nodes[0].broker.stats().replaced, 1);
        for node in &world.nodes {
            prop_assert_eq!(node.broker.stats().links, nodes - 1);
        }
    }
}
