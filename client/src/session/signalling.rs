//! The coordinator's side of a session: its socket, WELCOME and SERVERS, and the signals that
//! make a peer.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proto::{
    ConnectMessage, ConnectionRefusedMessage, ConnectionRefusedReason, ErrorMessage, Message as _,
    MessageType, Reason, ReplacedMessage, Role, ServerState, ServersMessage, WebRtcMessage,
    WelcomeMessage, limits, peek, resume,
};

use super::{
    Event, Output, PeerId, Secret, Session, SignalKind, SocketId,
    event::retry_after,
    link::{Link, Phase},
    timers::Timer,
};

/// The signalling socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signalling {
    Down,
    /// About to dial: the owner is asked for a token.
    AwaitingToken,
    Dialing(SocketId),
    /// Open, and WELCOME has not come.
    Open(SocketId),
    Welcomed {
        socket: SocketId,
        alias: u64,
        since: Instant,
        /// The coordinator announced capabilities, so SERVERS can be hoped for.
        speaks_ours: bool,
    },
}

/// The servers that the coordinator named, and what we know about them.
#[derive(Debug, Default)]
pub(super) struct Servers {
    /// Not tried yet, best first.
    untried: VecDeque<u64>,
    /// The newest SERVERS of this signalling session.
    version: u64,
    /// Tried since the coordinator named them.
    tried: bool,
    /// The last one that failed: it is tried last.
    failed: Option<u64>,
    /// The shortest wait that one of them asked for.
    come_back_after: Option<Duration>,
    /// The refusal that the coordinator announced before it closes, and the wait that it asked for.
    refusal: Option<(Reason, Duration)>,
}

impl Servers {
    /// One of them took us in: what is left of the list is soon out of date.
    pub(super) fn clear(&mut self) {
        self.untried.clear();
        self.failed = None;
        self.come_back_after = None;
    }

    /// There are some that the coordinator has named just now.
    pub(super) fn is_fresh(&self) -> bool {
        !self.untried.is_empty()
    }

    /// Should none of them take us, this is how long one that is full asks us to wait.
    pub(super) fn note_wait(&mut self, least: Duration) {
        if !least.is_zero() {
            let shortest = self.come_back_after.map_or(least, |known| known.min(least));
            self.come_back_after = Some(shortest);
        }
    }

    pub(super) fn replace(&mut self, named: impl IntoIterator<Item = u64>) {
        self.untried.clear();
        self.tried = false;
        self.come_back_after = None;
        for server in named.into_iter().take(limits::AVAILABLE_SERVERS_MAX) {
            if !self.untried.contains(&server) {
                self.untried.push_back(server);
            }
        }
        let failed = |&server: &u64| Some(server) == self.failed;
        if let Some(failed) = self.untried.iter().position(failed) {
            let last = self.untried.remove(failed);
            self.untried.extend(last);
        }
    }
}

impl Signalling {
    fn socket(self) -> Option<SocketId> {
        match self {
            Self::Down | Self::AwaitingToken => None,
            Self::Dialing(socket) | Self::Open(socket) | Self::Welcomed { socket, .. } => {
                Some(socket)
            }
        }
    }

    /// WELCOME is to be expected, without anybody's doing.
    pub(super) fn awaits_welcome(self) -> bool {
        matches!(self, Self::AwaitingToken | Self::Dialing(_) | Self::Open(_))
    }

    /// We are welcomed under this alias, and for so long that news of a session's end is not about
    /// the session before.
    pub(super) fn is_old_session_of(self, wanted: u64, now: Instant) -> bool {
        matches!(self, Self::Welcomed { alias, since, .. }
            if alias == wanted && now.saturating_duration_since(since) >= NEWS_AGE_MAX)
    }
}

impl Session {
    pub(super) fn open_socket(&mut self, token: Secret) {
        self.stats.dials += 1;
        let socket = SocketId(self.stats.dials);
        self.signalling = Signalling::Dialing(socket);
        let resume = self.resume.clone();
        let token = Some(token).filter(|token| !token.expose().is_empty());
        self.outputs.push_back(Output::Dial {
            socket,
            token,
            resume,
        });
    }

