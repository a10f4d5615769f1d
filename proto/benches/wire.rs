//! What is done to the bytes of every packet: a look into it, and the frames made of it.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use proto::{
    Message as _, Role, TopicMessage,
    frame::{self, Forward, Origin},
    peek,
};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    looks(&mut criterion);
    frames(&mut criterion);
    criterion.final_summary();
}

fn looks(criterion: &mut Criterion) {
    let packet = published(100);
    let mut group = criterion.benchmark_group("look");
    group.bench_function("type", |bencher| {
        bencher.iter(|| peek::message_type(black_box(&packet)));
    });
    for body_bytes in SIZES {
        let packet = published(body_bytes);
        group.throughput(Throughput::Bytes(bytes(packet.len())));
        group.bench_function(BenchmarkId::new("topic packet", body_bytes), |bencher| {
            bencher.iter(|| peek::TopicPacket::decode(black_box(&packet)));
        });
        // What the look spares.
        group.bench_function(BenchmarkId::new("decode by prost", body_bytes), |bencher| {
            bencher.iter(|| TopicMessage::decode(black_box(&packet[..])));
        });
    }
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    for body_bytes in SIZES {
        let packet = published(body_bytes);
        let Some(topic_packet) = peek::TopicPacket::decode(&packet) else {
            continue;
        };
        let origin = Origin {
            alias: ALIAS,
            identity: b"somebody",
            role: Role::Client.into(),
        };
        let body = Bytes::copy_from_slice(topic_packet.body);
        group.throughput(Throughput::Bytes(bytes(packet.len())));
        group.bench_function(BenchmarkId::new("forward", body_bytes), |bencher| {
            bencher.iter(|| Forward::new(black_box(&topic_packet), origin));
        });
        group.bench_function(BenchmarkId::new("relay", body_bytes), |bencher| {
            bencher.iter(|| frame::relay(black_box(&topic_packet), origin, 1));
        });
        group.bench_function(BenchmarkId::new("publish", body_bytes), |bencher| {
            bencher.iter(|| frame::publish(black_box(TOPIC), body.clone(), 7, false));
        });
    }
    group.finish();
}

fn published(body_bytes: usize) -> Bytes {
    frame::publish(TOPIC, vec![42; body_bytes].into(), 1_000, false)
}

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

const TOPIC: &str = "world/12/positions";

/// As the coordinator gives them.
const ALIAS: u64 = 117_509_019_572_992;

/// A position, and a full datagram.
const SIZES: [usize; 2] = [100, 1024];
