//! The window that we offer, less what the owner holds.

use super::*;

/// The window that the first side's SACKs offer.
fn offered(duo: &Duo) -> u32 {
    packet::window(&duo.last[0]).unwrap()
}

#[test]
fn what_the_owner_holds_is_taken_from_the_window() {
    let mut duo = Duo::new();
    let whole = 256 * 1024;
    let mut talk = |held: usize| {
        duo.set_held(held);
        // Two packets: the second is acknowledged at once.
        duo.write(1, 1, b"one");
        duo.write(1, 1, b"two");
        offered(&duo)
    };
    assert_eq!(talk(0), whole);
    assert_eq!(talk(1000), whole - 1000);
    assert_eq!(talk(254 * 1024), 2 * 1024);
    assert_eq!(talk(255 * 1024), 0, "less than a packet is nothing");
    assert_eq!(talk(0), whole);
}

#[test]
fn a_window_that_reopens_is_told_unasked_and_once() {
    for (reopened_to, told) in [(16 * 1024 - 1, false), (16 * 1024, true)] {
        let mut duo = Duo::new();
        let whole = 256 * 1024;
        duo.set_held(whole);
        duo.write(1, 1, b"one");
        duo.write(1, 1, b"two");
        assert_eq!(offered(&duo), 0);
        let polled = |duo: &mut Duo, held| {
            duo.set_held(held);
            let packet = duo.ends[0].poll_packet(duo.now);
            assert!(duo.ends[0].poll_packet(duo.now).is_none());
            packet.map(|packet| packet::window(&packet).unwrap())
        };
        let expected = told.then_some(u32::try_from(reopened_to).unwrap());
        assert_eq!(polled(&mut duo, whole - reopened_to), expected);
        assert_eq!(polled(&mut duo, whole - reopened_to), None);
    }
}

/// The other side takes it for what it is, and what waited for the window comes.
#[test]
fn a_sender_that_met_a_shut_window_goes_on_when_it_is_told() {
    let mut duo = Duo::new();
    duo.set_held(256 * 1024);
    duo.write(1, 1, b"one");
    duo.write(1, 1, b"two");
    for _ in 0..10 {
        duo.write(1, 1, &[7; 1000]);
    }
    let before = duo.events[0].len();
    assert!(before <= 3, "one probe at the most");
    duo.set_held(0);
    duo.exchange();
    assert_eq!(duo.events[0].len(), 12);
}

#[test]
fn an_owner_that_holds_too_much_gets_no_more_and_the_sender_is_told_why() {
    for (held, taken) in [(HELD_BYTES_MAX - 1, true), (HELD_BYTES_MAX, false)] {
        let mut duo = Duo::new();
        duo.next_tsn();
        let tsn = duo.next_tsn();
        duo.set_held(held);
        let more = data_in_turn(WHOLE, tsn, [1, 2], b"more");
        assert_eq!(duo.attack(&[more]), taken);
        if !taken {
            assert_eq!(offered(&duo), 0);
        }
        let heartbeat = chunk(4, 0, &[0, 1, 0, 8, 1, 2, 3, 4]);
        assert!(duo.attack(&[heartbeat]), "no data");
        assert_eq!(duo.set_held(0), !taken, "what was refused is taken in");
        duo.exchange();
        assert_eq!(duo.events[0].len(), 1);
        assert!(!duo.has_failed());
    }
}
