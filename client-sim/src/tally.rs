//! Numbers that all bots write and the conductor reads while a run goes on: for its decisions and
//! for the progress line. The report is made from the books, not from these.

use std::{
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::{
    plan::{Plan, TopicId},
    window::Windows,
};

/// Shared by all bots of a run.
#[derive(Debug)]
pub(crate) struct Tally {
    /// When publishing starts; set before anybody publishes.
    pub(crate) start: OnceLock<Instant>,
    /// Clients on a server now.
    pub(crate) connected: AtomicU64,
    /// Clients whose subscriptions a server has confirmed, now.
    pub(crate) ready: AtomicU64,
    /// Clients that every probe has reached, now.
    pub(crate) probed: AtomicU64,
    /// Clients that have ended for good.
    pub(crate) stopped: AtomicU64,
    pub(crate) published: AtomicU64,
    /// Deliveries due by the subscribers confirmed at each sending.
    pub(crate) expected: AtomicU64,
    pub(crate) delivered: AtomicU64,
    /// Of a closed loop.
    pub(crate) windows: Option<Windows>,
    pub(crate) faults: Faults,
    pub(crate) moves: Moves,
    /// Confirmed subscribers of each topic.
    subscribers: Vec<AtomicU64>,
    /// The server of each client; 0 while it has none.
    servers: Vec<AtomicU64>,
    /// From start to READY, in microseconds.
    pub(crate) connect_us: Mutex<Histogram<u64>>,
    /// From noticing a loss to receiving again, in microseconds.
    pub(crate) recovery_us: Mutex<Histogram<u64>>,
    /// From the scheduled time to the delivery, in microseconds; one for each worker, whose bots
    /// run one at a time.
    latency_us: Vec<Mutex<Histogram<u64>>>,
    /// The same since somebody looked last; none when nobody will.
    recent_us: Vec<Mutex<Histogram<u64>>>,
    errors: Mutex<BTreeMap<String, u64>>,
}

/// What should not happen to packets.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) duplicated: AtomicU64,
    pub(crate) reordered: AtomicU64,
    pub(crate) corrupt: AtomicU64,
}

/// Clients that came, went and came back.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// Times that a server took in a client that had had one before.
    pub(crate) reconnects: AtomicU64,
    /// Clients that lost their server and were not back when they ended.
    pub(crate) unrecovered: AtomicU64,
    /// Clients that ended with another alias than they began with.
    pub(crate) aliases_changed: AtomicU64,
    /// Clients that took the place of others, subscribed.
    pub(crate) joined: AtomicU64,
    /// Clients that made place for others.
    pub(crate) left: AtomicU64,
}

impl Tally {
    /// With `recent`, latencies are kept apart for whoever asks for those since the last time.
    pub(crate) fn new(plan: &Plan, workers: usize, recent: bool) -> Self {
        let zeroes = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        let histograms = |count: usize| (0..count).map(|_| Mutex::new(histogram())).collect();
        Self {
            start: OnceLock::new(),
            connected: AtomicU64::new(0),
            ready: AtomicU64::new(0),
            probed: AtomicU64::new(0),
            stopped: AtomicU64::new(0),
            published: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            windows: plan
                .window
                .map(|size| Windows::new(plan.publishers, size, plan.lane)),
            faults: Faults::default(),
            moves: Moves::default(),
            subscribers: zeroes(plan.topics.len()),
            servers: zeroes(usize::try_from(plan.clients).unwrap_or(usize::MAX)),
            connect_us: Mutex::new(histogram()),
            recovery_us: Mutex::new(histogram()),
            latency_us: histograms(workers),
            recent_us: histograms(if recent { workers } else { 0 }),
            errors: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn subscribers(&self, topic: TopicId) -> u64 {
        self.subscribers
            .get(index(topic))
            .map_or(0, |count| count.load(Relaxed))
    }

    pub(crate) fn change_subscribers(&self, topics: impl Iterator<Item = TopicId>, more: bool) {
        for topic in topics {
            if let Some(count) = self.subscribers.get(index(topic)) {
                change(count, more);
            }
        }
    }

    pub(crate) fn set_server(&self, client: u32, server: u64) {
        if let Some(place) = usize::try_from(client)
            .ok()
            .and_then(|at| self.servers.get(at))
        {
            place.store(server, Relaxed);
        }
    }

    /// The clients of each server, both by number.
    pub(crate) fn clients_by_server(&self) -> BTreeMap<u64, Vec<u32>> {
        let mut by_server = BTreeMap::<u64, Vec<u32>>::new();
        for (client, server) in (0..).zip(&self.servers) {
            let server = server.load(Relaxed);
            if server != 0 {
                by_server.entry(server).or_default().push(client);
            }
        }
        by_server
    }

    /// Adds what one bot measured in a pass, and empties it.
    pub(crate) fn add_latencies(&self, worker: usize, latencies_us: &mut Vec<u64>) {
        for histograms in [&self.latency_us, &self.recent_us] {
            if let Some(histogram) = histograms.get(worker) {
                let mut histogram = histogram.lock();
                for latency in &*latencies_us {
                    histogram.saturating_record(*latency);
                }
            }
        }
        latencies_us.clear();
    }

    /// The latencies since the last time.
    pub(crate) fn take_recent_us(&self) -> Histogram<u64> {
        let mut all = histogram();
        for worker in &self.recent_us {
            let mut recent = worker.lock();
            self.add_up(&mut all, &recent);
            recent.reset();
        }
        all
    }

    pub(crate) fn latency_us(&self) -> Histogram<u64> {
        let mut all = histogram();
        for worker in &self.latency_us {
            self.add_up(&mut all, &worker.lock());
        }
        all
    }

    fn add_up(&self, all: &mut Histogram<u64>, some: &Histogram<u64>) {
        // All have the same bounds, so nothing can be out of them.
        if all.add(some).is_err() {
            self.count_error("HistogramBounds");
        }
    }

    pub(crate) fn count_recovery(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.recovery_us.lock().saturating_record(took_us);
    }

    pub(crate) fn count_error(&self, name: &str) {
        let mut errors = self.errors.lock();
        if errors.len() < ERROR_NAMES_MAX || errors.contains_key(name) {
            *errors.entry(name.to_owned()).or_default() += 1;
        } else {
            *errors.entry("Other".to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().clone()
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

fn index(topic: TopicId) -> usize {
    usize::try_from(topic).unwrap_or(usize::MAX)
}

pub(crate) fn change(count: &AtomicU64, more: bool) {
    if more {
        count.fetch_add(1, Relaxed);
    } else {
        count.fetch_sub(1, Relaxed);
    }
}

/// Microseconds up to ten minutes, three digits exact.
pub(crate) fn histogram() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "constant bounds that are in order")]
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds")
}

/// Names come from our own tables; the bound is for servers that invent codes.
const ERROR_NAMES_MAX: usize = 100;
