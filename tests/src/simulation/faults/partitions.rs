//! What lies between the nodes: cut one way or both, clogged, or cut along a line through the whole
//! cluster.

use std::time::Duration;

use super::Mend;
use crate::simulation::{
    event::Event,
    node::{Node, SocketKey},
    paths::Way,
    sockets::Side,
    world::World,
};

impl World {
    pub(super) fn cut_some_path(&mut self) {
        let (a, b) = self.some_path();
        let way = self.some_way();
        let longest = [500, 10_000, 30_000][self.faults.below(3)];
        let wait = self.faults.millis(50, longest);
        self.cut(a, b, way, wait);
    }

    /// Some of all nodes, the coordinator among them, are cut off from the others.
    pub(super) fn part_the_nodes(&mut self) {
        let nodes = self.nodes();
        let chance = [15, 50][self.faults.below(2)];
        let (apart, rest): (Vec<_>, Vec<_>) =
            nodes.into_iter().partition(|_| self.faults.percent(chance));
        let way = self.some_way();
        let longest = [2_000, 10_000, 30_000][self.faults.below(3)];
        let wait = self.faults.millis(100, longest);
        for &a in &apart {
            for &b in &rest {
                let talk = !matches!((a, b), (Node::Member(_), Node::Member(_)));
                if talk {
                    self.cut(a, b, way, wait);
                }
            }
        }
    }

    /// Nothing arrives for a while, and then everything at once.
    pub(super) fn clog_some_path(&mut self) {
        let (a, b) = if self.faults.percent(25) {
            (self.somebody(), Node::Coordinator)
        } else {
            self.some_path()
        };
        let wait = self.faults.millis(50, 8_000);
        self.net.say(a, format!("has a clogged way to {b}"));
        self.net.clog(a, b, wait);
        self.path_changed(a, b);
        self.net.after(wait, Event::Mend(Mend::Clog(a, b)));
    }

    fn cut(&mut self, a: Node, b: Node, way: Way, wait: Duration) {
        self.net.say(a, format!("is cut off from {b}, {way:?}"));
        self.net.cut_path(a, b, way);
        self.path_changed(a, b);
        match (a, b) {
            (Node::Coordinator, node) | (node, Node::Coordinator) => self.strain(node, wait),
            _ => {}
        }
        self.net.after(wait, Event::Mend(Mend::Cut(a, b)));
    }

    pub(super) fn mend_cut(&mut self, a: Node, b: Node) {
        if self.net.is_cut(a, b) || self.net.is_cut(b, a) {
            self.net.say(a, format!("reaches {b} again"));
            self.net.heal_path(a, b);
            self.path_changed(a, b);
        }
    }

    /// A node's sockets to the coordinator outlast a short cut, and break by a long one.
    fn strain(&mut self, node: Node, wait: Duration) {
        if wait < OUTLASTED {
            return self.net.clog(node, Node::Coordinator, wait);
        }
        for socket in (0..self.net.sockets.len()).map(SocketKey) {
            let ours = self.net.sockets[socket.0].life.node == node;
            if ours && !self.net.is_closed(socket, Side::Node) {
                self.net.break_socket(socket, [20_000, 30_000]);
            }
        }
    }

    /// Between two servers, or a member and a server.
    pub(super) fn some_path(&mut self) -> (Node, Node) {
        let server = self.faults.below(self.plan.servers);
        let other = if self.plan.servers > 1 && self.faults.percent(50) {
            let step = 1 + self.faults.below(self.plan.servers - 1);
            Node::Server((server + step) % self.plan.servers)
        } else {
            Node::Member(self.faults.below(self.plan.members()))
        };
        (Node::Server(server), other)
    }

    /// A server or a member.
    pub(super) fn somebody(&mut self) -> Node {
        let index = self.faults.below(self.plan.servers + self.plan.members());
        match index.checked_sub(self.plan.servers) {
            None => Node::Server(index),
            Some(member) => Node::Member(member),
        }
    }

    fn some_way(&mut self) -> Way {
        match self.faults.below(4) {
            0 => Way::There,
            1 => Way::Back,
            _ => Way::Both,
        }
    }
}

/// A TCP connection that is cut for less than this is there afterwards.
const OUTLASTED: Duration = Duration::from_secs(5);
