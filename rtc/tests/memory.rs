//! What an idle peer holds: thousands of them share a server.

mod link;

use std::time::Duration;

use bytes::Bytes;
use link::{ACCEPTOR, CERTIFICATES, DIALER, LOSSLESS, Pair};
use rtc_peer::{Lane, SendError};

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
