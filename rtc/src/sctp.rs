//! SCTP around `rtc-sctp`: one association over one DTLS session.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod guard;
mod packet;
mod piggyback;
mod repair;
mod window;

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;
use rtc_sctp::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig,
    Event as AssociationEvent, Payload, PayloadProtocolIdentifier, ReliabilityType, ServerConfig,
    StreamEvent, TimerConfig, TransportConfig, max_payload_size_for_mtu,
};

use self::guard::{Guard, Verdict};
use self::piggyback::Thin;
pub(crate) use self::repair::BYTES_MAX as REPAIR_BYTES_MAX;
use self::repair::{Repair, Repaired};
pub(crate) use self::window::HELD_BYTES_MAX;
use self::window::Window;
use crate::dcep::Reliability;

/// The payload protocol of a message (RFC 8831 section 8).
pub(crate) type Protocol = PayloadProtocolIdentifier;

/// What an association does.
#[derive(Debug)]
pub(crate) enum Event {
    /// Streams can be opened.
    Connected,
    /// A whole message.
    Message {
        stream: u16,
        protocol: Protocol,
        bytes: Bytes,
    },
    /// A message over the maximum.
    MessageTooLarge,
    /// The other side has taken, or will never take, that many bytes of the stream's buffer.
    Released { stream: u16, bytes: usize },
    /// The other side reset the stream.
    StreamClosed { stream: u16 },
    /// The other side ended the association; it may have said why, in a number of its owner's.
    Closed { code: Option<u16> },
    /// The association is broken, or the other side violates the protocol.
    Failed,
}

pub(crate) struct Sctp {
    endpoint: Endpoint,
    /// While the handshake lasts a repeated INIT makes another association; the first that is
    /// established stays.
    associations: Vec<(AssociationHandle, Association)>,
    established: bool,
    ended: bool,
    /// What our ABORT is to say.
    farewell: Option<u16>,
    guard: Guard,
    window: Window,
    repair: Repair,
    thin: Thin,
    /// The last packet that was dropped because the owner holds too much. Whoever sends into a
    /// shut window probes it ever more rarely: as soon as there is room this one counts as arrived.
    refused: Option<Bytes>,
    streams: usize,
    message_bytes_max: usize,
    events: VecDeque<Event>,
    readable: Vec<u16>,
    packets: VecDeque<Bytes>,
    /// Something happened that may make packets.
    dirty: bool,
}

impl Sctp {
    /// `active`: sends the INIT. The DTLS client does (as all engines with one of this kind do).
    pub(crate) fn new(
        now: Instant,
        active: bool,
        message_bytes_max: u32,
        remote_message_bytes_max: u32,
    ) -> Self {
        let transport = TransportConfig::default()
            .with_max_receive_buffer_size(RECEIVE_BUFFER_BYTES.max(message_bytes_max))
            .with_max_message_size(remote_message_bytes_max)
            .with_max_num_inbound_streams(u16::MAX)
            .with_max_num_outbound_streams(u16::MAX)
            .with_timer_config(TimerConfig {
                // Loss never ends an association: silence does, and the owner decides how long.
                max_t1_init_retrans: usize::MAX,
                max_t1_cookie_retrans: usize::MAX,
                max_t3_rtx_retrans: usize::MAX,
                max_reconfig_retrans: usize::MAX,
                ..TimerConfig::default()
            });
        let server = (!active).then(|| Arc::new(ServerConfig::new(transport.clone())));
        let mut endpoint = Endpoint::new(
            NOWHERE,
            // UDP, whose type the crate does not export; nothing depends on it.
            Default::default(),
            Arc::clone(&ENDPOINT_CONFIG),
            server,
        );
        let mut associations = Vec::with_capacity(1);
        if active
            && let Ok(association) = endpoint.connect(now, ClientConfig::new(transport), NOWHERE)
        {
            associations.push(association);
        }
        Self {
            endpoint,
            associations,
            established: false,
            ended: false,
            farewell: None,
            guard: Guard::new(
                RECEIVE_BUFFER_BYTES.max(message_bytes_max),
                usize::try_from(message_bytes_max).unwrap_or(usize::MAX),
            ),
            window: Window::default(),
            repair: Repair::default(),
            thin: Thin::default(),
            refused: None,
            streams: 0,
            message_bytes_max: usize::try_from(message_bytes_max).unwrap_or(usize::MAX),
            events: VecDeque::new(),
            readable: Vec::new(),
            packets: VecDeque::new(),
            dirty: true,
        }
    }

    /// Takes a decrypted packet; `false` when it is dropped.
    pub(crate) fn handle(&mut self, now: Instant, packet: Bytes) -> bool {
        if self.ended {
            return false;
        }
        // Each association of a handshake would hold as much as the one that stays.
        let undecided = !self.established && self.associations.len() > 1;
        let room = if undecided { 0 } else { self.window.room() };
        match self.guard.inspect_received(&packet, room) {
            Verdict::Pass => self.take(now, packet),
            Verdict::Trim => {
                let packet = self.guard.trim(&packet);
                self.take(now, packet);
            }
            Verdict::Drop => {
                if !undecided && self.guard.is_full(room) {
                    self.refused = Some(packet);
                    self.window.remind();
                    self.dirty = true;
                }
                return false;
            }
            Verdict::Farewell => {
                // What came before it in the packet is still read. The farewell itself is not the
                // association's: a malformed one would be the process's end.
                self.ended = true;
                let code = packet::abort_code(&packet);
                if let Some(rest) = packet::before(&packet, Guard::is_farewell) {
                    self.deliver(now, rest);
                    self.pump();
                }
                self.events.push_back(Event::Closed { code });
            }
            Verdict::Violation => self.end(Event::Failed),
        }
        true
    }

