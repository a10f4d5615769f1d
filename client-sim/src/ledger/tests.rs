//! What books say of known conversations.

use super::*;
use crate::Options;

/// Two clients on one topic, 100 packets each, one every 10 ms.
fn plan() -> Plan {
    let options = Options {
        clients: 2,
        rate: 100.0,
        duration: Duration::from_secs(1),
        ..Options::default()
    };
    Plan::new(&options, 1)
}

/// The books of a plan, all of whose clients are there from the start.
struct Books {
    plan: Plan,
    start: Instant,
    outgoing: Vec<Shared<Outgoing>>,
}

impl Books {
    fn new() -> Self {
        let (plan, start) = (plan(), Instant::now());
        let book = || {
            let mut outgoing = Outgoing::default();
            outgoing.presence.begin(start);
            Arc::new(Mutex::new(outgoing))
        };
        let outgoing = (0..plan.clients).map(|_| book()).collect();
        Self {
            plan,
            start,
            outgoing,
        }
    }

    fn send(&self, client: u32, slots: impl IntoIterator<Item = u32>) {
        let mut outgoing = self.outgoing(client).lock();
        for slot in slots {
            outgoing.sent.insert(slot);
        }
    }

    fn outgoing(&self, client: u32) -> &Mutex<Outgoing> {
        &self.outgoing[usize::try_from(client).expect("small")]
    }

    fn incoming(&self, client: u32) -> Incoming {
        let mut incoming = Incoming::new(client, &self.plan, None);
        incoming.presence.begin(self.start);
        incoming
    }

    fn receive(&self, incoming: &mut Incoming, from: u32, slots: impl IntoIterator<Item = u32>) {
        let stream = self.plan.stream(incoming.client, from).expect("a stream");
        for slot in slots {
            incoming.streams[stream].receive(slot);
        }
    }

    /// When a packet of client 0 is due.
    fn due(&self, slot: u32) -> Instant {
        self.start + Duration::from_nanos(self.plan.due_ns(0, slot))
    }

    fn settler(&self) -> Settler<'_> {
        Settler {
            plan: &self.plan,
            start: self.start,
            outgoing: &self.outgoing,
        }
    }
}

#[test]
fn a_clean_run_has_no_loss() {
    let books = Books::new();
    let mut balance = Balance::default();
    for (client, other) in [(0, 1), (1, 0)] {
        books.send(client, 0..100);
        let mut incoming = books.incoming(client);
        books.receive(&mut incoming, other, 0..100);
        books.send(other, 0..100);
        balance += books.settler().settle(&incoming);
    }
    let all = Balance {
        delivered: 200,
        ..Balance::default()
    };
    assert_eq!((balance, balance.expected()), (all, 200));
}

#[test]
fn what_does_not_come_is_lost_also_at_the_ends() {
    let books = Books::new();
    books.send(0, 0..100);
    let mut incoming = books.incoming(1);
    books.receive(&mut incoming, 0, (1..63).chain(66..99));
    let balance = books.settler().settle(&incoming);
    assert_eq!(
        (balance.expected(), balance.delivered, balance.lost),
        (100, 95, 5)
    );
}

#[test]
fn what_was_not_sent_is_not_due_and_cannot_come() {
    let books = Books::new();
    books.send(0, 0..50);
    let mut incoming = books.incoming(1);
    books.receive(&mut incoming, 0, 0..52);
    let balance = books.settler().settle(&incoming);
    assert_eq!(
        (balance.expected(), balance.lost, balance.invented),
        (50, 0, 2)
    );
}

#[test]
fn who_is_away_loses_nothing() {
    let books = Books::new();
    books.send(0, 0..100);
    // The subscriber is away for slots 20 to 39, the publisher without a server for 60 to 69.
    let mut subscriber = books.incoming(1);
    subscriber.presence.end(books.due(20));
    subscriber.presence.begin(books.due(40));
    let publisher = books.outgoing(0);
    publisher.lock().presence.end(books.due(60));
    publisher.lock().presence.begin(books.due(70));
    // One of those came all the same, and one is lost while both were there.
    let received = (0..20).chain([30]).chain(40..60).chain(71..100);
    books.receive(&mut subscriber, 0, received);
    let balance = books.settler().settle(&subscriber);
    assert_eq!((balance.delivered, balance.lost, balance.away), (70, 1, 29));
    assert_eq!(balance.expected(), 71);
}

