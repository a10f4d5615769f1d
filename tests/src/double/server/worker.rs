//! The server's task: signalling, peers, and what goes to whom.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::super::engine::{Behaviour, Channels, Lane, Trickle};
use super::super::peer::{Event, Peer};
use super::super::routing::{Table, is_server};
use super::super::session::Session;
use super::super::topic_list;
use super::super::wire::{
    Auth, ConnectionRefused, Kind, Message, Role, Subscription, TopicFw, TopicIdentityFw, decode,
};
use super::{Options, QUEUE, Seen};

/// A peer's own name: an alias may come back, and an old peer's last words must not hit the new.
type Key = (u64, u64);

struct Slot {
    generation: u64,
    peer: Peer,
    open: BTreeSet<Lane>,
    authenticated: bool,
    /// This server asked for the offer.
    dialed: bool,
}

pub(super) struct Worker {
    session: Option<Session>,
    options: Options,
    table: Table,
    peers: BTreeMap<u64, Slot>,
    /// Peers that were closed and still say goodbye, by generation.
    leaving: BTreeMap<u64, Peer>,
    generations: u64,
    announced: BTreeSet<String>,
    events: mpsc::Sender<(Key, Event)>,
    inbox: mpsc::Receiver<(Key, Event)>,
    report: mpsc::Sender<Result<Seen>>,
}

impl Worker {
    pub(super) fn new(
        session: Session,
        options: Options,
        report: mpsc::Sender<Result<Seen>>,
    ) -> Self {
        let (events, inbox) = mpsc::channel(QUEUE);
        Self {
            session: Some(session),
            table: Table {
                is_hub: options.is_hub,
                ..Table::default()
            },
            options,
            peers: BTreeMap::new(),
            leaving: BTreeMap::new(),
            generations: 0,
            announced: BTreeSet::new(),
            events,
            inbox,
            report,
        }
    }

    pub(super) async fn run(mut self) {
        if let Err(error) = self.serve().await {
            drop(self.report.send(Err(error)).await);
        }
    }

    async fn serve(&mut self) -> Result<()> {
        loop {
            let next_signal = async {
                match &mut self.session {
                    Some(session) => session.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                signal = next_signal => match signal {
                    Ok(Some(signal)) => self.handle_signal(signal.message).await?,
                    // It never comes back, and its peers stay.
                    Ok(None) | Err(_) => self.session = None,
                },
                Some((key, event)) = self.inbox.recv() => self.handle_event(key, event).await?,
            }
        }
    }

    // --- signalling ---

    pub(super) async fn dial(&mut self, alias: u64) -> Result<()> {
        self.open(alias, true).await?;
        self.session
            .as_mut()
            .context("no coordinator")?
            .connect(alias)
            .await
    }

    async fn open(&mut self, alias: u64, dialed: bool) -> Result<()> {
        self.generations += 1;
        let generation = self.generations;
        let peer = Peer::open((alias, generation), BEHAVIOUR, self.events.clone()).await?;
        let slot = Slot {
            generation,
            peer,
            open: BTreeSet::new(),
            authenticated: dialed,
            dialed,
        };
        self.peers.insert(alias, slot);
        let role = if dialed {
            Role::CommunicationServer
        } else {
            Role::Unknown
        };
        self.table.insert(alias, role);
        Ok(())
    }

    async fn handle_signal(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Connect(connect) => self.handle_connect(connect.from_alias).await,
            Message::WebRtc(signal) => {
                let alias = signal.from_alias;
                if signal.kind() == Kind::Offer && !self.peers.contains_key(&alias) {
                    self.open(alias, false).await?;
                }
                if let Some(slot) = self.peers.get(&alias) {
                    slot.peer.signal(signal.kind(), signal.data).await;
                }
                Ok(())
            }
            Message::ConnectionRefused(refusal) => {
                self.forget(refusal.from_alias, format!("refused, {}", refusal.reason))
                    .await
            }
            _ => Ok(()),
        }
    }