    fn take(&mut self, now: Instant, packet: Bytes) {
        self.repair.note_received(now, &packet);
        let packet = self.thin.hasten(now, packet);
        let before = self.chunks_taken();
        self.deliver(now, packet.clone());
        let taken = self.chunks_taken() - before;
        self.guard
            .note_taken(&packet, usize::try_from(taken).unwrap_or(usize::MAX));
        self.pump();
        if !self.guard.is_within_bounds() {
            self.end(Event::Failed);
        }
    }

    fn deliver(&mut self, now: Instant, packet: Bytes) {
        match self.endpoint.handle(now, NOWHERE, None, packet) {
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                let known = self
                    .associations
                    .iter_mut()
                    .find(|(known, _)| *known == handle);
                if let Some((_, association)) = known {
                    association.handle_event(event);
                }
            }
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                if self.established || self.associations.len() >= ASSOCIATIONS_MAX {
                    self.endpoint
                        .handle_event(handle, rtc_sctp::EndpointEvent::drained());
                } else {
                    self.associations.push((handle, association));
                }
            }
            _ => {}
        }
    }

    /// DATA chunks that the associations looked at.
    fn chunks_taken(&self) -> u64 {
        let stats = self.associations.iter().map(|(_, each)| each.stats());
        stats.map(|mut stats| stats.get_num_datas()).sum()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let timeouts = self.associations.iter();
        let timeouts = timeouts.filter_map(|(_, association)| association.poll_timeout());
        timeouts.chain(self.repair.deadline()).min()
    }

    /// Returns what is done about losses before the association would have.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Repaired {
        let repaired = self.repair.handle_timeout(now, &mut self.packets);
        for (_, association) in &mut self.associations {
            association.handle_timeout(now);
        }
        self.pump();
        repaired
    }

    /// Collects what the association tells, and reads until there is nothing more to read: the
    /// association tells of a message only when its last chunk arrives.
    fn pump(&mut self) {
        self.dirty = true;
        let mut index = 0;
        while let Some((_, association)) = self.associations.get_mut(index) {
            let mut connected = false;
            while association.poll_endpoint_event().is_some() {}
            while let Some(event) = association.poll() {
                match event {
                    AssociationEvent::Connected => connected = true,
                    AssociationEvent::AssociationLost { id, .. } => {
                        self.events.push_back(Event::StreamClosed { stream: id });
                    }
                    AssociationEvent::Stream(StreamEvent::Opened { .. }) => {
                        while association.accept_stream().is_some() {}
                        self.streams += 1;
                    }
                    AssociationEvent::Stream(StreamEvent::Readable { id })
                        if !self.readable.contains(&id) =>
                    {
                        self.readable.push(id);
                    }
                    AssociationEvent::Stream(StreamEvent::BufferedAmountReleased {
                        id,
                        n_bytes,
                    }) => self.events.push_back(Event::Released {
                        stream: id,
                        bytes: n_bytes,
                    }),
                    _ => {}
                }
            }
            if connected && !self.established {
                self.establish(index);
                index = 0;
            } else {
                index += 1;
            }
        }
        self.read();
        self.check_end();
    }

    /// The association at the index stays, alone.
    fn establish(&mut self, index: usize) {
        self.established = true;
        let stays = self.associations.swap_remove(index);
        for (handle, _) in self.associations.drain(..) {
            self.endpoint
                .handle_event(handle, rtc_sctp::EndpointEvent::drained());
        }
        self.associations.push(stays);
        self.events.push_back(Event::Connected);
    }

    fn read(&mut self) {
        // Data may overtake the end of the handshake: it waits in its stream.
        if !self.established {
            return;
        }
        let Some((_, association)) = self.associations.first_mut() else {
            return;
        };
        for id in self.readable.drain(..) {
            let Ok(mut stream) = association.stream(id) else {
                continue;
            };
            while let Ok(Some(message)) = stream.read_sctp() {
                self.guard
                    .note_read(id, message.ssn, message.chunks.len(), message.len());
                self.events
                    .push_back(message.to_payload(self.message_bytes_max).map_or(
                        Event::MessageTooLarge,
                        |bytes| Event::Message {
                            stream: id,
                            protocol: message.ppi,
                            bytes: bytes.freeze(),
                        },
                    ));
            }
        }
    }

    fn check_end(&mut self) {
        let closed = self.associations.iter().all(|(_, a)| a.is_closed());
        if self.streams > STREAMS_MAX || (self.established && closed) {
            self.end(Event::Failed);
        }
    }

    fn end(&mut self, event: Event) {
        if !self.ended {
            self.ended = true;
            self.events.push_back(event);
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Says how many bytes of messages the owner holds back: they count against the window, as if
    /// they had not been read. And how many may be held by both of us. `true` when there is room
    /// again for a packet that had been refused: there may be events.
    pub(crate) fn set_held(&mut self, now: Instant, bytes: usize, bytes_max: usize) -> bool {
        self.dirty |= self.window.set_held(bytes, bytes_max);
        if self.guard.is_full(self.window.room()) {
            return false;
        }
        let refused = self.refused.take();
        refused.is_some_and(|packet| self.handle(now, packet))
    }

    /// What is held of what came and is not read.
    pub(crate) fn held_bytes(&self) -> usize {
        self.guard.held_bytes()
    }

    /// Whether a packet waits for room.
    pub(crate) fn wants_room(&self) -> bool {
        self.refused.is_some()
    }

    /// The next packet to seal, at most [`PACKET_BYTES_MAX`] long.
    pub(crate) fn poll_packet(&mut self, now: Instant) -> Option<Bytes> {
        loop {
            if let Some(packet) = self.packets.pop_front() {
                let packet = self.window.correct(packet);
                return Some(match self.farewell {
                    Some(code) => packet::with_abort_code(packet, code),
                    None => packet,
                });
            }
            if !self.dirty {
                return None;
            }
            self.dirty = false;
            for (_, association) in &mut self.associations {
                while let Some(transmit) = association.poll_transmit(now) {
                    if let Payload::RawEncode(packets) = transmit.message {
                        for packet in &packets {
                            self.guard.inspect_made(packet);
                            self.repair.note_sent(now, packet);
                        }
                        self.packets.extend(packets);
                    }
                }
            }
            piggyback::bundle(&mut self.packets);
            // A SACK of the association's own is as good.
            let acknowledges = |packet: &Bytes| packet::window(packet).is_some();
            if !self.ended
                && !self.packets.iter().any(acknowledges)
                && let Some(update) = self.window.poll_update()
            {
                self.packets.push_back(update);
            }
        }
    }

    /// Opens a stream, or sets the reliability of what we send on one that is open.
    pub(crate) fn open_stream(&mut self, id: u16, unordered: bool, reliability: Reliability) {
        let Some((_, association)) = self.associations.first_mut() else {
            return;
        };
        let (kind, value) = match reliability {
            Reliability::Reliable => (ReliabilityType::Reliable, 0),
            Reliability::Retransmits(count) => (ReliabilityType::Rexmit, count),
            Reliability::LifetimeMs(time) => (ReliabilityType::Timed, time),
        };
        self.repair
            .set_reliable(id, reliability == Reliability::Reliable);
        // Refused when it is open already, which is what the second line is for.
        drop(association.open_stream(id, Protocol::Binary).err());
        if let Ok(mut stream) = association.stream(id) {
            drop(stream.set_reliability_params(unordered, kind, value).err());
        }
    }

    /// Queues a message; `false` when the stream does not take it.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        id: u16,
        protocol: Protocol,
        bytes: &Bytes,
    ) -> bool {
        let Some((_, association)) = self.associations.first_mut() else {
            return false;
        };
        self.dirty = true;
        association
            .stream(id)
            .and_then(|mut stream| stream.write_chunk_with_ppi(now, bytes, protocol))
            .is_ok()
    }

    /// Ends the association; the ABORT is the last packet, and says the code.
    pub(crate) fn abort(&mut self, code: Option<u16>) {
        self.ended = true;
        self.farewell = code;
        self.dirty = true;
        for (_, association) in &mut self.associations {
            // The only error is that it has ended already.
            drop(association.abort().err());
        }
    }
}

