//! Two associations in memory, one of which turns hostile.

use std::time::Duration;

use super::*;

mod bounds;
mod windows;

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
        self.ends[0].set_held(self.now, bytes, usize::MAX)
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
            matches!(duo.events[0].last(), Some(Event::Closed { code: None })),
            "{:?}",
            duo.events[0]
        );
    }
}

#[test]
fn an_abort_may_say_a_number() {
    let cause = |code: u8, text: &[u8]| {
        let length = u8::try_from(4 + text.len()).unwrap();
        let mut cause = vec![0, code, 0, length];
        cause.extend(text);
        cause
    };
    let other = cause(1, &[0; 4]);
    for (causes, expected) in [
        (cause(12, b"11"), Some(11)),
        (cause(12, b"65535"), Some(u16::MAX)),
        ([other.clone(), cause(12, b"7")].concat(), Some(7)),
        (cause(12, b"65536"), None),
        (cause(12, b"Close called"), None),
        (cause(12, b""), None),
        (cause(12, &[0xff, 0xff]), None),
        (other, None),
        (vec![0, 12, 0, 200, b'1'], None),
        (vec![0, 12, 0, 3, b'1'], None),
    ] {
        let mut duo = Duo::new();
        duo.next_tsn();
        duo.attack(&[chunk(6, 0, &causes)]);
        assert!(
            matches!(duo.events[0].last(), Some(Event::Closed { code }) if *code == expected),
            "{causes:?}: {:?}",
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

/// Whatever a chunk holds that its kind can hold: nothing panics, and nothing runs for long.
#[test]
fn nonsense_in_a_chunk_of_any_kind_harms_nobody() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    for kind in 0..=255_u8 {
        for round in 0..40 {
            let mut duo = Duo::new();
            let tsn = duo.next_tsn();
            let length = [0, 1, 4, 8, 12, 16, 20, 60][random() % 8] + random() % 4;
            let mut value: Vec<u8> = (0..length).map(|_| random().to_le_bytes()[0]).collect();
            if round % 2 == 0 {
                // Plausible beginnings: a TSN that is near, small numbers where lengths stand.
                for (place, byte) in value.iter_mut().zip(tsn.to_be_bytes()) {
                    *place = byte;
                }
                for place in value.iter_mut().skip(4) {
                    *place %= 20;
                }
            }
            let flags = random().to_le_bytes()[0];
            let one = chunk(kind, flags, &value);
            let mut packet = duo.forge(std::slice::from_ref(&one)).to_vec();
            if round % 4 == 3 {
                // A length that does not fit.
                packet[14] = random().to_le_bytes()[0] % 2;
                packet[15] = random().to_le_bytes()[0];
                packet = reseal(packet);
            }
            let packet = Bytes::from(packet);
            // In the middle of it, and where a handshake is due.
            let mut fresh = Sctp::new(duo.now, false, 65_536, 65_536);
            fresh.handle(duo.now, packet.clone());
            while fresh.poll_packet(duo.now).is_some() {}
            duo.ends[0].handle(duo.now, packet);
            while duo.ends[0].poll_packet(duo.now).is_some() {}
            duo.ends[0].handle_timeout(duo.now + Duration::from_secs(1));
        }
    }
}

fn reseal(mut packet: Vec<u8>) -> Vec<u8> {
    packet[8..12].fill(0);
    let checksum = crc32c(&packet);
    packet[8..12].copy_from_slice(&checksum.to_le_bytes());
    packet
}

/// The association takes no INIT ACK that it did not ask for, and an INIT after that. The guard looked
/// at the first of the two, so that a FORWARD TSN could be as far ahead as it liked, which takes
/// minutes.
#[test]
fn the_other_side_says_once_where_it_begins() {
    let init = |kind, tsn: u32| {
        let mut value = vec![0, 0, 0, 1, 0, 1, 0, 0, 0, 16, 0, 16];
        value.extend(tsn.to_be_bytes());
        [vec![0; 12], chunk(kind, 0, &value)].concat()
    };
    let forward = |tsn: u32| [vec![0; 12], chunk(192, 0, &tsn.to_be_bytes())].concat();
    for (first, second) in [(2, 1), (1, 2), (1, 1)] {
        let mut guard = Guard::new(65_536, 65_536);
        let mut verdict = |packet: Vec<u8>| guard.inspect_received(&packet, usize::MAX);
        assert_eq!(verdict(init(first, 1_000)), Verdict::Pass);
        assert_eq!(verdict(init(second, 1_001)), Verdict::Drop);
        assert_eq!(verdict(init(second, 999)), Verdict::Drop);
        assert_eq!(verdict(init(second, 1_000)), Verdict::Pass, "again");
        assert_eq!(verdict(forward(1_000)), Verdict::Pass);
        assert_eq!(verdict(forward(1_000 + (1 << 24))), Verdict::Violation);
    }
}
