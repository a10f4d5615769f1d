//! Two associations in memory, one of which turns hostile.

use std::time::Duration;

use super::*;

/// An honest pair; `packets` are those of the second that the first has not had.
struct Duo {
    now: Instant,
    ends: [Sctp; 2],
    events: [Vec<Event>; 2],
    /// The last packet of each side.
    last: [Bytes; 2],
}

impl Duo {
    fn new() -> Self {
        let now = Instant::now();
        let mut duo = Self {
            now,
            ends: [true, false].map(|active| Sctp::new(now, active, 65_536, 65_536)),
            events: Default::default(),
            last: Default::default(),
        };
        duo.exchange();
        for side in [0, 1] {
            assert!(matches!(duo.events[side][..], [Event::Connected]));
            duo.events[side].clear();
        }
        duo
    }

    fn exchange(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for side in [0, 1] {
                while let Some(packet) = self.ends[side].poll_packet(self.now) {
                    busy = true;
                    self.last[side] = packet.clone();
                    self.ends[1 - side].handle(self.now, packet);
                }
                while let Some(event) = self.ends[side].poll_event() {
                    self.events[side].push(event);
                }
            }
        }
    }

    fn write(&mut self, from: usize, stream: u16, bytes: &[u8]) {
        self.ends[from].open_stream(stream, false, Reliability::Reliable);
        let bytes = Bytes::copy_from_slice(bytes);
        assert!(self.ends[from].write(self.now, stream, Protocol::Binary, &bytes));
        self.exchange();
    }

    /// A packet as the second side could send it, of the given chunks.
    fn forge(&self, chunks: &[Vec<u8>]) -> Bytes {
        let mut packet = self.last[1][..12].to_vec();
        packet[8..].fill(0);
        chunks.iter().for_each(|chunk| packet.extend(chunk));
        let checksum = crc32c(&packet);
        packet[8..12].copy_from_slice(&checksum.to_le_bytes());
        // No larger than it is, as decryption makes them.
        Bytes::copy_from_slice(&packet)
    }

    fn attack(&mut self, chunks: &[Vec<u8>]) -> bool {
        let packet = self.forge(chunks);
        let taken = self.ends[0].handle(self.now, packet);
        while let Some(packet) = self.ends[0].poll_packet(self.now) {
            self.last[0] = packet;
        }
        while let Some(event) = self.ends[0].poll_event() {
            self.events[0].push(event);
        }
        taken
    }

    /// The second side's next TSN.
    fn next_tsn(&mut self) -> u32 {
        self.write(1, 1, b"probe");
        self.events[0].clear();
        // Header, then type, flags, length.
        u32::from_be_bytes(self.last[1][16..20].try_into().unwrap()) + 1
    }

    fn set_held(&mut self, bytes: usize) -> bool {
        self.ends[0].set_held(self.now, bytes)
    }

    fn has_failed(&self) -> bool {
        matches!(self.events[0].last(), Some(Event::Failed))
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
        }
    }
    !crc
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut chunk = vec![kind, flags];
    chunk.extend(length.to_be_bytes());
    chunk.extend(value);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

fn data(flags: u8, tsn: u32, stream: u16, payload: &[u8]) -> Vec<u8> {
    data_in_turn(flags, tsn, [stream, 1], payload)
}

/// With the message's number in its stream.
fn data_in_turn(flags: u8, tsn: u32, turn: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    turn.iter()
        .for_each(|number| value.extend(number.to_be_bytes()));
    value.extend([0, 0, 0, 53]);
    value.extend(payload);
    chunk(0, flags, &value)
}

const WHOLE: u8 = 3;
const FIRST: u8 = 2;
const MIDDLE: u8 = 0;

#[test]
fn a_forged_packet_is_as_good_as_a_real_one() {
    let mut duo = Duo::new();
    let tsn = duo.next_tsn();
    assert!(duo.attack(&[data(WHOLE, tsn, 1, b"forged")]));
    assert!(
        matches!(&duo.events[0][..], [Event::Message { stream: 1, bytes, .. }]
        if &bytes[..] == b"forged")
    );
}

#[test]
fn a_skip_far_ahead_is_a_violation() {
    let mut duo = Duo::new();
    let tsn = duo.next_tsn();
    let skip = |to: u32| chunk(192, 0, &to.to_be_bytes());
    assert!(duo.attack(&[skip(tsn.wrapping_add(100))]));
    assert!(duo.events[0].is_empty());
    let started = Instant::now();
    duo.attack(&[skip(tsn.wrapping_add(1 << 30))]);
    assert!(started.elapsed() < Duration::from_secs(1), "not walked");
    assert!(duo.has_failed());
}

#[test]
fn a_message_that_never_ends_is_a_violation() {
    let mut duo = Duo::new();
    let tsn = duo.next_tsn();
    let mut sent = 0;
    for index in 0..1000 {
        let flags = if index == 0 { FIRST } else { MIDDLE };
        duo.attack(&[data(flags, tsn.wrapping_add(index), 1, &[0; 1000])]);
        if duo.has_failed() {
            break;
        }
        sent += 1000;
    }
    assert!(duo.has_failed());
    assert!(
        sent <= 256 * 1024 + 128 * 1024 + 2000,
        "{sent} bytes were taken"
    );
}

