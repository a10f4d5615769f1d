//! A client that is none of ours: it joins as a client does, and then does its mischief, or speaks
//! the 2019 protocol.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use client::session::{Input, Output, PeerId, SignalKind, SocketId};
use proto::{
    AuthMessage, Capability, ConnectMessage, Format, InterestMessage, Lane, Message as _,
    MessageType, PingMessage, RenamedMessage, Role, SubscribeMessage, SubscriptionEntry,
    SubscriptionMessage, TopicIdentityMessage, TopicMessage, WebRtcMessage, WelcomeMessage, peek,
    topic_list,
};

use super::{credentials, dice::Dice, plan::Mischief, publication::PublicationId, workload};

/// A rogue, driven like a session.
#[derive(Debug)]
pub(super) struct Rogue {
    mischief: Mischief,
    member: usize,
    dice: Dice,
    now: Instant,
    sockets: u64,
    peers: u64,
    signalling: bool,
    /// Its own, from WELCOME.
    alias: u64,
    /// The server that it turned to.
    server: u64,
    peer: Option<PeerId>,
    open: bool,
    published: u32,
    next: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Rogue {
    pub(super) fn new(
        mischief: Mischief,
        member: usize,
        published: u32,
        now: Instant,
        seed: u64,
    ) -> Self {
        let mut rogue = Self {
            mischief,
            member,
            dice: Dice::new(seed, "rogue"),
            now,
            sockets: 0,
            peers: 0,
            signalling: false,
            alias: 0,
            server: 0,
            peer: None,
            open: false,
            published,
            next: None,
            outputs: VecDeque::new(),
        };
        rogue.dial();
        rogue
    }

    pub(super) const fn published(&self) -> u32 {
        self.published
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) const fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = now;
        match input {
            Input::Tick => {
                self.next = None;
                if self.signalling {
                    self.act();
                } else {
                    self.dial();
                }
            }
            Input::SignallingOpened { .. } => self.signalling = true,
            Input::SignallingClosed { .. } => {
                self.signalling = false;
                self.sleep(3_000);
            }
            Input::Signal { bytes, .. } => self.hear(&bytes),
            Input::LocalSignal { kind, data, .. } => {
                let r#type = match kind {
                    SignalKind::Candidate => MessageType::WebrtcIceCandidate,
                    _ => MessageType::WebrtcAnswer,
                };
                self.signal(r#type, self.server, data);
            }
            Input::LaneOpened {
                lane: Lane::Reliable,
                ..
            } => {
                self.open = true;
                self.introduce();
                self.sleep(50);
            }
            Input::PeerClosed { .. } => {
                self.peer = None;
                self.open = false;
                self.sleep(2_000);
            }
            _ => {}
        }
    }

    fn dial(&mut self) {
        self.sockets += 1;
        let socket = SocketId(self.sockets);
        self.outputs.push_back(Output::Dial {
            socket,
            token: None,
            resume: None,
        });
    }

    fn sleep(&mut self, millis_max: u64) {
        self.next = Some(self.now + self.dice.millis(1, millis_max));
    }

    fn hear(&mut self, bytes: &Bytes) {
        match peek::message_type(bytes) {
            Some(MessageType::Welcome) => {
                if let Ok(welcome) = WelcomeMessage::decode(&bytes[..]) {
                    self.alias = welcome.alias;
                    self.server = welcome.available_servers.first().copied().unwrap_or(0);
                    self.connect();
                }
                self.sleep(500);
            }
            Some(MessageType::WebrtcOffer) if self.peer.is_none() => {
                let Ok(offer) = WebRtcMessage::decode(&bytes[..]) else {
                    return;
                };
                self.peers += 1;
                let peer = PeerId(self.peers);
                self.peer = Some(peer);
                self.outputs.push_back(Output::OpenPeer { peer });
                let (kind, data) = (SignalKind::Offer, offer.data);
                self.outputs
                    .push_back(Output::RemoteSignal { peer, kind, data });
            }
            _ => {}
        }
    }

    fn connect(&mut self) {
        let connect = ConnectMessage {
            r#type: MessageType::Connect.into(),
            from_alias: self.dice.number(),
            to_alias: self.server,
            from_role: Role::CommunicationServer.into(),
        };
        self.say(connect.encode_to_vec());
    }

