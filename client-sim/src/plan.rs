//! Who does what when: the same for every bot, known before the first one starts. From it follows
//! what each of them must receive.

use std::{sync::Arc, time::Duration};

use client::Lane;

use crate::Options;

/// The plan of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Marks this run's packets.
    pub(crate) run: u32,
    pub(crate) lane: Lane,
    pub(crate) payload_bytes: usize,
    pub(crate) clients: u32,
    /// The first so many clients publish.
    pub(crate) publishers: u32,
    pub(crate) topics: Vec<Arc<str>>,
    subscribe_per_client: u32,
    /// From one client's first topic to the next one's: a divisor of the topics.
    stride: u32,
    /// Between two packets of a publisher.
    interval_ns: u64,
    /// Packets of each publisher; in a closed loop the most that there can be.
    pub(crate) slots: u32,
    /// Of a closed loop: packets that each publisher may have under way.
    pub(crate) window: Option<u32>,
    /// Of a closed loop: when to stop, since the start.
    pub(crate) duration: Duration,
    seed: u64,
}

/// A topic of the plan, by number.
pub(crate) type TopicId = u32;

impl Plan {
    pub(crate) fn new(options: &Options, run: u32) -> Self {
        let publishing = options.rate > 0.0;
        let interval = if publishing {
            Duration::from_secs_f64(1.0 / options.rate)
        } else {
            options.duration
        };
        let interval_ns = nanos(interval).max(1);
        // 60 a second for 10 s are 600, though 600 times 16,666,667 ns is a little more than 10 s.
        let slots = (nanos(options.duration) + interval_ns / 1_000) / interval_ns;
        let topic = |n| format!("client-sim/{run:08x}/{n}").into();
        Self {
            run,
            lane: options.lane,
            payload_bytes: options.payload,
            clients: options.clients,
            publishers: options
                .publishers
                .unwrap_or(options.clients)
                .min(options.clients),
            topics: (0..options.topics).map(topic).collect(),
            subscribe_per_client: options.subscribe_per_client.min(options.topics),
            stride: options.stride.max(1),
            interval_ns,
            slots: if options.window.is_some() {
                SLOTS_MAX
            } else if publishing {
                u32::try_from(slots).unwrap_or(u32::MAX)
            } else {
                0
            },
            window: options.window,
            duration: options.duration,
            seed: options.seed,
        }
    }

    /// What a client subscribes to: as many topics as asked for, each client starting one stride
    /// later.
    pub(crate) fn topics_of(&self, client: u32) -> impl Iterator<Item = TopicId> + use<'_> {
        let first = self.first_topic(client);
        (0..self.subscribe_per_client).map(move |n| first.wrapping_add(n) % self.topic_count())
    }

    /// What a publisher publishes to.
    pub(crate) fn topic_of_publisher(&self, publisher: u32) -> TopicId {
        self.first_topic(publisher)
    }

    /// The topics that somebody publishes to.
    pub(crate) fn topics_published(&self) -> impl Iterator<Item = TopicId> + use<'_> {
        (0..self.publishers.min(self.starts())).map(|publisher| self.first_topic(publisher))
    }

    pub(crate) fn topic(&self, topic: TopicId) -> Option<&Arc<str>> {
        self.topics.get(index(topic))
    }

    /// Where a client starts: n strides in, counted round.
    fn first_topic(&self, client: u32) -> TopicId {
        client % self.starts() * self.stride
    }

    /// How many topics clients start with.
    fn starts(&self) -> u32 {
        (self.topic_count() / self.stride).max(1)
    }

    /// How many streams of packets a client can receive.
    pub(crate) fn streams(&self) -> usize {
        index(
            self.subscribe_per_client
                .saturating_mul(self.publishers_per_topic()),
        )
    }

    /// How many publishers a client receives.
    pub(crate) fn streams_of(&self, client: u32) -> usize {
        (0..self.streams())
            .filter(|stream| self.publisher_of(client, *stream).is_some())
            .count()
    }

    /// The place of what `publisher` sends among the streams that `client` can receive; `None` if
    /// it does not receive that at all.
    pub(crate) fn stream(&self, client: u32, publisher: u32) -> Option<usize> {
        let topics = self.topic_count();
        let (to, from) = (self.first_topic(publisher), self.first_topic(client));
        let place = (to + topics - from) % topics;
        if place >= self.subscribe_per_client || publisher >= self.publishers || publisher == client
        {
            return None;
        }
        Some(index(
            place * self.publishers_per_topic() + publisher / self.starts(),
        ))
    }

    /// The publisher behind a stream of a client, if there is one.
    pub(crate) fn publisher_of(&self, client: u32, stream: usize) -> Option<u32> {
        let topics = self.topic_count();
        let stream = u32::try_from(stream).ok()?;
        let (place, nth) = (
            stream / self.publishers_per_topic(),
            stream % self.publishers_per_topic(),
        );
        let topic = self.first_topic(client).wrapping_add(place) % topics;
        if !topic.is_multiple_of(self.stride) {
            return None;
        }
        let publisher = nth * self.starts() + topic / self.stride;
        self.stream(client, publisher).map(|_| publisher)
    }

    /// When a publisher's packet is due, since the start. The publishers are spread over the
    /// interval, each by its own draw.
    pub(crate) fn due_ns(&self, publisher: u32, slot: u32) -> u64 {
        let phase = spread(self.seed ^ u64::from(publisher)) % self.interval_ns;
        phase + u64::from(slot) * self.interval_ns
    }

    /// The first of a publisher's slots that is not due before, since the start.
    pub(crate) fn slot_from(&self, publisher: u32, since: Duration) -> u32 {
        let later = nanos(since).saturating_sub(self.due_ns(publisher, 0));
        u32::try_from(later.div_ceil(self.interval_ns)).unwrap_or(u32::MAX)
    }

    /// When nothing is published any more, since the start.
    pub(crate) fn length(&self) -> Duration {
        match self.window {
            Some(_) => self.duration,
            None => Duration::from_nanos(self.interval_ns.saturating_mul(self.slots.into())),
        }
    }

    fn topic_count(&self) -> u32 {
        u32::try_from(self.topics.len()).unwrap_or(u32::MAX).max(1)
    }

    fn publishers_per_topic(&self) -> u32 {
        self.publishers.div_ceil(self.starts()).max(1)
    }
}

