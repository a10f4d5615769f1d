//! One client: subscribes, answers for the probes, publishes on schedule, and keeps its books.
//!
//! It runs on its session's own task; per packet it allocates nothing of its own.

mod closed_loop;
mod publishing;
mod recovery;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use client::{
    Event, Message, Reason, RequestError, State,
    driver::App,
    session::{RequestId, Session},
};

use crate::{
    ledger::{Incoming, Outgoing, Shared, Verdict},
    payload::{Kind, Payload},
    plan::Plan,
    probing::{Probes, Probing},
    tally::{Tally, change, count},
};
use publishing::Publisher;
use recovery::{End, Recovery};

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
    /// Somebody else takes the place: publish nothing more, and count on nothing that is due from
    /// then on; but take in what is under way until the session is closed.
    Leave(Instant),
}

/// The books that a bot writes.
#[derive(Debug, Clone)]
pub(crate) struct Books {
    /// One for each number of the plan.
    pub(crate) outgoing: Shared<Outgoing>,
    /// The bot's own.
    pub(crate) incoming: Shared<Incoming>,
}

pub(crate) struct Bot {
    client: u32,
    worker: usize,
    plan: Arc<Plan>,
    tally: Arc<Tally>,
    born: Instant,
    /// It takes somebody's place, under load.
    late: bool,
    attendance: Attendance,
    publisher: Option<Publisher>,
    books: Books,
    news: News,
    probing: Probing,
}

/// Where the bot stands with its server.
#[derive(Debug, Default)]
struct Attendance {
    connected: bool,
    connected_once: bool,
    /// The request that confirms the subscriptions on the current server.
    asked: Option<RequestId>,
    confirmed: bool,
    confirmed_once: bool,
    leaving: bool,
    /// The next Retrying says again what Disconnected said.
    just_lost: bool,
    recovery: Recovery,
    aliases: Aliases,
}

/// What the bot was called first and last.
#[derive(Debug, Default)]
struct Aliases {
    first: Option<u64>,
    last: Option<u64>,
}

/// What the tally does not know yet.
#[derive(Debug, Default)]
struct News {
    published: u64,
    expected: u64,
    delivered: u64,
    latencies_us: Vec<u64>,
}

impl Aliases {
    fn see(&mut self, alias: u64) {
        self.first.get_or_insert(alias);
        self.last = Some(alias);
    }
}

impl Bot {
    pub(crate) fn new(
        client: u32,
        worker: usize,
        plan: Arc<Plan>,
        tally: Arc<Tally>,
        books: Books,
    ) -> Self {
        Self {
            client,
            worker,
            plan,
            tally,
            born: Instant::now(),
            late: false,
            attendance: Attendance::default(),
            publisher: None,
            books,
            news: News::default(),
            probing: Probing::default(),
        }
    }

    /// The same under load: it publishes as soon as it is subscribed.
    pub(crate) fn late(mut self) -> Self {
        self.late = true;
        self
    }

    fn handle_message(&mut self, now: Instant, message: &Message) {
        let Ok(payload) = Payload::decode(&message.body) else {
            return count(&self.tally.faults.corrupt);
        };
        if payload.run != self.plan.run {
            self.tally.count_error("PacketOfAnotherRun");
            return;
        }
        let topic = self.plan.topic(payload.topic);
        let topic_is_right = message.topic.is_none() || message.topic.as_ref() == topic;
        if message.lane != payload.lane || !topic_is_right {
            return count(&self.tally.faults.corrupt);
        }
        if let Some(took) = self.attendance.recovery.receive(now) {
            self.tally.count_recovery(took);
        }
        match payload.kind {
            Kind::Probe => self
                .probing
                .receive(payload.topic, payload.mark, &self.tally),
            Kind::Measurement => self.handle_measurement(&payload),
        }
    }

    fn handle_measurement(&mut self, payload: &Payload) {
        let mut incoming = self.books.incoming.lock();
        // Before the start nothing was sent.
        let due = self.tally.start.get();
        let due = due.map(|start| *start + Duration::from_nanos(payload.mark));
        if due.is_some_and(|due| !incoming.answers_for(due)) {
            return;
        }
        let stream = self.plan.stream(self.client, payload.client);
        let stream = stream.and_then(|place| incoming.streams.get_mut(place));
        let (Some(stream), Some(due)) = (stream, due) else {
            // A packet of one's own, or on a topic never asked for.
            return count(&self.tally.faults.corrupt);
        };
        if payload.slot >= self.plan.slots {
            return count(&self.tally.faults.corrupt);
        }
        if let Some(windows) = &self.tally.windows {
            windows.receive(payload.client, stream.next(), payload.slot);
        }
        match stream.receive(payload.slot) {
            Verdict::Next => {}
            Verdict::Reordered => count(&self.tally.faults.reordered),
            Verdict::Duplicate => return count(&self.tally.faults.duplicated),
        }
        self.news.delivered += 1;
        // The clock of now, not of the pass: what waits in this process counts as well.
        let latency = Instant::now().saturating_duration_since(due);
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.news.latencies_us.push(latency_us);
    }

    fn handle_connected(&mut self, now: Instant, alias: u64, server: u64, session: &mut Session) {
        self.attendance.aliases.see(alias);
        if self.attendance.leaving {
            return;
        }
        if self.attendance.connected_once {
            count(&self.tally.moves.reconnects);
        } else {
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
            Ok(()) => self.arrive(now),
            Err(RequestError::Refused(error)) => {
                let name = error.reason.map_or("UnknownError", Reason::name);
                self.tally.count_error(name);
            }
            Err(RequestError::TimedOut) => self.tally.count_error("SubscribeTimedOut"),
            // The end is counted by its own event.
            Err(_) => {}
        }
    }

