//! The hub: the broker core on the shard's thread. It translates between the core, which knows
//! peers by its own ids and nothing about transports, and the shard, the uplink and the
//! authenticator.

mod addresses;
mod bridge;
mod cpu;
pub(crate) mod seats;
pub(crate) mod thread;

use std::time::{Duration, Instant};

use auth::{ClusterSecret, Link, Side};
use bytes::Bytes;
use commserver_core::{
    Broker, Delivery, Identity, Input, Output, Pair, PeerId, ResumeToken, Stats,
};
use proto::Reason;
use shard::{Event, Handler, Peers, budget};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{addresses::Addresses, bridge::refusal};
use self::{bridge as to, seats::Seats};
use crate::authentication::{Granted, Request};

/// What other tasks tell the hub.
#[derive(Debug)]
pub(crate) enum Command {
    /// The coordinator is reached.
    UplinkOpened,
    /// It is not any more. Answered with what the next dial shows: by then everything that the
    /// coordinator said has been heard.
    UplinkClosed {
        resume: oneshot::Sender<Option<ResumeToken>>,
    },
    /// A signal from it.
    Signal(Bytes),
    /// The authenticator has answered.
    Authenticated {
        peer: PeerId,
        result: Result<Granted, Reason>,
        /// Our own proof for a server, made when the question was asked.
        proof: Bytes,
    },
    /// The server is to go away.
    Drain,
}

/// What the rest of the server may know, some moments old.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) alias: Option<u64>,
    pub(crate) stats: Stats,
    /// Signals that found the uplink's queue full.
    pub(crate) signals_dropped: u64,
    /// Authentications that found no room to wait.
    pub(crate) authentications_refused: u64,
}

/// The single owner of the broker core.
#[derive(Debug)]
pub(crate) struct Hub {
    broker: Broker,
    seats: Seats,
    secret: ClusterSecret,
    transport: Transport,
    addresses: Addresses,
    signals: mpsc::Sender<Bytes>,
    questions: Questions,
    stop: CancellationToken,
    published: watch::Sender<Snapshot>,
    snapshot: Snapshot,
    publish_at: Option<Instant>,
}

/// How peers are opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transport {
    pub(crate) ice_lite: bool,
    /// What a client may send, unless its token says less.
    pub(crate) reliable_budget: budget::Config,
    pub(crate) unreliable_budget: budget::Config,
    /// A link carries what many clients publish.
    pub(crate) link_outbox_times: usize,
}

/// Where the hub's words go.
#[derive(Debug)]
pub(crate) struct Outlets {
    pub(crate) signals: mpsc::Sender<Bytes>,
    pub(crate) questions: Questions,
    /// Ends the shard, and the hub with it, once nobody is waited for any more.
    pub(crate) stop: CancellationToken,
    pub(crate) published: watch::Sender<Snapshot>,
}

/// Two queues: however long the clients' is, no server waits behind it for longer than the other
/// side waits for READY.
#[derive(Debug)]
pub(crate) struct Questions {
    pub(crate) clients: mpsc::Sender<Request>,
    pub(crate) servers: mpsc::Sender<Request>,
}

impl Hub {
    pub(crate) fn new(
        broker: Broker,
        secret: ClusterSecret,
        transport: Transport,
        addresses: Addresses,
        outlets: Outlets,
    ) -> Self {
        Self {
            broker,
            seats: Seats::default(),
            secret,
            transport,
            addresses,
            signals: outlets.signals,
            questions: outlets.questions,
            stop: outlets.stop,
            published: outlets.published,
            snapshot: Snapshot::default(),
            publish_at: None,
        }
    }

    fn tell(&mut self, now: Instant, input: Input, peers: &mut Peers) {
        let links_before = self.broker.stats().links;
        self.broker.handle_input(now, input);
        while let Some(output) = self.broker.poll_output() {
            self.act(now, output, peers);
        }
        let links = self.broker.stats().links;
        if links != links_before {
            tracing::info!(links, links_before, "links to other servers");
        }
        if self.publish_at.is_none() {
            self.publish_at = Some(now + PUBLISH_INTERVAL);
        }
    }

