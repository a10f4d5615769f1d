//! ICE, DTLS, SCTP and the channels of one peer, and the way of a packet through them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::{CloseReason, Output, Peer, SendError, Transmit};
use crate::channels::{self, Channels};
use crate::ice::{Agent, Path};
use crate::inbox::Inbox;
use crate::sctp::{self, Protocol, Sctp};
use crate::stun::Kind;
use crate::{Certificate, Config, Fingerprint, Lane, Role, Stats, dtls};

/// What the other side's description says, as far as the layers go.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) ufrag: String,
    pub(super) password: String,
    pub(super) fingerprint: Fingerprint,
    pub(super) message_bytes_max: u32,
    /// It nominates.
    pub(super) controls: bool,
    /// It sends the ClientHello.
    pub(super) dtls_active: bool,
}

#[derive(Debug)]
pub(super) struct Layers {
    now: Instant,
    settings: Settings,
    remote: Option<Remote>,
    agent: Agent,
    path: Option<Path>,
    dtls: Option<Box<dtls::Session>>,
    sctp: Option<Box<Sctp>>,
    channels: Channels,
    /// DTLS that came along a proven path before the description.
    early: Vec<(Path, Box<[u8]>)>,
    outputs: VecDeque<Output>,
    inbox: Inbox,
    /// What may be held of what came.
    received_max: usize,
    progress: Progress,
    stats: Stats,
}

#[derive(Debug)]
struct Settings {
    certificate: Certificate,
    opens_channels: bool,
    message_bytes_max: u32,
    send_buffer_bytes: usize,
}

impl Settings {
    /// Bytes and packets that a lane buffers.
    fn send_limits(&self) -> (usize, usize) {
        let bytes = self.send_buffer_bytes;
        (bytes, bytes / Peer::PACKET_BYTES_LEAST)
    }
}

#[derive(Debug)]
struct Progress {
    /// The reliable lane is open.
    open: bool,
    /// When something authenticated came last.
    heard: Instant,
    /// By when something authenticated is to come, if somebody asked for it and nothing has since.
    expected_by: Option<Instant>,
    /// Why the peer is to close.
    ending: Option<CloseReason>,
    /// What the other side is told of that, in a number of the owner's.
    farewell: Option<u16>,
}

impl Layers {
    pub(super) fn new(now: Instant, config: &Config) -> Self {
        Self {
            now,
            settings: Settings {
                certificate: config.certificate.clone(),
                opens_channels: config.role != Role::Dialer,
                message_bytes_max: config.message_bytes_max,
                send_buffer_bytes: config.send_buffer_bytes,
            },
            remote: None,
            agent: Agent::new(
                config.role,
                &config.certificate,
                config.seed,
                &config.local_addrs,
            ),
            path: None,
            dtls: None,
            sctp: None,
            channels: Channels::default(),
            early: Vec::new(),
            outputs: VecDeque::new(),
            inbox: Inbox::default(),
            received_max: usize::MAX,
            progress: Progress {
                open: false,
                heard: now,
                expected_by: None,
                ending: None,
                farewell: None,
            },
            stats: Stats::default(),
        }
    }

    pub(super) fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    // --- what comes in ---

    /// The other side's description: from here on there are sessions.
    pub(super) fn describe(&mut self, remote: Remote) {
        self.agent.set_controlling(!remote.controls);
        self.agent
            .set_remote(self.now, &remote.ufrag, &remote.password);
        if remote.dtls_active {
            self.start_dtls(false, remote.fingerprint);
        }
        self.remote = Some(remote);
        self.agent.handle_timeout(self.now);
        self.follow_agent();
        for (path, datagram) in std::mem::take(&mut self.early) {
            self.handle_dtls(path, &datagram);
        }
    }

    pub(super) fn add_remote_candidate(&mut self, candidate: &str) {
        if !self.agent.add_remote_candidate(self.now, candidate) {
            self.stats.dropped_candidates += 1;
        }
        self.agent.handle_timeout(self.now);
        self.follow_agent();
    }

    pub(super) fn handle_datagram(&mut self, path: Path, bytes: &[u8]) {
        self.stats.datagrams_received += 1;
        if bytes.len() > DATAGRAM_BYTES_MAX {
            self.stats.dropped_oversize += 1;
            return;
        }
        match Kind::of(bytes) {
            Kind::Stun if self.agent.handle(self.now, path, bytes) => {
                self.note_heard();
                self.follow_agent();
            }
            Kind::Stun => self.stats.dropped_stun += 1,
            Kind::Dtls => self.handle_dtls(path, bytes),
            Kind::Unknown => self.stats.dropped_unknown += 1,
        }
    }

