//! One client's session, pure: from the coordinator's WELCOME to a communication server that took
//! us in, what is said there, and the way back when either is lost.
//!
//! No sockets, no clock, no randomness: who drives it hands in what happened, then drains
//! [`Session::poll_output`] to `None`, then sleeps until [`Session::next_deadline`]. The tokio
//! shell, the load tester and the simulation do.

mod commands;
mod config;
mod event;
mod flush;
mod link;
mod moves;
mod outgoing;
mod random;
mod renewal;
mod secret;
mod signalling;
mod stats;
mod subscriptions;
mod timers;
mod tokens;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use proto::{Reason, backoff::Backoff};

pub use config::{Backoff as BackoffConfig, Config, Offline, Overflow, TokenSource};
pub use event::{
    Event, Identity, Input, Message, Output, PeerId, RequestError, RequestId, ServerError,
    SignalKind, SocketId, TokenRequest, TokenUnavailable,
};
use flush::Flushes;
pub(crate) use link::told_reason;
use link::{Link, Phase};
use outgoing::Outgoing;
pub use outgoing::{PublishError, Published};
use random::Random;
pub use secret::Secret;
use signalling::{Servers, Signalling};
pub use stats::{Dropped, Stats};
pub use subscriptions::RequestRefused;
use subscriptions::{Answer, Subscriptions};
use timers::{Timer, Timers};
use tokens::Tokens;

/// The state machine of one client.
///
/// ```
/// use std::time::Instant;
/// use client::session::{Config, Input, Output, Session};
///
/// let now = Instant::now();
/// let mut session = Session::new(now, Config::default());
/// let Some(Output::Dial { socket, .. }) = session.poll_output() else { panic!("it dials first") };
/// session.handle_input(now, Input::SignallingOpened { socket });
/// while let Some(output) = session.poll_output() {
///     // Do it.
///     let _ = output;
/// }
/// assert!(session.next_deadline().is_some(), "it waits for WELCOME, not for ever");
/// ```
#[derive(Debug)]
pub struct Session {
    config: Config,
    timers: Timers,
    random: Random,
    backoff: Backoff,
    tokens: Tokens,
    signalling: Signalling,
    /// What the last WELCOME gave us to come back with.
    resume: Option<Secret>,
    servers: Servers,
    link: Option<Link>,
    heard: Instant,
    subscriptions: Subscriptions,
    outgoing: Outgoing,
    flushes: Flushes,
    outputs: VecDeque<Output>,
    stopped: Option<Reason>,
    stats: Stats,
}

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// On the way to the coordinator, or waiting to try again.
    Dialing,
    /// The coordinator has no server for us yet.
    WaitingForServer,
    /// On the way to a server.
    Connecting {
        /// The server's alias.
        server: u64,
    },
    /// A server has taken us in.
    Connected {
        /// Our alias, as the server knows it.
        alias: u64,
        /// The server's alias.
        server: u64,
    },
    /// The session has ended.
    Stopped {
        /// Why.
        reason: Reason,
    },
}

