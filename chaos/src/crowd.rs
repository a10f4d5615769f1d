//! Some of the clients, in a process of their own: each subscribes to a topic, publishes on it, and
//! has everything that happens to it written down.

use std::{
    fs::OpenOptions,
    io::{BufWriter, Write as _},
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use client::{Client, Config, Endpoint, EndpointConfig, Event, Events, Lane, session::Published};
use tokio::{sync::mpsc, task::JoinSet, time::MissedTickBehavior};

use crate::log::{Line, Publication, What, now};

/// What a crowd is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// Where its clients dial.
    #[arg(long)]
    coordinator: String,
    /// The address of its sockets, by which the cable knows them.
    #[arg(long)]
    listen: IpAddr,
    /// The number of its first client.
    #[arg(long)]
    first: u32,
    #[arg(long)]
    clients: u32,
    /// Client n is interested in topic n modulo this.
    #[arg(long)]
    topics: u32,
    /// Between two publications of a client.
    #[arg(long)]
    every_ms: u64,
    /// Where it writes; it goes on behind what is there.
    #[arg(long)]
    log: PathBuf,
}

/// Runs until it is ended.
pub(crate) fn main(flags: Flags) -> anyhow::Result<()> {
    let token = std::env::var("BROKER_TOKEN").context("BROKER_TOKEN")?;
    let mut open = OpenOptions::new();
    let log = open.append(true).create(true).open(&flags.log);
    let log = log.context("the log")?;
    let (lines, written) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || write(BufWriter::new(log), written));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let config = Config::new(flags.coordinator.parse()?).with_token(token);
        let endpoint = Endpoint::new(EndpointConfig {
            listen: Some(flags.listen),
            ..EndpointConfig::default()
        })?;
        // No two lives of a process begin at the same nanosecond.
        let life = u64::try_from(now().as_nanos()).unwrap_or(u64::MAX);
        let mut everybody = JoinSet::new();
        for client in flags.first..flags.first + flags.clients {
            let (ours, events) = endpoint.connect(&config)?;
            let topic = format!("plaza/{}", client % flags.topics);
            let one = One {
                number: client,
                life,
                client: ours,
                topic,
                lines: lines.clone(),
            };
            let pace = Duration::from_millis(flags.every_ms);
            let phase = pace * (client - flags.first) / flags.clients;
            everybody.spawn(one.live(events, phase, pace));
        }
        tokio::signal::ctrl_c().await?;
        Ok(())
    })
}

/// One of the clients.
struct One {
    number: u32,
    life: u64,
    client: Client,
    topic: String,
    lines: mpsc::Sender<Line>,
}

impl One {
    async fn live(self, mut events: Events, phase: Duration, pace: Duration) {
        let mut asking = JoinSet::new();
        let (client, topic) = (self.client.clone(), self.topic.clone());
        // The client asks each server anew by itself; the fence below says that it has.
        asking.spawn(async move { client.subscribe(&[&topic]).await });
        self.tell(What::Born).await;
        tokio::time::sleep(phase).await;
        let mut due = tokio::time::interval(pace);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut number = 0;
        // The server that has not confirmed it yet.
        let mut at_server = None;
        let mut welcomed_as = None;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Connected { server, .. }) => at_server = Some(server),
                    Some(Event::Disconnected { .. }) => {
                        at_server = None;
                        self.tell(What::Away).await;
                    }
                    Some(Event::Message(message)) => {
                        if let Some(publication) = Publication::read(&message.body) {
                            self.tell(What::Got(publication)).await;
                        }
                    }
                    Some(Event::Stopped { .. }) | None => break,
                    Some(_) => {}
                },
                _ = due.tick() => {
                    if let Some(server) = at_server.filter(|_| asking.try_join_next().is_some() || asking.is_empty())
                        && self.confirm(server).await
                    {
                        at_server = None;
                    }
                    let alias = self.client.welcomed_as();
                    if let Some(alias) = alias.filter(|_| alias != welcomed_as) {
                        self.tell(What::Welcomed(alias)).await;
                    }
                    welcomed_as = alias;
                    self.publish(number).await;
                    number += 1;
                }
            }
        }
        self.tell(What::Stopped).await;
    }

    /// Asks the server whether it has everything that it was asked, the subscription among it.
    async fn confirm(&self, server: u64) -> bool {
        let flushed = tokio::time::timeout(FLUSH_MAX, self.client.flush()).await;
        let still = matches!(
            self.client.state(),
            client::session::State::Connected { server: at, .. } if at == server
        );
        let confirmed = still && matches!(flushed, Ok(Ok(())));
        if confirmed {
            self.tell(What::Subscribed(server)).await;
        }
        confirmed
    }

    async fn publish(&self, number: u64) {
        let publication = Publication {
            client: self.number,
            life: self.life,
            number,
        };
        let sent = self
            .client
            .publish(&self.topic, Lane::Reliable, publication.body())
            .await;
        match sent {
            Ok(Published::Sent) => self.tell(What::Sent(publication)).await,
            Ok(_) => self.tell(What::Queued(publication)).await,
            // It was told so; there is nothing to be lost.
            Err(_) => {}
        }
    }

    async fn tell(&self, what: What) {
        let line = Line {
            at: now(),
            client: self.number,
            what,
        };
        // The writer ends with the process.
        let _told = self.lines.send(line).await;
    }
}

/// Writes what there is, and then lets the system have it: a killed process has written all but the
/// last moment.
fn write(mut log: BufWriter<std::fs::File>, mut lines: mpsc::Receiver<Line>) {
    while let Some(line) = lines.blocking_recv() {
        let mut written = writeln!(log, "{line}");
        while let Ok(line) = lines.try_recv() {
            written = written.and_then(|()| writeln!(log, "{line}"));
        }
        if written.and_then(|()| log.flush()).is_err() {
            return;
        }
    }
}

/// Lines that wait to be written.
const LINES_MAX: usize = 4_096;
/// A client that is not answered in this time is told so by its own timeouts.
const FLUSH_MAX: Duration = Duration::from_secs(2);
