use shard::{
    DropReason, Full, Sent,
    rtc_peer::{Lane, Signal, SignalKind},
};

use crate::harness::{ACCEPTOR, Node, config, pair};

#[tokio::test]
async fn one_peer_more_than_the_limit_is_refused_until_one_leaves() {
    let mut settings = config(1);
    settings.peers_max = 2;
    let server = Node::start(settings);
    let mut first = server.open(ACCEPTOR).await.expect("room for one");
    let _second = server.open(ACCEPTOR).await.expect("room for two");
    assert_eq!(
        server.open(ACCEPTOR).await.err(),
        Some(Full { peers_max: 2 })
    );
    assert_eq!(server.stats.peers_refused.value(), 1);
    first.close().await;
    first.closed().await;
    assert!(server.open(ACCEPTOR).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn packets_before_a_lane_and_over_the_size_are_refused() {
    let (server, client, acceptor, _dialer) = pair(config(1), config(2)).await;
    let early = server.open(ACCEPTOR).await.expect("room");
    assert_eq!(
        early.send(Lane::Reliable, "early").await,
        Sent::Dropped(DropReason::LaneNotOpen)
    );
    assert_eq!(server.stats.dropped(DropReason::LaneNotOpen), 1);
    let whole = vec![0; 65_536];
    assert_eq!(acceptor.send(Lane::Reliable, whole).await, Sent::Accepted);
    let over = vec![0; 65_537];
    assert_eq!(
        acceptor.send(Lane::Reliable, over).await,
        Sent::Dropped(DropReason::TooLarge)
    );
    server.stop().await;
    client.stop().await;
}

/// What an engine drops is counted with the shard's own drops.
#[tokio::test]
async fn a_signal_that_makes_no_sense_is_counted() {
    let server = Node::start(config(1));
    let acceptor = server.open(ACCEPTOR).await.expect("room");
    let nonsense = || Signal {
        kind: SignalKind::Offer,
        data: "nonsense".into(),
    };
    acceptor.signal(nonsense()).await;
    acceptor.signal(nonsense()).await;
    // Another command is another pass: the flush of the one before is over.
    server.call(|_, _| {}).await;
    assert_eq!(server.stats.dropped(DropReason::BadSignal), 2);
    server.stop().await;
}

/// The shard is not running yet, so that nothing makes room.
#[tokio::test]
async fn one_command_more_than_the_limit_is_refused() {
    let mut settings = config(1);
    settings.commands_max = 3;
    let shard = shard::Shard::bind(settings, crate::harness::Routes::default()).expect("binds");
    let handle = shard.handle();
    for _ in 0..3 {
        assert!(handle.try_send(Box::new(|_, _, _| {})).is_ok());
    }
    assert!(matches!(
        handle.try_send(Box::new(|_, _, _| {})),
        Err(shard::TrySendError::Full(_))
    ));
}
