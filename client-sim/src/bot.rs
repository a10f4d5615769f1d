//! One client: subscribes, answers for the probes, publishes on schedule, and keeps its books.
//!
//! It runs on its session's own task; per packet it allocates nothing of its own.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use client::{
    Event, Message, PublishError, Published, Reason, RequestError, State,
    driver::App,
    session::{RequestId, Session},
};
use parking_lot::Mutex;

use crate::{
    ledger::{Account, Stream, Verdict},
    payload::{Kind, Payload},
    plan::{Plan, TopicId, nanos},
    probing::{Probe, Probes, Probing},
    tally::{Tally, change},
};

/// What the conductor tells a bot.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send the probes that are yours, and expect those of the others.
    Probe(Arc<Probes>),
    /// Publish by the plan, from [`Tally::start`] on.
    Begin,
    /// Something is due: the pacer's word, which comes sooner than a timer.
    Due,
    /// Publish nothing more.
    Halt,
}

/// Where a bot leaves its books when it ends.
pub(crate) type Desk = Arc<Mutex<Option<Settled>>>;

/// A bot's books, and what it counted as they were written.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) account: Account,
    pub(crate) counts: Counts,
}

impl Settled {
    /// Of a bot that left none.
    pub(crate) fn empty(client: u32) -> Self {
        let account = Account {
            client,
            ..Account::default()
        };
        Self {
            account,
            counts: Counts::default(),
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) corrupt: u64,
}

pub(crate) struct Bot {
    client: u32,
    worker: usize,
    plan: Arc<Plan>,
    tally: Arc<Tally>,
    desk: Desk,
    born: Instant,
    attendance: Attendance,
    publisher: Option<Publisher>,
    books: Books,
    probing: Probing,
}

/// Where the bot stands with its server.
#[derive(Debug, Default)]
struct Attendance {
    connected: bool,
    connected_once: bool,
    /// The request that confirms the subscriptions on the current server.
    asked: Option<RequestId>,
    confirmed_since: Option<Instant>,
    /// Stretches in which it was there.
    past: Vec<(Instant, Instant)>,
    /// The next Retrying says again what Disconnected said.
    just_lost: bool,
}

#[derive(Debug)]
struct Publisher {
    start: Instant,
    topic: TopicId,
    next_slot: u32,
    /// Of a closed loop: since when its window is full, and when it gives up waiting.
    give_up_at: Option<Instant>,
}

/// What was sent and received, and what of it the tally does not know yet.
#[derive(Debug, Default)]
struct Books {
    account: Account,
    counts: Counts,
    published: u64,
    expected: u64,
    delivered: u64,
    latencies_us: Vec<u64>,
}

impl Bot {
    pub(crate) fn new(
        client: u32,
        worker: usize,
        plan: Arc<Plan>,
        tally: Arc<Tally>,
        desk: Desk,
    ) -> Self {
        let account = Account {
            client,
            streams: vec![Stream::default(); plan.streams()],
            ..Account::default()
        };
        Self {
            client,
            worker,
            plan,
            tally,
            desk,
            born: Instant::now(),
            attendance: Attendance::default(),
            publisher: None,
            books: Books {
                account,
                ..Books::default()
            },
            probing: Probing::default(),
        }
    }

    fn handle_message(&mut self, message: &Message) {
        let Ok(payload) = Payload::decode(&message.body) else {
            self.books.counts.corrupt += 1;
            return;
        };
        if payload.run != self.plan.run {
            self.tally.count_error("PacketOfAnotherRun");
            return;
        }
        let topic = self.plan.topic(payload.topic);
        let topic_is_right = message.topic.is_none() || message.topic.as_ref() == topic;
        if message.lane != payload.lane || !topic_is_right {
            self.books.counts.corrupt += 1;
            return;
        }
        match payload.kind {
            Kind::Probe => self
                .probing
                .receive(payload.topic, payload.mark, &self.tally),
            Kind::Measurement => self.handle_measurement(&payload),
        }
    }

    fn handle_measurement(&mut self, payload: &Payload) {
        let stream = self.plan.stream(self.client, payload.client);
        let stream = stream.and_then(|place| self.books.account.streams.get_mut(place));
        let (Some(stream), Some(start)) = (stream, self.tally.start.get()) else {
            // A packet of one's own, or on a topic never asked for, or before anything was sent.
            self.books.counts.corrupt += 1;
            return;
        };
        if payload.slot >= self.plan.slots {
            self.books.counts.corrupt += 1;
            return;
        }
        if let Some(windows) = &self.tally.windows {
            windows.receive(payload.client, stream.next(), payload.slot);
        }
        match stream.receive(payload.slot) {
            Verdict::Next => {}
            Verdict::Reordered => self.books.counts.reordered += 1,
            Verdict::Duplicate => {
                self.books.counts.duplicated += 1;
                return;
            }
        }
        self.books.delivered += 1;
        // The clock of now, not of the pass: what waits in this process counts as well.
        let due = *start + Duration::from_nanos(payload.mark);
        let latency = Instant::now().saturating_duration_since(due);
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.books.latencies_us.push(latency_us);
    }

