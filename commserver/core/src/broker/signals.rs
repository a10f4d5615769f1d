//! Signals: what the coordinator says and passes on, and what our peers' engines want passed on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::{
    ConnectMessage, ConnectionRefusedMessage, ConnectionRefusedReason, ErrorMessage, Message,
    MessageType, PeerGoneMessage, Reason, RenamedMessage, ReplacedMessage, RevokedMessage, Role,
    ServerState, ServersMessage, WebRtcMessage, WelcomeMessage, peek, revocation::Target,
};

use super::{Broker, drain::Going};
use crate::{
    Drop, GoneHint, Output, Pair, PeerId, SignalKind,
    load::Facts,
    mesh::Listed,
    peer::{State, is_server},
};

impl Broker {
    pub(super) fn handle_signal(&mut self, now: Instant, bytes: &Bytes) {
        let handled =
            match peek::message_type(bytes) {
                Some(MessageType::Welcome) => WelcomeMessage::decode(&bytes[..])
                    .map(|message| self.handle_welcome(now, &message)),
                Some(MessageType::Servers) => ServersMessage::decode(&bytes[..])
                    .map(|message| self.handle_servers(now, &message)),
                Some(MessageType::Replaced) => {
                    ReplacedMessage::decode(&bytes[..]).map(|_message| self.handle_replaced())
                }
                Some(MessageType::PeerGone) => PeerGoneMessage::decode(&bytes[..])
                    .map(|message| self.handle_gone(now, &message)),
                Some(MessageType::Revoked) => RevokedMessage::decode(&bytes[..])
                    .map(|message| self.handle_revoked(now, &message)),
                Some(MessageType::Connect) => ConnectMessage::decode(&bytes[..])
                    .map(|message| self.handle_connect(now, &message)),
                Some(MessageType::WebrtcOffer) => WebRtcMessage::decode(&bytes[..])
                    .map(|message| self.handle_remote_signal(SignalKind::Offer, message)),
                Some(MessageType::WebrtcAnswer) => WebRtcMessage::decode(&bytes[..])
                    .map(|message| self.handle_remote_signal(SignalKind::Answer, message)),
                Some(MessageType::WebrtcIceCandidate) => WebRtcMessage::decode(&bytes[..])
                    .map(|message| self.handle_remote_signal(SignalKind::Candidate, message)),
                Some(MessageType::ConnectionRefused) => {
                    ConnectionRefusedMessage::decode(&bytes[..])
                        .map(|message| self.handle_refused(now, &message))
                }
                Some(MessageType::Error) => {
                    ErrorMessage::decode(&bytes[..]).map(|message| self.handle_told(now, &message))
                }
                _ => {
                    self.drop_one(Drop::UnknownType);
                    return;
                }
            };
        if handled.is_err() {
            self.drop_one(Drop::Malformed);
        }
    }

    fn handle_welcome(&mut self, now: Instant, welcome: &WelcomeMessage) {
        if self.going == Going::Down {
            return;
        }
        self.stats.welcomes += 1;
        if !self.uplink.welcome(welcome) {
            self.drop_one(Drop::Malformed);
        }
        let renamed = self.mesh.own().is_some_and(|own| own != welcome.alias);
        self.mesh.welcome(welcome.alias);
        self.abandon_dials(now);
        if renamed {
            self.stats.renames += 1;
            self.tell_new_alias(welcome.alias);
        }
        let listed = welcome.available_servers.iter().map(|&alias| Listed {
            alias,
            hub: false,
            takes_clients: true,
        });
        self.list_servers(now, &listed.collect::<Vec<_>>());
        // A 2019 coordinator announces nothing, and could make nothing of a report.
        self.load.welcome(now, !welcome.capabilities.is_empty());
    }

    /// How new clients are to think of us.
    pub(super) fn state(&self) -> ServerState {
        if self.going != Going::No {
            ServerState::Draining
        } else if self.peers.clients() >= self.config.limits.peers_max {
            ServerState::Full
        } else {
            ServerState::Live
        }
    }

