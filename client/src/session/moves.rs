//! Being told to go, or that one has gone: MIGRATE, REPLACED and PEER_GONE.

use std::time::{Duration, Instant};

use proto::{MigrateMessage, Reason};

use super::{Event, Session, link::Phase, signalling::Signalling, timers::Timer};

impl Session {
    /// The server is about to go. After a random part of the time that it gives, so that its
    /// clients do not all come at once, the coordinator is asked for another one.
    pub(super) fn handle_migrate(&mut self, now: Instant, migrate: MigrateMessage) {
        let asked = self.link.as_ref().and_then(|link| link.leaving_since);
        let asked_lately = asked.is_some_and(|at| now < at + ASK_AGAIN_AFTER);
        if asked_lately || self.timers.is_set(Timer::Migrate) {
            self.stats.dropped.repeated += 1;
            return;
        }
        let within = Duration::from_millis(migrate.within_ms.into());
        let wait = within.mul_f64(self.random.fraction());
        self.timers.set(Timer::Migrate, now + wait);
    }

    /// The wait is over: a fresh WELCOME names servers to go to. The peer stays meanwhile.
    pub(super) fn ask_for_another_server(&mut self, now: Instant) {
        let Some(link) = &mut self.link else {
            return;
        };
        link.leaving_since = Some(now);
        // Otherwise a WELCOME is on its way, or the next dial is.
        if matches!(self.signalling, Signalling::Welcomed { .. }) {
            self.dial(now);
        }
    }

    /// The coordinator has named servers while one of them holds us.
    pub(super) fn consider_moving(&mut self, now: Instant, named: impl Iterator<Item = u64>) {
        let Some(link) = self
            .link
            .as_ref()
            .filter(|link| link.leaving_since.is_some())
        else {
            return;
        };
        let (current, leaves) = (link.server, link.farewell.is_some());
        let others: Vec<u64> = named.filter(|&server| server != current).collect();
        if others.is_empty() {
            // Better on a server that goes than on none.
            return;
        }
        self.servers.replace(others);
        if leaves {
            return;
        }
        if self.flushes.are_all_confirmed() {
            return self.depart(now);
        }
        // A lane that is closed may lose what is on it: first the server's word that it has all.
        // What is published meanwhile waits for the next one.
        let ping = self.send_ping();
        if let Some(link) = &mut self.link {
            link.farewell = ping;
        }
        self.timers.set(Timer::Farewell, now + FAREWELL_TIMEOUT);
    }

    pub(super) fn is_farewell_echo(&self, time: f64) -> bool {
        let awaited = self.link.as_ref().and_then(|link| link.farewell);
        awaited.is_some_and(|number| f64::from(number).to_bits() == time.to_bits())
    }

    /// Leaves the server for another one.
    pub(super) fn depart(&mut self, now: Instant) {
        let reason = Reason::ShuttingDown;
        self.stats.moves += 1;
        self.note_failed_server();
        self.drop_link();
        self.emit(Event::Disconnected { reason });
        self.try_next_server(now, reason);
    }

    /// The coordinator is left before the server is: there is nowhere to go for now.
    pub(super) fn stay(&mut self) {
        self.timers.stop(Timer::Farewell);
        if let Some(link) = &mut self.link
            && link.farewell.take().is_some()
        {
            self.flush_queue();
        }
    }

    pub(super) fn check_farewell(&self) {
        let leaves = self
            .link
            .as_ref()
            .is_some_and(|link| link.farewell.is_some());
        assert_eq!(leaves, self.timers.is_set(Timer::Farewell), "not for ever");
        let is_welcomed = matches!(self.signalling, Signalling::Welcomed { .. });
        assert!(
            !leaves || is_welcomed && self.servers.is_fresh(),
            "who leaves has somewhere to go"
        );
    }

    /// Somebody else goes on under our alias: the token is void, and so is all that we have by it.
    pub(super) fn yield_alias(&mut self, now: Instant, least: Duration) {
        let reason = Reason::Replaced;
        self.resume = None;
        match self.link.as_ref().map(|link| link.phase) {
            Some(Phase::Ready) => {
                self.stats.disconnects += 1;
                self.drop_link();
                self.emit(Event::Disconnected { reason });
            }
            Some(_) => {
                self.stats.attempts_failed += 1;
                self.drop_link();
            }
            None => {}
        }
        self.retry(now, reason, least);
    }

    /// The coordinator has told the server that a session has ended.
    pub(super) fn handle_peer_gone(&mut self, now: Instant, gone: u64) {
        let about_us = matches!(&self.link, Some(link) if link.alias == gone);
        if !about_us {
            self.stats.dropped.unexpected += 1;
        } else if self.signalling.is_old_session_of(gone, now) {
            // What we take for the signalling socket is none.
            self.redial(now);
        } else {
            // The session before this one, or the way back is under way already.
            self.stats.dropped.stale += 1;
        }
    }
}

/// A server that asks all the time shall not have us ask the coordinator all the time.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How long a server is waited for that is left: a round trip, and one retransmission.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
