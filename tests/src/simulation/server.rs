//! A commserver's shell: its uplink, its engines, its authenticator.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use commserver_core::{Broker, Config, Delivery, Input, Limits, Output, PeerId, SignalKind, Stats};
use proto::{Lane, MessageType, Reason, peek};

use super::{
    authenticator::Asked,
    checkers::Check,
    clock::At,
    engines::{Happening, Kind, Name},
    event::Event,
    node::{EngineKey, Life, Node, SocketKey},
    sabotage::Sabotage,
    sockets::Side,
    world::World,
};

/// A commserver, while it runs.
#[derive(Debug)]
pub(super) struct Host {
    index: usize,
    pub(super) core: Option<Broker>,
    run: u32,
    uplink: Option<SocketKey>,
    tries: u32,
    pub(super) engines: BTreeMap<PeerId, EngineKey>,
    /// Whom the authenticator has not made up its mind about.
    pub(super) asked: BTreeMap<PeerId, Asked>,
    limits: Limits,
    wake: Option<At>,
}

impl Host {
    pub(super) fn new(index: usize) -> Self {
        Self {
            index,
            core: None,
            run: 0,
            uplink: None,
            tries: 0,
            engines: BTreeMap::new(),
            asked: BTreeMap::new(),
            limits: Limits::default(),
            wake: None,
        }
    }

    pub(super) const fn life(&self) -> Life {
        Life {
            node: Node::Server(self.index),
            run: self.run,
        }
    }
}

impl World {
    /// A fresh one, which knows nobody.
    pub(super) fn start_server(&mut self, index: usize) {
        self.net.thaw(Node::Server(index));
        let host = &mut self.servers[index];
        host.run += 1;
        host.tries = 0;
        let instance = self.net.dice.number() | 1;
        let seed = self.net.dice.number();
        let now = self.net.instant(Node::Server(index));
        let mut config = Config::new(instance, seed);
        if let Some(peers_max) = self.plan.peers_max {
            config.limits.peers_max = peers_max;
        }
        if let Some(subscriptions_max) = self.plan.subscriptions_max {
            config.limits.subscriptions_max = subscriptions_max;
        }
        config.hub = self.plan.hub() == Some(index);
        config.drain = self.plan.drain;
        host.limits = config.limits.clone();
        if self.net.strikes(Sabotage::Hoard, 100) {
            host.limits.peers_max = 1;
        }
        host.core = Some(Broker::new(now, config));
        let life = host.life();
        self.net.say(life.node, "starts");
        host.uplink = Some(self.net.dial(life, None));
    }

    /// It is to go away, when its clients have.
    pub(super) fn drain_server(&mut self, index: usize) {
        let life = self.servers[index].life();
        self.net.say(life.node, "is to go");
        self.feed_server(life, Input::Drain);
    }

    /// It goes away, and says so.
    pub(super) fn shut_server_down(&mut self, index: usize) {
        let life = self.servers[index].life();
        self.net.say(life.node, "shuts down");
        self.feed_server(life, Input::Shutdown);
    }

    /// It dies, and its peers are told nothing.
    pub(super) fn stop_server(&mut self, index: usize, notice_max_ms: u64) {
        self.count_server(index);
        let host = &mut self.servers[index];
        if host.core.take().is_none() {
            return;
        }
        host.wake = None;
        host.asked.clear();
        let engines = std::mem::take(&mut host.engines);
        let uplink = host.uplink.take();
        self.net.say(Node::Server(index), "dies");
        for engine in engines.into_values() {
            self.net.kill_engine(engine, None);
            self.detached(engine);
        }
        if let Some(socket) = uplink {
            self.net.close_end(socket, Side::Node);
            self.net.break_socket(socket, [1, notice_max_ms]);
        }
    }

    /// Adds up what it has counted.
    pub(super) fn count_server(&mut self, index: usize) {
        let Some(core) = &self.servers[index].core else {
            return;
        };
        let stats = core.stats().clone();
        for (why, count) in stats.drops {
            self.reach(format!("server drops {}", why.label()), count);
        }
        for (what, counts) in [
            ("refuses", stats.refusals),
            ("loses peer:", stats.peers_closed),
            ("loses link:", stats.links_closed),
            ("sends error", stats.errors),
        ] {
            for (reason, count) in counts {
                self.reach(format!("server {what} {}", reason.name()), count);
            }
        }
        self.reach("server dials".into(), stats.dials);
        self.reach("server replaces a link".into(), stats.links_replaced);
    }

    pub(super) fn redial(&mut self, life: Life) {
        let Node::Server(index) = life.node else {
            return;
        };
        let host = &mut self.servers[index];
        if host.life() != life || host.uplink.is_some() {
            return;
        }
        let Some(core) = &host.core else { return };
        let token = core.resume_token().map(|token| token.expose().to_string());
        let socket = self.net.dial(life, None);
        self.net.sockets[socket.0].resume = token;
        host.uplink = Some(socket);
    }

