//! Nodes that stand still or do not read, and the clocks that they go by.

use std::time::{Duration, Instant};

use super::{
    clock::At,
    engines::Step,
    event::Event,
    network::Network,
    node::{EngineKey, Node},
};

impl Network {
    /// The moment, by the node's own clock.
    pub(super) fn instant(&self, node: Node) -> Instant {
        self.clock.instant() + self.ahead(node)
    }

    /// A moment by the node's own clock.
    pub(super) fn at(&self, node: Node, instant: Instant) -> At {
        self.clock.at(instant).saturating_sub(self.ahead(node))
    }

    pub(super) fn jump_clock(&mut self, node: Node, by: Duration) {
        *self.ahead.entry(node).or_default() += by;
    }

    fn ahead(&self, node: Node) -> Duration {
        self.ahead.get(&node).copied().unwrap_or_default()
    }

    /// The node does nothing until then. Says whether that is news.
    pub(super) fn freeze(&mut self, node: Node, until: At) -> bool {
        if self.is_frozen(node) {
            return false;
        }
        self.frozen.insert(node, until);
        for key in self.engines_of(node) {
            if let Some(remote) = self.engines[key.0].remote {
                self.deafen(remote);
            }
        }
        true
    }

    /// The node goes on. Says whether it stood still.
    pub(super) fn thaw(&mut self, node: Node) -> bool {
        let stood_still = self.frozen.remove(&node).is_some();
        if stood_still {
            for key in self.engines_of(node) {
                if let Some(remote) = self.engines[key.0].remote {
                    self.hear_again(remote);
                }
            }
        }
        stood_still
    }

    pub(super) fn is_frozen(&self, node: Node) -> bool {
        self.frozen.contains_key(&node)
    }

    /// When whoever is meant by an event goes on, if it stands still.
    pub(super) fn put_off(&self, event: &Event) -> Option<At> {
        if self.frozen.is_empty() {
            return None;
        }
        let until = self.frozen.get(&self.node_of(event)?).copied();
        until.filter(|&until| until > self.now())
    }

    pub(super) fn frozen_nodes(&self) -> Vec<Node> {
        self.frozen.keys().copied().collect()
    }

    /// What arrives for the node waits in its network, as far as that goes.
    pub(super) fn stop_reading(&mut self, node: Node) {
        self.not_reading.insert(node);
    }

    /// Says whether it did not.
    pub(super) fn read_again(&mut self, node: Node) -> bool {
        let did_not = self.not_reading.remove(&node);
        if did_not {
            for key in self.engines_of(node) {
                self.after(Duration::ZERO, Event::Engine(key, Step::Flush));
            }
        }
        did_not
    }

    pub(super) fn is_reading(&self, node: Node) -> bool {
        !self.not_reading.contains(&node)
    }

    /// Not closed.
    pub(super) fn engines_of(&self, node: Node) -> Vec<EngineKey> {
        let ours = |key: &EngineKey| {
            let engine = &self.engines[key.0];
            engine.life.node == node && !engine.is_closed()
        };
        (0..self.engines.len())
            .map(EngineKey)
            .filter(ours)
            .collect()
    }

    /// Whom an event happens to.
    fn node_of(&self, event: &Event) -> Option<Node> {
        match event {
            Event::Wake(life) | Event::Redial(life) | Event::Verdict(life, ..) => Some(life.node),
            Event::Engine(key, _) => Some(self.engines[key.0].life.node),
            Event::Dialed(_) => Some(Node::Coordinator),
            Event::Socket(socket, item) => Some(if item.is_for_coordinator() {
                Node::Coordinator
            } else {
                self.sockets[socket.0].life.node
            }),
            _ => None,
        }
    }
}
