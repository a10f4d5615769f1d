//! Letting peers in: AUTH on an acceptor, proof and READY on a dialer, and what is held meanwhile.

use std::time::Instant;

use bytes::Bytes;
use proto::{AuthMessage, Lane, Message, MessageType, ReadyMessage, Reason, Role, frame, peek};

use super::Broker;
use crate::{
    Drop, Identity, Output, PeerId,
    grants::Access,
    hold::Hold,
    peer::{Hello, Peer, Ready, Stage, State, is_server},
};

impl Broker {
    /// The reliable lane is open: an acceptor waits for AUTH, a dialer prepares its own.
    pub(super) fn handle_opened(&mut self, now: Instant, id: PeerId) {
        let timeout = self.config.timings.auth_timeout;
        let Some(peer) = self.peers.get_mut(id) else {
            return self.drop_one(Drop::StalePeer);
        };
        if !matches!(peer.state, State::Signalling) {
            return;
        }
        let stage = if peer.dialed {
            let pair = peer.pair;
            self.outputs.push_back(Output::Prove { peer: id, pair });
            Stage::Proof
        } else {
            Stage::Auth
        };
        peer.state = State::Authenticating(stage, Hold::default());
        self.peers.end_handshake(id);
        self.peers.expect_within(id, now, timeout);
    }

    /// A packet from a peer that is not let in yet.
    pub(super) fn handle_early(&mut self, now: Instant, id: PeerId, lane: Lane, bytes: Bytes) {
        let limits = &self.config.limits;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let State::Authenticating(stage, hold) = &mut peer.state else {
            // No lane of it is open, as far as we were told.
            return self.drop_one(Drop::NotAuthenticated);
        };
        if lane == Lane::Unreliable {
            return self.drop_one(Drop::NotAuthenticated);
        }
        match stage {
            Stage::Auth => self.handle_auth(now, id, &bytes),
            Stage::Ready if peek::message_type(&bytes) == Some(MessageType::Ready) => {
                self.handle_ready(now, id, &bytes);
            }
            Stage::Ready if peek::message_type(&bytes) == Some(MessageType::Error) => {
                self.drop_one(Drop::ErrorReceived);
            }
            _ => {
                if hold.push(bytes, limits).is_err() {
                    self.close(now, id, Reason::HeldOverflow);
                }
            }
        }
    }

    // --- acceptor ---

    fn handle_auth(&mut self, now: Instant, id: PeerId, bytes: &Bytes) {
        let is_auth = peek::message_type(bytes) == Some(MessageType::Auth);
        let auth = is_auth.then(|| AuthMessage::decode(bytes.clone()).ok());
        let Some(auth) = auth.flatten() else {
            return self.close(now, id, Reason::AuthExpected);
        };
        let (role, body) = (auth.role(), auth.body);
        let hello = Hello::new(&auth.capabilities, auth.instance);
        if let Err(reason) = self.check_claim(id, role, hello) {
            return self.close(now, id, reason);
        }
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.state = State::Authenticating(Stage::Verdict(role, hello), Hold::default());
        self.outputs.push_back(Output::Authenticate {
            peer: id,
            role,
            body,
            pair: peer.pair,
        });
    }

    /// Whether a peer may ask for this role at all. A server is who the coordinator says is one.
    fn check_claim(&self, id: PeerId, role: Role, hello: Hello) -> Result<(), Reason> {
        let stamp = self
            .peers
            .get(id)
            .map_or(Role::UnknownRole, |peer| peer.stamp);
        let unstamped = stamp == Role::UnknownRole;
        let stands = match role {
            Role::UnknownRole => return Err(Reason::AuthExpected),
            Role::Client => unstamped || stamp == Role::Client,
            _ => is_server(stamp) || (unstamped && self.config.trust_unstamped_servers),
        };
        let understood = !is_server(role) || hello.ours || self.config.allow_2019_servers;
        if !stands || !understood || self.is_ourselves(hello) {
            return Err(Reason::Forbidden);
        }
        let alias = self.peers.get(id).map_or(0, |peer| peer.alias);
        if role == Role::CommunicationServerHub && self.has_other_hub(alias) {
            return Err(Reason::HubTaken);
        }
        // Links that came unstamped have had a client's place so far.
        if is_server(role) && unstamped && self.peers.servers() >= self.config.limits.links_max {
            return Err(Reason::ServerFull);
        }
        Ok(())
    }

    fn is_ourselves(&self, hello: Hello) -> bool {
        hello.instance != 0 && hello.instance == self.config.instance
    }

    pub(super) fn handle_verdict(
        &mut self,
        now: Instant,
        id: PeerId,
        result: Result<Identity, Reason>,
        proof: Bytes,
    ) {
        let (role, hello) = match self.peers.get(id).map(|peer| &peer.state) {
            Some(State::Authenticating(Stage::Verdict(role, hello), _)) => (*role, *hello),
            Some(State::Ready(ready)) if ready.renewal.judged => {
                return self.handle_renewed(now, id, result);
            }
            _ => return self.drop_one(Drop::StalePeer),
        };
        match result {
            Ok(found) if self.is_revoked(now, id, Some(&found)) => {
                self.close(now, id, Reason::Revoked);
            }
            // It would travel with every packet; an authenticator that says so much is broken.
            Ok(found) if found.identity.len() > IDENTITY_BYTES_MAX => {
                self.close(now, id, Reason::AuthUnavailable);
            }
            Ok(found) => {
                let access = Access::new(&found, &self.hashing);
                let ready = Ready::new(now, role, found.identity, access, hello);
                self.let_in(now, id, ready, Some(proof));
            }
            Err(reason) => self.close(now, id, reason),
        }
    }

