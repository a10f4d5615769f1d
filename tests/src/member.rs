//! One of our own clients, as a test holds it: the client, its events, and patience.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use client::session::{Published, State};
use client::{Client, Config, Endpoint, EndpointConfig, Event, Events, Message};
use proto::{Lane, Reason};
use tokio::time::timeout;

use crate::PATIENCE;

/// A connected client.
#[derive(Debug)]
pub struct Member {
    /// To subscribe and publish with.
    pub client: Client,
    events: Events,
    fences: u64,
}

impl Member {
    /// Joins through the coordinator at `url`.
    ///
    /// # Errors
    /// When no server takes it in.
    pub async fn join(url: &str) -> Result<Self> {
        Self::join_as(&config(url)?).await
    }

    /// The same with a configuration of its own.
    ///
    /// # Errors
    /// When no server takes it in.
    pub async fn join_as(config: &Config) -> Result<Self> {
        let mut member = Self::start(config)?;
        member.connected().await?;
        Ok(member)
    }

    /// The same, without waiting for a server.
    ///
    /// # Errors
    /// When there is no socket to be had.
    pub fn start(config: &Config) -> Result<Self> {
        let listen = Some(Ipv4Addr::LOCALHOST.into());
        let endpoint = Endpoint::new(EndpointConfig {
            listen,
            ..EndpointConfig::default()
        })?;
        let (client, events) = endpoint.connect(config)?;
        Ok(Self {
            client,
            events,
            fences: 0,
        })
    }

    /// Joins again and again until the coordinator's choice, which is random, is `server`.
    ///
    /// # Errors
    /// When no server takes it in, or chance is very unkind.
    pub async fn join_server(url: &str, server: u64) -> Result<Self> {
        for _ in 0..100 {
            let member = Self::join(url).await?;
            if member.server() == Some(server) {
                return Ok(member);
            }
            member.client.close().await;
        }
        bail!("a hundred clients, and none was assigned to {server}")
    }

    /// Its alias.
    ///
    /// # Panics
    /// When it is not connected.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test that asks has connected it")]
    pub fn alias(&self) -> u64 {
        self.client.alias().expect("a connected client")
    }

    /// The server that it is connected to.
    #[must_use]
    pub fn server(&self) -> Option<u64> {
        match self.client.state() {
            State::Connected { server, .. } => Some(server),
            _ => None,
        }
    }

    /// The next event.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn expect(&mut self) -> Result<Event> {
        let next = timeout(PATIENCE, self.events.recv()).await;
        next.with_context(|| format!("no event, {:?}", self.client.state()))?
            .context("it is over")
    }

    /// The next message; anything else that comes before it is an error.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn message(&mut self) -> Result<Message> {
        match self.expect().await? {
            Event::Message(message) => Ok(message),
            other => bail!("{other:?} instead of a message"),
        }
    }

    /// Waits until a server has taken it in, and yields the server's alias; what comes before,
    /// messages included, is skipped.
    ///
    /// # Errors
    /// When that does not happen, or the client gives up for good.
    pub async fn connected(&mut self) -> Result<u64> {
        let connected = async {
            loop {
                match self.events.recv().await.context("it is over")? {
                    Event::Connected { server, .. } => return Ok(server),
                    Event::Stopped { reason } => bail!("stopped: {reason:?}"),
                    _ => {}
                }
            }
        };
        let joined = timeout(PATIENCE, connected).await;
        joined.with_context(|| format!("no server, {:?}", self.client.state()))?
    }

    /// Waits until it has stopped for good, and yields why; what comes before is skipped.
    ///
    /// # Errors
    /// When it goes on.
    pub async fn stopped(&mut self) -> Result<Reason> {
        let stopped = async {
            loop {
                match self.events.recv().await {
                    Some(Event::Stopped { reason }) => return Ok(reason),
                    Some(_) => {}
                    None => bail!("it ended without a word"),
                }
            }
        };
        timeout(PATIENCE, stopped).await.context("it goes on")?
    }

    /// Publishes, and demands that it goes out at once.
    ///
    /// # Errors
    /// When it does not.
    pub async fn publish(&self, topic: &str, lane: Lane, body: impl Into<Bytes>) -> Result<()> {
        let published = self.client.publish(topic, lane, body).await?;
        ensure!(
            published == Published::Sent,
            "{published:?} instead of sent"
        );
        Ok(())
    }

    /// Waits until the server has handled all that went before on the reliable lane, and yields
    /// what came in the meantime: a request and its answer are the fence.
    ///
    /// # Errors
    /// When the answer does not come.
    pub async fn settle(&mut self) -> Result<Vec<Event>> {
        self.fences += 1;
        let topic = format!("fence/{}/{}", self.alias(), self.fences);
        let answer = timeout(PATIENCE, self.client.subscribe(&[&topic])).await;
        answer.context("no answer to a request")??;
        timeout(PATIENCE, self.client.unsubscribe(&[&topic]))
            .await
            .context("no answer")??;
        Ok(std::iter::from_fn(|| self.events.try_recv()).collect())
    }

    /// Receives until the bodies of every publisher in `lasts` have come to the given one, and
    /// yields all bodies, by publisher, in the order in which they came.
    ///
    /// # Errors
    /// When something else than a message comes, or nothing any more.
    pub async fn receive_until(
        &mut self,
        mut lasts: BTreeMap<u64, Bytes>,
    ) -> Result<BTreeMap<u64, Vec<Bytes>>> {
        let mut received: BTreeMap<u64, Vec<Bytes>> = BTreeMap::new();
        while !lasts.is_empty() {
            let message = self.message().await.with_context(|| {
                let counts = received.iter().map(|(alias, bodies)| (alias, bodies.len()));
                format!(
                    "still waiting for {:?}, had {:?}",
                    lasts.keys(),
                    counts.collect::<Vec<_>>()
                )
            })?;
            if lasts.get(&message.from_alias) == Some(&message.body) {
                lasts.remove(&message.from_alias);
            }
            received
                .entry(message.from_alias)
                .or_default()
                .push(message.body);
        }
        Ok(received)
    }
}

/// A client's configuration for tests.
///
/// # Errors
/// When `url` is none.
pub fn config(url: &str) -> Result<Config> {
    Ok(Config::new(url.parse()?))
}
