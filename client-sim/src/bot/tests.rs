//! What a bot makes of what it receives.

use super::*;
use crate::Options;
use bytes::Bytes;
use client::{Lane, session::Config};
use parking_lot::Mutex;

/// Bot 0 of three on one topic, with a run that has begun.
struct Scene {
    bot: Bot,
    session: Session,
    plan: Arc<Plan>,
    tally: Arc<Tally>,
    books: Books,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self::with(|bot| bot)
    }

    fn with(change: impl FnOnce(Bot) -> Bot) -> Self {
        let options = Options {
            clients: 3,
            ..Options::default()
        };
        let plan = Arc::new(Plan::new(&options, 42));
        let tally = Arc::new(Tally::new(&plan, 1, false));
        let now = Instant::now();
        tally.start.set(now).expect("set once");
        let books = Books {
            outgoing: Shared::default(),
            incoming: Arc::new(Mutex::new(Incoming::new(0, &plan, None))),
        };
        let (of_plan, of_tally) = (Arc::clone(&plan), Arc::clone(&tally));
        let bot = change(Bot::new(0, 0, of_plan, of_tally, books.clone()));
        let session = Session::new(now, Config::default());
        Self {
            bot,
            session,
            plan,
            tally,
            books,
            now,
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn command(&mut self, command: Command) {
        self.bot
            .handle_command(self.now, command, &mut self.session);
    }

    /// A server takes it in, and confirms its subscription.
    fn arrive(&mut self, alias: u64, server: u64) {
        self.event(Event::Connected { alias, server });
        self.confirm();
    }

    fn confirm(&mut self) {
        let request = self.bot.attendance.asked.expect("a subscription");
        let result = Ok(());
        self.event(Event::Answered { request, result });
    }

    fn lose(&mut self) {
        let reason = Reason::IdleTimeout;
        self.event(Event::Disconnected { reason });
    }

    fn stop(&mut self) {
        let reason = Reason::Closed;
        self.event(Event::Stopped { reason });
    }

    fn event(&mut self, event: Event) {
        let now = self.now;
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

    fn delivered(&self) -> u64 {
        self.tally.delivered.load(Relaxed)
    }

    fn corrupt(&self) -> u64 {
        self.tally.faults.corrupt.load(Relaxed)
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

/// The same, due by the plan.
fn due(scene: &Scene, client: u32, slot: u32) -> Payload {
    Payload {
        mark: scene.plan.due_ns(client, slot),
        ..measurement(client, slot)
    }
}

#[test]
fn good_packets_are_delivered_once_each() {
    let mut scene = Scene::new();
    for (client, slot) in [(1, 0), (2, 0), (1, 1), (1, 3), (1, 2), (1, 1)] {
        scene.receive(measurement(client, slot));
    }
    assert_eq!(scene.tally.latency_us().len(), 5);
    let faults = &scene.tally.faults;
    let (reordered, duplicated) = (
        faults.reordered.load(Relaxed),
        faults.duplicated.load(Relaxed),
    );
    assert_eq!((scene.delivered(), reordered, duplicated), (5, 1, 1));
    assert_eq!(scene.corrupt(), 0);
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
    assert_eq!((scene.delivered(), scene.corrupt()), (0, 6));
}

#[test]
fn other_runs_are_none_of_ours() {
    let mut scene = Scene::new();
    scene.receive(Payload {
        run: 43,
        ..measurement(1, 0)
    });
    assert_eq!(scene.tally.errors().get("PacketOfAnotherRun"), Some(&1));
    assert_eq!((scene.delivered(), scene.corrupt()), (0, 0));
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

/// What the books of three clients say of bot 0, after somebody else sent all its packets.
fn settle(scene: &Scene) -> crate::ledger::Balance {
    let outgoing: Vec<Shared<Outgoing>> = (0..3).map(|_| Shared::default()).collect();
    let start = *scene.tally.start.get().expect("it has begun");
    for sender in &outgoing[1..2] {
        let mut sender = sender.lock();
        sender.presence.begin(start);
        for slot in 0..scene.plan.slots {
            sender.sent.insert(slot);
        }
    }
    let settler = crate::ledger::Settler {
        plan: &scene.plan,
        start,
        outgoing: &outgoing,
    };
    settler.settle(&scene.books.incoming.lock())
}

#[test]
fn what_other_servers_do_not_know_yet_is_not_lost() {
    let mut scene = Scene::new();
    scene.arrive(9, 7);
    let balance = settle(&scene);
    let settling = u64::from(scene.plan.slot_from(1, SETTLING));
    assert!(settling > 0);
    assert_eq!(balance.away, settling);
    assert_eq!(balance.lost, u64::from(scene.plan.slots) - settling);
}

#[test]
fn what_was_under_way_when_the_server_died_is_not_lost() {
    let mut scene = Scene::new();
    scene.arrive(9, 7);
    // It is heard for two seconds, and is gone.
    scene.pass(2_000);
    scene.session = Session::new(scene.now, Config::default());
    scene.pass(500);
    scene.lose();
    let balance = settle(&scene);
    let slots_until = |ms| u64::from(scene.plan.slot_from(1, Duration::from_millis(ms)));
    let counted = slots_until(1_500) - u64::from(scene.plan.slot_from(1, SETTLING));
    assert!(counted > 0 && slots_until(1_500) < slots_until(2_000));
    assert_eq!(balance.lost, counted, "of what nothing excuses");
}

#[test]
fn who_comes_back_tells_how_long_it_took() {
    let mut scene = Scene::new();
    scene.arrive(9, 7);
    scene.receive(measurement(1, 0));
    scene.pass(1_000);
    scene.lose();
    scene.pass(300);
    scene.event(Event::Connected {
        alias: 9,
        server: 8,
    });
    // Of the former server: it was under way.
    scene.receive(measurement(1, 1));
    scene.pass(100);
    scene.confirm();
    scene.pass(200);
    scene.receive(measurement(1, 2));
    scene.receive(measurement(1, 3));
    scene.stop();
    let recovery = scene.tally.recovery_us.lock();
    assert_eq!((recovery.len(), recovery.max().div_ceil(10_000)), (1, 61));
    let moves = &scene.tally.moves;
    assert_eq!(moves.reconnects.load(Relaxed), 1);
    assert_eq!(moves.unrecovered.load(Relaxed), 0);
    assert_eq!(moves.aliases_changed.load(Relaxed), 0);
}

#[test]
fn who_does_not_come_back_is_told_apart() {
    let unrecovered = |end: fn(&mut Scene)| {
        let mut scene = Scene::new();
        scene.arrive(9, 7);
        scene.lose();
        end(&mut scene);
        scene.stop();
        let back = scene.tally.recovery_us.lock().len();
        (scene.tally.moves.unrecovered.load(Relaxed), back)
    };
    assert_eq!(unrecovered(|_| {}), (1, 0));
    // Subscribed, but it hears nothing.
    assert_eq!(unrecovered(|scene| scene.arrive(9, 8)), (1, 0));
    // When nothing is published any more, being subscribed is enough.
    let too_late = |scene: &mut Scene| {
        scene.pass(10_000);
        scene.arrive(9, 8);
    };
    assert_eq!(unrecovered(too_late), (0, 1));
    // Whoever leaves will not be known to have come back.
    assert_eq!(
        unrecovered(|scene| scene.command(Command::Leave(scene.now))),
        (0, 0)
    );
}

#[test]
fn another_alias_at_the_end_is_counted() {
    for (last, changed) in [(9, 0), (10, 1)] {
        let mut scene = Scene::new();
        scene.arrive(9, 7);
        scene.lose();
        scene.arrive(last, 7);
        scene.stop();
        assert_eq!(scene.tally.moves.aliases_changed.load(Relaxed), changed);
    }
}

#[test]
fn who_leaves_counts_on_nothing_more_and_takes_in_what_is_under_way() {
    let mut scene = Scene::new();
    scene.arrive(9, 7);
    scene.command(Command::Begin);
    scene.pass(1_000);
    scene.command(Command::Leave(scene.now));
    assert_eq!(scene.bot.next_deadline(), None, "it publishes nothing more");
    let ready = scene.tally.ready.load(Relaxed);
    assert_eq!((ready, scene.tally.subscribers(0)), (0, 0));
    assert_eq!(scene.tally.moves.left.load(Relaxed), 1);
    scene.receive(due(&scene, 1, 9));
    // What is due from now on is its successor's; and so are packets of its own number.
    scene.receive(due(&scene, 1, 10));
    scene.receive(due(&scene, 0, 10));
    assert_eq!((scene.delivered(), scene.corrupt()), (1, 0));
    let balance = settle(&scene);
    let there = u64::from(scene.plan.slot_from(1, Duration::from_secs(1)))
        - u64::from(scene.plan.slot_from(1, SETTLING));
    // But for the one that came: it was due before.
    assert_eq!((balance.delivered, balance.lost), (1, there - 1));
    // It does not come back.
    scene.lose();
    scene.event(Event::Connected {
        alias: 9,
        server: 8,
    });
    assert_eq!(scene.bot.attendance.asked, None);
    assert_eq!(scene.tally.connected.load(Relaxed), 0);
    scene.stop();
    assert_eq!(scene.tally.moves.reconnects.load(Relaxed), 0);
}

#[test]
fn who_takes_a_place_publishes_what_is_due_from_then_on() {
    let mut scene = Scene::with(Bot::late);
    scene.pass(2_000);
    assert_eq!(scene.bot.next_deadline(), None);
    scene.arrive(9, 7);
    let due = scene.bot.next_deadline().expect("something is due");
    assert!(due >= scene.now && due < scene.now + Duration::from_millis(100));
    assert_eq!(scene.tally.moves.joined.load(Relaxed), 1);
    // Once, however often it loses its server.
    scene.lose();
    scene.arrive(9, 8);
    assert_eq!(scene.tally.moves.joined.load(Relaxed), 1);
}

#[test]
fn no_slot_is_published_by_two() {
    let mut scene = Scene::new();
    scene.arrive(9, 7);
    // The one before has sent these.
    for slot in [1, 2] {
        scene.books.outgoing.lock().sent.insert(slot);
    }
    scene.command(Command::Begin);
    let late = scene.now + Duration::from_secs(60);
    scene.bot.handle_timeout(late, &mut scene.session);
    scene.bot.handle_pass_end(late, &scene.session);
    let published = scene.tally.published.load(Relaxed);
    assert_eq!(published, u64::from(scene.plan.slots) - 2);
}
