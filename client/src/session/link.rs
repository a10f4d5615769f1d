//! The server's side of a session: one peer from CONNECT to its end, and what is said on it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::{
    AckMessage, AuthMessage, ErrorMessage, Lane, Message as _, MessageType, MigrateMessage,
    PeerGoneMessage, PingMessage, ReadyMessage, Reason, RefreshMessage, Role, frame, limits, peek,
};

use super::{
    Event, Identity, Message, Output, PeerId, Secret, Session,
    event::{ServerError, retry_after},
    renewal::Renewal,
    signalling::ERRORS_THAT_CLOSE_NOTHING,
    subscriptions,
    timers::Timer,
};

/// Why a server closed, when it could say so only with its goodbye. What is final is believed from
/// an ERROR alone, which the next attempt will bring.
pub(crate) fn told_reason(code: u16) -> Reason {
    Reason::from_number(code.into())
        .filter(|reason| reason.retryable())
        .unwrap_or(Reason::TransportClosed)
}

/// How far a peer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// CONNECT is sent.
    AwaitingOffer,
    /// The offer has come; ICE, DTLS and the channels are on their way.
    Opening,
    /// The reliable lane is open, and AUTH waits for the owner's answer.
    AwaitingToken,
    /// AUTH is sent.
    Authenticating,
    /// The server has taken us in.
    Ready,
}

/// One peer, from CONNECT to its end.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) server: u64,
    /// Ours, as the server knows it: the signalling session may have another one meanwhile.
    pub(super) alias: u64,
    pub(super) peer: Option<PeerId>,
    pub(super) phase: Phase,
    /// Open lanes.
    lanes: [bool; 2],
    /// The server speaks more than the 2019 protocol.
    pub(super) speaks_ours: bool,
    /// The reliable lane takes nothing more for now.
    pub(super) congested: bool,
    pub(super) packet_bytes_max: usize,
    /// PINGs sent: each carries its number as its time.
    pings: u32,
    /// The one that measures the round trip, and when it was sent, until it is echoed.
    pinged: Option<(u32, Instant)>,
    pub(super) rtt: Option<Duration>,
    /// How it stands with the next credentials.
    pub(super) renewal: Renewal,
    /// When the server took us in.
    ready_at: Option<Instant>,
    /// When we began to look for another server, on this one's wish.
    pub(super) leaving_since: Option<Instant>,
    /// Another one is found; the number of the PING whose echo says that this one has everything.
    pub(super) farewell: Option<u32>,
}

impl Link {
    pub(super) const fn new(server: u64, alias: u64) -> Self {
        Self {
            server,
            alias,
            peer: None,
            phase: Phase::AwaitingOffer,
            lanes: [false; 2],
            speaks_ours: false,
            congested: false,
            packet_bytes_max: limits::PACKET_BYTES_MAX,
            pings: 0,
            pinged: None,
            rtt: None,
            renewal: Renewal::Idle,
            ready_at: None,
            leaving_since: None,
            farewell: None,
        }
    }

    pub(super) fn offered(&mut self, peer: PeerId) {
        self.peer = Some(peer);
        self.phase = Phase::Opening;
        self.lanes = [false; 2];
    }

    /// Whether the reliable lane takes publications now.
    pub(super) fn takes_publications(&self) -> bool {
        self.phase == Phase::Ready && !self.congested && self.farewell.is_none()
    }

    /// Since when the server holds us, and whether we are about to leave it.
    fn stand(&self) -> Option<(Instant, bool)> {
        Some((self.ready_at?, self.leaving_since.is_some()))
    }

    pub(super) fn is_open(&self, lane: Lane) -> bool {
        self.lanes.get(lane.index()).copied().unwrap_or(false)
    }
}

impl Session {
    pub(super) fn handle_lane_opened(&mut self, now: Instant, peer: PeerId, lane: Lane) {
        let Some(link) = self.link.as_mut().filter(|link| link.peer == Some(peer)) else {
            self.stats.dropped.stale += 1;
            return;
        };
        if let Some(open) = link.lanes.get_mut(lane.index()) {
            *open = true;
        }
        if lane != Lane::Reliable || link.phase != Phase::Opening {
            return;
        }
        self.authenticate(now);
    }

