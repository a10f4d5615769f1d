//! SCTP packets as bytes (RFC 9260): what is read from them, and the little that is written into
//! them, beside the association, which keeps its own to itself.

use bytes::Bytes;

pub(super) const COMMON_HEADER_BYTES: usize = 12;
// Chunk types (RFC 9260 section 3.2, RFC 6525, RFC 3758).
pub(super) const DATA: u8 = 0;
pub(super) const INIT: u8 = 1;
pub(super) const INIT_ACK: u8 = 2;
pub(super) const SACK: u8 = 3;
pub(super) const ABORT: u8 = 6;
pub(super) const SHUTDOWN: u8 = 7;
pub(super) const SHUTDOWN_ACK: u8 = 8;
pub(super) const ERROR: u8 = 9;
pub(super) const SHUTDOWN_COMPLETE: u8 = 14;
pub(super) const RE_CONFIG: u8 = 130;
pub(super) const FORWARD_TSN: u8 = 192;

/// One chunk of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) value: &'a [u8],
    /// Length with header and padding.
    pub(super) padded: usize,
}

impl<'a> Chunk<'a> {
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let [kind, flags, l0, l1] = *bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        Some(Self {
            kind,
            flags,
            value: bytes.get(4..length)?,
            padded: length.next_multiple_of(4),
        })
    }

    pub(super) fn u32_at(&self, offset: usize) -> Option<u32> {
        let bytes = self.value.get(offset..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    }
}

/// A DATA chunk without its user data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data {
    pub(super) tsn: u32,
    pub(super) stream: u16,
    /// Its message's number in the stream; means nothing where it is unordered.
    pub(super) turn: u16,
    /// Of user data.
    pub(super) bytes: u16,
    pub(super) unordered: bool,
    /// It is a message's first.
    pub(super) begins: bool,
    /// It is a message's last.
    pub(super) ends: bool,
}

impl Data {
    /// The chunk's, if it is one of data.
    fn of(chunk: &Chunk<'_>) -> Option<Self> {
        let (header, user) = chunk.value.split_first_chunk::<DATA_HEADER_BYTES>()?;
        let [t0, t1, t2, t3, s0, s1, n0, n1, ..] = *header;
        (chunk.kind == DATA).then(|| Self {
            tsn: u32::from_be_bytes([t0, t1, t2, t3]),
            stream: u16::from_be_bytes([s0, s1]),
            turn: u16::from_be_bytes([n0, n1]),
            bytes: u16::try_from(user.len()).unwrap_or(u16::MAX),
            unordered: chunk.flags & UNORDERED != 0,
            begins: chunk.flags & BEGINS != 0,
            ends: chunk.flags & ENDS != 0,
        })
    }
}

/// The DATA chunks of a packet.
pub(super) fn data(packet: &[u8]) -> impl Iterator<Item = Data> {
    let chunks = chunks(packet).map_while(|chunk| chunk);
    chunks.filter_map(|chunk| Data::of(&chunk))
}

/// The packet with those of its DATA chunks only that continue the sequence.
pub(super) fn in_sequence(packet: &[u8], contiguous: u32) -> Bytes {
    let mut kept = packet
        .get(..COMMON_HEADER_BYTES)
        .unwrap_or_default()
        .to_vec();
    let (mut at, mut next) = (COMMON_HEADER_BYTES, contiguous.wrapping_add(1));
    for chunk in chunks(packet).map_while(|chunk| chunk) {
        let end = at + chunk.padded;
        let continues = Data::of(&chunk).is_none_or(|data| data.tsn == next);
        if continues {
            kept.extend(packet.get(at..end).unwrap_or_default());
            next = next.wrapping_add(u32::from(chunk.kind == DATA));
        }
        at = end;
    }
    seal(&mut kept);
    kept.into()
}

/// What an acknowledgement says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sack<'a> {
    pub(super) cumulative: u32,
    pub(super) window: u32,
    /// What is here beyond, as distances from `cumulative`: first and last, in two bytes each.
    blocks: &'a [[u8; 4]],
}

impl Sack<'_> {
    /// Whether a TSN is here.
    pub(super) fn holds(&self, tsn: u32) -> bool {
        let distance = tsn.wrapping_sub(self.cumulative);
        // What is behind is far ahead.
        if distance == 0 || distance > u32::MAX / 2 {
            return true;
        }
        let mut blocks = self.blocks.iter().map(Self::range);
        blocks.any(|(start, end)| (start..=end).contains(&distance))
    }

    /// The highest TSN that is here.
    pub(super) fn highest(&self) -> u32 {
        let end = self.blocks.last().map_or(0, |block| Self::range(block).1);
        self.cumulative.wrapping_add(end)
    }

    /// What is here beyond, first and last.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u32, u32)> {
        let ranges = self.blocks.iter().map(Self::range);
        ranges.map(|(start, end)| {
            let at = |distance| self.cumulative.wrapping_add(distance);
            (at(start), at(end))
        })
    }

    fn range([s0, s1, e0, e1]: &[u8; 4]) -> (u32, u32) {
        let [start, end] = [[*s0, *s1], [*e0, *e1]].map(u16::from_be_bytes);
        (start.into(), end.into())
    }
}