    async fn handle_connect(&mut self, alias: u64) -> Result<()> {
        self.peers.remove(&alias);
        self.table.peers.remove(&alias);
        if self.options.peers_max > 0 && self.peers.len() >= self.options.peers_max {
            let refusal = ConnectionRefused {
                kind: Kind::ConnectionRefused.into(),
                to_alias: alias,
                reason: 1,
                ..ConnectionRefused::default()
            };
            let session = self.session.as_mut().context("no coordinator")?;
            return session.send(&Message::ConnectionRefused(refusal)).await;
        }
        self.open(alias, false).await?;
        if let Some(slot) = self.peers.get(&alias) {
            slot.peer.offer().await;
        }
        Ok(())
    }

    // --- peers ---

    async fn handle_event(&mut self, (alias, generation): Key, event: Event) -> Result<()> {
        let Some(slot) = self
            .peers
            .get_mut(&alias)
            .filter(|slot| slot.generation == generation)
        else {
            if matches!(event, Event::Closed(_)) {
                self.leaving.remove(&generation);
            }
            return Ok(());
        };
        match event {
            Event::Signal(kind, data) => {
                let Some(session) = &mut self.session else {
                    return Ok(());
                };
                session.webrtc(kind, alias, data).await
            }
            Event::Open(lane) => {
                slot.open.insert(lane);
                let says_auth = slot.dialed && lane == Lane::Reliable;
                if says_auth {
                    self.introduce(alias).await
                } else {
                    Ok(())
                }
            }
            Event::Packet(_, bytes) if bytes.len() > READ_BYTES_MAX => {
                self.forget(alias, format!("a message of {} bytes", bytes.len()))
                    .await
            }
            Event::Packet(lane, bytes) => self.handle_packet(alias, lane, bytes).await,
            Event::Closed(reason) => {
                self.forget(alias, reason).await?;
                // Its task is over: no goodbye is to come.
                self.leaving.remove(&generation);
                Ok(())
            }
        }
    }

    /// Says who this is to a server that was dialed, and what it wants.
    async fn introduce(&mut self, alias: u64) -> Result<()> {
        let role = if self.options.is_hub {
            Role::CommunicationServerHub
        } else {
            Role::CommunicationServer
        };
        let body = self.options.auth_body.clone();
        let auth = Auth {
            kind: Kind::Auth.into(),
            role: role.into(),
            body,
        };
        self.send(alias, Lane::Reliable, Message::Auth(auth).encode())
            .await;
        self.announce_to(alias).await;
        Ok(())
    }

    async fn handle_packet(&mut self, alias: u64, lane: Lane, bytes: Bytes) -> Result<()> {
        let authenticated = self
            .peers
            .get(&alias)
            .is_some_and(|slot| slot.authenticated);
        let Ok(decoded) = decode(&bytes) else {
            return self
                .forget(alias, "a message that does not decode".to_owned())
                .await;
        };
        match decoded.message {
            Message::Auth(auth) if !authenticated && lane == Lane::Reliable => {
                self.handle_auth(alias, auth).await
            }
            _ if !authenticated && lane == Lane::Reliable => {
                self.forget(alias, "something came before AUTH".to_owned())
                    .await
            }
            _ if !authenticated => Ok(()),
            Message::Ping(_) => {
                self.send(alias, lane, bytes).await;
                Ok(())
            }
            Message::Subscription(set) if lane == Lane::Reliable => {
                self.handle_subscription(alias, &set).await
            }
            message @ (Message::Topic(_) | Message::TopicIdentity(_)) => {
                self.see(Seen::Packet { alias, lane, bytes }).await?;
                self.forward(alias, lane, message).await;
                Ok(())
            }
            _ => {
                let kind = bytes.get(1).copied().unwrap_or_default();
                self.see(Seen::Skipped {
                    alias,
                    kind: kind.into(),
                })
                .await
            }
        }
    }

