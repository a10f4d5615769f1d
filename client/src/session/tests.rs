//! Scripted conversations with a session: the test plays the coordinator, the server and the
//! engine.

mod connect;
mod convergence;
mod farewell;
mod flush;
mod garbage;
mod moves;
mod publish;
mod reconnect;
mod resume;
mod storm;
mod subscribe;
mod tokens;

use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::{
    AckMessage, AuthMessage, Capability, ConnectMessage, ErrorMessage, Lane, Message as _,
    MessageType, PingMessage, ReadyMessage, Reason, RefreshMessage, Role, ServerEntry, ServerState,
    ServersMessage, SubscribeMessage, SubscriptionMessage, TopicFwMessage, UnsubscribeMessage,
    WebRtcMessage, WelcomeMessage, frame, peek,
};

use super::*;

/// A session, its time, and what it did.
struct Script {
    session: Session,
    now: Instant,
    outputs: VecDeque<Output>,
}

const ALIAS: u64 = 1000;

impl Script {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let now = Instant::now();
        let mut script = Self {
            session: Session::new(now, config),
            now,
            outputs: VecDeque::new(),
        };
        script.drain();
        script
    }

    /// Connected to server 7, with server 8 to fall back on, and everything said so far taken.
    fn connected() -> Self {
        Self::connected_with(Config::default())
    }

    fn connected_with(config: Config) -> Self {
        let mut script = Self::with(config);
        script.reach_server(&[7, 8]);
        script.packet(ready(ALIAS, 16 * 1024));
        assert!(matches!(script.session.state(), State::Connected { .. }));
        script.outputs.clear();
        script
    }

    /// From dialing to AUTH sent, on the first of `servers`.
    fn reach_server(&mut self, servers: &[u64]) {
        let socket = self.take_dial();
        self.input(Input::SignallingOpened { socket });
        self.signal(welcome(ALIAS, servers));
        // Whoever moves leaves its old server first.
        self.outputs
            .retain(|output| matches!(output, Output::Signal { .. }));
        self.take_connect();
        self.signal(offer(servers[0]));
        self.open_lanes();
    }

    fn open_lanes(&mut self) {
        let peer = self.peer();
        for lane in Lane::ALL {
            self.input(Input::LaneOpened { peer, lane });
        }
    }

    fn input(&mut self, input: Input) {
        self.session.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            self.outputs.push_back(output);
        }
        self.session.check_invariants();
    }

    /// Jumps to the next deadline.
    fn sleep(&mut self) -> Duration {
        let deadline = self.session.next_deadline().expect("something to wait for");
        let slept = deadline.saturating_duration_since(self.now);
        self.now = deadline.max(self.now);
        self.input(Input::Tick);
        slept
    }

    /// Sleeps until the next dial, and forgets what else is said meanwhile.
    fn sleep_until_dial(&mut self) {
        let is_dial = |output: &Output| matches!(output, Output::Dial { .. });
        while !self.outputs.iter().any(is_dial) {
            self.sleep();
        }
        self.outputs.retain(is_dial);
    }

    fn advance(&mut self, duration: Duration) {
        self.now += duration;
        self.input(Input::Tick);
    }

    fn signal(&mut self, message: impl proto::Message) {
        let socket = SocketId(self.session.stats().dials);
        let bytes = message.encode_to_vec().into();
        self.input(Input::Signal { socket, bytes });
    }

    fn packet(&mut self, message: impl proto::Message) {
        self.packet_on(Lane::Reliable, message);
    }

    fn packet_on(&mut self, lane: Lane, message: impl proto::Message) {
        let peer = self.peer();
        let bytes = message.encode_to_vec().into();
        self.input(Input::Packet { peer, lane, bytes });
    }

    /// The server echoes the PING that is next among the outputs.
    fn echo(&mut self) {
        let ping = self.take_sent(MessageType::Ping);
        self.packet(PingMessage::decode(ping).expect("a PING"));
    }

    /// The newest peer.
    fn peer(&self) -> PeerId {
        PeerId(self.session.stats().peers_opened)
    }

    fn take(&mut self) -> Output {
        self.outputs.pop_front().expect("an output")
    }

    fn take_dial(&mut self) -> SocketId {
        match self.take() {
            Output::Dial { socket, .. } => socket,
            other => panic!("expected Dial, got {other:?}"),
        }
    }

    /// The server that CONNECT asks for.
    fn take_connect(&mut self) -> u64 {
        match self.take() {
            Output::Signal { bytes, .. } => {
                assert_eq!(peek::message_type(&bytes), Some(MessageType::Connect));
                ConnectMessage::decode(bytes).expect("a CONNECT").to_alias
            }
            other => panic!("expected CONNECT, got {other:?}"),
        }
    }

    fn take_event(&mut self) -> Event {
        match self.take() {
            Output::Event(event) => event,
            other => panic!("expected an event, got {other:?}"),
        }
    }

    fn take_sent(&mut self, expected: MessageType) -> Bytes {
        match self.take() {
            Output::Send { frame, lane, .. } => {
                assert_eq!(peek::message_type(&frame), Some(expected));
                if expected != MessageType::Topic {
                    assert_eq!(lane, Lane::Reliable);
                }
                frame
            }
            other => panic!("expected {expected:?}, got {other:?}"),
        }
    }

    fn take_subscribe(&mut self) -> (u32, Vec<String>) {
        let frame = self.take_sent(MessageType::Subscribe);
        let subscribe = SubscribeMessage::decode(frame).expect("a SUBSCRIBE");
        (
            subscribe.id,
            subscribe
                .entries
                .into_iter()
                .map(|entry| entry.topic)
                .collect(),
        )
    }

    fn ack(&mut self, id: u32) {
        self.packet(AckMessage {
            r#type: MessageType::Ack.into(),
            id,
        });
    }

    fn assert_quiet(&self) {
        assert!(
            self.outputs.is_empty(),
            "nothing more expected: {:?}",
            self.outputs
        );
    }

    fn subscribe(&mut self, topics: &[&str]) -> RequestId {
        let request = self.session.subscribe(self.now, topics).expect("accepted");
        self.drain();
        request
    }

    fn unsubscribe(&mut self, topics: &[&str]) -> RequestId {
        let request = self
            .session
            .unsubscribe(self.now, topics)
            .expect("accepted");
        self.drain();
        request
    }

    fn publish(&mut self, lane: Lane, body: &'static [u8]) -> Result<Published, PublishError> {
        let result = self
            .session
            .publish("t", lane, Bytes::from_static(body), false);
        self.drain();
        result
    }

    fn lose_peer(&mut self) {
        let peer = self.peer();
        self.input(Input::PeerClosed {
            peer,
            reason: Reason::IdleTimeout,
        });
    }
}

