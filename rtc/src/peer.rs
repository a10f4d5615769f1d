//! Moves things between the layers of a peer: ICE, DTLS, SCTP, data channels.

mod layers;
mod signalling;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::layers::Layers;
use self::signalling::Signalling;
use crate::ice::Path;
use crate::{Config, Fingerprint, Lane, Signal, Stats};

/// What happens to a peer.
#[derive(Debug)]
pub enum Input<'a> {
    /// A deadline passed.
    Tick,
    /// A datagram arrived.
    Datagram {
        /// Address of ours that it came to; port and all.
        local: SocketAddr,
        /// Where it came from.
        remote: SocketAddr,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// The other side's description or candidate.
    Signal(Signal),
    /// Close: what has been sent is flushed as far as one drain goes, the other side is told.
    Close,
    /// The same, telling the other side why in a number that only the owners understand. It goes
    /// out ahead of everything that waits, even to one who reads nothing any more.
    CloseWith(u16),
}

/// What a peer wants done, or tells.
#[derive(Debug)]
pub enum Output {
    /// To be brought to the other side by signalling.
    Signal(Signal),
    /// To be sent.
    Transmit(Transmit),
    /// A lane can carry packets in both directions.
    LaneOpen(Lane),
    /// A packet arrived.
    Packet {
        /// The lane that it came on.
        lane: Lane,
        /// Its payload, binary or text alike; may be empty.
        bytes: Bytes,
    },
    /// After a refused `send`: the lane takes packets again.
    Writable(Lane),
    /// The last output of a peer, exactly once, but for datagrams that tell the other side.
    Closed(CloseReason),
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Address of ours to send from.
    pub local: SocketAddr,
    /// Destination.
    pub remote: SocketAddr,
    /// Payload, at most 1200 bytes.
    pub bytes: Vec<u8>,
}

/// Why a peer closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The owner asked for it.
    Local,
    /// The other side closed the channels, the association or the DTLS session.
    Remote,
    /// It did, and said why in a number of its owner's; see [`Input::CloseWith`].
    RemoteCode(u16),
    /// The reliable lane was not open in time.
    HandshakeTimeout,
    /// Nothing authenticated came for too long.
    IdleTimeout,
    /// The certificate shown is not the one described.
    FingerprintMismatch,
    /// The session description cannot be used.
    BadDescription,
    /// The other side sent a message over the advertised maximum.
    MessageTooLarge,
    /// DTLS failed.
    DtlsFailed,
    /// SCTP failed or was violated.
    SctpFailed,
}

/// Why `send` refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The lane's buffer is full; [`Output::Writable`] will come.
    #[error("the lane's buffer is full")]
    Full,
    /// The lane is not open, or not any more.
    #[error("the lane is not open")]
    NotOpen,
    /// Larger than what the other side said it receives.
    #[error("the packet is larger than the other side receives")]
    TooLarge,
}

/// One WebRTC peer: see the crate's documentation.
#[derive(Debug)]
pub struct Peer {
    life: Life,
    signalling: Signalling,
    layers: Layers,
}

#[derive(Debug)]
struct Life {
    handshake_deadline: Instant,
    idle_timeout: Duration,
    closed: bool,
}

impl Peer {
    /// What a peer needs to take in the largest message on a lossy path, if nothing else is held:
    /// the least for [`Peer::set_received_max`].
    pub const RECEIVED_BYTES_LEAST: usize = 160 * 1024;

    /// What a packet takes until it is acknowledged, besides its bytes: in the association's tables,
    /// and as an allocation that nobody shares. Measured.
    pub const SENT_PACKET_BYTES: usize = 384;

    /// What a peer takes with nothing under way, after much was (measured), and what it keeps of the
    /// packets that it sent last.
    pub const IDLE_BYTES: usize = 96 * 1024 + crate::sctp::REPAIR_BYTES_MAX;

    /// About what packets that wait to be taken can hold, whatever their sizes: those of one more
    /// datagram may come on top.
    pub const HELD_BYTES_MAX: usize = crate::sctp::HELD_BYTES_MAX;

    /// As what a smaller packet counts in [`Config::send_buffer_bytes`].
    pub const PACKET_BYTES_LEAST: usize = 64;

