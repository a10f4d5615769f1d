//! What honest clients do: join, subscribe, unsubscribe, publish on both lanes, leave and come back.

use std::time::Duration;

use proto::Lane;

use super::{
    event::Event, node::Node, plan::WORK_BEGINS, publication::PublicationId, sabotage::Sabotage,
    world::World,
};

impl World {
    /// When everybody comes.
    pub(super) fn plan_joins(&mut self) {
        for index in 0..self.plan.members() {
            let latest = if self.work.percent(70) { 500 } else { 15_000 };
            let at = WORK_BEGINS + self.work.millis(0, latest);
            self.net.queue.push(at, Event::Join(index));
        }
        self.net.queue.push(WORK_BEGINS, Event::Work);
    }

    /// A member comes, and is interested in some topics from the start.
    pub(super) fn join(&mut self, index: usize) {
        if self.members[index].core.is_some() {
            return;
        }
        self.join_member(index);
        self.subscribe(index, &[PROBES.into()]);
        for _ in 0..self.work.below(3) {
            let topic = self.some_topic();
            self.subscribe(index, &[topic]);
        }
    }

    /// Everybody is here and has room for the probes, where a server takes few subscriptions.
    pub(super) fn prepare_for_probes(&mut self, index: usize) {
        self.join(index);
        if self.plan.subscriptions_max.is_some() {
            for topic in (0..TOPICS_MAX).map(topic) {
                self.unsubscribe(index, &topic);
            }
            self.subscribe(index, &[PROBES.into()]);
        }
    }

    /// Some member does something, and soon another one does.
    pub(super) fn work(&mut self) {
        if self.is_work_over() {
            return;
        }
        if self.strikes(Sabotage::Disturb, 5) {
            self.disturb();
        }
        let index = self.work.below(self.plan.sessions);
        if !self.net.is_frozen(Node::Member(index)) {
            self.work_as(index);
        }
        let longest = if self.is_hour_passing() {
            Duration::from_secs(60)
        } else {
            self.plan.pause_max
        };
        let wait = self.work.between(Duration::ZERO, longest);
        self.net.after(wait, Event::Work);
    }

    fn work_as(&mut self, index: usize) {
        match self.work.weighted(&[60, 14, 8, 2, 2, 2]) {
            0 => {
                for _ in 0..=self.work.below(4) {
                    self.publish_something(index);
                }
            }
            1 => {
                let topics: Vec<String> = (0..=self.work.below(3))
                    .map(|_| self.some_topic())
                    .collect();
                self.subscribe(index, &topics);
            }
            2 => {
                let topic = self.some_topic();
                self.unsubscribe(index, &topic);
            }
            3 => {
                if self.members[index].core.is_some() {
                    self.leave_member(index);
                    let wait = self.work.millis(100, 4_000);
                    self.net.after(wait, Event::Join(index));
                }
            }
            4 => self.do_it_wrong(index),
            _ => {
                let mut everywhere: Vec<usize> = (0..self.plan.sessions).collect();
                everywhere.retain(|_| self.work.percent(60));
                for index in everywhere {
                    if !self.net.is_frozen(Node::Member(index)) {
                        self.publish_something(index);
                    }
                }
            }
        }
    }

    /// Publishes to everybody, on the reliable lane. Returns what, if the member is here.
    pub(super) fn publish_probe(&mut self, index: usize) -> Option<PublicationId> {
        self.publish(index, PROBES, Lane::Reliable, 0, true)
    }

    fn publish_something(&mut self, index: usize) {
        let topic = self.some_topic();
        let lane = if self.work.percent(60) {
            Lane::Reliable
        } else {
            Lane::Unreliable
        };
        let padding = [0, 0, 20, 100, 3_000][self.work.below(5)];
        let with_identity = self.work.percent(30);
        self.publish(index, &topic, lane, padding, with_identity);
    }

    fn publish(
        &mut self,
        index: usize,
        topic: &str,
        lane: Lane,
        padding: usize,
        with_identity: bool,
    ) -> Option<PublicationId> {
        let member = &mut self.members[index];
        let id = PublicationId {
            member: u32::try_from(index).ok()?,
            number: member.published,
        };
        member.published += 1;
        let published = member
            .session()?
            .publish(topic, lane, id.body(padding), with_identity);
        let life = self.members[index].life();
        if let Err(error) = &published {
            self.net
                .say(life.node, format!("cannot publish {id}: {error}"));
        }
        self.pump_member(life);
        published.ok().map(|_| id)
    }

    fn subscribe(&mut self, index: usize, topics: &[String]) {
        let now = self.net.instant(Node::Member(index));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let life = self.members[index].life();
        let Some(session) = self.members[index].session() else {
            return;
        };
        let asked = session.subscribe(now, &topics);
        self.net
            .say(life.node, format!("subscribes to {topics:?}: {asked:?}"));
        self.pump_member(life);
    }

    fn unsubscribe(&mut self, index: usize, topic: &str) {
        let now = self.net.instant(Node::Member(index));
        let life = self.members[index].life();
        let Some(session) = self.members[index].session() else {
            return;
        };
        let asked = session.unsubscribe(now, &[topic]);
        self.net
            .say(life.node, format!("unsubscribes from {topic}: {asked:?}"));
        self.pump_member(life);
    }

    /// Calls that must be refused, and change nothing.
    fn do_it_wrong(&mut self, index: usize) {
        let now = self.net.instant(Node::Member(index));
        let Some(session) = self.members[index].session() else {
            return;
        };
        let body = bytes::Bytes::from(vec![0; proto::limits::PACKET_BYTES_MAX]);
        let refused = [
            session
                .publish("with space", Lane::Reliable, bytes::Bytes::new(), false)
                .is_err(),
            session.publish("t0", Lane::Reliable, body, false).is_err(),
            session.subscribe(now, &["$reserved"]).is_err(),
            session.unsubscribe(now, &[""]).is_err(),
        ];
        assert_eq!(refused, [true; 4], "what is wrong is refused");
        let life = self.members[index].life();
        self.pump_member(life);
    }

    fn some_topic(&mut self) -> String {
        topic(self.work.below(self.plan.topics))
    }
}

/// A topic of the workload.
pub(super) fn topic(index: usize) -> String {
    format!("t{index}")
}

/// Rogues try them all.
pub(super) const TOPICS_MAX: usize = 6;
/// Everybody is subscribed to it all the time.
const PROBES: &str = "probes";
