//! The bounds of a pass, one pass at a time. What passes do together is tested live.

use rtc_peer::{Certificate, Role};
use tokio::net::UdpSocket;

use super::*;
use crate::{Event, stats::DropReason};

/// Notes what it is told; slow at events when `event_time` says so.
#[derive(Debug, Default)]
struct Log {
    events: usize,
    commands: usize,
    timeouts: usize,
    pass_ends: usize,
    event_time: Duration,
    deadline: Option<Instant>,
}

impl Handler for Log {
    /// How many peers to open.
    type Command = usize;

    fn handle_event(&mut self, _now: Instant, _event: Event, _peers: &mut Peers) {
        self.events += 1;
        let until = Instant::now() + self.event_time;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }

    fn handle_command(&mut self, now: Instant, peers_to_open: usize, peers: &mut Peers) {
        self.commands += 1;
        for _ in 0..peers_to_open {
            let role = Role::Acceptor { ice_lite: true };
            peers.open(now, role).expect("room");
        }
    }

    fn handle_timeout(&mut self, _now: Instant, _peers: &mut Peers) {
        self.timeouts += 1;
        self.deadline = None;
    }

    fn handle_pass_end(&mut self, _now: Instant, _peers: &mut Peers) {
        self.pass_ends += 1;
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

fn shard() -> Shard<Log> {
    let config = Config::new(Certificate::generate().unwrap(), 1);
    Shard::bind(config, Log::default()).unwrap()
}

#[tokio::test]
async fn a_pass_takes_so_many_commands() {
    let mut shard = shard();
    shard.bounds.commands = 3;
    for _ in 0..4 {
        shard.handle().try_send(0).unwrap();
    }
    assert!(shard.pass().await, "one is left");
    assert_eq!(shard.handler.commands, 3);
    assert!(!shard.pass().await);
    assert_eq!(shard.handler.commands, 4);
    assert_eq!(shard.stats.passes_cut.value(), 1);
    assert_eq!(shard.handler.pass_ends, 2);
}

#[tokio::test]
async fn a_pass_wakes_so_many_peers() {
    let mut shard = shard();
    shard.bounds.deadlines = 3;
    shard.handle().try_send(4).unwrap();
    while shard.pass().await {}
    // Handshake deadlines: in a far future, all are due.
    let far = Instant::now() + Duration::from_secs(3600);
    let mut budget = Budget {
        start: far,
        now: far,
    };
    assert!(shard.wake_peers(&mut budget), "one is left");
    assert!(!shard.wake_peers(&mut budget));
}

/// What comes to a shard that is idle is gathered; not what is worked at, and nothing at all is not
/// waited for.
#[tokio::test]
async fn a_rest_follows_what_nobody_waits_for() {
    let mut config = Config::new(Certificate::generate().unwrap(), 1);
    config.pace_idle = Duration::from_millis(5);
    let mut shard = Shard::bind(config, Log::default()).unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for (comes, works, rests) in [
        (true, false, 1),
        (false, false, 1),
        (true, true, 1),
        (false, true, 1),
    ] {
        if comes {
            let addr = shard.local_addr();
            stranger.send_to(&[1; 1], addr).await.unwrap();
            shard.wire.readable().await.unwrap();
        }
        if works {
            shard.peers.note_work(Instant::now());
        }
        assert!(!shard.turn().await, "nothing is left");
        assert_eq!(shard.stats.rests.value(), rests, "{comes} {works}");
    }
}

/// 200 datagrams wait for a shard that reads one buffer at a time.
async fn flooded() -> Shard<Log> {
    let mut config = Config::new(Certificate::generate().unwrap(), 1);
    config.receive_buffers = 1;
    let shard = Shard::bind(config, Log::default()).unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..200 {
        stranger.send_to(&[1; 1], shard.local_addr()).await.unwrap();
    }
    shard.wire.readable().await.unwrap();
    shard
}

#[tokio::test]
async fn a_pass_reads_so_many_datagrams() {
    let mut shard = flooded().await;
    shard.bounds.datagrams = 10;
    shard.bounds.receive_time = Duration::from_secs(60);
    for round in 1..=20 {
        assert!(shard.pass().await, "more is left");
        // One buffer holds one datagram here: nothing merges on loopback from separate sends.
        assert_eq!(shard.stats.datagrams_in.value(), 10 * round);
    }
    assert!(!shard.pass().await);
    assert_eq!(shard.stats.dropped(DropReason::Malformed), 200);
}

#[tokio::test]
async fn a_pass_reads_for_so_long() {
    let mut shard = flooded().await;
    shard.bounds.datagrams = usize::MAX;
    shard.bounds.receive_time = Duration::ZERO;
    assert!(shard.pass().await, "more is left");
    assert_eq!(shard.stats.datagrams_in.value(), 1);
}

/// Commands and the clock get their turn while events wait, and the socket does not add to them.
#[tokio::test]
async fn a_slow_handler_is_interrupted() {
    let mut shard = shard();
    shard.handler.event_time = Duration::from_micros(200);
    let peers = 200;
    shard.handle().try_send(peers).unwrap();
    assert!(shard.pass().await, "events are left");
    let first = shard.handler.events;
    assert!(first < peers, "{first} of {peers} offers in one pass");

    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger.send_to(&[1; 1], shard.local_addr()).await.unwrap();
    shard.wire.readable().await.unwrap();
    shard.handle().try_send(0).unwrap();
    shard.handler.deadline = Some(Instant::now());
    shard.pass().await;
    assert_eq!((shard.handler.commands, shard.handler.timeouts), (2, 1));
    assert_eq!(shard.stats.datagrams_in.value(), 0, "the kernel queues");

    let until = Instant::now() + Duration::from_secs(10);
    while shard.pass().await && Instant::now() < until {}
    assert_eq!(shard.handler.events, peers);
    shard.pass().await;
    assert_eq!(shard.stats.datagrams_in.value(), 1);
}

/// Handles may all be gone: the shard goes on.
#[tokio::test]
async fn a_shard_that_nobody_holds_waits_for_its_socket() {
    let shard = shard();
    let stats = shard.stats();
    let addr = shard.local_addr();
    let shutdown = CancellationToken::new();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let run = shard.run(shutdown.clone());
    let watch = async {
        stranger.send_to(&[1; 1], addr).await.unwrap();
        while stats.datagrams_in.value() == 0 {
            tokio::task::yield_now().await;
        }
        let idle = stats.passes.value();
        // It sleeps between datagrams: a loop that turned would take its turn at each of these.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(stats.passes.value() < idle + 5);
        shutdown.cancel();
    };
    tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(run, watch) })
        .await
        .expect("ends");
}

/// It can be one of many tasks.
#[test]
fn the_run_is_send() {
    fn is_send<T: Send>(_: impl FnOnce(Shard<Log>) -> T) {}
    is_send(|shard| shard.run(CancellationToken::new()));
}
