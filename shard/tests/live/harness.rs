//! A shard whose peers are driven from a test: each peer's events come through a channel of its
//! own, and anything can be done to the peers by a command that carries a closure.

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use shard::{
    Config, Event, Full, Handle, Handler, PeerKey, Peers, Sent, Shard, Stats,
    rtc_peer::{Certificate, CloseReason, Lane, Role, Signal},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub(crate) const ACCEPTOR: Role = Role::Acceptor { ice_lite: true };

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) type Command = Box<dyn FnOnce(Instant, &mut Routes, &mut Peers) + Send>;

/// Where each peer's events go.
#[derive(Default)]
pub(crate) struct Routes {
    channels: HashMap<PeerKey, mpsc::Sender<Event>>,
    /// Closes whoever sends a packet.
    close_on_packet: bool,
}

impl Handler for Routes {
    type Command = Command;

    fn handle_event(&mut self, now: Instant, event: Event, peers: &mut Peers) {
        let peer = event.peer();
        if self.close_on_packet && matches!(event, Event::Packet { .. }) {
            peers.close(now, peer);
        }
        let route = self.channels.get(&peer).expect("a peer that was opened");
        match route.try_send(event) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(error) => panic!("the test reads too slowly: {error}"),
        }
    }

    fn handle_command(&mut self, now: Instant, command: Command, peers: &mut Peers) {
        command(now, self, peers);
    }

    fn handle_timeout(&mut self, _now: Instant, _peers: &mut Peers) {}

    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

/// A running shard.
pub(crate) struct Node {
    pub(crate) handle: Handle<Command>,
    pub(crate) addr: SocketAddr,
    pub(crate) stats: Arc<Stats>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) fn config(seed: u64) -> Config {
    let mut config = Config::new(certificate(), seed);
    config.receive_buffers = 4;
    config
}

/// One for the test process: making one takes a moment.
pub(crate) fn certificate() -> Certificate {
    static CERTIFICATE: std::sync::OnceLock<Certificate> = std::sync::OnceLock::new();
    let make = || Certificate::generate().expect("a certificate");
    CERTIFICATE.get_or_init(make).clone()
}

impl Node {
    pub(crate) fn start(config: Config) -> Self {
        let shard = Shard::bind(config, Routes::default()).expect("binds");
        let shutdown = CancellationToken::new();
        Self {
            handle: shard.handle(),
            addr: shard.local_addr(),
            stats: shard.stats(),
            #[expect(clippy::disallowed_methods, reason = "the test ends with it")]
            task: tokio::spawn(shard.run(shutdown.clone())),
            shutdown,
        }
    }

    /// Does something on the shard's task and brings back what it returns.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        f: impl FnOnce(Instant, &mut Peers) -> T + Send + 'static,
    ) -> T {
        call(&self.handle, |now, _, peers| f(now, peers)).await
    }

    /// From now on, closes whoever sends a packet.
    pub(crate) async fn close_on_packet(&self) {
        call(&self.handle, |_, routes, _| routes.close_on_packet = true).await;
    }

    pub(crate) async fn open(&self, role: Role) -> Result<TestPeer, Full> {
        let (sender, events) = mpsc::channel(100_000);
        let key = call(&self.handle, move |now, routes, peers| {
            let key = peers.open(now, role)?;
            routes.channels.insert(key, sender);
            Ok(key)
        })
        .await?;
        Ok(TestPeer {
            handle: self.handle.clone(),
            key,
            events,
            lanes: 0,
            ufrag: String::new(),
        })
    }

    /// Stops the shard, which must not take long.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        within("the shard to stop", self.task).await.expect("ends");
    }
}

async fn call<T: Send + 'static>(
    handle: &Handle<Command>,
    f: impl FnOnce(Instant, &mut Routes, &mut Peers) -> T + Send + 'static,
) -> T {
    let (reply, answer) = oneshot::channel();
    let command: Command = Box::new(move |now, routes, peers| {
        _ = reply.send(f(now, routes, peers));
    });
    let sent = handle.send(command).await;
    assert!(sent.is_ok(), "the shard is gone");
    within("a command", answer).await.expect("answered")
}

/// A peer of a node.
pub(crate) struct TestPeer {
    handle: Handle<Command>,
    pub(crate) key: PeerKey,
    pub(crate) events: mpsc::Receiver<Event>,
    /// Lanes that opened.
    lanes: usize,
    /// Username fragment, once its description passed by.
    pub(crate) ufrag: String,
}

