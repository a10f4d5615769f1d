//! The deadlines of a session: a fixed table, one place for each.

use std::time::Instant;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The next signalling socket.
    Dial,
    /// The owner's answer.
    Token,
    /// WELCOME on the open socket.
    Welcome,
    /// READY since CONNECT.
    Connect,
    /// READY since AUTH.
    Ready,
    /// The next PING.
    Ping,
    /// Asking for another server, as the present one wishes.
    Migrate,
    /// The present server's word that it has everything, before it is left.
    Farewell,
    /// Asking the owner once more for a token, as the present server wishes.
    Renew,
}

#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timer {
    const ALL: [Self; 9] = [
        Self::Dial,
        Self::Token,
        Self::Welcome,
        Self::Connect,
        Self::Ready,
        Self::Ping,
        Self::Migrate,
        Self::Farewell,
        Self::Renew,
    ];
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, deadline: Instant) {
        self.place(timer).replace(deadline);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.place(timer).take();
    }

    #[expect(
        clippy::indexing_slicing,
        clippy::as_conversions,
        reason = "the table has a place for every variant"
    )]
    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    pub(super) fn clear(&mut self) {
        self.0 = Default::default();
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes one timer that is due, in the order of the table.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        Timer::ALL.into_iter().find(|&timer| {
            self.place(timer)
                .take_if(|deadline| *deadline <= now)
                .is_some()
        })
    }

    #[expect(
        clippy::indexing_slicing,
        clippy::as_conversions,
        reason = "the table has a place for every variant"
    )]
    fn place(&mut self, timer: Timer) -> &mut Option<Instant> {
        &mut self.0[timer as usize]
    }
}
