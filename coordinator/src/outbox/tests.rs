use super::*;

const LIMITS: Outbox = Outbox {
    count_max: 3,
    bytes_max: 10,
};

const ANY: Outbox = Outbox {
    count_max: usize::MAX,
    bytes_max: usize::MAX,
};

fn frame(size: usize) -> Bytes {
    vec![0; size].into()
}

/// With room for everything.
fn alone() -> (Sender, Receiver) {
    new(LIMITS, 1, &Arc::new(Total::new(usize::MAX)))
}

/// A frame that costs exactly so much.
fn costing(cost: usize) -> Bytes {
    frame(cost - FRAME_BYTES)
}

#[tokio::test]
async fn count_is_bounded() {
    let (sender, mut receiver) = alone();
    for _ in 0..3 {
        assert_eq!(sender.try_send(frame(1)), Ok(()));
    }
    assert_eq!(sender.try_send(frame(1)), Err(Full::Session));
    assert!(receiver.recv().await.is_some());
    assert_eq!(sender.try_send(frame(1)), Ok(()));
}

#[test]
fn bytes_are_bounded() {
    for (second, taken) in [(4, true), (5, true), (6, false)] {
        let (sender, mut receiver) = alone();
        assert_eq!(sender.try_send(frame(5)), Ok(()));
        assert_eq!(sender.try_send(frame(second)).is_ok(), taken, "{second}");
        assert!(receiver.try_recv().is_some());
        assert_eq!(sender.try_send(frame(5)), Ok(()), "room again");
    }
}

#[tokio::test]
async fn a_large_one_goes_alone() {
    let (sender, mut receiver) = alone();
    assert_eq!(sender.try_send(frame(11)), Ok(()));
    assert_eq!(sender.try_send(frame(1)), Err(Full::Session));
    assert!(receiver.recv().await.is_some());
    assert_eq!(sender.try_send(frame(1)), Ok(()));
}

#[tokio::test]
async fn the_end_is_seen_from_both_sides() {
    let (sender, receiver) = alone();
    drop(receiver);
    assert_eq!(sender.try_send(frame(1)), Err(Full::Session));
    let (sender, mut receiver) = alone();
    assert_eq!(sender.try_send(frame(1)), Ok(()));
    drop(sender);
    assert!(receiver.recv().await.is_some(), "what was said before");
    assert_eq!(receiver.recv().await, None);
    assert_eq!(receiver.try_recv(), None);
}

#[tokio::test]
async fn whoever_waits_is_woken() {
    let (sender, mut receiver) = alone();
    let (received, ()) = tokio::join!(receiver.recv(), async {
        assert_eq!(sender.try_send(frame(1)), Ok(()));
    });
    assert_eq!(received, Some(frame(1)));
    let (received, ()) = tokio::join!(receiver.recv(), async { drop(sender) });
    assert_eq!(received, None);
}

#[test]
fn all_together_are_bounded_and_shares_are_kept() {
    for (shared, fits) in [(999, false), (1000, true), (1001, true)] {
        let total = Arc::new(Total::new(shared));
        let (slow, _slow) = new(ANY, 1, &total);
        let (other, _other) = new(ANY, 2, &total);
        assert_eq!(slow.try_send(costing(SHARE_BYTES)), Ok(()));
        let expected = if fits { Ok(()) } else { Err(Full::Total) };
        assert_eq!(slow.try_send(costing(1000)), expected, "{shared}");
        let held = SHARE_BYTES + if fits { 1000 } else { 0 };
        assert_eq!(total.held(), held);
        // Whatever the one holds, the other has what is its own.
        for _ in 0..2 {
            assert_eq!(other.try_send(costing(SHARE_BYTES)), Ok(()));
        }
        let more = costing(shared + 1);
        assert_eq!(other.try_send(more), Err(Full::Total));
        assert_eq!(other.held_per_share(0), SHARE_BYTES);
        assert_eq!(slow.held_per_share(0), held);
    }
}

#[test]
fn whatever_way_it_goes_it_counts_no_more() {
    let total = Arc::new(Total::new(1000));
    let ways: [fn(Sender, Receiver); 3] = [
        |_sender, mut receiver| while receiver.try_recv().is_some() {},
        |_sender, receiver| drop(receiver),
        |sender, _receiver| sender.take_back(),
    ];
    for way in ways {
        let (sender, receiver) = new(ANY, 1, &total);
        assert_eq!(sender.try_send(costing(SHARE_BYTES + 500)), Ok(()));
        assert_eq!(sender.try_send(costing(500)), Ok(()));
        assert_eq!(sender.try_send(costing(100)), Err(Full::Total));
        way(sender, receiver);
        assert_eq!(total.held(), 0);
        assert_eq!(total.drawn.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn what_is_taken_back_is_not_received() {
    let (sender, mut receiver) = alone();
    assert_eq!(sender.try_send(frame(1)), Ok(()));
    sender.take_back();
    assert_eq!(sender.try_send(frame(1)), Err(Full::Session));
    drop(sender);
    assert_eq!(receiver.recv().await, None);
}
