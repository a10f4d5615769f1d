//! What a shard counts. Written by the shard alone, read by anybody (metrics, tests) through an
//! `Arc`: relaxed atomics, each right by itself, none a snapshot with another.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use rtc_peer::Lane;

/// A number that one task writes and any task reads.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The value now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One writer: a load and a store are enough and spare the bus lock of `fetch_add`.
    pub(crate) fn add(&self, n: u64) {
        self.0
            .store(self.value().wrapping_add(n), Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

/// Why something did not go on. Each has a counter of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum DropReason {
    /// Datagram in: neither STUN nor DTLS (RFC 7983).
    UnknownProtocol,
    /// Datagram in: DTLS from an address that no peer has proved.
    UnknownAddress,
    /// Datagram in: STUN request that names no user of ours, or none.
    UnknownUser,
    /// Datagram in: STUN that no peer here asked for.
    UnknownTransaction,
    /// Datagram in: STUN whose integrity check fails for the peer that it names.
    BadIntegrity,
    /// A connectivity check from an unknown address, beyond [`crate::Config::unproved_budget`].
    UnprovedLimited,
    /// Datagram in: STUN that is not well formed.
    Malformed,
    /// Datagram in or out: lost by the impairment, as asked.
    Impaired,
    /// Datagram in or out: the impairment holds as many as it may.
    ImpairmentFull,
    /// Datagram out: the socket stayed full.
    SocketFull,
    /// Datagram out: the system refused it (no route, too large).
    SocketError,
    /// At a peer: a datagram larger than any path carries.
    Oversize,
    /// At a peer: STUN that its agent did not take, though it names the peer.
    StunRefused,
    /// At a peer: DTLS from an address that its agent did not prove.
    DtlsUnproven,
    /// At a peer: DTLS that is forged, damaged or a repetition.
    DtlsRefused,
    /// At a peer: more came before the description than is held.
    TooEarly,
    /// At a peer: an ICE candidate that cannot be used.
    BadCandidate,
    /// At a peer: a signal that is malformed or out of place.
    BadSignal,
    /// At a peer: SCTP that is malformed, too far ahead of what has arrived, or more than is held
    /// for one who is not read; what was data is sent again.
    SctpRefused,
    /// At a peer: a packet on a channel that is no lane, or of an unknown type.
    UnknownChannel,
    /// Packet in, unreliable: over what the peer may send.
    RateLimited,
    /// Packet out: the peer is gone.
    PeerGone,
    /// Packet out: the lane is not open yet.
    LaneNotOpen,
    /// Packet out: larger than the remote accepts.
    TooLarge,
    /// Packet out: the oldest of a full outbox, dropped for a newer one.
    Evicted,
    /// Packet out: the outbox keeps nothing, or the packet alone is larger than all of it.
    Discarded,
    /// Packet out, unreliable: the peer is above its share, and what may wait for all is taken.
    PoolEmpty,
    /// Packet out: the peer was found to be a slow consumer.
    SlowConsumer,
    /// Packet out: still in the outbox when its peer closed.
    Unsent,
    /// Packet out: given to the engine, and not acknowledged when its peer closed. It may have
    /// arrived.
    Unacknowledged,
}

impl DropReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 30] = [
        Self::UnknownProtocol,
        Self::UnknownAddress,
        Self::UnknownUser,
        Self::UnknownTransaction,
        Self::BadIntegrity,
        Self::UnprovedLimited,
        Self::Malformed,
        Self::Impaired,
        Self::ImpairmentFull,
        Self::SocketFull,
        Self::SocketError,
        Self::Oversize,
        Self::StunRefused,
        Self::DtlsUnproven,
        Self::DtlsRefused,
        Self::TooEarly,
        Self::BadCandidate,
        Self::BadSignal,
        Self::SctpRefused,
        Self::UnknownChannel,
        Self::RateLimited,
        Self::PeerGone,
        Self::LaneNotOpen,
        Self::TooLarge,
        Self::Evicted,
        Self::Discarded,
        Self::PoolEmpty,
        Self::SlowConsumer,
        Self::Unsent,
        Self::Unacknowledged,
    ];

    /// As a metric's label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownProtocol => "unknown_protocol",
            Self::UnknownAddress => "unknown_address",
            Self::UnknownUser => "unknown_user",
            Self::UnknownTransaction => "unknown_transaction",
            Self::BadIntegrity => "bad_integrity",
            Self::UnprovedLimited => "unproved_limited",
            Self::Malformed => "malformed",
            Self::Impaired => "impaired",
            Self::ImpairmentFull => "impairment_full",
            Self::SocketFull => "socket_full",
            Self::SocketError => "socket_error",
            Self::Oversize => "oversize",
            Self::StunRefused => "stun_refused",
            Self::DtlsUnproven => "dtls_unproven",
            Self::DtlsRefused => "dtls_refused",
            Self::TooEarly => "too_early",
            Self::BadCandidate => "bad_candidate",
            Self::BadSignal => "bad_signal",
            Self::SctpRefused => "sctp_refused",
            Self::UnknownChannel => "unknown_channel",
            Self::RateLimited => "rate_limited",
            Self::PeerGone => "peer_gone",
            Self::LaneNotOpen => "lane_not_open",
            Self::TooLarge => "too_large",
            Self::Evicted => "evicted",
            Self::Discarded => "discarded",
            Self::PoolEmpty => "pool_empty",
            Self::SlowConsumer => "slow_consumer",
            Self::Unsent => "unsent",
            Self::Unacknowledged => "unacknowledged",
        }
    }
}

