//! What a broker is told once, when it is made.

use std::time::Duration;

use proto::{Role, limits, topic};

use crate::topic_rate::TopicRate;

/// Everything that a broker needs to know about itself.
#[derive(Debug, Clone)]
pub struct Config {
    /// Drawn at random when the process starts, never 0: how other servers know this one again when
    /// the coordinator gives it another alias.
    pub instance: u64,
    /// For the jitter of redials and for the topic table's hash.
    pub seed: u64,
    /// Wall-clock time at the `now` given to `Broker::new`, in milliseconds since 1970.
    pub unix_time_ms: u64,
    /// The hub of a star: what comes from one server it passes on to the others that want it.
    pub hub: bool,
    /// Between reports to the coordinator while nothing changes.
    pub load_interval: Duration,
    /// How it goes away.
    pub drain: Drain,
    /// What may grow how far.
    pub limits: Limits,
    /// How long things may take.
    pub timings: Timings,
    /// Believe a peer's AUTH when it claims to be a server although the coordinator did not say so.
    /// For 2019 coordinators, which say nothing about roles.
    pub trust_unstamped_servers: bool,
    /// Take servers that speak only the 2019 protocol as links; they cannot prove themselves to us.
    pub allow_2019_servers: bool,
}

impl Config {
    /// Defaults for everything else.
    #[must_use]
    pub fn new(instance: u64, seed: u64) -> Self {
        Self {
            instance,
            seed,
            unix_time_ms: 0,
            hub: false,
            load_interval: Duration::from_secs(2),
            drain: Drain::default(),
            limits: Limits::default(),
            timings: Timings::default(),
            trust_unstamped_servers: false,
            allow_2019_servers: false,
        }
    }

    /// As what it presents itself to other servers.
    pub(crate) const fn role(&self) -> Role {
        if self.hub {
            Role::CommunicationServerHub
        } else {
            Role::CommunicationServer
        }
    }
}

/// How a server goes away that is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// How long it waits for its clients to go elsewhere; zero for not at all.
    pub timeout: Duration,
    /// The time over which they spread their going, so that the other servers do not get all of
    /// them at once.
    pub within: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(20),
            within: Duration::from_secs(5),
        }
    }
}

/// What may grow how far. Every limit is inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Clients at once, by alias. Links do not count.
    pub peers_max: usize,
    /// Servers at once, by alias.
    pub links_max: usize,
    /// Topics that one client may be subscribed to.
    pub subscriptions_max: usize,
    /// Topics with a subscriber, here or behind a link.
    pub topics_max: usize,
    /// Topics that all links together may want, each counted for each link. Twice as many may wait
    /// to be told to all of them.
    pub link_topics_total_max: usize,
    /// Longest topic, in bytes.
    pub topic_bytes_max: usize,
    /// Most levels of a topic: parts between slashes.
    pub topic_levels_max: usize,
    /// Topics that one client may subscribe to and unsubscribe from in a second, in the long run; 0
    /// for no limit. After a pause it may replace all that it may have at once, or bring two
    /// seconds' worth.
    pub topic_changes_per_s: u32,
    /// Clients at once whose lane is not open yet. One more takes the place of one that has taken
    /// long, or is refused.
    pub handshakes_max: usize,
    /// Largest encoded packet from a client, in bytes.
    pub packet_bytes_max: usize,
    /// Those who are not to be here any more, in bytes.
    pub revocations_bytes_max: usize,
    /// Packets held in order while a peer's authentication is pending.
    pub held_packets_max: usize,
    /// Bytes in those.
    pub held_bytes_max: usize,
}

impl Limits {
    /// What may wait to be told to all links: that a topic is wanted, or is not any more.
    pub(crate) const fn news_max(&self) -> usize {
        self.link_topics_total_max.saturating_mul(2)
    }

    /// How many topics of one request are looked at: enough to replace all that there may be.
    pub(crate) const fn named_topics_max(&self) -> usize {
        self.subscriptions_max.saturating_mul(2)
    }

    pub(crate) fn topic_rate(&self) -> TopicRate {
        TopicRate {
            per_s: self.topic_changes_per_s,
            burst: self
                .named_topics_max()
                .max(two_seconds(self.topic_changes_per_s)),
        }
    }

    /// Whether a client may publish to this, or subscribe to it: a topic, within the limits.
    pub(crate) fn take_topic(&self, topic: &str) -> bool {
        topic::validate(topic, self.topic_bytes_max).is_ok()
            && topic.split('/').count() <= self.topic_levels_max
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peers_max: 4_096,
            links_max: 256,
            subscriptions_max: limits::SUBSCRIPTIONS_MAX,
            topics_max: 131_072,
            // As much as 40 links that want all there are.
            link_topics_total_max: 40 * 131_072,
            topic_bytes_max: limits::TOPIC_BYTES_MAX,
            topic_levels_max: 64,
            topic_changes_per_s: 1_000,
            handshakes_max: 2_048,
            packet_bytes_max: limits::PACKET_BYTES_MAX,
            revocations_bytes_max: limits::REVOCATIONS_BYTES_MAX,
            held_packets_max: limits::HELD_PACKETS_MAX,
            held_bytes_max: limits::HELD_BYTES_MAX,
        }
    }
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timings {
    /// From the first signal to the reliable lane being open. The engine has its own limit, below
    /// this one; this is for engines that forget.
    pub handshake_timeout: Duration,
    /// From the reliable lane being open to the authentication being decided.
    pub auth_timeout: Duration,
    /// From our AUTH to the acceptor's READY; a server that stays silent longer is a 2019 one.
    pub ready_timeout: Duration,
    /// For a client of whom the coordinator says that its session has ended to show that its peer
    /// is there all the same.
    pub gone_timeout: Duration,
    /// So long before a client's credentials end it is asked for new ones, or when half of their
    /// time is over.
    pub refresh_before: Duration,
    /// For a client that was asked for new credentials to show them, however late it was asked.
    pub refresh_timeout: Duration,
    /// Changes of interest within this window are one announcement.
    pub interest_window: Duration,
    /// Pause before the first redial of a server.
    pub redial_min: Duration,
    /// Longest pause between redials.
    pub redial_max: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(20),
            auth_timeout: Duration::from_secs(10),
            ready_timeout: Duration::from_secs(2),
            gone_timeout: Duration::from_secs(5),
            refresh_before: Duration::from_secs(60),
            refresh_timeout: Duration::from_secs(10),
            interest_window: Duration::from_millis(20),
            redial_min: Duration::from_millis(500),
            redial_max: Duration::from_secs(30),
        }
    }
}

fn two_seconds(per_s: u32) -> usize {
    usize::try_from(per_s).map_or(usize::MAX, |per_s| per_s.saturating_mul(2))
}
