//! Not tests but measurements, printed: `cargo test -p shard --test live -- --ignored --nocapture
//! measure`. An unoptimised build tells nothing about speed.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use shard::{
    Config, Event, Handle, Handler, PeerKey, Peers, Shard, Stats,
    rtc_peer::{Lane, Role, Signal},
};
use tokio_util::sync::CancellationToken;

use crate::harness::{ACCEPTOR, config};

/// What the two sides of a pair tell each other instead of through a coordinator.
enum Command {
    /// To the fan-out: a client wants a peer. To a client: here is a signal.
    Open(u64, Handle<Command>),
    Signal(u64, Signal),
    Clock(mpsc::SyncSender<u64>),
    Publish(Duration),
}

/// Sends what comes from one to all others.
#[derive(Default)]
struct FanOut {
    peers: Vec<(PeerKey, u64, Handle<Command>)>,
    open: Vec<PeerKey>,
}

impl Handler for FanOut {
    type Command = Command;

    fn handle_event(&mut self, now: Instant, event: Event, peers: &mut Peers) {
        match event {
            Event::Signal { peer, signal } => {
                let found = self.peers.iter().find(|(key, ..)| *key == peer);
                let (_, id, handle) = found.expect("known");
                let sent = handle.try_send(Command::Signal(*id, signal));
                assert!(sent.is_ok());
            }
            Event::LaneOpen {
                peer,
                lane: Lane::Reliable,
            } => self.open.push(peer),
            Event::Packet { peer, lane, bytes } => {
                for other in &self.open {
                    if *other != peer {
                        peers.send(now, *other, lane, &bytes);
                    }
                }
            }
            // The measurement is over, or fails by what arrives.
            Event::Closed { peer, .. } => self.open.retain(|other| *other != peer),
            _ => {}
        }
    }

    fn handle_command(&mut self, now: Instant, command: Command, peers: &mut Peers) {
        match command {
            Command::Open(id, handle) => {
                let key = peers.open(now, ACCEPTOR).expect("room");
                self.peers.push((key, id, handle));
            }
            Command::Signal(id, signal) => {
                let found = self.peers.iter().find(|(_, other, _)| *other == id);
                peers.handle_signal(now, found.expect("known").0, signal);
            }
            Command::Clock(reply) => _ = reply.send(thread_cpu_ns()),
            Command::Publish(_) => {}
        }
    }

    fn handle_timeout(&mut self, _now: Instant, _peers: &mut Peers) {}

    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

/// Publishes on a schedule and counts what comes.
struct Client {
    server: Handle<Command>,
    id: u64,
    peer: Option<PeerKey>,
    lane: Lane,
    every: Option<Duration>,
    next: Option<Instant>,
    ready: Arc<AtomicU64>,
    start: Instant,
    late_us: Arc<Histogram>,
}

/// Powers of two of microseconds.
#[derive(Default)]
struct Histogram([AtomicU64; 32]);

impl Histogram {
    fn record(&self, us: u64) {
        let bucket = (64 - us.leading_zeros()).min(31);
        self.0[usize::try_from(bucket).expect("small")].fetch_add(1, Ordering::Relaxed);
    }

    fn quantile(&self, q: f64) -> u64 {
        let counts: Vec<_> = self.0.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        #[expect(clippy::as_conversions, reason = "a measurement")]
        let mut rest = (counts.iter().sum::<u64>() as f64 * q) as u64;
        for (bucket, n) in counts.iter().enumerate() {
            if rest < *n {
                return 1 << bucket;
            }
            rest -= n;
        }
        0
    }
}

impl Handler for Client {
    type Command = Command;

