//! The closed loop: how many of its own publications a publisher may have under way.
//!
//! A publication is answered when **every** subscriber of its topic has received it, or a later
//! one of the same publisher (so that a loss on the unreliable lane does not count as under way
//! for ever). A publisher sends as long as fewer than the window's size are unanswered: no
//! subscriber is ever further behind than that, so what is measured is a rate that all sustain.
//! If the answer to the oldest does not come in time, the window starts anew and the wait is
//! counted.

use std::{
    sync::{
        OnceLock,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
        },
    },
    time::Duration,
};

use client::{Lane, driver::Commands};

use crate::bot::Command;

/// The windows of all publishers.
#[derive(Debug)]
pub(crate) struct Windows {
    windows: Vec<Window>,
    /// To wake the publishers; set before the first one publishes.
    bots: OnceLock<Vec<Commands<Command>>>,
    /// For so long a publisher waits for its oldest publication to be answered.
    pub(crate) patience: Duration,
    /// Times that one waited in vain.
    stalls: AtomicU64,
}

#[derive(Debug)]
struct Window {
    /// By slot, counted round: the slot above, below it how many subscribers have not got there.
    under_way: Box<[AtomicU64]>,
    /// Every slot below is answered.
    answered: AtomicU32,
    /// The publisher wants to be woken by the next answer.
    blocked: AtomicBool,
}

impl Windows {
    pub(crate) fn new(publishers: u32, size: u32, lane: Lane) -> Self {
        let window = || Window {
            under_way: (0..size.max(1)).map(|_| AtomicU64::new(0)).collect(),
            answered: AtomicU32::new(0),
            blocked: AtomicBool::new(false),
        };
        Self {
            windows: (0..publishers).map(|_| window()).collect(),
            bots: OnceLock::new(),
            patience: match lane {
                Lane::Reliable => PATIENCE_RELIABLE,
                Lane::Unreliable => PATIENCE_UNRELIABLE,
            },
            stalls: AtomicU64::new(0),
        }
    }

    /// Who is woken, in the order of the clients.
    pub(crate) fn set_bots(&self, bots: Vec<Commands<Command>>) {
        // A run has one beginning.
        let _first = self.bots.set(bots);
    }

    /// Whether `publisher` may send `slot` now. If not, it will be told when it may.
    pub(crate) fn has_room(&self, publisher: u32, slot: u32) -> bool {
        let Some(window) = self.window(publisher) else {
            return false;
        };
        if window.has_room(slot) {
            return true;
        }
        window.blocked.store(true, SeqCst);
        // The answer may have come in between, and found nobody to wake.
        window.has_room(slot)
    }

    /// `publisher` sends `slot`, which so many subscribers are to receive. A publication for nobody
    /// is never answered: there is nothing to measure, and the loop must not spin.
    pub(crate) fn send(&self, publisher: u32, slot: u32, subscribers: u64) {
        if let Some(cell) = self.window(publisher).and_then(|window| window.cell(slot)) {
            let missing = subscribers.clamp(1, MISSING_MAX);
            cell.store(u64::from(slot) << 32 | missing, Release);
        }
    }

    /// A subscriber that had received everything of `publisher` below `next`, or later ones in its
    /// place, has received `slot`.
    pub(crate) fn receive(&self, publisher: u32, next: u32, slot: u32) {
        let Some(window) = self.window(publisher) else {
            return;
        };
        // What is further back than the window is answered, or given up.
        let oldest = (slot + 1).saturating_sub(window.size());
        for slot in next.max(oldest)..=slot {
            if window.count_one(slot) {
                window.answered.fetch_max(slot + 1, SeqCst);
                self.wake(publisher, window);
            }
        }
    }

    /// The oldest was not answered in time: what is under way counts no more.
    pub(crate) fn give_up(&self, publisher: u32, next_slot: u32) {
        if let Some(window) = self.window(publisher) {
            window.answered.fetch_max(next_slot, SeqCst);
            self.stalls.fetch_add(1, Relaxed);
        }
    }

    /// Every slot below it is answered, or given up.
    #[cfg(test)]
    pub(crate) fn answered(&self, publisher: u32) -> u32 {
        self.window(publisher)
            .map_or(0, |window| window.answered.load(Acquire))
    }

    pub(crate) fn stalls(&self) -> u64 {
        self.stalls.load(Relaxed)
    }