    pub(super) fn report_load(&mut self, now: Instant, cpu: Option<Duration>) {
        let facts = Facts {
            state: self.state(),
            peers: self.peers.clients(),
            peers_max: self.config.limits.peers_max,
            packets: self.stats.packets(),
            cpu,
        };
        if let Some(report) = self.load.report(now, facts) {
            self.stats.load_reports += 1;
            self.signal(&report);
        }
    }

    /// Another server has shown our token since, so the alias is not ours any more: we come back
    /// under another one, and tell our links then.
    fn handle_replaced(&mut self) {
        self.stats.replaced += 1;
        self.uplink.forget_token();
    }

    /// The session of a client has ended, which says nothing yet about its peer. Passing the word on
    /// provokes an acknowledgement, so a peer that is there is heard in time; and it learns that it
    /// has no session.
    fn handle_gone(&mut self, now: Instant, gone: &PeerGoneMessage) {
        let current = self.peers.slots(gone.alias).current;
        let client = current.and_then(|id| Some((id, self.peers.ready_mut(id)?)));
        let within = self.config.timings.gone_timeout;
        let hint = match client.filter(|(_, ready)| !ready.is_link()) {
            None => GoneHint::NoPeer,
            Some((_, ready)) if !ready.hello.ours => GoneHint::Speaks2019,
            Some((peer, ready)) => {
                ready.doubted_until = now.checked_add(within);
                self.outputs
                    .push_back(Output::ExpectTraffic { peer, within });
                self.send(peer, gone.encode_to_vec().into());
                GoneHint::Probed
            }
        };
        *self.stats.gone_hints.entry(hint).or_default() += 1;
    }

    fn handle_servers(&mut self, now: Instant, servers: &ServersMessage) {
        if !self.mesh.accepts(servers.version) {
            return;
        }
        let entries = servers.entries.iter();
        let listed: Vec<Listed> = entries
            .filter(|entry| is_server(entry.role()))
            .map(|entry| Listed {
                alias: entry.alias,
                hub: entry.role() == Role::CommunicationServerHub,
                takes_clients: !matches!(entry.state(), ServerState::Full | ServerState::Draining),
            })
            .collect();
        self.list_servers(now, &listed);
        self.leave_other_ways(now);
    }

    /// A server that is new here may be an old acquaintance, renamed: when some link leads to an
    /// alias that is not listed any more, it gets the time to say so before it is dialed.
    fn list_servers(&mut self, now: Instant, listed: &[Listed]) {
        let unlisted = |alias: u64| listed.iter().all(|server| server.alias != alias);
        let mut links = self.peers.links();
        let stranded = links.any(|(peer, ready)| ready.hello.ours && unlisted(peer.alias));
        let pause = if stranded {
            RENAME_PAUSE
        } else {
            Duration::ZERO
        };
        let peers = &self.peers;
        let standing = |alias| peers.standing(alias);
        self.mesh.list(now, listed, pause, standing);
    }

    /// Attempts of the session before: what it still carried may be lost, and under another alias
    /// nobody passes their signals on any more. Each is made again soon.
    fn abandon_dials(&mut self, now: Instant) {
        let ids: Vec<PeerId> = self.peers.ids().collect();
        for id in ids {
            let peer = self.peers.get(id);
            if peer.is_some_and(|peer| peer.dialed && matches!(peer.state, State::Signalling)) {
                self.close(now, id, Reason::Replaced);
            }
        }
    }

    fn tell_new_alias(&mut self, alias: u64) {
        let links = self.peers.links().filter(|(_, ready)| ready.hello.ours);
        let recipients = links.map(|(peer, _)| peer.id).collect();
        self.deliver(recipients, proto::Lane::Reliable, renamed_frame(alias));
    }

