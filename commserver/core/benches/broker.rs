//! What the broker does for every packet and every subscription, without a socket.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use commserver_core::{Broker, Config, Identity, Input, Output, PeerId};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use proto::{
    AuthMessage, ConnectMessage, Lane, Message, MessageType, Role, SubscribeMessage,
    SubscriptionEntry, SubscriptionMessage, WelcomeMessage, frame, topic_list,
};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    routing(&mut criterion);
    routing_among(&mut criterion);
    lists(&mut criterion);
    requests(&mut criterion);
    criterion.final_summary();
}

/// A published packet to so many recipients.
fn routing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for recipients in [1, 10, 100, 1_000] {
        let mut scene = Scene::new();
        let publisher = scene.client(0);
        for nth in 1..=recipients {
            let subscriber = scene.client(nth);
            scene.packet(subscriber, list(["t".to_owned()]));
        }
        let packet = frame::publish("t", vec![0; 100].into(), 1, false);
        group.throughput(Throughput::Elements(recipients));
        group.bench_function(BenchmarkId::from_parameter(recipients), |bencher| {
            bencher.iter(|| scene.packet(publisher, black_box(packet.clone())));
        });
    }
    group.finish();
}

/// A packet to one recipient, each to another topic, on a server that has this many.
fn routing_among(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route among topics");
    for topics in [100, 10_000, 100_000] {
        let mut scene = Scene::with_topics(topics);
        let publisher = scene.client(0);
        // Prime, so that they come in another order than they were made in.
        let shuffled = (0..topics).map(|nth| cell(nth * 7_919 % topics));
        let packets: Vec<Bytes> = shuffled
            .map(|topic| frame::publish(&topic, vec![0; 100].into(), 1, false))
            .collect();
        let mut packets = packets.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(topics), |bencher| {
            bencher.iter(|| {
                if let Some(packet) = packets.next() {
                    scene.packet(publisher, black_box(packet.clone()));
                }
            });
        });
    }
    group.finish();
}

/// A list of 100 topics in place of one that differs in 10: what a 2019 client sends when it moves.
fn lists(criterion: &mut Criterion) {
    let mut scene = Scene::new();
    let client = scene.client(0);
    let [here, there] = [0, 10].map(|first| {
        let topics = (first..first + 100).map(|n| format!("world/12/cell/{n}"));
        list(topics)
    });
    criterion.bench_function("subscribe/list of 100, 10 of them new", |bencher| {
        bencher.iter(|| {
            scene.packet(client, black_box(there.clone()));
            scene.packet(client, black_box(here.clone()));
        });
    });
}

/// One topic more and less, on a server that has this many.
fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("subscribe");
    for topics in [100, 100_000] {
        let mut scene = Scene::with_topics(topics);
        let client = scene.client(0);
        let [subscribe, unsubscribe] = [MessageType::Subscribe, MessageType::Unsubscribe]
            .map(|kind| request(kind, "world/of/its/own"));
        let name = BenchmarkId::new("one more and less, topics", topics);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (subscribe.clone(), unsubscribe.clone()),
                |(subscribe, unsubscribe)| {
                    scene.packet(client, subscribe);
                    scene.packet(client, unsubscribe);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// One of many topics.
fn cell(nth: u64) -> String {
    format!("world/{}/cell/{}", nth / 100, nth % 100)
}

/// A broker that knows its coordinator.
struct Scene {
    broker: Broker,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        let mut scene = Self {
            broker: Broker::new(now, Config::new(1, 1)),
            now,
        };
        let welcome = encoded(&WelcomeMessage {
            r#type: MessageType::Welcome.into(),
            alias: 1 << 40,
            ..WelcomeMessage::default()
        });
        scene.input(Input::Signal(welcome));
        scene
    }

    /// One with so many topics, a hundred for each client.
    fn with_topics(count: u64) -> Self {
        let mut scene = Self::new();
        for client in 0..count / 100 {
            let subscriber = scene.client(client + 1);
            let first = client * 100;
            scene.packet(subscriber, list((first..first + 100).map(cell)));
        }
        scene
    }

    /// A client that has been let in.
    fn client(&mut self, nth: u64) -> PeerId {
        let connect = encoded(&ConnectMessage {
            r#type: MessageType::Connect.into(),
            from_alias: nth + 1,
            from_role: Role::Client.into(),
            ..ConnectMessage::default()
        });
        let opened = self.input(Input::Signal(connect));
        let Some(peer) = opened else {
            panic!("no peer was opened");
        };
        self.input(Input::PeerOpened { peer });
        let auth = encoded(&AuthMessage {
            r#type: MessageType::Auth.into(),
            role: Role::Client.into(),
            capabilities: frame::capabilities(false),
            ..AuthMessage::default()
        });
        self.packet(peer, auth);
        self.input(Input::Authenticated {
            peer,
            result: Ok(Identity::everything(Bytes::new())),
            proof: Bytes::new(),
        });
        peer
    }

    fn packet(&mut self, peer: PeerId, bytes: Bytes) {
        let lane = Lane::Reliable;
        self.input(Input::Packet { peer, lane, bytes });
    }

    /// Returns the peer that is opened, if one is.
    fn input(&mut self, input: Input) -> Option<PeerId> {
        // Some things are once in a while: the clock goes on.
        self.now += Duration::from_micros(1);
        self.broker.handle_input(self.now, input);
        let mut opened = None;
        while let Some(output) = self.broker.poll_output() {
            if let Output::OpenPeer { peer, .. } = black_box(output) {
                opened = Some(peer);
            }
        }
        opened
    }
}

fn list(topics: impl IntoIterator<Item = String>) -> Bytes {
    let topics: Vec<String> = topics.into_iter().collect();
    encoded(&SubscriptionMessage {
        r#type: MessageType::Subscription.into(),
        format: proto::Format::Plain.into(),
        topics: topic_list::encode_plain(topics.iter().map(String::as_str)),
    })
}

fn request(kind: MessageType, topic: &str) -> Bytes {
    // UNSUBSCRIBE has the same fields.
    encoded(&SubscribeMessage {
        r#type: kind.into(),
        id: 1,
        entries: vec![SubscriptionEntry {
            topic: topic.to_owned(),
            ..SubscriptionEntry::default()
        }],
    })
}

fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}
