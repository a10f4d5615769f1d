//! A peer on the network: an engine, a UDP socket of its own and the task that drives both.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::engine::{Behaviour, Engine, Lane, Output};
use super::wire::Kind;

/// What a peer tells its owner.
#[derive(Debug)]
pub(super) enum Event {
    /// For the other side, by way of the coordinator.
    Signal(Kind, Bytes),
    /// A channel is open.
    Open(Lane),
    /// A message came.
    Packet(Lane, Bytes),
    /// The peer is over, and why. Nothing follows.
    Closed(String),
}

#[derive(Debug)]
enum Command {
    Offer,
    Signal(Kind, Bytes),
    Send(Lane, Bytes),
    Move,
    Close,
}

/// A handle to a peer's task. Dropping it ends the task without a goodbye, as a crash does.
#[derive(Debug)]
pub(super) struct Peer {
    commands: mpsc::Sender<Command>,
    _task: JoinSet<()>,
}

impl Peer {
    /// Opens a peer; its events go to `events` under the name `key`.
    pub(super) async fn open<K: Copy + Send + 'static>(
        key: K,
        behaviour: Behaviour,
        events: mpsc::Sender<(K, Event)>,
    ) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let engine = Engine::new(Instant::now(), socket.local_addr()?, behaviour)?;
        let (commands, inbox) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut driver = Driver {
                engine,
                socket,
                inbox,
                key,
                events,
            };
            let reason = match driver.run().await {
                Ok(()) => "closed by the other side".to_owned(),
                Err(error) => {
                    driver.say_goodbye().await;
                    format!("{error:#}")
                }
            };
            // The owner may have gone first: then nobody is left to be told.
            drop(driver.events.send((key, Event::Closed(reason))).await);
        });
        Ok(Self {
            commands,
            _task: task,
        })
    }

    pub(super) async fn offer(&self) {
        self.command(Command::Offer).await;
    }

    pub(super) async fn signal(&self, kind: Kind, data: Bytes) {
        self.command(Command::Signal(kind, data)).await;
    }

    pub(super) async fn send(&self, lane: Lane, bytes: Bytes) {
        self.command(Command::Send(lane, bytes)).await;
    }

    /// Takes another socket; the engine is not told.
    pub(super) async fn move_away(&self) {
        self.command(Command::Move).await;
    }

    pub(super) async fn close(&self) {
        self.command(Command::Close).await;
    }

    /// A peer that is over has said so in its events; what comes later is nobody's.
    async fn command(&self, command: Command) {
        drop(self.commands.send(command).await);
    }
}

struct Driver<K> {
    engine: Engine,
    socket: UdpSocket,
    inbox: mpsc::Receiver<Command>,
    key: K,
    events: mpsc::Sender<(K, Event)>,
}

impl<K: Copy> Driver<K> {
    async fn run(&mut self) -> Result<()> {
        let mut datagram = vec![0; 2048];
        loop {
            if self.flush().await? {
                return Ok(());
            }
            let now = Instant::now();
            let deadline = self
                .engine
                .next_deadline()
                .unwrap_or(now + Duration::from_secs(60));
            if deadline <= now {
                self.engine.handle_timeout(now)?;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline.into()) => {
                    self.engine.handle_timeout(Instant::now())?;
                }
                received = self.socket.recv_from(&mut datagram) => {
                    let (size, from) = received?;
                    let bytes = datagram.get(..size).unwrap_or_default();
                    self.engine.handle_datagram(Instant::now(), from, bytes);
                }
                command = self.inbox.recv() => match command {
                    Some(Command::Move) => {
                        self.socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                    }
                    Some(command) => self.handle_command(command)?,
                    None => return Err(anyhow!("dropped")),
                },
            }
        }
    }

    fn handle_command(&mut self, command: Command) -> Result<()> {
        let now = Instant::now();
        match command {
            Command::Offer => self.engine.offer(now),
            Command::Signal(kind, data) => self.engine.handle_signal(now, kind, &data),
            Command::Send(lane, bytes) => self.engine.send(now, lane, &bytes),
            Command::Move => Ok(()),
            Command::Close => Err(anyhow!("closed by this side")),
        }
    }

    /// As well as it can: the engine may be what failed.
    async fn say_goodbye(&mut self) {
        drop(self.engine.close());
        while let Some(output) = self.engine.poll_output() {
            if let Output::Transmit(to, bytes) = output {
                drop(self.socket.send_to(&bytes, to).await);
            }
        }
    }

    /// Carries out all that the engine wants; true when it is over.
    async fn flush(&mut self) -> Result<bool> {
        let mut over = false;
        while let Some(output) = self.engine.poll_output() {
            let event = match output {
                Output::Transmit(to, bytes) => {
                    // Refused by the other side's kernel: its socket is gone, ICE will notice.
                    drop(self.socket.send_to(&bytes, to).await);
                    continue;
                }
                Output::Closed => {
                    over = true;
                    continue;
                }
                Output::Signal(kind, data) => Event::Signal(kind, data),
                Output::Open(lane) => Event::Open(lane),
                Output::Packet(lane, bytes) => Event::Packet(lane, bytes),
            };
            self.events
                .send((self.key, event))
                .await
                .ok()
                .context("the owner is gone")?;
        }
        Ok(over)
    }
}

/// Commands that may wait for a peer's task.
const QUEUE: usize = 256;