/// A bitmap of them is 8 MiB.
const SLOTS_MAX: u32 = 1 << 26;

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Makes numbers that look drawn at random of numbers that count.
pub(crate) fn spread(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn plan(clients: u32, topics: u32, subscribe: u32, publishers: Option<u32>) -> Plan {
        plan_with_stride(clients, topics, subscribe, publishers, 1)
    }

    fn plan_with_stride(
        clients: u32,
        topics: u32,
        subscribe: u32,
        publishers: Option<u32>,
        stride: u32,
    ) -> Plan {
        let options = Options {
            clients,
            topics,
            subscribe_per_client: subscribe,
            stride,
            publishers,
            rate: 10.0,
            duration: Duration::from_secs(2),
            ..Options::default()
        };
        Plan::new(&options, 1)
    }

    #[test]
    fn streams_are_those_of_the_topics_subscribed() {
        let shapes = [
            (5, 1, 1, None, 1),
            (7, 3, 2, None, 1),
            (7, 3, 3, Some(4), 1),
            (4, 9, 2, None, 1),
            (3, 2, 1, Some(0), 1),
            (7, 20, 6, None, 5),
            (9, 12, 5, Some(8), 4),
            (3, 8, 2, None, 8),
        ];
        for (clients, topics, subscribe, publishers, stride) in shapes {
            let plan = plan_with_stride(clients, topics, subscribe, publishers, stride);
            for client in 0..clients {
                let wanted: BTreeSet<TopicId> = plan.topics_of(client).collect();
                assert_eq!(wanted.len(), index(subscribe));
                let mut places = BTreeSet::new();
                for publisher in 0..clients {
                    let due = publisher < plan.publishers
                        && publisher != client
                        && wanted.contains(&plan.topic_of_publisher(publisher));
                    let stream = plan.stream(client, publisher);
                    assert_eq!(stream.is_some(), due, "{client} of {publisher} in {plan:?}");
                    let Some(stream) = stream else { continue };
                    assert!(stream < plan.streams() && places.insert(stream));
                    assert_eq!(plan.publisher_of(client, stream), Some(publisher));
                }
                for stream in (0..plan.streams()).filter(|stream| !places.contains(stream)) {
                    assert_eq!(plan.publisher_of(client, stream), None);
                }
                assert_eq!(plan.streams_of(client), places.len());
            }
        }
    }

    #[test]
    fn strides_spread_clients_over_many_topics() {
        // One topic more than the stride: each client hears the next one's first topic as well.
        let plan = plan_with_stride(100, 10_000, 101, None, 100);
        let covered: BTreeSet<TopicId> = (0..100).flat_map(|n| plan.topics_of(n)).collect();
        assert_eq!(covered.len(), 10_000);
        let published: BTreeSet<TopicId> = plan.topics_published().collect();
        assert_eq!(published.len(), 100);
        for publisher in 0..100 {
            let hear = (0..100).filter(|client| plan.stream(*client, publisher).is_some());
            assert_eq!(hear.collect::<Vec<_>>(), [(publisher + 99) % 100]);
        }
    }

    #[test]
    fn the_schedule_is_open_loop_and_spread() {
        let plan = plan(50, 1, 1, None);
        assert_eq!(plan.slots, 20);
        let interval = 100_000_000;
        let phases: BTreeSet<u64> = (0..50).map(|publisher| plan.due_ns(publisher, 0)).collect();
        assert!(phases.iter().all(|phase| *phase < interval));
        assert!(phases.len() > 45, "they do not all publish at once");
        assert_eq!(plan.due_ns(3, 7) - plan.due_ns(3, 0), 7 * interval);
    }

    #[test]
    fn the_slots_of_a_stretch_are_those_due_in_it() {
        let plan = plan(3, 1, 1, None);
        for slot in [0, 1, 19] {
            let due = Duration::from_nanos(plan.due_ns(1, slot));
            assert_eq!(plan.slot_from(1, due), slot);
            assert_eq!(plan.slot_from(1, due + Duration::from_nanos(1)), slot + 1);
        }
        assert_eq!(plan.slot_from(1, Duration::ZERO), 0);
        assert_eq!(plan.length(), Duration::from_secs(2));
    }

    #[test]
    fn without_a_rate_nothing_is_published() {
        let options = Options {
            rate: 0.0,
            ..Options::default()
        };
        assert_eq!(Plan::new(&options, 1).slots, 0);
    }
}
