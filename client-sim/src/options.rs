//! What a run is asked to do.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use client::{Impair, Lane};
use secrecy::SecretString;
use url::Url;

use crate::{Churn, payload};

/// A load to put on a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster's coordinator.
    pub coordinator: Url,
    /// Clients, each with a UDP and a TCP socket.
    pub clients: u32,
    /// Topics.
    pub topics: u32,
    /// Topics that each client subscribes to; client n starts with topic n, or n strides.
    pub subscribe_per_client: u32,
    /// From one client's first topic to the next one's, counted round; a divisor of the topics, so
    /// that round and round is the same again.
    pub stride: u32,
    /// How many clients publish, the first ones; `None` is all. Publisher n publishes to the first
    /// of its topics, whether it subscribes or not.
    pub publishers: Option<u32>,
    /// Packets per second of each publisher, on a fixed schedule. 0 publishes nothing.
    pub rate: f64,
    /// A closed loop instead of the schedule: how many of its own publications each publisher may
    /// have under way, one being answered when every subscriber has it, or a later one. Latency
    /// then counts from the sending.
    pub window: Option<u32>,
    /// Bytes of each packet's body.
    pub payload: usize,
    /// The lane under test.
    pub lane: Lane,
    /// How long is published.
    pub duration: Duration,
    /// Over which the clients are started.
    pub ramp: Duration,
    /// After the ramp, how long to wait for clients that are not connected and subscribed yet; and
    /// for probes to reach everybody.
    pub patience: Duration,
    /// Source of the schedule.
    pub seed: u64,
    /// Shown by every client.
    pub token: Option<Arc<SecretString>>,
    /// Who signs the coordinator's certificate; without it, whom the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The secret of signed tokens: each client makes one of its own with it.
    pub jwt_secret: Option<Arc<SecretString>>,
    /// A bad network between every client and its server, in both directions.
    pub impair: Option<Impair>,
    /// Threads for the clients; 0 is one for each core.
    pub workers: usize,
    /// Address of the clients' sockets; `None` chooses by the coordinator's.
    pub listen: Option<IpAddr>,
    /// Clients that leave and are replaced by others while publishing.
    pub churn: Option<Churn>,
    /// A file for a line of numbers about each second.
    pub record_timeline: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            coordinator: DEFAULT_COORDINATOR.clone(),
            clients: 50,
            topics: 1,
            subscribe_per_client: 1,
            stride: 1,
            publishers: None,
            rate: 10.0,
            window: None,
            payload: 100,
            lane: Lane::Reliable,
            duration: Duration::from_secs(10),
            ramp: Duration::from_secs(1),
            patience: Duration::from_secs(30),
            seed: 1,
            token: None,
            ca_file: None,
            jwt_secret: None,
            impair: None,
            workers: 0,
            listen: None,
            churn: None,
            record_timeline: None,
        }
    }
}

impl Options {
    /// Everything that is wrong with them, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |good: bool, problem: String| {
            if !good {
                problems.push(problem);
            }
        };
        check(self.clients > 0, "clients: expected at least 1".into());
        self.check_topics(&mut check);
        let publishers = self.publishers.unwrap_or(self.clients);
        check(
            publishers <= self.clients,
            format!(
                "publishers: expected at most {} (the clients), got {publishers}",
                self.clients
            ),
        );
        check(
            (0.0..=RATE_MAX).contains(&self.rate),
            format!(
                "rate: expected 0 to {RATE_MAX} packets a second, got {}",
                self.rate
            ),
        );
        let window = self.window.unwrap_or(1);
        check(
            (1..=WINDOW_MAX).contains(&window),
            format!("window: expected 1 to {WINDOW_MAX} publications, got {window}"),
        );
        check(
            (payload::BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&self.payload),
            format!(
                "payload: expected {} (what a measurement needs) to {PAYLOAD_BYTES_MAX} bytes, got {}",
                payload::BYTES_MIN,
                self.payload
            ),
        );
        if let Some(churn) = self.churn {
            let (per_s, clients) = (churn.per_s(self.clients), f64::from(self.clients));
            check(
                self.window.is_none(),
                "churn: does not go with a window, whose publishers wait for everybody".into(),
            );
            check(
                per_s > 0.0 && per_s <= clients,
                format!("churn: expected up to {clients} clients a second (all), got {per_s}"),
            );
        }
        check(
            self.duration > Duration::ZERO && self.duration <= DURATION_MAX,
            format!(
                "duration: expected up to {DURATION_MAX:?}, got {:?}",
                self.duration
            ),
        );
        problems
    }

    fn check_topics(&self, check: &mut impl FnMut(bool, String)) {
        check(
            (1..=TOPICS_MAX).contains(&self.topics),
            format!("topics: expected 1 to {TOPICS_MAX}, got {}", self.topics),
        );
        check(
            self.stride > 0 && self.topics.is_multiple_of(self.stride),
            format!(
                "stride: expected a divisor of {} (the topics), got {}",
                self.topics, self.stride
            ),
        );
        check(
            (1..=self.topics).contains(&self.subscribe_per_client),
            format!(
                "subscribe-per-client: expected 1 to {} (the topics), got {}",
                self.topics, self.subscribe_per_client
            ),
        );
    }
}

