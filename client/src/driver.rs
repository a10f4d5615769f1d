//! Joins a session to its socket: the session says what to do, the shard and the signalling task
//! do it, and what happens there goes back into the session.
//!
//! Generic over who uses the session: the client's handle, or the load tester's bots.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use proto::{Lane, Reason};
use shard::{
    Handler, PeerKey, Peers, Sent,
    rtc_peer::{self, CloseReason},
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ConnectError,
    config::Config,
    credentials,
    endpoint::Endpoint,
    session::{
        self, Event, Input, Output, PeerId, Session, SignalKind, TokenRequest, TokenUnavailable,
    },
    signalling::{self, Manner, Order, Shown},
};

/// Who uses a session. All methods run on the session's own task and must not block; what they ask
/// of the session is done when they return.
pub trait App: Send + 'static {
    /// What other tasks may tell it.
    type Command: Send + 'static;

    /// The session has something to say.
    fn handle_event(&mut self, now: Instant, event: Event, session: &mut Session);

    /// A command came.
    fn handle_command(&mut self, now: Instant, command: Self::Command, session: &mut Session);

    /// [`App::next_deadline`] was reached.
    fn handle_timeout(&mut self, now: Instant, session: &mut Session) {
        _ = (now, session);
    }

    /// What passes between the session and the network, for whoever looks for faults there.
    fn inspect(&mut self, now: Instant, passing: Passing<'_>) {
        _ = (now, passing);
    }

    /// Everything of a pass was handled: the moment to publish numbers.
    fn handle_pass_end(&mut self, now: Instant, session: &Session) {
        _ = (now, session);
    }

    /// When to be called next by the clock.
    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

