use super::*;
use crate::{
    io::PeerId,
    topics::{Form, LinkRoom, TopicTable},
};
use bytes::Bytes;
use proptest::prelude::*;
use proto::{Message, SubscriptionMessage, limits, topic_list};
use std::{collections::BTreeSet, sync::Arc};

const WINDOW: Duration = Duration::from_millis(20);

/// What a link knows after all that it was told.
#[derive(Debug, Default)]
struct Listener {
    received: Received,
    topics: BTreeSet<String>,
}

impl Listener {
    fn hear(&mut self, frame: Bytes) {
        assert!(frame.len() <= limits::INTEREST_CHUNK_BYTES_MAX);
        let message = InterestMessage::decode(frame).expect("INTEREST");
        match self.received.step(&message) {
            Step::Gap => panic!("a gap"),
            Step::Replace => self.topics.clear(),
            Step::Apply => {}
        }
        for topic in &message.remove {
            assert!(self.topics.remove(topic), "{topic} was announced");
        }
        for topic in message.add {
            assert!(self.topics.insert(topic), "announced once");
        }
    }
}

/// A link, and what is on its way there.
struct Told {
    outgoing: Outgoing,
    flying: Vec<Bytes>,
    listener: Listener,
}

impl Told {
    fn new(wanted: &BTreeSet<Arc<str>>) -> Self {
        let mut told = Self {
            outgoing: Outgoing::new(wanted.iter().cloned(), 1_000),
            flying: Vec::new(),
            listener: Listener::default(),
        };
        told.send();
        told
    }

    fn send(&mut self) {
        self.flying
            .extend(std::iter::from_fn(|| self.outgoing.poll()));
        self.outgoing.check_invariants();
    }

    /// The other side takes in so many.
    fn take_in(&mut self, count: usize) {
        for _ in 0..count {
            if !self.flying.is_empty() {
                self.listener.hear(self.flying.remove(0));
                self.outgoing.acknowledge();
                self.send();
            }
        }
    }
}

proptest! {
    /// Links that join at any time and take things in at their own pace all end up knowing what is
    /// wanted, and are told nothing twice.
    #[test]
    fn listeners_agree(
        rounds in proptest::collection::vec(
            (proptest::collection::vec((0..40_u8, any::<bool>()), 0..30), any::<bool>(), 0..4_usize),
            1..12,
        ),
        length in 1..3_000_usize,
    ) {
        let mut wanted: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut links: Vec<Told> = Vec::new();
        for (changes, joins, taken_in) in rounds {
            if joins {
                links.push(Told::new(&wanted));
            }
            let before = wanted.clone();
            for (topic, add) in changes {
                let topic: Arc<str> = format!("{topic:0>length$}").into();
                if add {
                    wanted.insert(topic);
                } else {
                    wanted.remove(&topic);
                }
            }
            let news = wanted.symmetric_difference(&before).cloned();
            let news: Vec<_> = news.map(|topic| (Arc::clone(&topic), wanted.contains(&topic))).collect();
            for link in &mut links {
                link.outgoing.push(news.iter().cloned()).expect("not behind");
                link.send();
                link.take_in(taken_in);
            }
        }
        for link in &mut links {
            link.take_in(usize::from(u16::MAX));
            let known: BTreeSet<&str> = link.listener.topics.iter().map(String::as_str).collect();
            prop_assert_eq!(known, wanted.iter().map(|topic| &**topic).collect());
        }
    }
}

#[test]
fn too_many_changes_do_not_wait() {
    for (changes, wait) in [
        (1, WINDOW),
        (2, WINDOW),
        (3, Duration::ZERO),
        (4, Duration::ZERO),
    ] {
        let now = Instant::now();
        let mut window = Window::new(WINDOW, 3);
        window.note(now, changes);
        assert_eq!(
            window.next_deadline(),
            Some(now + wait),
            "{changes} changes"
        );
    }
    let now = Instant::now();
    let mut window = Window::new(WINDOW, 3);
    window.note(now, 0);
    assert_eq!(window.next_deadline(), None);
    window.note(now, 1);
    window.note(now + WINDOW / 2, 2);
    assert!(
        !window.pass(now + WINDOW / 2),
        "it lasts from the first one on"
    );
    assert!(window.pass(now + WINDOW));
    assert!(!window.pass(now + WINDOW), "and passes once");
}

