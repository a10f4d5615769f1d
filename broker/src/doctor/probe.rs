//! A client that goes to one server, and tells how far it comes.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use client::{
    Config, ConnectError, Endpoint, Event, Lane, PublishError, Published, Reason,
    driver::{self, App, Passing, Running},
    session::{RequestId, Session},
};
use proto::{Message as _, MessageType, ReadyMessage, WebRtcMessage, WelcomeMessage, peek};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

/// A client under examination. It leaves when dropped.
#[derive(Debug)]
pub(super) struct Probe {
    running: Running<Command>,
    seen: watch::Receiver<Seen>,
    heard: mpsc::Receiver<Heard>,
}

/// How far a client has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// The server has made an offer.
    pub(super) offered: bool,
    /// Addresses that it offers.
    pub(super) addrs: Vec<SocketAddr>,
    /// Of those, the ones that have answered.
    pub(super) answered: Vec<SocketAddr>,
    /// The other side holds the certificate that its offer names.
    pub(super) secured: bool,
    /// The reliable lane is open.
    pub(super) opened: bool,
    /// The server's clock, and ours at that moment.
    pub(super) clocks: Option<(SystemTime, SystemTime)>,
    /// The server has taken us in.
    pub(super) connected: bool,
    /// The server has agreed to the subscription.
    pub(super) subscribed: bool,
    /// On the reliable lane.
    pub(super) round_trip: Option<Duration>,
    /// Why it came no further.
    pub(super) ended: Option<Reason>,
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) lane: Lane,
    pub(super) body: Bytes,
    pub(super) at: Instant,
}

#[derive(Debug)]
enum Command {
    Subscribe(String),
    Publish(
        Publication,
        oneshot::Sender<Result<Published, PublishError>>,
    ),
}

#[derive(Debug)]
struct Publication {
    topic: String,
    lane: Lane,
    body: Bytes,
}

impl Probe {
    /// Sends a client to a server, whichever the coordinator would have chosen.
    pub(super) fn start(
        endpoint: &Endpoint,
        config: &Config,
        server: u64,
    ) -> Result<Self, ConnectError> {
        let (seen_sender, seen) = watch::channel(Seen::default());
        let (heard_sender, heard) = mpsc::channel(HEARD_MAX);
        let patient = Patient {
            server,
            seen: seen_sender,
            heard: heard_sender,
            asked: None,
        };
        let running = driver::start(endpoint, config, patient)?;
        Ok(Self {
            running,
            seen,
            heard,
        })
    }

    /// Waits until it has come as far as wanted, or no further, or the time is over.
    pub(super) async fn reached(
        &mut self,
        within: Duration,
        wanted: impl Fn(&Seen) -> bool,
    ) -> Seen {
        let enough = |seen: &Seen| wanted(seen) || seen.ended.is_some();
        // Whether or not: it is what it is.
        drop(timeout(within, self.seen.wait_for(enough)).await);
        self.seen.borrow().clone()
    }

    pub(super) async fn subscribe(&self, topic: &str) {
        // If it has ended, it is seen by not being subscribed.
        let _sent = self
            .running
            .commands
            .send(Command::Subscribe(topic.into()))
            .await;
    }

    /// `None` when it has ended.
    pub(super) async fn publish(
        &self,
        topic: &str,
        lane: Lane,
        body: Bytes,
    ) -> Option<Result<Published, PublishError>> {
        let topic = topic.to_owned();
        let (reply, answer) = oneshot::channel();
        let publication = Publication { topic, lane, body };
        let command = Command::Publish(publication, reply);
        if !self.running.commands.send(command).await {
            return None;
        }
        answer.await.ok()
    }

    /// Waits for a message with this body on this lane; others are skipped.
    pub(super) async fn hear(
        &mut self,
        within: Duration,
        lane: Lane,
        body: &[u8],
    ) -> Option<Heard> {
        timeout(within, async {
            loop {
                let heard = self.heard.recv().await?;
                if heard.lane == lane && heard.body == body {
                    return Some(heard);
                }
            }
        })
        .await
        .ok()?
    }

    /// Lets it leave politely.
    pub(super) async fn leave(self, within: Duration) {
        self.running.stop.cancel();
        let _left = timeout(within, self.running.tasks.wait()).await;
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.running.stop.cancel();
    }
}

/// What is examined: a session and the notes that are made of it.
struct Patient {
    server: u64,
    seen: watch::Sender<Seen>,
    heard: mpsc::Sender<Heard>,
    asked: Option<RequestId>,
}

impl Patient {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        self.seen.send_if_modified(|seen| {
            let before = seen.clone();
            change(seen);
            *seen != before
        });
    }

    fn end(&self, reason: Reason, session: &mut Session) {
        // The first reason is the one that counts.
        self.note(|seen| _ = seen.ended.get_or_insert(reason));
        session.close(Reason::Closed);
    }

    fn inspect_signal(&self, signal: &mut Bytes) {
        match peek::message_type(signal) {
            Some(MessageType::Welcome) => {
                if let Ok(mut welcome) = WelcomeMessage::decode(signal.clone()) {
                    welcome.available_servers = vec![self.server];
                    *signal = welcome.encode_to_vec().into();
                }
            }
            Some(MessageType::WebrtcOffer) => {
                let addrs = addrs(signal, |json| json["sdp"].as_str());
                self.note(|seen| {
                    seen.offered = true;
                    add(&mut seen.addrs, addrs);
                });
            }
            Some(MessageType::WebrtcIceCandidate) => {
                let addrs = addrs(signal, |json| json["candidate"].as_str());
                self.note(|seen| add(&mut seen.addrs, addrs));
            }
            _ => {}
        }
    }
}