    pub(super) fn send_auth(&mut self, now: Instant, token: &Secret) {
        if let Some(link) = &mut self.link {
            link.phase = Phase::Authenticating;
        }
        self.timers
            .set(Timer::Ready, now + self.config.ready_timeout);
        self.send_credentials(token);
    }

    pub(super) fn send_credentials(&mut self, token: &Secret) {
        let auth = AuthMessage {
            r#type: MessageType::Auth.into(),
            role: Role::Client.into(),
            body: token.expose().clone(),
            capabilities: frame::capabilities(false),
            ..Default::default()
        };
        self.send_reliable(auth.encode_to_vec().into());
    }

    pub(super) fn handle_packet(&mut self, now: Instant, peer: PeerId, lane: Lane, bytes: &Bytes) {
        let phase = match &self.link {
            Some(link) if link.peer == Some(peer) => link.phase,
            _ => {
                self.stats.dropped.stale += 1;
                return;
            }
        };
        self.heard = now;
        let Some(raw_type) = peek::raw_type(bytes) else {
            self.stats.dropped.malformed += 1;
            return;
        };
        let understood = match MessageType::try_from(raw_type) {
            Ok(MessageType::TopicFw | MessageType::TopicIdentityFw) if phase == Phase::Ready => {
                self.handle_forward(lane, bytes)
            }
            Ok(MessageType::Ready) if lane == Lane::Reliable => {
                ReadyMessage::decode(&bytes[..]).is_ok_and(|ready| self.handle_ready(now, &ready))
            }
            Ok(MessageType::Ack) if phase == Phase::Ready => {
                AckMessage::decode(&bytes[..]).is_ok_and(|ack| self.handle_ack(ack.id))
            }
            Ok(MessageType::Error) => {
                ErrorMessage::decode(&bytes[..]).is_ok_and(|error| self.handle_error(now, error))
            }
            Ok(MessageType::Ping) if phase >= Phase::Authenticating => {
                PingMessage::decode(&bytes[..]).is_ok_and(|ping| self.handle_echo(now, ping.time))
            }
            Ok(MessageType::Migrate) if phase == Phase::Ready => MigrateMessage::decode(&bytes[..])
                .is_ok_and(|migrate| {
                    self.handle_migrate(now, migrate);
                    true
                }),
            Ok(MessageType::Refresh) if phase == Phase::Ready => RefreshMessage::decode(&bytes[..])
                .is_ok_and(|_refresh| {
                    self.handle_refresh(now);
                    true
                }),
            Ok(MessageType::PeerGone) if phase == Phase::Ready => {
                PeerGoneMessage::decode(&bytes[..]).is_ok_and(|gone| {
                    self.handle_peer_gone(now, gone.alias);
                    true
                })
            }
            _ => {
                self.stats.dropped.unexpected += 1;
                return;
            }
        };
        if !understood {
            self.stats.dropped.malformed += 1;
        }
    }

    pub(super) fn handle_peer_closed(&mut self, now: Instant, peer: PeerId, reason: Reason) {
        if !matches!(&self.link, Some(link) if link.peer == Some(peer)) {
            self.stats.dropped.stale += 1;
            return;
        }
        if let Some(link) = &mut self.link {
            // Nothing is left to be closed.
            link.peer = None;
        }
        self.lose_link(now, reason, Duration::ZERO);
    }

    pub(super) fn handle_congestion(&mut self, peer: PeerId, congested: bool) {
        match self.link.as_mut().filter(|link| link.peer == Some(peer)) {
            Some(link) => link.congested = congested,
            None => self.stats.dropped.stale += 1,
        }
        self.flush_queue();
    }

    /// A server has taken us in: with READY, or, being of 2019, with nothing but an echo.
    pub(super) fn enter_ready(&mut self, now: Instant, ready: Option<&ReadyMessage>) {
        let Some(link) = &mut self.link else {
            return;
        };
        link.phase = Phase::Ready;
        link.ready_at = Some(now);
        link.speaks_ours = ready.is_some();
        link.packet_bytes_max = ready.map_or(limits::PACKET_BYTES_MAX_2019, packet_bytes_max);
        if let Some(ready) = ready
            && ready.alias != 0
        {
            link.alias = ready.alias;
        }
        let connected = Event::Connected {
            alias: link.alias,
            server: link.server,
        };
        self.timers.stop(Timer::Connect);
        self.timers.stop(Timer::Ready);
        self.servers.clear();
        self.stats.connects += 1;
        self.emit(connected);
        self.ask_everything(now);
        self.flush_queue();
        self.ping(now);
    }

