//! A subscriber that takes part in everything but reading: its SCTP window is shut. Our own engine
//! under a 2019 client's protocol, with both lanes paused.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use shard::rtc_peer::{
    Certificate, CloseReason, Config, Input, Lane, Output, Peer, Role, Signal, SignalKind,
};
use tests::PATIENCE;
use tests::double::Session;
use tests::double::wire::{Auth, Format, Kind, Message, Role as WireRole, Subscription, decode};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

/// A subscriber that reads nothing.
pub(crate) struct Sloth {
    leave: mpsc::Sender<()>,
    task: JoinSet<Result<Report>>,
}

/// What it has in the end.
#[derive(Debug)]
pub(crate) struct Report {
    /// Forwarded packets that reached it, though it did not read them while it was there.
    pub(crate) delivered: u64,
    /// How it ended.
    pub(crate) closed: CloseReason,
}

impl Sloth {
    /// Joins through the coordinator at `url`, subscribes, and reads nothing from then on.
    pub(crate) async fn join(url: &str, topic: &'static str) -> Result<Self> {
        let mut session = Session::dial(&format!("{url}/connect")).await?;
        let server = *session.available_servers.first().context("no server")?;
        session.connect(server).await?;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let local = socket.local_addr()?;
        let config = Config::new(Role::Dialer, Certificate::generate()?, vec![local], 1);
        let (leave, leaves) = mpsc::channel(1);
        let (subscribed, is_subscribed) = oneshot::channel();
        let worker = Worker {
            session,
            server,
            socket,
            peer: Peer::new(Instant::now(), config),
            topic,
            leaves,
            subscribed: Some(subscribed),
            open: 0,
            delivered: 0,
        };
        let mut task = JoinSet::new();
        task.spawn(worker.run());
        timeout(PATIENCE, is_subscribed)
            .await
            .context("it does not get in")??;
        Ok(Self { leave, task })
    }

    /// Waits until the server has closed it.
    pub(crate) async fn closed(mut self) -> Result<Report> {
        let ended = timeout(PATIENCE, self.task.join_next()).await;
        ended.context("it is there still")?.context("no task")??
    }

    /// Leaves by itself.
    pub(crate) async fn leave(self) -> Result<Report> {
        self.leave.send(()).await?;
        self.closed().await
    }
}

struct Worker {
    session: Session,
    server: u64,
    socket: UdpSocket,
    peer: Peer,
    topic: &'static str,
    leaves: mpsc::Receiver<()>,
    subscribed: Option<oneshot::Sender<()>>,
    open: usize,
    delivered: u64,
}

impl Worker {
    async fn run(mut self) -> Result<Report> {
        let mut buffer = vec![0; 2048];
        loop {
            if let Some(closed) = self.drain().await? {
                let delivered = self.delivered;
                return Ok(Report { delivered, closed });
            }
            let deadline = self.peer.next_deadline().context("it lives")?;
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let (length, remote) = received?;
                    let local = self.socket.local_addr()?;
                    let bytes = buffer.get(..length).unwrap_or_default();
                    let datagram = Input::Datagram { local, remote, bytes };
                    self.peer.handle_input(Instant::now(), datagram);
                }
                signal = self.session.next() => {
                    let signal = signal?.context("the session was closed")?;
                    self.handle_signal(signal.message);
                }
                () = sleep_until(deadline.into()) => {
                    self.peer.handle_input(Instant::now(), Input::Tick);
                }
                Some(()) = self.leaves.recv() => {
                    self.peer.handle_input(Instant::now(), Input::Close);
                }
            }
        }
    }

    fn handle_signal(&mut self, message: Message) {
        let Message::WebRtc(signal) = message else {
            return;
        };
        let kind = match signal.kind() {
            Kind::Offer => SignalKind::Offer,
            Kind::Candidate => SignalKind::Candidate,
            _ => return,
        };
        let data = signal.data;
        let signal = Input::Signal(Signal { kind, data });
        self.peer.handle_input(Instant::now(), signal);
    }

    async fn drain(&mut self) -> Result<Option<CloseReason>> {
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    self.socket
                        .send_to(&transmit.bytes, transmit.remote)
                        .await?;
                }
                Output::Signal(Signal { kind, data }) => {
                    let kind = match kind {
                        SignalKind::Answer => Kind::Answer,
                        SignalKind::Candidate => Kind::Candidate,
                        SignalKind::Offer => bail!("a dialer that offers"),
                    };
                    self.session.webrtc(kind, self.server, data).await?;
                }
                Output::LaneOpen(_) => {
                    self.open += 1;
                    if self.open == Lane::ALL.len() {
                        self.subscribe()?;
                    }
                }
                Output::Packet { bytes, .. } => {
                    let message = decode(&bytes)?.message;
                    self.delivered += u64::from(matches!(message, Message::TopicFw(_)));
                }
                Output::Writable(_) => {}
                Output::Closed(reason) => return Ok(Some(reason)),
            }
        }
        Ok(None)
    }

    /// The last thing before it falls asleep.
    fn subscribe(&mut self) -> Result<()> {
        let auth = Auth {
            kind: Kind::Auth.into(),
            role: WireRole::Client.into(),
            body: "".into(),
        };
        let subscription = Subscription {
            kind: Kind::Subscription.into(),
            format: Format::Plain.into(),
            topics: self.topic.into(),
        };
        let now = Instant::now();
        for message in [Message::Auth(auth), Message::Subscription(subscription)] {
            self.peer.send(now, Lane::Reliable, &message.encode())?;
        }
        for lane in Lane::ALL {
            self.peer.set_paused(now, lane, true);
        }
        if let Some(subscribed) = self.subscribed.take() {
            subscribed.send(()).ok();
        }
        Ok(())
    }
}
