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
    fn wanted(&self, topic: &str) -> bool {
        let subscribers = self.topics.get(topic);
        subscribers.is_some_and(|peers| peers.iter().any(|&peer| form(peer) != Form::Server))
    }

    fn add(&mut self, peer: PeerId, topic: &str, topics_max: usize) -> Result<(), Full> {
        if self.topics.len() >= topics_max && !self.topics.contains_key(topic) {
            return Err(Full);
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
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..9_u32, 0..12_u8).prop_map(|(peer, topic)| Op::Add(peer, topic)),
        3 => (0..9_u32, 0..12_u8).prop_map(|(peer, topic)| Op::Remove(peer, topic)),
        1 => (0..9_u32).prop_map(Op::RemovePeer),
    ]
}

/// Does it to both, and compares what they say of a change of interest.
fn apply(op: &Op, table: &mut TopicTable, model: &mut Model, topics_max: usize) {
    let name = |topic: u8| format!("topic/{topic}");
    match *op {
        Op::Add(id, topic) => {
            let (id, topic) = (peer(id), name(topic));
            let before = model.wanted(&topic);
            let expected = model.add(id, &topic, topics_max);
            let change = table.add(id, form(id), &topic);
            assert_eq!(change.as_ref().map(|_| ()), expected.as_ref().map(|&()| ()));
            let interest = matches!(change, Ok(Change::Interest(_)));
            assert_eq!(interest, model.wanted(&topic) != before, "{op:?}");
        }
        Op::Remove(id, topic) => {
            let (id, topic) = (peer(id), name(topic));
            let before = model.wanted(&topic);
            model.remove(id, &topic);
            let interest = matches!(table.remove(id, &topic), Change::Interest(_));
            assert_eq!(interest, model.wanted(&topic) != before, "{op:?}");
        }
        Op::RemovePeer(id) => {
            let id = peer(id);
            let mut expected = BTreeSet::new();
            for topic in model.of_peer(id) {
                let before = model.wanted(&topic);
                model.remove(id, &topic);
                if model.wanted(&topic) != before {
                    expected.insert(topic);
                }
            }
            let mut changed = BTreeSet::new();
            table.remove_peer(id, |change| {
                if let Change::Interest(topic) = change {
                    changed.insert(topic.as_ref().to_owned());
                }
            });
            assert_eq!(changed, expected, "{op:?}");
        }
    }
}

proptest! {
    #[test]
    fn does_what_the_obvious_one_does(
        ops in proptest::collection::vec(op(), 0..200), topics_max in 1..14_usize, seed: u64,
    ) {
        let mut table = TopicTable::new(topics_max, seed);
        let mut model = Model::default();
        for op in &ops {
            apply(op, &mut table, &mut model, topics_max);
            table.check_invariants(|peer| Some(form(peer)));
            prop_assert_eq!(table.len(), model.topics.len());
        }
        for (name, peers) in &model.topics {
            let topic = table.get(name).expect("a topic");
            for wanted in Form::ALL {
                let found: BTreeSet<_> = topic.subscribers(wanted).iter().copied().collect();
                let expected = peers.iter().filter(|&&peer| form(peer) == wanted);
                prop_assert_eq!(found, expected.copied().collect());
            }
            prop_assert_eq!(table.is_wanted(name), model.wanted(name));
        }
        for id in (0..9).map(peer) {
            let found = table.of_peer(id).map(|topic| topic.as_ref().to_owned());
            prop_assert_eq!(found.collect::<BTreeSet<_>>(), model.of_peer(id));
            prop_assert_eq!(table.count_of_peer(id), model.of_peer(id).len());
        }
    }
}

#[test]
fn topics_are_bounded() {
    let mut table = TopicTable::new(3, 1);
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
