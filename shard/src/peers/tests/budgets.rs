//! Budgets: what is over them is dropped on the unreliable lane and waits on the reliable one, and
//! nobody else notices.

use super::network::{Network, config};
use super::*;
use crate::budget;
use std::num::NonZeroU64;

const SERVER: usize = 0;
const SENDER: usize = 1;
const OTHER: usize = 2;

/// 200 packets at once, then 100 a second.
const TIGHT: budget::Config = budget::Config {
    packets_per_s: 100,
    bytes_per_s: 0,
    burst: Duration::from_secs(2),
};

/// 200 at once, and then almost none.
const BURST: budget::Config = budget::Config {
    packets_per_s: 1,
    bytes_per_s: 0,
    burst: Duration::from_secs(200),
};

fn numbered(n: u32, len: usize) -> Bytes {
    let mut bytes = n.to_be_bytes().to_vec();
    bytes.resize(len, 0);
    bytes.into()
}

fn number(bytes: &Bytes) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// Two clients of a server whose clients may send so much; all keys are those of the pair's two
/// sides, the server's first.
fn network(reliable: budget::Config, unreliable: budget::Config) -> (Network, [[PeerKey; 2]; 2]) {
    let mut server = config(1);
    server.reliable_budget = reliable;
    server.unreliable_budget = unreliable;
    let mut network = Network::new([server, config(2), config(3)]);
    let keys = [SENDER, OTHER].map(|client| network.connect(SERVER, client));
    (network, keys)
}

fn send(network: &mut Network, from: usize, key: PeerKey, lane: Lane, packets: &[Bytes]) -> usize {
    let now = network.now;
    let sent = packets.iter().map(|packet| {
        let sent = network.peers(from).send(now, key, lane, packet);
        usize::from(!matches!(sent, Sent::Dropped(_)))
    });
    sent.sum()
}

/// When what arrived at the server from a client on a lane.
fn arrived(network: &Network, key: PeerKey, on: Lane) -> Vec<(Instant, u32)> {
    let told = network.told((SERVER, key)).into_iter();
    told.filter_map(|(at, event)| match event {
        Event::Packet { lane, bytes, .. } if *lane == on => Some((*at, number(bytes))),
        _ => None,
    })
    .collect()
}

fn packets(count: u32, len: usize) -> Vec<Bytes> {
    (0..count).map(|n| numbered(n, len)).collect()
}

#[test]
fn the_unreliable_lane_drops_what_is_over_and_counts_it() {
    // The last takes its time to arrive, with a refill each second.
    for (sent, seconds, passes) in [
        (199, 0, 199..=199),
        (200, 0, 200..=200),
        (201, 0, 200..=200),
        (20_000, 20, 200..=220),
    ] {
        let (mut network, [[ours, theirs], _]) = network(budget::Config::NONE, BURST);
        for some in packets(sent, 100).chunks(500) {
            assert_eq!(
                send(&mut network, SENDER, theirs, Lane::Unreliable, some),
                some.len()
            );
        }
        network.run_for(Duration::from_millis(900) + Duration::from_secs(seconds));
        let evicted = network.peers(SENDER).stats.dropped(DropReason::Evicted);
        let stats = Arc::clone(&network.peers(SERVER).stats);
        let dropped = stats.dropped(DropReason::RateLimited);
        let got = arrived(&network, ours, Lane::Unreliable).len();
        assert!(passes.contains(&got), "{got} of {sent}");
        let all = count(got) + dropped + evicted;
        assert_eq!(all, u64::from(sent), "each is accounted for");
        assert_eq!(stats.lane(Lane::Unreliable).packets_in.value(), count(got));
        assert_eq!(stats.rate_pauses.value(), 0);
    }
}

#[test]
fn the_reliable_lane_passes_a_burst_and_then_waits() {
    for (sent, at_once, pauses) in [(199, 199, 0), (200, 200, 1), (201, 200, 2)] {
        let (mut network, [[ours, theirs], _]) = network(BURST, budget::Config::NONE);
        let packets = packets(sent, 8);
        assert_eq!(
            send(&mut network, SENDER, theirs, Lane::Reliable, &packets),
            packets.len()
        );
        network.run_for(Duration::from_millis(900));
        assert_eq!(arrived(&network, ours, Lane::Reliable).len(), at_once);
        network.run_for(Duration::from_secs(2));
        let got = arrived(&network, ours, Lane::Reliable);
        assert!(got.iter().map(|(_, n)| *n).eq(0..sent), "{got:?}");
        let stats = &network.peers(SERVER).stats;
        assert_eq!(stats.rate_pauses.value(), pauses, "{sent}");
        assert_eq!(stats.dropped(DropReason::RateLimited), 0);
    }
}