    pub(super) fn hang_up(&mut self) {
        self.timers.stop(Timer::Welcome);
        self.servers.untried.clear();
        self.servers.come_back_after = None;
        self.servers.version = 0;
        self.servers.refusal = None;
        self.stay();
        let left = std::mem::replace(&mut self.signalling, Signalling::Down);
        if let Some(socket) = left.socket() {
            self.outputs.push_back(Output::HangUp { socket });
        }
        self.drop_idle_question();
    }

    /// Leaves the coordinator and comes back after a wait of at least `least`: a fresh WELCOME
    /// names servers that are alive now.
    pub(super) fn retry(&mut self, now: Instant, reason: Reason, least: Duration) {
        self.hang_up();
        // On top of what was asked for, for whoever asked for that asked many.
        let after = least + self.backoff.step(self.random.fraction());
        self.timers.set(Timer::Dial, now + after);
        if self.link.is_none() {
            self.emit(Event::Retrying { reason, after });
        }
    }

    /// Makes the signalling socket anew; a peer stays.
    pub(super) fn redial(&mut self, now: Instant) {
        if let Signalling::Welcomed { since, .. } = self.signalling {
            self.forgive(now, since);
        }
        self.stats.redials += 1;
        self.retry(now, Reason::TransportClosed, Duration::ZERO);
    }

    /// What is lost had worked since then: if that was long enough, the next try comes soon.
    pub(super) fn forgive(&mut self, now: Instant, since: Instant) {
        if now.saturating_duration_since(since) >= self.config.backoff.reset_after {
            self.backoff.reset();
        }
    }

    pub(super) fn handle_signalling_opened(&mut self, now: Instant, socket: SocketId) {
        if self.signalling == Signalling::Dialing(socket) {
            self.signalling = Signalling::Open(socket);
            self.timers
                .set(Timer::Welcome, now + self.config.welcome_timeout);
        } else {
            self.stats.dropped.stale += 1;
        }
    }

    pub(super) fn handle_signalling_closed(
        &mut self,
        now: Instant,
        socket: SocketId,
        reason: Option<Reason>,
    ) {
        if self.signalling.socket() != Some(socket) {
            self.stats.dropped.stale += 1;
            return;
        }
        let announced = self.servers.refusal.take();
        let least = announced.map_or(Duration::ZERO, |(_, least)| least);
        let reason = reason.or(announced.map(|(reason, _)| reason));
        let reason = reason.unwrap_or(Reason::TransportClosed);
        if !reason.retryable() {
            return self.stop(reason);
        }
        if let Signalling::Welcomed { since, .. } = self.signalling {
            self.forgive(now, since);
        }
        self.signalling = Signalling::Down;
        if reason == Reason::Replaced {
            return self.yield_alias(now, least);
        }
        // A peer that has its offer may still come up by itself; one without it cannot.
        if matches!(&self.link, Some(link) if link.phase == Phase::AwaitingOffer) {
            self.stats.attempts_failed += 1;
            self.drop_link();
        }
        self.retry(now, reason, least);
    }

    pub(super) fn handle_signal(&mut self, now: Instant, socket: SocketId, bytes: Bytes) {
        if self.signalling.socket() != Some(socket) {
            self.stats.dropped.stale += 1;
            return;
        }
        let Some(raw_type) = peek::raw_type(&bytes) else {
            self.stats.dropped.malformed += 1;
            return;
        };
        let decoded = match MessageType::try_from(raw_type) {
            Ok(MessageType::Welcome) => {
                WelcomeMessage::decode(bytes).map(|welcome| self.handle_welcome(now, &welcome))
            }
            Ok(MessageType::Servers) => {
                ServersMessage::decode(bytes).map(|servers| self.handle_servers(now, &servers))
            }
            Ok(MessageType::WebrtcOffer) => {
                WebRtcMessage::decode(bytes).map(|offer| self.handle_offer(now, offer))
            }
            Ok(MessageType::WebrtcIceCandidate) => {
                WebRtcMessage::decode(bytes).map(|candidate| self.handle_candidate(candidate))
            }
            Ok(MessageType::ConnectionRefused) => ConnectionRefusedMessage::decode(bytes)
                .map(|refused| self.handle_refused(now, &refused)),
            Ok(MessageType::Error) => {
                ErrorMessage::decode(bytes).map(|error| self.handle_signal_error(now, error))
            }
            Ok(MessageType::Replaced) => ReplacedMessage::decode(bytes)
                .map(|ReplacedMessage { .. }| self.yield_alias(now, Duration::ZERO)),
            _ => {
                self.stats.dropped.unexpected += 1;
                return;
            }
        };
        if decoded.is_err() {
            self.stats.dropped.malformed += 1;
        }
    }

