//! What the lanes carry.

mod link;

use std::time::Duration;

use bytes::Bytes;
use link::{ACCEPTOR, DIALER, LOSSLESS, Pair};
use rtc_peer::Lane;

#[test]
fn both_lanes_open_on_both_sides() {
    let pair = Pair::connected(1, LOSSLESS);
    for told in &pair.told {
        assert_eq!(told.open, Lane::ALL);
        assert!(told.closed.is_empty());
    }
    let [acceptor, dialer] = pair
        .peers
        .each_ref()
        .map(|peer| peer.fingerprints().unwrap());
    assert_eq!((acceptor.0, acceptor.1), (dialer.1, dialer.0));
    println!("connected in {:?}", pair.elapsed());
}

#[test]
fn messages_of_all_sizes_arrive_whole_on_both_lanes() {
    let mut pair = Pair::connected(2, LOSSLESS);
    let sizes = [0, 1, 2, 3, 1131, 1132, 1133, 16 * 1024, 65_535, 65_536];
    for lane in Lane::ALL {
        for from in [ACCEPTOR, DIALER] {
            let messages: Vec<Bytes> = sizes
                .iter()
                .map(|size| (0..*size).map(|i| u8::try_from(i % 251).unwrap()).collect())
                .collect();
            for message in &messages {
                pair.send(from, lane, message).unwrap();
            }
            let arrived = pair.run(Duration::from_secs(20), |pair| {
                pair.got(1 - from, lane).len() == sizes.len()
            });
            assert!(
                arrived,
                "{lane:?} from {from}: {}",
                pair.got(1 - from, lane).len()
            );
            assert_eq!(pair.got(1 - from, lane), messages);
            pair.told[1 - from].packets.clear();
        }
    }
    for told in &pair.told {
        assert!(told.largest_datagram <= 1200, "{}", told.largest_datagram);
    }
}
