//! What a packet costs that has to wait for its peer.

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use shard::outbox::{Config, Outbox};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    waiting(&mut criterion);
    full(&mut criterion);
    criterion.final_summary();
}

/// So many packets wait, and then go.
fn waiting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    let (now, packet) = (Instant::now(), packet());
    for count in [1_u64, 100] {
        group.throughput(Throughput::Elements(count));
        let name = BenchmarkId::new("wait and go", count);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                Outbox::default,
                |outbox| {
                    for _ in 0..count {
                        black_box(outbox.push(now, &packet, &Config::RELIABLE));
                    }
                    while black_box(outbox.pop()).is_some() {}
                    outbox.settle(now, &Config::RELIABLE);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// The oldest gives way to each new one.
fn full(criterion: &mut Criterion) {
    let (now, packet) = (Instant::now(), packet());
    let config = Config::UNRELIABLE;
    let mut outbox = Outbox::default();
    for _ in 0..config.count_max {
        outbox.push(now, &packet, &config);
    }
    criterion.bench_function("outbox/full, the oldest gives way", |bencher| {
        bencher.iter(|| black_box(outbox.push(now, &packet, &config)));
    });
}

fn packet() -> Bytes {
    vec![42; 130].into()
}
