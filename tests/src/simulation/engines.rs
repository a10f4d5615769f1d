//! Simulated WebRTC peers: what is between OpenPeer and PeerClosed. Two engines that exchanged offer
//! and answer through the real signalling are joined after a delay; then each opens its lanes and
//! carries packets: one lane ordered and without loss, one with both.
//!
//! As with real engines, who dies says nothing: the other side notices that it hears nothing more.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use proto::{Lane, Reason};

use super::{
    clock::At,
    event::Event,
    network::{Network, Told},
    node::{EngineKey, Life, Node},
    trace::{self, What},
};

/// One side of a WebRTC peer.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) life: Life,
    /// What its owner calls it.
    pub(super) name: Name,
    /// Of a member's: the alias that its CONNECT was sent under.
    pub(super) alias: u64,
    acceptor: bool,
    /// The engine whose offer this one has.
    offer: Option<EngineKey>,
    pub(super) remote: Option<EngineKey>,
    lanes_open: [bool; 2],
    closed: bool,
    /// The other side has closed: what it sent before is still handed out.
    ending: bool,
    /// When the last thing sent on the reliable lane arrives.
    pub(super) last_arrival: At,
    /// Arrived for this engine while nothing got through: it is retransmitted, in order.
    pub(super) stalled: VecDeque<Bytes>,
    /// Since when nothing can be heard from the other side.
    deaf_since: Option<At>,
}

/// What an engine's owner calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Broker(commserver_core::PeerId),
    Session(client::session::PeerId),
}

/// Something that happens at an engine.
#[derive(Debug)]
pub(super) enum Step {
    /// It makes its offer or answer, and a candidate.
    Speak,
    /// At the acceptor: checks and handshakes are done.
    Join(EngineKey),
    LaneOpen(Lane),
    Arrive(Lane, Bytes),
    /// The other side has closed, after everything that it sent.
    RemoteClosed,
    /// What stalled gets through.
    Flush,
    /// Nothing was heard since then.
    Idle(At),
    /// It was not joined in time.
    TimedOut,
    /// It gives up; the other side does not know.
    Die,
}

/// Which description or candidate a signal carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Offer,
    Answer,
    Candidate,
}

/// What the owner is told.
#[derive(Debug)]
pub(super) enum Happening {
    Signal(Kind, Bytes),
    LaneOpen(Lane),
    Packet(Lane, Bytes),
    Closed(Reason),
}

impl Engine {
    pub(super) const fn is_lane_open(&self, lane: Lane) -> bool {
        self.lanes_open[lane.index()] && !self.closed
    }

    pub(super) const fn is_acceptor(&self) -> bool {
        self.acceptor
    }

    pub(super) const fn is_ending(&self) -> bool {
        self.ending
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }
}

impl Network {
    pub(super) fn open_engine(&mut self, life: Life, name: Name, acceptor: bool) -> EngineKey {
        let engine = EngineKey(self.engines.len());
        self.engines.push(Engine {
            life,
            name,
            alias: 0,
            acceptor,
            offer: None,
            remote: None,
            lanes_open: [false; 2],
            closed: false,
            ending: false,
            last_arrival: At::ZERO,
            stalled: VecDeque::new(),
            deaf_since: None,
        });
        self.note_engine(engine, trace::Event::Opened { acceptor });
        self.after(HANDSHAKE_TIMEOUT, Event::Engine(engine, Step::TimedOut));
        if acceptor {
            let wait = self.dice.millis(1, 3);
            self.after(wait, Event::Engine(engine, Step::Speak));
        }
        engine
    }

    /// The other side's description or candidate.
    pub(super) fn hear(&mut self, engine: EngineKey, kind: Kind, data: &Bytes) {
        let text = String::from_utf8_lossy(data);
        let mut words = text.split(' ').skip(1).map(str::parse);
        let mut number = || words.next().and_then(Result::ok).map(EngineKey);
        let (first, second) = (number(), number());
        let heard = &self.engines[engine.0];
        match (kind, first, second) {
            (Kind::Offer, Some(offerer), _) if !heard.acceptor && heard.offer.is_none() => {
                self.engines[engine.0].offer = Some(offerer);
                let wait = self.dice.millis(1, 3);
                self.after(wait, Event::Engine(engine, Step::Speak));
            }
            // An answer to another offer has other credentials: no check ever succeeds.
            (Kind::Answer, Some(answerer), Some(offerer)) if offerer == engine => {
                let Some(remote) = self.engines.get(answerer.0) else {
                    return;
                };
                let (us, them) = (heard.life.node, remote.life.node);
                // Two round trips of DTLS, one of ICE, one of SCTP.
                let wait = self.delay(us, them) * 8;
                self.after(wait, Event::Engine(engine, Step::Join(answerer)));
            }
            _ => {}
        }
    }

