//! The books: which packets a publisher sent, which a subscriber received, when each was there;
//! and what that makes: delivered, lost, away.
//!
//! One bit for each packet and subscriber, so that duplicates are exact however late they come.
//! A client of the plan may be several after each other, where clients are replaced: what they
//! published is in one book, what each of them received in a book of its own.

mod presence;
mod slots;

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::plan::{Plan, nanos};
pub(crate) use presence::Presence;
pub(crate) use slots::Slots;

/// What was published under one number of the plan.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) sent: Slots,
    /// In a closed loop, when each slot was sent, in nanoseconds since the start.
    pub(crate) sent_at: Vec<u64>,
    pub(crate) presence: Presence,
}

/// What one client received.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) client: u32,
    /// What is due before is its predecessor's.
    pub(crate) from: Option<Instant>,
    /// What is due from then on is its successor's.
    pub(crate) until: Option<Instant>,
    /// One for each stream of the plan.
    pub(crate) streams: Vec<Stream>,
    pub(crate) presence: Presence,
}

/// A book that its bot writes, and the conductor reads.
pub(crate) type Shared<B> = Arc<Mutex<B>>;

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

impl Incoming {
    pub(crate) fn new(client: u32, plan: &Plan, from: Option<Instant>) -> Self {
        Self {
            client,
            from,
            streams: vec![Stream::default(); plan.streams()],
            ..Self::default()
        }
    }

    /// Whether what is due then is this client's, and not that of the one before or after it.
    pub(crate) fn answers_for(&self, due: Instant) -> bool {
        self.from.is_none_or(|from| from <= due) && self.until.is_none_or(|until| due < until)
    }
}

/// What books say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    /// Packets that were due and received.
    pub(crate) delivered: u64,
    /// Due, not received, and both ends were there when they were sent.
    pub(crate) lost: u64,
    /// Due, not received, while one of the two was away.
    pub(crate) away: u64,
    /// Received, though nobody sent it.
    pub(crate) invented: u64,
}

impl Balance {
    /// Packets that were due: both ends were there when it was sent, or it was received anyway.
    pub(crate) fn expected(&self) -> u64 {
        self.delivered + self.lost
    }
}

impl std::ops::AddAssign for Balance {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.away += other.away;
        self.invented += other.invented;
    }
}

/// What settles books: the plan, when it started, and what was published.
#[derive(Clone, Copy)]
pub(crate) struct Settler<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) start: Instant,
    /// In the clients' order.
    pub(crate) outgoing: &'a [Shared<Outgoing>],
}

impl Settler<'_> {
    /// All of one subscriber's book.
    pub(crate) fn settle(&self, incoming: &Incoming) -> Balance {
        self.settle_due(incoming, None)
    }

    /// What was due in a stretch of time; of all of it, if `None`.
    pub(crate) fn settle_due(&self, incoming: &Incoming, due: Option<Range<Instant>>) -> Balance {
        let mut balance = Balance::default();
        for (place, stream) in incoming.streams.iter().enumerate() {
            let publisher = self.plan.publisher_of(incoming.client, place);
            let outgoing = publisher
                .and_then(|publisher| usize::try_from(publisher).ok())
                .and_then(|publisher| self.outgoing.get(publisher));
            if let (Some(publisher), Some(outgoing)) = (publisher, outgoing) {
                let pair = Pair {
                    settler: self,
                    publisher,
                    outgoing: &outgoing.lock(),
                    incoming,
                };
                let due = due.as_ref();
                let slots = pair.slots(due.map(|due| due.start), due.map(|due| due.end));
                balance += pair.settle(stream, &slots);
            }
        }
        balance
    }
}

/// A publisher and one of its subscribers.
struct Pair<'a> {
    settler: &'a Settler<'a>,
    publisher: u32,
    outgoing: &'a Outgoing,
    incoming: &'a Incoming,
}

impl Pair<'_> {
    fn settle(&self, stream: &Stream, slots: &Range<u32>) -> Balance {
        let mut balance = Balance::default();
        let mine = self.slots(self.incoming.from, self.incoming.until);
        let always = self.always_there(&(slots.start.max(mine.start)..slots.end.min(mine.end)));
        let (sent, received) = (&self.outgoing.sent, &stream.received);
        let used = sent.places().start.min(received.places().start)
            ..sent.places().end.max(received.places().end);
        let wanted = slots::places(slots);
        for place in used.start.max(wanted.start)..used.end.min(wanted.end) {
            let mask = slots::mask(place, slots);
            let (sent, received) = (sent.word(place) & mask, received.word(place) & mask);
            balance.invented += u64::from((received & !sent).count_ones());
            let due = sent & slots::mask(place, &mine);
            balance.delivered += u64::from((received & due).count_ones());
            let missing = due & !received;
            let lost = if always {
                missing
            } else {
                filter(missing, place, |slot| self.both_there(slot))
            };
            balance.lost += u64::from(lost.count_ones());
            balance.away += u64::from((missing & !lost).count_ones());
        }
        balance
    }

    fn both_there(&self, slot: u32) -> bool {
        let at = self.due(slot);
        self.outgoing.presence.covers(at) && self.incoming.presence.covers(at)
    }

    fn always_there(&self, slots: &Range<u32>) -> bool {
        let slots = slots.start..slots.end.min(self.slots_max());
        if slots.is_empty() {
            return true;
        }
        let (first, last) = (self.due(slots.start), self.due(slots.end - 1));
        self.outgoing.presence.covers_all(first, last)
            && self.incoming.presence.covers_all(first, last)
    }

    /// When a slot was sent, or was to be.
    fn due(&self, slot: u32) -> Instant {
        let sent_at = usize::try_from(slot)
            .ok()
            .and_then(|slot| self.outgoing.sent_at.get(slot).copied());
        let due_ns = sent_at.unwrap_or_else(|| self.settler.plan.due_ns(self.publisher, slot));
        self.settler.start + Duration::from_nanos(due_ns)
    }

    /// Slots that there can be: in a closed loop, as many as there were.
    fn slots_max(&self) -> u32 {
        if self.settler.plan.window.is_some() {
            u32::try_from(self.outgoing.sent_at.len()).unwrap_or(u32::MAX)
        } else {
            self.settler.plan.slots
        }
    }

    /// The publisher's slots that are due from one moment to before another.
    fn slots(&self, from: Option<Instant>, until: Option<Instant>) -> Range<u32> {
        let slot = |at: Instant| self.slot_from(at.saturating_duration_since(self.settler.start));
        from.map_or(0, slot)..until.map_or(u32::MAX, slot)
    }

    fn slot_from(&self, since: Duration) -> u32 {
        if self.settler.plan.window.is_none() {
            return self.settler.plan.slot_from(self.publisher, since);
        }
        let before = |sent_at: &u64| *sent_at < nanos(since);
        let slots = self.outgoing.sent_at.partition_point(before);
        u32::try_from(slots).unwrap_or(u32::MAX)
    }
}

/// The bits of a word whose slots satisfy `there`.
fn filter(mut word: u64, place: usize, there: impl Fn(u32) -> bool) -> u64 {
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
mod tests;
