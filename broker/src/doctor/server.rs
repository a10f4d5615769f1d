//! One server: how a client gets there, and what it gets there.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use client::{Config, Endpoint, Lane, PublishError, Published, Reason};

use super::{
    STEP_TIMEOUT, address, clock,
    coordinator::Ms,
    probe::{Probe, Seen},
    report::Report,
};

/// What every server is examined with.
pub(super) struct Examiner<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) config: &'a Config,
    /// Where the coordinator was reached.
    pub(super) coordinator: IpAddr,
}

/// A client on the first good server: what others publish elsewhere has to reach it.
pub(super) struct Anchor {
    server: u64,
    probe: Probe,
}

impl Examiner<'_> {
    /// Looks at everything that a client does with a server.
    pub(super) async fn examine(
        &self,
        report: &mut Report,
        server: u64,
        anchor: &mut Option<Anchor>,
    ) {
        let Some(publisher) = self.arrive(report, server).await else {
            return;
        };
        let topic = format!("broker-doctor/{:016x}", rand::random::<u64>());
        let mut listener = match Probe::start(self.endpoint, self.config, server) {
            Ok(listener) => listener,
            Err(error) => return report.bad("second", error.to_string(), "look at this machine"),
        };
        let seen = listener
            .reached(ARRIVE_TIMEOUT, |seen| seen.connected)
            .await;
        if !seen.connected {
            let why = seen
                .ended
                .map_or_else(|| "no READY".into(), |reason| reason.to_string());
            let what = format!("a second client is not taken in: {why}");
            return report.bad("second", what, "look at the server's log and at its limits");
        }
        listener.subscribe(&topic).await;
        let seen = listener.reached(STEP_TIMEOUT, |seen| seen.subscribed).await;
        if !seen.subscribed {
            let what = "a subscription is not confirmed";
            return report.bad(
                "subscribe",
                what,
                "look at broker_errors_total of the server",
            );
        }
        let mut talk = Talk {
            publisher: &publisher,
            listener: &mut listener,
            topic: &topic,
        };
        talk.exchange(report).await;
        talk.send_large(report).await;
        match anchor {
            Some(anchor) => anchor.hear_of(report, &publisher, &topic, server).await,
            None => {
                *anchor = Some(Anchor {
                    server,
                    probe: listener,
                })
            }
        }
        publisher.leave(LEAVE_TIMEOUT).await;
    }

    /// The way there; `None` when it ends before.
    async fn arrive(&self, report: &mut Report, server: u64) -> Option<Probe> {
        let mut probe = match Probe::start(self.endpoint, self.config, server) {
            Ok(probe) => probe,
            Err(error) => {
                report.bad(
                    "socket",
                    error.to_string(),
                    "this machine has no UDP socket to give",
                );
                return None;
            }
        };
        probe.reached(ARRIVE_TIMEOUT, |seen| seen.connected).await;
        // One address is enough to get in. What of the others?
        let all = |seen: &Seen| seen.addrs.iter().all(|addr| seen.answered.contains(addr));
        let seen = probe
            .reached(ADDRESSES_TIMEOUT, |seen| seen.connected && all(seen))
            .await;
        if !self.tell_offer(report, &seen) {
            return None;
        }
        self.tell_addresses(report, &seen);
        if !self.tell_handshakes(report, &seen) {
            return None;
        }
        if let Some((theirs, ours)) = seen.clocks {
            clock::compare(report, "the server's", theirs, ours);
        }
        let measured = probe
            .reached(STEP_TIMEOUT, |seen| seen.round_trip.is_some())
            .await;
        match measured.round_trip {
            Some(round_trip) => report.ok("ping", format!("{}", Ms(round_trip))),
            None => report.bad("ping", "no echo", "look at the server's log"),
        }
        Some(probe)
    }

    fn tell_offer(&self, report: &mut Report, seen: &Seen) -> bool {
        const STEP: &str = "connect";
        if seen.offered {
            report.ok(STEP, "an offer came");
            return true;
        }
        let Some(reason) = seen.ended else {
            report.bad(STEP, "no offer in time", SILENT);
            return false;
        };
        let advice = match reason {
            Reason::ServerFull => "add a server, or raise limits.peers_max",
            Reason::ShuttingDown => "it is going, and clients go elsewhere: nothing to be done",
            Reason::PeerUnavailable => {
                "it has just gone, or its uplink flaps: broker_uplink_sessions_total"
            }
            _ => SILENT,
        };
        report.bad(STEP, format!("no offer: {reason}"), advice);
        false
    }

    fn tell_addresses(&self, report: &mut Report, seen: &Seen) {
        const STEP: &str = "addresses";
        let near = |addr: &&SocketAddr| address::too_near(self.coordinator, addr.ip()).is_some();
        let too_near: Vec<&SocketAddr> = seen.addrs.iter().filter(near).collect();
        let all = list(seen.addrs.iter());
        let Some(first) = too_near.first() else {
            if seen.addrs.is_empty() {
                let advice = "the offer names no UDP address: set --advertise";
                return report.bad(STEP, "none", advice);
            }
            return report.ok(STEP, all);
        };
        let why = address::too_near(self.coordinator, first.ip()).unwrap_or_default();
        let near = list(too_near.iter().copied());
        let advice = format!(
            "it is {why}; start the server with --advertise and the address at which clients reach \
             it, the UDP port of --rtc-listen being mapped there"
        );
        if too_near.len() == seen.addrs.len() {
            report.bad(STEP, format!("it offers {near} alone"), advice);
        } else {
            report.note(
                STEP,
                format!("{all}; of these {near} is of no use elsewhere"),
                advice,
            );
        }
    }

    /// UDP, DTLS, channels, AUTH; false when it does not get in.
    fn tell_handshakes(&self, report: &mut Report, seen: &Seen) -> bool {
        let silent = seen
            .addrs
            .iter()
            .filter(|addr| !seen.answered.contains(addr));
        let silent: Vec<&SocketAddr> = silent.collect();
        if seen.answered.is_empty() {
            report.bad(
                "udp",
                format!("nothing answers at {}", list(silent.into_iter())),
                "a firewall that drops UDP to that port, a port that is not mapped, or an address \
                 that is not the server's (--advertise)",
            );
            return false;
        }
        let answered = list(seen.answered.iter());
        if silent.is_empty() {
            report.ok("udp", format!("{answered} answers"));
        } else {
            let silent = list(silent.into_iter());
            report.note(
                "udp",
                format!("{answered} answers, {silent} does not"),
                "clients get in, but an address that answers nobody should not be advertised",
            );
        }
        if !seen.secured {
            report.bad(
                "dtls",
                "checks are answered, the handshake is not",
                "something on the way lets small UDP datagrams through and drops larger ones",
            );
            return false;
        }
        report.ok("dtls", "the certificate is the one offered");
        if !seen.opened {
            report.bad(
                "channels",
                "they do not open",
                "something on the way drops UDP datagrams of about 1200 bytes, or many of all",
            );
            return false;
        }
        report.ok("channels", "open");
        if seen.connected {
            report.ok("auth", "taken in");
            return true;
        }
        let (what, advice) = match seen.ended {
            Some(Reason::Unauthenticated | Reason::Forbidden) => (
                "it refuses the token that the coordinator accepts".to_owned(),
                "the two have different client secrets: give both the same, and restart them",
            ),
            Some(reason) => (
                format!("it does not take us in: {reason}"),
                "look at its log",
            ),
            None => (
                "no READY in time".to_owned(),
                "its authenticator is slow: look at its log",
            ),
        };
        report.bad("auth", what, advice);
        false
    }
}

