//! The books: which packets a publisher sent, which a subscriber received, when each was there;
//! and at the end what that makes: delivered, lost, away.
//!
//! One bit for each packet and subscriber, so that duplicates are exact however late they come.

use crate::plan::Plan;

/// A set of slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Slots(Vec<u64>);

impl Slots {
    /// Adds a slot; false when it is in already.
    pub(crate) fn insert(&mut self, slot: u32) -> bool {
        let (word, bit) = (word_of(slot), 1 << (slot % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let Some(word) = self.0.get_mut(word) else {
            return false;
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    #[cfg(test)]
    fn contains(&self, slot: u32) -> bool {
        self.word(word_of(slot)) & (1 << (slot % 64)) != 0
    }

    fn word(&self, word: usize) -> u64 {
        self.0.get(word).copied().unwrap_or(0)
    }
}

fn word_of(slot: u32) -> usize {
    usize::try_from(slot / 64).unwrap_or(usize::MAX)
}

/// When somebody was there, in nanoseconds since the start: from the server's confirmation to the
/// last that was heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Presence(Vec<(u64, u64)>);

impl Presence {
    pub(crate) fn add(&mut self, from: u64, to: u64) {
        if from < to {
            self.0.push((from, to));
        }
    }

    fn covers(&self, at: u64) -> bool {
        self.0.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    /// Whether there is one stretch over all of it: nearly always, and then no slot needs a look
    /// of its own.
    fn covers_all(&self, from: u64, to: u64) -> bool {
        self.0
            .iter()
            .any(|(start, end)| *start <= from && to < *end)
    }
}

/// What one subscriber received of one publisher.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    received: Slots,
    /// One more than the highest slot so far.
    next: u32,
}

/// What a packet is to its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The first of its kind, later than all before.
    Next,
    /// The first of its kind, but a later one came before it.
    Reordered,
    /// It came already.
    Duplicate,
}

impl Stream {
    /// One more than the highest slot so far.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    pub(crate) fn receive(&mut self, slot: u32) -> Verdict {
        if !self.received.insert(slot) {
            return Verdict::Duplicate;
        }
        if slot < self.next {
            return Verdict::Reordered;
        }
        self.next = slot + 1;
        Verdict::Next
    }
}

/// What one bot has in its books at the end.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) client: u32,
    /// As publisher.
    pub(crate) sent: Slots,
    /// In a closed loop, when each slot was sent, in nanoseconds since the start.
    pub(crate) sent_at: Vec<u64>,
    /// As subscriber, one for each stream of the plan.
    pub(crate) streams: Vec<Stream>,
    pub(crate) presence: Presence,
}

impl Account {
    /// When it sent a slot, or was to.
    fn when(&self, plan: &Plan, slot: u32) -> u64 {
        let sent_at = usize::try_from(slot).ok().and_then(|n| self.sent_at.get(n));
        sent_at.map_or_else(|| plan.due_ns(self.client, slot), |at| *at)
    }

    /// When it sent the first and the last.
    fn span(&self, plan: &Plan) -> (u64, u64) {
        match (self.sent_at.first(), self.sent_at.last()) {
            (Some(first), Some(last)) => (*first, *last),
            _ => {
                let last = plan.slots.saturating_sub(1);
                (plan.due_ns(self.client, 0), plan.due_ns(self.client, last))
            }
        }
    }
}

/// What all books together say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    /// Packets that were due: both ends were there when it was sent, or it was received anyway.
    pub(crate) expected: u64,
    /// Of those, received.
    pub(crate) delivered: u64,
    /// Of those, not received.
    pub(crate) lost: u64,
    /// Not received, while one of the two was away.
    pub(crate) away: u64,
    /// Received, though nobody sent it.
    pub(crate) invented: u64,
}

/// Settles the accounts, which are in the clients' order.
pub(crate) fn settle(plan: &Plan, accounts: &[Account]) -> Balance {
    let mut balance = Balance::default();
    for account in accounts {
        for (place, stream) in account.streams.iter().enumerate() {
            let publisher = plan
                .publisher_of(account.client, place)
                .and_then(|publisher| accounts.get(usize::try_from(publisher).ok()?));
            if let Some(publisher) = publisher {
                balance.add(plan, publisher, account, stream);
            }
        }
    }
    balance
}

