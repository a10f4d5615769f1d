use shard::{Sent, rtc_peer::Lane};

use crate::harness::{config, number, numbered, pair};

#[tokio::test]
async fn packets_of_both_lanes_cross_both_ways() {
    let (server, client, mut acceptor, mut dialer) = pair(config(1), config(2)).await;
    for lane in Lane::ALL {
        for len in [0, 1, 100, 1200, 16_384] {
            let down = vec![1; len];
            assert_eq!(acceptor.send(lane, down.clone()).await, Sent::Accepted);
            assert_eq!(dialer.packet().await, (lane, down.into()));
            let up = vec![2; len];
            assert_eq!(dialer.send(lane, up.clone()).await, Sent::Accepted);
            assert_eq!(acceptor.packet().await, (lane, up.into()));
        }
    }
    assert_eq!(server.stats.lane(Lane::Reliable).packets_out.value(), 5);
    assert_eq!(client.stats.lane(Lane::Unreliable).packets_in.value(), 5);
    server.stop().await;
    client.stop().await;
}

/// What is sent in one pass shares datagrams.
#[tokio::test]
async fn a_pass_bundles() {
    let (server, client, acceptor, mut dialer) = pair(config(1), config(2)).await;
    let before = server.stats.datagrams_out.value();
    let packets = (0..80).map(|n| numbered(n, 100)).collect();
    let sent = acceptor.send_all(Lane::Reliable, packets).await;
    assert!(sent.iter().all(|sent| *sent == Sent::Accepted));
    for n in 0..80 {
        assert_eq!(number(&dialer.packet().await.1), n);
    }
    let datagrams = server.stats.datagrams_out.value() - before;
    assert!(
        datagrams <= 20,
        "80 packets of 100 bytes took {datagrams} datagrams"
    );
    server.stop().await;
    client.stop().await;
}

#[tokio::test]
async fn the_reliable_lane_is_complete_and_ordered_under_loss() {
    let mut lossy = config(1);
    lossy.impair = Some("loss=5%,delay=2ms,jitter=2ms,seed=5".parse().unwrap());
    let (server, client, acceptor, mut dialer) = pair(lossy, config(2)).await;
    for n in 0..500 {
        let sent = acceptor.send(Lane::Reliable, numbered(n, 200)).await;
        assert!(!matches!(sent, Sent::Dropped(_)), "{sent:?}");
    }
    for n in 0..500 {
        assert_eq!(number(&dialer.packet().await.1), n);
    }
    server.stop().await;
    client.stop().await;
}

/// Both directions lose packets on the unreliable lane and repeat none of them.
#[tokio::test]
async fn the_unreliable_lane_loses() {
    let mut lossy = config(1);
    lossy.impair = Some("loss=10%,seed=7".parse().unwrap());
    let (server, client, mut acceptor, mut dialer) = pair(lossy, config(2)).await;
    for n in 0..500 {
        acceptor.send(Lane::Unreliable, numbered(n, 200)).await;
        dialer.send(Lane::Unreliable, numbered(n, 200)).await;
    }
    // Behind everything else on the reliable lane: when it is there, the rest is or never comes.
    for (from, to) in [(&acceptor, &mut dialer)] {
        from.send(Lane::Reliable, numbered(u64::MAX, 8)).await;
        assert_lossy(to).await;
    }
    dialer.send(Lane::Reliable, numbered(u64::MAX, 8)).await;
    assert_lossy(&mut acceptor).await;
    server.stop().await;
    client.stop().await;
}

async fn assert_lossy(to: &mut crate::harness::TestPeer) {
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let (lane, bytes) = to.packet().await;
        if lane == Lane::Reliable {
            break;
        }
        assert!(seen.insert(number(&bytes)), "twice");
    }
    assert!((350..500).contains(&seen.len()), "{} of 500", seen.len());
}