fn numbered(numbers: std::ops::Range<usize>) -> impl Iterator<Item = (Arc<str>, bool)> {
    numbers.map(|number| (Arc::from(format!("{number}")), true))
}

#[test]
fn what_waits_is_bounded() {
    for (count, fits) in [(19, true), (20, true), (21, false)] {
        let mut outgoing = Outgoing::new(std::iter::empty(), 10);
        assert!(outgoing.poll().is_some(), "the snapshot");
        let pushed = outgoing.push(numbered(0..count));
        assert_eq!(pushed.is_ok(), fits, "{count} topics, where 10 may be");
    }
}

#[test]
fn a_link_that_hears_nothing_is_given_up() {
    let mut outgoing = Outgoing::new(std::iter::empty(), 1_000_000);
    while outgoing.poll().is_some() {}
    for round in 0..10_000 {
        assert_eq!(outgoing.push(std::iter::empty()), Ok(()), "no news");
        if round % 2_000 == 0 {
            outgoing.acknowledge();
            outgoing.push(numbered(round..round + 1)).expect("heard");
            while outgoing.poll().is_some() {}
        }
    }
    let unheard = (0..10_000).take_while(|&n| outgoing.push(numbered(n..n + 1)).is_ok());
    assert_eq!(unheard.count(), 2_048);
}

#[test]
fn what_came_and_went_meanwhile_is_not_turned_around() {
    let mut told = Told::new(&BTreeSet::new());
    told.take_in(1);
    // Nothing leaves while eight are on their way.
    for topic in numbered(0..8) {
        told.outgoing.push(std::iter::once(topic)).expect("room");
        told.send();
    }
    let topic: Arc<str> = "x".into();
    for wanted in [true, false, true, false] {
        let news = std::iter::once((Arc::clone(&topic), wanted));
        told.outgoing.push(news).expect("room");
    }
    assert_eq!(told.flying.len(), 8);
    told.take_in(100);
    assert!(!told.listener.topics.contains("x"));
    assert_eq!(told.listener.topics.len(), 8);
}

// --- lists ---

fn peer(index: u32) -> PeerId {
    PeerId {
        index,
        generation: 0,
    }
}

/// A 2019 link, told of what a client wants.
struct Listed {
    table: TopicTable,
    list: List,
    now: Instant,
}

const CLIENT: u32 = 1;
const LINK: u32 = 2;

impl Listed {
    fn new(topics: impl Iterator<Item = String>) -> Self {
        let mut table = TopicTable::new(1_000_000, LinkRoom::ANY, false, 1);
        for topic in topics {
            table.add(peer(CLIENT), Form::Bare, &topic).expect("room");
        }
        table.take_changes();
        let now = Instant::now();
        let list = List::new(now, table.told_to(peer(LINK)).count());
        Self { table, list, now }
    }

    /// What the client does, and the announcement after it.
    fn change(&mut self, topic: &str, wanted: bool) {
        if wanted {
            self.table
                .add(peer(CLIENT), Form::Bare, topic)
                .expect("room");
        } else {
            self.table.remove(peer(CLIENT), topic);
        }
        for change in self.table.take_changes() {
            let wanted = change.news_to(peer(LINK)).expect("news");
            self.list.note(self.now, &change.topic, wanted);
        }
        self.list.check_invariants(&self.table, peer(LINK));
    }

    /// The next list, if one is due now.
    fn next(&mut self) -> Option<BTreeSet<String>> {
        let frame = self.list.poll(self.now, &self.table, peer(LINK))?;
        self.list.check_invariants(&self.table, peer(LINK));
        assert!(frame.len() <= limits::PACKET_BYTES_MAX_2019);
        let message = SubscriptionMessage::decode(frame).expect("SUBSCRIPTION");
        let read = topic_list::decode(message.format, &message.topics, 1_000_000);
        let read = read.expect("a list");
        Some(read.topics().map(str::to_owned).collect())
    }
}