/// What an [`App`] may look at.
#[derive(Debug)]
pub enum Passing<'a> {
    /// A signal of the coordinator, before the session has it; it may be changed.
    Signal(&'a mut Bytes),
    /// A packet of the server, before the session has it.
    Packet(Lane, &'a Bytes),
    /// The peer's engine, at the end of a pass.
    Engine(&'a rtc_peer::Peer),
}

/// A running session.
#[derive(Debug)]
pub struct Running<C> {
    /// Tells the [`App`] things.
    pub commands: Commands<C>,
    /// What the socket counted.
    pub socket: Arc<shard::Stats>,
    /// Cancelled, it ends the session politely; it is cancelled when the session has stopped.
    pub stop: CancellationToken,
    /// Closed; empty when everything has ended.
    pub tasks: TaskTracker,
}

/// Tells an [`App`] things from other tasks.
#[derive(Debug)]
pub struct Commands<C>(shard::Handle<Command<C>>);

/// What the driver is told by other tasks.
#[derive(Debug)]
pub(crate) enum Command<C> {
    Signalling(Input),
    App(C),
}

impl<C> Commands<C> {
    /// Waits for room; false when the session's task is gone.
    pub async fn send(&self, command: C) -> bool {
        self.0.send(Command::App(command)).await.is_ok()
    }

    /// False when there is no room, or the session's task is gone.
    pub fn try_send(&self, command: C) -> bool {
        self.0.try_send(Command::App(command)).is_ok()
    }
}

impl<C> Clone for Commands<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Starts a session with a socket of its own, on the tokio runtime that this is called from.
///
/// # Errors
/// When the coordinator's URL or the region is none, or the system has no socket for us.
pub fn start<A: App>(
    endpoint: &Endpoint,
    config: &Config,
    app: A,
) -> Result<Running<A::Command>, ConnectError> {
    let seed = endpoint.next_seed();
    let signalling = config.signalling();
    signalling.request(Manner::Ours(&Shown::default()))?;
    if let Some(region) = &config.region
        && !proto::region::is_region(region)
    {
        return Err(ConnectError::BadRegion(region.clone()));
    }
    let (orders, order_queue) = mpsc::channel(ORDERS_MAX);
    let (questions, question_queue) = mpsc::channel(QUESTIONS_MAX);
    let stop = CancellationToken::new();
    let driver = Driver {
        session: Session::new(Instant::now(), config.session(seed)),
        app,
        orders,
        questions,
        peer: None,
        congested: false,
        stop: stop.clone(),
    };
    let shard = shard::Shard::bind(endpoint.shard_config(config, seed), driver)?;
    let commands = shard.handle();
    let socket = shard.stats();
    let tasks = TaskTracker::new();
    let signals = commands.clone();
    let tell = move |input| {
        let signals = signals.clone();
        async move { signals.send(Command::Signalling(input)).await.is_ok() }
    };
    if let Some(provider) = config.credentials.provider().cloned() {
        let answers = credentials::run(provider, question_queue, tell.clone(), stop.clone());
        tasks.spawn(answers);
    }
    tasks.spawn(signalling::run(signalling, order_queue, tell, stop.clone()));
    tasks.spawn(shard.run(stop.clone()));
    tasks.close();
    Ok(Running {
        commands: Commands(commands),
        socket,
        stop,
        tasks,
    })
}

/// The shard's owner: one session and its user.
struct Driver<A> {
    session: Session,
    app: A,
    orders: mpsc::Sender<Order>,
    questions: mpsc::Sender<TokenRequest>,
    /// The session's peer, as the shard knows it. There is one at a time.
    peer: Option<(PeerId, PeerKey)>,
    /// The reliable lane takes nothing more for now.
    congested: bool,
    stop: CancellationToken,
}

impl<A: App> Handler for Driver<A> {
    type Command = Command<A::Command>;

    fn handle_event(&mut self, now: Instant, event: shard::Event, peers: &mut Peers) {
        if let Some(input) = self.input(event, now, peers) {
            self.session.handle_input(now, input);
            self.pump(now, peers);
        }
    }

    fn handle_command(&mut self, now: Instant, command: Self::Command, peers: &mut Peers) {
        match command {
            Command::Signalling(mut input) => {
                if let Input::Signal { bytes, .. } = &mut input {
                    self.app.inspect(now, Passing::Signal(bytes));
                }
                self.session.handle_input(now, input);
            }
            Command::App(command) => self.app.handle_command(now, command, &mut self.session),
        }
        self.pump(now, peers);
    }

    fn handle_timeout(&mut self, now: Instant, peers: &mut Peers) {
        if self.session.next_deadline().is_some_and(|at| at <= now) {
            self.session.handle_input(now, Input::Tick);
        }
        if self.app.next_deadline().is_some_and(|at| at <= now) {
            self.app.handle_timeout(now, &mut self.session);
        }
        self.pump(now, peers);
    }

    fn handle_pass_end(&mut self, now: Instant, peers: &mut Peers) {
        if self.congested
            && let Some((peer, key)) = self.peer
            && peers.waiting_bytes(key, rtc_peer::Lane::Reliable) < WRITABLE_BYTES
        {
            self.congested = false;
            self.session.handle_input(now, Input::Writable { peer });
        }
        // The first output of a new session waits here, too.
        self.pump(now, peers);
        if let Some(engine) = self.peer.and_then(|(_, key)| peers.engine(key)) {
            self.app.inspect(now, Passing::Engine(engine));
        }
        self.app.handle_pass_end(now, &self.session);
    }

    fn handle_shutdown(&mut self, now: Instant, peers: &mut Peers) {
        self.session.close(Reason::Closed);
        self.pump(now, peers);
        self.app.handle_pass_end(now, &self.session);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.session
            .next_deadline()
            .into_iter()
            .chain(self.app.next_deadline())
            .min()
    }
}

impl<A: App> Driver<A> {
    /// Does what the session says until it says nothing more.
    fn pump(&mut self, now: Instant, peers: &mut Peers) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Event(event) => {
                    if matches!(event, Event::Stopped { .. }) {
                        self.stop.cancel();
                    }
                    self.app.handle_event(now, event, &mut self.session);
                }
                Output::Send { peer, lane, frame } => {
                    let Some(key) = self.key(peer) else { continue };
                    let sent = peers.send(now, key, rtc_lane(lane), &frame);
                    if lane == Lane::Reliable && sent != Sent::Accepted && !self.congested {
                        self.congested = true;
                        self.session.handle_input(now, Input::Congested { peer });
                    }
                }
                Output::FetchToken { request } => self.fetch_token(now, request),
                Output::Dial {
                    socket,
                    token,
                    resume,
                } => self.order(now, Order::Dial(socket, Shown { token, resume })),
                Output::HangUp { socket } => self.order(now, Order::HangUp(socket)),
                Output::Signal { socket, bytes } => self.order(now, Order::Signal(socket, bytes)),
                Output::OpenPeer { peer } => self.open(now, peer, peers),
                Output::RemoteSignal { peer, kind, data } => {
                    if let Some(key) = self.key(peer) {
                        let kind = rtc_kind(kind);
                        peers.handle_signal(now, key, rtc_peer::Signal { kind, data });
                    }
                }
                Output::ClosePeer { peer } => {
                    if let Some(key) = self.key(peer) {
                        self.peer = None;
                        self.congested = false;
                        peers.close(now, key);
                    }
                }
            }
        }
    }

    fn open(&mut self, now: Instant, peer: PeerId, peers: &mut Peers) {
        match peers.open(now, rtc_peer::Role::Dialer) {
            Ok(key) => {
                self.peer = Some((peer, key));
                self.congested = false;
            }
            // Former peers have not ended yet: the session tries again later.
            Err(shard::Full { .. }) => {
                let reason = Reason::Overloaded;
                self.session
                    .handle_input(now, Input::PeerClosed { peer, reason });
            }
        }
    }

    /// Passes a question on. Only the newest is asked, so a queue that is full means that nobody
    /// reads it.
    fn fetch_token(&mut self, now: Instant, request: TokenRequest) {
        if self.questions.try_send(request).is_err() {
            let result = Err(TokenUnavailable);
            self.session
                .handle_input(now, Input::Token { request, result });
        }
    }

    /// Passes an order on. The queue holds far more than one attempt needs: if it is full, the
    /// socket is stuck, and the session is told that it is gone.
    fn order(&mut self, now: Instant, order: Order) {
        let socket = match order {
            Order::Dial(socket, _) | Order::HangUp(socket) | Order::Signal(socket, _) => socket,
        };
        if self.orders.try_send(order).is_err() {
            let reason = Some(Reason::SessionQueueFull);
            self.session
                .handle_input(now, Input::SignallingClosed { socket, reason });
        }
    }

    /// What an event of the shard means to the session; `None` when it is about a former peer.
    fn input(&mut self, event: shard::Event, now: Instant, peers: &mut Peers) -> Option<Input> {
        use shard::Event as E;
        let (E::Signal { peer: of, .. }
        | E::LaneOpen { peer: of, .. }
        | E::Packet { peer: of, .. }
        | E::SlowConsumer { peer: of, .. }
        | E::Closed { peer: of, .. }) = &event;
        let (peer, key) = self.peer.filter(|(_, key)| key == of)?;
        Some(match event {
            E::Signal { signal, .. } => Input::LocalSignal {
                peer,
                kind: session_kind(signal.kind),
                data: signal.data,
            },
            E::LaneOpen { lane, .. } => {
                let lane = session_lane(lane);
                Input::LaneOpened { peer, lane }
            }
            E::Packet { lane, bytes, .. } => {
                let lane = session_lane(lane);
                self.app.inspect(now, Passing::Packet(lane, &bytes));
                Input::Packet { peer, lane, bytes }
            }
            E::SlowConsumer { .. } => {
                self.peer = None;
                peers.close(now, key);
                let reason = Reason::SlowConsumer;
                Input::PeerClosed { peer, reason }
            }
            E::Closed { reason, .. } => {
                self.peer = None;
                let reason = close_reason(reason);
                Input::PeerClosed { peer, reason }
            }
        })
    }

    fn key(&self, peer: PeerId) -> Option<PeerKey> {
        self.peer.filter(|(id, _)| *id == peer).map(|(_, key)| key)
    }
}

