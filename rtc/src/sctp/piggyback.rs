//! Acknowledgements that travel with data: a datagram costs what it costs however little is in it.
//! The association makes a packet of its own of each SACK, and holds it back for 200 ms where
//! only one packet came.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::PACKET_BYTES_MAX;
use super::packet;

/// Puts a SACK that is a packet of its own in front of data that has room for it.
pub(super) fn bundle(packets: &mut VecDeque<Bytes>) {
    if packets.len() < 2 {
        return;
    }
    let Some(at) = packets.iter().rposition(|packet| packet::is_sack(packet)) else {
        return;
    };
    let length = packets.get(at).map_or(0, Bytes::len);
    let has_room = |packet: &Bytes| {
        let together = packet.len() + length - packet::COMMON_HEADER_BYTES;
        packet::begins_with_data(packet)
            && u32::try_from(together).is_ok_and(|together| together <= PACKET_BYTES_MAX)
    };
    let Some(carrier) = packets.iter().rposition(has_room) else {
        return;
    };
    if let (Some(sack), Some(data)) = (packets.get(at), packets.get(carrier)) {
        let together = packet::joined(sack, data);
        if let Some(place) = packets.get_mut(carrier) {
            *place = together;
        }
        packets.remove(at);
    }
}

/// Knows whether the other side sends so seldom that each packet is acknowledged alone.
#[derive(Debug, Default)]
pub(super) struct Thin {
    /// When data came last.
    came: Option<Instant>,
}

impl Thin {
    /// Data that comes after a silence is to be acknowledged at once, as if the other side had asked
    /// for it (RFC 7053): nothing is saved by waiting for a second packet that does not come, and
    /// what answers it takes the acknowledgement along.
    pub(super) fn hasten(&mut self, now: Instant, packet: Bytes) -> Bytes {
        if packet::data(&packet).next().is_none() {
            return packet;
        }
        let before = self.came.replace(now);
        let is_silence = |before| now.saturating_duration_since(before) >= SILENCE;
        if before.is_some_and(is_silence) {
            packet::hastened(&packet).unwrap_or(packet)
        } else {
            packet
        }
    }
}

/// Twice as long as an acknowledgement is held back for another packet: it will not come either.
const SILENCE: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: u8 = packet::DATA;

    /// A packet with a chunk of so many bytes.
    fn packet_of(kind: u8, length: u16) -> Bytes {
        let mut packet = vec![9; packet::COMMON_HEADER_BYTES];
        packet.extend([kind, 0]);
        packet.extend(length.to_be_bytes());
        packet.resize(packet::COMMON_HEADER_BYTES + usize::from(length), 0);
        packet::seal(&mut packet);
        packet.into()
    }

    fn kinds(packets: &VecDeque<Bytes>) -> Vec<Vec<u8>> {
        let kinds = packets.iter().map(|packet| {
            let chunks = packet::chunks(packet).map_while(|chunk| chunk);
            chunks.map(|chunk| chunk.kind).collect()
        });
        kinds.collect()
    }

    fn bundled(packets: &[(u8, u16)]) -> Vec<Vec<u8>> {
        let packets = packets
            .iter()
            .map(|(kind, length)| packet_of(*kind, *length));
        let mut packets: VecDeque<Bytes> = packets.collect();
        bundle(&mut packets);
        for packet in &packets {
            let mut sealed = packet.to_vec();
            packet::seal(&mut sealed);
            assert_eq!(sealed, packet.to_vec(), "its checksum");
        }
        kinds(&packets)
    }

    #[test]
    fn an_acknowledgement_goes_with_the_last_data_that_has_room() {
        let (data, sack) = ((DATA, 100), (packet::SACK, 20));
        assert_eq!(bundled(&[data, sack]), [[packet::SACK, DATA]]);
        assert_eq!(
            bundled(&[data, data, sack]),
            [vec![DATA], vec![packet::SACK, DATA]]
        );
        let room = u16::try_from(PACKET_BYTES_MAX).unwrap() - 12 - 20;
        let full = (DATA, room.next_multiple_of(4));
        assert_eq!(
            bundled(&[data, full, sack]),
            [vec![packet::SACK, DATA], vec![DATA]]
        );
        assert_eq!(bundled(&[full, sack]), [[DATA], [packet::SACK]]);
        let most = (DATA, room / 4 * 4);
        assert_eq!(bundled(&[most, sack]), [[packet::SACK, DATA]]);
    }

    #[test]
    fn without_data_it_goes_alone() {
        let (data, sack) = ((DATA, 100), (packet::SACK, 20));
        let other = (packet::FORWARD_TSN, 8);
        assert_eq!(bundled(&[sack]), [[packet::SACK]]);
        assert_eq!(bundled(&[data]), [[DATA]]);
        assert_eq!(
            bundled(&[sack, other]),
            [[packet::SACK], [packet::FORWARD_TSN]]
        );
    }

    #[test]
    fn what_comes_after_a_silence_is_acknowledged_at_once() {
        let start = Instant::now();
        let mut thin = Thin::default();
        let asks = |packet: &Bytes| packet[packet::COMMON_HEADER_BYTES + 1] & 8 != 0;
        for (ms, hastened) in [(0, false), (399, false), (799, true), (1198, false)] {
            let now = start + Duration::from_millis(ms);
            let packet = thin.hasten(now, packet_of(DATA, 100));
            assert_eq!(asks(&packet), hastened, "{ms}");
        }
        let now = start + Duration::from_secs(9);
        let sack = packet_of(packet::SACK, 20);
        assert_eq!(thin.hasten(now, sack.clone()), sack);
    }
}