    /// The server has confirmed the subscriptions.
    fn arrive(&mut self, now: Instant) {
        self.attendance.confirmed = true;
        self.attendance.recovery.confirm(now);
        self.books.outgoing.lock().presence.begin(now);
        // Before the start, probes find out who knows.
        let settling = self.tally.start.get().map_or(Duration::ZERO, |_| SETTLING);
        let since = now + settling;
        self.books.incoming.lock().presence.begin(since);
        change(&self.tally.ready, true);
        let topics = self.plan.topics_of(self.client);
        self.tally.change_subscribers(topics, true);
        let first = !std::mem::replace(&mut self.attendance.confirmed_once, true);
        if self.late && first {
            count(&self.tally.moves.joined);
            self.begin_from(now);
        }
    }

    /// Whatever took the server away.
    fn depart(&mut self, until: Instant) {
        if !std::mem::take(&mut self.attendance.connected) {
            return;
        }
        self.attendance.asked = None;
        change(&self.tally.connected, false);
        self.tally.set_server(self.client, 0);
        self.probing.forget(&self.tally);
        if std::mem::take(&mut self.attendance.confirmed) {
            self.books.outgoing.lock().presence.end(until);
            self.books.incoming.lock().presence.end(until);
            change(&self.tally.ready, false);
            let topics = self.plan.topics_of(self.client);
            self.tally.change_subscribers(topics, false);
        }
    }

    /// Somebody else takes the place.
    fn leave(&mut self, now: Instant, at: Instant) {
        self.books.incoming.lock().until = Some(at);
        count(&self.tally.moves.left);
        self.publisher = None;
        self.depart(now);
        self.attendance.leaving = true;
        // Whether it would have come back, nobody will know.
        self.attendance.recovery = Recovery::default();
    }

    fn probe(&mut self, probes: &Probes, session: &mut Session) {
        let wanted = self.plan.topics_of(self.client);
        self.probing
            .expect(probes, self.client, wanted, &self.tally);
        for probe in probes.0.iter().filter(|probe| probe.client == self.client) {
            self.publish_probe(probe, session);
        }
    }

    /// Says what only the end of a bot tells.
    fn settle(&mut self) {
        let quiet_from = self.quiet_from();
        match self.attendance.recovery.end(quiet_from) {
            End::Settled => {}
            End::Back(took) => self.tally.count_recovery(took),
            End::Open => count(&self.tally.moves.unrecovered),
        }
        let Aliases { first, last } = self.attendance.aliases;
        if first != last {
            count(&self.tally.moves.aliases_changed);
        }
    }

    /// From when on there is nothing to receive.
    fn quiet_from(&self) -> Option<Instant> {
        match self.tally.start.get() {
            Some(start) if self.plan.streams_of(self.client) > 0 => {
                (*start + self.plan.length()).checked_sub(SETTLING)
            }
            _ => Some(self.born),
        }
    }
}

impl App for Bot {
    type Command = Command;

    fn handle_event(&mut self, now: Instant, event: Event, session: &mut Session) {
        match event {
            Event::Message(message) => self.handle_message(now, &message),
            Event::Connected { server, alias } => {
                self.handle_connected(now, alias, server, session);
            }
            Event::Answered { request, result } => self.handle_answer(now, request, &result),
            Event::Disconnected { reason } => {
                if !self.attendance.leaving {
                    self.attendance.recovery.lose(now);
                }
                self.depart(last_of(session));
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
                self.depart(if reason == Reason::Closed {
                    now
                } else {
                    last_of(session)
                });
                self.publisher = None;
                change(&self.tally.stopped, true);
                self.settle();
                if reason != Reason::Closed {
                    self.tally.count_error(reason.name());
                }
            }
        }
    }

    fn handle_command(&mut self, now: Instant, command: Command, session: &mut Session) {
        match command {
            Command::Probe(probes) => {
                if matches!(session.state(), State::Connected { .. }) {
                    self.probe(&probes, session);
                }
            }
            Command::Begin => self.begin(0),
            // The pass may have begun before.
            Command::Due => self.publish_due(Instant::now(), session),
            Command::Halt => self.publisher = None,
            Command::Leave(at) => self.leave(now, at),
        }
    }

    fn handle_timeout(&mut self, now: Instant, session: &mut Session) {
        self.publish_due(now, session);
    }

    fn handle_pass_end(&mut self, _now: Instant, session: &Session) {
        if let Some(alias) = session.alias()
            && self.attendance.connected_once
        {
            self.attendance.aliases.see(alias);
        }
        let news = &mut self.news;
        if news.published > 0 {
            self.tally
                .published
                .fetch_add(std::mem::take(&mut news.published), Relaxed);
            self.tally
                .expected
                .fetch_add(std::mem::take(&mut news.expected), Relaxed);
        }
        if news.delivered > 0 {
            self.tally
                .delivered
                .fetch_add(std::mem::take(&mut news.delivered), Relaxed);
            self.tally
                .add_latencies(self.worker, &mut news.latencies_us);
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

/// Up to when whatever was published has passed a server that is lost. Its last packet does not say
/// that it has passed on all that came before.
fn last_of(session: &Session) -> Instant {
    let heard = session.last_heard();
    heard.checked_sub(UNDER_WAY).unwrap_or(heard)
}

/// For so long a packet may be on its way, on a loaded machine: published so shortly before the last
/// sign of life of a server that is lost, it may have been lost with it.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// For so long after its server has confirmed a subscription, the other servers may not know of it
/// yet: what they do not send counts as published while the client was away.
const SETTLING: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
