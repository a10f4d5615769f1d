//! What all peers hold together is bounded; who pays for it is who holds most; who is within its
//! share never notices.

use super::network::{Network, config};
use super::*;
use crate::{budget, outbox, pool};

const SERVER: usize = 0;
/// Of each packet below: it is given to the engine, for nobody acknowledges.
const COST: usize = 1000 + Peer::SENT_PACKET_BYTES;

fn packet(n: u32) -> Bytes {
    let mut bytes = n.to_be_bytes().to_vec();
    bytes.resize(1000, 0);
    bytes.into()
}

fn number(bytes: &Bytes) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// A server with clients that hear nothing from now on, for time stands still.
fn server(waiting: pool::Config, clients: usize) -> (Network, Vec<PeerKey>) {
    let mut server = config(1);
    server.waiting = waiting;
    let others = (2..).take(clients).map(config);
    let mut network = Network::new([server].into_iter().chain(others));
    let keys = (1..=clients).map(|client| network.connect(SERVER, client)[0]);
    let keys = keys.collect();
    // What opened the lanes is acknowledged.
    network.run_for(Duration::from_secs(5));
    (network, keys)
}

/// How many of so many packets are taken.
fn taken(network: &mut Network, key: PeerKey, lane: Lane, packets: u32) -> usize {
    let now = network.now;
    let sent = (0..packets).map(|n| network.peers(SERVER).send(now, key, lane, &packet(n)));
    sent.filter(|sent| !matches!(sent, Sent::Dropped(_)))
        .count()
}

#[test]
fn what_waits_for_all_is_taken_up_to_the_limit_and_not_beyond() {
    for (bytes_max, fit) in [(10 * COST - 1, 9), (10 * COST, 10), (10 * COST + 1, 10)] {
        let (mut network, keys) = server(pool::Config::within(bytes_max, 0, 2), 2);
        assert_eq!(taken(&mut network, keys[0], Lane::Unreliable, 5), 5);
        assert_eq!(taken(&mut network, keys[1], Lane::Unreliable, 8), fit - 5);
        let stats = Arc::clone(&network.peers(SERVER).stats);
        let dropped = 13 - u64::try_from(fit).unwrap();
        assert_eq!(stats.dropped(DropReason::PoolEmpty), dropped);
        assert_eq!(stats.crowded_out.value(), 0);
    }
}

#[test]
fn who_is_within_its_share_finds_room_when_all_else_is_taken() {
    let share = 6 * COST;
    let (mut network, keys) = server(pool::Config::within(2 * share + 4 * COST, share, 2), 2);
    assert_eq!(taken(&mut network, keys[0], Lane::Unreliable, 100), 10);
    for lane in Lane::ALL {
        assert_eq!(taken(&mut network, keys[1], lane, 3), 3, "{lane:?}");
    }
    let stats = Arc::clone(&network.peers(SERVER).stats);
    assert_eq!(stats.dropped(DropReason::PoolEmpty), 90);
    assert_eq!(stats.slow_consumers.value(), 0);
}

/// Its packets go at once, and it is closed in the pass.
#[test]
fn a_reliable_packet_finds_room_at_the_cost_of_who_holds_most() {
    let share = 2 * COST;
    let (mut network, keys) = server(pool::Config::within(3 * share + 20 * COST, share, 3), 3);
    assert_eq!(taken(&mut network, keys[0], Lane::Reliable, 15), 15);
    assert_eq!(taken(&mut network, keys[1], Lane::Reliable, 12), 12);
    let stats = Arc::clone(&network.peers(SERVER).stats);
    assert_eq!(stats.crowded_out.value(), 1, "the last three found none");
    network.run_for(Duration::from_millis(1));
    let slow = |key| {
        let told = network.told((SERVER, key)).into_iter();
        told.filter(|(_, event)| matches!(event, Event::SlowConsumer { .. }))
            .count()
    };
    assert_eq!(
        keys.iter().map(|key| slow(*key)).collect::<Vec<_>>(),
        [1, 0, 0]
    );
    // It gets nothing more.
    assert_eq!(taken(&mut network, keys[0], Lane::Reliable, 1), 0);
    assert_eq!(stats.dropped(DropReason::SlowConsumer), 1);
}

#[test]
fn who_asks_for_more_is_closed_when_nobody_holds_more() {
    let (mut network, keys) = server(pool::Config::within(10 * COST, 0, 2), 2);
    assert_eq!(taken(&mut network, keys[0], Lane::Reliable, 12), 10);
    let stats = Arc::clone(&network.peers(SERVER).stats);
    assert_eq!(stats.crowded_out.value(), 1);
    assert_eq!(stats.dropped(DropReason::SlowConsumer), 2);
    assert_eq!(taken(&mut network, keys[1], Lane::Reliable, 5), 5);
}

/// Where the reliable lane may have gaps nobody is closed for it.
#[test]
fn a_policy_with_gaps_drops_on_the_reliable_lane_too() {
    let mut server = config(1);
    server.waiting = pool::Config::within(10 * COST, 0, 1);
    server.reliable.policy = outbox::Policy::FixedQueue;
    let mut network = Network::new([server, config(2)]);
    let [key, _] = network.connect(SERVER, 1);
    network.run_for(Duration::from_secs(5));
    assert_eq!(taken(&mut network, key, Lane::Reliable, 12), 10);
    let stats = Arc::clone(&network.peers(SERVER).stats);
    assert_eq!(stats.dropped(DropReason::PoolEmpty), 2);
    assert_eq!(stats.crowded_out.value(), 0);
}

