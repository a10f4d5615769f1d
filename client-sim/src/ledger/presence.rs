//! When somebody was there.

use std::time::Instant;

/// Stretches of time, and the one that lasts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    past: Vec<(Instant, Instant)>,
    since: Option<Instant>,
}

impl Presence {
    /// There from then on.
    pub(crate) fn begin(&mut self, since: Instant) {
        self.since = Some(since);
    }

    /// Not there any more since then.
    pub(crate) fn end(&mut self, until: Instant) {
        if let Some(since) = self.since.take()
            && since < until
            && self.past.len() < STRETCHES_MAX
        {
            self.past.push((since, until));
        }
    }

    pub(super) fn covers(&self, at: Instant) -> bool {
        self.since.is_some_and(|since| since <= at)
            || self
                .past
                .iter()
                .any(|(from, to)| (*from..*to).contains(&at))
    }

    /// Whether there is one stretch over all of it: nearly always, and then no slot needs a look
    /// of its own.
    pub(super) fn covers_all(&self, from: Instant, to: Instant) -> bool {
        self.since.is_some_and(|since| since <= from)
            || self
                .past
                .iter()
                .any(|(start, end)| *start <= from && to < *end)
    }
}

/// Stretches that are remembered: who comes and goes more often than this is counted as away from
/// then on.
const STRETCHES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn stretches_include_their_start_and_not_their_end() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut presence = Presence::default();
        assert!(!presence.covers(start));
        presence.begin(at(10));
        assert!(!presence.covers(at(9)) && presence.covers(at(10)) && presence.covers(at(99)));
        presence.end(at(20));
        assert!(presence.covers(at(19)) && !presence.covers(at(20)));
        assert!(presence.covers_all(at(10), at(19)) && !presence.covers_all(at(10), at(20)));
        presence.begin(at(30));
        assert!(presence.covers_all(at(30), at(1_000)) && !presence.covers_all(at(19), at(30)));
        // One that ended before it began was none.
        presence.end(at(25));
        assert!(!presence.covers(at(30)));
    }

    #[test]
    fn what_is_remembered_is_limited() {
        let start = Instant::now();
        let mut presence = Presence::default();
        for nth in 0..20_002_u64 {
            let at = start + Duration::from_secs(nth);
            if nth % 2 == 0 {
                presence.begin(at);
            } else {
                presence.end(at);
            }
        }
        assert_eq!(presence.past.len(), STRETCHES_MAX);
        assert!(presence.covers(start) && !presence.covers(start + Duration::from_secs(20_000)));
    }
}
