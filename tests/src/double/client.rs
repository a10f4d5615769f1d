//! A 2019 client: dials `/connect`, takes the first server that it is told, answers its offer and
//! uses the channels that the server opens.

mod worker;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::worker::Worker;
use super::engine::{Behaviour, Channels, Lane, Trickle};
use super::peer::Peer;
use super::session::Session;
use super::topic_list;
use super::wire::{Auth, Kind, Message, Ping, Role, Subscription, Topic, TopicIdentity};
use crate::PATIENCE;

/// What a client receives from its server.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// TOPIC_FW. The topic is not in it.
    Forward {
        /// The channel it came on.
        lane: Lane,
        /// The publisher.
        from_alias: u64,
        /// What it published.
        body: Bytes,
    },
    /// TOPIC_IDENTITY_FW.
    Identity {
        /// The channel it came on.
        lane: Lane,
        /// The publisher.
        from_alias: u64,
        /// Who the server says that the publisher is.
        identity: Bytes,
        /// The role that it has there.
        role: i32,
        /// What it published.
        body: Bytes,
    },
    /// The echo of a PING.
    Pong {
        /// The channel it came on.
        lane: Lane,
        /// As it was sent.
        bytes: Bytes,
    },
    /// Something that a 2019 client does not know: never to be sent to one.
    Foreign {
        /// The channel it came on.
        lane: Lane,
        /// The message.
        bytes: Bytes,
        /// Its unknown field numbers; none when the type is the unknown part.
        fields: Vec<u32>,
    },
}

/// How a client behaves, beside what all do.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// What it adds to the coordinator's URL as `token`, when not empty.
    pub token: String,
    /// The server to go to; without it the first that the coordinator names.
    pub server: Option<u64>,
    /// When it tells its candidates.
    pub trickle: Trickle,
    /// Leaves the first DTLS flight to the server.
    pub dtls_passive: bool,
    /// Sends messages of any size, whatever the server says that it takes.
    pub ignores_size_limit: bool,
    /// Candidate lines to tell beside its own.
    pub extra_candidates: Vec<String>,
}

/// A handle to the client's task. Dropping it ends the client without a goodbye.
#[derive(Debug)]
pub struct Client {
    /// What the coordinator calls it.
    pub alias: u64,
    /// The server that it is connected to.
    pub server: u64,
    commands: mpsc::Sender<Command>,
    packets: mpsc::Receiver<Result<Packet>>,
    pings: f64,
    _task: JoinSet<()>,
}

#[derive(Debug)]
enum Command {
    Send(Lane, Bytes),
    Move,
    Close,
}

impl Client {
    /// Joins through the coordinator at `url` (`ws://host:port`) and waits for both channels.
    ///
    /// # Errors
    /// When there is no server, it refuses, or the channels do not open in time.
    pub async fn join(url: &str) -> Result<Self> {
        Self::join_as(url, &Manner::default()).await
    }

    /// The same in a manner of its own.
    ///
    /// # Errors
    /// As [`Self::join`].
    pub async fn join_as(url: &str, manner: &Manner) -> Result<Self> {
        let mut url = format!("{url}/connect");
        if !manner.token.is_empty() {
            url = format!("{url}?token={}", manner.token);
        }
        let mut session = Session::dial(&url).await?;
        let first = session.available_servers.first().copied();
        let server = manner.server.or(first).context("WELCOME names no server")?;
        let alias = session.alias;
        session.connect(server).await?;
        let (events, inbox) = mpsc::channel(QUEUE);
        let behaviour = Behaviour {
            uses: Channels::Remote,
            trickle: manner.trickle,
            dtls_passive: manner.dtls_passive,
            ignores_size_limit: manner.ignores_size_limit,
            extra_candidates: manner.extra_candidates.clone(),
        };
        let peer = Peer::open((), behaviour, events).await?;
        let (commands, outbox) = mpsc::channel(QUEUE);
        let (deliver, packets) = mpsc::channel(QUEUE);
        let (opened, open) = oneshot::channel();
        let mut task = JoinSet::new();
        let worker = Worker {
            session: Some(session),
            server,
            peer,
            inbox,
            outbox,
            deliver,
            lanes: BTreeSet::new(),
            opened: Some(opened),
        };
        task.spawn(worker.run());
        let mut client = Self {
            alias,
            server,
            commands,
            packets,
            pings: 0.0,
            _task: task,
        };
        match timeout(PATIENCE, open)
            .await
            .context("the channels did not open in time")?
        {
            Ok(()) => Ok(client),
            Err(_) => bail!("before the channels were open: {}", client.closed().await?),
        }
    }