    /// Tells the server the whole wanted set, in the way that it understands.
    fn ask_everything(&mut self, now: Instant) {
        let Some(link) = &self.link else {
            return;
        };
        if link.speaks_ours {
            let deadline = now + self.config.request_timeout;
            let packet_bytes_max = link.packet_bytes_max;
            for frame in self
                .subscriptions
                .ask_everything(packet_bytes_max, deadline)
            {
                self.send_reliable(frame);
            }
        } else if self.subscriptions.topics().len() > 0 {
            self.send_list_2019();
        }
    }

    /// Sends the whole set to a server of 2019, which answers nothing: what is asked is done.
    pub(super) fn send_list_2019(&mut self) {
        match subscriptions::list_2019(self.subscriptions.topics()) {
            Some(frame) => self.send_reliable(frame),
            None => {
                self.stats.dropped.topic_list_too_large += 1;
                self.emit(Event::Error(ServerError::of(Reason::BadTopicList, "")));
            }
        }
        for request in self.subscriptions.finish_all() {
            self.emit(Event::Answered {
                request,
                result: Ok(()),
            });
        }
    }

    /// This attempt leads nowhere: the next server, with a fresh peer.
    pub(super) fn fail_attempt(&mut self, now: Instant, reason: Reason) {
        self.stats.attempts_failed += 1;
        self.note_failed_server();
        self.drop_link();
        self.try_next_server(now, reason);
    }

    /// The peer is gone, or as good as gone.
    fn lose_link(&mut self, now: Instant, reason: Reason, least: Duration) {
        if reason == Reason::Replaced {
            return self.yield_alias(now, least);
        }
        let Some((ready_at, leaving)) = self.link.as_ref().and_then(Link::stand) else {
            self.servers.note_wait(least);
            return self.fail_attempt(now, reason);
        };
        self.stats.disconnects += 1;
        self.note_failed_server();
        self.drop_link();
        self.emit(Event::Disconnected { reason });
        // A WELCOME on its way names servers that are alive now. Whoever has been asked to go need
        // not wait for the server to come back.
        if self.signalling.awaits_welcome() && (leaving || least.is_zero()) {
            return;
        }
        if leaving && self.servers.is_fresh() {
            return self.try_next_server(now, reason);
        }
        // The servers that the last WELCOME named are as old as it is: ask again.
        self.forgive(now, ready_at);
        self.retry(now, reason, least);
    }

    pub(super) fn drop_link(&mut self) {
        for timer in [
            Timer::Connect,
            Timer::Ready,
            Timer::Ping,
            Timer::Migrate,
            Timer::Farewell,
            Timer::Renew,
        ] {
            self.timers.stop(timer);
        }
        if let Some(Link {
            peer: Some(peer), ..
        }) = self.link.take()
        {
            self.outputs.push_back(Output::ClosePeer { peer });
        }
        self.drop_idle_question();
        self.lose_flushes();
        self.forget_asked();
    }

    pub(super) fn ping(&mut self, now: Instant) {
        let Some(interval) = self.config.ping_interval else {
            return;
        };
        let Some(link) = self.link.as_mut().filter(|link| link.phase == Phase::Ready) else {
            return;
        };
        self.timers.set(Timer::Ping, now + interval);
        // On a reliable lane the echo comes or the peer is lost: one at a time is enough.
        if link.pinged.is_none() {
            self.measure(now);
        }
    }

    /// READY has not come: the server is one of 2019, which never sends it, or it takes its time
    /// to decide. It echoes a PING either way, but then READY comes first. Nothing else is sent
    /// before: a server holds only so much while it decides.
    pub(super) fn ask_silent_server(&mut self, now: Instant) {
        self.measure(now);
    }

    fn measure(&mut self, now: Instant) {
        let sent = self.send_ping();
        if let Some(link) = &mut self.link {
            link.pinged = sent.map(|number| (number, now));
        }
    }

    /// Sends a PING of its own number.
    pub(super) fn send_ping(&mut self) -> Option<u32> {
        let link = self.link.as_mut()?;
        link.pings = link.pings.wrapping_add(1);
        let number = link.pings;
        let ping = PingMessage {
            r#type: MessageType::Ping.into(),
            time: f64::from(number),
        };
        self.send_reliable(ping.encode_to_vec().into());
        Some(number)
    }