#[test]
fn chunks_far_ahead_of_a_gap_are_dropped() {
    let mut duo = Duo::new();
    let tsn = duo.next_tsn();
    // A gap is told at once.
    assert!(duo.attack(&[data(WHOLE, tsn.wrapping_add(1), 1, b"x")]));
    let acknowledged = duo.ends[0].guard.acknowledged().unwrap();
    for (ahead, taken) in [(4031, true), (4032, true), (4033, false)] {
        let far = data(WHOLE, acknowledged.wrapping_add(ahead), 1, b"x");
        assert_eq!(duo.attack(&[far]), taken, "{ahead}");
    }
    assert!(!duo.has_failed());
}

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

#[test]
fn streams_beyond_the_few_are_a_violation() {
    let mut duo = Duo::new();
    for stream in 0..16 {
        duo.write(1, stream, b"one more");
    }
    assert_eq!(duo.events[0].len(), 16);
    duo.write(1, 16, b"one too many");
    assert!(duo.has_failed());
}

#[test]
fn resets_without_end_are_a_violation() {
    let mut duo = Duo::new();
    let tsn = duo.next_tsn();
    for request in 0..65_u32 {
        assert!(!duo.has_failed(), "after {request}");
        // An outgoing reset request that waits for data which never comes.
        let mut parameter = vec![0, 13, 0, 18];
        parameter.extend(request.to_be_bytes());
        parameter.extend([0; 4]);
        parameter.extend(tsn.wrapping_add(1000).to_be_bytes());
        parameter.extend([0, 1]);
        duo.attack(&[chunk(130, 0, &parameter)]);
    }
    assert!(duo.has_failed());
}

#[test]
fn gap_blocks_that_overlap_are_a_violation() {
    let mut duo = Duo::new();
    duo.write(0, 2, b"something");
    let sack = |blocks: &[[u16; 2]]| {
        let acknowledged = u32::from_be_bytes(duo.last[0][16..20].try_into().unwrap());
        let mut value = acknowledged.to_be_bytes().to_vec();
        value.extend(65_536_u32.to_be_bytes());
        value.extend(u16::try_from(blocks.len()).unwrap().to_be_bytes());
        value.extend([0, 0]);
        blocks
            .iter()
            .flatten()
            .for_each(|edge| value.extend(edge.to_be_bytes()));
        duo.forge(&[chunk(3, 0, &value)])
    };
    let (fine, overlapping) = (sack(&[]), sack(&[[2, 60_000], [2, 60_000]]));
    duo.ends[0].handle(duo.now, fine);
    assert!(
        duo.ends[0]
            .poll_event()
            .is_none_or(|event| matches!(event, Event::Released { .. }))
    );
    duo.ends[0].handle(duo.now, overlapping);
    let mut failed = false;
    while let Some(event) = duo.ends[0].poll_event() {
        failed = matches!(event, Event::Failed);
    }
    assert!(failed);
}

#[test]
fn a_report_of_an_error_ends_nothing() {
    let mut duo = Duo::new();
    duo.next_tsn();
    assert!(!duo.attack(&[chunk(9, 0, &[0, 6, 0, 8, 99, 0, 0, 4])]));
    duo.write(1, 1, b"alive");
    assert!(matches!(duo.events[0][..], [Event::Message { .. }]));
}

#[test]
fn an_abort_is_a_farewell() {
    for abort in [
        chunk(6, 0, &[]),
        chunk(6, 0, &[0, 12, 0, 4]),
        chunk(7, 0, &[0; 4]),
    ] {
        let mut duo = Duo::new();
        duo.next_tsn();
        duo.attack(&[abort]);
        assert!(
            matches!(duo.events[0].last(), Some(Event::Closed)),
            "{:?}",
            duo.events[0]
        );
    }
}

#[test]
fn a_repeated_init_does_not_disturb_the_handshake() {
    let now = Instant::now();
    let mut client = Sctp::new(now, true, 65_536, 65_536);
    let mut server = Sctp::new(now, false, 65_536, 65_536);
    let init = client.poll_packet(now).unwrap();
    for _ in 0..10 {
        server.handle(now, init.clone());
    }
    // The client takes the first answer; the others, each of an association of its own, it drops.
    for _ in 0..4 {
        while let Some(packet) = server.poll_packet(now) {
            client.handle(now, packet);
        }
        while let Some(packet) = client.poll_packet(now) {
            server.handle(now, packet);
        }
    }
    assert!(matches!(client.poll_event(), Some(Event::Connected)));
    assert!(matches!(server.poll_event(), Some(Event::Connected)));
    assert_eq!(server.associations.len(), 1);
    server.handle(now, init);
    assert_eq!(server.associations.len(), 1);
    assert!(server.poll_event().is_none());
}

#[test]
fn garbage_is_dropped() {
    let mut duo = Duo::new();
    duo.next_tsn();
    let real = duo.last[1].clone();
    for length in 0..real.len() {
        duo.ends[0].handle(duo.now, real.slice(..length));
    }
    for at in 0..real.len() {
        let mut damaged = real.to_vec();
        damaged[at] ^= 0x55;
        duo.ends[0].handle(duo.now, damaged.into());
    }
    // The same damage with the checksum put right.
    for at in 12..real.len() {
        for bit in 0..8 {
            let mut chunks = real[12..].to_vec();
            chunks[at - 12] ^= 1 << bit;
            let mut fresh = Duo::new();
            fresh.next_tsn();
            fresh.attack(&[chunks]);
        }
    }
    assert!(duo.ends[0].poll_event().is_none());
    duo.write(1, 1, b"alive");
    assert!(matches!(duo.events[0][..], [Event::Message { .. }]));
}