fn random_names(count: usize) -> impl Iterator<Item = String> {
    let mut state = 1_u64;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        format!("{state:x}")
    })
    .take(count)
}

#[test]
fn a_list_that_fits_is_whole() {
    // 4 bytes each with the space between: 1,250 are 4,999 bytes, and PLAIN.
    for count in [0, 1, 1_249, 1_250, 1_251, 1_600] {
        let mut listed = Listed::new((0..count).map(|n| format!("{n:03x}")));
        let list = listed.next().expect("a list");
        assert_eq!((list.len(), listed.list.missing()), (count, 0));
        assert_eq!(listed.next(), None);
        assert_eq!(listed.list.next_deadline(), None);
    }
}

#[test]
fn a_list_takes_nearly_as_many_as_there_is_room_for() {
    let mut listed = Listed::new(random_names(100_000));
    let list = listed.next().expect("a list");
    assert_eq!(listed.list.missing(), 100_000 - list.len());
    // Random hexadecimal digits hold half a byte each.
    let digits: usize = list.iter().map(String::len).sum();
    let bytes = digits / 2;
    assert!(
        (4_000..=limits::PACKET_BYTES_MAX_2019).contains(&bytes),
        "{bytes}"
    );
}

#[test]
fn a_full_list_does_not_change_with_what_is_not_on_it() {
    let mut listed = Listed::new(random_names(2_000));
    let first = listed.next().expect("a list");
    let missing = listed.list.missing();
    assert!(missing > 0);
    for topic in ["0", "zzz"] {
        listed.change(topic, true);
    }
    assert_eq!(listed.list.next_deadline(), None, "no room, no news");
    assert_eq!(listed.list.missing(), missing + 2);
    listed.change("0", false);
    assert_eq!(listed.list.next_deadline(), None);
    assert_eq!(listed.list.missing(), missing + 1);

    let gone = first.first().expect("a topic").clone();
    listed.change(&gone, false);
    assert_eq!(
        listed.next(),
        None,
        "not so soon after one that was compressed"
    );
    listed.now += PAUSE;
    let second = listed.next().expect("a list");
    let lost: Vec<&String> = first.difference(&second).collect();
    assert_eq!(lost, [&gone], "all others stay");
    // Gzip is not monotonic to the byte: now and then what leaves makes no room.
    assert!(
        second.len() + 3 >= first.len(),
        "{} of {}",
        second.len(),
        first.len()
    );
}

#[test]
fn a_list_with_room_is_replaced_at_once_and_a_compressed_one_after_a_pause() {
    let mut listed = Listed::new(std::iter::empty());
    assert_eq!(
        listed.next(),
        Some(BTreeSet::new()),
        "the first one, also when it is empty"
    );
    for topic in ["a", "b"] {
        listed.change(topic, true);
        assert!(listed.next().is_some());
    }
    for n in 0..600 {
        listed.change(&format!("plaza/{n}"), true);
    }
    assert_eq!(
        listed.next().map(|list| list.len()),
        Some(602),
        "compressed"
    );
    listed.change("c", true);
    listed.now += PAUSE - Duration::from_millis(1);
    assert_eq!(listed.next(), None);
    listed.change("d", true);
    listed.now += Duration::from_millis(1);
    assert_eq!(listed.next().map(|list| list.len()), Some(604));
}

#[test]
fn a_topic_that_fits_into_no_list_keeps_no_other_one_out() {
    let long = "x".repeat(limits::PLAIN_TOPIC_LIST_BYTES_MAX + 1);
    let mut listed = Listed::new(std::iter::once(long));
    assert_eq!(listed.next(), Some(BTreeSet::new()));
    listed.change("a", true);
    assert_eq!(listed.next(), Some(BTreeSet::from(["a".to_owned()])));
    assert_eq!(listed.list.missing(), 1);
}

/// Between two lists that had to be compressed.
const PAUSE: Duration = Duration::from_millis(500);
