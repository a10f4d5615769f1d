//! What a peer counts. Plain integers; the shell turns them into metrics.

/// Counters of one peer, all growing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams given to the peer.
    pub datagrams_received: u64,
    /// Datagrams that the peer asked to transmit.
    pub datagrams_sent: u64,
    /// Packets (data-channel messages) handed to the owner.
    pub packets_received: u64,
    /// Packets taken by `send`.
    pub packets_sent: u64,
    /// Bytes of the packets received.
    pub packet_bytes_received: u64,
    /// Bytes of the packets taken by `send`.
    pub packet_bytes_sent: u64,
    /// `send` refused: the lane's buffer was full.
    pub sends_refused: u64,
    /// Datagrams dropped: larger than any path carries.
    pub dropped_oversize: u64,
    /// Datagrams dropped: neither STUN nor DTLS.
    pub dropped_unknown: u64,
    /// STUN dropped: malformed, or without valid MESSAGE-INTEGRITY for this peer.
    pub dropped_stun: u64,
    /// DTLS dropped: it came from an address that no valid check has proven.
    pub dropped_unproven: u64,
    /// DTLS of an established session dropped: forged, damaged, or a repetition.
    pub dropped_dtls: u64,
    /// Early signals or datagrams dropped: more came before the description than are held.
    pub dropped_early: u64,
    /// Candidates of the other side that are of no use: names, TCP, too many.
    pub dropped_candidates: u64,
    /// Signals ignored: malformed or out of place.
    pub dropped_signals: u64,
    /// SCTP dropped: malformed, or too far ahead of what has arrived.
    pub dropped_sctp: u64,
    /// Packets dropped: on a channel that is no lane, or of an unknown type.
    pub dropped_packets: u64,
    /// SCTP packets sent again before the association's own timeout, which is a second at least.
    pub repairs: u64,
    /// Times that the other side was told to wait no longer for lost messages of the unreliable lane
    /// before the association would have told it.
    pub skips: u64,
    /// Times that the address of the other side changed after the first.
    pub rebinds: u64,
}