/// The acknowledgements in a packet.
pub(super) fn sacks(packet: &[u8]) -> impl Iterator<Item = Sack<'_>> {
    let chunks = chunks(packet).map_while(|chunk| chunk);
    chunks
        .filter(|chunk| chunk.kind == SACK)
        .filter_map(|chunk| {
            let [n0, n1] = *chunk.value.get(8..)?.first_chunk::<2>()?;
            let count = usize::from(u16::from_be_bytes([n0, n1]));
            Some(Sack {
                cumulative: chunk.u32_at(0)?,
                window: chunk.u32_at(4)?,
                blocks: chunk.value.get(12..)?.as_chunks::<4>().0.get(..count)?,
            })
        })
}

/// The data of some streams in a packet, as a packet that asks for an acknowledgement at once (RFC
/// 7053); `None` when it has none.
pub(super) fn data_again(packet: &[u8], wanted: impl Fn(u16) -> bool) -> Option<Bytes> {
    let mut again = packet.get(..COMMON_HEADER_BYTES)?.to_vec();
    let mut rest = packet.get(COMMON_HEADER_BYTES..)?;
    let mut last = None;
    while let Some(chunk) = Chunk::first(rest) {
        let (bytes, after) = rest.split_at(chunk.padded.min(rest.len()));
        if Data::of(&chunk).is_some_and(|data| wanted(data.stream)) {
            last = Some(again.len());
            again.extend_from_slice(bytes);
        }
        rest = after;
    }
    let flags = again.get_mut(last? + 1)?;
    *flags |= IMMEDIATELY;
    seal(&mut again);
    Some(again.into())
}

/// The packet, asking for an acknowledgement at once by its first DATA chunk.
pub(super) fn hastened(packet: &[u8]) -> Option<Bytes> {
    let before = chunks(packet).map_while(|chunk| chunk);
    let before = before.take_while(|chunk| chunk.kind != DATA);
    let at = COMMON_HEADER_BYTES + before.map(|chunk| chunk.padded).sum::<usize>();
    let mut hastened = packet.to_vec();
    *hastened.get_mut(at + 1)? |= IMMEDIATELY;
    seal(&mut hastened);
    Some(hastened.into())
}

/// Whether a packet is a SACK and nothing else.
pub(super) fn is_sack(packet: &[u8]) -> bool {
    let mut chunks = chunks(packet);
    let sack = chunks.next().flatten();
    sack.is_some_and(|chunk| chunk.kind == SACK) && chunks.next().is_none()
}

/// Whether the first chunk of a packet is one of data.
pub(super) fn begins_with_data(packet: &[u8]) -> bool {
    let first = chunks(packet).next().flatten();
    first.is_some_and(|chunk| chunk.kind == DATA)
}

/// The chunks of both packets in one.
pub(super) fn joined(first: &[u8], second: &[u8]) -> Bytes {
    let rest = second.get(COMMON_HEADER_BYTES..).unwrap_or_default();
    let mut joined = [first, rest].concat();
    seal(&mut joined);
    joined.into()
}

/// The chunks of a packet; `None` in place of one that is not whole, which is the last then.
pub(super) fn chunks(packet: &[u8]) -> impl Iterator<Item = Option<Chunk<'_>>> {
    let mut rest = packet.get(COMMON_HEADER_BYTES..);
    std::iter::from_fn(move || {
        let bytes = match rest {
            Some([]) => return None,
            Some(bytes) => bytes,
            None => {
                rest = Some(&[]);
                return Some(None);
            }
        };
        let chunk = Chunk::first(bytes);
        rest = match &chunk {
            Some(chunk) => bytes.get(chunk.padded..).or(Some(&[])),
            None => Some(&[]),
        };
        Some(chunk)
    })
}

/// The window that a packet offers, when it begins with a SACK.
pub(super) fn window(packet: &[u8]) -> Option<u32> {
    let sack = chunks(packet).next()??;
    (sack.kind == SACK).then(|| sack.u32_at(4)).flatten()
}