    /// Takes a step, and says what the owner is told.
    pub(super) fn step(&mut self, key: EngineKey, step: Step) -> Vec<Told<Happening>> {
        if self.engines[key.0].closed {
            return Vec::new();
        }
        let life = self.engines[key.0].life;
        let told = |what| Told { life, what };
        match step {
            Step::Speak => self.speak(key).into_iter().map(told).collect(),
            Step::Join(dialer) => {
                self.join(key, dialer);
                Vec::new()
            }
            Step::LaneOpen(lane) => {
                self.engines[key.0].lanes_open[lane.index()] = true;
                self.note_engine(key, trace::Event::LaneOpen(lane));
                vec![told(Happening::LaneOpen(lane))]
            }
            Step::Arrive(lane, bytes) => self
                .arrive(key, lane, bytes)
                .map(told)
                .into_iter()
                .collect(),
            Step::Flush => self.flush(key).into_iter().map(told).collect(),
            Step::RemoteClosed if self.is_path_cut(key) => {
                self.deafen(key);
                Vec::new()
            }
            Step::RemoteClosed => {
                let mut said = self.flush(key);
                self.note_engine(key, trace::Event::RemoteClosed);
                self.engines[key.0].closed = true;
                self.engines[key.0].ending = true;
                said.push(Happening::Closed(Reason::TransportClosed));
                said.into_iter().map(told).collect()
            }
            Step::Idle(since) if self.engines[key.0].deaf_since == Some(since) => {
                self.kill_engine(key, Some(Reason::IdleTimeout));
                vec![told(Happening::Closed(Reason::IdleTimeout))]
            }
            Step::TimedOut if !self.engines[key.0].lanes_open[0] => {
                self.kill_engine(key, Some(Reason::HandshakeTimeout));
                vec![told(Happening::Closed(Reason::HandshakeTimeout))]
            }
            Step::Die => {
                self.kill_engine(key, Some(Reason::TransportClosed));
                vec![told(Happening::Closed(Reason::TransportClosed))]
            }
            Step::Idle(_) | Step::TimedOut => Vec::new(),
        }
    }

    /// Closes politely: the other side is told after everything that was sent before, unless that
    /// is lost, too.
    pub(super) fn close_engine(&mut self, key: EngineKey, reason: Reason) {
        let engine = &mut self.engines[key.0];
        if std::mem::replace(&mut engine.closed, true) {
            return;
        }
        let remote = engine.remote;
        self.note_engine(key, trace::Event::Closed(reason));
        let Some(remote) = remote else { return };
        if self.dice.percent(15) {
            self.deafen(remote);
        } else {
            let at = self.reliable_arrival(key, remote);
            self.queue
                .push(at, Event::Engine(remote, Step::RemoteClosed));
        }
    }

    /// It is gone, and says nothing.
    pub(super) fn kill_engine(&mut self, key: EngineKey, reason: Option<Reason>) {
        let engine = &mut self.engines[key.0];
        if std::mem::replace(&mut engine.closed, true) {
            return;
        }
        let remote = engine.remote;
        let event = reason.map_or(trace::Event::Died, trace::Event::Closed);
        self.note_engine(key, event);
        if let Some(remote) = remote {
            self.deafen(remote);
        }
    }

    /// The remote's node, once joined.
    pub(super) fn remote_node(&self, key: EngineKey) -> Option<Node> {
        let remote = self.engines[key.0].remote?;
        Some(self.engines[remote.0].life.node)
    }

    /// Joined and not closed.
    pub(super) fn engines_between(&self, a: Node, b: Node) -> Vec<EngineKey> {
        let joined = |key: &EngineKey| {
            let engine = &self.engines[key.0];
            let ends = (Some(engine.life.node), self.remote_node(*key));
            !engine.closed && (ends == (Some(a), Some(b)) || ends == (Some(b), Some(a)))
        };
        (0..self.engines.len())
            .map(EngineKey)
            .filter(joined)
            .collect()
    }

