//! The coordinator as a pure state machine: who is here, which server a client is given, and
//! whose signals reach whom.
//!
//! No sockets, no clock, no randomness of its own: the shell around it brings sessions that it has
//! authenticated, their signals and the time, and carries out what comes back. WebSocket pings,
//! deadlines and queues are the shell's.
//!
//! ```
//! use coordinator_core::{Config, Coordinator, Input, Output, SessionId};
//! use proto::{Message, Role, WelcomeMessage};
//!
//! let mut coordinator = Coordinator::new(Config::default());
//! let session = SessionId(1);
//! let opened = Input::SessionOpened { session, role: Role::Client, ours: true };
//! coordinator.handle_input(std::time::Instant::now(), opened);
//! while let Some(output) = coordinator.poll_output() {
//!     let Output::Send { bytes, .. } = output else { panic!("there is room for one") };
//!     let welcome = WelcomeMessage::decode(bytes).unwrap();
//!     assert!(welcome.available_servers.is_empty(), "none is here yet");
//! }
//! ```

pub mod alias;
mod config;
mod contract;
mod rate;
mod registry;
mod selector;
mod signal;
mod stats;
mod waiting;

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use proto::{
    Message, MessageType, Reason, Role, ServerEntry, ServerState, ServersMessage, WelcomeMessage,
    frame, limits,
};
use rand::{SeedableRng, rngs::StdRng};

pub use crate::{
    alias::{Alias, Instance},
    config::{Config, Limits},
    contract::{Input, Output, SessionId},
    rate::Rate,
    selector::Selector,
    stats::{DropReason, Dropped, Stats},
};
use crate::{
    registry::{Registry, Session},
    signal::{Kind, Signal, is_server},
    waiting::Waiting,
};

/// The state machine. Drain [`Self::poll_output`] after every input.
#[derive(Debug)]
pub struct Coordinator {
    selector: Selector,
    /// The server that was assigned last.
    assigned: Option<Alias>,
    limits: Limits,
    aliases: alias::Allocator,
    rng: StdRng,
    registry: Registry,
    waiting: Waiting,
    /// Of the list of servers; rises with every change.
    version: u64,
    stats: Stats,
    outputs: VecDeque<Output>,
}

