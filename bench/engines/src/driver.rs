//! Owns the socket and all peers, and works in passes: reads, lets the engines take it, routes what
//! they tell, flushes each peer that was touched once, writes.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    time::Instant,
};

use bytes::Bytes;
use proto::{
    AuthMessage, Lane, Message as _, MessageType, SubscribeMessage, UnsubscribeMessage,
    frame::{Forward, Origin},
    peek,
};
use tokio::sync::mpsc;

use crate::{
    engine::{Engine, Event},
    messages,
    session::{self, Command, SERVER},
    socket::Socket,
    topics::Topics,
};

/// The relay.
pub(crate) struct Driver<E: Engine> {
    socket: Socket,
    shared: E::Shared,
    clients: Vec<Option<Client<E>>>,
    by_alias: HashMap<u64, usize>,
    by_ufrag: HashMap<String, usize>,
    by_addr: HashMap<SocketAddr, usize>,
    deadlines: BTreeSet<(Instant, usize)>,
    topics: Topics,
    touched: Vec<usize>,
    aliases: u64,
}

struct Client<E> {
    alias: u64,
    signals: mpsc::Sender<Bytes>,
    peer: Option<E>,
    deadline: Option<Instant>,
    touched: bool,
}

impl<E: Engine> Driver<E> {
    pub(crate) fn new(socket: Socket) -> anyhow::Result<Self> {
        Ok(Self {
            socket,
            shared: E::shared()?,
            clients: Vec::new(),
            by_alias: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_addr: HashMap::new(),
            deadlines: BTreeSet::new(),
            topics: Topics::default(),
            touched: Vec::new(),
            aliases: SERVER,
        })
    }

    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> anyhow::Result<()> {
        loop {
            let due = self.deadlines.first().map(|(at, _)| *at);
            let timer = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let command = tokio::select! {
                readable = self.socket.readable() => readable.map(|()| None)?,
                command = commands.recv() => command,
                () = timer => None,
            };
            if let Some(command) = command {
                self.obey(command);
            }
            self.pass().await;
            // Signalling shares the thread.
            tokio::task::yield_now().await;
        }
    }

    async fn pass(&mut self) {
        let now = Instant::now();
        let mut received = Vec::new();
        for _ in 0..RECEIVES_MAX {
            let more = self
                .socket
                .receive(|remote, bytes| received.push((remote, bytes.to_vec())));
            let mut events = Vec::new();
            for (remote, bytes) in received.drain(..) {
                self.receive(now, remote, &bytes, &mut events);
            }
            if !more {
                break;
            }
        }
        while let Some(&(at, slot)) = self.deadlines.first()
            && at <= now
        {
            self.set_deadline(slot, None);
            if let Some(peer) = self.peer(slot) {
                peer.handle_timeout(now);
            }
            self.touch(slot);
        }
        self.flush(now);
        self.socket.write().await;
    }

    fn receive(&mut self, now: Instant, remote: SocketAddr, bytes: &[u8], events: &mut Vec<Event>) {
        let slot = match self.by_addr.get(&remote) {
            Some(slot) => Some(*slot),
            None => ufrag(bytes).and_then(|user| self.by_ufrag.get(user).copied()),
        };
        let Some(slot) = slot else { return };
        let local = self.socket.local();
        let batch = self.socket.batch();
        let client = self.clients.get_mut(slot).and_then(Option::as_mut);
        let Some(peer) = client.and_then(|client| client.peer.as_mut()) else {
            return;
        };
        peer.receive(now, local, remote, bytes);
        // One of the engines takes no second datagram before it was drained.
        peer.drain(now, events, batch);
        self.by_addr.insert(remote, slot);
        self.touch(slot);
        for event in events.drain(..) {
            self.handle(now, slot, event);
        }
    }

    /// Until nobody has anything to tell: each peer is drained after all that was sent to it.
    fn flush(&mut self, now: Instant) {
        let mut events = Vec::new();
        while let Some(slot) = self.touched.pop() {
            let batch = self.socket.batch();
            let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else {
                continue;
            };
            client.touched = false;
            let Some(peer) = &mut client.peer else {
                continue;
            };
            peer.drain(now, &mut events, batch);
            let deadline = peer.deadline();
            self.set_deadline(slot, deadline);
            for event in events.drain(..) {
                self.handle(now, slot, event);
            }
        }
    }

    fn handle(&mut self, now: Instant, slot: usize, event: Event) {
        match event {
            Event::Packet(lane, bytes) => {
                // What cannot be read is dropped.
                let _handled = self.packet(now, slot, lane, &bytes);
            }
            Event::Closed => {
                if let Some(client) = self.clients.get(slot).and_then(Option::as_ref) {
                    self.leave(client.alias);
                }
            }
        }
    }