    fn handle_event(&mut self, _now: Instant, event: Event, _peers: &mut Peers) {
        match event {
            Event::Signal { signal, .. } => {
                let sent = self.server.try_send(Command::Signal(self.id, signal));
                assert!(sent.is_ok());
            }
            Event::LaneOpen { .. } => _ = self.ready.fetch_add(1, Ordering::SeqCst),
            Event::Packet { bytes, .. } => {
                let sent_us = u64::from_be_bytes(bytes[..8].try_into().expect("eight"));
                let now_us = u64::try_from(self.start.elapsed().as_micros()).expect("fits");
                self.late_us.record(now_us.saturating_sub(sent_us));
            }
            Event::Closed { .. } => self.peer = None,
            Event::SlowConsumer { .. } => {}
        }
    }

    fn handle_command(&mut self, now: Instant, command: Command, peers: &mut Peers) {
        match command {
            Command::Signal(_, signal) => {
                let open = || peers.open(now, Role::Dialer).expect("room");
                let key = *self.peer.get_or_insert_with(open);
                peers.handle_signal(now, key, signal);
            }
            Command::Publish(every) => {
                self.every = (!every.is_zero()).then_some(every);
                // Spread over the interval.
                let phase = (every / 97) * u32::try_from(self.id % 97).expect("small");
                self.next = self.every.map(|_| now + phase);
            }
            Command::Open(..) | Command::Clock(_) => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, peers: &mut Peers) {
        let (Some(next), Some(every), Some(peer)) = (self.next, self.every, self.peer) else {
            return;
        };
        let due_us = u64::try_from((next - self.start).as_micros()).expect("fits");
        let mut bytes = due_us.to_be_bytes().to_vec();
        bytes.resize(100, 0);
        peers.send(now, peer, self.lane, &Bytes::from(bytes));
        self.next = Some(next + every);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next
    }
}

fn thread_cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let first = text.split_whitespace().next().expect("a number");
    first.parse().expect("a number")
}

fn resident_kib() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find(|l| l.starts_with("VmRSS")).expect("RSS");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse().expect("a number")
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    server: Handle<Command>,
    stats: Arc<Stats>,
    clients: HashMap<u64, Handle<Command>>,
    client_stats: Vec<Arc<Stats>>,
    late_us: Arc<Histogram>,
}

/// A fan-out on a thread of its own and `n` clients on another runtime.
fn connect(n: u64, lane: Lane) -> Bench {
    let shutdown = CancellationToken::new();
    let (reply, started) = mpsc::sync_channel(1);
    let token = shutdown.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut settings: Config = config(1);
            settings.commands_max = 100_000;
            settings.receive_buffers = 32;
            let shard = Shard::bind(settings, FanOut::default()).expect("binds");
            reply.send((shard.handle(), shard.stats())).expect("waits");
            shard.run(token).await;
        });
    });
    let (server, stats) = started.recv().expect("started");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let ready = Arc::new(AtomicU64::new(0));
    let late_us: Arc<Histogram> = Arc::default();
    let mut clients = HashMap::new();
    let mut client_stats = Vec::new();
    let start = Instant::now();
    for id in 0..n {
        let _guard = runtime.enter();
        let mut settings = config(1000 + id);
        settings.socket_buffer_bytes = 1024 * 1024;
        settings.receive_buffers = 1;
        let client = Client {
            server: server.clone(),
            id,
            peer: None,
            lane,
            every: None,
            next: None,
            ready: Arc::clone(&ready),
            start,
            late_us: Arc::clone(&late_us),
        };
        let shard = Shard::bind(settings, client).expect("binds");
        clients.insert(id, shard.handle());
        client_stats.push(shard.stats());
        let opened = server.try_send(Command::Open(id, shard.handle()));
        assert!(opened.is_ok());
        runtime.spawn(shard.run(shutdown.clone()));
        // A few at a time.
        while ready.load(Ordering::SeqCst) + 200 < 2 * id {
            std::thread::yield_now();
        }
    }
    while ready.load(Ordering::SeqCst) < 2 * n {
        assert!(start.elapsed() < Duration::from_secs(120), "connects");
        std::thread::sleep(Duration::from_millis(10));
    }
    Bench {
        runtime,
        server,
        stats,
        clients,
        client_stats,
        late_us,
    }
}