impl Coordinator {
    /// One that knows nobody.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            selector: config.selector,
            assigned: None,
            limits: config.limits,
            aliases: alias::Allocator::new(config.started, config.instance),
            rng: StdRng::seed_from_u64(config.seed),
            registry: Registry::default(),
            waiting: Waiting::default(),
            version: 0,
            stats: Stats::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes what happened at `now`.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Tick => {}
            Input::SessionOpened {
                session,
                role,
                ours,
            } => self.open(now, session, role, ours),
            Input::Signal { session, bytes } => {
                if let Err(reason) = self.relay(now, session, bytes) {
                    self.stats.dropped.count(reason);
                }
            }
            Input::SessionClosed { session } => self.close(session),
        }
        self.offer_to_waiting(now);
        self.stats.clients = count(self.registry.clients_count());
        self.stats.servers = count(self.registry.servers_count());
        self.stats.waiting = count(self.waiting.count());
    }

    /// What is to be done next, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When it wants [`Input::Tick`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiting.next_deadline()
    }

    /// What happened so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Panics when the state contradicts itself. For tests: it walks everything.
    pub fn check_invariants(&self) {
        self.registry.check_invariants(self.limits.contacts_max);
        assert!(self.registry.clients_count() <= self.limits.clients_max);
        assert!(self.registry.servers_count() <= self.limits.servers_max);
        assert_eq!(self.stats.clients, count(self.registry.clients_count()));
        assert_eq!(self.stats.servers, count(self.registry.servers_count()));
        let is_waiter = |session: &Session| session.ours && !session.is_server();
        for id in self.waiting.sessions() {
            assert!(self.registry.session(id).is_some_and(is_waiter), "{id:?}");
        }
        let can_offer = self.waiting.count() > 0 && self.registry.servers_count() > 0;
        assert_eq!(self.next_deadline().is_some(), can_offer);
        for server in self.registry.servers() {
            assert!(self.aliases.is_past(server.alias), "{server:?}");
        }
    }

    fn open(&mut self, now: Instant, id: SessionId, role: Role, ours: bool) {
        if self.registry.session(id).is_some() {
            debug_assert!(false, "session {id:?} opened twice");
            return;
        }
        let (sessions, sessions_max) = if is_server(role) {
            (self.registry.servers_count(), self.limits.servers_max)
        } else {
            (self.registry.clients_count(), self.limits.clients_max)
        };
        if sessions >= sessions_max {
            self.stats.refused += 1;
            let reason = Reason::Overloaded;
            self.outputs.push_back(Output::Close {
                session: id,
                reason,
            });
            return;
        }
        let alias = self.aliases.allocate();
        self.registry.insert(now, id, alias, role, ours);
        if is_server(role) {
            self.welcome_server(id, alias, ours);
        } else {
            self.welcome_client(id, alias, ours);
        }
    }

    fn welcome_server(&mut self, id: SessionId, alias: Alias, ours: bool) {
        let others = self.registry.servers().map(|server| server.alias);
        let others: Vec<Alias> = others.filter(|&other| other != alias).collect();
        self.welcome(id, alias, ours, &others);
        self.announce_servers();
    }

    fn welcome_client(&mut self, id: SessionId, alias: Alias, ours: bool) {
        let servers = self.select_servers();
        self.welcome(id, alias, ours, &servers);
        if ours && servers.is_empty() {
            self.waiting.push(id);
        }
    }

    fn welcome(&mut self, session: SessionId, alias: Alias, ours: bool, servers: &[Alias]) {
        let welcome = WelcomeMessage {
            r#type: MessageType::Welcome.into(),
            alias: alias.number(),
            available_servers: servers.iter().map(|server| server.number()).collect(),
            capabilities: if ours {
                frame::capabilities(false)
            } else {
                Vec::new()
            },
            resume_token: String::new(),
        };
        self.stats.welcomes += 1;
        self.send(session, welcome.encode_to_vec().into());
    }

    fn close(&mut self, id: SessionId) {
        self.waiting.remove(id);
        let was_server = self
            .registry
            .remove(id)
            .is_some_and(|session| session.is_server());
        if was_server {
            self.announce_servers();
        }
        if self.registry.servers_count() == 0 {
            self.waiting.pause();
        }
    }

    /// Tells every server of ours who the others are now.
    fn announce_servers(&mut self) {
        self.version += 1;
        let servers = self.registry.servers().filter(|server| server.ours);
        let told: Vec<(SessionId, Alias)> =
            servers.map(|server| (server.id, server.alias)).collect();
        for (id, alias) in told {
            let others = self
                .registry
                .servers()
                .filter(|server| server.alias != alias);
            let entries = others.map(server_entry).collect();
            self.send_servers(id, entries);
        }
    }

    /// Clients that found no server when they came are told when one is there: so many at a time
    /// that the first server to appear is not all that they are told of.
    fn offer_to_waiting(&mut self, now: Instant) {
        if self.registry.servers_count() == 0 {
            return;
        }
        for id in self.waiting.take_due(now) {
            let servers = self.select_servers();
            let sessions = servers
                .iter()
                .filter_map(|&alias| self.registry.by_alias(alias));
            let entries = sessions.map(server_entry).collect();
            self.send_servers(id, entries);
        }
    }

    fn select_servers(&mut self) -> Vec<Alias> {
        let servers: Vec<Alias> = self.registry.servers().map(|server| server.alias).collect();
        let count_max = limits::AVAILABLE_SERVERS_MAX;
        let (rng, last) = (&mut self.rng, self.assigned);
        let selected = self.selector.select(rng, &servers, last, count_max);
        self.assigned = selected.first().copied().or(last);
        selected
    }

    fn send_servers(&mut self, session: SessionId, entries: Vec<ServerEntry>) {
        let servers = ServersMessage {
            r#type: MessageType::Servers.into(),
            version: self.version,
            entries,
        };
        self.stats.server_lists += 1;
        self.send(session, servers.encode_to_vec().into());
    }

    fn relay(&mut self, now: Instant, from: SessionId, bytes: Bytes) -> Result<(), DropReason> {
        let size = bytes.len();
        let sender = self.registry.session_mut(from);
        let sender = sender.ok_or(DropReason::SessionGone)?;
        let rate = if sender.is_server() {
            self.limits.server_rate
        } else {
            self.limits.client_rate
        };
        if !sender.bucket.admit(now, rate) {
            return Err(DropReason::RateLimited);
        }
        if size > self.limits.signal_bytes_max {
            return Err(DropReason::TooLarge);
        }
        let signal = Signal::decode(bytes)?;
        let delivered = self.deliver(from, signal);
        if let Err((Kind::Connect, to, _)) = delivered {
            self.refuse_connect(from, to);
        }
        delivered.map_err(|(_, _, reason)| reason)
    }

    fn deliver(&mut self, from: SessionId, signal: Signal) -> Result<(), Undelivered> {
        let (kind, to) = (signal.kind(), signal.to());
        let undelivered = |reason| (kind, to, reason);
        let target = self.registry.by_alias(to);
        let target = target.ok_or_else(|| undelivered(DropReason::TargetGone))?;
        let sender = self.registry.session(from);
        let sender = sender.ok_or_else(|| undelivered(DropReason::SessionGone))?;
        if !may_reach(sender, target, kind) {
            return Err(undelivered(DropReason::TargetForbidden));
        }
        let bytes = signal.encode_stamped(sender.alias, sender.role);
        let to_session = target.id;
        let contacts_max = self.limits.contacts_max;
        if kind == Kind::Connect
            && let Some(sender) = self.registry.session_mut(from)
            && !sender.is_server()
        {
            sender.contact(to, contacts_max);
        }
        self.stats.relayed += 1;
        self.send(to_session, bytes);
        Ok(())
    }

    /// The same answer to whoever is not there and whoever may not be reached: aliases cannot be
    /// tried out.
    fn refuse_connect(&mut self, from: SessionId, to: Alias) {
        if self
            .registry
            .session(from)
            .is_some_and(|sender| sender.ours)
        {
            self.stats.errors += 1;
            let error = Reason::PeerUnavailable.error_about_peer(to.number());
            self.send(from, error);
        }
    }

    fn send(&mut self, session: SessionId, bytes: Bytes) {
        self.outputs.push_back(Output::Send { session, bytes });
    }
}

type Undelivered = (Kind, Alias, DropReason);

/// Servers reach each other and the clients that asked for them; clients reach servers. Nobody
/// reaches a stranger.
fn may_reach(sender: &Session, target: &Session, kind: Kind) -> bool {
    match (sender.is_server(), target.is_server()) {
        (true, true) => sender.alias != target.alias,
        (true, false) => kind != Kind::Connect && target.has_contacted(sender.alias),
        (false, true) => matches!(kind, Kind::Connect | Kind::Answer | Kind::Candidate),
        (false, false) => false,
    }
}

fn server_entry(server: &Session) -> ServerEntry {
    ServerEntry {
        alias: server.alias.number(),
        role: server.role.into(),
        state: ServerState::Live.into(),
        ..Default::default()
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