    fn handle_dtls(&mut self, path: Path, bytes: &[u8]) {
        if !self.agent.is_proven(path) {
            self.stats.dropped_unproven += 1;
            return;
        }
        if self.remote.is_none() {
            if self.early.len() < EARLY_DATAGRAMS_MAX && bytes.len() <= EARLY_DATAGRAM_BYTES_MAX {
                self.early.push((path, bytes.into()));
            } else {
                self.stats.dropped_early += 1;
            }
            return;
        }
        let Some(dtls) = &mut self.dtls else {
            self.stats.dropped_early += 1;
            return;
        };
        let established = dtls.verified().is_some();
        dtls.handle(self.now, bytes);
        if self.follow_dtls() {
            self.agent.heard(self.now, path);
            self.note_heard();
            self.follow_agent();
        } else if established {
            self.stats.dropped_dtls += 1;
        }
    }

    /// Something authenticated came.
    fn note_heard(&mut self) {
        self.progress.heard = self.now;
        self.progress.expected_by = None;
    }

    pub(super) fn handle_tick(&mut self) {
        let now = self.now;
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        if is_due(self.agent.deadline()) {
            self.agent.handle_timeout(now);
            self.follow_agent();
        }
        if let Some(dtls) = &mut self.dtls
            && is_due(dtls.deadline())
        {
            dtls.handle_timeout(now);
            self.follow_dtls();
        }
        if let Some(sctp) = &mut self.sctp
            && is_due(sctp.deadline())
        {
            let repaired = sctp.handle_timeout(now);
            self.stats.repairs += repaired.again;
            self.stats.skips += repaired.skips;
            self.follow_sctp();
        }
    }

