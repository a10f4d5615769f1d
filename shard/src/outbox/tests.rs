use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proptest::prelude::*;

use super::{Config, Outbox, Policy, Push};

const SMALL: Config = Config {
    bytes_max: 100,
    count_max: 10,
    policy: Policy::Buffered,
    grace: Duration::from_secs(5),
};

fn packet(len: usize) -> Bytes {
    Bytes::from(vec![7; len])
}

#[test]
fn buffered_overruns_past_the_byte_limit_and_says_so_once() {
    let now = Instant::now();
    let mut outbox = Outbox::default();
    assert_eq!(
        outbox.push(now, &packet(99), &SMALL),
        Push::Queued { evicted: 0 }
    );
    assert_eq!(
        outbox.push(now, &packet(1), &SMALL),
        Push::Queued { evicted: 0 }
    );
    assert_eq!(outbox.push(now, &packet(1), &SMALL), Push::Overrun);
    assert_eq!(outbox.push(now, &packet(1), &SMALL), Push::Refused);
    assert_eq!(outbox.bytes(), 100);
}

#[test]
fn buffered_overruns_past_the_count_limit() {
    let now = Instant::now();
    let mut outbox = Outbox::default();
    for _ in 0..10 {
        assert_eq!(
            outbox.push(now, &packet(1), &SMALL),
            Push::Queued { evicted: 0 }
        );
    }
    assert_eq!(outbox.push(now, &packet(1), &SMALL), Push::Overrun);
}

#[test]
fn a_scaled_one_holds_so_many_times_as_much() {
    let now = Instant::now();
    for (bytes, count, overrun) in [
        (299, 1, false),
        (300, 1, false),
        (301, 1, true),
        (1, 30, false),
        (1, 31, true),
    ] {
        let mut outbox = Outbox::default();
        outbox.scale(3);
        let pushed = (0..count).map(|_| outbox.push(now, &packet(bytes), &SMALL));
        let last = pushed.last();
        assert_eq!(
            last == Some(Push::Overrun),
            overrun,
            "{count} of {bytes} bytes"
        );
    }
    let mut outbox = Outbox::default();
    outbox.scale(3);
    outbox.push(now, &packet(150), &SMALL);
    assert_eq!(outbox.deadline(&SMALL), None, "half is not above half");
    outbox.push(now, &packet(1), &SMALL);
    assert_eq!(outbox.deadline(&SMALL), Some(now + SMALL.grace));
}

#[test]
fn the_grace_runs_above_half_and_stops_below() {
    let now = Instant::now();
    let mut outbox = Outbox::default();
    outbox.push(now, &packet(50), &SMALL);
    assert_eq!(outbox.deadline(&SMALL), None, "half is not above half");
    outbox.push(now, &packet(1), &SMALL);
    assert_eq!(outbox.deadline(&SMALL), Some(now + SMALL.grace));
    let later = now + Duration::from_secs(3);
    outbox.push(later, &packet(1), &SMALL);
    assert_eq!(
        outbox.deadline(&SMALL),
        Some(now + SMALL.grace),
        "more of the same does not restart it"
    );
    assert!(!outbox.check_grace(later, &SMALL));
    outbox.pop();
    outbox.settle(later, &SMALL);
    assert_eq!(outbox.deadline(&SMALL), None);
    assert!(!outbox.check_grace(now + Duration::from_secs(60), &SMALL));
}

#[test]
fn a_reader_slower_than_the_grace_is_found_once() {
    let now = Instant::now();
    let mut outbox = Outbox::default();
    outbox.push(now, &packet(51), &SMALL);
    assert!(!outbox.check_grace(now + SMALL.grace - Duration::from_millis(1), &SMALL));
    assert!(outbox.check_grace(now + SMALL.grace, &SMALL));
    assert!(!outbox.check_grace(now + SMALL.grace, &SMALL));
    assert_eq!(outbox.push(now, &packet(1), &SMALL), Push::Refused);
}