impl TestPeer {
    pub(crate) async fn event(&mut self) -> Event {
        let event = within("an event", self.events.recv()).await;
        event.expect("the shard runs")
    }

    /// The next packet; nothing else may come before it.
    pub(crate) async fn packet(&mut self) -> (Lane, Bytes) {
        match self.event().await {
            Event::Packet { lane, bytes, .. } => (lane, bytes),
            event => panic!("a packet was due, not {event:?}"),
        }
    }

    /// Waits for the end, whatever comes before it.
    pub(crate) async fn closed(&mut self) -> CloseReason {
        loop {
            if let Event::Closed { reason, .. } = self.event().await {
                return reason;
            }
        }
    }

    pub(crate) async fn signal(&self, signal: Signal) {
        let key = self.key;
        call(&self.handle, move |now, _, peers| {
            peers.handle_signal(now, key, signal);
        })
        .await;
    }

    pub(crate) async fn send(&self, lane: Lane, bytes: impl Into<Bytes>) -> Sent {
        let (key, bytes) = (self.key, bytes.into());
        call(&self.handle, move |now, _, peers| {
            peers.send(now, key, lane, &bytes)
        })
        .await
    }

    /// Sends many in one pass.
    pub(crate) async fn send_all(&self, lane: Lane, packets: Vec<Bytes>) -> Vec<Sent> {
        let key = self.key;
        call(&self.handle, move |now, _, peers| {
            let packets = packets.iter();
            packets.map(|p| peers.send(now, key, lane, p)).collect()
        })
        .await
    }

    /// Takes an event while connecting; a signal is to be carried on.
    fn note(&mut self, event: Option<Event>) -> Option<Signal> {
        match event.expect("the shard runs") {
            Event::Signal { signal, .. } => {
                let text = String::from_utf8_lossy(&signal.data).into_owned();
                if let Some((_, rest)) = text.split_once("ice-ufrag:") {
                    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+/".contains(c));
                    self.ufrag = rest[..end.expect("a line end")].to_owned();
                }
                return Some(signal);
            }
            Event::LaneOpen { .. } => self.lanes += 1,
            event => panic!("unexpected while connecting: {event:?}"),
        }
        None
    }

    pub(crate) async fn close(&self) {
        let key = self.key;
        call(&self.handle, move |now, _, peers| peers.close(now, key)).await;
    }
}

/// Carries signals between two peers until both have both lanes.
pub(crate) async fn introduce(acceptor: &mut TestPeer, dialer: &mut TestPeer) {
    introduce_through(acceptor, dialer, |text| text).await;
}

/// As [`introduce`], with what the acceptor says rewritten on its way.
pub(crate) async fn introduce_through(
    acceptor: &mut TestPeer,
    dialer: &mut TestPeer,
    rewrite: impl Fn(String) -> String,
) {
    within("both lanes of both", async {
        while acceptor.lanes < 2 || dialer.lanes < 2 {
            tokio::select! {
                event = acceptor.events.recv() => {
                    if let Some(signal) = acceptor.note(event) {
                        let text = String::from_utf8(signal.data.to_vec()).expect("JSON");
                        let data = rewrite(text).into();
                        dialer.signal(Signal { data, ..signal }).await;
                    }
                }
                event = dialer.events.recv() => {
                    if let Some(signal) = dialer.note(event) {
                        acceptor.signal(signal).await;
                    }
                }
            }
        }
    })
    .await;
}

/// Two shards with a connected pair.
pub(crate) async fn pair(server: Config, client: Config) -> (Node, Node, TestPeer, TestPeer) {
    let (server, client) = (Node::start(server), Node::start(client));
    let mut acceptor = server.open(ACCEPTOR).await.expect("room");
    let mut dialer = client.open(Role::Dialer).await.expect("room");
    introduce(&mut acceptor, &mut dialer).await;
    (server, client, acceptor, dialer)
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} for {what}"),
    }
}

/// A packet that says which it is.
pub(crate) fn numbered(n: u64, len: usize) -> Bytes {
    let mut bytes = n.to_be_bytes().to_vec();
    bytes.resize(len.max(8), 0x5a);
    bytes.into()
}

pub(crate) fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"))
}