impl App for Patient {
    type Command = Command;

    fn handle_event(&mut self, _now: Instant, event: Event, session: &mut Session) {
        match event {
            Event::Connected { .. } => self.note(|seen| seen.connected = true),
            Event::Answered { request, result } if self.asked == Some(request) => {
                self.note(|seen| seen.subscribed = result.is_ok());
            }
            Event::Disconnected { reason }
            | Event::Retrying { reason, .. }
            | Event::Stopped { reason } => self.end(reason, session),
            Event::Message(message) => {
                let heard = Heard {
                    lane: message.lane,
                    body: message.body,
                    at: Instant::now(),
                };
                // Nobody sends more than is asked for.
                let _heard = self.heard.try_send(heard);
            }
            Event::Answered { .. } | Event::Error(_) => {}
        }
    }

    fn handle_command(&mut self, now: Instant, command: Command, session: &mut Session) {
        match command {
            Command::Subscribe(topic) => {
                self.note(|seen| seen.subscribed = false);
                self.asked = session.subscribe(now, &[&topic]).ok();
            }
            Command::Publish(publication, reply) => {
                let Publication { topic, lane, body } = publication;
                // Whoever asked may have stopped waiting.
                let _told = reply.send(session.publish(&topic, lane, body, false));
            }
        }
    }

    fn inspect(&mut self, _now: Instant, passing: Passing<'_>) {
        match passing {
            Passing::Signal(signal) => self.inspect_signal(signal),
            Passing::Packet(Lane::Reliable, bytes) => {
                if peek::message_type(bytes) == Some(MessageType::Ready)
                    && let Ok(ready) = ReadyMessage::decode(&**bytes)
                    && ready.server_time_ms > 0
                {
                    let since = Duration::from_millis(ready.server_time_ms);
                    let theirs = SystemTime::UNIX_EPOCH.checked_add(since);
                    let clocks = theirs.map(|theirs| (theirs, SystemTime::now()));
                    self.note(|seen| seen.clocks = clocks);
                }
            }
            Passing::Packet(Lane::Unreliable, _) => {}
            Passing::Engine(engine) => self.note(|seen| {
                let proven: Vec<SocketAddr> = engine.proven_addrs().collect();
                add(&mut seen.answered, proven);
                seen.secured |= engine.fingerprints().is_some();
                // AUTH goes out as soon as the lane is open.
                seen.opened |= engine.stats().packets_sent > 0;
            }),
        }
    }

    fn handle_pass_end(&mut self, _now: Instant, session: &Session) {
        if let Some(round_trip) = session.rtt() {
            self.note(|seen| seen.round_trip = Some(round_trip));
        }
    }
}

fn add(known: &mut Vec<SocketAddr>, addrs: Vec<SocketAddr>) {
    for addr in addrs {
        if known.len() < ADDRS_MAX && !known.contains(&addr) {
            known.push(addr);
        }
    }
}

/// The UDP addresses of the candidates in a signal.
fn addrs(signal: &Bytes, text: impl Fn(&serde_json::Value) -> Option<&str>) -> Vec<SocketAddr> {
    let Ok(signal) = WebRtcMessage::decode(signal.clone()) else {
        return Vec::new();
    };
    let Ok(json) = serde_json::from_slice(&signal.data) else {
        return Vec::new();
    };
    let lines = text(&json).unwrap_or_default().lines();
    lines.filter_map(candidate_addr).collect()
}

/// `candidate:1 1 udp 2130706431 192.0.2.1 7000 typ host`, with or without `a=`.
fn candidate_addr(line: &str) -> Option<SocketAddr> {
    let line = line.trim().trim_start_matches("a=");
    let mut fields = line.strip_prefix("candidate:")?.split_whitespace().skip(2);
    let is_udp = fields.next()?.eq_ignore_ascii_case("udp");
    let (ip, port) = (fields.nth(1)?, fields.next()?);
    let addr = SocketAddr::new(ip.parse::<IpAddr>().ok()?, port.parse().ok()?);
    is_udp.then_some(addr)
}

/// Messages that wait to be looked at.
const HEARD_MAX: usize = 64;

/// More than any server offers.
const ADDRS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_read() {
        for (line, addr) in [
            (
                "a=candidate:1 1 udp 2130706431 192.0.2.1 7000 typ host",
                Some("192.0.2.1:7000"),
            ),
            (
                "candidate:x 1 UDP 1 2001:db8::1 9 typ host",
                Some("[2001:db8::1]:9"),
            ),
            ("candidate:1 1 tcp 1 192.0.2.1 7000 typ host", None),
            ("candidate:1 1 udp 1 some-name.local 7000 typ host", None),
            ("candidate:1 1 udp 1 192.0.2.1", None),
            ("a=end-of-candidates", None),
            ("", None),
        ] {
            assert_eq!(
                candidate_addr(line).map(|a| a.to_string()).as_deref(),
                addr,
                "{line}"
            );
        }
    }
}