/// Slow readers without end, with packets of any size: what they cost in memory is the limit, and
/// a transport each.
#[test]
fn what_many_slow_readers_cost_is_the_limit() {
    for len in [1, 100, 1000, 10_000] {
        let limit = 2 * 1024 * 1024;
        let (mut network, keys) = server(pool::Config::within(limit, 32 * 1024, 16), 16);
        let (mut most, mut closed) = (0, 0);
        let held = allocation_counter::measure(|| {
            let now = network.now;
            for n in 0..1000_u32 {
                for key in &keys {
                    for lane in Lane::ALL {
                        // No two share a frame.
                        let packet = vec![n.to_be_bytes()[3]; len].into();
                        network.peers(SERVER).send(now, *key, lane, &packet);
                    }
                }
                while let Some(event) = network.peers(SERVER).poll_event(now) {
                    if let Event::SlowConsumer { peer, .. } = event {
                        network.peers(SERVER).close_with(now, peer, 11);
                        flush(network.peers(SERVER), &mut Batch::default());
                        closed += 1;
                    }
                }
                most = most.max(network.peers(SERVER).pools.waiting_bytes());
            }
        });
        println!(
            "{len}: {} bytes allocated, {most} counted of {limit}, {closed} closed",
            held.bytes_max
        );
        assert!(most <= limit, "{most}");
        assert!(closed > 0);
        let bound = limit + keys.len() * Peer::IDLE_BYTES;
        assert!(
            usize::try_from(held.bytes_max).unwrap() <= bound,
            "{held:?}"
        );
    }
}

/// A server that reads so much of each of 13 clients, which have room for everything.
fn reading_server(limit: usize) -> (Network, Vec<[PeerKey; 2]>) {
    let mut server = config(1);
    server.received = pool::Config::within(limit, Peer::RECEIVED_BYTES_LEAST, 13);
    server.reliable_budget = budget::Config {
        packets_per_s: 50,
        bytes_per_s: 0,
        burst: Duration::from_secs(1),
    };
    let others = (2..).take(13).map(|n| {
        let mut client = config(n);
        client.reliable.bytes_max = 16 * 1024 * 1024;
        client.reliable.grace = Duration::from_secs(300);
        client
    });
    let mut network = Network::new([server].into_iter().chain(others));
    let pairs = (1..=13).map(|client| network.connect(SERVER, client));
    let pairs = pairs.collect();
    (network, pairs)
}

/// What arrived from a client, and when.
fn arrived(network: &Network, key: PeerKey, start: Instant) -> Vec<(Duration, u32)> {
    let told = network.told((SERVER, key)).into_iter();
    told.filter_map(|(at, event)| match event {
        Event::Packet { bytes, .. } => Some((*at - start, number(bytes))),
        _ => None,
    })
    .collect()
}

/// Senders that send far more than is read: what is held of it is the limit, nothing is lost, and
/// who sends little is not held up.
#[test]
fn what_many_fast_senders_have_us_hold_is_the_limit() {
    let limit = 13 * Peer::RECEIVED_BYTES_LEAST + 256 * 1024;
    let (mut network, pairs) = reading_server(limit);
    let stats = Arc::clone(&network.peers(SERVER).stats);
    let (fast, [little, theirs]) = (&pairs[..12], pairs[12]);
    let start = network.now;
    let mut most = 0;
    for turn in 0..20 {
        let now = network.now;
        for (client, [_, theirs]) in (1..).zip(fast) {
            for n in 0..50 {
                let packet: Bytes = packet(turn * 50 + n).repeat(8).into();
                let peers = network.peers(client);
                let sent = peers.send(now, *theirs, Lane::Reliable, &packet);
                assert!(!matches!(sent, Sent::Dropped(_)), "{sent:?}");
            }
        }
        let peers = network.peers(13);
        peers.send(now, theirs, Lane::Reliable, &packet(turn));
        network.run(Duration::from_millis(500), |_| {
            most = most.max(stats.received_bytes.value());
            false
        });
    }
    let refused = stats.dropped(DropReason::SctpRefused);
    println!("{most} bytes held of {limit}, {refused} datagrams refused");
    let most = usize::try_from(most).unwrap();
    assert!(most <= limit && most > limit / 2, "{most} of {limit}");
    let little = arrived(&network, little, start);
    assert_eq!(little.len(), 20);
    for (at, n) in little {
        let late = at - Duration::from_millis(500) * n;
        assert!(late < Duration::from_millis(50), "{n} came after {late:?}");
    }
    network.run_for(Duration::from_secs(60));
    for [ours, _] in fast {
        let numbers = arrived(&network, *ours, start);
        let numbers = numbers.into_iter().map(|(_, n)| n);
        assert!(numbers.eq(0..20 * 50), "all, in order");
        assert_eq!(network.closed((SERVER, *ours)), None);
    }
    assert_eq!(stats.received_bytes.value(), 0);
}
