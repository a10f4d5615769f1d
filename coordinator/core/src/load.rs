//! How servers are doing, as they say themselves.

use std::time::{Duration, Instant};

use proto::{LoadMessage, ServerState};

/// How a server is doing: what it said last, and who was sent to it.
#[derive(Debug, Default)]
pub(crate) struct Load {
    report: Option<Report>,
    /// Clients that were sent to it since it spoke: they count as its peers until it speaks again.
    sent: u32,
    /// Clients that were sent to it last of all, and have a session now.
    clients: u32,
}

#[derive(Debug, Clone, Copy)]
struct Report {
    heard: Instant,
    state: ServerState,
    peers: u32,
    peers_max: u32,
    cpu_permille: u32,
}

/// Whether clients may be sent to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// They may.
    Live,
    /// It has no room, or will have none when all have arrived that were sent to it.
    Full,
    /// It is about to go.
    Draining,
    /// It spoke once, and has been silent since.
    Stale,
}

impl Load {
    /// It has spoken. False when what it says of its state is not understood.
    pub(crate) fn hear(&mut self, now: Instant, load: &LoadMessage) -> bool {
        let state = load.state();
        if state == ServerState::UnknownServerState {
            return false;
        }
        self.report = Some(Report {
            heard: now,
            state,
            peers: load.peers,
            peers_max: load.peers_max,
            cpu_permille: load.cpu_permille,
        });
        self.sent = 0;
        true
    }

    /// A client is sent to it.
    pub(crate) const fn enter(&mut self) {
        self.sent = self.sent.saturating_add(1);
        self.clients = self.clients.saturating_add(1);
    }

    /// Such a client was sent elsewhere, or its session has ended.
    pub(crate) const fn leave(&mut self) {
        self.clients = self.clients.saturating_sub(1);
    }

    /// Clients that were sent to it, and have not been sent elsewhere since.
    pub(crate) const fn clients(&self) -> u32 {
        self.clients
    }

    /// As it goes to other servers: one that does not speak is live.
    pub(crate) fn state(&self) -> ServerState {
        self.report.map_or(ServerState::Live, |report| report.state)
    }

    /// When it is stale, unless it speaks. One that never spoke never is.
    pub(crate) fn stale_at(&self, stale_after: Duration) -> Option<Instant> {
        self.report.map(|report| report.heard + stale_after)
    }

    pub(crate) fn standing(&self, now: Instant, stale_after: Duration) -> Standing {
        let Some(report) = self.report else {
            return Standing::Live;
        };
        if self.stale_at(stale_after).is_some_and(|at| at <= now) {
            return Standing::Stale;
        }
        match report.state {
            ServerState::Draining => Standing::Draining,
            ServerState::Full => Standing::Full,
            _ if self.peers(report) >= u64::from(report.peers_max) => Standing::Full,
            _ => Standing::Live,
        }
    }

    /// How much of it is used, in parts of a million: of its places or of its thread, whichever is
    /// more. One that does not speak has the clients that were sent to it, and the usual places.
    pub(crate) fn used_ppm(&self) -> u64 {
        let Some(report) = self.report else {
            return u64::from(self.clients) * PPM / PEERS_MAX_USUAL;
        };
        let places = self.peers(report) * PPM / u64::from(report.peers_max).max(1);
        places.max(u64::from(report.cpu_permille) * (PPM / 1000))
    }

    fn peers(&self, report: Report) -> u64 {
        u64::from(report.peers) + u64::from(self.sent)
    }
}

const PPM: u64 = 1_000_000;

/// A commserver's own default.
const PEERS_MAX_USUAL: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const STALE_AFTER: Duration = Duration::from_secs(10);

    fn report(state: ServerState, peers: u32, peers_max: u32, cpu_permille: u32) -> LoadMessage {
        LoadMessage {
            state: state.into(),
            peers,
            peers_max,
            cpu_permille,
            ..Default::default()
        }
    }

    fn heard(load: &LoadMessage) -> (Load, Instant) {
        let mut heard = Load::default();
        let now = Instant::now();
        assert!(heard.hear(now, load));
        (heard, now)
    }

    #[test]
    fn the_larger_share_counts() {
        for (peers, peers_max, cpu, expected) in [
            (0, 100, 0, 0),
            (25, 100, 0, 250_000),
            (25, 100, 250, 250_000),
            (25, 100, 251, 251_000),
            (1, 3, 333, 333_333),
            (200, 100, 0, 2_000_000),
            (0, 0, 0, 0),
            (7, 0, 0, 7_000_000),
            (u32::MAX, 1, u32::MAX, u64::from(u32::MAX) * PPM),
        ] {
            let (load, _) = heard(&report(ServerState::Live, peers, peers_max, cpu));
            assert_eq!(load.used_ppm(), expected, "{peers}/{peers_max} {cpu}");
        }
    }

    #[test]
    fn who_was_sent_counts_until_it_speaks() {
        let spoken = report(ServerState::Live, 8, 10, 0);
        let (mut load, now) = heard(&spoken);
        for (used, standing) in [(900_000, Standing::Live), (1_000_000, Standing::Full)] {
            load.enter();
            assert_eq!(load.used_ppm(), used);
            assert_eq!(load.standing(now, STALE_AFTER), standing);
        }
        load.leave();
        assert_eq!(load.standing(now, STALE_AFTER), Standing::Full, "who knows");
        assert!(load.hear(now, &spoken));
        assert_eq!(load.standing(now, STALE_AFTER), Standing::Live);
        assert_eq!(load.used_ppm(), 800_000);
    }

    #[test]
    fn places_have_their_bounds() {
        for (peers, standing) in [
            (9, Standing::Live),
            (10, Standing::Full),
            (11, Standing::Full),
        ] {
            let (load, now) = heard(&report(ServerState::Live, peers, 10, 0));
            assert_eq!(load.standing(now, STALE_AFTER), standing, "{peers}");
        }
    }

    #[test]
    fn silence_makes_stale_whatever_was_said() {
        for (state, before) in [
            (ServerState::Live, Standing::Live),
            (ServerState::Full, Standing::Full),
            (ServerState::Draining, Standing::Draining),
        ] {
            let (load, now) = heard(&report(state, 0, 10, 0));
            let ms = Duration::from_millis;
            for (passed, standing) in [
                (STALE_AFTER - ms(1), before),
                (STALE_AFTER, Standing::Stale),
                (STALE_AFTER + ms(1), Standing::Stale),
            ] {
                assert_eq!(load.standing(now + passed, STALE_AFTER), standing);
            }
        }
        let hour = Instant::now() + Duration::from_hours(1);
        let silent = Load::default();
        assert_eq!(silent.standing(hour, STALE_AFTER), Standing::Live);
    }

    #[test]
    fn who_never_speaks_has_who_was_sent_to_it() {
        let mut load = Load::default();
        assert_eq!(load.state(), ServerState::Live);
        for _ in 0..2048 {
            load.enter();
        }
        assert_eq!(load.used_ppm(), 500_000);
        for _ in 0..1024 {
            load.leave();
        }
        assert_eq!(load.used_ppm(), 250_000);
    }

    #[test]
    fn a_state_that_is_none_says_nothing() {
        let (mut load, now) = heard(&report(ServerState::Draining, 1, 10, 0));
        for state in [0, 4, -1, i32::MAX] {
            let mut spoken = report(ServerState::Live, 5, 10, 0);
            spoken.state = state;
            assert!(!load.hear(now, &spoken));
        }
        assert_eq!(load.state(), ServerState::Draining);
    }
}