    pub(super) fn send(&mut self, lane: Lane, bytes: &Bytes) -> Result<(), SendError> {
        let (Some(stream), Some(sctp), Some(remote)) =
            (self.channels.stream(lane), &mut self.sctp, &self.remote)
        else {
            return Err(SendError::NotOpen);
        };
        if u32::try_from(bytes.len()).map_or(true, |len| len > remote.message_bytes_max) {
            return Err(SendError::TooLarge);
        }
        // SCTP cannot carry nothing: one byte stands for it (RFC 8831 section 6.6).
        let (protocol, payload) = if bytes.is_empty() {
            (Protocol::BinaryEmpty, &EMPTY)
        } else {
            (Protocol::Binary, bytes)
        };
        let (bytes_max, packets_max) = self.settings.send_limits();
        let (buffered, packets) = self.channels.buffered(lane);
        let full = buffered + payload.len() > bytes_max || packets >= packets_max;
        if packets > 0 && full {
            self.channels.refuse(lane);
            self.stats.sends_refused += 1;
            return Err(SendError::Full);
        }
        if !sctp.write(self.now, stream, protocol, payload) {
            return Err(SendError::NotOpen);
        }
        self.channels.take(lane, payload.len());
        self.stats.packets_sent += 1;
        self.stats.packet_bytes_sent += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    // --- what follows from it, upwards ---

    /// The agent may have something to send, and may have found a path, or another one.
    fn follow_agent(&mut self) {
        // Replies go out ahead of DTLS: they are what lets the other side take it.
        while let Some(transmit) = self.agent.poll_transmit() {
            self.stats.datagrams_sent += 1;
            self.outputs.push_back(Output::Transmit(transmit));
        }
        let selected = self.agent.selected();
        if selected != self.path {
            self.stats.rebinds += u64::from(self.path.is_some());
            self.path = selected;
        }
        if let Some(remote) = &self.remote
            && self.path.is_some()
            && self.dtls.is_none()
            && !remote.dtls_active
        {
            self.start_dtls(true, remote.fingerprint);
        }
    }

    fn start_dtls(&mut self, active: bool, fingerprint: Fingerprint) {
        let certificate = &self.settings.certificate;
        let mut dtls = dtls::Session::new(self.now, certificate, active, fingerprint);
        dtls.handle_timeout(self.now);
        self.dtls = Some(Box::new(dtls));
        self.follow_dtls();
    }

    /// Moves what DTLS made; `true` when something authenticated came through.
    fn follow_dtls(&mut self) -> bool {
        let mut heard = false;
        while let Some(event) = self.dtls.as_mut().and_then(|dtls| dtls.poll()) {
            match event {
                dtls::Event::Transmit(bytes) => self.transmit(bytes),
                dtls::Event::Received(packet) => {
                    heard = true;
                    if let Some(sctp) = &mut self.sctp {
                        sctp.set_held(self.now, self.inbox.bytes(), self.received_max);
                        let taken = sctp.handle(self.now, packet);
                        self.stats.dropped_sctp += u64::from(!taken);
                        self.follow_sctp();
                    }
                }
                dtls::Event::Connected => {
                    heard = true;
                    self.start_sctp();
                }
                dtls::Event::FingerprintMismatch => self.end(CloseReason::FingerprintMismatch),
                dtls::Event::Closed => self.end(CloseReason::Remote),
                dtls::Event::Failed => self.end(CloseReason::DtlsFailed),
            }
        }
        if heard {
            self.follow_sctp();
        }
        heard
    }

    fn start_sctp(&mut self) {
        if let Some(remote) = &self.remote
            && self.sctp.is_none()
        {
            self.sctp = Some(Box::new(Sctp::new(
                self.now,
                !remote.dtls_active,
                self.settings.message_bytes_max,
                remote.message_bytes_max,
            )));
        }
    }

    fn follow_sctp(&mut self) {
        while let Some(sctp) = &mut self.sctp
            && let Some(event) = sctp.poll_event()
        {
            match event {
                sctp::Event::Connected => {
                    if self.settings.opens_channels {
                        let active = self.remote.as_ref().is_some_and(|r| !r.dtls_active);
                        self.channels.open_ours(self.now, sctp, active);
                    }
                }
                sctp::Event::Message {
                    stream,
                    protocol,
                    bytes,
                } => {
                    let events = self
                        .channels
                        .handle(self.now, sctp, stream, protocol, bytes);
                    events
                        .into_iter()
                        .flatten()
                        .for_each(|event| self.follow_channels(event));
                }
                sctp::Event::Released { stream, bytes } => {
                    let limits = self.settings.send_limits();
                    if let Some(lane) = self.channels.release(stream, bytes, limits) {
                        self.outputs.push_back(Output::Writable(lane));
                    }
                }
                sctp::Event::StreamClosed { stream } => {
                    if self.channels.close(stream) {
                        self.end(CloseReason::Remote);
                    }
                }
                sctp::Event::MessageTooLarge => self.end(CloseReason::MessageTooLarge),
                sctp::Event::Closed { code } => {
                    self.end(code.map_or(CloseReason::Remote, CloseReason::RemoteCode));
                }
                sctp::Event::Failed => self.end(CloseReason::SctpFailed),
            }
        }
    }

    fn follow_channels(&mut self, event: channels::Event) {
        match event {
            channels::Event::LaneOpen(lane) => {
                self.progress.open |= lane == Lane::Reliable;
                self.outputs.push_back(Output::LaneOpen(lane));
            }
            channels::Event::Packet { lane, bytes } => {
                self.stats.packets_received += 1;
                self.stats.packet_bytes_received += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.inbox.push(lane, bytes);
            }
            channels::Event::Dropped => self.stats.dropped_packets += 1,
        }
    }

    // --- what goes out, downwards ---

    /// The next output; `alive` adds what the layers still have to send.
    pub(super) fn poll(&mut self, alive: bool) -> Option<Output> {
        loop {
            if let Some(output) = self.poll_ready() {
                return Some(output);
            }
            if !alive {
                return None;
            }
            if !self.seal_next() {
                return None;
            }
        }
    }

    /// The next output that is there already.
    pub(super) fn poll_ready(&mut self) -> Option<Output> {
        let packet = |(lane, bytes)| Output::Packet { lane, bytes };
        self.outputs
            .pop_front()
            .or_else(|| self.inbox.pop().map(packet))
    }

    /// Seals one SCTP packet into a datagram of its own.
    fn seal_next(&mut self) -> bool {
        let (Some(sctp), Some(dtls)) = (&mut self.sctp, &mut self.dtls) else {
            return false;
        };
        if sctp.set_held(self.now, self.inbox.bytes(), self.received_max) {
            self.follow_sctp();
            return true;
        }
        let Some(packet) = sctp.poll_packet(self.now) else {
            return false;
        };
        dtls.send(&packet);
        self.follow_dtls();
        true
    }

    fn transmit(&mut self, bytes: Vec<u8>) {
        let Some(path) = self.path else {
            return;
        };
        self.stats.datagrams_sent += 1;
        self.outputs.push_back(Output::Transmit(Transmit {
            local: path.local,
            remote: path.remote,
            bytes,
        }));
    }

    /// The peer is to close; the first reason stays.
    pub(super) fn end(&mut self, reason: CloseReason) {
        self.progress.ending.get_or_insert(reason);
    }

    /// What the other side is told when the peer closes.
    pub(super) fn set_farewell(&mut self, code: u16) {
        self.progress.farewell = Some(code);
    }

    pub(super) fn take_ending(&mut self) -> Option<CloseReason> {
        self.progress.ending.take()
    }

    /// Sends what there is, tells the other side, and lets go of everything.
    pub(super) fn finish(&mut self, reason: CloseReason) {
        if !matches!(reason, CloseReason::Remote | CloseReason::RemoteCode(_)) {
            while self.seal_next() {}
            if let Some(sctp) = &mut self.sctp {
                sctp.abort(self.progress.farewell);
            }
            while self.seal_next() {}
            if let Some(dtls) = &mut self.dtls {
                dtls.close();
            }
            self.follow_dtls();
        }
        // What was acknowledged is handed on, even by a lane that is paused.
        for lane in Lane::ALL {
            self.inbox.set_paused(lane, false);
        }
        while let Some((lane, bytes)) = self.inbox.pop() {
            self.outputs.push_back(Output::Packet { lane, bytes });
        }
        self.outputs.push_back(Output::Closed(reason));
        self.dtls = None;
        self.sctp = None;
        self.early = Vec::new();
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    // --- what is asked ---

    pub(super) fn deadline(&self) -> Option<Instant> {
        let dtls = self.dtls.as_ref().and_then(|dtls| dtls.deadline());
        let sctp = self.sctp.as_ref().and_then(|sctp| sctp.deadline());
        [self.agent.deadline(), dtls, sctp]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn is_open(&self) -> bool {
        self.progress.open
    }

    pub(super) fn heard(&self) -> Instant {
        self.progress.heard
    }

    /// The earliest of what was asked for stays.
    pub(super) fn expect_by(&mut self, deadline: Instant) {
        let expected = self.progress.expected_by;
        self.progress.expected_by =
            Some(expected.map_or(deadline, |earlier| earlier.min(deadline)));
    }

    pub(super) fn expected_by(&self) -> Option<Instant> {
        self.progress.expected_by
    }

    pub(super) fn buffered_bytes(&self, lane: Lane) -> usize {
        self.channels.buffered(lane).0
    }

    pub(super) fn buffered_packets(&self, lane: Lane) -> usize {
        self.channels.buffered(lane).1
    }

    /// For tests that write what no honest side writes.
    #[cfg(test)]
    pub(super) fn with_sctp<T>(&mut self, write: impl FnOnce(&mut Sctp) -> T) -> Option<T> {
        self.sctp.as_deref_mut().map(write)
    }

    pub(super) fn set_paused(&mut self, lane: Lane, paused: bool) {
        self.inbox.set_paused(lane, paused);
    }

    pub(super) fn set_received_max(&mut self, bytes: usize) {
        self.received_max = bytes;
    }

    pub(super) fn received_bytes(&self) -> usize {
        let sctp = self.sctp.as_ref().map_or(0, |sctp| sctp.held_bytes());
        sctp + self.inbox.bytes()
    }

    pub(super) fn wants_room(&self) -> bool {
        self.sctp.as_ref().is_some_and(|sctp| sctp.wants_room())
    }

    pub(super) fn is_paused(&self, lane: Lane) -> bool {
        self.inbox.is_paused(lane)
    }

    pub(super) fn fingerprints(&self) -> Option<(Fingerprint, Fingerprint)> {
        let theirs = self.dtls.as_ref()?.verified()?;
        Some((self.settings.certificate.fingerprint(), theirs))
    }

    pub(super) fn credentials(&self) -> (String, String) {
        let credentials = self.agent.credentials();
        (credentials.ufrag.clone(), credentials.pass.clone())
    }

    pub(super) fn proven_addrs(&self) -> impl Iterator<Item = SocketAddr> + use<'_> {
        self.agent.proven()
    }

    pub(super) fn local_ufrag(&self) -> &str {
        &self.agent.credentials().ufrag
    }

    pub(super) fn accepts_stun(&self, bytes: &[u8]) -> bool {
        Kind::of(bytes) == Kind::Stun && self.agent.accepts(bytes)
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(super) fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }
}

/// More than any path carries in one piece: only a hostile sender's come larger.
const DATAGRAM_BYTES_MAX: usize = 2048;
static EMPTY: Bytes = Bytes::from_static(&[0]);
/// Datagrams held until the description comes: the dialer's first flight, repeated.
const EARLY_DATAGRAMS_MAX: usize = 8;
const EARLY_DATAGRAM_BYTES_MAX: usize = 1500;
