//! What happened in a run: the last events, to be read by a person, and a hash of them all, by which
//! two runs are told apart.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::Arc,
};

use bytes::Bytes;
use proto::{Lane, MessageType, peek};

use super::{
    clock::At,
    node::{EngineKey, Node, SocketKey},
    publication::PublicationId,
};

/// Something that happened.
#[derive(Debug, Clone, Hash)]
pub(super) enum What {
    /// A signal arrived.
    Signal { from: Node, to: Node, bytes: Bytes },
    /// A packet arrived.
    Packet {
        from: Node,
        to: Node,
        lane: Lane,
        bytes: Bytes,
    },
    Socket {
        node: Node,
        socket: SocketKey,
        event: &'static str,
    },
    Engine {
        node: Node,
        engine: EngineKey,
        event: Event,
    },
    /// Something that is best said in words.
    Words(Node, Arc<str>),
}

/// What happened to an engine.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) enum Event {
    Opened { acceptor: bool },
    Joined(EngineKey),
    LaneOpen(Lane),
    Closed(proto::Reason),
    RemoteClosed,
    Died,
}

/// The trace of one run.
#[derive(Debug)]
pub(super) struct Trace {
    last: VecDeque<(At, What)>,
    last_max: usize,
    hasher: DefaultHasher,
    count: u64,
}

impl Trace {
    /// Keeps the last so many events for a person to read.
    pub(super) fn new(last_max: usize) -> Self {
        Self {
            last: VecDeque::new(),
            last_max,
            hasher: DefaultHasher::new(),
            count: 0,
        }
    }

    pub(super) fn note(&mut self, at: At, what: What) {
        (at, &what).hash(&mut self.hasher);
        self.count += 1;
        if self.last.len() == self.last_max {
            self.last.pop_front();
        }
        self.last.push_back((at, what));
    }

    pub(super) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, what) in &self.last {
            write!(f, "{:>13.6} ", at.as_secs_f64())?;
            match what {
                What::Signal { from, to, bytes } => {
                    writeln!(f, "{from} -> {to} signal {}", Shown(bytes))?;
                }
                What::Packet {
                    from,
                    to,
                    lane,
                    bytes,
                } => writeln!(f, "{from} -> {to} {lane} {}", Shown(bytes))?,
                What::Socket {
                    node,
                    socket,
                    event,
                } => writeln!(f, "{node} {socket} {event}")?,
                What::Engine {
                    node,
                    engine,
                    event,
                } => writeln!(f, "{node} {engine} {event:?}")?,
                What::Words(node, words) => writeln!(f, "{node} {words}")?,
            }
        }
        Ok(())
    }
}

/// An encoded message, so that one can read it.
pub(super) struct Shown<'a>(pub(super) &'a Bytes);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        let kind = peek::message_type(bytes);
        match kind {
            Some(kind) => f.write_str(kind.as_str_name())?,
            None => write!(f, "{} unknown bytes", bytes.len())?,
        }
        if let Some(packet) = peek::TopicPacket::decode(bytes) {
            let topic: String = packet.topic.chars().take(20).collect();
            write!(
                f,
                " {topic} from {} hops {}",
                packet.from_alias, packet.hops
            )?;
            show_body(f, packet.body)?;
        } else if let Some(packet) = peek::ForwardPacket::decode(bytes) {
            write!(f, " {} from {}", packet.topic, packet.from_alias)?;
            show_body(f, packet.body)?;
        } else if let Some(kind) = kind {
            show_signal(f, kind, bytes)?;
        }
        Ok(())
    }
}

fn show_body(f: &mut fmt::Formatter<'_>, body: &[u8]) -> fmt::Result {
    match PublicationId::read(body) {
        Some(id) => write!(f, " body {id}"),
        None => write!(f, " {} bytes", body.len()),
    }
}

fn show_signal(f: &mut fmt::Formatter<'_>, kind: MessageType, bytes: &Bytes) -> fmt::Result {
    use proto::Message as _;
    let bytes = bytes.clone();
    let mut text = String::new();
    match kind {
        MessageType::Connect => {
            if let Ok(connect) = proto::ConnectMessage::decode(bytes) {
                write!(text, "from {} to {}", connect.from_alias, connect.to_alias)?;
            }
        }
        MessageType::WebrtcOffer | MessageType::WebrtcAnswer | MessageType::WebrtcIceCandidate => {
            if let Ok(signal) = proto::WebRtcMessage::decode(bytes) {
                let data = String::from_utf8_lossy(&signal.data);
                let (from, to) = (signal.from_alias, signal.to_alias);
                write!(text, "from {from} to {to}: {data}")?;
            }
        }
        MessageType::Welcome => show(&mut text, proto::WelcomeMessage::decode(bytes))?,
        MessageType::Servers => show(&mut text, proto::ServersMessage::decode(bytes))?,
        MessageType::Error => show(&mut text, proto::ErrorMessage::decode(bytes))?,
        MessageType::Subscribe => show(&mut text, proto::SubscribeMessage::decode(bytes))?,
        MessageType::Unsubscribe => show(&mut text, proto::UnsubscribeMessage::decode(bytes))?,
        MessageType::Interest => show(&mut text, proto::InterestMessage::decode(bytes))?,
        MessageType::Ack => show(&mut text, proto::AckMessage::decode(bytes))?,
        MessageType::Auth => show(&mut text, proto::AuthMessage::decode(bytes))?,
        MessageType::Ready => show(&mut text, proto::ReadyMessage::decode(bytes))?,
        MessageType::Renamed => show(&mut text, proto::RenamedMessage::decode(bytes))?,
        _ => {}
    }
    let text: String = text.chars().take(300).collect();
    write!(f, " {text}")
}

fn show<T: fmt::Debug, E: fmt::Display>(text: &mut String, message: Result<T, E>) -> fmt::Result {
    match message {
        Ok(message) => write!(text, "{message:?}"),
        Err(error) => write!(text, "({error})"),
    }
}
