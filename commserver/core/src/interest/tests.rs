use super::*;
use proptest::prelude::*;

const WINDOW: Duration = Duration::from_millis(20);

/// What a link knows after all that it was told.
#[derive(Debug, Default)]
struct Listener {
    received: Received,
    topics: BTreeSet<String>,
}

impl Listener {
    fn hear(&mut self, frames: Vec<Bytes>) {
        for frame in frames {
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
}

proptest! {
    /// Links that join at any time all end up knowing what is wanted.
    #[test]
    fn listeners_agree(
        steps in proptest::collection::vec(
            (proptest::collection::vec((0..40_u8, any::<bool>()), 0..30), any::<bool>()), 1..12,
        ),
        length in 1..3_000_usize,
    ) {
        let mut now = Instant::now();
        let mut announcer = Announcer::new(WINDOW, 1_000);
        let mut wanted = BTreeSet::new();
        let mut listeners = Vec::new();
        for (changes, joins) in steps {
            for (topic, add) in changes {
                let topic: Arc<str> = format!("{topic:0>length$}").into();
                let changed = if add {
                    wanted.insert(Arc::clone(&topic))
                } else {
                    wanted.remove(&topic)
                };
                if changed {
                    announcer.mark(now, topic);
                }
            }
            announcer.check_invariants(|topic| wanted.contains(topic));
            if joins {
                // In the middle of a window: what is not announced yet comes with the others'.
                let mut listener = Listener::default();
                listener.hear(announcer.snapshot());
                listeners.push(listener);
            }
            now += WINDOW;
            let frames = announcer.poll(now, |topic| wanted.contains(topic));
            for listener in &mut listeners {
                listener.hear(frames.clone());
                let known: BTreeSet<&str> = listener.topics.iter().map(String::as_str).collect();
                prop_assert_eq!(known, wanted.iter().map(|topic| &**topic).collect());
            }
            prop_assert_eq!(announcer.next_deadline(), None);
        }
    }
}

#[test]
fn too_many_changes_do_not_wait() {
    for (changes, at_once) in [(2, false), (3, true), (4, true)] {
        let now = Instant::now();
        let mut announcer = Announcer::new(WINDOW, 3);
        for topic in 0..changes {
            announcer.mark(now, format!("{topic}").into());
        }
        let due = announcer.next_deadline().expect("an announcement");
        assert_eq!(due == now, at_once, "{changes} changes");
    }
}

#[test]
fn a_topic_larger_than_a_chunk_has_one_of_its_own() {
    let now = Instant::now();
    let mut announcer = Announcer::new(Duration::ZERO, 10);
    let long = "x".repeat(limits::INTEREST_CHUNK_BYTES_MAX);
    for topic in ["a", &long, "z"] {
        announcer.mark(now, topic.into());
    }
    let frames = announcer.poll(now, |_| true);
    let read = |frame: Bytes| InterestMessage::decode(frame).expect("INTEREST").add.len();
    assert_eq!(frames.into_iter().map(read).collect::<Vec<_>>(), [1, 1, 1]);
}