    /// Sends AUTH as a client.
    pub async fn auth(&self, body: &'static [u8]) {
        self.auth_as(Role::Client, body).await;
    }

    /// Sends AUTH with any role.
    pub async fn auth_as(&self, role: Role, body: &'static [u8]) {
        let auth = Auth {
            kind: Kind::Auth.into(),
            role: role.into(),
            body: Bytes::from_static(body),
        };
        self.send(Lane::Reliable, Message::Auth(auth).encode())
            .await;
    }

    /// Replaces the set of topics, as plain text.
    pub async fn subscribe(&self, topics: &[&str]) {
        self.subscription(topic_list::plain(topics)).await;
    }

    /// Replaces the set of topics, gzipped.
    ///
    /// # Errors
    /// Not in memory.
    pub async fn subscribe_gzip(&self, topics: &[&str]) -> Result<()> {
        self.subscription(topic_list::gzip(topics)?).await;
        Ok(())
    }

    /// Publishes a packet.
    pub async fn publish(&self, lane: Lane, topic: &str, body: impl Into<Bytes>) {
        let packet = Topic {
            kind: Kind::Topic.into(),
            // A lie: the server is to write the truth over it.
            from_alias: self.alias.wrapping_add(1),
            topic: topic.to_owned(),
            body: body.into(),
        };
        self.send(lane, Message::Topic(packet).encode()).await;
    }

    /// Publishes a packet that is to carry this client's identity.
    pub async fn publish_identity(&self, lane: Lane, topic: &str, body: impl Into<Bytes>) {
        let packet = TopicIdentity {
            kind: Kind::TopicIdentity.into(),
            from_alias: self.alias.wrapping_add(1),
            topic: topic.to_owned(),
            // Lies, as above.
            identity: Bytes::from_static(b"the king"),
            role: Role::CommunicationServerHub.into(),
            body: body.into(),
        };
        self.send(lane, Message::TopicIdentity(packet).encode())
            .await;
    }

    /// Sends any bytes.
    pub async fn send(&self, lane: Lane, bytes: Bytes) {
        // A client that is over says so in its packets.
        drop(self.commands.send(Command::Send(lane, bytes)).await);
    }

    /// The next packet, within [`PATIENCE`].
    ///
    /// # Errors
    /// When none comes, or the peer is over.
    pub async fn expect(&mut self) -> Result<Packet> {
        timeout(PATIENCE, self.packets.recv())
            .await
            .with_context(|| format!("client {} was sent nothing in time", self.alias))?
            .context("the client is over")?
    }

    /// Waits until the server has handled all that was sent on `reliable` before, and yields what
    /// came in the meantime: a PING and its echo are the fence.
    ///
    /// # Errors
    /// When the echo does not come.
    pub async fn settle(&mut self) -> Result<Vec<Packet>> {
        let fence = self.ping(Lane::Reliable).await;
        let mut before = Vec::new();
        loop {
            match self.expect().await? {
                Packet::Pong {
                    lane: Lane::Reliable,
                    bytes,
                } if bytes == fence => return Ok(before),
                packet => before.push(packet),
            }
        }
    }

    /// Sends a PING that differs from all before, and yields its bytes.
    pub async fn ping(&mut self, lane: Lane) -> Bytes {
        self.pings += 1.0;
        let ping = Ping {
            kind: Kind::Ping.into(),
            time: self.pings,
        };
        let bytes = Message::Ping(ping).encode();
        self.send(lane, bytes.clone()).await;
        bytes
    }

    /// Waits for the end of the peer and yields the reason; packets before it are skipped.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn closed(&mut self) -> Result<String> {
        let end = async {
            loop {
                match self.packets.recv().await {
                    Some(Ok(_)) => {}
                    Some(Err(reason)) => return format!("{reason:#}"),
                    None => return "the client is over".to_owned(),
                }
            }
        };
        timeout(PATIENCE, end)
            .await
            .context("the peer is still there")
    }

    /// Goes on from another address, without a word, as when a NAT forgets the old one.
    pub async fn move_away(&self) {
        drop(self.commands.send(Command::Move).await);
    }

    /// Says goodbye and waits until it is said.
    ///
    /// # Errors
    /// When it takes too long.
    pub async fn close(mut self) -> Result<()> {
        drop(self.commands.send(Command::Close).await);
        self.closed().await.map(drop)
    }

    async fn subscription(&self, set: Subscription) {
        self.send(Lane::Reliable, Message::Subscription(set).encode())
            .await;
    }
}

/// Packets and commands that may wait.
const QUEUE: usize = 4096;
