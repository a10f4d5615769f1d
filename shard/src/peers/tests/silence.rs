//! Traffic that is expected: the shard wakes for it, and closes whom it does not hear.

use super::network::{DELAY, Network, config};
use super::*;

const SERVER: usize = 0;
const GONE: usize = 1;
const THERE: usize = 2;
const WITHIN: Duration = Duration::from_secs(5);

/// A server with a client that fell silent a moment ago, and one that is there.
fn network() -> (Network, PeerKey, PeerKey) {
    let mut network = Network::new((1..=3).map(config));
    let [gone, _] = network.connect(SERVER, GONE);
    let [there, _] = network.connect(SERVER, THERE);
    network.run_for(Duration::from_secs(60));
    network.mute(GONE);
    network.run_for(DELAY);
    (network, gone, there)
}

#[test]
fn who_is_not_heard_in_time_is_closed_at_the_deadline_and_nobody_else() {
    let (mut network, gone, there) = network();
    let asked = network.now;
    for key in [gone, there] {
        network.peers(SERVER).expect_traffic(asked, key, WITHIN);
    }
    network.run_for(Duration::from_secs(60));
    let end = (asked + WITHIN, CloseReason::IdleTimeout);
    assert_eq!(network.closed((SERVER, gone)), Some(end));
    assert_eq!(network.closed((SERVER, there)), None);
}

#[test]
fn asking_again_does_not_lengthen_it() {
    let (mut network, gone, _) = network();
    let asked = network.now;
    for _ in 0..4 {
        let now = network.now;
        network.peers(SERVER).expect_traffic(now, gone, WITHIN);
        network.run_for(Duration::from_secs(1));
    }
    network.run_for(Duration::from_secs(60));
    let end = (asked + WITHIN, CloseReason::IdleTimeout);
    assert_eq!(network.closed((SERVER, gone)), Some(end));
}

#[test]
fn a_shorter_idle_timeout_stays_the_shorter() {
    let (mut network, gone, _) = network();
    let now = network.now;
    network.peers(SERVER).expect_traffic(now, gone, WITHIN);
    network
        .peers(SERVER)
        .set_idle_timeout(now, gone, Duration::from_secs(4));
    network.run_for(Duration::from_secs(60));
    let (at, reason) = network.closed((SERVER, gone)).unwrap();
    assert_eq!(reason, CloseReason::IdleTimeout);
    assert!(at <= now + Duration::from_secs(4), "{:?}", at - now);
}

#[test]
fn a_stale_key_expects_nothing() {
    let (mut network, gone, _) = network();
    let now = network.now;
    network.peers(SERVER).close(now, gone);
    network.run_for(DELAY);
    network
        .peers(SERVER)
        .expect_traffic(now, gone, Duration::ZERO);
    network.run_for(DELAY);
    assert_eq!(
        network.closed((SERVER, gone)).unwrap().1,
        CloseReason::Local
    );
}