/// Above it a schedule in nanoseconds means nothing any more.
const RATE_MAX: f64 = 100_000.0;

/// A payload has 24 bits for its topic.
const TOPICS_MAX: u32 = 1_000_000;

/// More would wait in the client's own queue, which has room for as many.
const WINDOW_MAX: u32 = 1_024;

/// The largest packet that a commserver takes by default, less the head around the body.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 - 128;

/// A day.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

static DEFAULT_COORDINATOR: std::sync::LazyLock<Url> = std::sync::LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "a constant, parsed in the first test")]
    Url::parse("ws://127.0.0.1:9090").expect("a URL")
});

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(change: impl FnOnce(&mut Options)) -> Vec<String> {
        let mut options = Options::default();
        change(&mut options);
        options.problems()
    }

    #[test]
    fn defaults_are_good() {
        assert_eq!(Options::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn limits_are_inclusive() {
        assert!(problems(|o| o.payload = 28).is_empty());
        assert_eq!(problems(|o| o.payload = 27).len(), 1);
        assert!(problems(|o| o.payload = PAYLOAD_BYTES_MAX).is_empty());
        assert_eq!(problems(|o| o.payload = PAYLOAD_BYTES_MAX + 1).len(), 1);
        assert!(problems(|o| o.window = Some(WINDOW_MAX)).is_empty());
        assert_eq!(problems(|o| o.window = Some(WINDOW_MAX + 1)).len(), 1);
        assert_eq!(problems(|o| o.window = Some(0)).len(), 1);
        assert!(problems(|o| o.publishers = Some(50)).is_empty());
        assert_eq!(problems(|o| o.publishers = Some(51)).len(), 1);
        assert!(problems(|o| o.publishers = Some(0)).is_empty());
        assert!(problems(|o| (o.topics, o.subscribe_per_client) = (2, 2)).is_empty());
        assert_eq!(
            problems(|o| (o.topics, o.subscribe_per_client) = (2, 3)).len(),
            1
        );
    }

    #[test]
    fn at_most_everybody_is_replaced_each_second() {
        for (churn, good) in [
            (Churn::Count(50.0), true),
            (Churn::Count(50.1), false),
            (Churn::Share(1.0), true),
            (Churn::Share(1.01), false),
            (Churn::Count(f64::NAN), false),
        ] {
            let found = problems(|o| o.churn = Some(churn));
            assert_eq!(found.is_empty(), good, "{churn}: {found:?}");
        }
        let closed_loop = problems(|o| (o.churn, o.window) = (Some(Churn::Count(1.0)), Some(2)));
        assert_eq!(closed_loop.len(), 1);
    }

    #[test]
    fn a_stride_divides_the_topics() {
        assert!(problems(|o| (o.topics, o.stride) = (100, 10)).is_empty());
        assert_eq!(problems(|o| (o.topics, o.stride) = (100, 30)).len(), 1);
        assert_eq!(problems(|o| (o.topics, o.stride) = (100, 0)).len(), 1);
        assert!(problems(|o| o.topics = TOPICS_MAX).is_empty());
        assert_eq!(problems(|o| o.topics = TOPICS_MAX + 1).len(), 1);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let all = problems(|o| (o.clients, o.payload, o.rate) = (0, 0, f64::NAN));
        assert!(all.len() >= 3, "{all:?}");
    }
}
