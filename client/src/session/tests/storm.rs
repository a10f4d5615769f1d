//! A session in a small world of its own: a coordinator, three servers, and every kind of trouble in
//! any order. Whatever happens, it keeps to the rules of its shell; and when the trouble is over, it
//! is somewhere, hears what it wants, and has lost nothing that waited.

use std::collections::BTreeSet;

use super::*;
use proptest::prelude::*;
use proto::{
    ConnectionRefusedMessage, ConnectionRefusedReason, MigrateMessage, PeerGoneMessage,
    ReplacedMessage, peek::TopicPacket,
};

#[derive(Debug, Clone)]
enum Trouble {
    /// Nothing, for so long.
    Wait(u16),
    /// The signalling socket breaks.
    Cut,
    /// The coordinator is away, or back.
    Coordinator(bool),
    /// It knows the resume tokens of before, or not.
    Resumption(bool),
    /// Another program has shown our token.
    Replaced(Teller),
    /// The peer is lost.
    Lose,
    /// The server refuses, or closes, with a reason that passes.
    Close,
    /// A server is full, draining or gone, or takes clients again.
    Server(u8, bool),
    /// Servers echo PINGs, or are slow to.
    Echoes(bool),
    Migrate(u16),
    PeerGone(bool),
    /// Whoever gives tokens has some, or not.
    Tokens(bool),
    Subscribe(u8),
    Unsubscribe(u8),
    Publish,
}

/// Who says so, and how.
#[derive(Debug, Clone, Copy)]
enum Teller {
    Signal,
    CloseCode,
    Server,
}

fn teller() -> impl Strategy<Value = Teller> {
    prop_oneof![
        Just(Teller::Signal),
        Just(Teller::CloseCode),
        Just(Teller::Server)
    ]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        6 => (0..20_000_u16).prop_map(Trouble::Wait),
        2 => Just(Trouble::Cut),
        2 => any::<bool>().prop_map(Trouble::Coordinator),
        1 => any::<bool>().prop_map(Trouble::Resumption),
        2 => teller().prop_map(Trouble::Replaced),
        2 => Just(Trouble::Lose),
        2 => Just(Trouble::Close),
        3 => (0..3_u8, any::<bool>()).prop_map(|(server, open)| Trouble::Server(server, open)),
        1 => any::<bool>().prop_map(Trouble::Echoes),
        3 => (0..10_000_u16).prop_map(Trouble::Migrate),
        2 => any::<bool>().prop_map(Trouble::PeerGone),
        2 => any::<bool>().prop_map(Trouble::Tokens),
        2 => (0..4_u8).prop_map(Trouble::Subscribe),
        1 => (0..4_u8).prop_map(Trouble::Unsubscribe),
        4 => Just(Trouble::Publish),
    ]
}

/// What there is besides the session.
struct World {
    script: Script,
    coordinator_is_there: bool,
    tokens_are_known: bool,
    servers_open: [bool; 3],
    servers_echo: bool,
    tokens_are_there: bool,
    /// The alias of the next session without a token.
    fresh: u64,
    socket: Option<SocketId>,
    /// The alias that the signalling session has.
    alias: u64,
    /// The token given last, if it is still to be shown.
    token: Option<String>,
    peer: Option<Peer>,
    /// PEER_GONE about the session before, on its way by the server.
    news: Option<u64>,
    published: u64,
    /// Numbers of the publications that servers got, in order.
    arrived: Vec<u64>,
}

