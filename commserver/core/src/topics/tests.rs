use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn peer(index: u32) -> PeerId {
    PeerId {
        index,
        generation: index + 100,
    }
}

/// The peers of the tests: each has its form for good.
fn form(peer: PeerId) -> Form {
    match peer.index % 3 {
        0 => Form::Bare,
        1 => Form::Topical,
        _ => Form::Server,
    }
}

/// The obvious implementation.
#[derive(Debug, Default)]
struct Model {
    topics: BTreeMap<String, BTreeSet<PeerId>>,
}

impl Model {
    /// Whether this link is to know that the topic is wanted: by somebody else.
    fn wanted_for(&self, link: PeerId, topic: &str, hub: bool) -> bool {
        let subscribers = self.topics.get(topic).into_iter().flatten();
        let mut counted = subscribers.filter(|&&peer| hub || form(peer) != Form::Server);
        counted.any(|&peer| peer != link)
    }

    fn add(&mut self, peer: PeerId, topic: &str, topics_max: usize) -> Result<(), Full> {
        if self.topics.len() >= topics_max && !self.topics.contains_key(topic) {
            return Err(Full::Topics);
        }
        self.topics.entry(topic.into()).or_default().insert(peer);
        Ok(())
    }

    fn remove(&mut self, peer: PeerId, topic: &str) {
        if let Some(peers) = self.topics.get_mut(topic) {
            peers.remove(&peer);
            if peers.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    fn of_peer(&self, peer: PeerId) -> BTreeSet<String> {
        let subscribed = self
            .topics
            .iter()
            .filter(|(_, peers)| peers.contains(&peer));
        subscribed.map(|(topic, _)| topic.clone()).collect()
    }
}

#[derive(Debug, Clone)]
enum Op {
    Add(u32, u8),
    Remove(u32, u8),
    RemovePeer(u32),
    KeepOnly(u32, Vec<u8>),
    Announce,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..9_u32, 0..12_u8).prop_map(|(peer, topic)| Op::Add(peer, topic)),
        3 => (0..9_u32, 0..12_u8).prop_map(|(peer, topic)| Op::Remove(peer, topic)),
        1 => (0..9_u32).prop_map(Op::RemovePeer),
        1 => (0..9_u32, proptest::collection::vec(0..12_u8, 0..4))
            .prop_map(|(peer, topics)| Op::KeepOnly(peer, topics)),
        1 => Just(Op::Announce),
    ]
}

/// Does it to both.
fn apply(op: &Op, table: &mut TopicTable, model: &mut Model, topics_max: usize) {
    let name = |topic: &u8| format!("topic/{topic}");
    match op {
        Op::Add(id, topic) => {
            let (id, topic) = (peer(*id), name(topic));
            let expected = model.add(id, &topic, topics_max);
            assert_eq!(table.add(id, form(id), &topic), expected);
        }
        Op::Remove(id, topic) => {
            let (id, topic) = (peer(*id), name(topic));
            model.remove(id, &topic);
            table.remove(id, &topic);
        }
        Op::RemovePeer(id) => {
            let id = peer(*id);
            for topic in model.of_peer(id) {
                model.remove(id, &topic);
            }
            table.remove_peer(id);
        }
        Op::KeepOnly(id, topics) => {
            let id = peer(*id);
            let kept: BTreeSet<String> = topics.iter().map(name).collect();
            for topic in model.of_peer(id).difference(&kept) {
                model.remove(id, topic);
            }
            table.keep_only(id, kept.iter().map(String::as_str));
        }
        Op::Announce => {}
    }
}

/// What links know after all that they were told: those of the tests, and one that wants nothing.
type Known = BTreeMap<PeerId, BTreeSet<String>>;

