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
//! let opened = Input::SessionOpened {
//!     session,
//!     role: Role::Client,
//!     ours: true,
//!     identity: Default::default(),
//!     token_id: None,
//!     resume: None,
//!     region: None,
//! };
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
mod load;
mod rate;
mod region;
mod registry;
mod relay;
mod revocations;
mod selector;
mod sessions;
mod signal;
mod stats;
mod topology;
mod waiting;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proto::{limits, revocation};
use rand::{SeedableRng, rngs::StdRng};

pub use crate::{
    alias::{Alias, Instance},
    config::{Config, Limits},
    contract::{Input, Output, Resume, SessionId},
    rate::Rate,
    region::Region,
    selector::Selector,
    stats::{DropReason, Dropped, Resumes, Stats},
    topology::Topology,
};
use crate::{
    lists::List,
    registry::{Newcomer, Registry, Session},
    topology::is_hub,
    waiting::Waiting,
};

/// The state machine. Drain [`Self::poll_output`] after every input.
#[derive(Debug)]
pub struct Coordinator {
    selector: Selector,
    /// The server that was assigned last.
    assigned: Option<Alias>,
    topology: Topology,
    stale_after: Duration,
    limits: Limits,
    aliases: alias::Allocator,
    rng: StdRng,
    registry: Registry,
    revoked: revocation::List<Instant>,
    waiting: Waiting,
    shutting_down: bool,
    list: List,
    /// Whether it is to be looked how the servers are doing.
    standings_due: bool,
    /// When the first of them is stale, unless it speaks.
    stale_at: Option<Instant>,
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
            topology: config.topology,
            stale_after: config.stale_after,
            limits: config.limits,
            aliases: alias::Allocator::new(config.started, config.instance),
            rng: StdRng::seed_from_u64(config.seed),
            registry: Registry::default(),
            revoked: revocation::List::new(limits::REVOCATIONS_BYTES_MAX),
            waiting: Waiting::default(),
            shutting_down: false,
            list: List::default(),
            standings_due: false,
            stale_at: None,
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
                identity,
                token_id,
                resume,
                region,
            } => {
                let newcomer = Newcomer {
                    role,
                    ours,
                    identity,
                    token_id,
                    resume,
                    region,
                };
                self.open(now, session, newcomer);
            }
            Input::Signal { session, bytes } => {
                if let Err(reason) = self.relay(now, session, bytes) {
                    self.stats.dropped.count(reason);
                }
            }
            Input::SessionClosed { session } => self.close(session),
            Input::Revoke { target, until } => self.revoke(now, target, until),
            Input::ShuttingDown => self.shutting_down = true,
        }
        self.look_after_servers(now);
        self.offer_to_waiting(now);
        self.look_after_servers(now);
        self.announce(now);
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
        let offer_at = self.waiting.next_deadline();
        let offer_at = offer_at.filter(|_| self.stats.servers_live > 0);
        let deadlines = [offer_at, self.list.next_deadline(), self.stale_at];
        deadlines.into_iter().flatten().min()
    }

    /// What happened so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Panics when the state contradicts itself. For tests: it walks everything.
    pub fn check_invariants(&self) {
        self.revoked.check_invariants();
        self.registry.check_invariants(self.limits.contacts_max);
        assert!(self.registry.clients_count() <= self.limits.clients_max);
        assert!(self.registry.servers_count() <= self.limits.servers_max);
        assert_eq!(self.stats.clients, count(self.registry.clients_count()));
        assert_eq!(self.stats.servers, count(self.registry.servers_count()));
        let is_waiter = |session: &Session| session.ours && !session.is_server();
        for id in self.waiting.sessions() {
            assert!(self.registry.session(id).is_some_and(is_waiter), "{id:?}");
        }
        let can_offer = self.waiting.count() > 0 && self.stats.servers_live > 0;
        assert!(self.next_deadline().is_some() || !can_offer);
        for session in self.registry.sessions() {
            assert!(self.aliases.is_past(session.alias), "{session:?}");
        }
        let servers = self.registry.servers().map(|server| server.alias.number());
        let is_current = self.list.aliases().eq(servers);
        assert!(is_current || self.shutting_down, "all servers are listed");
        let hubs = self.registry.servers().filter(|server| is_hub(server.role));
        assert!(hubs.count() <= 1 || !self.topology.has_one_hub(), "one hub");
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
