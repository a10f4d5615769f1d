//! The coordinator as a pure state machine: who is here, which server a client is given, and
//! whose signals reach whom.
//!
//! No sockets, no clock, no randomness of its own: the shell around it brings sessions that it has
//! authenticated, their signals and the time, and carries out what comes back. WebSocket pings,
//! deadlines and queues are the shell's.
//!
//! ```
//! use coordinator_core::{Config, Coordinator, Input, Output, SessionId};
//! use proto::Role;
//!
//! let mut coordinator = Coordinator::new(Config::default());
//! let session = SessionId(1);
//! let opened = Input::SessionOpened { session, role: Role::Client, ours: true, resume: None };
//! coordinator.handle_input(std::time::Instant::now(), opened);
//! while let Some(output) = coordinator.poll_output() {
//!     let Output::Welcome { welcome, .. } = output else { panic!("there is room for one") };
//!     assert!(welcome.available_servers.is_empty(), "none is here yet");
//! }
//! ```

pub mod alias;
mod config;
mod contract;
mod lists;
mod rate;
mod registry;
mod relay;
mod selector;
mod sessions;
mod signal;
mod stats;
mod waiting;

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use proto::ServerEntry;
use rand::{SeedableRng, rngs::StdRng};

pub use crate::{
    alias::{Alias, Instance},
    config::{Config, Limits},
    contract::{Input, Output, Resume, SessionId},
    rate::Rate,
    selector::Selector,
    stats::{DropReason, Dropped, Resumes, Stats},
};
use crate::{
    registry::{Registry, Session},
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
    shutting_down: bool,
    /// The list of servers that was announced last, ascending.
    announced: Vec<ServerEntry>,
    /// Of that list; rises with every change.
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
            shutting_down: false,
            announced: Vec::new(),
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
                resume,
            } => self.open(now, session, role, ours, resume),
            Input::Signal { session, bytes } => {
                if let Err(reason) = self.relay(now, session, bytes) {
                    self.stats.dropped.count(reason);
                }
            }
            Input::SessionClosed { session } => self.close(session),
            Input::ShuttingDown => self.shutting_down = true,
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
        for session in self.registry.sessions() {
            assert!(self.aliases.is_past(session.alias), "{session:?}");
        }
        let announced = self.announced.iter().map(|entry| entry.alias);
        let servers = self.registry.servers().map(|server| server.alias.number());
        let is_current = announced.eq(servers);
        assert!(
            is_current || self.shutting_down,
            "the list is that of the servers"
        );
    }

    fn send(&mut self, session: SessionId, bytes: Bytes) {
        self.outputs.push_back(Output::Send { session, bytes });
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
