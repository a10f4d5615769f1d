//! A client's shell, the same for an honest one and for a rogue.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;
use client::session::{
    Config, Event as Told, Input, Output, PeerId, Secret, Session, SignalKind, SocketId,
    TokenRequest, TokenSource, TokenUnavailable,
};
use proto::{Lane, MessageType, Reason, peek};

use super::{
    clock::At,
    credentials,
    engines::{Happening, Kind, Name},
    event::Event,
    node::{EngineKey, Life, Node, SocketKey},
    rogue::Rogue,
    sabotage::Sabotage,
    server::Heard,
    sockets::Side,
    world::World,
};

/// A client, while it is here.
#[derive(Debug)]
pub(super) struct Member {
    index: usize,
    pub(super) core: Option<Core>,
    run: u32,
    sockets: BTreeMap<SocketId, SocketKey>,
    engines: BTreeMap<PeerId, EngineKey>,
    /// The alias under which it sent its last CONNECT.
    alias: u64,
    /// Publications so far.
    pub(super) published: u32,
    /// What the coordinator gave it last to come back with.
    pub(super) resume: String,
    /// It has died, and comes back as one that has kept its token.
    comes_back: bool,
    wake: Option<At>,
}

/// What drives a client. A rogue speaks the same language as a session.
#[derive(Debug)]
pub(super) enum Core {
    Session(Box<Session>),
    Rogue(Box<Rogue>),
}

impl Core {
    fn handle_input(&mut self, now: Instant, input: Input) {
        match self {
            Self::Session(session) => session.handle_input(now, input),
            Self::Rogue(rogue) => rogue.handle_input(now, input),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Session(session) => session.poll_output(),
            Self::Rogue(rogue) => rogue.poll_output(),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Session(session) => session.next_deadline(),
            Self::Rogue(rogue) => rogue.next_deadline(),
        }
    }

    fn check_invariants(&self) {
        if let Self::Session(session) = self {
            session.check_invariants();
        }
    }
}

impl Member {
    pub(super) const fn new(index: usize) -> Self {
        Self {
            index,
            core: None,
            run: 0,
            sockets: BTreeMap::new(),
            engines: BTreeMap::new(),
            alias: 0,
            published: 0,
            resume: String::new(),
            comes_back: false,
            wake: None,
        }
    }

    pub(super) const fn life(&self) -> Life {
        Life {
            node: Node::Member(self.index),
            run: self.run,
        }
    }

    /// The session, if the member is an honest one and here.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.core {
            Some(Core::Session(session)) => Some(session),
            _ => None,
        }
    }
}

impl World {
    /// A member comes: a new program each time.
    pub(super) fn join_member(&mut self, index: usize) {
        self.net.thaw(Node::Member(index));
        let now = self.net.instant(Node::Member(index));
        let seed = self.work.number();
        let mischief = index.checked_sub(self.plan.sessions);
        let mischief = mischief.and_then(|index| self.plan.mischiefs.get(index).copied());
        let member = &mut self.members[index];
        member.run += 1;
        member.core = Some(match mischief {
            Some(mischief) => {
                let published = member.published;
                Core::Rogue(Box::new(Rogue::new(mischief, index, published, now, seed)))
            }
            None => {
                // Some know their token, some ask for it each time.
                let token = if index.is_multiple_of(3) {
                    TokenSource::Asked
                } else {
                    TokenSource::Fixed(Secret::new(credentials::token(index)))
                };
                let kept = std::mem::take(&mut member.comes_back);
                let config = Config {
                    token,
                    resume: kept.then(|| Secret::new(member.resume.clone())),
                    seed,
                    ..Config::default()
                };
                Core::Session(Box::new(Session::new(now, config)))
            }
        });
        let life = member.life();
        self.net.say(life.node, "joins");
        self.pump_member(life);
    }

    /// It leaves, politely if it is honest.
    pub(super) fn leave_member(&mut self, index: usize) {
        let life = self.members[index].life();
        self.net.say(life.node, "leaves");
        if let Some(session) = self.members[index].session() {
            session.close(Reason::Closed);
            let stats = *session.stats();
            self.count_session(stats);
        }
        self.pump_member(life);
        let member = &mut self.members[index];
        if let Some(Core::Rogue(rogue)) = &member.core {
            member.published = rogue.published();
        }
        member.core = None;
        member.wake = None;
        let engines = std::mem::take(&mut member.engines);
        let sockets = std::mem::take(&mut member.sockets);
        for engine in engines.into_values() {
            self.net.close_engine(engine, Reason::Closed);
            self.detached(engine);
        }
        for socket in sockets.into_values() {
            self.net.close_socket(socket, Side::Node, None);
        }
    }

