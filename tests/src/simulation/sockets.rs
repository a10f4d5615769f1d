//! Simulated signalling sockets: ordered and reliable while they last, as WebSockets over TCP are;
//! when one breaks, what is under way is lost and each end notices in its own time.

use bytes::Bytes;
use proto::Reason;

use super::{
    clock::At,
    event::Event,
    network::Network,
    node::{Life, Node, SocketKey},
    trace::What,
};

/// One socket between a node and the coordinator.
#[derive(Debug)]
pub(super) struct Socket {
    /// Who dialed.
    pub(super) life: Life,
    /// A session's own name for it; commservers have one at a time.
    pub(super) name: Option<client::session::SocketId>,
    /// The resume token that its dialer shows.
    pub(super) resume: Option<String>,
    /// Which coordinator took it.
    pub(super) coordinator_run: u32,
    /// The alias in the WELCOME that went through it.
    pub(super) alias: Option<u64>,
    ends: [End; 2],
    broken: bool,
}

#[derive(Debug, Default)]
struct End {
    closed: bool,
    /// When the last thing sent to this end arrives.
    last_arrival: At,
}

/// Which end of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Node,
    Coordinator,
}

/// Something that reaches an end.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// At the node: the coordinator took us.
    Opened,
    Signal(Side, Bytes),
    /// The other end has closed.
    Closed(Side, Option<Reason>),
    /// This end notices that the socket is broken, or was never made.
    Broken(Side),
}

impl Side {
    const fn index(self) -> usize {
        match self {
            Self::Node => 0,
            Self::Coordinator => 1,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Node => Self::Coordinator,
            Self::Coordinator => Self::Node,
        }
    }
}

impl Item {
    pub(super) const fn is_for_coordinator(&self) -> bool {
        matches!(
            self,
            Self::Signal(Side::Coordinator, _)
                | Self::Closed(Side::Coordinator, _)
                | Self::Broken(Side::Coordinator)
        )
    }
}

impl Network {
    /// A node dials.
    pub(super) fn dial(
        &mut self,
        life: Life,
        name: Option<client::session::SocketId>,
    ) -> SocketKey {
        let socket = SocketKey(self.sockets.len());
        self.sockets.push(Socket {
            life,
            name,
            resume: None,
            coordinator_run: 0,
            alias: None,
            ends: Default::default(),
            broken: false,
        });
        self.note_socket(socket, "dials");
        let wait = self.delay(life.node, Node::Coordinator) * 3;
        self.after(wait, Event::Dialed(socket));
        socket
    }

    /// Sends to the other end. What is sent into a broken or closed socket is lost.
    pub(super) fn send_signal(&mut self, socket: SocketKey, from: Side, bytes: Bytes) {
        self.push(socket, from, Item::Signal(from.other(), bytes));
    }

    pub(super) fn accept(&mut self, socket: SocketKey, coordinator_run: u32) {
        self.sockets[socket.0].coordinator_run = coordinator_run;
        self.note_socket(socket, "is accepted");
        self.push(socket, Side::Coordinator, Item::Opened);
    }

    /// Closes one end: the other learns of it after everything that was sent before.
    pub(super) fn close_socket(&mut self, socket: SocketKey, side: Side, reason: Option<Reason>) {
        if self.is_closed(socket, side) {
            return;
        }
        self.push(socket, side, Item::Closed(side.other(), reason));
        self.close_end(socket, side);
        self.note_socket(socket, "is hung up");
    }

    /// Breaks it: what is under way is lost, and each end notices after up to so long.
    pub(super) fn break_socket(&mut self, socket: SocketKey, notice_max_ms: [u64; 2]) {
        if self.sockets[socket.0].broken {
            return;
        }
        self.sockets[socket.0].broken = true;
        self.note_socket(socket, "breaks");
        for side in [Side::Node, Side::Coordinator] {
            let wait = self.dice.millis(1, notice_max_ms[side.index()].max(1));
            self.after(wait, Event::Socket(socket, Item::Broken(side)));
        }
    }

    /// One end is gone without a word.
    pub(super) fn close_end(&mut self, socket: SocketKey, side: Side) {
        self.sockets[socket.0].ends[side.index()].closed = true;
    }

    pub(super) fn is_closed(&self, socket: SocketKey, side: Side) -> bool {
        self.sockets[socket.0].ends[side.index()].closed
    }

    /// What arrives, unless it is lost. An end that learns of the close is closed by that.
    pub(super) fn arrive_at_socket(&mut self, socket: SocketKey, item: Item) -> Option<Item> {
        let broken = self.sockets[socket.0].broken;
        let side = match &item {
            Item::Opened => Side::Node,
            Item::Signal(side, _) | Item::Closed(side, _) | Item::Broken(side) => *side,
        };
        let lost = broken && !matches!(item, Item::Broken(_));
        if lost || self.is_closed(socket, side) {
            return None;
        }
        match &item {
            Item::Closed(..) | Item::Broken(_) => {
                self.close_end(socket, side);
                self.note_socket(socket, "is closed");
            }
            Item::Signal(_, bytes) => {
                let node = self.sockets[socket.0].life.node;
                let (from, to) = match side {
                    Side::Node => (Node::Coordinator, node),
                    Side::Coordinator => (node, Node::Coordinator),
                };
                let bytes = bytes.clone();
                self.note(What::Signal { from, to, bytes });
            }
            Item::Opened => self.note_socket(socket, "is open"),
        }
        Some(item)
    }

    fn push(&mut self, socket: SocketKey, from: Side, item: Item) {
        if self.is_closed(socket, from) {
            return;
        }
        let node = self.sockets[socket.0].life.node;
        let at = self.arrival(node, Node::Coordinator);
        let end = &mut self.sockets[socket.0].ends[from.other().index()];
        end.last_arrival = end.last_arrival.max(at);
        let at = end.last_arrival;
        self.queue.push(at, Event::Socket(socket, item));
    }

    fn note_socket(&mut self, socket: SocketKey, event: &'static str) {
        let node = self.sockets[socket.0].life.node;
        self.note(What::Socket {
            node,
            socket,
            event,
        });
    }
}