impl fmt::Debug for Sctp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sctp")
            .field("associations", &self.associations.len())
            .field("established", &self.established)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

static ENDPOINT_CONFIG: LazyLock<Arc<EndpointConfig>> = LazyLock::new(|| {
    let mut config = EndpointConfig::new();
    config.max_payload_size(max_payload_size_for_mtu(PACKET_BYTES_MAX));
    Arc::new(config)
});

/// What is left of a UDP payload of 1200 bytes by a DTLS 1.2 record: 13 bytes of header, 8 of
/// nonce, 16 of tag.
const PACKET_BYTES_MAX: u32 = 1200 - 37;
/// The window that we offer: what a peer may have us hold.
const RECEIVE_BUFFER_BYTES: u32 = 256 * 1024;
/// What the other side can have us hold of what it sends: read but not taken, behind a gap, and in
/// parts of messages up to a length.
pub(crate) const fn received_bytes_max(message_bytes_max: usize) -> usize {
    HELD_BYTES_MAX + guard::AHEAD_BYTES_MAX + guard::parts_bytes_max(message_bytes_max)
}
/// Streams that the other side may open: two lanes, some room for lanes to come.
const STREAMS_MAX: usize = 16;
/// Associations that wait for their handshake.
const ASSOCIATIONS_MAX: usize = 4;
/// SCTP over DTLS has no addresses; the crate wants one, with a port.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5000);

#[cfg(test)]
mod tests;