    fn window(&self, publisher: u32) -> Option<&Window> {
        self.windows.get(usize::try_from(publisher).ok()?)
    }

    fn wake(&self, publisher: u32, window: &Window) {
        if !window.blocked.swap(false, SeqCst) {
            return;
        }
        let publisher = usize::try_from(publisher).unwrap_or(usize::MAX);
        let bot = self.bots.get().and_then(|bots| bots.get(publisher));
        // One that has no room for a command is busy, and has a timer besides.
        let _woken = bot.is_some_and(|bot| bot.try_send(Command::Due));
    }
}

impl Window {
    fn size(&self) -> u32 {
        u32::try_from(self.under_way.len()).unwrap_or(u32::MAX)
    }

    fn has_room(&self, slot: u32) -> bool {
        slot.saturating_sub(self.answered.load(SeqCst)) < self.size()
    }

    fn cell(&self, slot: u32) -> Option<&AtomicU64> {
        let place = usize::try_from(slot % self.size()).ok()?;
        self.under_way.get(place)
    }

    /// One subscriber more has got to `slot`; true when it was the last.
    fn count_one(&self, slot: u32) -> bool {
        let Some(cell) = self.cell(slot) else {
            return false;
        };
        let counted = cell.fetch_update(AcqRel, Acquire, |word| {
            let (of, missing) = (word >> 32, word & MISSING_MAX);
            // A straggler: the cell has gone to a later one.
            (of == u64::from(slot) && missing > 0).then(|| word - 1)
        });
        counted.is_ok_and(|before| before & MISSING_MAX == 1)
    }
}

const MISSING_MAX: u64 = 0xffff_ffff;

/// Far beyond a retransmission of SCTP, whose timer starts at one second and doubles.
const PATIENCE_RELIABLE: Duration = Duration::from_secs(10);

/// Where nothing is retransmitted, what has not come by then will not: beyond what waits in the
/// queues of a server that is asked for more than it can do.
const PATIENCE_UNRELIABLE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn windows() -> Windows {
        Windows::new(2, 2, Lane::Reliable)
    }

    #[test]
    fn a_publication_is_answered_by_the_last_subscriber() {
        let windows = windows();
        assert!(windows.has_room(0, 0));
        windows.send(0, 0, 3);
        assert!(windows.has_room(0, 1));
        windows.send(0, 1, 3);
        assert!(!windows.has_room(0, 2));
        windows.receive(0, 0, 0);
        windows.receive(0, 0, 0);
        assert!(!windows.has_room(0, 2));
        windows.receive(0, 0, 0);
        assert!(windows.has_room(0, 2) && !windows.has_room(0, 3));
        assert_eq!((windows.answered(0), windows.answered(1)), (1, 0));
    }

    #[test]
    fn a_later_one_answers_for_those_that_were_lost() {
        let windows = windows();
        windows.send(1, 0, 2);
        windows.send(1, 1, 2);
        // One subscriber has both, the other the second alone.
        windows.receive(1, 0, 0);
        windows.receive(1, 1, 1);
        assert_eq!(windows.answered(1), 0);
        windows.receive(1, 0, 1);
        assert_eq!(windows.answered(1), 2);
    }

    #[test]
    fn a_straggler_counts_for_nobody_else() {
        let windows = windows();
        windows.send(0, 0, 2);
        windows.send(0, 1, 2);
        windows.give_up(0, 2);
        assert_eq!((windows.answered(0), windows.stalls()), (2, 1));
        windows.send(0, 2, 1);
        // Slots 0 and 2 share a cell.
        windows.receive(0, 0, 0);
        assert_eq!(windows.answered(0), 2);
        windows.receive(0, 2, 2);
        assert_eq!(windows.answered(0), 3);
    }

    #[test]
    fn a_gap_longer_than_the_window_is_no_work() {
        let windows = windows();
        let slot = 3_000_000_000;
        windows.give_up(0, slot);
        windows.send(0, slot, 1);
        windows.receive(0, 0, slot);
        assert_eq!(windows.answered(0), slot + 1);
    }

    #[test]
    fn what_is_for_nobody_is_not_answered() {
        let windows = windows();
        windows.send(0, 0, 0);
        windows.send(0, 1, 0);
        assert!(!windows.has_room(0, 2));
    }
}