    fn act(&mut self, now: Instant, output: Output, peers: &mut Peers) {
        match output {
            Output::Deliver(delivery) => self.deliver(now, &delivery, peers),
            Output::Signal(bytes) => {
                if self.signals.try_send(bytes).is_err() {
                    self.snapshot.signals_dropped += 1;
                }
            }
            Output::OpenPeer { peer, alias, dial } => self.open(now, peer, alias, dial, peers),
            Output::RemoteSignal { peer, kind, data } => {
                if let Some(key) = self.seats.key(peer) {
                    let kind = to::engine_kind(kind);
                    peers.handle_signal(now, key, rtc_signal(kind, data));
                }
            }
            Output::ClosePeer { peer, reason } => {
                self.addresses.leave(peer);
                if let Some(key) = self.seats.vacate(peer) {
                    tracing::debug!(%peer, %reason, "peer closed");
                    peers.close_with(now, key, reason.number());
                }
            }
            Output::Drained => {
                let clients = self.broker.stats().clients;
                tracing::info!(clients, "drained: closing those who are left");
                self.stop.cancel();
            }
            Output::ExpectTraffic { peer, within } => {
                if let Some(key) = self.seats.key(peer) {
                    tracing::debug!(%peer, "its session has ended: is it there?");
                    peers.expect_traffic(now, key, within);
                }
            }
            Output::LeaveUnread { peer, until } => self.leave_unread(now, peer, until, peers),
            Output::MeasureLoad => {
                let cpu = Some(cpu::of_this_thread());
                self.broker.handle_input(now, Input::LoadMeasured { cpu });
            }
            Output::Authenticate {
                peer,
                role,
                body,
                pair,
            } => self.ask(
                now,
                Question {
                    peer,
                    role,
                    body,
                    pair,
                },
                peers,
            ),
            Output::Prove { peer, pair } => {
                self.give_room(now, peer, peers);
                let link = self.link(peer, pair, Side::Dialer, peers);
                let proof = link.map(|link| self.secret.link_proof(Side::Dialer, &link));
                let body = Bytes::from_owner(proof.unwrap_or_default());
                self.broker.handle_input(now, Input::Proof { peer, body });
            }
            Output::VerifyProof { peer, proof, pair } => {
                let link = self.link(peer, pair, Side::Dialer, peers);
                let valid = link.is_some_and(|link| {
                    self.secret.verify_link_proof(Side::Acceptor, &link, &proof)
                });
                self.broker
                    .handle_input(now, Input::ProofVerified { peer, valid });
            }
        }
    }

    fn leave_unread(&self, now: Instant, peer: PeerId, until: Instant, peers: &mut Peers) {
        if let Some(key) = self.seats.key(peer) {
            peers.leave_unread(now, key, until);
        }
    }

    fn deliver(&self, now: Instant, delivery: &Delivery, peers: &mut Peers) {
        let lane = to::engine_lane(delivery.lane);
        for &peer in &delivery.recipients {
            if let Some(key) = self.seats.key(peer) {
                // What the shard cannot take, it counts.
                let _sent = peers.send(now, key, lane, &delivery.frame);
            }
        }
    }

    fn open(&mut self, now: Instant, peer: PeerId, alias: u64, dial: bool, peers: &mut Peers) {
        let role = if dial {
            shard::rtc_peer::Role::Dialer
        } else {
            shard::rtc_peer::Role::Acceptor {
                ice_lite: self.transport.ice_lite,
            }
        };
        match peers.open(now, role) {
            Ok(key) => {
                tracing::debug!(%peer, alias, dial, "peer opened");
                self.seats.take(peer, key);
            }
            Err(shard::Full { peers_max }) => {
                tracing::warn!(peers_max, "no room for another peer in the shard");
                let reason = Reason::ServerFull;
                self.broker
                    .handle_input(now, Input::PeerClosed { peer, reason });
            }
        }
    }