    /// Most memory that one peer takes, whatever the other side does and whatever it is sent.
    #[must_use]
    pub const fn memory_bytes_max(send_buffer_bytes: usize, message_bytes_max: usize) -> usize {
        let packets = send_buffer_bytes / Self::PACKET_BYTES_LEAST;
        let lane =
            send_buffer_bytes.saturating_add(packets.saturating_mul(Self::SENT_PACKET_BYTES));
        lane.saturating_mul(2)
            .saturating_add(crate::sctp::received_bytes_max(message_bytes_max))
            .saturating_add(Self::IDLE_BYTES)
    }

    /// A peer at work: an acceptor's offer is its first output.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        let life = Life {
            handshake_deadline: now + config.handshake_timeout,
            idle_timeout: config.idle_timeout,
            closed: false,
        };
        let mut layers = Layers::new(now, &config);
        let mut signalling = Signalling::new(&config);
        signalling.start(&mut layers);
        Self {
            life,
            signalling,
            layers,
        }
    }

    /// Takes what happened. Never fails: what is wrong is counted in [`Peer::stats`] or closes
    /// the peer.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if self.life.closed {
            return;
        }
        self.layers.set_now(now);
        match input {
            Input::Tick => self.handle_tick(now),
            Input::Datagram {
                local,
                remote,
                bytes,
            } => self.layers.handle_datagram(Path { local, remote }, bytes),
            Input::Signal(signal) => self.signalling.handle(&mut self.layers, &signal),
            Input::Close => self.layers.end(CloseReason::Local),
            Input::CloseWith(code) => {
                self.layers.set_farewell(code);
                self.layers.end(CloseReason::Local);
            }
        }
        self.finish_if_ended();
    }

    fn handle_tick(&mut self, now: Instant) {
        self.layers.handle_tick();
        let (deadline, reason) = self.end_of_patience();
        if now >= deadline {
            self.layers.end(reason);
        }
    }

    /// The handshake's deadline while it lasts, then that of silence; or sooner, when traffic is
    /// expected.
    fn end_of_patience(&self) -> (Instant, CloseReason) {
        let (deadline, reason) = if self.layers.is_open() {
            let deadline = self.layers.heard() + self.life.idle_timeout;
            (deadline, CloseReason::IdleTimeout)
        } else {
            (self.life.handshake_deadline, CloseReason::HandshakeTimeout)
        };
        match self.layers.expected_by() {
            Some(expected) if expected < deadline => (expected, CloseReason::IdleTimeout),
            _ => (deadline, reason),
        }
    }

    fn finish_if_ended(&mut self) {
        if let Some(reason) = self.layers.take_ending() {
            self.life.closed = true;
            self.layers.finish(reason);
        }
    }

    /// The next thing to do, or `None` until another input. Packets queued by `send` are bundled
    /// here, so send all there is before draining.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.layers.poll(!self.life.closed);
        if output.is_none() && !self.life.closed {
            // Sealing may have found the session broken.
            self.finish_if_ended();
            return self.layers.poll(!self.life.closed);
        }
        output
    }

    /// The next output that is there already: composes no datagram. For an owner who hears what all
    /// its peers have to tell, and sends to them, before it drains [`Peer::poll_output`] of any.
    pub fn poll_ready(&mut self) -> Option<Output> {
        self.layers.poll_ready()
    }

    /// When [`Input::Tick`] is due. Cheap. `None` after the peer closed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.life.closed {
            return None;
        }
        let (deadline, _) = self.end_of_patience();
        let layers = self.layers.deadline();
        Some(layers.map_or(deadline, |layers| layers.min(deadline)))
    }

    /// The peer's counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        self.layers.stats()
    }

    /// Queues a packet; may be empty. Drain [`Peer::poll_output`] afterwards.
    ///
    /// # Errors
    /// When the lane does not take it: see [`SendError`].
    pub fn send(&mut self, now: Instant, lane: Lane, bytes: &Bytes) -> Result<(), SendError> {
        if self.life.closed {
            return Err(SendError::NotOpen);
        }
        self.layers.set_now(now);
        self.layers.send(lane, bytes)
    }

    /// Bytes that `send` took for the lane and the other side has not acknowledged.
    #[must_use]
    pub fn buffered_bytes(&self, lane: Lane) -> usize {
        self.layers.buffered_bytes(lane)
    }

    /// Packets that `send` took for the lane and the other side has not acknowledged; also after the
    /// peer closed.
    #[must_use]
    pub fn buffered_packets(&self, lane: Lane) -> usize {
        self.layers.buffered_packets(lane)
    }

    /// Ours and theirs, once DTLS has proven that the other side holds the certificate that its
    /// description names.
    #[must_use]
    pub fn fingerprints(&self) -> Option<(Fingerprint, Fingerprint)> {
        self.layers.fingerprints()
    }

    /// The other side's addresses that have proven themselves by connectivity checks, the latest 32:
    /// for whoever wants to know which of those offered can be reached.
    pub fn proven_addrs(&self) -> impl Iterator<Item = SocketAddr> + use<'_> {
        self.layers.proven_addrs()
    }

    /// Our ICE username fragment: what connectivity checks for this peer name first.
    #[must_use]
    pub fn local_ufrag(&self) -> &str {
        self.layers.local_ufrag()
    }

    /// Whether a STUN message is for this peer and proves it: a request with valid
    /// MESSAGE-INTEGRITY under our password, or a valid response to a check that is in flight.
    /// Only a datagram that passes this may bind its source address to this peer. It changes
    /// nothing: give it to `handle_input` as well.
    #[must_use]
    pub fn accepts_stun(&self, bytes: &[u8]) -> bool {
        !self.life.closed && self.layers.accepts_stun(bytes)
    }

    /// Replaces the longest silence allowed, counted from the last authenticated datagram.
    pub fn set_idle_timeout(&mut self, now: Instant, timeout: Duration) {
        self.layers.set_now(now);
        self.life.idle_timeout = timeout;
    }

    /// Closes the peer as [`CloseReason::IdleTimeout`] unless something authenticated (a
    /// connectivity or consent check, a DTLS record) comes from now on within that time: for an
    /// owner who has a reason to doubt that anybody is there still. Whatever comes ends the doubt.
    /// Asked again meanwhile, the earlier of both deadlines holds, and neither outlasts the idle
    /// timeout.
    pub fn expect_traffic(&mut self, now: Instant, within: Duration) {
        if !self.life.closed {
            self.layers.set_now(now);
            self.layers.expect_by(now + within);
        }
    }

    /// Holds back what arrives on a lane, or hands it on again. What is held back is taken from
    /// the receive window that SCTP offers for both lanes together, so the other side stops
    /// sending when it is used up; nothing is lost on the reliable lane. Everything else goes on:
    /// checks, acknowledgements, what is sent, and the other lane as far as the window allows. A
    /// peer that closes hands on what it held. See [`Peer::HELD_BYTES_MAX`].
    pub fn set_paused(&mut self, now: Instant, lane: Lane, paused: bool) {
        self.layers.set_now(now);
        self.layers.set_paused(lane, paused);
    }

    /// Limits what may be held of what the other side sends: not whole yet, behind a gap, or not
    /// taken by the owner. What finds no room is refused and counted, and sent again by an other
    /// side that means well, whose window is made smaller; nothing is lost on the reliable lane.
    /// Holds from the next input on; not below [`Peer::RECEIVED_BYTES_LEAST`].
    pub fn set_received_max(&mut self, bytes: usize) {
        self.layers.set_received_max(bytes);
    }

    /// What is held of what the other side sent, tables included.
    #[must_use]
    pub fn received_bytes(&self) -> usize {
        self.layers.received_bytes()
    }

    /// Whether a packet was refused because of [`Peer::set_received_max`] or of packets that wait to
    /// be taken, and is kept for when there is room: drain [`Peer::poll_output`] then.
    #[must_use]
    pub fn wants_room(&self) -> bool {
        self.layers.wants_room()
    }

    /// Whether a lane's packets are held back.
    #[must_use]
    pub fn is_paused(&self, lane: Lane) -> bool {
        self.layers.is_paused(lane)
    }
}