    /// It dies, and nobody is told. When it comes again, it may have kept its resume token.
    pub(super) fn crash_member(&mut self, index: usize, notice_max_ms: u64) {
        let member = &mut self.members[index];
        if member.core.is_none() {
            return;
        }
        if let Some(session) = member.session() {
            let stats = *session.stats();
            self.count_session(stats);
        }
        let member = &mut self.members[index];
        member.core = None;
        member.wake = None;
        let engines = std::mem::take(&mut member.engines);
        let sockets = std::mem::take(&mut member.sockets);
        member.comes_back = self.faults.percent(50);
        self.net.say(Node::Member(index), "dies");
        for engine in engines.into_values() {
            self.net.kill_engine(engine, None);
            self.detached(engine);
        }
        for socket in sockets.into_values() {
            self.net.close_end(socket, Side::Node);
            self.net.break_socket(socket, [1, notice_max_ms]);
        }
    }

    pub(super) fn member_hears(
        &mut self,
        life: Life,
        key: SocketKey,
        heard: Heard,
        reason: Option<Reason>,
    ) {
        let Some(socket) = self.net.sockets[key.0].name else {
            return;
        };
        let input = match heard {
            Heard::Opened => Input::SignallingOpened { socket },
            Heard::Signal(bytes) => Input::Signal { socket, bytes },
            Heard::Closed => {
                if let Some(member) = self.living_member(life) {
                    member.sockets.remove(&socket);
                }
                Input::SignallingClosed { socket, reason }
            }
        };
        self.feed_member(life, input);
    }

    pub(super) fn member_engine(
        &mut self,
        life: Life,
        key: EngineKey,
        peer: PeerId,
        what: Happening,
    ) {
        let now = self.net.now();
        let input = match what {
            Happening::Signal(kind, data) => {
                let kind = match kind {
                    Kind::Offer => SignalKind::Offer,
                    Kind::Answer => SignalKind::Answer,
                    Kind::Candidate => SignalKind::Candidate,
                };
                Input::LocalSignal { peer, kind, data }
            }
            Happening::LaneOpen(lane) => {
                if lane == Lane::Reliable {
                    self.attach(life, key);
                }
                Input::LaneOpened { peer, lane }
            }
            Happening::Packet(lane, bytes) => {
                self.checkers.member_receives(now, key, lane, &bytes);
                Input::Packet { peer, lane, bytes }
            }
            Happening::Closed(reason) => {
                self.detached(key);
                if let Some(member) = self.living_member(life) {
                    member.engines.remove(&peer);
                }
                Input::PeerClosed { peer, reason }
            }
        };
        self.feed_member(life, input);
    }

    pub(super) fn wake_member(&mut self, life: Life) {
        let now = self.net.now();
        if let Some(member) = self
            .living_member(life)
            .filter(|member| member.wake.is_some_and(|at| at <= now))
        {
            member.wake = None;
            self.feed_member(life, Input::Tick);
        }
    }

    fn count_session(&mut self, stats: client::session::Stats) {
        let dropped = stats.dropped;
        for (what, count) in [
            ("misses a token", stats.tokens_missed),
            ("redials on news", stats.redials),
            ("fails to connect", stats.attempts_failed),
            ("is disconnected", stats.disconnects),
            ("moves", stats.moves),
            ("queues", stats.queued),
            ("drops unreliable, offline", dropped.unreliable_offline),
            ("drops malformed", dropped.malformed),
            ("drops unexpected", dropped.unexpected),
            ("drops stale", dropped.stale),
            ("drops unwanted", dropped.unwanted),
            ("drops its own echo", dropped.own_echo),
        ] {
            self.reach(format!("session {what}"), count);
        }
    }

    fn attach(&mut self, life: Life, key: EngineKey) {
        let (Node::Member(index), Some(Node::Server(server))) =
            (life.node, self.net.remote_node(key))
        else {
            return;
        };
        let alias = self.net.engines[key.0].alias;
        let honest = index < self.plan.sessions;
        let now = self.net.now();
        self.checkers
            .attached(now, key, index, honest, server, alias);
    }

    fn living_member(&mut self, life: Life) -> Option<&mut Member> {
        let Node::Member(index) = life.node else {
            return None;
        };
        let member = &mut self.members[index];
        (member.life() == life && member.core.is_some()).then_some(member)
    }

    pub(super) fn feed_member(&mut self, life: Life, input: Input) {
        let now = self.net.instant(life.node);
        if let Some(core) = self
            .living_member(life)
            .and_then(|member| member.core.as_mut())
        {
            core.handle_input(now, input);
            self.pump_member(life);
        }
    }

