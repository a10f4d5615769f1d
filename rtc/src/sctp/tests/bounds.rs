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

/// What is next in sequence is always taken. It takes nothing along that is not.
#[test]
fn what_comes_in_one_packet_with_the_next_in_sequence_is_bounded_too() {
    let mut duo = Duo::new();
    duo.next_tsn();
    let tsn = duo.next_tsn();
    let mut most = 0;
    let held = allocation_counter::measure(|| {
        for n in 0..4000_u16 {
            let next = data_in_turn(WHOLE, tsn.wrapping_add(n.into()), [1, 2 + n], b"x");
            // As far ahead as can be.
            let far = tsn.wrapping_add(4030 + u32::from(n));
            let far = data_in_turn(WHOLE, far, [2, 3 + n], &[7; 100]);
            assert!(duo.attack(&[next, far]));
            most = most.max(duo.ends[0].guard.held_bytes());
            duo.events[0].clear();
        }
    });
    println!("{} bytes held", held.bytes_current);
    // Up to the limit, and not beyond it.
    assert!(most <= guard::AHEAD_BYTES_MAX && most > guard::AHEAD_BYTES_MAX - 2048);
    assert!(usize::try_from(held.bytes_current).unwrap() <= guard::AHEAD_BYTES_MAX);
    assert!(!duo.has_failed());
}

/// Nothing is ever whole, or ever in its turn, and however small it is, it is in sequence.
#[test]
fn what_waits_in_sequence_is_a_violation_when_it_takes_too_much() {
    // What a first part takes besides its packet, and what another one does.
    let (first, later) = (704, 400);
    type Parts = fn(u16) -> (u8, u16);
    let cases: [(&str, Parts, usize); 4] = [
        (
            "a message without an end",
            |n| (if n == 0 { FIRST } else { MIDDLE }, 1),
            later,
        ),
        (
            "an unordered one",
            |n| (if n == 0 { FIRST } else { MIDDLE } + 4, 1),
            later,
        ),
        ("beginnings of messages", |n| (FIRST, 2 + n), first),
        (
            "messages after one that never comes",
            |n| (WHOLE, 3 + n),
            first,
        ),
    ];
    let most = guard::parts_bytes_max(65_536);
    for (name, part, each) in cases {
        for payload in [1, 100, 1000] {
            let mut duo = Duo::new();
            duo.next_tsn();
            let tsn = duo.next_tsn();
            let send = |duo: &mut Duo, n: u16| {
                let (flags, turn) = part(n);
                let tsn = tsn.wrapping_add(n.into());
                duo.attack(&[data_in_turn(flags, tsn, [1, turn + 1], &vec![7; payload])]);
            };
            let like_them = duo.forge(&[data(WHOLE, tsn, 1, &vec![7; payload])]);
            let fit = (most - (first - each)) / (like_them.len() + each);
            let fit = u16::try_from(fit).unwrap();
            let held = allocation_counter::measure(|| {
                for n in 0..fit {
                    send(&mut duo, n);
                }
            });
            assert!(!duo.has_failed(), "{name}: {fit} of {payload} fit");
            println!(
                "{name}: {fit} of {payload} bytes take {} bytes",
                held.bytes_current
            );
            assert!(
                usize::try_from(held.bytes_current).unwrap() <= most,
                "{name}"
            );
            send(&mut duo, fit);
            assert!(duo.has_failed(), "{name}: one more of {payload}");
        }
    }
}

/// The largest message, in parts as small as anybody makes them, two in a packet.
#[test]
fn the_largest_message_fits_however_it_comes() {
    for (size, together) in [(1100, 1), (550, 2), (500, 1)] {
        let mut duo = Duo::new();
        duo.next_tsn();
        let tsn = duo.next_tsn();
        let message = vec![7; 65_536];
        let parts = message.chunks(size).enumerate();
        let last = message.len().div_ceil(size) - 1;
        let parts: Vec<_> = parts
            .map(|(n, part)| {
                let flags = u8::from(n == last) + 2 * u8::from(n == 0);
                let tsn = tsn.wrapping_add(u32::try_from(n).unwrap());
                data_in_turn(flags, tsn, [1, 2], part)
            })
            .collect();
        // The second half first: all of it waits behind a gap.
        let (late, early) = parts.split_at(parts.len() / 4 * 2);
        for packet in early.chunks(together).chain(late.chunks(together)) {
            assert!(duo.attack(packet), "{size}");
        }
        assert!(
            matches!(duo.events[0][..], [Event::Message { .. }]),
            "{size}"
        );
        assert_eq!(duo.ends[0].guard.held_bytes(), 0);
    }
}