    pub(super) fn ready_frame(
        &self,
        now: Instant,
        id: PeerId,
        ready: &Ready,
        proof: Bytes,
    ) -> Bytes {
        let alias = self.peers.get(id).map_or(0, |peer| peer.alias);
        let uptime = now.saturating_duration_since(self.started).as_millis();
        let uptime_ms = u64::try_from(uptime).unwrap_or(u64::MAX);
        let (proof, instance) = if ready.is_link() {
            (proof, self.config.instance)
        } else {
            (Bytes::new(), 0)
        };
        let packet_limit = self.config.limits.packet_bytes_max;
        let message = ReadyMessage {
            r#type: MessageType::Ready.into(),
            alias,
            capabilities: frame::capabilities(true),
            packet_limit: u32::try_from(packet_limit).unwrap_or(u32::MAX),
            server_time_ms: self.config.unix_time_ms.saturating_add(uptime_ms),
            proof,
            instance,
        };
        message.encode_to_vec().into()
    }

    // --- dialer ---

    pub(super) fn handle_proof(&mut self, now: Instant, id: PeerId, body: Bytes) {
        let instance = self.config.instance;
        let Some(Peer {
            state: State::Authenticating(stage @ Stage::Proof, _),
            ..
        }) = self.peers.get_mut(id)
        else {
            return self.drop_one(Drop::StalePeer);
        };
        *stage = Stage::Ready;
        let auth = AuthMessage {
            r#type: MessageType::Auth.into(),
            role: self.config.role().into(),
            body,
            capabilities: frame::capabilities(true),
            instance,
        };
        self.send(id, auth.encode_to_vec().into());
        let timeout = self.config.timings.ready_timeout;
        self.peers.expect_within(id, now, timeout);
    }

    fn handle_ready(&mut self, now: Instant, id: PeerId, bytes: &Bytes) {
        let Ok(ready) = ReadyMessage::decode(bytes.clone()) else {
            return self.close(now, id, Reason::ProtocolViolation);
        };
        let hello = Hello {
            ours: true,
            ..Hello::new(&ready.capabilities, ready.instance)
        };
        if self.is_ourselves(hello) {
            return self.close(now, id, Reason::Forbidden);
        }
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if let State::Authenticating(stage, _) = &mut peer.state {
            *stage = Stage::ProofVerdict(hello);
        }
        self.outputs.push_back(Output::VerifyProof {
            peer: id,
            proof: ready.proof,
            pair: peer.pair,
        });
        let timeout = self.config.timings.auth_timeout;
        self.peers.expect_within(id, now, timeout);
    }

    pub(super) fn handle_proof_verdict(&mut self, now: Instant, id: PeerId, valid: bool) {
        let Some(Peer {
            state: State::Authenticating(Stage::ProofVerdict(hello), _),
            ..
        }) = self.peers.get(id)
        else {
            return self.drop_one(Drop::StalePeer);
        };
        let hello = *hello;
        if valid {
            self.let_server_in(now, id, hello);
        } else {
            self.close(now, id, Reason::ProofFailed);
        }
    }

    /// The server that we dialed sent no READY: a 2019 one, which cannot prove itself.
    pub(super) fn handle_silent_server(&mut self, now: Instant, id: PeerId) {
        if self.config.allow_2019_servers {
            self.let_server_in(now, id, Hello::default());
        } else {
            self.close(now, id, Reason::ProofFailed);
        }
    }

    fn let_server_in(&mut self, now: Instant, id: PeerId, hello: Hello) {
        let alias = self.peers.get(id).map_or(0, |peer| peer.alias);
        let role = if self.mesh.lists_as_hub(alias) {
            Role::CommunicationServerHub
        } else {
            Role::CommunicationServer
        };
        let found = Identity::everything(Bytes::new());
        let access = Access::new(&found, &self.hashing);
        let ready = Ready::new(now, role, found.identity, access, hello);
        self.let_in(now, id, ready, None);
    }

    // --- both ---

    /// Makes a peer ready: it takes the place of the one before it, gets what a new peer gets, and
    /// its held packets are taken. `proof` is for the READY that an acceptor sends.
    fn let_in(&mut self, now: Instant, id: PeerId, ready: Ready, proof: Option<Bytes>) {
        let is_link = ready.is_link();
        if is_link && !self.make_way_for_link(now, id, ready.hello) {
            return;
        }
        let hello = ready.hello;
        let welcome = proof
            .filter(|_| hello.ours)
            .map(|proof| self.ready_frame(now, id, &ready, proof));
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let State::Authenticating(_, hold) = &mut peer.state else {
            return;
        };
        let (alias, hold) = (peer.alias, std::mem::take(hold));
        if let Some(replaced) = self.peers.make_ready(id, ready) {
            self.close(now, replaced, Reason::Replaced);
        }
        if let Some(frame) = welcome {
            self.send(id, frame);
        }
        if is_link {
            self.greet_link(now, id);
        }
        self.note_standing(now, alias);
        if is_link {
            self.leave_other_ways(now);
        } else {
            self.await_end(now, id);
        }
        for packet in hold.into_packets() {
            // Taking one may close the peer, or be the last straw; the rest is then dropped there.
            self.handle_packet(now, id, Lane::Reliable, packet);
        }
    }
}

/// Longest identity, in bytes: names and keys, not documents.
const IDENTITY_BYTES_MAX: usize = 1_024;