    fn handle_connected(&mut self, now: Instant, server: u64, session: &mut Session) {
        if !self.attendance.connected_once {
            self.attendance.connected_once = true;
            let took = now.saturating_duration_since(self.born).as_micros();
            let took_us = u64::try_from(took).unwrap_or(u64::MAX);
            self.tally.connect_us.lock().saturating_record(took_us);
        }
        self.attendance.connected = true;
        change(&self.tally.connected, true);
        self.tally.set_server(self.client, server);
        let topics: Vec<&str> = self
            .plan
            .topics_of(self.client)
            .filter_map(|topic| self.plan.topic(topic))
            .map(|topic| &**topic)
            .collect();
        match session.subscribe(now, &topics) {
            Ok(request) => self.attendance.asked = Some(request),
            Err(_) => self.tally.count_error("SubscribeInvalid"),
        }
    }

    fn handle_answer(
        &mut self,
        now: Instant,
        request: RequestId,
        result: &Result<(), RequestError>,
    ) {
        if self.attendance.asked != Some(request) {
            return;
        }
        match result {
            Ok(()) => {
                self.attendance.confirmed_since = Some(now);
                change(&self.tally.ready, true);
                let topics = self.plan.topics_of(self.client);
                self.tally.change_subscribers(topics, true);
            }
            Err(RequestError::Refused(error)) => {
                let name = error.reason.map_or("UnknownError", Reason::name);
                self.tally.count_error(name);
            }
            Err(RequestError::TimedOut) => self.tally.count_error("SubscribeTimedOut"),
            // The end is counted by its own event.
            Err(_) => {}
        }
    }

    /// Whatever took the server away.
    fn leave(&mut self, until: Instant) {
        if !self.attendance.connected {
            return;
        }
        self.attendance.connected = false;
        self.attendance.asked = None;
        change(&self.tally.connected, false);
        self.tally.set_server(self.client, 0);
        self.probing.forget(&self.tally);
        if let Some(since) = self.attendance.confirmed_since.take() {
            if self.attendance.past.len() < ABSENCES_MAX {
                self.attendance.past.push((since, until));
            }
            change(&self.tally.ready, false);
            let topics = self.plan.topics_of(self.client);
            self.tally.change_subscribers(topics, false);
        }
    }

    fn probe(&mut self, probes: &Probes, session: &mut Session) {
        let wanted = self.plan.topics_of(self.client);
        self.probing
            .expect(probes, self.client, wanted, &self.tally);
        for probe in probes.0.iter().filter(|probe| probe.client == self.client) {
            self.publish_probe(probe, session);
        }
    }

    fn publish_probe(&self, probe: &Probe, session: &mut Session) {
        let payload = Payload {
            run: self.plan.run,
            kind: Kind::Probe,
            lane: self.plan.lane,
            client: self.client,
            topic: probe.topic,
            slot: 0,
            mark: probe.server,
        };
        let Some(topic) = self.plan.topic(probe.topic) else {
            return;
        };
        let body = payload.encode(self.plan.payload_bytes);
        // Probes go out again until they arrive.
        let _published = session.publish(topic, self.plan.lane, body, false);
    }

    fn begin(&mut self) {
        if let Some(start) = self.tally.start.get()
            && self.client < self.plan.publishers
            && self.plan.slots > 0
        {
            self.publisher = Some(Publisher {
                start: *start,
                topic: self.plan.topic_of_publisher(self.client),
                next_slot: 0,
                give_up_at: None,
            });
        }
    }

    /// Publishes everything that is due.
    fn publish_due(&mut self, now: Instant, session: &mut Session) {
        if self.tally.windows.is_some() {
            return self.publish_window(session);
        }
        while let Some(publisher) = &mut self.publisher {
            let (slot, topic) = (publisher.next_slot, publisher.topic);
            let due_ns = self.plan.due_ns(self.client, slot);
            if publisher.start + Duration::from_nanos(due_ns) > now {
                return;
            }
            publisher.next_slot += 1;
            if publisher.next_slot >= self.plan.slots {
                self.publisher = None;
            }
            self.publish(topic, slot, due_ns, session);
        }
    }