/// Whoever gives up a message whose parts came is not charged for them for ever.
#[test]
fn parts_of_messages_that_were_given_up_are_forgotten() {
    for unordered in [true, false] {
        let mut duo = Duo::new();
        let reliability = Reliability::Retransmits(0);
        duo.ends[0].open_stream(1, unordered, reliability);
        duo.next_tsn();
        let mut tsn = duo.next_tsn();
        for turn in 2..3000_u16 {
            // Of four parts the third is lost, and a whole one after them waits for it.
            let flags = 4 * u8::from(unordered);
            for (n, part) in [(0, FIRST), (1, MIDDLE), (3, 1), (4, WHOLE)] {
                let turn = turn.wrapping_mul(2) + u16::from(n == 4);
                let chunk = data_in_turn(flags + part, tsn.wrapping_add(n), [1, turn], &[7; 900]);
                assert!(duo.attack(&[chunk]), "{turn}");
            }
            let mut skip = tsn.wrapping_add(3).to_be_bytes().to_vec();
            if !unordered {
                skip.extend([0, 1]);
                skip.extend(turn.wrapping_mul(2).to_be_bytes());
            }
            assert!(duo.attack(&[chunk(192, 0, &skip)]));
            assert!(!duo.has_failed(), "{turn}");
            tsn = tsn.wrapping_add(5);
        }
        // Of the whole ones each came.
        assert_eq!(duo.events[0].len(), 2998, "{unordered}");
    }
}

/// What is said to be given up and is not (it stands in no list of what is) counts as before.
#[test]
fn what_is_given_up_in_words_only_still_counts() {
    let mut duo = Duo::new();
    duo.next_tsn();
    let mut tsn = duo.next_tsn();
    let held = allocation_counter::measure(|| {
        for n in 0..3000_u16 {
            duo.attack(&[data_in_turn(WHOLE, tsn, [1, 3 + n], b"x")]);
            duo.attack(&[chunk(192, 0, &tsn.wrapping_add(1).to_be_bytes())]);
            tsn = tsn.wrapping_add(2);
            if duo.has_failed() {
                break;
            }
        }
    });
    assert!(duo.has_failed());
    let most = guard::parts_bytes_max(65_536);
    assert!(
        usize::try_from(held.bytes_current).unwrap() <= most,
        "{held:?}"
    );
}

/// What came before and comes again costs nothing, for it takes nothing.
#[test]
fn repetitions_are_free() {
    let mut duo = Duo::new();
    duo.next_tsn();
    let tsn = duo.next_tsn();
    for _ in 0..3000 {
        for (n, flags) in [(0, FIRST), (1, MIDDLE), (3, MIDDLE), (4, WHOLE)] {
            let turn = [1, 2 + u16::from(n == 4)];
            let chunk = data_in_turn(flags, tsn.wrapping_add(n), turn, &[7; 900]);
            assert!(duo.attack(&[chunk]));
        }
    }
    assert!(!duo.has_failed());
    let held = duo.ends[0].guard.held_bytes();
    assert!(held <= 4 * (1000 + 1024), "{held}");
}

/// Of the associations that repeated requests make one stays: the others hold nothing meanwhile.
#[test]
fn data_waits_until_it_is_known_which_association_stays() {
    let now = Instant::now();
    let mut client = Sctp::new(now, true, 65_536, 65_536);
    let init = client.poll_packet(now).unwrap();
    for (times, taken) in [(1, true), (2, false)] {
        let mut server = Sctp::new(now, false, 65_536, 65_536);
        for _ in 0..times {
            server.handle(now, init.clone());
        }
        let mut tags = Vec::new();
        while let Some(answer) = server.poll_packet(now) {
            // The tag that the answer wants to see on what comes.
            tags.push(answer[16..20].to_vec());
        }
        let tsn = u32::from_be_bytes(init[28..32].try_into().unwrap());
        let mut packet = init[..12].to_vec();
        packet[4..8].copy_from_slice(tags.last().unwrap());
        packet.extend(data(WHOLE, tsn, 1, b"early"));
        assert_eq!(server.handle(now, reseal(packet).into()), taken, "{times}");
        // One that comes when there was data is an old one.
        assert_eq!(server.handle(now, init.clone()), !taken, "{times}");
    }
}
