//! The broker: takes inputs apart and moves things between the modules.

mod admission;
mod drain;
mod links;
mod packets;
mod renewal;
mod requests;
mod revocations;
mod signals;

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use proto::{Lane, Reason, revocation::List};
use smallvec::smallvec;

use self::drain::Going;
use crate::{
    Config, Delivery, Drop, Input, Output, PeerId, ResumeToken, Stats,
    hashing::Keyed,
    interest::{Telling, Window},
    io::Recipients,
    load::Load,
    mesh::Mesh,
    peer::{Stage, State},
    peers::Peers,
    topic_rate::Turns,
    topics::{LinkRoom, TopicTable},
    uplink::Uplink,
};

/// One communication server. See the crate's documentation for how it is driven.
#[derive(Debug)]
pub struct Broker {
    config: Config,
    started: Instant,
    peers: Peers,
    topics: TopicTable,
    hashing: Keyed,
    topic_turns: Turns,
    revoked: List<Instant>,
    window: Window,
    /// When the next list for a 2019 server is due.
    lists_due: Option<Instant>,
    mesh: Mesh,
    load: Load,
    uplink: Uplink,
    going: Going,
    outputs: VecDeque<Output>,
    stats: Stats,
}

impl Broker {
    /// A server without peers, whose coordinator is not reached yet.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        let limits = &config.limits;
        Self {
            started: now,
            peers: Peers::default(),
            topics: TopicTable::new(
                limits.topics_max,
                LinkRoom::new(limits.link_topics_total_max, limits.links_max),
                config.hub,
                config.seed,
            ),
            hashing: Keyed::new(config.seed),
            topic_turns: Turns::default(),
            revoked: List::new(limits.revocations_bytes_max),
            window: Window::new(config.timings.interest_window, limits.topics_max),
            lists_due: None,
            mesh: Mesh::new(&config.timings, limits.links_max, config.hub, config.seed),
            load: Load::new(now, config.load_interval),
            uplink: Uplink::default(),
            going: Going::No,
            outputs: VecDeque::new(),
            stats: Stats::default(),
            config,
        }
    }

    /// Takes something that happened. Never fails; bad bytes are counted.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Tick => {}
            Input::UplinkOpened => self.uplink.open(),
            Input::UplinkClosed => {
                self.uplink.close();
                self.mesh.unreachable();
                self.load.unreachable();
            }
            Input::LoadMeasured { cpu } => self.report_load(now, cpu),
            Input::Signal(bytes) => self.handle_signal(now, &bytes),
            Input::LocalSignal { peer, kind, data } => self.pass_signal_on(peer, kind, data),
            Input::PeerOpened { peer } => self.handle_opened(now, peer),
            Input::Packet { peer, lane, bytes } => self.handle_packet(now, peer, lane, bytes),
            Input::PeerClosed { peer, reason } => self.handle_closed(now, peer, reason),
            Input::SlowConsumer { peer } => self.close(now, peer, Reason::SlowConsumer),
            Input::Authenticated {
                peer,
                result,
                proof,
            } => self.handle_verdict(now, peer, result, proof),
            Input::Proof { peer, body } => self.handle_proof(now, peer, body),
            Input::ProofVerified { peer, valid } => self.handle_proof_verdict(now, peer, valid),
            Input::Drain => self.drain(now),
            Input::Shutdown => self.shut_down(now),
        }
        self.advance(now);
    }

    /// The next thing to do. To be called until `None` after every input or batch of inputs.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `Input::Tick` is due, if ever.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.peers.next_deadline(),
            self.window.next_deadline(),
            self.lists_due,
            self.mesh.next_deadline(),
            self.load.next_deadline(),
            self.drain_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// What was counted so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Our alias: the one of the last WELCOME.
    #[must_use]
    pub const fn alias(&self) -> Option<u64> {
        self.mesh.own()
    }

    /// What to show at the next dial of the coordinator, so that we keep our alias.
    #[must_use]
    pub const fn resume_token(&self) -> Option<&ResumeToken> {
        self.uplink.resume_token()
    }

    /// Does what is due by now.
    fn advance(&mut self, now: Instant) {
        self.load.note_state(now, self.state());
        self.window.note(now, self.topics.changed_len());
        self.advance_drain(now);
        if self.next_deadline().is_some_and(|due| due <= now) {
            while let Some(peer) = self.peers.pop_expired(now) {
                self.handle_expired(now, peer);
            }
            self.announce(now);
            self.dial_due(now);
            if self.load.poll(now) {
                self.outputs.push_back(Output::MeasureLoad);
            }
        }
        self.stats.clients = self.peers.clients();
        self.stats.handshakes = self.peers.handshakes();
        self.stats.clients_ready = self.peers.clients_ready();
        self.stats.links = self.peers.links_len();
        self.stats.topics = self.topics.len();
        self.stats.subscriptions = self.topics.subscriptions();
    }

    fn handle_closed(&mut self, now: Instant, id: PeerId, reason: Reason) {
        if let Some(peer) = self.peers.get(id)
            && let (State::Signalling, false) = (&peer.state, peer.dialed)
            && reason == Reason::ServerFull
        {
            // The shell has no room for it, whatever the limit here says.
            self.refuse(peer.alias, reason);
        }
        let silent = reason == Reason::IdleTimeout;
        if silent && self.peers.ready(id).is_some_and(|ready| ready.is_gone(now)) {
            self.stats.gone_closed += 1;
        }
        self.forget(now, id, reason);
    }

    fn handle_expired(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        match &peer.state {
            State::Signalling => self.close(now, id, Reason::HandshakeTimeout),
            State::Authenticating(Stage::Ready, _) => self.handle_silent_server(now, id),
            State::Authenticating(..) => self.close(now, id, Reason::AuthTimeout),
            State::Ready(_) => self.handle_ending(now, id),
        }
    }

    // --- what several parts need ---

    /// Sends one frame to one peer on the reliable lane.
    fn send(&mut self, peer: PeerId, frame: Bytes) {
        self.deliver(smallvec![peer], Lane::Reliable, frame);
    }

    fn deliver(&mut self, recipients: Recipients, lane: Lane, frame: Bytes) {
        if !recipients.is_empty() {
            self.outputs.push_back(Output::Deliver(Delivery {
                recipients,
                lane,
                frame,
            }));
        }
    }

    fn send_error(&mut self, peer: PeerId, reason: Reason, id: u32, topic: &str) {
        *self.stats.errors.entry(reason).or_default() += 1;
        self.send(peer, reason.error_about(id, topic, None));
    }

    /// Closes a peer, which is told why if it can hear it.
    fn close(&mut self, now: Instant, id: PeerId, reason: Reason) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        if !matches!(peer.state, State::Signalling) {
            self.send_error(id, reason, 0, "");
        }
        let peer = id;
        self.outputs.push_back(Output::ClosePeer { peer, reason });
        self.forget(now, id, reason);
    }

    /// Removes a peer that is closed, and everything that hung on it.
    fn forget(&mut self, now: Instant, id: PeerId, reason: Reason) {
        let Some(peer) = self.peers.remove(id) else {
            return;
        };
        let mut link = crate::peer::is_server(peer.stamp);
        if let State::Ready(ready) = &peer.state {
            link = ready.is_link();
            self.topics.remove_peer(id);
            if link {
                self.survey_lists();
            }
        }
        let counts = if link {
            &mut self.stats.links_closed
        } else {
            &mut self.stats.peers_closed
        };
        *counts.entry(reason).or_default() += 1;
        self.note_standing(now, peer.alias);
    }

    /// Tells the mesh how it stands with an alias.
    fn note_standing(&mut self, now: Instant, alias: u64) {
        let standing = self.peers.standing(alias);
        self.mesh.set_standing(now, alias, standing);
    }

    fn drop_one(&mut self, why: Drop) {
        self.stats.drop_one(why);
    }

    /// Walks the whole state.
    ///
    /// # Panics
    /// When something does not hold that must.
    pub fn check_invariants(&self) {
        let limits = &self.config.limits;
        self.peers.check_invariants(limits);
        self.topics
            .check_invariants(|id| Some(self.peers.ready(id)?.form()));
        self.revoked.check_invariants();
        self.window.check_invariants(self.topics.changed_len());
        self.mesh
            .check_invariants(|alias| self.peers.standing(alias));
        for id in self.peers.ids() {
            let client = self.peers.ready(id).filter(|ready| !ready.is_link());
            if let Some(client) = client {
                let count = self.topics.count_of_peer(id);
                assert!(
                    count <= limits.subscriptions_max,
                    "subscriptions are bounded"
                );
                client.access.check_invariants(self.topics.of_peer(id));
            }
        }
        for (peer, ready) in self.peers.links() {
            match ready.talk.as_ref().and_then(|talk| talk.telling.as_ref()) {
                Some(Telling::Changes(outgoing)) => outgoing.check_invariants(),
                Some(Telling::Lists(list)) => list.check_invariants(&self.topics, peer.id),
                None => panic!("{} is a link and told nothing", peer.id),
            }
        }
        assert!(
            self.news_waiting() <= limits.news_max(),
            "what waits to be told is bounded"
        );
    }
}
