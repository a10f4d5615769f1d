use super::*;
use crate::session::Message;
use bytes::Bytes;

const LIMITS: EventsConfig = EventsConfig {
    unreliable_count_max: 3,
    unreliable_bytes_max: 100,
    reliable_count_max: 3,
    reliable_bytes_max: 100,
};

fn message(lane: Lane, seq: u64, bytes: usize) -> Event {
    Event::Message(Message {
        from_alias: 1,
        topic: None,
        seq,
        lane,
        body: Bytes::from(vec![0; bytes]),
        identity: None,
    })
}

fn seqs(events: &mut Events) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Some(event) = events.try_recv() {
        if let Event::Message(message) = event {
            seqs.push(message.seq);
        }
    }
    seqs
}

#[test]
fn both_lanes_come_out_in_order() {
    let (sender, mut events) = channel(LIMITS);
    let lanes = [
        Lane::Reliable,
        Lane::Unreliable,
        Lane::Unreliable,
        Lane::Reliable,
    ];
    for (seq, lane) in (1..).zip(lanes) {
        assert_eq!(sender.push(message(lane, seq, 1)), Ok(()));
    }
    assert_eq!(seqs(&mut events), [1, 2, 3, 4]);
}

#[test]
fn unreliable_messages_lose_the_oldest() {
    for (count, kept, dropped) in [
        (2, vec![1, 2], 0),
        (3, vec![1, 2, 3], 0),
        (4, vec![2, 3, 4], 1),
    ] {
        let (sender, mut events) = channel(LIMITS);
        for seq in 1..=count {
            assert_eq!(sender.push(message(Lane::Unreliable, seq, 1)), Ok(()));
        }
        assert_eq!((seqs(&mut events), events.dropped()), (kept, dropped));
    }
    let (sender, mut events) = channel(LIMITS);
    for seq in 1..=3 {
        assert_eq!(sender.push(message(Lane::Unreliable, seq, 50)), Ok(()));
    }
    assert_eq!((seqs(&mut events), events.dropped()), (vec![2, 3], 1));
}

#[test]
fn reliable_messages_are_never_dropped_but_refused() {
    let (sender, mut events) = channel(LIMITS);
    for seq in 1..=3 {
        assert_eq!(sender.push(message(Lane::Reliable, seq, 1)), Ok(()));
    }
    assert_eq!(sender.push(message(Lane::Reliable, 4, 1)), Err(Overflow));
    assert_eq!(seqs(&mut events), [1, 2, 3]);
    assert_eq!(sender.push(message(Lane::Reliable, 5, 100)), Ok(()));
    assert_eq!(sender.push(message(Lane::Reliable, 6, 1)), Err(Overflow));
    assert_eq!(seqs(&mut events), [5]);
}

#[tokio::test]
async fn the_end_has_always_a_place_and_comes_last() {
    let (sender, mut events) = channel(LIMITS);
    for seq in 1..=3 {
        assert_eq!(sender.push(message(Lane::Reliable, seq, 1)), Ok(()));
    }
    let reason = Reason::SlowConsumer;
    assert_eq!(sender.push(Event::Stopped { reason }), Ok(()));
    assert_eq!(sender.push(message(Lane::Reliable, 4, 1)), Ok(()));
    drop(sender);
    for _ in 0..3 {
        assert!(matches!(events.recv().await, Some(Event::Message(_))));
    }
    assert_eq!(events.recv().await, Some(Event::Stopped { reason }));
    assert_eq!(events.recv().await, None);
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn a_task_that_ends_without_a_word_ends_the_events() {
    let (sender, mut events) = channel(LIMITS);
    drop(sender);
    let reason = Reason::Closed;
    assert_eq!(events.recv().await, Some(Event::Stopped { reason }));
    assert_eq!(events.recv().await, None);
}

#[test]
fn without_a_reader_nothing_is_kept() {
    let (sender, events) = channel(LIMITS);
    drop(events);
    for seq in 1..=9 {
        assert_eq!(sender.push(message(Lane::Reliable, seq, 50)), Ok(()));
    }
    assert!(sender.shared.queues.lock().reliable.events.is_empty());
}