    /// Does what the core says.
    pub(super) fn pump_member(&mut self, life: Life) {
        loop {
            let Some(core) = self
                .living_member(life)
                .and_then(|member| member.core.as_mut())
            else {
                return;
            };
            let Some(output) = core.poll_output() else {
                break;
            };
            if self.dies_midway(life.node) {
                return;
            }
            self.member_does(life, output);
        }
        let now = self.net.now();
        let Node::Member(index) = life.node else {
            return;
        };
        let member = &mut self.members[index];
        let Some(core) = &member.core else { return };
        core.check_invariants();
        let next = core
            .next_deadline()
            .map(|at| self.net.at(life.node, at).max(now));
        if let Some(at) = next.filter(|_| next != member.wake) {
            self.net.queue.push(at, Event::Wake(life));
        }
        member.wake = next;
    }

    fn member_does(&mut self, life: Life, output: Output) {
        let stays_away = matches!(output, Output::Dial { socket, .. } if socket.0 > 1);
        if stays_away && self.strikes(Sabotage::StayAway, 100) {
            return;
        }
        let Node::Member(index) = life.node else {
            return;
        };
        let member = &mut self.members[index];
        match output {
            Output::FetchToken { request } => self.give_token(life, index, request),
            Output::Dial { socket, resume, .. } => {
                let key = self.net.dial(life, Some(socket));
                let token = resume.map(|token| token.expose().to_vec());
                self.net.sockets[key.0].resume =
                    token.map(|token| String::from_utf8_lossy(&token).into_owned());
                member.sockets.insert(socket, key);
            }
            Output::HangUp { socket } => {
                if let Some(key) = member.sockets.remove(&socket) {
                    self.net.close_socket(key, Side::Node, None);
                }
            }
            Output::Signal { socket, bytes } => {
                let Some(&key) = member.sockets.get(&socket) else {
                    return;
                };
                if peek::message_type(&bytes) == Some(MessageType::Connect) {
                    member.alias = self.net.sockets[key.0].alias.unwrap_or_default();
                }
                self.net.send_signal(key, Side::Node, bytes);
            }
            Output::OpenPeer { peer } => {
                let key = self.net.open_engine(life, Name::Session(peer), false);
                self.net.engines[key.0].alias = member.alias;
                member.engines.insert(peer, key);
            }
            Output::RemoteSignal { peer, kind, data } => {
                let kind = match kind {
                    SignalKind::Offer => Kind::Offer,
                    SignalKind::Answer => Kind::Answer,
                    SignalKind::Candidate => Kind::Candidate,
                };
                if let Some(&key) = member.engines.get(&peer) {
                    self.net.hear(key, kind, &data);
                }
            }
            Output::ClosePeer { peer } => {
                if let Some(key) = member.engines.remove(&peer) {
                    self.net.close_engine(key, Reason::Closed);
                    self.detached(key);
                }
            }
            Output::Send { peer, lane, frame } => self.member_sends(index, peer, lane, frame),
            Output::Event(event) => self.application_told(life, event),
        }
    }

    /// Whoever gives tokens has one at once, or now and then none.
    fn give_token(&mut self, life: Life, index: usize, request: TokenRequest) {
        let result = if !self.plan.is_quiet() && self.faults.percent(10) {
            Err(TokenUnavailable)
        } else {
            Ok(Secret::new(credentials::token(index)))
        };
        let now = self.net.instant(life.node);
        if let Some(core) = self
            .living_member(life)
            .and_then(|member| member.core.as_mut())
        {
            core.handle_input(now, Input::Token { request, result });
        }
    }

    fn member_sends(&mut self, index: usize, peer: PeerId, lane: Lane, frame: Bytes) {
        let Some(&key) = self.members[index].engines.get(&peer) else {
            return;
        };
        let now = self.net.now();
        self.checkers.member_sends(now, key, lane, &frame);
        if let Some(id) = super::publication::PublicationId::in_packet(&frame)
            && self.checkers.is_expected(id)
        {
            self.net.after(self.plan.travel_max(), Event::Judge(id));
        }
        self.net.send_packet(key, lane, frame);
    }

    fn application_told(&mut self, life: Life, told: Told) {
        let Node::Member(index) = life.node else {
            return;
        };
        match told {
            Told::Message(message) => self.checkers.application_told(index, &message),
            Told::Stopped { reason } => {
                let text = format!("is told that the session has stopped: {reason}");
                self.net.say(life.node, text);
                if reason != Reason::Closed {
                    let text = format!("client{index} has stopped for good: {reason}");
                    self.checkers.fail(super::Check::Liveness, text);
                }
            }
            told => {
                if let Told::Disconnected { reason } = told {
                    self.checkers.disconnected(index, reason);
                }
                self.net.say(life.node, format!("is told {told:?}"));
            }
        }
    }
}
