use std::time::Duration;

use shard::{
    DropReason, Event, Sent,
    rtc_peer::{CloseReason, Lane, Role},
};

use crate::harness::{ACCEPTOR, Node, config, introduce, numbered, pair, within};

#[tokio::test]
async fn a_close_is_seen_by_both_once_and_what_was_sent_before_arrives() {
    let (server, client, mut acceptor, mut dialer) = pair(config(1), config(2)).await;
    let key = acceptor.key;
    server
        .call(move |now, peers| {
            for n in 0..10 {
                peers.send(now, key, Lane::Reliable, &numbered(n, 100));
            }
            peers.close(now, key);
            peers.close(now, key);
            let late = peers.send(now, key, Lane::Reliable, &numbered(10, 100));
            assert_eq!(late, Sent::Dropped(DropReason::PeerGone));
        })
        .await;
    assert_eq!(acceptor.closed().await, CloseReason::Local);
    for n in 0..10 {
        assert_eq!(dialer.packet().await, (Lane::Reliable, numbered(n, 100)));
    }
    assert_eq!(dialer.closed().await, CloseReason::Remote);
    assert_eq!(server.stats.peers.value(), 0);
    assert_eq!(server.stats.peers_closed.value(), 1);
    // Exactly once: nothing is left to say.
    client.stop().await;
    server.stop().await;
    assert!(acceptor.events.recv().await.is_none());
    assert!(dialer.events.recv().await.is_none());
}

/// Packets that came together with the one that made the owner close are not told any more.
#[tokio::test]
async fn a_peer_that_is_closed_tells_only_that() {
    let (server, client, mut acceptor, dialer) = pair(config(1), config(2)).await;
    server.close_on_packet().await;
    let packets = (0..5).map(|n| numbered(n, 100)).collect();
    dialer.send_all(Lane::Reliable, packets).await;
    assert_eq!(acceptor.packet().await.1, numbered(0, 100));
    let event = acceptor.event().await;
    assert!(matches!(event, Event::Closed { .. }), "{event:?}");
    server.stop().await;
    client.stop().await;
}

/// A slot is used again; the key of the one before finds nobody.
#[tokio::test]
async fn a_stale_key_is_harmless() {
    let (server, client, mut acceptor, mut dialer) = pair(config(1), config(2)).await;
    let stale = acceptor.key;
    acceptor.close().await;
    acceptor.closed().await;
    dialer.closed().await;
    let mut second = server.open(ACCEPTOR).await.expect("room");
    assert_eq!(second.key.index, stale.index);
    assert_ne!(second.key, stale);
    let sent = server
        .call(move |now, peers| {
            peers.close(now, stale);
            peers.set_idle_timeout(now, stale, Duration::ZERO);
            assert_eq!(peers.fingerprints(stale), None);
            assert_eq!(peers.waiting_bytes(stale, Lane::Reliable), 0);
            peers.send(now, stale, Lane::Reliable, &numbered(0, 8))
        })
        .await;
    assert_eq!(sent, Sent::Dropped(DropReason::PeerGone));
    let mut again = client.open(Role::Dialer).await.expect("room");
    introduce(&mut second, &mut again).await;
    second.send(Lane::Reliable, numbered(1, 8)).await;
    assert_eq!(again.packet().await.1, numbered(1, 8));
    server.stop().await;
    client.stop().await;
}

#[tokio::test]
async fn shutdown_says_goodbye_to_everybody() {
    let (server, client, mut acceptor, mut dialer) = pair(config(1), config(2)).await;
    let mut connecting = server.open(ACCEPTOR).await.expect("room");
    server.stop().await;
    assert_eq!(acceptor.closed().await, CloseReason::Local);
    assert_eq!(connecting.closed().await, CloseReason::Local);
    assert_eq!(dialer.closed().await, CloseReason::Remote);
    client.stop().await;
}

/// A remote that vanishes without a goodbye.
#[tokio::test]
async fn silence_closes() {
    let mut server = config(1);
    server.peer.idle_timeout = Duration::from_secs(1);
    let (server, client, mut acceptor, _dialer) = pair(server, config(2)).await;
    client.task.abort();
    assert_eq!(acceptor.closed().await, CloseReason::IdleTimeout);
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_never_comes_ends() {
    let mut settings = config(1);
    settings.peer.handshake_timeout = Duration::from_millis(200);
    let server = Node::start(settings);
    let mut acceptor = server.open(ACCEPTOR).await.expect("room");
    assert!(matches!(acceptor.event().await, Event::Signal { .. }));
    assert_eq!(acceptor.closed().await, CloseReason::HandshakeTimeout);
    within("the slot to be free", async {
        while server.stats.peers.value() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.stop().await;
}
