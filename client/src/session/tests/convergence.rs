//! Whatever is asked, refused and lost on the way: in the end the server sends what is wanted.

use std::collections::{BTreeSet, VecDeque};

use super::*;
use proptest::prelude::*;
use proto::MigrateMessage;

#[derive(Debug, Clone)]
enum Step {
    Subscribe(Vec<u8>),
    Unsubscribe(Vec<u8>),
    /// The server handles the next few packets.
    Serve(u8),
    /// The session takes the next few answers.
    Answer(u8),
    Lose,
    /// The server asks the session to go, and it goes.
    Move,
}

/// A server as the protocol describes it: it applies what it can of a list, and names the first
/// topic that it could not.
#[derive(Default)]
struct Server {
    topics: BTreeSet<String>,
    /// Packets on their way to it, and answers on their way back: each way in order.
    inbox: VecDeque<Bytes>,
    outbox: VecDeque<Bytes>,
}

const TOPICS_MAX: usize = 4;

impl Server {
    fn handle(&mut self, frame: Bytes) {
        let answer = match peek::message_type(&frame) {
            Some(MessageType::Subscribe) => {
                let message = SubscribeMessage::decode(frame).expect("a SUBSCRIBE");
                let mut refused = None;
                for entry in message.entries {
                    let known = self.topics.contains(&entry.topic);
                    if known || self.topics.len() < TOPICS_MAX {
                        self.topics.insert(entry.topic);
                    } else {
                        refused.get_or_insert(entry.topic);
                    }
                }
                match refused {
                    None => ack(message.id),
                    Some(topic) => {
                        Reason::TooManySubscriptions.error_about(message.id, &topic, None)
                    }
                }
            }
            Some(MessageType::Unsubscribe) => {
                let message = UnsubscribeMessage::decode(frame).expect("an UNSUBSCRIBE");
                for entry in &message.entries {
                    self.topics.remove(&entry.topic);
                }
                ack(message.id)
            }
            _ => return,
        };
        self.outbox.push_back(answer);
    }
}

fn ack(id: u32) -> Bytes {
    let ack = AckMessage {
        r#type: MessageType::Ack.into(),
        id,
    };
    ack.encode_to_vec().into()
}

struct World {
    script: Script,
    server: Server,
    /// The server's alias.
    alias: u64,
}

impl World {
    fn new() -> Self {
        // Longer than any test waits: here every request is answered.
        let request_timeout = Duration::from_secs(1_000_000);
        let mut world = Self {
            script: Script::with(Config {
                request_timeout,
                ..Config::default()
            }),
            server: Server::default(),
            alias: 7,
        };
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.script
            .outputs
            .retain(|output| matches!(output, Output::Dial { .. }));
        self.script.reach_server(&[self.alias]);
        // Room for two topics in a packet, so that many requests are several packets.
        self.script.packet(ready(ALIAS, 25));
        self.collect();
    }

    /// What the session sent is on its way.
    fn collect(&mut self) {
        for output in self.script.outputs.drain(..) {
            if let Output::Send { frame, .. } = output {
                self.server.inbox.push_back(frame);
            }
        }
    }

    fn serve(&mut self, count: usize) {
        for _ in 0..count {
            let Some(frame) = self.server.inbox.pop_front() else {
                return;
            };
            self.server.handle(frame);
        }
    }

    fn answer(&mut self, count: usize) {
        for _ in 0..count {
            let Some(bytes) = self.server.outbox.pop_front() else {
                return;
            };
            let (peer, lane) = (self.script.peer(), Lane::Reliable);
            self.script.input(Input::Packet { peer, lane, bytes });
            self.collect();
        }
    }

    fn take(&mut self, step: Step) {
        let names = |topics: &[u8]| -> Vec<String> {
            topics.iter().map(|topic| format!("t{topic}")).collect()
        };
        match step {
            Step::Subscribe(topics) => {
                let names = names(&topics);
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.script.subscribe(&names);
            }
            Step::Unsubscribe(topics) => {
                let names = names(&topics);
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.script.unsubscribe(&names);
            }
            Step::Serve(count) => self.serve(count.into()),
            Step::Answer(count) => self.answer(count.into()),
            Step::Lose => {
                self.server = Server::default();
                self.script.lose_peer();
                self.script.sleep();
                return self.connect();
            }
            Step::Move => {
                self.server = Server::default();
                self.alias = if self.alias == 7 { 8 } else { 7 };
                self.script.packet(MigrateMessage {
                    r#type: MessageType::Migrate.into(),
                    within_ms: 0,
                });
                self.script.advance(Duration::ZERO);
                return self.connect();
            }
        }
        self.collect();
    }
}

fn topics() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0..7_u8, 0..5)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => topics().prop_map(Step::Subscribe),
        3 => topics().prop_map(Step::Unsubscribe),
        4 => (1..4_u8).prop_map(Step::Serve),
        4 => (1..4_u8).prop_map(Step::Answer),
        1 => Just(Step::Lose),
        1 => Just(Step::Move),
    ]
}

proptest! {
    #[test]
    fn in_the_end_both_sides_agree(steps in proptest::collection::vec(step(), 0..40)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        while !world.server.inbox.is_empty() || !world.server.outbox.is_empty() {
            world.serve(1);
            world.answer(1);
        }
        let wanted: BTreeSet<String> =
            world.script.session.subscriptions.topics().map(str::to_owned).collect();
        prop_assert_eq!(wanted, world.server.topics);
        prop_assert!(world.script.session.subscriptions.finish_all().is_empty());
    }
}
