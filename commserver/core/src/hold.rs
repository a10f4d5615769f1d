//! Reliable packets that came before their peer was let in: kept in order, within bounds.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::Limits;

/// The packets of one peer.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    packets: VecDeque<Bytes>,
    bytes: usize,
}

/// There was no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Hold {
    /// Keeps a packet behind those before it.
    pub(crate) fn push(&mut self, packet: Bytes, limits: &Limits) -> Result<(), Overflow> {
        let bytes = self.bytes + packet.len();
        if self.packets.len() >= limits.held_packets_max || bytes > limits.held_bytes_max {
            return Err(Overflow);
        }
        self.bytes = bytes;
        self.packets.push_back(packet);
        Ok(())
    }

    /// All of them, in order.
    pub(crate) fn into_packets(self) -> VecDeque<Bytes> {
        self.packets
    }

    pub(crate) fn check_invariants(&self, limits: &Limits) {
        let bytes = self.packets.iter().map(Bytes::len).sum::<usize>();
        assert_eq!(bytes, self.bytes, "held bytes are counted");
        assert!(bytes <= limits.held_bytes_max, "held bytes are bounded");
        assert!(
            self.packets.len() <= limits.held_packets_max,
            "held packets are bounded"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(held_packets_max: usize, held_bytes_max: usize) -> Limits {
        Limits {
            held_packets_max,
            held_bytes_max,
            ..Limits::default()
        }
    }

    #[test]
    fn counts_packets() {
        let limits = limits(3, 1_000);
        let mut hold = Hold::default();
        for at in 0..3 {
            assert_eq!(hold.push(Bytes::from(vec![at]), &limits), Ok(()), "{at}");
            hold.check_invariants(&limits);
        }
        assert_eq!(hold.push(Bytes::new(), &limits), Err(Overflow));
        let packets: Vec<_> = hold.into_packets().into();
        assert_eq!(packets, [&[0][..], &[1], &[2]]);
    }

    #[test]
    fn counts_bytes() {
        for (length, fits) in [(59, true), (60, true), (61, false)] {
            let limits = limits(10, 100);
            let mut hold = Hold::default();
            assert_eq!(hold.push(Bytes::from(vec![0; 40]), &limits), Ok(()));
            let second = hold.push(Bytes::from(vec![0; length]), &limits);
            assert_eq!(second.is_ok(), fits, "{length}");
            hold.check_invariants(&limits);
        }
    }
}