fn close_reason(reason: CloseReason) -> Reason {
    match reason {
        CloseReason::Local => Reason::Closed,
        CloseReason::HandshakeTimeout => Reason::HandshakeTimeout,
        CloseReason::IdleTimeout => Reason::IdleTimeout,
        CloseReason::MessageTooLarge => Reason::MessageTooLarge,
        CloseReason::BadDescription | CloseReason::FingerprintMismatch => Reason::ProtocolViolation,
        CloseReason::RemoteCode(code) => session::told_reason(code),
        CloseReason::Remote | CloseReason::DtlsFailed | CloseReason::SctpFailed => {
            Reason::TransportClosed
        }
    }
}

const fn rtc_lane(lane: Lane) -> rtc_peer::Lane {
    match lane {
        Lane::Reliable => rtc_peer::Lane::Reliable,
        Lane::Unreliable => rtc_peer::Lane::Unreliable,
    }
}

const fn session_lane(lane: rtc_peer::Lane) -> Lane {
    match lane {
        rtc_peer::Lane::Reliable => Lane::Reliable,
        rtc_peer::Lane::Unreliable => Lane::Unreliable,
    }
}

const fn rtc_kind(kind: SignalKind) -> rtc_peer::SignalKind {
    match kind {
        SignalKind::Offer => rtc_peer::SignalKind::Offer,
        SignalKind::Answer => rtc_peer::SignalKind::Answer,
        SignalKind::Candidate => rtc_peer::SignalKind::Candidate,
    }
}

const fn session_kind(kind: rtc_peer::SignalKind) -> SignalKind {
    match kind {
        rtc_peer::SignalKind::Offer => SignalKind::Offer,
        rtc_peer::SignalKind::Answer => SignalKind::Answer,
        rtc_peer::SignalKind::Candidate => SignalKind::Candidate,
    }
}

/// One attempt is a dial, a CONNECT, an answer and a handful of candidates.
const ORDERS_MAX: usize = 64;

/// Questions for a token; a newer one takes the place of an older one.
const QUESTIONS_MAX: usize = 4;

/// A congested lane takes publications again when it holds less than this: half of what the
/// engine buffers by default.
const WRITABLE_BYTES: usize = 64 * 1024;