impl Bench {
    fn server_cpu_ns(&self) -> u64 {
        let (reply, answer) = mpsc::sync_channel(1);
        assert!(self.server.try_send(Command::Clock(reply)).is_ok());
        answer.recv().expect("answers")
    }

    fn publish(&self, every: Duration) {
        for handle in self.clients.values() {
            assert!(handle.try_send(Command::Publish(every)).is_ok());
        }
    }

    fn received(&self, lane: Lane) -> u64 {
        let received = |s: &Arc<Stats>| s.lane(lane).packets_in.value();
        self.client_stats.iter().map(received).sum()
    }
}

#[expect(clippy::print_stdout, clippy::as_conversions, reason = "a measurement")]
fn fan_out(n: u64, hz: u32, lane: Lane) {
    let bench = connect(n, lane);
    bench.publish(Duration::from_secs(1) / hz);
    std::thread::sleep(Duration::from_secs(1));
    let seconds = 5;
    let (cpu, received) = (bench.server_cpu_ns(), bench.received(lane));
    let (sent, datagrams) = (
        bench.stats.lane(lane).packets_out.value(),
        bench.stats.datagrams_out.value(),
    );
    let (calls, passes) = (bench.stats.send_calls.value(), bench.stats.passes.value());
    std::thread::sleep(Duration::from_secs(seconds));
    let cpu = bench.server_cpu_ns() - cpu;
    let received = bench.received(lane) - received;
    let sent = bench.stats.lane(lane).packets_out.value() - sent;
    let datagrams = bench.stats.datagrams_out.value() - datagrams;
    let calls = bench.stats.send_calls.value() - calls;
    let passes = bench.stats.passes.value() - passes;
    let cpu_s = cpu as f64 / 1e9;
    let goal = (n * (n - 1) * u64::from(hz)) as f64 * seconds as f64;
    let drops: Vec<_> = shard::DropReason::ALL
        .map(|r| (r.name(), bench.stats.dropped(r)))
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .collect();
    println!(
        "{n} x {n} at {hz} Hz, {lane:?}: {:.0}/s received ({:.1} % of goal), server CPU {:.0} %, \
         {:.0} deliveries per CPU-s, {:.2} packets per datagram, {:.2} datagrams per call, \
         {:.1} datagrams per pass, p50 < {} us, p99 < {} us, drops {drops:?}, kernel {:?}",
        received as f64 / seconds as f64,
        received as f64 / goal * 100.0,
        cpu_s / seconds as f64 * 100.0,
        sent as f64 / cpu_s,
        sent as f64 / datagrams as f64,
        datagrams as f64 / calls as f64,
        datagrams as f64 / passes as f64,
        bench.late_us.quantile(0.5),
        bench.late_us.quantile(0.99),
        shard::kernel_drops(
            bench
                .client_stats
                .iter()
                .map(|s| &**s)
                .chain([&*bench.stats])
        ),
    );
    bench.runtime.shutdown_background();
}

#[test]
#[ignore = "a measurement"]
fn measure_fan_out() {
    fan_out(50, 10, Lane::Unreliable);
    fan_out(50, 10, Lane::Reliable);
    fan_out(50, 60, Lane::Unreliable);
    fan_out(50, 60, Lane::Reliable);
}

#[test]
#[ignore = "a measurement"]
#[expect(clippy::as_conversions, reason = "a measurement")]
fn measure_idle() {
    let first = connect(100, Lane::Reliable);
    let before = resident_kib();
    let cpu = first.server_cpu_ns();
    std::thread::sleep(Duration::from_secs(5));
    let cpu = first.server_cpu_ns() - cpu;
    let n = 500;
    let second = connect(n, Lane::Reliable);
    let after = resident_kib();
    println!(
        "{:.0} KiB per connected pair (both sides and the client's socket); 100 idle peers: {:.2} % CPU",
        (after - before) as f64 / n as f64,
        cpu as f64 / 5e9 * 100.0
    );
    first.runtime.shutdown_background();
    second.runtime.shutdown_background();
}
