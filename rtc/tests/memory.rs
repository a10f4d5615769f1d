//! What an idle peer holds: thousands of them share a server.

mod link;

use std::time::Duration;

use bytes::Bytes;
use link::{ACCEPTOR, CERTIFICATES, DIALER, LOSSLESS, Pair};
use rtc_peer::{Config, Lane, Peer, SendError};

/// Bytes that a pair holds after the action, both sides and their link together.
fn held(act: impl FnOnce(&mut Pair)) -> i64 {
    // Once per process, not per peer.
    assert_eq!(CERTIFICATES.len(), 2);
    drop(Pair::connected(1, LOSSLESS));
    let mut pair = None;
    let counted = allocation_counter::measure(|| {
        let mut connected = Pair::connected(2, LOSSLESS);
        connected.run_for(Duration::from_secs(60));
        act(&mut connected);
        for told in &mut connected.told {
            told.packets = Vec::new();
        }
        pair = Some(connected);
    });
    drop(pair);
    counted.bytes_current
}

/// Per side: half of the 64 KiB that a server with thousands of peers can give each.
const FRESH_BYTES_MAX: i64 = 2 * 32 * 1024;
/// SCTP keeps the tables of what was in flight: a window of 256 KiB of full packets.
const USED_BYTES_MAX: i64 = 2 * 96 * 1024;

#[test]
fn a_fresh_pair_is_small() {
    let bytes = held(|_| {});
    assert!(bytes <= FRESH_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn a_pair_that_was_busy_gives_back_what_it_took() {
    let bytes = held(|pair| {
        let message: Bytes = vec![1; 60_000].into();
        for lane in Lane::ALL {
            for from in [ACCEPTOR, DIALER] {
                for _ in 0..50 {
                    while pair.send(from, lane, &message) == Err(SendError::Full) {
                        pair.run_for(Duration::from_millis(50));
                    }
                }
            }
        }
        pair.run_for(Duration::from_secs(60));
        assert_eq!(pair.got(DIALER, Lane::Reliable).len(), 50);
    });
    assert!(bytes <= USED_BYTES_MAX, "{bytes} bytes");
}

/// What waits in the engine for one who does not read costs more than its bytes when packets are
/// small, and is bounded all the same.
#[test]
fn what_waits_for_one_who_does_not_read_is_bounded() {
    let limit = Config::SEND_BUFFER_BYTES;
    for len in [1, 12, 64, 100, 1000] {
        let mut pair = Pair::connected(3, LOSSLESS);
        pair.run_for(Duration::from_secs(60));
        let now = pair.now;
        for lane in Lane::ALL {
            pair.peers[DIALER].set_paused(now, lane, true);
        }
        let packet: Bytes = vec![1; len].into();
        let held = allocation_counter::measure(|| {
            for _ in 0..400 {
                for lane in Lane::ALL {
                    while pair.send(ACCEPTOR, lane, &packet).is_ok() {}
                }
                pair.run_for(Duration::from_millis(100));
            }
        });
        let ours = Lane::ALL.map(|lane| pair.peers[ACCEPTOR].buffered_packets(lane));
        for packets in ours {
            let most = (limit / Peer::PACKET_BYTES_LEAST).min(limit / len);
            assert!(packets <= most && packets + 2 >= most, "{packets} of {len}");
        }
        let held = usize::try_from(held.bytes_current).unwrap();
        println!("packets of {len} bytes: {ours:?} wait in {held} bytes");
        // The other side's inbox is among it.
        assert!(held <= Peer::memory_bytes_max(limit, 65_536), "{held}");
    }
}