    /// Somebody wants an offer from us.
    fn handle_connect(&mut self, now: Instant, connect: &ConnectMessage) {
        let (alias, stamp) = (connect.from_alias, connect.from_role());
        let Some(own) = self.mesh.own().filter(|&own| alias != own && alias != 0) else {
            return self.drop_one(Drop::StraySignal);
        };
        if let Err(reason) = self.admit(now, alias, stamp) {
            return self.refuse(alias, reason);
        }
        if let Some(pending) = self.peers.slots(alias).pending {
            let ours = self.peers.get(pending).is_some_and(|peer| peer.dialed);
            if ours && own > alias {
                // Both dialed: the higher one's dial wins, and the other side knows it too.
                return self.drop_one(Drop::StraySignal);
            }
            self.close(now, pending, Reason::Replaced);
        }
        if !is_server(stamp) && !self.make_room_for_handshake(now) {
            return self.refuse(alias, Reason::ServerFull);
        }
        let acceptor = if connect.to_alias == 0 {
            own
        } else {
            connect.to_alias
        };
        let pair = Pair {
            dialer: alias,
            acceptor,
        };
        self.open_peer(now, pair, false, stamp);
    }

    /// Whether another client may begin, if need be in the place of the one that has taken longest.
    /// A rush of honest clients is not to lose those that are nearly there, so whoever has not taken
    /// long keeps its place.
    fn make_room_for_handshake(&mut self, now: Instant) -> bool {
        if self.peers.handshakes() < self.config.limits.handshakes_max {
            return true;
        }
        let timeout = self.config.timings.handshake_timeout;
        let first = self.peers.first_handshake();
        let stale = first.filter(|peer| {
            let left = peer.deadline.map(|at| at.saturating_duration_since(now));
            left.is_some_and(|left| left <= timeout.saturating_sub(HANDSHAKE_USUAL))
        });
        let Some(stale) = stale.map(|peer| peer.id) else {
            return false;
        };
        self.stats.handshakes_evicted += 1;
        self.close(now, stale, Reason::HandshakeTimeout);
        true
    }

    /// Whether there is room for another peer under this alias.
    fn admit(&self, now: Instant, alias: u64, stamp: Role) -> Result<(), Reason> {
        let limits = &self.config.limits;
        let full = if is_server(stamp) {
            self.peers.servers() >= limits.links_max
        } else {
            self.peers.clients() >= limits.peers_max
        };
        // A peer that comes again takes its own place.
        let known = self.peers.has_place(alias, is_server(stamp));
        // While it drains, links come and go as always: what is still here is still served.
        let closing = match self.going {
            Going::No => false,
            Going::Draining { .. } => !is_server(stamp),
            Going::Drained | Going::Down => true,
        };
        if closing {
            Err(Reason::ShuttingDown)
        } else if stamp == Role::CommunicationServerHub && self.has_other_hub(alias) {
            Err(Reason::HubTaken)
        } else if !is_server(stamp) && self.revoked.covers(now, [Target::Alias(alias)]) {
            Err(Reason::Revoked)
        } else if full && !known {
            Err(Reason::ServerFull)
        } else {
            Ok(())
        }
    }

    pub(super) fn refuse(&mut self, alias: u64, reason: Reason) {
        *self.stats.refusals.entry(reason).or_default() += 1;
        let message = ConnectionRefusedMessage {
            r#type: MessageType::ConnectionRefused.into(),
            from_alias: self.mesh.own().unwrap_or_default(),
            to_alias: alias,
            reason: match reason {
                Reason::ServerFull => ConnectionRefusedReason::ServerFull.into(),
                _ => ConnectionRefusedReason::UnknownReason.into(),
            },
            data: Bytes::new(),
            code: reason.number().into(),
        };
        self.signal(&message);
    }

    pub(super) fn open_peer(&mut self, now: Instant, pair: Pair, dial: bool, stamp: Role) {
        let Some(peer) = self.peers.insert(pair, dial, stamp) else {
            return;
        };
        let timeout = self.config.timings.handshake_timeout;
        self.peers.expect_within(peer, now, timeout);
        let alias = if dial { pair.acceptor } else { pair.dialer };
        self.outputs
            .push_back(Output::OpenPeer { peer, alias, dial });
        self.note_standing(now, alias);
    }