fn welcome(alias: u64, servers: &[u64]) -> WelcomeMessage {
    WelcomeMessage {
        r#type: MessageType::Welcome.into(),
        alias,
        available_servers: servers.to_vec(),
        capabilities: vec![Capability::Requests.into()],
        ..WelcomeMessage::default()
    }
}

fn servers(version: u64, aliases: &[u64]) -> ServersMessage {
    let entry = |&alias| ServerEntry {
        alias,
        role: Role::CommunicationServer.into(),
        state: ServerState::Live.into(),
        ..Default::default()
    };
    ServersMessage {
        r#type: MessageType::Servers.into(),
        version,
        entries: aliases.iter().map(entry).collect(),
    }
}

fn offer(server: u64) -> WebRtcMessage {
    WebRtcMessage {
        r#type: MessageType::WebrtcOffer.into(),
        from_alias: server,
        data: Bytes::from_static(b"{offer}"),
        ..Default::default()
    }
}

fn ready(alias: u64, packet_limit: u32) -> ReadyMessage {
    ReadyMessage {
        r#type: MessageType::Ready.into(),
        alias,
        capabilities: frame::capabilities(false),
        packet_limit,
        ..Default::default()
    }
}

fn error(reason: Reason, id: u32) -> ErrorMessage {
    ErrorMessage::decode(reason.error_about(id, "", None)).expect("an ERROR")
}
