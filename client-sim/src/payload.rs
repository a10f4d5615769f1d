//! What a bot puts into a packet: enough to say of each one whence it came, which it is, when it
//! was due, and whether it is whole.

use bytes::{BufMut as _, Bytes, BytesMut};
use client::Lane;

/// The head of every payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload {
    /// Drawn at random: a packet of another run is none of ours.
    pub(crate) run: u32,
    pub(crate) kind: Kind,
    pub(crate) lane: Lane,
    pub(crate) client: u32,
    /// Below 2^24.
    pub(crate) topic: u32,
    /// Place in the publisher's schedule, from 0.
    pub(crate) slot: u32,
    /// Of a measurement, when it was due: nanoseconds since the run's start. Of a probe, the alias
    /// of the server that it was sent to.
    pub(crate) mark: u64,
}

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Finds out who can be reached.
    Probe,
    /// Counts.
    Measurement,
}

/// The bytes are not what somebody wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt;

impl Payload {
    /// Encodes to `bytes` bytes, at least [`BYTES_MIN`]; what follows the head depends on it, so
    /// that shifted or swapped content is seen.
    pub(crate) fn encode(&self, bytes: usize) -> Bytes {
        let bytes = bytes.max(BYTES_MIN);
        let mut out = BytesMut::with_capacity(bytes);
        out.put_u32_le(0);
        out.put_u32_le(self.run);
        let kind = match self.kind {
            Kind::Probe => 0,
            Kind::Measurement => 1,
        };
        let lane = match self.lane {
            Lane::Reliable => 0,
            Lane::Unreliable => 2,
        };
        out.put_u32_le(self.topic << 8 | kind | lane);
        out.put_u32_le(self.client);
        out.put_u32_le(self.slot);
        out.put_u64_le(self.mark);
        let mut filler = mix(u64::from(self.slot) << 32 | u64::from(self.client));
        while out.len() < bytes {
            filler = mix(filler);
            let word = filler.to_le_bytes();
            let room = bytes - out.len();
            out.put_slice(word.get(..room).unwrap_or(&word));
        }
        let sum = checksum(out.get(4..).unwrap_or_default());
        if let Some(head) = out.first_chunk_mut() {
            *head = sum.to_le_bytes();
        }
        out.freeze()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let (sum, rest) = bytes.split_first_chunk().ok_or(Corrupt)?;
        if u32::from_le_bytes(*sum) != checksum(rest) {
            return Err(Corrupt);
        }
        let (run, rest) = rest.split_first_chunk().ok_or(Corrupt)?;
        let (what, rest) = rest.split_first_chunk().ok_or(Corrupt)?;
        let what = u32::from_le_bytes(*what);
        let (client, rest) = rest.split_first_chunk().ok_or(Corrupt)?;
        let (slot, rest) = rest.split_first_chunk().ok_or(Corrupt)?;
        let (mark, _) = rest.split_first_chunk().ok_or(Corrupt)?;
        Ok(Self {
            run: u32::from_le_bytes(*run),
            kind: match what & 1 {
                0 => Kind::Probe,
                _ => Kind::Measurement,
            },
            lane: match what & 0xfe {
                0 => Lane::Reliable,
                2 => Lane::Unreliable,
                _ => return Err(Corrupt),
            },
            client: u32::from_le_bytes(*client),
            topic: what >> 8,
            slot: u32::from_le_bytes(*slot),
            mark: u64::from_le_bytes(*mark),
        })
    }
}

/// Eight bytes a step: at 150,000 packets a second a sum byte by byte would be seen in the result.
fn checksum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut tail = [0; 8];
    for (to, from) in tail.iter_mut().zip(rest) {
        *to = *from;
    }
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut sum = mix(length);
    for word in words.iter().chain([&tail]) {
        sum = mix(sum ^ u64::from_le_bytes(*word));
    }
    // Both halves count, and it fits.
    u32::try_from((sum >> 32) ^ (sum & u64::from(u32::MAX))).unwrap_or(0)
}

/// A bijection that spreads every bit.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (word ^ (word >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// The head alone.
pub(crate) const BYTES_MIN: usize = 28;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(client: u32, slot: u32) -> Payload {
        Payload {
            run: 7,
            kind: Kind::Measurement,
            lane: Lane::Unreliable,
            client,
            topic: 3,
            slot,
            mark: 123_456_789,
        }
    }

    #[test]
    fn has_the_size_asked_for() {
        for (asked, got) in [
            (0, 28),
            (28, 28),
            (29, 29),
            (35, 35),
            (100, 100),
            (1024, 1024),
        ] {
            assert_eq!(payload(1, 2).encode(asked).len(), got);
        }
    }

    proptest! {
        #[test]
        fn comes_back(client: u32, slot: u32, topic in 0..1_u32 << 24, bytes in 0..200_usize) {
            let payload = Payload { topic, ..payload(client, slot) };
            prop_assert_eq!(Payload::decode(&payload.encode(bytes)), Ok(payload));
        }

        #[test]
        fn one_wrong_bit_is_seen(bytes in 28..200_usize, at: prop::sample::Index, bit in 0..8_u32) {
            let mut encoded = payload(5, 6).encode(bytes).to_vec();
            let at = at.index(encoded.len());
            encoded[at] ^= 1 << bit;
            prop_assert_eq!(Payload::decode(&encoded), Err(Corrupt));
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _payload = Payload::decode(&bytes);
        }
    }

    #[test]
    fn cut_and_swapped_ones_are_seen() {
        let encoded = payload(5, 6).encode(100);
        assert_eq!(Payload::decode(&encoded[..99]), Err(Corrupt));
        let mut swapped = encoded.to_vec();
        swapped.swap(40, 48);
        assert_eq!(Payload::decode(&swapped), Err(Corrupt));
    }
}