    pub(super) fn dial_due(&mut self, now: Instant) {
        while let Some(acceptor) = self.mesh.poll_dial(now) {
            let Some(dialer) = self.mesh.own() else {
                return;
            };
            self.stats.dials += 1;
            self.open_peer(
                now,
                Pair { dialer, acceptor },
                true,
                Role::CommunicationServer,
            );
            self.signal(&ConnectMessage {
                r#type: MessageType::Connect.into(),
                from_alias: dialer,
                to_alias: acceptor,
                from_role: 0,
            });
        }
    }

    /// Passes on what an engine wants its remote side to have.
    pub(super) fn pass_signal_on(&mut self, id: PeerId, kind: SignalKind, data: Bytes) {
        let Some(peer) = self.peers.get(id) else {
            return self.drop_one(Drop::StalePeer);
        };
        let (from_alias, to_alias) = if peer.dialed {
            (peer.pair.dialer, peer.pair.acceptor)
        } else {
            (peer.pair.acceptor, peer.pair.dialer)
        };
        let kind = match kind {
            SignalKind::Offer => MessageType::WebrtcOffer,
            SignalKind::Answer => MessageType::WebrtcAnswer,
            SignalKind::Candidate => MessageType::WebrtcIceCandidate,
        };
        self.signal(&WebRtcMessage {
            r#type: kind.into(),
            from_alias,
            to_alias,
            data,
            from_role: 0,
        });
    }

    /// Hands an engine what its remote side wants it to have: the peer being set up in the
    /// direction that fits, or for a late candidate the one that is there.
    fn handle_remote_signal(&mut self, kind: SignalKind, message: WebRtcMessage) {
        let slots = self.peers.slots(message.from_alias);
        let mut ids = [slots.pending, slots.current].into_iter().flatten();
        let peer = ids.find_map(|id| self.peers.get(id)).filter(|peer| {
            let signalling = matches!(peer.state, State::Signalling);
            match kind {
                SignalKind::Offer => peer.dialed && signalling,
                SignalKind::Answer => !peer.dialed && signalling,
                SignalKind::Candidate => true,
            }
        });
        let Some(peer) = peer.map(|peer| peer.id) else {
            return self.drop_one(Drop::StraySignal);
        };
        let data = message.data;
        self.outputs
            .push_back(Output::RemoteSignal { peer, kind, data });
    }

    /// The server that we dialed does not want us, for now.
    fn handle_refused(&mut self, now: Instant, message: &ConnectionRefusedMessage) {
        let pending = self.peers.slots(message.from_alias).pending;
        let dialed = pending.filter(|&id| self.peers.get(id).is_some_and(|peer| peer.dialed));
        let Some(id) = dialed else {
            return self.drop_one(Drop::StraySignal);
        };
        let reason = Reason::from_number(message.code).unwrap_or(Reason::ServerFull);
        self.close(now, id, reason);
    }

    /// The coordinator says that something went wrong: that a server which we dial is not there is
    /// something to act on.
    fn handle_told(&mut self, now: Instant, error: &ErrorMessage) {
        self.drop_one(Drop::ErrorReceived);
        let pending = self.peers.slots(error.alias).pending;
        if let Some(id) = pending
            && error.code == u32::from(Reason::PeerUnavailable.number())
            && self.peers.get(id).is_some_and(|peer| peer.dialed)
        {
            self.close(now, id, Reason::PeerUnavailable);
        }
    }

    fn signal(&mut self, message: &impl Message) {
        if self.uplink.is_open() {
            let bytes = message.encode_to_vec().into();
            self.outputs.push_back(Output::Signal(bytes));
        } else {
            self.drop_one(Drop::UplinkDown);
        }
    }
}

/// RENAMED, with our alias of now.
pub(super) fn renamed_frame(alias: u64) -> Bytes {
    let message = RenamedMessage {
        r#type: MessageType::Renamed.into(),
        alias,
    };
    message.encode_to_vec().into()
}

/// A link's RENAMED and the coordinator's list race each other over paths of a few hundred
/// milliseconds at most; nobody misses this link meanwhile.
const RENAME_PAUSE: Duration = Duration::from_secs(1);

/// A client that has not opened its lane by then is slow, or does not mean to.
const HANDSHAKE_USUAL: Duration = Duration::from_secs(3);
