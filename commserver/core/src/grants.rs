//! What a client may do, as its credentials say. Nothing here costs anybody anything who
//! may do everything.
//!
//! Filters are compared one after the other; what they said about a topic is kept, so that a packet
//! costs one look. There are so many places for topics and each has one, by its hash: whoever
//! publishes to many forbidden topics pushes out what was kept for itself, and nothing grows.

use std::{
    hash::BuildHasher,
    sync::Arc,
    time::{Duration, Instant},
};

use proto::filter::{FILTER_BYTES_MAX, Filter, Filters};

use crate::{hashing::Keyed, io::Identity};

/// What one client may do.
#[derive(Debug)]
pub(crate) struct Access {
    /// `None`: it may publish to everything.
    pub(crate) publish: Option<Box<Gate>>,
    pub(crate) subscribe: Filters,
    /// Topics that it may be subscribed to, the server's own limit aside.
    pub(crate) subscriptions_max: usize,
    /// When its credentials end.
    pub(crate) expires: Option<Instant>,
    /// What its token is called.
    pub(crate) token_id: Option<Arc<str>>,
}

impl Access {
    pub(crate) fn new(found: &Identity, hashing: &Keyed) -> Self {
        let publish = match &found.grants.publish {
            Filters::All => None,
            Filters::Only(filters) => Some(Box::new(Gate::new(filters, hashing))),
        };
        Self {
            publish,
            subscribe: found.grants.subscribe.clone(),
            subscriptions_max: found.subscriptions_max.unwrap_or(usize::MAX),
            expires: found.expires,
            token_id: found.token_id.clone(),
        }
    }

    pub(crate) fn check_invariants<'a>(&self, topics: impl Iterator<Item = &'a Arc<str>>) {
        if let Some(gate) = &self.publish {
            gate.check_invariants();
        }
        for topic in topics {
            assert!(self.subscribe.matches(topic), "{topic} is granted");
        }
    }
}

/// Where the publications of one client pass, or do not.
#[derive(Debug)]
pub(crate) struct Gate {
    filters: Arc<[Filter]>,
    hashing: Keyed,
    /// Made with the first topic.
    verdicts: Vec<Option<(Box<str>, bool)>>,
    complaints: Complaints,
}

impl Gate {
    fn new(filters: &Arc<[Filter]>, hashing: &Keyed) -> Self {
        Self {
            filters: Arc::clone(filters),
            hashing: hashing.clone(),
            verdicts: Vec::new(),
            complaints: Complaints::default(),
        }
    }

    /// Whether a publication to this topic passes.
    pub(crate) fn passes(&mut self, topic: &str) -> bool {
        if topic.len() > FILTER_BYTES_MAX {
            // Few are, and none is kept: places are bounded in bytes too.
            return matches(&self.filters, topic);
        }
        if self.verdicts.is_empty() {
            self.verdicts.resize(PLACES, None);
        }
        let place = self.hashing.hash_one(topic) % PLACES_U64;
        let place = usize::try_from(place).unwrap_or_default();
        let Some(place) = self.verdicts.get_mut(place) else {
            return false;
        };
        if let Some((known, passes)) = place
            && **known == *topic
        {
            return *passes;
        }
        let passes = matches(&self.filters, topic);
        *place = Some((topic.into(), passes));
        passes
    }

    /// Whether the client is told of one that did not pass: now and then.
    pub(crate) fn complains(&mut self, now: Instant) -> bool {
        self.complaints.admit(now)
    }

    fn check_invariants(&self) {
        assert!(self.verdicts.len() <= PLACES, "what is kept is bounded");
        for (topic, passes) in self.verdicts.iter().flatten() {
            assert!(topic.len() <= FILTER_BYTES_MAX, "and so is each of it");
            assert_eq!(*passes, matches(&self.filters, topic), "and true");
        }
    }
}

fn matches(filters: &[Filter], topic: &str) -> bool {
    filters.iter().any(|filter| filter.matches(topic))
}

/// How often one client is told that it may not do what it does.
#[derive(Debug, Default)]
struct Complaints {
    /// When all that were made are paid for.
    paid_at: Option<Instant>,
}

impl Complaints {
    fn admit(&mut self, now: Instant) -> bool {
        let paid_at = self.paid_at.map_or(now, |at| at.max(now));
        if paid_at.saturating_duration_since(now) > COMPLAINTS_AHEAD {
            return false;
        }
        self.paid_at = paid_at.checked_add(COMPLAINT_INTERVAL);
        true
    }
}

/// Topics of one client whose verdict is kept: more than most publish to, and with longest topics
/// 18 KiB.
const PLACES: usize = 64;
const PLACES_U64: u64 = 64;

/// One complaint in so much time, after a first few.
const COMPLAINT_INTERVAL: Duration = Duration::from_millis(500);

/// Eight at once.
const COMPLAINTS_AHEAD: Duration = COMPLAINT_INTERVAL.saturating_mul(7);

#[cfg(test)]
mod tests {
    use super::*;
    use proto::filter::Grants;

    fn gate(filters: &[&str]) -> Gate {
        let filters = Filters::parse(filters.iter().copied()).expect("filters");
        let found = Identity {
            grants: Grants {
                publish: filters,
                subscribe: Filters::All,
            },
            ..Identity::everything(bytes::Bytes::new())
        };
        let access = Access::new(&found, &Keyed::new(1));
        *access.publish.expect("a gate")
    }

    #[test]
    fn what_is_kept_is_what_the_filters_say() {
        let mut gate = gate(&["a/+", "b/#"]);
        // More topics than places, and each of them twice.
        for n in (0..4 * PLACES).chain(0..4 * PLACES) {
            assert!(gate.passes(&format!("a/{n}")), "{n}");
            assert!(!gate.passes(&format!("c/{n}")), "{n}");
            gate.check_invariants();
        }
    }

    #[test]
    fn long_topics_are_judged_and_not_kept() {
        let mut gate = gate(&["b/#"]);
        for length in [FILTER_BYTES_MAX - 1, FILTER_BYTES_MAX, FILTER_BYTES_MAX + 1] {
            let topic = format!("b/{}", "x".repeat(length - 2));
            assert!(gate.passes(&topic), "{length}");
            gate.check_invariants();
        }
        let kept = gate.verdicts.iter().flatten().count();
        assert_eq!(kept, 2);
    }

    #[test]
    fn complaints_come_now_and_then() {
        let mut complaints = Complaints::default();
        let start = Instant::now();
        let admitted =
            |complaints: &mut Complaints, now| (0..1_000).filter(|_| complaints.admit(now)).count();
        assert_eq!(admitted(&mut complaints, start), 8);
        let later = start + COMPLAINT_INTERVAL;
        assert_eq!(admitted(&mut complaints, later), 1);
        assert_eq!(
            admitted(&mut complaints, later + Duration::from_secs(60)),
            8
        );
    }
}
