//! When the coordinator is told how we are doing, and what: at once when the state changes, and
//! every so often. What the shell alone knows it measures when it is asked to.

use std::time::{Duration, Instant};

use proto::{LoadMessage, MessageType, ServerState};

/// The reports of one broker.
#[derive(Debug)]
pub(crate) struct Load {
    interval: Duration,
    /// A coordinator that takes reports is there.
    wanted: bool,
    due: Option<Instant>,
    last: Report,
}

/// What was said last, or would have been.
#[derive(Debug)]
struct Report {
    at: Instant,
    /// In this session.
    state: Option<ServerState>,
    packets: u64,
    cpu: Option<Duration>,
}

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) state: ServerState,
    pub(crate) peers: usize,
    pub(crate) peers_max: usize,
    /// In and out, since the start.
    pub(crate) packets: u64,
    /// Of the forwarding thread, since its start, where that is known.
    pub(crate) cpu: Option<Duration>,
}

impl Load {
    pub(crate) const fn new(now: Instant, interval: Duration) -> Self {
        Self {
            interval,
            wanted: false,
            due: None,
            last: Report {
                at: now,
                state: None,
                packets: 0,
                cpu: None,
            },
        }
    }

    /// There is a new session with a coordinator, which takes reports, or does not.
    pub(crate) const fn welcome(&mut self, now: Instant, wanted: bool) {
        self.wanted = wanted;
        self.last.state = None;
        self.due = if wanted { Some(now) } else { None };
    }

    pub(crate) const fn unreachable(&mut self) {
        self.wanted = false;
        self.due = None;
    }

    /// A change is told at once, unless it comes so fast that it would be told for ever.
    pub(crate) fn note_state(&mut self, now: Instant, state: ServerState) {
        if !self.wanted || self.last.state.is_none_or(|last| last == state) {
            return;
        }
        let soon = match state {
            // That happens once.
            ServerState::Draining => now,
            _ => now.max(self.last.at + CHANGES_APART),
        };
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Whether a report is due: once, then it is to be made.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.due = None;
        }
        due
    }

    /// The report, with averages since the one before; `None` when nobody wants it any more.
    pub(crate) fn report(&mut self, now: Instant, facts: Facts) -> Option<LoadMessage> {
        if !self.wanted {
            return None;
        }
        let time = now.saturating_duration_since(self.last.at);
        let packets = facts.packets.saturating_sub(self.last.packets);
        let cpu = facts.cpu.zip(self.last.cpu);
        let cpu = cpu.map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before));
        self.last = Report {
            at: now,
            state: Some(facts.state),
            packets: facts.packets,
            cpu: facts.cpu,
        };
        self.due = now.checked_add(self.interval);
        Some(LoadMessage {
            r#type: MessageType::Load.into(),
            state: facts.state.into(),
            peers: count(facts.peers),
            peers_max: count(facts.peers_max),
            packets_per_s: per(packets.saturating_mul(1_000), time.as_millis()),
            cpu_permille: per(nanos(cpu).saturating_mul(1_000), time.as_nanos()),
        })
    }
}

/// So much in each unit of time; 0 when no time has passed.
fn per(amount: u64, time: u128) -> u32 {
    let rate = u128::from(amount).checked_div(time).unwrap_or_default();
    u32::try_from(rate).unwrap_or(u32::MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A server at its limit may change its state with each client that comes and goes.
const CHANGES_APART: Duration = Duration::from_millis(100);