    fn signal(&mut self, r#type: MessageType, to_alias: u64, data: Bytes) {
        let signal = WebRtcMessage {
            r#type: r#type.into(),
            from_alias: self.dice.number(),
            to_alias,
            data,
            from_role: Role::CommunicationServer.into(),
        };
        self.say(signal.encode_to_vec());
    }

    fn say(&mut self, bytes: Vec<u8>) {
        let socket = SocketId(self.sockets);
        let bytes = bytes.into();
        self.outputs.push_back(Output::Signal { socket, bytes });
    }

    fn send(&mut self, lane: Lane, frame: impl Into<Bytes>) {
        if let Some(peer) = self.peer {
            let frame = frame.into();
            self.outputs.push_back(Output::Send { peer, lane, frame });
        }
    }

    /// The first thing on a new peer.
    fn introduce(&mut self) {
        let (role, body) = match self.mischief {
            Mischief::Unauthenticated => {
                self.subscribe();
                return self.publish();
            }
            Mischief::WrongCredentials => (Role::Client, credentials::wrong_token()),
            Mischief::FalseServer => (Role::CommunicationServer, Bytes::from(self.dice.bytes(32))),
            Mischief::Mute => return,
            Mischief::Elder => return self.introduce_as_2019(),
            Mischief::Trespasser => (Role::Client, credentials::narrow_token(self.member)),
            Mischief::Liar | Mischief::Garbage | Mischief::Flooder | Mischief::Sprayer => {
                (Role::Client, credentials::token(self.member))
            }
        };
        let auth = AuthMessage {
            r#type: MessageType::Auth.into(),
            role: role.into(),
            body,
            capabilities: vec![
                Capability::ForwardTopic.into(),
                Capability::Requests.into(),
                Capability::DeltaInterest.into(),
            ],
            instance: self.dice.number(),
        };
        self.send(Lane::Reliable, auth.encode_to_vec());
        // All behind it, before the verdict.
        self.subscribe();
        self.act();
        if self.mischief == Mischief::Flooder {
            for _ in 0..100 {
                self.publish();
            }
        }
    }

    /// As a client of 2019 does: nothing is announced, nothing is waited for.
    fn introduce_as_2019(&mut self) {
        let auth = AuthMessage {
            r#type: MessageType::Auth.into(),
            role: Role::Client.into(),
            body: credentials::token(self.member),
            ..Default::default()
        };
        self.send(Lane::Reliable, auth.encode_to_vec());
        self.subscribe_as_2019();
    }

    /// The whole list, sometimes zipped, and a PING that shows when it has been read.
    fn subscribe_as_2019(&mut self) {
        let topics: Vec<String> = (0..workload::TOPICS_MAX)
            .filter(|_| self.dice.percent(70))
            .map(workload::topic)
            .collect();
        let plain = topic_list::encode_plain(topics.iter().map(String::as_str));
        let (format, topics) = if self.dice.percent(50) {
            (Format::Plain, plain)
        } else {
            (Format::Gzip, topic_list::compress(&plain))
        };
        let subscription = SubscriptionMessage {
            r#type: MessageType::Subscription.into(),
            format: format.into(),
            topics,
        };
        self.send(Lane::Reliable, subscription.encode_to_vec());
        let ping = PingMessage {
            r#type: MessageType::Ping.into(),
            time: f64::from(self.published),
        };
        self.send(Lane::Reliable, ping.encode_to_vec());
    }

    fn subscribe(&mut self) {
        let topics: Vec<String> = (0..workload::TOPICS_MAX).map(workload::topic).collect();
        let entries = topics.iter().map(|topic| SubscriptionEntry {
            topic: topic.clone(),
            options: None,
        });
        let subscribe = SubscribeMessage {
            r#type: MessageType::Subscribe.into(),
            id: 1,
            entries: entries.collect(),
        };
        self.send(Lane::Reliable, subscribe.encode_to_vec());
        if self.mischief == Mischief::FalseServer {
            let interest = InterestMessage {
                r#type: MessageType::Interest.into(),
                version: 1,
                add: topics,
                remove: Vec::new(),
                snapshot_begin: true,
                snapshot_end: true,
            };
            self.send(Lane::Reliable, interest.encode_to_vec());
        }
    }