    fn speak(&mut self, key: EngineKey) -> Vec<Happening> {
        let engine = &self.engines[key.0];
        let candidate = (Kind::Candidate, format!("candidate {}", key.0));
        let description = match engine.offer {
            None => (Kind::Offer, format!("offer {}", key.0)),
            Some(offerer) => (Kind::Answer, format!("answer {} {}", key.0, offerer.0)),
        };
        let said = [description, candidate].into_iter();
        said.map(|(kind, text)| Happening::Signal(kind, text.into()))
            .collect()
    }

    fn join(&mut self, key: EngineKey, dialer: EngineKey) {
        let remote = &self.engines[dialer.0];
        let (us, them) = (self.engines[key.0].life.node, remote.life.node);
        let wanted = remote.offer == Some(key) && remote.remote.is_none() && !remote.closed;
        if !wanted || self.engines[key.0].remote.is_some() {
            return;
        }
        let cut = self.is_cut(us, them) || self.is_cut(them, us);
        if cut || self.is_frozen(them) {
            let wait = self.dice.millis(100, 1_000);
            self.after(wait, Event::Engine(key, Step::Join(dialer)));
            return;
        }
        self.engines[key.0].remote = Some(dialer);
        self.engines[dialer.0].remote = Some(key);
        self.note_engine(key, trace::Event::Joined(dialer));
        // Either may be the first to have its channels open.
        let later = self.delay(us, them);
        let acceptor_first = self.dice.percent(50);
        for (end, other, wait) in [
            (key, dialer, !acceptor_first),
            (dialer, key, acceptor_first),
        ] {
            let reliable = if wait { later } else { Duration::ZERO };
            let unreliable = reliable + self.dice.millis(0, 5);
            let at = self.now() + reliable;
            self.queue
                .push(at, Event::Engine(end, Step::LaneOpen(Lane::Reliable)));
            self.after(
                unreliable,
                Event::Engine(end, Step::LaneOpen(Lane::Unreliable)),
            );
            let sender = &mut self.engines[other.0];
            sender.last_arrival = sender.last_arrival.max(at);
        }
    }

    pub(super) fn is_path_cut(&self, key: EngineKey) -> bool {
        let node = self.engines[key.0].life.node;
        self.remote_node(key)
            .is_some_and(|remote| self.is_cut(remote, node))
    }

    /// Whether what arrives at an engine waits: it cannot get through, or nobody reads it.
    pub(super) fn is_stalled(&self, key: EngineKey) -> bool {
        self.is_path_cut(key) || !self.is_reading(self.engines[key.0].life.node)
    }

    /// What the other side sends can be heard again, if it is there.
    pub(super) fn hear_again(&mut self, key: EngineKey) {
        let remote = self.engines[key.0].remote;
        if remote.is_some_and(|remote| !self.engines[remote.0].closed) && !self.is_path_cut(key) {
            self.engines[key.0].deaf_since = None;
        }
    }

    /// It hears nothing more: unless that changes, it is closed after a while.
    pub(super) fn deafen(&mut self, key: EngineKey) {
        let now = self.now();
        let engine = &mut self.engines[key.0];
        if engine.closed || engine.deaf_since.is_some() {
            return;
        }
        engine.deaf_since = Some(now);
        let wait = IDLE_TIMEOUT + self.dice.millis(0, 200);
        self.after(wait, Event::Engine(key, Step::Idle(now)));
    }

    /// Its owner doubts that anybody is at the other end. What it delivers next is answered if so.
    pub(super) fn expect_traffic(&mut self, key: EngineKey, within: Duration) {
        if let Some(since) = self.engines[key.0].deaf_since {
            self.after(within, Event::Engine(key, Step::Idle(since)));
        }
    }

    pub(super) fn note_engine(&mut self, engine: EngineKey, event: trace::Event) {
        let node = self.engines[engine.0].life.node;
        self.note(What::Engine {
            node,
            engine,
            event,
        });
    }
}

/// Without authenticated traffic for so long, an engine gives up.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Not joined for so long, it gives up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