    fn packet(&mut self, now: Instant, slot: usize, lane: Lane, bytes: &Bytes) -> Option<()> {
        let alias = self.clients.get(slot)?.as_ref()?.alias;
        match peek::message_type(bytes)? {
            MessageType::Topic => {
                let packet = peek::TopicPacket::decode(bytes)?;
                let origin = Origin {
                    alias,
                    identity: b"",
                    role: proto::Role::Client.into(),
                };
                let frame = Forward::new(&packet, origin).with_topic();
                for index in 0..self.topics.subscribers(packet.topic).len() {
                    let to = *self.topics.subscribers(packet.topic).get(index)?;
                    if to != slot {
                        self.send(now, to, lane, &frame);
                    }
                }
            }
            MessageType::Ping => self.send(now, slot, lane, bytes),
            MessageType::Auth => {
                AuthMessage::decode(&bytes[..]).ok()?;
                self.send(now, slot, lane, &messages::ready(alias));
            }
            MessageType::Subscribe => {
                let message = SubscribeMessage::decode(&bytes[..]).ok()?;
                for entry in &message.entries {
                    self.topics.subscribe(slot, &entry.topic);
                }
                self.send(now, slot, lane, &messages::ack(message.id));
            }
            MessageType::Unsubscribe => {
                let message = UnsubscribeMessage::decode(&bytes[..]).ok()?;
                for entry in &message.entries {
                    self.topics.unsubscribe(slot, &entry.topic);
                }
                self.send(now, slot, lane, &messages::ack(message.id));
            }
            _ => {}
        }
        Some(())
    }

    /// A full buffer drops on the unreliable lane, and on the reliable one the peer is too slow.
    fn send(&mut self, now: Instant, slot: usize, lane: Lane, frame: &Bytes) {
        let Some(peer) = self.peer(slot) else { return };
        let sent = peer.send(now, lane, frame);
        self.touch(slot);
        if !sent
            && lane == Lane::Reliable
            && let Some(client) = self.clients.get(slot).and_then(Option::as_ref)
        {
            self.leave(client.alias);
        }
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Join { signals } => self.join(signals),
            Command::Connect { alias } => {
                // A peer that cannot be made is none.
                let _opened = self.connect(now, alias);
            }
            Command::Answer { alias, data } => {
                if let Some(slot) = self.slot(alias) {
                    let _answered = self.peer(slot).map(|peer| peer.answer(now, &data));
                    self.touch(slot);
                }
            }
            Command::Candidate { alias, data } => {
                if let Some(slot) = self.slot(alias) {
                    let _added = self.peer(slot).map(|peer| peer.candidate(&data));
                    self.touch(slot);
                }
            }
            Command::Leave { alias } => self.leave(alias),
        }
    }

    fn join(&mut self, signals: mpsc::Sender<Bytes>) {
        self.aliases += 1;
        let alias = self.aliases;
        let _told = signals.try_send(session::welcome(alias));
        let client = Some(Client {
            alias,
            signals,
            peer: None,
            deadline: None,
            touched: false,
        });
        let slot = self.clients.iter().position(Option::is_none);
        let slot = slot.unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        if let Some(place) = self.clients.get_mut(slot) {
            *place = client;
        }
        self.by_alias.insert(alias, slot);
    }

    fn connect(&mut self, now: Instant, alias: u64) -> anyhow::Result<()> {
        let Some(slot) = self.slot(alias) else {
            return Ok(());
        };
        let (peer, offer) = E::open(now, &self.shared, self.socket.local())?;
        self.by_ufrag.insert(peer.ufrag().to_owned(), slot);
        if let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) {
            client.peer = Some(peer);
            let signal = messages::signal(alias, MessageType::WebrtcOffer, offer);
            let _told = client.signals.try_send(signal);
        }
        self.touch(slot);
        Ok(())
    }

    fn leave(&mut self, alias: u64) {
        let Some(slot) = self.by_alias.remove(&alias) else {
            return;
        };
        self.set_deadline(slot, None);
        self.topics.leave(slot);
        self.by_addr.retain(|_, other| *other != slot);
        self.by_ufrag.retain(|_, other| *other != slot);
        if let Some(place) = self.clients.get_mut(slot) {
            *place = None;
        }
    }

    fn slot(&self, alias: u64) -> Option<usize> {
        self.by_alias.get(&alias).copied()
    }

    fn peer(&mut self, slot: usize) -> Option<&mut E> {
        self.clients.get_mut(slot)?.as_mut()?.peer.as_mut()
    }

    fn touch(&mut self, slot: usize) {
        if let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut)
            && !std::mem::replace(&mut client.touched, true)
        {
            self.touched.push(slot);
        }
    }

    fn set_deadline(&mut self, slot: usize, deadline: Option<Instant>) {
        let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if client.deadline == deadline {
            return;
        }
        if let Some(old) = std::mem::replace(&mut client.deadline, deadline) {
            self.deadlines.remove(&(old, slot));
        }
        if let Some(new) = deadline {
            self.deadlines.insert((new, slot));
        }
    }
}

/// Whom a connectivity check is for: the part of its USERNAME before the colon.
fn ufrag(bytes: &[u8]) -> Option<&str> {
    // A STUN header of 20 bytes, then attributes: type, length, value padded to four bytes.
    let mut rest = bytes.get(20..).filter(|_| bytes.first() == Some(&0))?;
    while let Some(([t0, t1, l0, l1], value)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if [*t0, *t1] == [0, 6] {
            let user = std::str::from_utf8(value.get(..length)?).ok()?;
            return user.split(':').next();
        }
        rest = value.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// Receive calls in a pass.
const RECEIVES_MAX: usize = 32;