/// Tells the links what has changed, and compares what they know with what they should.
fn announce(table: &mut TopicTable, model: &Model, hub: bool, known: &mut Known) {
    let changes = table.take_changes();
    let mut named = BTreeSet::new();
    for change in &changes {
        assert!(named.insert(&change.topic), "each topic once");
    }
    for (&link, known) in known {
        for change in &changes {
            let topic = change.topic.as_ref().to_owned();
            match change.news_to(link) {
                Some(true) => assert!(known.insert(topic), "it is news"),
                Some(false) => assert!(known.remove(&topic), "it is news"),
                None => {}
            }
        }
        let names = model.topics.keys();
        let expected = names.filter(|topic| model.wanted_for(link, topic, hub));
        assert_eq!(*known, expected.cloned().collect(), "{link}, hub: {hub}");
        let told: BTreeSet<String> = table.told_to(link).map(|topic| topic.to_string()).collect();
        assert_eq!(told, *known);
        assert!(told.iter().all(|topic| table.is_told(link, topic)));
    }
}

proptest! {
    #[test]
    fn does_what_the_obvious_one_does(
        ops in proptest::collection::vec(op(), 0..200),
        topics_max in 1..14_usize, hub: bool, seed: u64,
    ) {
        let mut table = TopicTable::new(topics_max, LinkRoom::ANY, hub, seed);
        let mut model = Model::default();
        let links = (0..12).map(peer).filter(|&peer| form(peer) == Form::Server);
        let mut known: Known = links.map(|link| (link, BTreeSet::new())).collect();
        for op in &ops {
            apply(op, &mut table, &mut model, topics_max);
            if matches!(op, Op::Announce) {
                announce(&mut table, &model, hub, &mut known);
                prop_assert_eq!(table.changed_len(), 0);
            }
            table.check_invariants(|peer| Some(form(peer)));
            prop_assert_eq!(table.len(), model.topics.len());
        }
        announce(&mut table, &model, hub, &mut known);
        for (name, peers) in &model.topics {
            let topic = table.get(name).expect("a topic");
            for wanted in Form::ALL {
                let found: BTreeSet<_> = topic.subscribers(wanted).iter().copied().collect();
                let expected = peers.iter().filter(|&&peer| form(peer) == wanted);
                prop_assert_eq!(found, expected.copied().collect());
            }
        }
        for id in (0..9).map(peer) {
            let own = model.of_peer(id);
            prop_assert_eq!(table.count_of_peer(id), own.len());
            prop_assert!(own.iter().all(|topic| table.contains(id, topic)));
        }
    }
}

#[test]
fn topics_are_bounded() {
    let mut table = TopicTable::new(3, LinkRoom::ANY, false, 1);
    for (topic, fits) in [
        ("a", true),
        ("b", true),
        ("c", true),
        ("d", false),
        ("c", true),
    ] {
        assert_eq!(
            table.add(peer(0), Form::Bare, topic).is_ok(),
            fits,
            "{topic}"
        );
    }
    table.remove(peer(0), "a");
    assert!(
        table.add(peer(0), Form::Bare, "d").is_ok(),
        "there is room again"
    );
}

#[test]
fn a_topic_that_came_and_went_is_nobodys_news() {
    let mut table = TopicTable::new(3, LinkRoom::ANY, false, 1);
    table.add(peer(0), Form::Bare, "a").expect("room");
    table.remove(peer(0), "a");
    assert_eq!(table.take_changes(), []);
    table.add(peer(0), Form::Bare, "a").expect("room");
    assert_eq!(table.take_changes().len(), 1);
    table.remove(peer(0), "a");
    table.add(peer(3), Form::Bare, "a").expect("room");
    assert_eq!(table.take_changes(), []);
}

#[test]
fn what_links_are_still_to_be_told_takes_no_topics_room() {
    let mut table = TopicTable::new(2, LinkRoom::ANY, false, 1);
    for topic in ["a", "b"] {
        table.add(peer(0), Form::Bare, topic).expect("room");
    }
    table.take_changes();
    table.remove_peer(peer(0));
    assert_eq!((table.len(), table.changed_len()), (0, 2));
    for (topic, fits) in [("c", true), ("b", true), ("a", false), ("d", false)] {
        let added = table.add(peer(0), Form::Bare, topic);
        assert_eq!(added.is_ok(), fits, "{topic}");
        table.check_invariants(|_| Some(Form::Bare));
    }
    let changes = table.take_changes();
    let changes: Vec<_> = changes.iter().map(|c| (&*c.topic, c.after)).collect();
    let (none, all) = (Audience::Nobody, Audience::Everybody);
    assert_eq!(changes, [("a", none), ("c", all)]);
}