struct Peer {
    id: PeerId,
    /// What its server has agreed to.
    topics: BTreeSet<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            script: Script::with(Config {
                seed,
                token: TokenSource::Asked,
                ..Config::default()
            }),
            coordinator_is_there: true,
            tokens_are_known: true,
            servers_open: [true; 3],
            servers_echo: true,
            tokens_are_there: true,
            fresh: 1_000,
            socket: None,
            alias: 0,
            token: None,
            peer: None,
            news: None,
            published: 0,
            arrived: Vec::new(),
        };
        world.settle();
        world
    }

    /// Does what the session says until it says nothing more. That takes no time, so it may not take
    /// for ever either.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            let Some(output) = self.script.outputs.pop_front() else {
                return;
            };
            self.handle(output);
        }
        panic!("it does not come to rest");
    }

    fn handle(&mut self, output: Output) {
        match output {
            Output::FetchToken { request } => {
                let token = Secret::new("token");
                let result = self
                    .tokens_are_there
                    .then_some(token)
                    .ok_or(TokenUnavailable);
                self.script.input(Input::Token { request, result });
            }
            Output::Dial { socket, resume, .. } => self.dialed(socket, resume),
            Output::HangUp { socket } => {
                assert_eq!(self.socket.take(), Some(socket), "it hangs up what is open");
                self.news = Some(self.alias);
            }
            Output::Signal { socket, bytes } => {
                assert_eq!(self.socket, Some(socket), "it speaks where it is heard");
                if peek::message_type(&bytes) == Some(MessageType::Connect) {
                    let connect = ConnectMessage::decode(bytes).expect("a CONNECT");
                    self.connected(connect.to_alias);
                }
            }
            Output::OpenPeer { peer } => {
                assert!(self.peer.is_none(), "one peer at a time");
                let topics = BTreeSet::new();
                self.peer = Some(Peer { id: peer, topics });
            }
            Output::RemoteSignal { peer, .. } => {
                self.assert_peer(peer);
                for lane in Lane::ALL {
                    self.script.input(Input::LaneOpened { peer, lane });
                }
            }
            Output::ClosePeer { peer } => {
                self.assert_peer(peer);
                self.peer = None;
            }
            Output::Send { peer, frame, .. } => {
                self.assert_peer(peer);
                self.served(frame);
            }
            Output::Event(event) => {
                assert!(!matches!(event, Event::Stopped { .. }), "nothing stops it");
            }
        }
    }

    fn assert_peer(&self, peer: PeerId) {
        let open = self.peer.as_ref().map(|peer| peer.id);
        assert_eq!(open, Some(peer), "it uses the peer that is open");
    }

    fn dialed(&mut self, socket: SocketId, resume: Option<Secret>) {
        assert!(self.socket.is_none(), "one socket at a time");
        let shown = resume.map(|token| String::from_utf8(token.expose().to_vec()).expect("text"));
        self.socket = Some(socket);
        if !self.coordinator_is_there {
            return self.cut();
        }
        assert_eq!(shown, self.token, "the token of the last WELCOME");
        let known = shown.filter(|_| self.tokens_are_known);
        match known.and_then(|token| token.parse().ok()) {
            Some(alias) => self.alias = alias,
            None => {
                self.fresh += 1;
                self.alias = self.fresh;
            }
        }
        self.token = Some(self.alias.to_string());
        self.script.input(Input::SignallingOpened { socket });
        let open = (1..=3).zip(self.servers_open).filter(|(_, open)| *open);
        let named: Vec<u64> = open.map(|(server, _)| server).collect();
        self.signal(WelcomeMessage {
            resume_token: self.alias.to_string(),
            ..welcome(self.alias, &named)
        });
        if let Some(gone) = self.news.take() {
            self.tell_gone(gone);
        }
    }

    fn connected(&mut self, server: u64) {
        let open = usize::try_from(server - 1).ok();
        let open = open.and_then(|server| self.servers_open.get(server));
        if open == Some(&true) {
            self.signal(offer(server));
        } else {
            self.signal(ConnectionRefusedMessage {
                r#type: MessageType::ConnectionRefused.into(),
                from_alias: server,
                reason: ConnectionRefusedReason::ServerFull.into(),
                ..Default::default()
            });
        }
    }

    fn served(&mut self, frame: Bytes) {
        let answer = match peek::message_type(&frame) {
            Some(MessageType::Auth) => ready(self.alias, 0).encode_to_vec().into(),
            Some(MessageType::Ping) if self.servers_echo => frame,
            Some(MessageType::Ping) => return,
            Some(MessageType::Subscribe) => {
                let message = SubscribeMessage::decode(frame).expect("a SUBSCRIBE");
                let topics = message.entries.into_iter().map(|entry| entry.topic);
                self.topics().extend(topics);
                ack(message.id)
            }
            Some(MessageType::Unsubscribe) => {
                let message = UnsubscribeMessage::decode(frame).expect("an UNSUBSCRIBE");
                for entry in message.entries {
                    self.topics().remove(&entry.topic);
                }
                ack(message.id)
            }
            Some(MessageType::Topic) => {
                let packet = TopicPacket::decode(&frame).expect("a TOPIC");
                self.arrived.push(packet.seq);
                return;
            }
            other => panic!("a server does not expect {other:?}"),
        };
        self.packet(answer);
    }

    fn topics(&mut self) -> &mut BTreeSet<String> {
        &mut self.peer.as_mut().expect("a peer").topics
    }

    fn signal(&mut self, message: impl proto::Message) {
        if let Some(socket) = self.socket {
            let bytes = message.encode_to_vec().into();
            self.script.input(Input::Signal { socket, bytes });
        }
    }

    fn packet(&mut self, bytes: Bytes) {
        if let Some(peer) = self.peer.as_ref().map(|peer| peer.id) {
            let lane = Lane::Reliable;
            self.script.input(Input::Packet { peer, lane, bytes });
        }
    }

    fn cut(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.news = Some(self.alias);
            let reason = None;
            self.script
                .input(Input::SignallingClosed { socket, reason });
        }
    }

    fn lose(&mut self) {
        if let Some(peer) = self.peer.take().map(|peer| peer.id) {
            let reason = Reason::IdleTimeout;
            self.script.input(Input::PeerClosed { peer, reason });
        }
    }

    /// So much time passes, deadline by deadline.
    fn wait(&mut self, duration: Duration) {
        let until = self.script.now + duration;
        while let Some(deadline) = self
            .script
            .session
            .next_deadline()
            .filter(|at| *at <= until)
        {
            self.script.now = deadline.max(self.script.now);
            self.script.input(Input::Tick);
            self.settle();
        }
        self.script.now = until;
    }

    fn make(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Wait(ms) => self.wait(Duration::from_millis(ms.into())),
            Trouble::Cut => self.cut(),
            Trouble::Coordinator(there) => {
                self.coordinator_is_there = there;
                if !there {
                    self.cut();
                }
            }
            Trouble::Resumption(known) => self.tokens_are_known = known,
            Trouble::Replaced(teller) => self.replace(teller),
            Trouble::Lose => self.lose(),
            Trouble::Close => self.packet(Reason::ShuttingDown.error_frame()),
            Trouble::Server(server, open) => {
                self.servers_open[usize::from(server)] = open;
                if open {
                    self.signal(servers(0, &[u64::from(server) + 1]));
                }
            }
            Trouble::Migrate(within_ms) => {
                let migrate = MigrateMessage {
                    r#type: MessageType::Migrate.into(),
                    within_ms: within_ms.into(),
                };
                self.packet(migrate.encode_to_vec().into());
            }
            Trouble::PeerGone(about_us) => self.tell_gone(if about_us { self.alias } else { 1 }),
            Trouble::Echoes(echo) => self.servers_echo = echo,
            Trouble::Tokens(there) => self.tokens_are_there = there,
            Trouble::Subscribe(topic) => {
                self.script.subscribe(&[&format!("t{topic}")]);
            }
            Trouble::Unsubscribe(topic) => {
                self.script.unsubscribe(&[&format!("t{topic}")]);
            }
            Trouble::Publish => {
                self.script.publish(Lane::Reliable, b"x").expect("room");
                self.published += 1;
            }
        }
        self.settle();
    }

    fn tell_gone(&mut self, alias: u64) {
        let gone = PeerGoneMessage {
            r#type: MessageType::PeerGone.into(),
            alias,
        };
        self.packet(gone.encode_to_vec().into());
    }

    fn replace(&mut self, teller: Teller) {
        let is_ready = matches!(self.script.session.state(), State::Connected { .. });
        match (teller, self.socket) {
            (Teller::Server, _) if is_ready => {
                self.token = None;
                self.packet(Reason::Replaced.error_frame());
            }
            (Teller::Signal, Some(_)) => {
                self.token = None;
                self.signal(ReplacedMessage {
                    r#type: MessageType::Replaced.into(),
                });
            }
            (Teller::CloseCode, Some(socket)) => {
                self.token = None;
                self.socket = None;
                let reason = Some(Reason::Replaced);
                self.script
                    .input(Input::SignallingClosed { socket, reason });
            }
            _ => {}
        }
    }

    /// The trouble is over.
    fn heal(&mut self) {
        self.coordinator_is_there = true;
        self.servers_open = [true; 3];
        self.servers_echo = true;
        self.tokens_are_there = true;
        self.signal(servers(0, &[1, 2, 3]));
        self.settle();
        self.wait(Duration::from_secs(60));
    }
}