/// Packets on one lane, all peers together.
#[derive(Debug, Default)]
pub struct LaneStats {
    /// Received.
    pub packets_in: Counter,
    /// Bytes of what was received.
    pub bytes_in: Counter,
    /// Given to an engine.
    pub packets_out: Counter,
    /// Bytes of what was given to an engine.
    pub bytes_out: Counter,
    /// Had to wait in an outbox first.
    pub queued: Counter,
}

/// Counters and gauges of one shard. All but the gauges only grow.
#[derive(Debug, Default)]
pub struct Stats {
    /// Turns of the loop.
    pub passes: Counter,
    /// Passes that stopped at a bound with work left.
    pub passes_cut: Counter,
    /// Rests between passes; see [`crate::Config::pace`].
    pub rests: Counter,
    /// Datagrams received.
    pub datagrams_in: Counter,
    /// UDP payload bytes received.
    pub bytes_in: Counter,
    /// Receive calls that returned something; datagrams per call is what batching gives.
    pub receive_calls: Counter,
    /// Datagrams sent.
    pub datagrams_out: Counter,
    /// UDP payload bytes sent.
    pub bytes_out: Counter,
    /// Send calls; datagrams per call is what batching gives.
    pub send_calls: Counter,
    /// Receive errors that the system reported (ICMP and the like).
    pub receive_errors: Counter,
    /// Gauge: peers now.
    pub peers: Counter,
    /// Peers opened.
    pub peers_opened: Counter,
    /// Peers closed, each once, whatever the cause.
    pub peers_closed: Counter,
    /// Refusals to open a peer because of `peers_max`.
    pub peers_refused: Counter,
    /// Peers found to be slow consumers.
    pub slow_consumers: Counter,
    /// Of those, peers that were not slow enough for it alone: they held most when what may wait
    /// for all was taken.
    pub crowded_out: Counter,
    /// Gauge: what waits for all peers, in outboxes and engines, bytes.
    pub waiting_bytes: Counter,
    /// Gauge: what is held of what all peers sent, bytes.
    pub received_bytes: Counter,
    /// Times that a reliable lane was left unread because its peer sent more than it may.
    pub rate_pauses: Counter,
    /// SCTP packets that engines sent again before a timeout; see [`rtc_peer::Stats::repairs`].
    pub repairs: Counter,
    /// Times that engines passed over losses; see [`rtc_peer::Stats::skips`].
    pub skips: Counter,
    /// Times a valid check moved an address from one peer to another.
    pub rebinds: Counter,
    /// Gauge: receive buffer that the system granted, bytes.
    pub receive_buffer_bytes: Counter,
    /// Gauge: send buffer that the system granted, bytes.
    pub send_buffer_bytes: Counter,
    /// Names the socket in the kernel's table; see [`crate::kernel_drops`].
    pub(crate) socket_inode: Counter,
    lanes: [LaneStats; 2],
    drops: [Counter; DropReason::ALL.len()],
}

impl Stats {
    /// What one lane carried.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> &LaneStats {
        let [reliable, unreliable] = &self.lanes;
        match lane {
            Lane::Reliable => reliable,
            Lane::Unreliable => unreliable,
        }
    }

    /// How often something was dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drop_counter(reason).value()
    }

    pub(crate) fn count_drop(&self, reason: DropReason) {
        self.count_drops(reason, 1);
    }

    pub(crate) fn count_drops(&self, reason: DropReason, n: u64) {
        self.drop_counter(reason).add(n);
    }

    pub(crate) fn count_packet_out(&self, lane: Lane, bytes: usize) {
        let stats = self.lane(lane);
        stats.packets_out.add(1);
        stats.bytes_out.add(count(bytes));
    }

    #[expect(
        clippy::indexing_slicing,
        clippy::as_conversions,
        reason = "the array has one element per variant, numbered from 0; a test walks them all"
    )]
    fn drop_counter(&self, reason: DropReason) -> &Counter {
        &self.drops[reason as usize]
    }
}

/// A count of things in memory, as the counters have it.
pub(crate) fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        let stats = Stats::default();
        for (n, reason) in (1..).zip(DropReason::ALL) {
            stats.count_drops(reason, n);
        }
        for (n, reason) in (1..).zip(DropReason::ALL) {
            assert_eq!(stats.dropped(reason), n, "{reason:?}");
        }
        let names: std::collections::BTreeSet<_> =
            DropReason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), DropReason::ALL.len());
    }
}
