//! The whole cluster in one thread: takes what is due, one after the other, and gives it to whom it
//! is meant for.

use std::{collections::BTreeMap, hash::BuildHasher as _};

use client::session::State;

use super::{
    checkers::{Check, Checkers},
    clock::At,
    coordinator,
    dice::Dice,
    engines::{Happening, Name, Step},
    event::Event,
    faults::Fuses,
    member::Member,
    network::Network,
    node::{EngineKey, Life, Node, SocketKey},
    plan::Plan,
    publication::PublicationId,
    sabotage::Sabotage,
    server::{self, Heard},
    sockets::{Item, Side},
};

/// Everything in a run.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) net: Network,
    /// Dice of the workload.
    pub(super) work: Dice,
    /// Dice of the faults.
    pub(super) faults: Dice,
    pub(super) coordinator: coordinator::Host,
    pub(super) servers: Vec<server::Host>,
    pub(super) members: Vec<Member>,
    pub(super) checkers: Checkers,
    /// What the cores have counted, by name.
    pub(super) reached: BTreeMap<String, u64>,
    pub(super) fuses: Fuses,
    /// When the coordinator comes back that has gone for an hour.
    pub(super) away_until: At,
    probes: Vec<PublicationId>,
    /// Dials of servers until the probes were sent: there must be no more.
    dials: u64,
    /// Steps taken at this very moment.
    standstill: u32,
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let mut world = Self {
            net: Network::new(&plan),
            work: Dice::new(plan.seed, "workload"),
            faults: Dice::new(plan.seed, "faults"),
            coordinator: coordinator::Host::default(),
            servers: (0..plan.servers).map(server::Host::new).collect(),
            members: (0..plan.members()).map(Member::new).collect(),
            checkers: Checkers::new(&plan),
            reached: BTreeMap::new(),
            fuses: Fuses::default(),
            away_until: At::ZERO,
            probes: Vec::new(),
            dials: 0,
            standstill: 0,
            plan,
        };
        if world.strikes(Sabotage::OutsideRandomness, 100) {
            let outside = std::hash::RandomState::new().hash_one("outside");
            world.net.say(Node::Coordinator, format!("{outside}"));
        }
        world.start_coordinator();
        for index in 0..world.plan.servers {
            world.start_server(index);
        }
        world.plan_joins();
        world.plan_faults();
        for (after, event) in [
            (PROBED_AFTER, Event::Probe),
            (LEFT_AFTER, Event::Leave),
            (ENDED_AFTER, Event::End),
        ] {
            let at = world.plan.work_ends() + after;
            world.net.queue.push(at, event);
        }
        world
    }

    /// Takes the next thing that is due. False at the end.
    pub(super) fn step(&mut self) -> bool {
        let Some((at, event)) = self.net.queue.pop() else {
            return false;
        };
        self.standstill = if at == self.net.now() {
            self.standstill + 1
        } else {
            0
        };
        if self.standstill > STANDSTILL_MAX {
            let text = format!("{STANDSTILL_MAX} steps at the same moment, now {event:?}");
            self.checkers.fail(Check::Progress, text);
        }
        self.net.clock.advance(at);
        if let Some(until) = self.net.put_off(&event) {
            self.net.queue.push(until, event);
            return true;
        }
        match event {
            Event::Wake(life) => match life.node {
                Node::Coordinator => self.wake_coordinator(life),
                Node::Server(_) => self.wake_server(life),
                Node::Member(_) => self.wake_member(life),
            },
            Event::Dialed(socket) => self.take_dial(socket),
            Event::Socket(socket, item) => self.socket_item(socket, item),
            Event::Engine(engine, step) => self.engine_step(engine, step),
            Event::Verdict(life, peer, engine) => self.verdict(life, peer, engine),
            Event::Redial(life) => self.redial(life),
            Event::Join(index) => self.join(index),
            Event::Work => self.work(),
            Event::Break => self.break_something(),
            Event::Strike(fault) => self.inflict(fault),
            Event::Mend(what) => self.mend(what),
            Event::Judge(id) => {
                if self.checkers.judge(self.net.now(), id) {
                    self.net.after(self.plan.travel_max(), Event::Judge(id));
                }
            }
            Event::Heal => self.heal_everything(),
            Event::Probe => self.probe(),
            Event::Leave => self.leave(),
            Event::End => {
                self.check_nothing_left();
                for index in 0..self.plan.servers {
                    self.count_server(index);
                }
                self.count_coordinator();
                return false;
            }
        }
        true
    }

    /// An engine is gone: so is its pair, as far as anything could still be expected of it.
    pub(super) fn detached(&mut self, engine: EngineKey) {
        let now = self.net.now();
        self.checkers.detached(now, engine);
        if let Some(remote) = self.net.engines[engine.0].remote {
            self.checkers.detached(now, remote);
        }
    }

    fn socket_item(&mut self, socket: SocketKey, item: Item) {
        let Some(item) = self.net.arrive_at_socket(socket, item) else {
            return;
        };
        let life = self.net.sockets[socket.0].life;
        let (heard, reason) = match item {
            Item::Signal(Side::Coordinator, bytes) => {
                return self.coordinator_hears(socket, Some(bytes));
            }
            Item::Closed(Side::Coordinator, _) | Item::Broken(Side::Coordinator) => {
                return self.coordinator_hears(socket, None);
            }
            Item::Opened => (Heard::Opened, None),
            Item::Signal(Side::Node, bytes) => (Heard::Signal(bytes), None),
            Item::Closed(Side::Node, reason) => (Heard::Closed, reason),
            Item::Broken(Side::Node) => (Heard::Closed, None),
        };
        if let (Heard::Signal(bytes), true) = (&heard, self.is_ours(life.node)) {
            self.checkers.signal_arrives(life, bytes);
        }
        match life.node {
            Node::Server(_) => self.uplink_hears(life, socket, heard),
            _ => self.member_hears(life, socket, heard, reason),
        }
    }

    /// One of our servers, or an honest client.
    const fn is_ours(&self, node: Node) -> bool {
        match node {
            Node::Coordinator | Node::Server(_) => true,
            Node::Member(index) => index < self.plan.sessions,
        }
    }

    fn engine_step(&mut self, key: EngineKey, step: Step) {
        for told in self.net.step(key, step) {
            self.engine_tells(key, told.life, told.what);
        }
    }

    fn engine_tells(&mut self, key: EngineKey, life: Life, what: Happening) {
        // What was told before may have closed it.
        let closing = matches!(what, Happening::Closed(_));
        if self.net.engines[key.0].is_closed() && !closing && !self.net.engines[key.0].is_ending() {
            return;
        }
        match self.net.engines[key.0].name {
            Name::Broker(peer) => self.server_engine(life, key, peer, what),
            Name::Session(peer) => self.member_engine(life, key, peer, what),
        }
    }

    /// Everybody must be where they belong; each sends a probe.
    fn probe(&mut self) {
        for a in 0..self.plan.servers {
            for b in 0..a {
                let open = self.net.engines_between(Node::Server(a), Node::Server(b));
                let joined = open.len() / 2;
                let links = self.checkers.link_count(a, b);
                let due = usize::from(self.plan.links(a, b));
                if (joined, links) != (due, due) || !open.len().is_multiple_of(2) {
                    let text = format!(
                        "server{a} and server{b} have {links} links instead of {due}, engines {open:?}"
                    );
                    self.checkers.fail(Check::Links, text);
                }
            }
            let stats = self.servers[a]
                .core
                .as_ref()
                .map(commserver_core::Broker::stats);
            let links = stats.map(|stats| stats.links);
            let due = (0..self.plan.servers).filter(|&b| a != b && self.plan.links(a, b));
            if links != Some(due.count()) {
                let text = format!("server{a} counts {links:?} links");
                self.checkers.fail(Check::Links, text);
            }
        }
        self.dials = self.dials_so_far();
        for index in 0..self.plan.sessions {
            let state = self.members[index].session().map(|session| session.state());
            if !matches!(state, Some(State::Connected { .. })) {
                let text = format!("client{index} is not connected: {state:?}");
                self.checkers.fail(Check::Liveness, text);
            }
            let probe = self.publish_probe(index);
            self.probes.extend(probe);
        }
    }

    /// The probes must have arrived; everybody leaves.
    fn leave(&mut self) {
        if self.probes.len() != self.plan.sessions {
            let text = format!("{} probes were sent", self.probes.len());
            self.checkers.fail(Check::Liveness, text);
        }
        let dials = self.dials_so_far() - self.dials;
        if dials > 0 {
            let text = format!("servers still dial, {dials} times since the probes");
            self.checkers.fail(Check::Links, text);
        }
        for &probe in &self.probes {
            for index in 0..self.plan.sessions {
                let own = usize::try_from(probe.member) == Ok(index);
                if !own && !self.checkers.has_reached(probe, index) {
                    let text = format!("probe {probe} has not reached client{index}");
                    self.checkers.fail(Check::Liveness, text);
                }
            }
        }
        self.check_queues();
        for index in 0..self.plan.members() {
            self.leave_member(index);
        }
    }

    /// What was held up is through, or given up, when everything is whole for long.
    fn check_queues(&mut self) {
        if self.strikes(Sabotage::KeepPacket, 100) {
            let open = self
                .net
                .engines
                .iter_mut()
                .find(|engine| !engine.is_closed());
            open.into_iter()
                .for_each(|engine| engine.stalled.push_back(Default::default()));
        }
        for index in 0..self.plan.sessions {
            let queued = self.members[index]
                .session()
                .map(|session| session.queued());
            if queued.is_some_and(|queued| queued > 0) {
                let text = format!("client{index} still has {queued:?} publications waiting");
                self.checkers.fail(Check::Queues, text);
            }
        }
        for (index, engine) in self.net.engines.iter().enumerate() {
            if !engine.is_closed() && !engine.stalled.is_empty() {
                let text = format!("{} packets wait at engine{index}", engine.stalled.len());
                self.checkers.fail(Check::Queues, text);
            }
        }
        let waiting = self
            .coordinator
            .core
            .as_ref()
            .map(|core| core.stats().waiting);
        if waiting.is_some_and(|waiting| waiting > 0) {
            let text = format!("{waiting:?} clients wait for a server");
            self.checkers.fail(Check::Queues, text);
        }
    }

    fn dials_so_far(&self) -> u64 {
        let cores = self.servers.iter().filter_map(|host| host.core.as_ref());
        cores.map(|core| core.stats().dials).sum()
    }

    fn check_nothing_left(&mut self) {
        for (index, host) in self.servers.iter().enumerate() {
            let Some(core) = &host.core else { continue };
            let stats = core.stats();
            let left = (stats.clients, stats.topics, stats.subscriptions);
            if left != (0, 0, 0) {
                let text =
                    format!("server{index} has clients, topics, subscriptions {left:?} left");
                self.checkers.fail(Check::NothingLeft, text);
            }
        }
        let left = self.coordinator.core.as_ref().map(|core| core.stats());
        let left = left.map(|stats| (stats.clients, stats.servers));
        if left != Some((0, u64::try_from(self.plan.servers).unwrap_or(0))) {
            let text = format!("the coordinator has clients and servers {left:?}");
            self.checkers.fail(Check::NothingLeft, text);
        }
    }

    pub(super) fn reach(&mut self, name: String, count: u64) {
        if count > 0 {
            *self.reached.entry(name).or_default() += count;
        }
    }

    pub(super) fn now(&self) -> At {
        self.net.now()
    }

    /// Nothing more is broken, and nobody works.
    pub(super) fn is_work_over(&self) -> bool {
        self.net.now() >= self.plan.work_ends()
    }

    /// A node's core is to look at its clock.
    pub(super) fn tick(&mut self, node: Node) {
        match node {
            Node::Coordinator => self.tick_coordinator(),
            Node::Server(index) => {
                let life = self.servers[index].life();
                self.feed_server(life, commserver_core::Input::Tick);
            }
            Node::Member(index) => {
                let life = self.members[index].life();
                self.feed_member(life, client::session::Input::Tick);
            }
        }
    }
}

/// After the end of the work everybody must be where they belong by then: a lost server is noticed
/// after 15 s by its peers and 30 s by the coordinator, redials of servers pause up to 30 s, clients
/// up to 15 s.
const PROBED_AFTER: At = At::from_secs(95);
/// Probes have arrived.
const LEFT_AFTER: At = At::from_secs(105);
/// Everybody has left, and nothing of them may be left behind.
const ENDED_AFTER: At = At::from_secs(135);
/// More steps than this at one moment, and time stands still.
const STANDSTILL_MAX: u32 = 20_000;