#[test]
fn a_peer_may_have_budgets_of_its_own() {
    let (mut network, [[ours, theirs], [others, other]]) = network(TIGHT, TIGHT);
    let few = NonZeroU64::new(1);
    let own = TIGHT.at_most(few, None);
    network.peers(SERVER).set_budgets(ours, own, own);
    for (sender, key) in [(SENDER, theirs), (OTHER, other)] {
        for lane in Lane::ALL {
            send(&mut network, sender, key, lane, &packets(200, 8));
        }
    }
    network.run_for(Duration::from_millis(900));
    for lane in Lane::ALL {
        // Two seconds' worth at once.
        assert_eq!(arrived(&network, ours, lane).len(), 2, "{lane:?}");
        assert_eq!(arrived(&network, others, lane).len(), 200, "{lane:?}");
    }
    // What waits on the reliable lane comes in its time.
    network.run_for(Duration::from_secs(3));
    let got = arrived(&network, ours, Lane::Reliable).len();
    assert!((4..=6).contains(&got), "{got}");
}

/// 100 times what it may, for ten seconds.
#[test]
fn nothing_is_lost_or_out_of_order_at_a_hundred_times_the_limit() {
    for len in [8, 1000] {
        let (mut network, [[ours, theirs], _]) = network(TIGHT, budget::Config::NONE);
        let start = network.now;
        let mut next = 0;
        let mut refused = 0;
        for _ in 0..1000 {
            for _ in 0..100 {
                // A sender that minds what waits.
                let waiting = network.peers(SENDER).waiting_bytes(theirs, Lane::Reliable);
                if waiting + len > 64 * 1024 {
                    refused += 1;
                    continue;
                }
                let packet = [numbered(next, len)];
                send(&mut network, SENDER, theirs, Lane::Reliable, &packet);
                next += 1;
            }
            network.run_for(Duration::from_millis(10));
        }
        assert!(refused > 0, "it was slowed down");
        let elapsed = network.now - start;
        let got = arrived(&network, ours, Lane::Reliable);
        let may = 200 + 100 * elapsed.as_secs() + 2;
        assert!(count(got.len()) <= may, "{} of {may}", got.len());
        assert!(
            count(got.len()) >= may - 10,
            "{} of {may}: it is not starved",
            got.len()
        );
        // With all the time that it takes.
        network.run_for(Duration::from_secs(u64::from(next) / 100 + 5));
        let got = arrived(&network, ours, Lane::Reliable);
        assert!(
            got.iter().map(|(_, n)| *n).eq(0..next),
            "{} of {next}",
            got.len()
        );
        assert_eq!(network.closed((SERVER, ours)), None);
    }
}

/// What the abuser sends does not show at anybody else: the same packets at the same times as
/// without it, both ways, on both lanes.
#[test]
fn an_abuser_costs_the_others_nothing() {
    let run = |abuses: bool| {
        let (mut network, [[_, abuser], [ours, theirs]]) = network(TIGHT, TIGHT);
        let start = network.now;
        for n in 0..500 {
            for lane in Lane::ALL {
                let packet = [numbered(n, 100)];
                send(&mut network, OTHER, theirs, lane, &packet);
                send(&mut network, SERVER, ours, lane, &packet);
                if abuses {
                    send(&mut network, SENDER, abuser, lane, &packets(100, 100));
                }
            }
            network.run_for(Duration::from_millis(10));
        }
        network.run_for(Duration::from_secs(1));
        let times = |seat| {
            let told = network.told(seat).into_iter();
            let packets = told.filter(|(_, event)| matches!(event, Event::Packet { .. }));
            let times = packets.map(|(at, event)| (*at - start, format!("{event:?}")));
            times.collect::<Vec<_>>()
        };
        let both = [times((SERVER, ours)), times((OTHER, theirs))];
        (both, Arc::clone(&network.peers(SERVER).stats))
    };
    let (alone, _) = run(false);
    let (beside, stats) = run(true);
    assert!(alone == beside);
    assert_eq!(beside.map(|packets| packets.len()), [1000, 1000]);
    assert!(stats.rate_pauses.value() > 10);
    assert!(stats.dropped(DropReason::RateLimited) > 1000);
}