impl Balance {
    fn add(&mut self, plan: &Plan, publisher: &Account, subscriber: &Account, stream: &Stream) {
        let (first, last) = publisher.span(plan);
        let there = |account: &Account| account.presence.covers_all(first, last);
        let always = there(publisher) && there(subscriber);
        for word in 0..publisher.sent.0.len().max(stream.received.0.len()) {
            let (sent, received) = (publisher.sent.word(word), stream.received.word(word));
            self.invented += u64::from((received & !sent).count_ones());
            self.delivered += u64::from((received & sent).count_ones());
            let missing = sent & !received;
            let lost = if always {
                missing
            } else {
                present(missing, word, |slot| {
                    let at = publisher.when(plan, slot);
                    publisher.presence.covers(at) && subscriber.presence.covers(at)
                })
            };
            self.lost += u64::from(lost.count_ones());
            self.away += u64::from((missing & !lost).count_ones());
        }
        self.expected = self.delivered + self.lost;
    }
}

/// The bits of a word whose slots satisfy `there`.
fn present(mut word: u64, place: usize, there: impl Fn(u32) -> bool) -> u64 {
    let first = u32::try_from(place * 64).unwrap_or(u32::MAX);
    let mut kept = 0;
    while word != 0 {
        let bit = word.trailing_zeros();
        word &= word - 1;
        if there(first.saturating_add(bit)) {
            kept |= 1 << bit;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use std::time::Duration;

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

    fn account(client: u32, sent: impl IntoIterator<Item = u32>) -> Account {
        let mut account = Account {
            client,
            streams: vec![Stream::default(); plan().streams()],
            ..Account::default()
        };
        for slot in sent {
            account.sent.insert(slot);
        }
        account.presence.add(0, u64::MAX);
        account
    }

    fn receive(account: &mut Account, from: u32, slots: impl IntoIterator<Item = u32>) {
        let stream = plan().stream(account.client, from).expect("a stream");
        for slot in slots {
            account.streams[stream].receive(slot);
        }
    }

    #[test]
    fn a_clean_run_has_no_loss() {
        let mut accounts = [account(0, 0..100), account(1, 0..100)];
        receive(&mut accounts[0], 1, 0..100);
        receive(&mut accounts[1], 0, 0..100);
        let balance = settle(&plan(), &accounts);
        let all = Balance {
            expected: 200,
            delivered: 200,
            ..Balance::default()
        };
        assert_eq!(balance, all);
    }

    #[test]
    fn what_does_not_come_is_lost_also_at_the_ends() {
        let mut accounts = [account(0, 0..100), account(1, [])];
        receive(&mut accounts[1], 0, (1..63).chain(66..99));
        let balance = settle(&plan(), &accounts);
        assert_eq!(
            (balance.expected, balance.delivered, balance.lost),
            (100, 95, 5)
        );
    }

    #[test]
    fn what_was_not_sent_is_not_due_and_cannot_come() {
        let mut accounts = [account(0, 0..50), account(1, [])];
        receive(&mut accounts[1], 0, 0..52);
        let balance = settle(&plan(), &accounts);
        assert_eq!(
            (balance.expected, balance.lost, balance.invented),
            (50, 0, 2)
        );
    }

    #[test]
    fn who_is_away_loses_nothing() {
        let plan = plan();
        // The subscriber is away for slots 20 to 39, the publisher without a server for 60 to 69.
        let mut subscriber = account(1, []);
        subscriber.presence = Presence::default();
        subscriber.presence.add(0, plan.due_ns(0, 20));
        subscriber.presence.add(plan.due_ns(0, 40), u64::MAX);
        let mut publisher = account(0, 0..100);
        publisher.presence = Presence::default();
        publisher.presence.add(0, plan.due_ns(0, 60));
        publisher.presence.add(plan.due_ns(0, 70), u64::MAX);
        let mut accounts = [publisher, subscriber];
        // One of those came all the same, and one is lost while both were there.
        receive(
            &mut accounts[1],
            0,
            (0..20).chain([30]).chain(40..60).chain(71..100),
        );
        let balance = settle(&plan, &accounts);
        assert_eq!((balance.delivered, balance.lost, balance.away), (70, 1, 29));
        assert_eq!(balance.expected, 71);
    }

    #[test]
    fn in_a_closed_loop_presence_is_judged_by_the_time_of_sending() {
        let plan = plan();
        let mut publisher = account(0, 0..3);
        publisher.sent_at = vec![10, 20, 30];
        let mut subscriber = account(1, []);
        subscriber.presence = Presence::default();
        subscriber.presence.add(0, 15);
        subscriber.presence.add(25, u64::MAX);
        let mut accounts = [publisher, subscriber];
        receive(&mut accounts[1], 0, [0]);
        let balance = settle(&plan, &accounts);
        assert_eq!((balance.delivered, balance.lost, balance.away), (1, 1, 1));
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

    #[test]
    fn slots_at_the_edges_of_words() {
        let mut slots = Slots::default();
        for slot in [0, 63, 64, 127, 128, 1_000] {
            assert!(slots.insert(slot) && !slots.insert(slot) && slots.contains(slot));
        }
        assert!(!slots.contains(1) && !slots.contains(65) && !slots.contains(5_000));
    }
}
