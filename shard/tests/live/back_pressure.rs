use std::time::Duration;

use shard::{
    DropReason, Event, Sent, outbox,
    rtc_peer::{Lane, Role},
};

use crate::harness::{ACCEPTOR, Node, config, introduce, number, numbered, pair};

/// One reader stops; the other, on the same shard, misses nothing meanwhile.
#[tokio::test]
async fn a_slow_reader_is_found_and_delays_nobody() {
    let mut settings = config(1);
    settings.reliable.bytes_max = 64 * 1024;
    settings.peer.send_buffer_bytes = 32 * 1024;
    let (server, frozen, mut slow, _dialer) = pair(settings, config(2)).await;
    let mut brisk = server.open(ACCEPTOR).await.expect("room");
    let client = Node::start(config(3));
    let mut reader = client.open(Role::Dialer).await.expect("room");
    introduce(&mut brisk, &mut reader).await;
    // It acknowledges nothing from now on.
    frozen.task.abort();
    for n in 0..200 {
        slow.send(Lane::Reliable, numbered(n, 1000)).await;
        let sent = brisk.send(Lane::Reliable, numbered(n, 1000)).await;
        assert!(!matches!(sent, Sent::Dropped(_)), "{sent:?}");
        assert_eq!(number(&reader.packet().await.1), n);
    }
    let event = slow.event().await;
    assert!(
        matches!(
            event,
            Event::SlowConsumer {
                lane: Lane::Reliable,
                ..
            }
        ),
        "{event:?}"
    );
    assert_eq!(
        slow.send(Lane::Reliable, numbered(0, 8)).await,
        Sent::Dropped(DropReason::SlowConsumer)
    );
    assert_eq!(server.stats.slow_consumers.value(), 1);
    slow.close().await;
    let event = slow.event().await;
    assert!(matches!(event, Event::Closed { .. }), "{event:?}");
    assert!(server.stats.dropped(DropReason::Unsent) > 0);
    server.stop().await;
    client.stop().await;
}

/// Less than the limit, but more than half of it for too long.
#[tokio::test]
async fn a_reader_that_stays_behind_for_the_grace_is_slow() {
    let mut settings = config(1);
    settings.reliable = outbox::Config {
        bytes_max: 64 * 1024,
        grace: Duration::from_millis(300),
        ..outbox::Config::RELIABLE
    };
    settings.peer.send_buffer_bytes = 32 * 1024;
    let (server, frozen, mut slow, _dialer) = pair(settings, config(2)).await;
    frozen.task.abort();
    let key = slow.key;
    // Fill the engine, then 40 KiB of the outbox.
    server
        .call(move |now, peers| {
            let packet = numbered(0, 1024);
            while peers.send(now, key, Lane::Reliable, &packet) == Sent::Accepted {}
            for _ in 1..40 {
                assert_eq!(peers.send(now, key, Lane::Reliable, &packet), Sent::Queued);
            }
        })
        .await;
    assert_eq!(server.stats.slow_consumers.value(), 0);
    let event = slow.event().await;
    assert!(matches!(event, Event::SlowConsumer { .. }), "{event:?}");
    server.stop().await;
}

/// More in one pass than the engine takes: the rest waits, then follows in order.
#[tokio::test]
async fn a_burst_waits_in_the_outbox_and_arrives_in_order() {
    let mut settings = config(1);
    settings.peer.send_buffer_bytes = 32 * 1024;
    let (server, client, acceptor, mut dialer) = pair(settings, config(2)).await;
    let packets = (0..500).map(|n| numbered(n, 1000)).collect();
    let sent = acceptor.send_all(Lane::Reliable, packets).await;
    assert_eq!(sent.first(), Some(&Sent::Accepted));
    assert_eq!(sent.last(), Some(&Sent::Queued));
    for n in 0..500 {
        assert_eq!(number(&dialer.packet().await.1), n);
    }
    server.stop().await;
    client.stop().await;
}

/// The unreliable lane prefers what is new, and counts what it gave up.
#[tokio::test]
async fn a_full_unreliable_outbox_drops_the_oldest() {
    let mut settings = config(1);
    settings.peer.send_buffer_bytes = 32 * 1024;
    settings.unreliable.count_max = 10;
    let (server, client, acceptor, mut dialer) = pair(settings, config(2)).await;
    let packets = (0..500).map(|n| numbered(n, 1000)).collect();
    let sent = acceptor.send_all(Lane::Unreliable, packets).await;
    assert!(!sent.iter().any(|sent| matches!(sent, Sent::Dropped(_))));
    let evicted = server.stats.dropped(DropReason::Evicted);
    assert!(evicted > 400, "{evicted} evicted");
    let mut last = 0;
    let mut seen = 0;
    while last != 499 {
        last = number(&dialer.packet().await.1);
        seen += 1;
    }
    assert_eq!(seen + evicted, 500);
    server.stop().await;
    client.stop().await;
}
