//! Keeps the timeline of a run: looks at the tally and at the books once a second.

use std::{
    fs::File,
    io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use crate::{
    Report,
    plan::Plan,
    roster::{LOST_AFTER, Roster},
    tally::Tally,
    timeline::{Numbers, Timeline},
};

#[derive(Debug)]
pub(super) struct Record {
    timeline: Timeline<File>,
    /// The second that the next line is about.
    next: u64,
    /// What was due before is settled.
    settled: Option<Instant>,
    lost: u64,
    away: u64,
}

impl Record {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            timeline: Timeline::new(File::create(path)?)?,
            next: 0,
            settled: None,
            lost: 0,
            away: 0,
        })
    }

    /// Writes the line of the second that is over, if there is one. A second that passed while
    /// nobody looked has no line of its own: the next line tells of it as well.
    pub(super) fn write_due(
        &mut self,
        now: Instant,
        start: Instant,
        plan: &Plan,
        roster: &Roster,
        tally: &Tally,
    ) -> io::Result<()> {
        let over = now.saturating_duration_since(start).as_secs();
        if over <= self.next {
            return Ok(());
        }
        self.settle(now, start, plan, roster);
        let numbers = Numbers {
            lost: self.lost,
            away: self.away,
            ..numbers(tally)
        };
        self.next = over;
        let connected = tally.ready.load(Relaxed);
        self.timeline
            .write(over - 1, connected, numbers, &tally.take_recent_us())
    }

    /// The line of what is left: with it, the columns add up to the report.
    pub(super) fn close(
        mut self,
        now: Instant,
        start: Instant,
        connected: u64,
        report: &Report,
        tally: &Tally,
    ) -> io::Result<()> {
        let numbers = Numbers {
            published: report.published,
            expected: report.expected,
            delivered: report.delivered,
            lost: report.lost,
            away: report.away,
            corrupt: report.corrupt,
            ..numbers(tally)
        };
        let second = now.saturating_duration_since(start).as_secs();
        let second = second.max(self.next);
        self.timeline
            .write(second, connected, numbers, &tally.take_recent_us())
    }

    /// Finds out what was lost of what was due long enough ago.
    fn settle(&mut self, now: Instant, start: Instant, plan: &Plan, roster: &Roster) {
        let until = now.checked_sub(LOST_AFTER).unwrap_or(start).max(start);
        let due = self.settled.unwrap_or(start)..until;
        let balance = roster.settle_due(plan, start, &due);
        self.lost += balance.lost;
        self.away += balance.away;
        self.settled = Some(until);
    }
}

fn numbers(tally: &Tally) -> Numbers {
    let of = |count: &AtomicU64| count.load(Relaxed);
    Numbers {
        published: of(&tally.published),
        expected: of(&tally.expected),
        delivered: of(&tally.delivered),
        lost: 0,
        away: 0,
        duplicated: of(&tally.faults.duplicated),
        reordered: of(&tally.faults.reordered),
        corrupt: of(&tally.faults.corrupt),
        reconnects: of(&tally.moves.reconnects),
        joined: of(&tally.moves.joined),
        left: of(&tally.moves.left),
    }
}
