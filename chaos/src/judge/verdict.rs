//! What the judge found, and how it is said.

use std::{fmt, time::Duration};

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) published: u64,
    pub(crate) arrived: u64,
    /// Pairs of a publication and a subscriber that had to meet.
    pub(crate) judged: u64,
    /// Of those, after everything was whole again.
    pub(crate) judged_whole: u64,
    /// Pairs that a fault may have touched, and that did not meet.
    pub(crate) excused: u64,
    /// Came again, or late, to somebody who had moved meanwhile, or from somebody who had.
    pub(crate) after_move: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) lost: u64,
    /// Clients that left their server, and those of them whom no fault had made to.
    pub(crate) departed: u64,
    pub(crate) departed_unasked: u64,
    /// From noticing that the server is lost to the first packet of another, in order of length.
    pub(crate) returns: Vec<Duration>,
    /// Clients that have lost a server and received nothing since.
    pub(crate) unreturned: Vec<u32>,
    /// Sessions at the coordinator that came back under their alias, and under another.
    pub(crate) resumed: u64,
    pub(crate) renamed: u64,
    /// Clients that are not on a server at the end.
    pub(crate) missing: Vec<u32>,
    /// The first few faults, in words.
    pub(crate) examples: Vec<String>,
}

impl Verdict {
    /// Whether the promise was kept.
    pub(crate) fn is_good(&self) -> bool {
        let packets = self.duplicated + self.reordered + self.lost;
        packets + self.departed_unasked + self.renamed == 0
            && self.missing.is_empty()
            && self.unreturned.is_empty()
    }

    /// Within which time so many of a hundred returns were over.
    pub(crate) fn returned_within(&self, of_hundred: usize) -> Option<Duration> {
        let places = (self.returns.len() * of_hundred).div_ceil(100);
        self.returns.get(places.saturating_sub(1)).copied()
    }

    pub(super) fn note(&mut self, example: impl fmt::Display) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example.to_string());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for example in &self.examples {
            writeln!(f, "{example}")?;
        }
        let Self {
            published,
            arrived,
            judged,
            judged_whole,
            excused,
            after_move,
            duplicated,
            reordered,
            lost,
            departed,
            departed_unasked,
            resumed,
            renamed,
            missing,
            unreturned,
            returns,
            ..
        } = self;
        writeln!(
            f,
            "{published} published, {arrived} arrived; {judged} had to arrive ({judged_whole} of \
             them after the last fault): {lost} lost, {duplicated} duplicated, {reordered} \
             reordered; {excused} missed where a fault had struck their way, {after_move} came \
             again or late after a move"
        )?;
        let part = |of_hundred| {
            self.returned_within(of_hundred)
                .unwrap_or_default()
                .as_millis()
        };
        writeln!(
            f,
            "{departed} lost their server, {departed_unasked} of them without a fault; {} were \
             back, subscribed and receiving, {} ms (p50), {} ms (p99), {} ms (max) after they had \
             noticed",
            returns.len(),
            part(50),
            part(99),
            part(100),
        )?;
        write!(
            f,
            "{resumed} sessions came back to the coordinator under their alias, {renamed} under \
             another; clients missing at the end: {missing:?}, without a packet since: \
             {unreturned:?}"
        )
    }
}

const EXAMPLES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_returns() {
        let mut verdict = Verdict::default();
        assert_eq!(verdict.returned_within(99), None);
        verdict.returns = (1..=200).map(Duration::from_millis).collect();
        for (share, ms) in [(0, 1), (50, 100), (99, 198), (100, 200)] {
            let expected = Some(Duration::from_millis(ms));
            assert_eq!(verdict.returned_within(share), expected, "{share}");
        }
    }
}