    fn ask(&mut self, now: Instant, question: Question, peers: &mut Peers) {
        let Question {
            peer,
            role,
            body,
            pair,
        } = question;
        let role = to::auth_role(role);
        if role.is_server() {
            self.give_room(now, peer, peers);
        } else if !self.has_room_at_its_address(peer, peers) {
            return self.decide(now, peer, Err(Reason::TooManyFromAddress));
        }
        let link = self.link(peer, pair, Side::Acceptor, peers);
        let request = link.map(|link| Request {
            peer,
            role,
            body,
            link,
            proof: Bytes::from_owner(self.secret.link_proof(Side::Acceptor, &link)),
        });
        let queue = if role.is_server() {
            &self.questions.servers
        } else {
            &self.questions.clients
        };
        let asked = request.is_some_and(|request| queue.try_send(request).is_ok());
        if !asked {
            self.snapshot.authentications_refused += 1;
            self.decide(now, peer, Err(Reason::AuthUnavailable));
        }
    }

    fn has_room_at_its_address(&mut self, peer: PeerId, peers: &Peers) -> bool {
        let engine = self.seats.key(peer).and_then(|key| peers.engine(key));
        let proven = engine.and_then(|engine| engine.proven_addrs().next());
        proven.is_none_or(|addr| self.addresses.enter(peer, addr.ip()))
    }

    /// Answers a question without asking.
    fn decide(&mut self, now: Instant, peer: PeerId, result: Result<Identity, Reason>) {
        let proof = Bytes::new();
        let input = Input::Authenticated {
            peer,
            result,
            proof,
        };
        self.broker.handle_input(now, input);
    }

    /// What a token allows may be less than what the server does.
    fn limit(&self, peer: PeerId, limits: &auth::Limits, peers: &mut Peers) {
        if let Some(key) = self.seats.key(peer) {
            let lower = |budget: budget::Config, lane: auth::LaneLimits| {
                budget.at_most(lane.packets_per_s, lane.bytes_per_s)
            };
            let transport = &self.transport;
            let reliable = lower(transport.reliable_budget, limits.reliable);
            let unreliable = lower(transport.unreliable_budget, limits.unreliable);
            peers.set_budgets(key, reliable, unreliable);
        }
    }

    /// For a peer that is about to become a link: it stands for many clients, each of which has its
    /// own budget.
    fn give_room(&self, now: Instant, peer: PeerId, peers: &mut Peers) {
        if let Some(key) = self.seats.key(peer) {
            peers.exempt(now, key);
            peers.scale_outboxes(key, self.transport.link_outbox_times);
        }
    }

    /// What a link's proofs are about; `ours` is the side that we are. A peer with an open lane has
    /// both fingerprints.
    fn link(&self, peer: PeerId, pair: Pair, ours: Side, peers: &Peers) -> Option<Link> {
        let (our_print, their_print) = peers.fingerprints(self.seats.key(peer)?)?;
        let (dialer, acceptor) = match ours {
            Side::Dialer => (our_print, their_print),
            Side::Acceptor => (their_print, our_print),
        };
        Some(Link {
            dialer_alias: pair.dialer,
            acceptor_alias: pair.acceptor,
            dialer_fingerprint: *dialer.as_bytes(),
            acceptor_fingerprint: *acceptor.as_bytes(),
        })
    }

    fn publish(&mut self, now: Instant) {
        let alias = self.broker.alias();
        let news = alias != self.snapshot.alias;
        if news || self.publish_at.is_some_and(|at| at <= now) {
            self.snapshot.alias = alias;
            self.snapshot.stats = self.broker.stats().clone();
            self.published.send_replace(self.snapshot.clone());
            self.publish_at = None;
        }
    }
}

