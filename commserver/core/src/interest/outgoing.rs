//! Announcements on their way to one link: a few at a time, so that a large snapshot neither fills
//! its outbox nor delays what clients publish. The other side acknowledges each.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use proto::interest::Writer;

/// What one link has not been sent yet, in order.
#[derive(Debug)]
pub(crate) struct Outgoing {
    version: u64,
    waiting: VecDeque<News>,
    waiting_max: usize,
    snapshot: Option<Snapshot>,
    /// Counts announcements, each of which names a topic once.
    round: u32,
    unacknowledged: usize,
    /// Announcements since the other side last acknowledged anything.
    rounds_unheard: u32,
}

/// A topic is wanted, or is not any more.
#[derive(Debug)]
struct News {
    topic: Arc<str>,
    wanted: bool,
    round: u32,
}

/// The snapshot, as long as it is not all sent: so many of those that wait belong to it.
#[derive(Debug)]
struct Snapshot {
    begun: bool,
    left: usize,
}

/// The link is too far behind for more to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind;

impl Outgoing {
    /// For a new link, which is told all of these first. `topics_max` is the largest number of
    /// topics that there may be.
    pub(crate) fn new(topics: impl Iterator<Item = Arc<str>>, topics_max: usize) -> Self {
        let news = |topic| News {
            topic,
            wanted: true,
            round: 0,
        };
        let waiting: VecDeque<News> = topics.map(news).collect();
        Self {
            version: 0,
            snapshot: Some(Snapshot {
                begun: false,
                left: waiting.len(),
            }),
            waiting,
            waiting_max: topics_max.saturating_mul(WAITING_TIMES),
            round: 0,
            unacknowledged: 0,
            rounds_unheard: 0,
        }
    }

    /// Puts an announcement behind what waits.
    pub(crate) fn push(
        &mut self,
        news: impl Iterator<Item = (Arc<str>, bool)>,
    ) -> Result<(), Behind> {
        self.round = self.round.wrapping_add(1);
        let round = self.round;
        let before = self.waiting.len();
        let news = news.map(|(topic, wanted)| News {
            topic,
            wanted,
            round,
        });
        self.waiting.extend(news);
        if self.waiting.len() > before && self.unacknowledged > 0 {
            self.rounds_unheard += 1;
        }
        if self.waiting.len() > self.waiting_max || self.rounds_unheard > ROUNDS_UNHEARD_MAX {
            return Err(Behind);
        }
        Ok(())
    }

    /// How much waits.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The next message to send now, if any: to be called until `None`.
    pub(crate) fn poll(&mut self) -> Option<Bytes> {
        if self.unacknowledged >= UNACKNOWLEDGED_MAX {
            return None;
        }
        let message = match self.snapshot.take() {
            Some(snapshot) => self.snapshot_message(snapshot),
            None if self.waiting.is_empty() => return None,
            None => self.change_message(),
        };
        self.unacknowledged += 1;
        Some(message)
    }

    fn snapshot_message(&mut self, Snapshot { begun, mut left }: Snapshot) -> Bytes {
        let mut writer = Writer::new(self.version, !begun);
        while left > 0
            && let Some(news) = self
                .waiting
                .pop_front_if(|news| writer.push(&news.topic, true))
        {
            debug_assert!(news.wanted, "a snapshot says what is wanted");
            left -= 1;
        }
        if left > 0 {
            let begun = true;
            self.snapshot = Some(Snapshot { begun, left });
        }
        writer.finish(left == 0)
    }

    fn change_message(&mut self) -> Bytes {
        self.version += 1;
        let mut writer = Writer::new(self.version, false);
        // The reader takes out what is not wanted any more before it adds anything. So what was
        // added by an earlier announcement must not be taken out by the same message.
        let mut added_in = None;
        while let Some(news) = self.waiting.pop_front_if(|news| {
            let conflicts = !news.wanted && added_in.is_some_and(|round| round != news.round);
            !conflicts && writer.push(&news.topic, news.wanted)
        }) {
            if news.wanted {
                added_in.get_or_insert(news.round);
            }
        }
        writer.finish(false)
    }

    /// The other side has taken one in.
    pub(crate) const fn acknowledge(&mut self) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        self.rounds_unheard = 0;
    }

    pub(crate) fn check_invariants(&self) {
        assert!(
            self.waiting.len() <= self.waiting_max,
            "announcements are bounded"
        );
        assert!(
            self.unacknowledged <= UNACKNOWLEDGED_MAX,
            "and sent a few at a time"
        );
        let waits = !self.waiting.is_empty() || self.snapshot.is_some();
        let stuck = waits && self.unacknowledged < UNACKNOWLEDGED_MAX;
        assert!(!stuck, "what may be sent is sent");
        let left = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.left);
        assert!(
            left <= self.waiting.len(),
            "the snapshot is among what waits"
        );
    }
}

/// Of 32 KiB each: a quarter of a link's outbox.
const UNACKNOWLEDGED_MAX: usize = 8;
/// A snapshot of as many topics as there may be, and as many changes behind it.
const WAITING_TIMES: usize = 2;
/// With a window of 20 ms, 40 seconds in which something changes all the time and nothing is heard.
const ROUNDS_UNHEARD_MAX: u32 = 2_048;