    fn publish(&mut self, topic: TopicId, slot: u32, due_ns: u64, session: &mut Session) {
        let payload = Payload {
            run: self.plan.run,
            kind: Kind::Measurement,
            lane: self.plan.lane,
            client: self.client,
            topic,
            slot,
            mark: due_ns,
        };
        let Some(name) = self.plan.topic(topic) else {
            return;
        };
        let body = payload.encode(self.plan.payload_bytes);
        let subscribers = self.subscribers(topic);
        if let Some(windows) = &self.tally.windows {
            windows.send(self.client, slot, subscribers);
            self.books.account.sent_at.push(due_ns);
        }
        match session.publish(name, self.plan.lane, body, false) {
            Ok(Published::Sent | Published::Queued) => {
                self.books.account.sent.insert(slot);
                self.books.published += 1;
                self.books.expected += subscribers;
            }
            Ok(Published::Dropped) => self.tally.count_error("PublishUnreliableOffline"),
            Err(PublishError::QueueFull) => self.tally.count_error("PublishQueueFull"),
            Err(PublishError::Offline) => self.tally.count_error("PublishOffline"),
            Err(PublishError::TooLarge { .. }) => self.tally.count_error("PublishTooLarge"),
            Err(_) => self.tally.count_error("PublishRefused"),
        }
    }

    /// Who is to receive what this one publishes to a topic.
    fn subscribers(&self, topic: TopicId) -> u64 {
        let own = self.attendance.confirmed_since.is_some()
            && self
                .plan
                .topics_of(self.client)
                .any(|wanted| wanted == topic);
        self.tally.subscribers(topic).saturating_sub(u64::from(own))
    }

    /// Closes the books, when the bot has left.
    fn settle(&mut self) -> Settled {
        let mut account = std::mem::take(&mut self.books.account);
        account.client = self.client;
        if let Some(start) = self.tally.start.get() {
            let at = |instant: Instant| nanos(instant.saturating_duration_since(*start));
            for (from, to) in &self.attendance.past {
                account.presence.add(at(*from), at(*to));
            }
        }
        Settled {
            account,
            counts: self.books.counts,
        }
    }
}

impl App for Bot {
    type Command = Command;

    fn handle_event(&mut self, now: Instant, event: Event, session: &mut Session) {
        match event {
            Event::Message(message) => self.handle_message(&message),
            Event::Connected { server, .. } => self.handle_connected(now, server, session),
            Event::Answered { request, result } => self.handle_answer(now, request, &result),
            Event::Disconnected { reason } => {
                // What came after the last sign of life was not there for us.
                self.leave(session.last_heard());
                self.attendance.just_lost = true;
                self.tally.count_error(reason.name());
            }
            Event::Retrying { reason, .. } => {
                let told = std::mem::take(&mut self.attendance.just_lost);
                // Before the first WELCOME, nothing else can have closed.
                let unreachable =
                    session.stats().attempts == 0 && reason == Reason::TransportClosed;
                if unreachable {
                    self.tally.count_error("CoordinatorUnreachable");
                } else if !told {
                    self.tally.count_error(reason.name());
                }
            }
            Event::Error(error) => {
                let name = error.reason.map_or("UnknownError", Reason::name);
                self.tally.count_error(name);
            }
            Event::Stopped { reason } => {
                self.leave(if reason == Reason::Closed {
                    now
                } else {
                    session.last_heard()
                });
                self.publisher = None;
                change(&self.tally.stopped, true);
                *self.desk.lock() = Some(self.settle());
                if reason != Reason::Closed {
                    self.tally.count_error(reason.name());
                }
            }
        }
    }

    fn handle_command(&mut self, _now: Instant, command: Command, session: &mut Session) {
        match command {
            Command::Probe(probes) => {
                if matches!(session.state(), State::Connected { .. }) {
                    self.probe(&probes, session);
                }
            }
            Command::Begin => self.begin(),
            // The pass may have begun before.
            Command::Due => self.publish_due(Instant::now(), session),
            Command::Halt => self.publisher = None,
        }
    }

    fn handle_timeout(&mut self, now: Instant, session: &mut Session) {
        self.publish_due(now, session);
    }

    fn handle_pass_end(&mut self, _now: Instant, _session: &Session) {
        let books = &mut self.books;
        if books.published > 0 {
            self.tally
                .published
                .fetch_add(std::mem::take(&mut books.published), Relaxed);
            self.tally
                .expected
                .fetch_add(std::mem::take(&mut books.expected), Relaxed);
        }
        if books.delivered > 0 {
            self.tally
                .delivered
                .fetch_add(std::mem::take(&mut books.delivered), Relaxed);
            self.tally
                .add_latencies(self.worker, &mut books.latencies_us);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let publisher = self.publisher.as_ref()?;
        if self.tally.windows.is_some() {
            return Some(publisher.give_up_at.unwrap_or(publisher.start));
        }
        let due_ns = self.plan.due_ns(self.client, publisher.next_slot);
        Some(publisher.start + Duration::from_nanos(due_ns))
    }
}

/// Stretches of presence that a bot remembers: one that loses its server more often than this is
/// counted as away from then on.
const ABSENCES_MAX: usize = 10_000;

mod closed_loop;

#[cfg(test)]
mod tests;
