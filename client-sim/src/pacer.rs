//! Wakes publishers on time. A tokio timer is up to a millisecond late, which a measurement from
//! the scheduled time would blame on the cluster; a sleeping thread is late by 0.1 ms.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{bot::Command, plan::Plan, roster::Lines};

/// A thread that ends with the schedule, or when dropped.
#[derive(Debug)]
pub(crate) struct Pacer {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Pacer {
    /// Tells every publisher of the plan, over its line, when a packet is due.
    pub(crate) fn start(plan: Arc<Plan>, start: Instant, lines: Lines) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let schedule = Schedule::new(plan, start);
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("pacer".into())
            .spawn(move || pace(schedule, &lines, &stopped))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.cancel();
        // Without it the bots' own timers still publish, a little later.
        let _joined = self.thread.take().map(JoinHandle::join);
    }
}

fn pace(mut schedule: Schedule, lines: &Lines, stop: &CancellationToken) {
    while let Some(due) = schedule.next_due() {
        if stop.is_cancelled() {
            return;
        }
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            thread::sleep(wait.min(SLEEP_MAX));
            continue;
        }
        let client = usize::try_from(schedule.advance()).unwrap_or(usize::MAX);
        if let Some(line) = lines.lock().get(client) {
            // A bot with so much to do already has a timer of its own.
            let _told = line.try_send(Command::Due);
        }
    }
}

/// What is due when, over all publishers.
#[derive(Debug)]
struct Schedule {
    plan: Arc<Plan>,
    start: Instant,
    /// When, whose, which: one for each publisher.
    next: BinaryHeap<Reverse<(u64, u32, u32)>>,
}

impl Schedule {
    fn new(plan: Arc<Plan>, start: Instant) -> Self {
        let publishers = if plan.slots == 0 { 0 } else { plan.publishers };
        let next = (0..publishers)
            .map(|publisher| Reverse((plan.due_ns(publisher, 0), publisher, 0)))
            .collect();
        Self { plan, start, next }
    }

    fn next_due(&self) -> Option<Instant> {
        let Reverse((due_ns, ..)) = self.next.peek()?;
        Some(self.start + Duration::from_nanos(*due_ns))
    }

    /// Goes on to the next packet. Returns whose this one was.
    fn advance(&mut self) -> u32 {
        let Some(Reverse((_, publisher, slot))) = self.next.pop() else {
            return u32::MAX;
        };
        let slot = slot + 1;
        if slot < self.plan.slots {
            let due_ns = self.plan.due_ns(publisher, slot);
            self.next.push(Reverse((due_ns, publisher, slot)));
        }
        publisher
    }
}

/// So that an interrupt is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use std::collections::BTreeMap;

    #[test]
    fn every_packet_is_due_once_in_order_of_time() {
        let options = Options {
            clients: 5,
            publishers: Some(3),
            rate: 10.0,
            duration: Duration::from_secs(1),
            ..Options::default()
        };
        let mut schedule = Schedule::new(Arc::new(Plan::new(&options, 1)), Instant::now());
        let mut told = BTreeMap::<u32, u32>::new();
        let mut last = schedule.next_due();
        while let Some(due) = schedule.next_due() {
            assert!(Some(due) >= last);
            last = Some(due);
            *told.entry(schedule.advance()).or_default() += 1;
        }
        assert_eq!(told, BTreeMap::from([(0, 10), (1, 10), (2, 10)]));
    }

    #[test]
    fn without_a_rate_nothing_is_due() {
        let options = Options {
            rate: 0.0,
            ..Options::default()
        };
        let schedule = Schedule::new(Arc::new(Plan::new(&options, 1)), Instant::now());
        assert_eq!(schedule.next_due(), None);
    }
}