impl Session {
    /// A session that dials the coordinator at once.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        let mut session = Self {
            timers: Timers::default(),
            random: Random::new(config.seed),
            backoff: Backoff::new(config.backoff.first, config.backoff.max),
            tokens: Tokens::new(config.token.clone()),
            signalling: Signalling::Down,
            servers: Servers::default(),
            link: None,
            heard: now,
            subscriptions: Subscriptions::new(config.subscriptions_max, config.requests_max),
            outgoing: Outgoing::new(config.offline, config.counted_topics_max),
            flushes: Flushes::default(),
            outputs: VecDeque::new(),
            stopped: None,
            stats: Stats::default(),
            resume: None,
            config,
        };
        if let Some(token) = session.config.resume.take() {
            session.resume = session.check_resume_token(token);
        }
        session.dial(now);
        session
    }

    /// Takes in what happened. Never fails, blocks or panics, whatever the bytes.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        if self.stopped.is_some() {
            return;
        }
        match input {
            Input::Tick => self.handle_tick(now),
            Input::Token { request, result } => self.handle_token(now, request, result),
            Input::SignallingOpened { socket } => self.handle_signalling_opened(now, socket),
            Input::SignallingClosed { socket, reason } => {
                self.handle_signalling_closed(now, socket, reason);
            }
            Input::Signal { socket, bytes } => self.handle_signal(now, socket, bytes),
            Input::LocalSignal { peer, kind, data } => self.handle_local_signal(peer, kind, data),
            Input::LaneOpened { peer, lane } => self.handle_lane_opened(now, peer, lane),
            Input::Packet { peer, lane, bytes } => self.handle_packet(now, peer, lane, &bytes),
            Input::PeerClosed { peer, reason } => self.handle_peer_closed(now, peer, reason),
            Input::Congested { peer } => self.handle_congestion(peer, true),
            Input::Writable { peer } => self.handle_congestion(peer, false),
        }
    }

    /// What to do next; to be drained after every input and every command.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to hand in [`Input::Tick`] at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let answer = self.subscriptions.next_deadline();
        self.timers.next().into_iter().chain(answer).min()
    }

    /// Counts since the beginning.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What brings a later session back under our alias, for as long as the coordinator says.
    #[must_use]
    pub const fn resume_token(&self) -> Option<&Secret> {
        self.resume.as_ref()
    }

    /// Where the session is.
    #[must_use]
    pub fn state(&self) -> State {
        if let Some(reason) = self.stopped {
            return State::Stopped { reason };
        }
        match (&self.link, &self.signalling) {
            (Some(link), _) if link.phase == Phase::Ready => State::Connected {
                alias: link.alias,
                server: link.server,
            },
            (Some(link), _) => State::Connecting {
                server: link.server,
            },
            (None, Signalling::Welcomed { .. }) => State::WaitingForServer,
            (None, _) => State::Dialing,
        }
    }

    /// Our alias, as the coordinator knows it, while we have a session there. A server knows us by
    /// the one of [`State::Connected`], which may be an earlier one.
    #[must_use]
    pub const fn alias(&self) -> Option<u64> {
        match self.signalling {
            Signalling::Welcomed { alias, .. } => Some(alias),
            _ => None,
        }
    }

    /// The round trip to the server, as the last PING on the reliable lane measured it.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.link.as_ref().and_then(|link| link.rtt)
    }

    /// When the last packet came, from whichever server; before the first, when the session began.
    #[must_use]
    pub const fn last_heard(&self) -> Instant {
        self.heard
    }

    /// Largest encoded packet that the server takes, in bytes; while there is none, the one that
    /// publications are checked against.
    #[must_use]
    pub fn packet_bytes_max(&self) -> usize {
        match &self.link {
            Some(link) if link.phase == Phase::Ready => link.packet_bytes_max,
            _ => proto::limits::PACKET_BYTES_MAX,
        }
    }

    /// Walks the whole state.
    ///
    /// # Panics
    /// When the session is not in order, which is a defect in it.
    pub fn check_invariants(&self) {
        self.subscriptions.check_invariants();
        self.outgoing.check_invariants();
        if self.stopped.is_some() {
            assert!(
                self.link.is_none() && self.next_deadline().is_none(),
                "stopped means still"
            );
            return;
        }
        self.check_farewell();
        if let Some(link) = &self.link {
            let asked = link.leaving_since.is_some() || self.timers.is_set(Timer::Migrate);
            assert!(
                !asked || link.phase == Phase::Ready,
                "who is asked to go is there"
            );
        } else {
            assert!(!self.timers.is_set(Timer::Migrate), "nobody asks us to go");
        }
        self.check_question();
        let free = |link: &Link| link.takes_publications();
        assert!(
            !self.link.as_ref().is_some_and(free) || self.outgoing.is_empty(),
            "what waits goes out as soon as it can"
        );
        assert!(
            self.next_deadline().is_some() || self.expects_input(),
            "nothing would ever happen again: {self:?}"
        );
    }

    /// Whether somebody else has the next word: the shell, the coordinator, or the server.
    fn expects_input(&self) -> bool {
        matches!(
            self.signalling,
            Signalling::Dialing(_) | Signalling::Welcomed { .. }
        ) || self
            .link
            .as_ref()
            .is_some_and(|link| link.phase == Phase::Ready)
    }

    fn handle_tick(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Dial => self.dial(now),
                Timer::Token => self.miss_token(now),
                Timer::Welcome => self.retry(now, Reason::HandshakeTimeout, Duration::ZERO),
                Timer::Connect => self.fail_attempt(now, Reason::HandshakeTimeout),
                Timer::Ready => self.ask_silent_server(now),
                Timer::Ping => self.ping(now),
                Timer::Migrate => self.ask_for_another_server(now),
                Timer::Farewell => self.depart(now),
                Timer::Renew => self.ask_for_renewal(now),
            }
        }
        while let Some(answer) = self.subscriptions.take_overdue(now) {
            self.tell(answer);
        }
    }

    /// Ends the session.
    fn stop(&mut self, reason: Reason) {
        if self.stopped.is_some() {
            return;
        }
        if matches!(&self.link, Some(link) if link.phase == Phase::Ready) {
            self.stats.disconnects += 1;
        }
        let ended = Err(RequestError::Stopped(reason));
        self.stop_flushes(&ended);
        self.drop_link();
        self.hang_up();
        self.timers.clear();
        self.stopped = Some(reason);
        for request in self.subscriptions.finish_all() {
            let result = ended.clone();
            self.emit(Event::Answered { request, result });
        }
        while self.outgoing.pop().is_some() {
            self.stats.dropped.queue_stopped += 1;
        }
        self.emit(Event::Stopped { reason });
    }

    fn tell(&mut self, answer: Answer) {
        match answer {
            Answer::None => {}
            Answer::Request(request, result) => self.emit(Event::Answered { request, result }),
            Answer::Lost(error) => self.emit(Event::Error(error)),
        }
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

#[cfg(test)]
mod tests;