#[test]
fn fixed_queue_keeps_the_newest() {
    let now = Instant::now();
    let config = Config {
        policy: Policy::FixedQueue,
        count_max: 2,
        ..SMALL
    };
    let mut outbox = Outbox::default();
    for (len, evicted) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        assert_eq!(
            outbox.push(now, &packet(len), &config),
            Push::Queued { evicted }
        );
    }
    assert_eq!(outbox.pop().map(|packet| packet.len()), Some(3));
    assert_eq!(outbox.pop().map(|packet| packet.len()), Some(4));
    assert_eq!(outbox.pop(), None);
}

#[test]
fn fixed_queue_does_not_empty_itself_for_what_can_never_fit() {
    let now = Instant::now();
    let config = Config {
        policy: Policy::FixedQueue,
        ..SMALL
    };
    let mut outbox = Outbox::default();
    outbox.push(now, &packet(10), &config);
    assert_eq!(outbox.push(now, &packet(101), &config), Push::Discarded);
    assert_eq!(outbox.len(), 1);
    assert_eq!(
        outbox.push(now, &packet(100), &config),
        Push::Queued { evicted: 1 }
    );
}

#[test]
fn discard_keeps_nothing() {
    let config = Config {
        policy: Policy::Discard,
        ..SMALL
    };
    let mut outbox = Outbox::default();
    assert_eq!(
        outbox.push(Instant::now(), &packet(1), &config),
        Push::Discarded
    );
    assert!(outbox.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Pop,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..130).prop_map(Step::Push),
        2 => Just(Step::Pop),
        1 => (0u64..7).prop_map(Step::Wait),
    ]
}

proptest! {
    /// A plain list with the rules written the long way round: same verdicts, same contents.
    #[test]
    fn agrees_with_a_list(
        policy in prop_oneof![
            Just(Policy::Buffered), Just(Policy::FixedQueue), Just(Policy::Discard)
        ],
        bytes_max in 0usize..200,
        count_max in 0usize..12,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let config = Config { bytes_max, count_max, policy, grace: Duration::from_secs(5) };
        let mut now = Instant::now();
        let mut outbox = Outbox::default();
        let mut model: VecDeque<usize> = VecDeque::new();
        let mut slow = false;
        let mut pressed: Option<Instant> = None;
        for step in steps {
            match step {
                Step::Push(len) => {
                    let total: usize = model.iter().sum();
                    let room = model.len() < count_max && total + len <= bytes_max;
                    let expected = if slow {
                        Push::Refused
                    } else if policy == Policy::Discard
                        || (policy == Policy::FixedQueue && (len > bytes_max || count_max == 0))
                    {
                        Push::Discarded
                    } else if policy == Policy::Buffered && !room {
                        slow = true;
                        Push::Overrun
                    } else {
                        model.push_back(len);
                        let mut evicted = 0;
                        while model.len() > count_max || model.iter().sum::<usize>() > bytes_max {
                            model.pop_front();
                            evicted += 1;
                        }
                        Push::Queued { evicted }
                    };
                    prop_assert_eq!(outbox.push(now, &packet(len), &config), expected);
                }
                Step::Pop => {
                    prop_assert_eq!(outbox.pop().map(|packet| packet.len()), model.pop_front());
                    outbox.settle(now, &config);
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
            }
            let total: usize = model.iter().sum();
            if policy == Policy::Buffered && (total > bytes_max / 2 || model.len() > count_max / 2) {
                pressed.get_or_insert(now);
            } else {
                pressed = None;
            }
            let over = !slow && pressed.is_some_and(|since| now >= since + config.grace);
            slow |= over;
            prop_assert_eq!(outbox.check_grace(now, &config), over);
            prop_assert_eq!((outbox.len(), outbox.bytes()), (model.len(), total));
            prop_assert!(outbox.len() <= count_max && outbox.bytes() <= bytes_max);
        }
    }
}
