//! What a bot sends: its probes, and by the plan everything that is due.

use std::time::{Duration, Instant};

use client::{PublishError, Published, session::Session};

use super::Bot;
use crate::{
    payload::{Kind, Payload},
    plan::TopicId,
    probing::Probe,
};

/// Where a bot is in its schedule.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) start: Instant,
    pub(super) topic: TopicId,
    pub(super) next_slot: u32,
    /// Of a closed loop: since when its window is full, and when it gives up waiting.
    pub(super) give_up_at: Option<Instant>,
}

impl Bot {
    pub(super) fn publish_probe(&self, probe: &Probe, session: &mut Session) {
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

    /// Publishes by the plan what is due from now on.
    pub(super) fn begin_from(&mut self, now: Instant) {
        if let Some(start) = self.tally.start.get() {
            let since = now.saturating_duration_since(*start);
            self.begin(self.plan.slot_from(self.client, since));
        }
    }

    /// Publishes by the plan, from a slot on: also what is due already, for a schedule does not wait.
    pub(super) fn begin(&mut self, next_slot: u32) {
        let Some(start) = self.tally.start.get() else {
            return;
        };
        if self.client < self.plan.publishers && next_slot < self.plan.slots {
            self.publisher = Some(Publisher {
                start: *start,
                topic: self.plan.topic_of_publisher(self.client),
                next_slot,
                give_up_at: None,
            });
        }
    }

    /// Publishes everything that is due.
    pub(super) fn publish_due(&mut self, now: Instant, session: &mut Session) {
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

    pub(super) fn publish(
        &mut self,
        topic: TopicId,
        slot: u32,
        due_ns: u64,
        session: &mut Session,
    ) {
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
        if !self.enter(slot, due_ns, subscribers) {
            return;
        }
        let error = match session.publish(name, self.plan.lane, body, false) {
            Ok(Published::Sent | Published::Queued) => {
                self.news.published += 1;
                self.news.expected += subscribers;
                return;
            }
            Ok(Published::Dropped) => "PublishUnreliableOffline",
            Err(PublishError::QueueFull) => "PublishQueueFull",
            Err(PublishError::Offline) => "PublishOffline",
            Err(PublishError::TooLarge { .. }) => "PublishTooLarge",
            Err(_) => "PublishRefused",
        };
        self.books.outgoing.lock().sent.remove(slot);
        self.tally.count_error(error);
    }
    /// Writes a slot into the books; false when it is there already: whoever had the place before
    /// may have been late in leaving it.
    fn enter(&self, slot: u32, due_ns: u64, subscribers: u64) -> bool {
        let mut outgoing = self.books.outgoing.lock();
        if let Some(windows) = &self.tally.windows {
            windows.send(self.client, slot, subscribers);
            outgoing.sent_at.push(due_ns);
        }
        outgoing.sent.insert(slot)
    }

    /// Who is to receive what this one publishes to a topic.
    fn subscribers(&self, topic: TopicId) -> u64 {
        let own = self.attendance.confirmed
            && self
                .plan
                .topics_of(self.client)
                .any(|wanted| wanted == topic);
        self.tally.subscribers(topic).saturating_sub(u64::from(own))
    }
}