    pub(super) fn handle_local_signal(&mut self, peer: PeerId, kind: SignalKind, data: Bytes) {
        let server = match &self.link {
            Some(link) if link.peer == Some(peer) => link.server,
            _ => {
                self.stats.dropped.stale += 1;
                return;
            }
        };
        let kind = match kind {
            SignalKind::Answer => MessageType::WebrtcAnswer,
            SignalKind::Candidate => MessageType::WebrtcIceCandidate,
            // The server makes the offer.
            SignalKind::Offer => {
                self.stats.dropped.unexpected += 1;
                return;
            }
        };
        let message = WebRtcMessage {
            r#type: kind.into(),
            to_alias: server,
            data,
            ..Default::default()
        };
        self.send_signal(message.encode_to_vec().into());
    }

    /// Asks the next server for an offer; when none is left, goes back for other servers.
    pub(super) fn try_next_server(&mut self, now: Instant, reason: Reason) {
        let Signalling::Welcomed {
            alias, speaks_ours, ..
        } = self.signalling
        else {
            // The way back to the coordinator is already under way.
            return;
        };
        let Some(server) = self.servers.untried.pop_front() else {
            // Nobody there at all: the coordinator says when somebody comes.
            if self.servers.tried || !speaks_ours {
                let least = self.servers.come_back_after.unwrap_or_default();
                self.retry(now, reason, least);
            }
            return;
        };
        self.servers.tried = true;
        self.stats.attempts += 1;
        self.link = Some(Link::new(server, alias));
        self.timers
            .set(Timer::Connect, now + self.config.offer_timeout);
        let connect = ConnectMessage {
            r#type: MessageType::Connect.into(),
            to_alias: server,
            ..Default::default()
        };
        self.send_signal(connect.encode_to_vec().into());
    }

    /// The server of the link that just failed is not the first choice of the next try.
    pub(super) fn note_failed_server(&mut self) {
        if let Some(link) = &self.link {
            self.servers.failed = Some(link.server);
        }
    }

    fn handle_welcome(&mut self, now: Instant, welcome: &WelcomeMessage) {
        let Signalling::Open(socket) = self.signalling else {
            self.stats.dropped.unexpected += 1;
            return;
        };
        self.timers.stop(Timer::Welcome);
        self.stats.welcomes += 1;
        let token = Bytes::copy_from_slice(welcome.resume_token.as_bytes());
        self.resume = self.check_resume_token(Secret::new(token));
        self.signalling = Signalling::Welcomed {
            socket,
            alias: welcome.alias,
            since: now,
            speaks_ours: !welcome.capabilities.is_empty(),
        };
        match &self.link {
            Some(link) if link.phase >= Phase::Authenticating => {
                return self.consider_moving(now, welcome.available_servers.iter().copied());
            }
            // What the server says to our former alias does not reach us.
            Some(_) => {
                self.stats.attempts_failed += 1;
                self.drop_link();
            }
            None => {}
        }
        self.servers
            .replace(welcome.available_servers.iter().copied());
        self.try_next_server(now, Reason::PeerUnavailable);
    }

    /// What may be shown of what we were given: a token, if it is one.
    pub(super) fn check_resume_token(&mut self, token: Secret) -> Option<Secret> {
        let text = std::str::from_utf8(token.expose()).ok();
        if text.is_some_and(resume::is_token) {
            return Some(token);
        }
        if !token.expose().is_empty() {
            self.stats.dropped.malformed += 1;
        }
        None
    }