/// Two clients on one server.
struct Talk<'a> {
    publisher: &'a Probe,
    listener: &'a mut Probe,
    topic: &'a str,
}

impl Talk<'_> {
    /// A few small messages on each lane.
    async fn exchange(&mut self, report: &mut Report) {
        for lane in Lane::ALL {
            let mut times = Vec::new();
            for nth in 0..ROUNDS {
                let body = Bytes::from(format!("{nth}"));
                times.extend(self.send(lane, body).await);
            }
            let what = |best: &Duration| {
                let lost = ROUNDS - times.len();
                let lost = match lost {
                    0 => String::new(),
                    count => format!(", {count} of {ROUNDS} lost"),
                };
                format!("from client to client in {} at best{lost}", Ms(*best))
            };
            match (times.iter().min(), lane) {
                (Some(best), _) if times.len() == ROUNDS => report.ok(lane.label(), what(best)),
                (Some(best), Lane::Unreliable) => {
                    let advice = "the lane may lose; if it always does, look at the network";
                    report.note(lane.label(), what(best), advice);
                }
                (Some(best), Lane::Reliable) => {
                    report.bad(
                        lane.label(),
                        what(best),
                        "it must not lose: look at the server",
                    );
                }
                (None, _) => {
                    let what = "what one client publishes does not reach the other";
                    report.bad(
                        lane.label(),
                        what,
                        "look at broker_drops_total of the server",
                    );
                }
            }
        }
    }

    /// The largest packet that the server takes.
    async fn send_large(&mut self, report: &mut Report) {
        const STEP: &str = "large packet";
        // More than any server takes says how much this one does.
        let over = Bytes::from(vec![b'x'; proto::limits::CHANNEL_MESSAGE_BYTES_MAX]);
        let refused = self
            .publisher
            .publish(self.topic, Lane::Reliable, over.clone());
        let Some(Err(PublishError::TooLarge { bytes, bytes_max })) = refused.await else {
            return report.bad(STEP, "the client does not check sizes", "report this");
        };
        let head = bytes - over.len();
        let body = over.slice(..bytes_max.saturating_sub(head));
        match self.send(Lane::Reliable, body).await {
            Some(took) => report.ok(STEP, format!("{bytes_max} bytes in {}", Ms(took))),
            None => report.bad(
                STEP,
                format!("{bytes_max} bytes do not arrive"),
                "small ones do: something on the way loses much, or drops bursts of datagrams",
            ),
        }
    }

    /// How long a message took, if it came.
    async fn send(&mut self, lane: Lane, body: Bytes) -> Option<Duration> {
        let begun = Instant::now();
        let sent = loop {
            let now = Instant::now();
            match self
                .publisher
                .publish(self.topic, lane, body.clone())
                .await?
            {
                Ok(Published::Sent | Published::Queued) => break now,
                // The lane may open a moment after the other one.
                Ok(Published::Dropped) if begun.elapsed() < STEP_TIMEOUT => {
                    tokio::time::sleep(LANE_INTERVAL).await;
                }
                Ok(Published::Dropped) | Err(_) => return None,
            }
        };
        let heard = self.listener.hear(MESSAGE_TIMEOUT, lane, &body).await?;
        Some(heard.at.saturating_duration_since(sent))
    }
}