    pub(super) fn send_reliable(&mut self, frame: Bytes) {
        if let Some(Link {
            peer: Some(peer), ..
        }) = self.link
        {
            self.outputs.push_back(Output::Send {
                peer,
                lane: Lane::Reliable,
                frame,
            });
        }
    }

    fn handle_ready(&mut self, now: Instant, ready: &ReadyMessage) -> bool {
        let Some(link) = &self.link else {
            return false;
        };
        if link.phase == Phase::Authenticating {
            self.enter_ready(now, Some(ready));
        } else if !self.handle_renewed() {
            self.stats.dropped.unexpected += 1;
        }
        true
    }

    fn handle_ack(&mut self, id: u32) -> bool {
        let answer = self.subscriptions.answer(id, Ok(()));
        self.tell(answer);
        true
    }

    fn handle_error(&mut self, now: Instant, error: ErrorMessage) -> bool {
        let reason = Reason::from_number(error.code);
        let least = retry_after(&error);
        if error.id != 0 {
            let answer = self
                .subscriptions
                .answer(error.id, Err(ServerError::from_wire(error)));
            self.tell(answer);
            self.withdraw(now);
            return true;
        }
        match reason {
            Some(reason) if reason.number() < ERRORS_THAT_CLOSE_NOTHING => {
                if reason.retryable() {
                    self.lose_link(now, reason, least);
                } else {
                    self.stop(reason);
                }
            }
            _ => {
                if reason == Some(Reason::SubscriptionEnded) {
                    self.subscriptions.end(&error.topic);
                }
                self.emit(Event::Error(ServerError::from_wire(error)));
            }
        }
        true
    }

    fn withdraw(&mut self, now: Instant) {
        let deadline = now + self.config.request_timeout;
        for frame in self
            .subscriptions
            .withdraw(self.packet_bytes_max(), deadline)
        {
            self.send_reliable(frame);
        }
    }

    fn handle_echo(&mut self, now: Instant, time: f64) -> bool {
        if self.is_farewell_echo(time) {
            let flushed = self.flushes.confirm_all();
            self.answer_flushes(flushed, &Ok(()));
            self.depart(now);
            return true;
        }
        let flushed = self.flushes.take_echoed(time);
        if !flushed.is_empty() {
            self.answer_flushes(flushed, &Ok(()));
            return true;
        }
        let Some(link) = &mut self.link else {
            return false;
        };
        let is_its = |number: u32| f64::from(number).to_bits() == time.to_bits();
        let Some((_, sent)) = link.pinged.take_if(|(number, _)| is_its(*number)) else {
            self.stats.dropped.unexpected += 1;
            return true;
        };
        link.rtt = Some(now.saturating_duration_since(sent));
        if link.phase == Phase::Authenticating {
            self.enter_ready(now, None);
        }
        true
    }

    fn handle_forward(&mut self, lane: Lane, bytes: &Bytes) -> bool {
        let Some(packet) = peek::ForwardPacket::decode(bytes) else {
            return false;
        };
        if matches!(&self.link, Some(link) if link.alias == packet.from_alias) {
            // Published on the server before this one, and come here by way of this one's link.
            self.stats.dropped.own_echo += 1;
            return true;
        }
        let topic = if packet.topic.is_empty() {
            None
        } else {
            let wanted = self.subscriptions.wanted(packet.topic);
            if wanted.is_none() {
                self.stats.dropped.unwanted += 1;
                return true;
            }
            wanted
        };
        self.stats.delivered += 1;
        let identity = packet.with_identity.then(|| Identity {
            bytes: bytes.slice_ref(packet.identity),
            role: packet.role,
        });
        self.emit(Event::Message(Message {
            from_alias: packet.from_alias,
            topic,
            seq: packet.seq,
            lane,
            body: bytes.slice_ref(packet.body),
            identity,
        }));
        true
    }
}

/// A server that says no limit has the usual one; none takes more than a channel carries.
fn packet_bytes_max(ready: &ReadyMessage) -> usize {
    match usize::try_from(ready.packet_limit) {
        Ok(limit @ 1..) => limit.min(limits::CHANNEL_MESSAGE_BYTES_MAX),
        _ => limits::PACKET_BYTES_MAX,
    }
}
