//! What a bot makes of what it receives.

use super::*;
use crate::Options;
use bytes::Bytes;
use client::{Lane, session::Config};

/// Bot 0 of three on one topic, with a run that has begun.
struct Scene {
    bot: Bot,
    session: Session,
    plan: Arc<Plan>,
    tally: Arc<Tally>,
    desk: Desk,
}

impl Scene {
    fn new() -> Self {
        let options = Options {
            clients: 3,
            ..Options::default()
        };
        let plan = Arc::new(Plan::new(&options, 42));
        let tally = Arc::new(Tally::new(&plan, 1));
        tally.start.set(Instant::now()).expect("set once");
        let desk = Desk::default();
        let bot = Bot::new(
            0,
            0,
            Arc::clone(&plan),
            Arc::clone(&tally),
            Arc::clone(&desk),
        );
        let session = Session::new(Instant::now(), Config::default());
        Self {
            bot,
            session,
            plan,
            tally,
            desk,
        }
    }

    fn event(&mut self, event: Event) {
        let now = Instant::now();
        self.bot.handle_event(now, event, &mut self.session);
        self.bot.handle_pass_end(now, &self.session);
    }

    fn receive(&mut self, payload: Payload) {
        self.receive_bytes(payload.encode(100), self.plan.lane);
    }

    fn receive_bytes(&mut self, body: Bytes, lane: Lane) {
        let topic = self.plan.topic(0).cloned();
        let message = Message {
            from_alias: 1,
            topic,
            seq: 0,
            lane,
            body,
            identity: None,
        };
        self.event(Event::Message(message));
    }

    fn counts(mut self) -> (u64, Counts) {
        self.event(Event::Stopped {
            reason: Reason::Closed,
        });
        let settled = self.desk.lock().take().expect("the books");
        (self.tally.delivered.load(Relaxed), settled.counts)
    }
}

fn measurement(client: u32, slot: u32) -> Payload {
    Payload {
        run: 42,
        kind: Kind::Measurement,
        lane: Lane::Reliable,
        client,
        topic: 0,
        slot,
        mark: 0,
    }
}

#[test]
fn good_packets_are_delivered_once_each() {
    let mut scene = Scene::new();
    for (client, slot) in [(1, 0), (2, 0), (1, 1), (1, 3), (1, 2), (1, 1)] {
        scene.receive(measurement(client, slot));
    }
    assert_eq!(scene.tally.latency_us().len(), 5);
    let (delivered, counts) = scene.counts();
    assert_eq!((delivered, counts.reordered, counts.duplicated), (5, 1, 1));
    assert_eq!(counts.corrupt, 0);
}

#[test]
fn what_nobody_can_have_sent_is_corrupt() {
    let mut scene = Scene::new();
    let slots = scene.plan.slots;
    // Damaged; on the wrong lane; one's own; of nobody; beyond the schedule; of no topic.
    scene.receive_bytes(Bytes::from_static(b"damaged"), Lane::Reliable);
    scene.receive_bytes(measurement(1, 0).encode(100), Lane::Unreliable);
    scene.receive(measurement(0, 0));
    scene.receive(measurement(3, 0));
    scene.receive(measurement(1, slots));
    scene.receive(Payload {
        topic: 1,
        ..measurement(1, 0)
    });
    let (delivered, counts) = scene.counts();
    assert_eq!((delivered, counts.corrupt), (0, 6));
}

#[test]
fn other_runs_are_none_of_ours() {
    let mut scene = Scene::new();
    scene.receive(Payload {
        run: 43,
        ..measurement(1, 0)
    });
    assert_eq!(scene.tally.errors().get("PacketOfAnotherRun"), Some(&1));
    let (delivered, counts) = scene.counts();
    assert_eq!((delivered, counts.corrupt), (0, 0));
}

#[test]
fn the_tally_follows_coming_and_going() {
    let mut scene = Scene::new();
    let alias = 9;
    scene.event(Event::Connected { alias, server: 7 });
    let request = scene
        .bot
        .attendance
        .asked
        .expect("a subscription is asked for");
    assert_eq!(
        (
            scene.tally.connected.load(Relaxed),
            scene.tally.ready.load(Relaxed)
        ),
        (1, 0)
    );
    scene.event(Event::Answered {
        request,
        result: Ok(()),
    });
    assert_eq!(
        (scene.tally.ready.load(Relaxed), scene.tally.subscribers(0)),
        (1, 1)
    );
    assert_eq!(scene.tally.clients_by_server().get(&7), Some(&vec![0]));

    let reason = Reason::IdleTimeout;
    scene.event(Event::Disconnected { reason });
    scene.event(Event::Retrying {
        reason,
        after: Duration::ZERO,
    });
    assert_eq!(
        (scene.tally.ready.load(Relaxed), scene.tally.subscribers(0)),
        (0, 0)
    );
    assert_eq!(scene.tally.connected.load(Relaxed), 0);
    assert!(scene.tally.clients_by_server().is_empty());
    // Once, though two events tell it.
    assert_eq!(scene.tally.errors().get("IdleTimeout"), Some(&1));
    scene.event(Event::Retrying {
        reason,
        after: Duration::ZERO,
    });
    assert_eq!(scene.tally.errors().get("IdleTimeout"), Some(&2));
}

#[test]
fn what_is_due_is_published_whatever_the_delay() {
    let mut scene = Scene::new();
    let start = *scene.tally.start.get().expect("it has begun");
    scene
        .bot
        .handle_command(start, Command::Begin, &mut scene.session);
    assert!(scene.bot.next_deadline().is_some_and(|due| due >= start));
    // Woken late, after the whole run: the schedule is open-loop, so all of it is published.
    let late = start + Duration::from_secs(60);
    scene.bot.handle_timeout(late, &mut scene.session);
    scene.bot.handle_pass_end(late, &scene.session);
    assert_eq!(
        scene.tally.published.load(Relaxed),
        u64::from(scene.plan.slots)
    );
    assert_eq!(scene.bot.next_deadline(), None);
}