#[test]
fn each_packet_counts_for_one_of_those_who_follow_each_other() {
    let books = Books::new();
    books.send(0, 0..100);
    // The first leaves before slot 40; the second takes until slot 50 to join.
    let mut first = books.incoming(1);
    first.until = Some(books.due(40));
    first.presence.end(books.due(40));
    books.receive(&mut first, 0, (0..30).chain(31..39));
    let mut second = Incoming::new(1, &books.plan, Some(books.due(40)));
    second.presence.begin(books.due(50));
    // It hears one early, as may be.
    books.receive(&mut second, 0, [49].into_iter().chain(50..98));
    let (first, second) = (
        books.settler().settle(&first),
        books.settler().settle(&second),
    );
    assert_eq!((first.delivered, first.lost, first.away), (38, 2, 0));
    assert_eq!((second.delivered, second.lost, second.away), (49, 2, 9));
    let all = first.expected() + second.expected() + first.away + second.away;
    assert_eq!(all, 100, "every packet once");
}

#[test]
fn what_comes_to_one_is_not_delivered_to_the_other() {
    let books = Books::new();
    books.send(0, 0..100);
    let mut first = books.incoming(1);
    first.until = Some(books.due(40));
    first.presence.end(books.due(40));
    books.receive(&mut first, 0, 0..43);
    let mut second = Incoming::new(1, &books.plan, Some(books.due(40)));
    second.presence.begin(books.due(43));
    books.receive(&mut second, 0, 43..100);
    let mut balance = books.settler().settle(&first);
    balance += books.settler().settle(&second);
    assert_eq!((balance.delivered, balance.lost), (97, 0));
    // For the second, who was not there yet; the first had left.
    assert_eq!((balance.away, balance.invented), (3, 0));
}

#[test]
fn a_part_at_a_time_gives_the_whole() {
    let books = Books::new();
    books.send(0, 3..97);
    let mut incoming = books.incoming(1);
    incoming.from = Some(books.due(10));
    incoming.until = Some(books.due(90));
    incoming.presence.end(books.due(70));
    books.receive(&mut incoming, 0, (0..50).filter(|slot| slot % 7 != 0));
    let whole = books.settler().settle(&incoming);
    let mut parts = Balance::default();
    let mut at = books.start;
    while at < books.start + Duration::from_secs(2) {
        let next = at + Duration::from_millis(130);
        parts += books.settler().settle_due(&incoming, Some(at..next));
        at = next;
    }
    assert_eq!(parts, whole);
    assert!(whole.lost > 0 && whole.away > 0 && whole.invented > 0);
}

#[test]
fn in_a_closed_loop_presence_is_judged_by_the_time_of_sending() {
    let mut books = Books::new();
    books.plan.window = Some(4);
    books.send(0, 0..3);
    books.outgoing(0).lock().sent_at = vec![10, 20, 30];
    let at = |ns| books.start + Duration::from_nanos(ns);
    let mut subscriber = books.incoming(1);
    subscriber.presence.end(at(15));
    subscriber.presence.begin(at(25));
    books.receive(&mut subscriber, 0, [0]);
    let balance = books.settler().settle(&subscriber);
    assert_eq!((balance.delivered, balance.lost, balance.away), (1, 1, 1));
    let first = books.settler().settle_due(&subscriber, Some(at(0)..at(30)));
    assert_eq!((first.delivered, first.lost, first.away), (1, 0, 1));
}

#[test]
fn a_stream_tells_duplicates_from_reordering() {
    let mut stream = Stream::default();
    let verdicts: Vec<Verdict> = [0, 1, 3, 2, 3, 200, 130, 130]
        .map(|slot| stream.receive(slot))
        .into();
    use Verdict::{Duplicate, Next, Reordered};
    let expected = [
        Next, Next, Next, Reordered, Duplicate, Next, Reordered, Duplicate,
    ];
    assert_eq!(verdicts, expected);
}