fn ack(id: u32) -> Bytes {
    let ack = AckMessage {
        r#type: MessageType::Ack.into(),
        id,
    };
    ack.encode_to_vec().into()
}

proptest! {
    #[test]
    fn after_any_storm_it_is_where_it_wants_to_be(
        seed in any::<u64>(),
        troubles in proptest::collection::vec(trouble(), 0..60),
    ) {
        let mut world = World::new(seed);
        for trouble in troubles {
            world.make(trouble);
        }
        world.heal();
        let session = &world.script.session;
        let state = session.state();
        prop_assert!(matches!(state, State::Connected { .. }), "{:?}", state);
        prop_assert_eq!(session.queued(), 0);
        let wanted: BTreeSet<String> = session.subscriptions.topics().map(str::to_owned).collect();
        let has = world.peer.as_ref().map(|peer| peer.topics.clone());
        prop_assert_eq!(Some(wanted), has);
        // A world without travelling times loses nothing: all publications, in order, once.
        let all: Vec<u64> = (1..=world.published).collect();
        prop_assert_eq!(&world.arrived, &all);
        // And it stays there.
        let before = *session.stats();
        world.wait(Duration::from_secs(3_600));
        let after = world.script.session.stats();
        prop_assert_eq!((before.dials, before.connects), (after.dials, after.connects));
    }

    #[test]
    fn trouble_of_every_second_does_not_have_it_hammer_the_coordinator(
        seed in any::<u64>(),
        troubles in proptest::collection::vec(trouble(), 1..4),
    ) {
        let mut world = World::new(seed);
        let seconds = 120;
        for second in 0..seconds {
            let trouble = &troubles[second % troubles.len()];
            world.make(trouble.clone());
            world.wait(Duration::from_secs(1));
        }
        // The backoff alone would be far less; a peer that works in between starts it anew.
        let dials = world.script.session.stats().dials;
        prop_assert!(dials <= 2 * u64::try_from(seconds).expect("few"), "{} dials", dials);
    }
}