impl Anchor {
    /// Whether what is published on another server arrives here.
    async fn hear_of(&mut self, report: &mut Report, publisher: &Probe, topic: &str, server: u64) {
        const STEP: &str = "mesh";
        let here = self.server;
        self.probe.subscribe(topic).await;
        let begun = Instant::now();
        // The other servers learn of the subscription a moment after it is confirmed.
        while begun.elapsed() < MESH_TIMEOUT {
            let body = Bytes::from_static(b"mesh");
            let published = publisher.publish(topic, Lane::Reliable, body.clone()).await;
            if published.is_none() {
                break;
            }
            let heard = self.probe.hear(MESH_INTERVAL, Lane::Reliable, &body).await;
            if heard.is_some() {
                let what = format!("what is published on {server} arrives on {here}");
                return report.ok(STEP, what);
            }
        }
        report.bad(
            STEP,
            format!("what is published on {server} does not arrive on {here}"),
            "the two are not linked (broker_links): they must reach each other's UDP address, and \
             have the same cluster secret",
        );
    }

    pub(super) async fn leave(self) {
        self.probe.leave(LEAVE_TIMEOUT).await;
    }
}

fn list<'a>(addrs: impl Iterator<Item = &'a SocketAddr>) -> String {
    addrs
        .map(SocketAddr::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

const SILENT: &str = "the coordinator has it, but it does not answer: is it stuck, is its uplink? \
                      Look at its log and its /healthz";

/// For the whole way, the client's own deadlines included.
const ARRIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// A connectivity check and its repetitions, once another address has answered.
const ADDRESSES_TIMEOUT: Duration = Duration::from_secs(2);

/// With a retransmission or two.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(4);

const MESH_TIMEOUT: Duration = Duration::from_secs(5);

const MESH_INTERVAL: Duration = Duration::from_millis(250);

const LANE_INTERVAL: Duration = Duration::from_millis(20);

const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Small messages on each lane.
const ROUNDS: usize = 5;