    /// What the uplink has brought: it is open, a signal, or it is closed.
    pub(super) fn uplink_hears(&mut self, life: Life, socket: SocketKey, heard: Heard) {
        let Some(host) = self.living_server(life) else {
            return;
        };
        if host.uplink != Some(socket) {
            return;
        }
        let input = match heard {
            Heard::Opened => {
                host.tries = 0;
                Input::UplinkOpened
            }
            Heard::Signal(bytes) => Input::Signal(bytes),
            Heard::Closed => {
                host.uplink = None;
                host.tries += 1;
                let longest = 250 << host.tries.min(5);
                let wait = self.net.dice.millis(longest / 2, longest);
                self.net.after(wait, Event::Redial(life));
                Input::UplinkClosed
            }
        };
        self.feed_server(life, input);
    }

    /// What an engine has to say.
    pub(super) fn server_engine(
        &mut self,
        life: Life,
        key: EngineKey,
        peer: PeerId,
        what: Happening,
    ) {
        let input = match what {
            Happening::Signal(kind, data) => {
                let kind = match kind {
                    Kind::Offer => SignalKind::Offer,
                    Kind::Answer => SignalKind::Answer,
                    Kind::Candidate => SignalKind::Candidate,
                };
                Input::LocalSignal { peer, kind, data }
            }
            Happening::LaneOpen(Lane::Reliable) => Input::PeerOpened { peer },
            Happening::LaneOpen(Lane::Unreliable) => return,
            Happening::Packet(lane, bytes) => {
                self.server_receives(life, key, lane, &bytes);
                Input::Packet { peer, lane, bytes }
            }
            Happening::Closed(reason) => {
                self.detached(key);
                if let Some(host) = self.living_server(life) {
                    host.engines.remove(&peer);
                }
                if self.strikes(Sabotage::ForgetToForget, 100) {
                    return;
                }
                Input::PeerClosed { peer, reason }
            }
        };
        self.feed_server(life, input);
    }

    pub(super) fn wake_server(&mut self, life: Life) {
        let now = self.net.now();
        if let Some(host) = self
            .living_server(life)
            .filter(|host| host.wake.is_some_and(|at| at <= now))
        {
            host.wake = None;
            self.feed_server(life, Input::Tick);
        }
    }

    /// A fault: the peer's reliable outbox is full for too long.
    pub(super) fn declare_slow(&mut self, index: usize, peer: PeerId) {
        let life = self.servers[index].life();
        self.feed_server(life, Input::SlowConsumer { peer });
    }

    pub(super) fn living_server(&mut self, life: Life) -> Option<&mut Host> {
        let Node::Server(index) = life.node else {
            return None;
        };
        let host = &mut self.servers[index];
        (host.life() == life && host.core.is_some()).then_some(host)
    }