    fn handle_servers(&mut self, now: Instant, servers: &ServersMessage) {
        if servers.version != 0 && servers.version < self.servers.version {
            self.stats.dropped.stale += 1;
            return;
        }
        self.servers.version = servers.version;
        let offered = servers.entries.iter().filter(|entry| {
            entry.role == i32::from(Role::CommunicationServer)
                && entry.state == i32::from(ServerState::Live)
        });
        let offered = offered.map(|entry| entry.alias);
        if self.link.is_some() {
            return self.consider_moving(now, offered);
        }
        self.servers.replace(offered);
        self.try_next_server(now, Reason::PeerUnavailable);
    }

    fn handle_offer(&mut self, now: Instant, offer: WebRtcMessage) {
        let peer = match &self.link {
            Some(link) if link.server == offer.from_alias && link.phase <= Phase::Opening => {
                if link.phase == Phase::AwaitingOffer {
                    self.timers
                        .set(Timer::Connect, now + self.config.connect_timeout);
                }
                link.peer
            }
            _ => {
                self.stats.dropped.unexpected += 1;
                return;
            }
        };
        // A server makes one offer per CONNECT and forgets the one before: the newest counts.
        if let Some(peer) = peer {
            self.outputs.push_back(Output::ClosePeer { peer });
        }
        self.stats.peers_opened += 1;
        let peer = PeerId(self.stats.peers_opened);
        if let Some(link) = &mut self.link {
            link.offered(peer);
        }
        self.outputs.push_back(Output::OpenPeer { peer });
        let kind = SignalKind::Offer;
        self.outputs.push_back(Output::RemoteSignal {
            peer,
            kind,
            data: offer.data,
        });
    }

    fn handle_candidate(&mut self, candidate: WebRtcMessage) {
        match &self.link {
            Some(Link {
                server,
                peer: Some(peer),
                ..
            }) if *server == candidate.from_alias => {
                let (peer, kind) = (*peer, SignalKind::Candidate);
                self.outputs.push_back(Output::RemoteSignal {
                    peer,
                    kind,
                    data: candidate.data,
                });
            }
            _ => self.stats.dropped.unexpected += 1,
        }
    }

    fn handle_refused(&mut self, now: Instant, refused: &ConnectionRefusedMessage) {
        match &self.link {
            Some(link) if link.server == refused.from_alias && link.phase <= Phase::Opening => {}
            _ => {
                self.stats.dropped.unexpected += 1;
                return;
            }
        }
        let named = Reason::from_number(refused.code);
        let reason = named.unwrap_or(match ConnectionRefusedReason::try_from(refused.reason) {
            Ok(ConnectionRefusedReason::ServerFull) => Reason::ServerFull,
            Ok(ConnectionRefusedReason::AuthFailed) => Reason::Unauthenticated,
            _ => Reason::PeerUnavailable,
        });
        if reason.retryable() {
            self.fail_attempt(now, reason);
        } else {
            self.stop(reason);
        }
    }

    fn handle_signal_error(&mut self, now: Instant, error: ErrorMessage) {
        let reason = Reason::from_number(error.code);
        match reason {
            // Our signals go nowhere. Once the server has answered, the deadline decides: the
            // peer may come up without another signal.
            Some(Reason::PeerUnavailable) => match &self.link {
                Some(link) if link.phase == Phase::AwaitingOffer && link.server == error.alias => {
                    self.fail_attempt(now, Reason::PeerUnavailable);
                }
                _ => {}
            },
            // A refusal: the close follows.
            Some(reason) if reason.number() < ERRORS_THAT_CLOSE_NOTHING => {
                self.servers.refusal = Some((reason, retry_after(&error)));
            }
            _ => self.emit(Event::Error(super::event::ServerError::from_wire(error))),
        }
    }

    fn send_signal(&mut self, bytes: Bytes) {
        if let Signalling::Welcomed { socket, .. } = self.signalling {
            self.outputs.push_back(Output::Signal { socket, bytes });
        } else {
            self.stats.dropped.stale += 1;
        }
    }
}

/// How long the news that a session has ended may take from the coordinator by way of the server.
const NEWS_AGE_MAX: Duration = Duration::from_secs(5);

/// Reasons below this number close a session or a peer.
pub(super) const ERRORS_THAT_CLOSE_NOTHING: u16 = 100;