    fn act(&mut self) {
        self.sleep(400);
        if self.mischief == Mischief::Sprayer {
            self.spray();
        }
        if !self.open {
            if self.peer.is_none() && self.dice.percent(30) {
                self.connect();
            }
            return;
        }
        match self.mischief {
            Mischief::Mute => {}
            Mischief::Elder if self.dice.percent(10) => self.subscribe_as_2019(),
            Mischief::Elder => self.publish_as_2019(),
            Mischief::Garbage => self.garbage(),
            _ => self.publish(),
        }
    }

    /// A publication that claims to be somebody else's.
    fn publish(&mut self) {
        let lane = Lane::ALL[self.dice.below(2)];
        let id = self.next_id();
        let topic = workload::topic(self.dice.below(workload::TOPICS_MAX));
        let hops = [0, 0, 0, 1, 2, 9][self.dice.below(6)];
        let from_alias = self.alias.wrapping_sub(64 * (1 + self.dice.number() % 4));
        let frame = if self.dice.percent(50) {
            TopicMessage {
                r#type: MessageType::Topic.into(),
                from_alias,
                topic,
                body: id.body(0),
                hops,
                seq: self.dice.number() % 5,
            }
            .encode_to_vec()
        } else {
            TopicIdentityMessage {
                r#type: MessageType::TopicIdentity.into(),
                from_alias,
                topic,
                identity: Bytes::from_static(b"client0"),
                role: Role::CommunicationServer.into(),
                body: id.body(0),
                hops,
                seq: 0,
            }
            .encode_to_vec()
        };
        self.send(lane, frame);
    }

    fn publish_as_2019(&mut self) {
        let lane = Lane::ALL[self.dice.below(2)];
        let topic = workload::topic(self.dice.below(workload::TOPICS_MAX));
        let body = self.next_id().body(10);
        let with_identity = self.dice.percent(30);
        self.send(lane, proto::frame::publish(&topic, body, 0, with_identity));
    }

    fn next_id(&mut self) -> PublicationId {
        let number = self.published;
        self.published += 1;
        let member = u32::try_from(self.member).unwrap_or(u32::MAX);
        PublicationId { member, number }
    }

    fn garbage(&mut self) {
        let lane = Lane::ALL[self.dice.below(2)];
        let frame = match self.dice.below(7) {
            0 => self.dice.bytes(64),
            1 => {
                // A known type, and noise behind it.
                let mut frame = vec![0x08, u8::try_from(self.dice.below(46)).unwrap_or(0)];
                frame.extend(self.dice.bytes(64));
                frame
            }
            2 => {
                // Below and above what a server takes.
                let body = self.next_id().body(15_000 + self.dice.below(20_000));
                proto::frame::publish("t0", body, 1, true).to_vec()
            }
            3 => {
                let topic = ["", " ", "$to/1", "a b", "\u{7f}"][self.dice.below(5)];
                proto::frame::publish(topic, Bytes::new(), 0, false).to_vec()
            }
            4 => RenamedMessage {
                r#type: MessageType::Renamed.into(),
                alias: self.alias.wrapping_sub(64),
            }
            .encode_to_vec(),
            5 => InterestMessage {
                r#type: MessageType::Interest.into(),
                version: 7,
                add: vec![workload::topic(0)],
                ..Default::default()
            }
            .encode_to_vec(),
            _ => SubscriptionMessage {
                r#type: MessageType::Subscription.into(),
                format: i32::try_from(self.dice.below(4)).unwrap_or(0),
                topics: self.dice.bytes(40).into(),
            }
            .encode_to_vec(),
        };
        self.send(lane, frame);
    }

    /// Signals for everybody whose alias can be guessed.
    fn spray(&mut self) {
        for _ in 0..self.dice.below(20) {
            let to = self
                .alias
                .wrapping_sub(64 * (self.dice.number() % 12))
                .wrapping_add(128);
            let data = format!(
                "{} {}",
                ["offer", "answer", "candidate"][self.dice.below(3)],
                self.dice.below(99)
            );
            let kinds = [
                MessageType::Connect,
                MessageType::WebrtcOffer,
                MessageType::WebrtcAnswer,
                MessageType::WebrtcIceCandidate,
                MessageType::ConnectionRefused,
                MessageType::Welcome,
                MessageType::Servers,
            ];
            let kind = kinds[self.dice.below(kinds.len())];
            if kind == MessageType::Connect && to == self.server {
                continue;
            }
            self.signal(kind, to, data.into());
        }
        let noise = self.dice.bytes(50);
        self.say(noise);
    }
}