/// What of a packet comes before the first chunk of such a kind, as a packet; `None` for nothing.
pub(super) fn before(packet: &[u8], kind: impl Fn(u8) -> bool) -> Option<Bytes> {
    let kept = chunks(packet).map_while(|chunk| chunk);
    let kept = kept.take_while(|chunk| !kind(chunk.kind));
    let length: usize = kept.map(|chunk| chunk.padded).sum();
    let mut rest = packet
        .get(..COMMON_HEADER_BYTES + length)
        .filter(|_| length > 0)?
        .to_vec();
    seal(&mut rest);
    Some(rest.into())
}

/// What the first ABORT of a packet says: a number, as the text of a user's abort (RFC 9260 section
/// 3.3.10.12).
pub(super) fn abort_code(packet: &[u8]) -> Option<u16> {
    let abort = chunks(packet)
        .map_while(|chunk| chunk)
        .find(|chunk| chunk.kind == ABORT)?;
    let mut causes = abort.value;
    while let Some(([c0, c1, l0, l1], rest)) = causes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([*l0, *l1])).checked_sub(4)?;
        let text = rest.get(..length)?;
        if u16::from_be_bytes([*c0, *c1]) == USER_INITIATED {
            return std::str::from_utf8(text).ok()?.parse().ok();
        }
        causes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// The ABORT that ends a packet of nothing else, saying a number; another packet as it is.
pub(super) fn with_abort_code(packet: Bytes, code: u16) -> Bytes {
    let header = packet.get(..COMMON_HEADER_BYTES);
    let first = chunks(&packet).next().flatten();
    let (Some(header), Some(ABORT)) = (header, first.map(|chunk| chunk.kind)) else {
        return packet;
    };
    let text = code.to_string();
    let cause = u16::try_from(4 + text.len()).unwrap_or_default();
    let mut packet = header.to_vec();
    packet.extend([ABORT, 0]);
    packet.extend((4 + cause).to_be_bytes());
    packet.extend(USER_INITIATED.to_be_bytes());
    packet.extend(cause.to_be_bytes());
    packet.extend(text.as_bytes());
    packet.resize(packet.len().next_multiple_of(4), 0);
    seal(&mut packet);
    packet.into()
}

/// A packet that begins with a SACK, offering another window.
pub(super) fn with_window(packet: &[u8], window: u32) -> Bytes {
    let mut packet = packet.to_vec();
    if let Some(place) = packet.get_mut(WINDOW_AT..WINDOW_AT + 4) {
        place.copy_from_slice(&window.to_be_bytes());
    }
    seal(&mut packet);
    packet.into()
}

/// A packet that tells the other side to wait for nothing up to a TSN (RFC 3758 section 3.2); for
/// streams without order alone.
pub(super) fn forward_tsn(header: &[u8; COMMON_HEADER_BYTES], tsn: u32) -> Bytes {
    let mut packet = header.to_vec();
    packet.extend([FORWARD_TSN, 0, 0, 8]);
    packet.extend(tsn.to_be_bytes());
    seal(&mut packet);
    packet.into()
}

/// A packet with a SACK.
#[cfg(test)]
pub(super) fn sack_of(cumulative: u32, blocks: &[[u16; 2]]) -> Bytes {
    let count = u16::try_from(blocks.len()).unwrap_or_default();
    let mut packet = vec![0; COMMON_HEADER_BYTES];
    packet.extend([SACK, 0]);
    packet.extend((16 + 4 * count).to_be_bytes());
    packet.extend(cumulative.to_be_bytes());
    packet.extend(100_000_u32.to_be_bytes());
    packet.extend(count.to_be_bytes());
    packet.extend([0, 0]);
    let ends = blocks.iter().flatten();
    packet.extend(ends.flat_map(|end| end.to_be_bytes()));
    packet.into()
}

/// Puts the checksum right.
pub(super) fn seal(packet: &mut [u8]) {
    if let Some(place) = packet.get_mut(8..12) {
        place.fill(0);
    }
    let checksum = crc32c::crc32c(packet);
    if let Some(place) = packet.get_mut(8..12) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
}

/// An error cause: the owner of the association wanted it to end.
const USER_INITIATED: u16 = 12;
/// TSN, stream, number in the stream, payload protocol.
pub(super) const DATA_HEADER_BYTES: usize = 12;
// Flags of a DATA chunk.
const ENDS: u8 = 1;
const BEGINS: u8 = 2;
const UNORDERED: u8 = 4;
/// Flag of a DATA chunk that is to be acknowledged at once.
const IMMEDIATELY: u8 = 8;
/// Behind the common header, the SACK's own and the TSN that it acknowledges.
const WINDOW_AT: usize = COMMON_HEADER_BYTES + 8;