    /// Gives an input to the core and does what it says; what follows from that goes in, too.
    pub(super) fn feed_server(&mut self, life: Life, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = self.net.instant(life.node);
            let Some(host) = self.living_server(life) else {
                return;
            };
            let Some(core) = &mut host.core else { return };
            core.handle_input(now, input);
            loop {
                let Some(host) = self.living_server(life) else {
                    return;
                };
                let Some(output) = host.core.as_mut().and_then(Broker::poll_output) else {
                    break;
                };
                inputs.extend(self.server_does(life, output));
            }
        }
        self.settle_server(life);
    }

    fn settle_server(&mut self, life: Life) {
        assert!(!self.strikes(Sabotage::Panic, 1), "sabotaged");
        let standstill = self.strikes(Sabotage::StandStill, 100);
        let now = self.net.now();
        let Node::Server(index) = life.node else {
            return;
        };
        let host = &mut self.servers[index];
        let Some(core) = &host.core else { return };
        core.check_invariants();
        let over = over_limits(core.stats(), &host.limits);
        let next = core.next_deadline();
        let next = next.map(|at| self.net.at(life.node, at).max(now));
        let next = if standstill { Some(now) } else { next };
        if let Some(at) = next.filter(|_| next != host.wake) {
            self.net.queue.push(at, Event::Wake(life));
        }
        host.wake = next;
        if let Some(what) = over {
            let text = format!("server{index} has more {what}");
            self.checkers.fail(Check::Bounds, text);
        }
    }

    fn server_does(&mut self, life: Life, output: Output) -> Option<Input> {
        if self.dies_midway(life.node) {
            return None;
        }
        match output {
            Output::Signal(bytes) => {
                let uplink = self.living_server(life)?.uplink?;
                self.net.send_signal(uplink, Side::Node, bytes);
                None
            }
            Output::OpenPeer { peer, dial, .. } => {
                if dial && self.strikes(Sabotage::NeverDial, 100) {
                    return None;
                }
                let engine = self.net.open_engine(life, Name::Broker(peer), !dial);
                self.living_server(life)?.engines.insert(peer, engine);
                None
            }
            Output::RemoteSignal { peer, kind, data } => {
                let engine = *self.living_server(life)?.engines.get(&peer)?;
                let kind = match kind {
                    SignalKind::Offer => Kind::Offer,
                    SignalKind::Answer => Kind::Answer,
                    SignalKind::Candidate => Kind::Candidate,
                };
                self.net.hear(engine, kind, &data);
                None
            }
            Output::ClosePeer { peer, reason } => {
                self.server_closes(life, peer, reason);
                None
            }
            Output::Drained => {
                self.net.say(life.node, "has drained");
                let Node::Server(index) = life.node else {
                    return None;
                };
                self.start_again_soon(index);
                Some(Input::Shutdown)
            }
            Output::ExpectTraffic { peer, within } => {
                let engine = *self.living_server(life)?.engines.get(&peer)?;
                self.net.expect_traffic(engine, within);
                None
            }
            // Nobody here is that fast.
            Output::LeaveUnread { .. } => None,
            Output::MeasureLoad => Some(Input::LoadMeasured { cpu: None }),
            Output::Authenticate {
                peer,
                role,
                body,
                pair,
            } => {
                self.ask(life, peer, Asked { role, body, pair });
                None
            }
            Output::Prove { peer, pair } => self.prove(life, peer, pair),
            Output::VerifyProof { peer, proof, pair } => self.verify(life, peer, &proof, pair),
            Output::Deliver(delivery) => {
                self.deliver(life, delivery);
                None
            }
        }
    }

    fn server_closes(&mut self, life: Life, peer: PeerId, reason: Reason) {
        let Some(host) = self.living_server(life) else {
            return;
        };
        let Some(engine) = host.engines.remove(&peer) else {
            return;
        };
        host.asked.remove(&peer);
        let is_link = matches!(self.net.remote_node(engine), Some(Node::Server(_)));
        if is_link && self.strikes(Sabotage::KeepOldLinks, 100) {
            return;
        }
        self.net.close_engine(engine, reason);
        self.detached(engine);
    }

    fn deliver(&mut self, life: Life, delivery: Delivery) {
        let mut recipients = delivery.recipients.to_vec();
        recipients.sort_unstable();
        recipients.dedup();
        if recipients.len() != delivery.recipients.len() {
            let text = format!("{} delivers one frame twice to a peer", life.node);
            self.checkers.fail(Check::Invariants, text);
        }
        self.add_strangers(life, &mut recipients, &delivery.frame);
        for peer in recipients {
            let Some(host) = self.living_server(life) else {
                return;
            };
            // A stale id: the shell drops it.
            if let Some(&engine) = host.engines.get(&peer) {
                let frame = self.distort(engine, delivery.frame.clone());
                self.net.send_packet(engine, delivery.lane, frame);
            }
        }
    }

    /// What the checkers are shown of what arrives at a server.
    fn server_receives(&mut self, life: Life, key: EngineKey, lane: Lane, bytes: &Bytes) {
        let (Some(Node::Server(from)), Node::Server(to)) = (self.net.remote_node(key), life.node)
        else {
            return self.misroute(life, key, lane, bytes);
        };
        let remote = self.net.engines[key.0].remote;
        // One whose other side has died meanwhile is none any more.
        let whole = remote.is_some_and(|remote| !self.net.engines[remote.0].is_closed());
        if whole && peek::message_type(bytes) == Some(MessageType::Ready) {
            self.checkers.link_opened(self.net.now(), key, from, to);
        }
        self.checkers.link_receives(from, to, lane, bytes);
        self.misroute(life, key, lane, bytes);
    }
}

/// What a broker has more of than its limits allow: the worst case of its memory, which the shell
/// prints at the start, is made of these.
fn over_limits(stats: &Stats, limits: &Limits) -> Option<String> {
    let peers_max = limits.peers_max + limits.links_max;
    let subscriptions_max =
        limits.peers_max * limits.subscriptions_max + limits.link_topics_total_max;
    let checked = [
        ("clients", stats.clients, limits.peers_max),
        ("links", stats.links, limits.links_max),
        ("clients and links", stats.clients + stats.links, peers_max),
        ("topics", stats.topics, limits.topics_max),
        ("subscriptions", stats.subscriptions, subscriptions_max),
    ];
    let over = checked.into_iter().find(|(_, count, max)| count > max);
    over.map(|(what, count, max)| format!("{what} than {max}: {count}"))
}

/// What an uplink brings.
#[derive(Debug)]
pub(super) enum Heard {
    Opened,
    Signal(Bytes),
    Closed,
}