impl Handler for Hub {
    type Command = Command;

    fn handle_event(&mut self, now: Instant, event: Event, peers: &mut Peers) {
        let Some((peer, input)) = self.input_of(event) else {
            return;
        };
        tracing::trace!(%peer, "event");
        let keeps_alive = matches!(&input, Input::Packet { bytes, .. } if to::is_keep_alive(bytes));
        if !keeps_alive {
            peers.note_work(now);
        }
        self.tell(now, input, peers);
    }

    fn handle_command(&mut self, now: Instant, command: Command, peers: &mut Peers) {
        let input = match command {
            Command::UplinkOpened => Input::UplinkOpened,
            Command::Drain => {
                let clients = self.broker.stats().clients;
                tracing::info!(clients, "draining");
                Input::Drain
            }
            Command::UplinkClosed { resume } => {
                // An uplink that has gone meanwhile dials no more.
                let _asked = resume.send(self.broker.resume_token().cloned());
                Input::UplinkClosed
            }
            Command::Signal(bytes) => Input::Signal(bytes),
            Command::Authenticated {
                peer,
                result,
                proof,
            } => {
                let result = result.map(|granted| {
                    self.limit(peer, &granted.limits, peers);
                    granted.identity
                });
                Input::Authenticated {
                    peer,
                    result,
                    proof,
                }
            }
        };
        peers.note_work(now);
        self.tell(now, input, peers);
    }

    fn handle_timeout(&mut self, now: Instant, peers: &mut Peers) {
        if self.broker.next_deadline().is_some_and(|at| at <= now) {
            self.tell(now, Input::Tick, peers);
        }
    }

    fn handle_pass_end(&mut self, now: Instant, _peers: &mut Peers) {
        self.publish(now);
    }

    fn handle_shutdown(&mut self, now: Instant, peers: &mut Peers) {
        self.tell(now, Input::Shutdown, peers);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.broker.next_deadline(), self.publish_at];
        deadlines.into_iter().flatten().min()
    }
}

impl Hub {
    /// What an event is to the core, if it is anything.
    fn input_of(&mut self, event: Event) -> Option<(PeerId, Input)> {
        let input = match event {
            Event::Packet { peer, lane, bytes } => {
                let peer = self.seats.id(peer)?;
                let lane = to::core_lane(lane);
                (peer, Input::Packet { peer, lane, bytes })
            }
            Event::Signal { peer, signal } => {
                let peer = self.seats.id(peer)?;
                let (kind, data) = (to::core_kind(signal.kind), signal.data);
                (peer, Input::LocalSignal { peer, kind, data })
            }
            Event::LaneOpen { peer, lane } => {
                let peer = self.seats.id(peer)?;
                if lane != shard::rtc_peer::Lane::Reliable {
                    return None;
                }
                (peer, Input::PeerOpened { peer })
            }
            Event::SlowConsumer { peer, lane: _ } => {
                let peer = self.seats.id(peer)?;
                (peer, Input::SlowConsumer { peer })
            }
            Event::Closed { peer, reason } => {
                let peer = self.seats.id(peer)?;
                let _key = self.seats.vacate(peer);
                self.addresses.leave(peer);
                tracing::debug!(%peer, ?reason, "peer gone");
                let reason = to::reason(reason);
                (peer, Input::PeerClosed { peer, reason })
            }
        };
        Some(input)
    }
}

/// [`Output::Authenticate`], taken apart.
struct Question {
    peer: PeerId,
    role: proto::Role,
    body: Bytes,
    pair: Pair,
}

fn rtc_signal(kind: shard::rtc_peer::SignalKind, data: Bytes) -> shard::rtc_peer::Signal {
    shard::rtc_peer::Signal { kind, data }
}

/// How old a snapshot may be: metrics are scraped every few seconds.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);