    async fn handle_auth(&mut self, alias: u64, auth: Auth) -> Result<()> {
        let role = auth.role();
        // The authenticator that the 2019 servers ship with lets everybody in.
        if role == Role::Unknown {
            return self.forget(alias, "AUTH as nobody".to_owned()).await;
        }
        if let Some(slot) = self.peers.get_mut(&alias) {
            slot.authenticated = true;
        }
        if let Some(entry) = self.table.peers.get_mut(&alias) {
            entry.role = role;
            entry.identity = auth.body;
        }
        if is_server(role) {
            self.announce_to(alias).await;
        }
        self.see(Seen::Authenticated { alias, role }).await
    }

    async fn handle_subscription(&mut self, alias: u64, set: &Subscription) -> Result<()> {
        let topics = topic_list::read(set).with_context(|| format!("the list of {alias}"))?;
        if let Some(entry) = self.table.peers.get_mut(&alias) {
            entry.topics.clone_from(&topics);
        }
        self.see(Seen::Topics { alias, topics }).await?;
        self.announce_change().await;
        Ok(())
    }

    async fn forward(&mut self, sender: u64, lane: Lane, message: Message) {
        let origin = self.table.peers.get(&sender);
        let from_server = origin.is_some_and(|entry| is_server(entry.role));
        let identity = origin.map(|entry| (entry.identity.clone(), i32::from(entry.role)));
        let (topic, out, on) = match message {
            Message::Topic(mut packet) => {
                if !from_server {
                    packet.from_alias = sender;
                }
                let out = Message::TopicFw(TopicFw {
                    kind: Kind::TopicFw.into(),
                    from_alias: packet.from_alias,
                    body: packet.body.clone(),
                });
                (packet.topic.clone(), out, Message::Topic(packet))
            }
            Message::TopicIdentity(mut packet) => {
                if !from_server {
                    packet.from_alias = sender;
                    (packet.identity, packet.role) = identity.unwrap_or_default();
                }
                let out = Message::TopicIdentityFw(TopicIdentityFw {
                    kind: Kind::TopicIdentityFw.into(),
                    from_alias: packet.from_alias,
                    identity: packet.identity.clone(),
                    role: packet.role,
                    body: packet.body.clone(),
                });
                (packet.topic.clone(), out, Message::TopicIdentity(packet))
            }
            _ => return,
        };
        let (out, on) = (out.encode(), on.encode());
        for alias in self.table.clients(&topic, sender) {
            self.send(alias, lane, out.clone()).await;
        }
        for alias in self.table.servers(&topic, sender) {
            self.send(alias, lane, on.clone()).await;
        }
    }

    /// The whole list to all servers, when it has changed.
    async fn announce_change(&mut self) {
        let topics = self.table.topics();
        if topics == self.announced {
            return;
        }
        self.announced = topics;
        for alias in self.table.links() {
            self.announce_to(alias).await;
        }
    }

    async fn announce_to(&mut self, alias: u64) {
        let list = topic_list::plain(self.table.topics());
        self.send(alias, Lane::Reliable, Message::Subscription(list).encode())
            .await;
    }

    async fn send(&self, alias: u64, lane: Lane, bytes: Bytes) {
        if let Some(slot) = self
            .peers
            .get(&alias)
            .filter(|slot| slot.open.contains(&lane))
        {
            slot.peer.send(lane, bytes).await;
        }
    }

    async fn forget(&mut self, alias: u64, reason: String) -> Result<()> {
        if let Some(slot) = self.peers.remove(&alias) {
            slot.peer.close().await;
            self.leaving.insert(slot.generation, slot.peer);
            self.table.peers.remove(&alias);
            self.announce_change().await;
            self.see(Seen::Closed { alias, reason }).await?;
        }
        Ok(())
    }

    async fn see(&self, seen: Seen) -> Result<()> {
        Ok(self.report.send(Ok(seen)).await?)
    }
}

const BEHAVIOUR: Behaviour = Behaviour {
    uses: Channels::Own,
    trickle: Trickle::Before,
    dtls_passive: false,
    ignores_size_limit: false,
    extra_candidates: Vec::new(),
};
/// A 2019 server reads no larger messages: it closes the peer.
const READ_BYTES_MAX: usize = 5120;
