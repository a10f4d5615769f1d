//! The data channels of a peer: which stream carries which lane, and how full each lane is.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::Lane;
use crate::dcep::{Message, Open};
use crate::sctp::{Protocol, Sctp};

/// What the channels tell.
#[derive(Debug)]
pub(crate) enum Event {
    LaneOpen(Lane),
    Packet {
        lane: Lane,
        bytes: Bytes,
    },
    /// A message that belongs to no lane, or of no known kind.
    Dropped,
}

#[derive(Debug, Default)]
pub(crate) struct Channels {
    channels: Vec<Channel>,
    reliable: LaneState,
    unreliable: LaneState,
}

#[derive(Debug)]
struct Channel {
    stream: u16,
    lane: Option<Lane>,
    ours: bool,
    open: bool,
}

#[derive(Debug, Default)]
struct LaneState {
    /// The stream that sends go to, once the lane is open.
    stream: Option<u16>,
    /// Taken by `send`, not acknowledged.
    buffered: Buffered,
    /// A send was refused since the lane was last writable.
    refused: bool,
}

/// What a lane's stream has not let go of. It tells bytes, the packets are worked out: the oldest go
/// first.
#[derive(Debug, Default)]
struct Buffered {
    bytes: usize,
    sizes: VecDeque<u32>,
    /// Of the oldest packet, or of later ones that were acknowledged before it.
    released: usize,
}

impl Buffered {
    fn take(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.sizes
            .push_back(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    fn release(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.released += bytes;
        while let Some(size) = self.sizes.front()
            && let Ok(size) = usize::try_from(*size)
            && size <= self.released
        {
            self.released -= size;
            self.sizes.pop_front();
        }
        if self.bytes == 0 {
            *self = Self::default();
        }
    }
}

impl Channels {
    /// Opens both lanes' channels, as the acceptor does. Stream ids of the DTLS client are even,
    /// those of the server odd (RFC 8832 section 6).
    pub(crate) fn open_ours(&mut self, now: Instant, sctp: &mut Sctp, dtls_active: bool) {
        let first = if dtls_active { 0 } else { 1 };
        for (lane, stream) in Lane::ALL.into_iter().zip([first, first + 2]) {
            let open = Open::lane(lane);
            sctp.open_stream(stream, open.unordered, open.reliability);
            sctp.write(now, stream, Protocol::Dcep, &Message::Open(open).encode());
            self.channels.push(Channel {
                stream,
                lane: Some(lane),
                ours: true,
                open: false,
            });
        }
    }

    /// Takes a message from a stream. At most two things come of it.
    pub(crate) fn handle(
        &mut self,
        now: Instant,
        sctp: &mut Sctp,
        stream: u16,
        protocol: Protocol,
        bytes: Bytes,
    ) -> [Option<Event>; 2] {
        let bytes = match protocol {
            Protocol::Dcep => return [self.establish(now, sctp, stream, &bytes), None],
            Protocol::Binary | Protocol::String => bytes,
            Protocol::BinaryEmpty | Protocol::StringEmpty => Bytes::new(),
            _ => return [Some(Event::Dropped), None],
        };
        let opened = self.mark_open(stream);
        let lane = self.channel(stream).and_then(|channel| channel.lane);
        let event = lane.map_or(Event::Dropped, |lane| Event::Packet { lane, bytes });
        [opened, Some(event)]
    }

    fn establish(
        &mut self,
        now: Instant,
        sctp: &mut Sctp,
        stream: u16,
        bytes: &[u8],
    ) -> Option<Event> {
        match Message::decode(bytes) {
            Some(Message::Ack) => self.mark_open(stream),
            Some(Message::Open(open)) => {
                // The opener's parameters hold in both directions.
                sctp.open_stream(stream, open.unordered, open.reliability);
                sctp.write(now, stream, Protocol::Dcep, &Message::Ack.encode());
                if self.channel(stream).is_none() {
                    let lane = Lane::ALL
                        .into_iter()
                        .find(|lane| lane.label() == open.label);
                    self.channels.push(Channel {
                        stream,
                        lane,
                        ours: false,
                        open: false,
                    });
                }
                self.mark_open(stream)
            }
            None => Some(Event::Dropped),
        }
    }

    /// The other side has answered on the stream.
    fn mark_open(&mut self, stream: u16) -> Option<Event> {
        let channel = self
            .channels
            .iter_mut()
            .find(|channel| channel.stream == stream)?;
        if channel.open {
            return None;
        }
        channel.open = true;
        let (lane, ours) = (channel.lane?, channel.ours);
        let state = self.lane_mut(lane);
        let first = state.stream.is_none();
        // A 2019 server reads only the channels that it opened itself.
        if first || !ours {
            state.stream = Some(stream);
            state.buffered = Buffered::default();
        }
        first.then_some(Event::LaneOpen(lane))
    }

    /// The other side reset the stream; `true` when a lane has no channel any more.
    pub(crate) fn close(&mut self, stream: u16) -> bool {
        let Some(index) = self
            .channels
            .iter()
            .position(|channel| channel.stream == stream)
        else {
            return false;
        };
        let closed = self.channels.swap_remove(index);
        let Some(lane) = closed.lane else {
            return false;
        };
        let next = self
            .channels
            .iter()
            .find(|channel| channel.lane == Some(lane) && channel.open);
        let next = next.map(|channel| channel.stream);
        let state = self.lane_mut(lane);
        if state.stream == Some(stream) {
            state.stream = next;
            state.buffered = Buffered::default();
        }
        next.is_none()
    }

    /// The stream that carries what is sent on the lane.
    pub(crate) fn stream(&self, lane: Lane) -> Option<u16> {
        self.lane(lane).stream
    }

    /// Bytes and packets.
    pub(crate) fn buffered(&self, lane: Lane) -> (usize, usize) {
        let buffered = &self.lane(lane).buffered;
        (buffered.bytes, buffered.sizes.len())
    }

    pub(crate) fn refuse(&mut self, lane: Lane) {
        self.lane_mut(lane).refused = true;
    }

    pub(crate) fn take(&mut self, lane: Lane, bytes: usize) {
        self.lane_mut(lane).buffered.take(bytes);
    }

    /// Bytes have left a stream's buffer; the lane when it takes packets again after refusing:
    /// below half of both limits.
    pub(crate) fn release(
        &mut self,
        stream: u16,
        bytes: usize,
        limits: (usize, usize),
    ) -> Option<Lane> {
        let lane = Lane::ALL
            .into_iter()
            .find(|lane| self.lane(*lane).stream == Some(stream))?;
        let state = self.lane_mut(lane);
        state.buffered.release(bytes);
        let (bytes_max, packets_max) = limits;
        let (bytes, packets) = (state.buffered.bytes, state.buffered.sizes.len());
        if state.refused && bytes <= bytes_max / 2 && packets <= packets_max / 2 {
            state.refused = false;
            return Some(lane);
        }
        None
    }

    fn channel(&self, stream: u16) -> Option<&Channel> {
        self.channels
            .iter()
            .find(|channel| channel.stream == stream)
    }

    fn lane(&self, lane: Lane) -> &LaneState {
        match lane {
            Lane::Reliable => &self.reliable,
            Lane::Unreliable => &self.unreliable,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut LaneState {
        match lane {
            Lane::Reliable => &mut self.reliable,
            Lane::Unreliable => &mut self.unreliable,
        }
    }
}