/// Paused for long, with its window shut: what it is sent arrives, and it is there.
#[test]
fn a_paused_peer_receives_and_lives() {
    let (mut network, [[ours, theirs], _]) = network(BURST, BURST);
    send(
        &mut network,
        SENDER,
        theirs,
        Lane::Reliable,
        &packets(16_000, 60),
    );
    for n in 0..120 {
        for lane in Lane::ALL {
            assert_eq!(
                send(&mut network, SERVER, ours, lane, &[numbered(n, 100)]),
                1
            );
        }
        network.run_for(Duration::from_secs(1));
    }
    let told = network.told((SENDER, theirs)).into_iter();
    let got = told.filter(|(_, event)| matches!(event, Event::Packet { .. }));
    assert_eq!(got.count(), 240);
    for lane in Lane::ALL {
        assert_eq!(network.peers(SERVER).waiting_bytes(ours, lane), 0);
    }
    // One a second, besides the burst.
    let read = arrived(&network, ours, Lane::Reliable).len();
    assert!((318..=322).contains(&read), "{read}");
    assert_eq!(network.closed((SERVER, ours)), None);
    assert_eq!(network.closed((SENDER, theirs)), None);
}

#[test]
fn a_pause_costs_no_wake_ups() {
    let (mut network, [[_, theirs], _]) = network(BURST, BURST);
    send(
        &mut network,
        SENDER,
        theirs,
        Lane::Reliable,
        &packets(16_000, 60),
    );
    network.run_for(Duration::from_secs(10));
    let mut turns = 0;
    network.run(Duration::from_secs(60), |_| {
        turns += 1;
        false
    });
    // A packet a second and its window update, the probes of the shut window and their answers,
    // consent checks of two clients.
    assert!(turns <= 60 * 20, "{turns} turns in a minute");
}

#[test]
fn an_exempt_peer_sends_what_it_likes_at_once() {
    let (mut network, [[ours, theirs], [other, others]]) = network(BURST, BURST);
    let now = network.now;
    network.peers(SERVER).exempt(now, other);
    for (from, key) in [(SENDER, theirs), (OTHER, others)] {
        for lane in Lane::ALL {
            send(&mut network, from, key, lane, &packets(500, 8));
        }
    }
    network.run_for(Duration::from_millis(900));
    for lane in Lane::ALL {
        assert_eq!(arrived(&network, ours, lane).len(), 200);
        assert_eq!(arrived(&network, other, lane).len(), 500);
    }
    // What was left unread before is read too.
    let now = network.now;
    network.peers(SERVER).exempt(now, ours);
    network.run_for(Duration::from_millis(100));
    assert_eq!(arrived(&network, ours, Lane::Reliable).len(), 500);
}

#[test]
fn who_closes_while_it_is_left_unread_has_said_everything() {
    let (mut network, [[ours, theirs], _]) = network(BURST, BURST);
    send(
        &mut network,
        SENDER,
        theirs,
        Lane::Reliable,
        &packets(500, 8),
    );
    network.run_for(Duration::from_millis(500));
    let now = network.now;
    network.peers(SENDER).close(now, theirs);
    network.run_for(Duration::from_millis(100));
    assert_eq!(arrived(&network, ours, Lane::Reliable).len(), 500);
    let (_, reason) = network.closed((SERVER, ours)).unwrap();
    assert_eq!(reason, CloseReason::Remote);
}

#[test]
fn an_owner_may_leave_a_peer_unread() {
    let (mut network, [[ours, theirs], [others, other]]) =
        network(budget::Config::NONE, budget::Config::NONE);
    let now = network.now;
    let server = network.peers(SERVER);
    server.leave_unread(now, ours, now + Duration::from_secs(2));
    // The longer of two counts, and it is one pause.
    server.leave_unread(now, ours, now + Duration::from_secs(1));
    assert_eq!(server.stats.rate_pauses.value(), 1);
    for (from, key) in [(SENDER, theirs), (OTHER, other)] {
        send(&mut network, from, key, Lane::Reliable, &packets(10, 8));
        send(&mut network, from, key, Lane::Unreliable, &packets(10, 8));
    }
    network.run_for(Duration::from_millis(1_900));
    assert_eq!(arrived(&network, ours, Lane::Reliable), []);
    assert_eq!(arrived(&network, ours, Lane::Unreliable).len(), 10);
    assert_eq!(arrived(&network, others, Lane::Reliable).len(), 10);
    network.run_for(Duration::from_millis(200));
    let got = arrived(&network, ours, Lane::Reliable);
    assert!(got.iter().map(|(_, n)| *n).eq(0..10), "{got:?}");
    // A link stands for many.
    let now = network.now;
    network.peers(SERVER).exempt(now, ours);
    network
        .peers(SERVER)
        .leave_unread(now, ours, now + Duration::from_secs(60));
    send(&mut network, SENDER, theirs, Lane::Reliable, &packets(1, 8));
    network.run_for(Duration::from_millis(900));
    assert_eq!(arrived(&network, ours, Lane::Reliable).len(), 11);
}
