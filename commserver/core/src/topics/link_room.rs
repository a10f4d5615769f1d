//! How many topics all links may want together. Each link that may come has a share of its own, kept
//! for it from the beginning; what is above the shares goes to whoever comes first.

/// The room for what links want.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkRoom {
    share: usize,
    shared: usize,
    /// Above their shares.
    drawn: usize,
}

impl LinkRoom {
    /// For any number.
    #[cfg(test)]
    pub(crate) const ANY: Self = Self {
        share: usize::MAX,
        shared: 0,
        drawn: 0,
    };

    /// For so many topics of so many links together.
    pub(crate) const fn new(topics_max: usize, links_max: usize) -> Self {
        let kept = topics_max / SHARES_PART;
        let share = match kept.checked_div(links_max) {
            Some(share) => share,
            None => 0,
        };
        Self {
            share,
            shared: topics_max - share * links_max,
            drawn: 0,
        }
    }

    /// Whether a link that wants so many may want one more.
    pub(super) const fn has_room(&self, wanted: usize) -> bool {
        wanted < self.share || self.drawn < self.shared
    }

    /// A link wants one more, so many with it.
    pub(super) const fn add(&mut self, wanted: usize) {
        if wanted > self.share {
            self.drawn += 1;
        }
    }

    /// A link that wanted so many wants only so many now.
    pub(super) const fn subtract(&mut self, before: usize, after: usize) {
        self.drawn -= before.saturating_sub(self.share) - after.saturating_sub(self.share);
    }

    /// Given what each link wants.
    pub(super) fn check_invariants(&self, wanted: impl Iterator<Item = usize>) {
        let drawn: usize = wanted.map(|one| one.saturating_sub(self.share)).sum();
        assert_eq!(self.drawn, drawn, "what links want is counted");
        assert!(drawn <= self.shared, "what links want is bounded");
    }
}

/// A quarter is kept for shares: a few links of large servers find the rest.
const SHARES_PART: usize = 4;
