//! What a hostile side can have us hold.

use super::*;

/// Whatever their size, and however they are packed: what waits costs what it takes.
#[test]
fn chunks_behind_a_gap_that_take_too_much_are_dropped_until_it_is_filled() {
    for payload in [1, 100, 300] {
        let mut duo = Duo::new();
        // Every second packet is acknowledged at once.
        duo.next_tsn();
        let tsn = duo.next_tsn();
        let packet = duo.forge(&[data(WHOLE, tsn, 1, &vec![7; payload])]);
        let fit = guard::AHEAD_BYTES_MAX / (packet.len() + 1024);
        let behind_the_gap = |n: usize| {
            let n = u16::try_from(n).unwrap();
            let tsn = tsn.wrapping_add(n.into());
            data_in_turn(WHOLE, tsn, [1, 2 + n], &vec![7; payload])
        };
        for n in 1..=fit {
            assert!(duo.attack(&[behind_the_gap(n)]), "{n} of {fit}");
        }
        assert!(!duo.attack(&[behind_the_gap(fit + 1)]), "one more");
        assert!(duo.events[0].is_empty());
        assert!(duo.attack(&[behind_the_gap(0)]), "what fills the gap");
        assert_eq!(duo.events[0].len(), fit + 1, "all that waited");
        // The delayed acknowledgement.
        duo.now += Duration::from_millis(200);
        duo.ends[0].handle_timeout(duo.now);
        duo.exchange();
        assert!(duo.attack(&[behind_the_gap(fit + 1)]), "and there is room");
        assert!(!duo.has_failed());
    }
}

/// The charge is what it really costs, however little of a packet is data: the association keeps
/// all of it for one byte.
#[test]
fn what_waits_behind_a_gap_takes_no_more_than_it_is_charged() {
    let ballast = |bytes: u16| {
        let mut information = vec![0, 1];
        information.extend((4 + bytes).to_be_bytes());
        information.resize(usize::from(4 + bytes), 7);
        chunk(4, 0, &information)
    };
    for (name, unordered, small, ballast) in [
        ("ordered", 0, 1, None),
        ("unordered", 4, 1, None),
        ("with ballast", 0, 1, Some(ballast(1100))),
        ("of some size", 4, 100, None),
    ] {
        let mut duo = Duo::new();
        duo.next_tsn();
        let tsn = duo.next_tsn();
        let held = allocation_counter::measure(|| {
            for n in 1..2000_u16 {
                let turn = [1, 2 + n];
                let data = data_in_turn(
                    WHOLE + unordered,
                    tsn.wrapping_add(n.into()),
                    turn,
                    &vec![7; small],
                );
                let chunks: Vec<_> = ballast.iter().cloned().chain([data]).collect();
                if !duo.attack(&chunks) {
                    break;
                }
                duo.events[0].clear();
            }
        });
        let (held, most) = (held.bytes_current, guard::AHEAD_BYTES_MAX);
        println!("{name}: {held} bytes of {most}");
        assert!(usize::try_from(held).unwrap() <= most, "{name}: {held}");
        assert!(!duo.has_failed());
    }
}

/// What does not reach the association does not count as having come in sequence, or whatever
/// follows would be free.
#[test]
fn what_the_association_does_not_take_lets_nothing_pass() {
    for spoil in [
        // A chunk of an unknown kind: nothing of the packet is taken.
        |duo: &Duo, data: Vec<u8>| duo.forge(&[data, chunk(99, 0, &[0; 4])]),
        // A wrong checksum.
        |duo: &Duo, data: Vec<u8>| {
            let mut packet = duo.forge(&[data]).to_vec();
            packet[8] ^= 1;
            packet.into()
        },
    ] {
        let mut duo = Duo::new();
        duo.next_tsn();
        let tsn = duo.next_tsn();
        let mut held = 0;
        for n in 0..2000_u16 {
            let turn = [1, 2 + n];
            let data = |at: u32| data_in_turn(WHOLE, tsn.wrapping_add(at), turn, b"x");
            let spoilt = spoil(&duo, data(n.into()));
            duo.ends[0].handle(duo.now, spoilt);
            held += usize::from(duo.attack(&[data(1 + u32::from(n))]));
        }
        assert!(held <= guard::AHEAD_BYTES_MAX / 1024, "{held}");
    }
}

/// The first part of a message, and of another, and so on: nothing is ever whole, and however small
/// the parts are, they are in sequence.
#[test]
fn messages_that_never_end_are_a_violation_however_small_they_are() {
    let mut duo = Duo::new();
    duo.next_tsn();
    let tsn = duo.next_tsn();
    let mut sent = 0;
    let held = allocation_counter::measure(|| {
        for n in 0..2000_u16 {
            let turn = [1, 2 + n];
            let part = data_in_turn(FIRST, tsn.wrapping_add(n.into()), turn, b"x");
            duo.attack(&[part]);
            if duo.has_failed() {
                break;
            }
            sent += 1;
        }
    });
    assert_eq!(sent, 640);
    assert!(held.bytes_current < 1024 * 1024, "{held:?}");
}
