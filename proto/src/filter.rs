//! Topic filters, by the rules of MQTT: which topics somebody may publish to or subscribe to.
//!
//! `/` separates levels. `+` stands for one level, whatever is in it. `#`, which only the last level
//! can be, stands for any number of them, none included: `a/#` matches `a`. No wildcard at the start
//! matches a topic that starts with `$`.
//!
//! ```
//! use proto::filter::Filter;
//!
//! let rooms = Filter::parse("rooms/+/chat").expect("a filter");
//! assert!(rooms.matches("rooms/7/chat"));
//! assert!(!rooms.matches("rooms/7/moves"));
//! ```

use std::sync::Arc;

use thiserror::Error;

use crate::limits;

/// One filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter(Box<str>);

/// Why a list of filters, or one of them, is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadFilter {
    /// No bytes at all.
    #[error("a filter must not be empty")]
    Empty,
    /// Longer than a topic.
    #[error("a filter must not be longer than {FILTER_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// What no topic has.
    #[error("a filter must not contain white space or control characters, found one at byte {0}")]
    Character(usize),
    /// A wildcard with something beside it.
    #[error("'+' and '#' must be a level of their own, found one that is not at byte {0}")]
    Wildcard(usize),
    /// `#`, and something behind it.
    #[error("'#' must be the last level, found one that is not at byte {0}")]
    NotLast(usize),
    /// More filters than a list may have.
    #[error("a list must not have more than {FILTERS_MAX} filters")]
    TooMany,
}

impl Filter {
    /// A filter from its text.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadFilter> {
        if text.is_empty() {
            return Err(BadFilter::Empty);
        }
        if text.len() > FILTER_BYTES_MAX {
            return Err(BadFilter::TooLong(text.len()));
        }
        let wrong = |character: char| character.is_control() || character.is_whitespace();
        if let Some((at, _)) = text.char_indices().find(|&(_, found)| wrong(found)) {
            return Err(BadFilter::Character(at));
        }
        let mut start = 0;
        for level in text.split('/') {
            let end = start + level.len();
            if let Some(at) = level.find(['+', '#'])
                && level.len() > 1
            {
                return Err(BadFilter::Wildcard(start + at));
            }
            if level == "#" && end < text.len() {
                return Err(BadFilter::NotLast(start));
            }
            start = end + 1;
        }
        Ok(Self(text.into()))
    }

    /// The text that it was made of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches a topic. Costs as much as the shorter of both is long.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if topic.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.split('/');
        for wanted in self.0.split('/') {
            if wanted == "#" {
                return true;
            }
            match levels.next() {
                Some(level) if wanted == "+" || wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

/// Which topics are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filters {
    /// Every one.
    All,
    /// Those that one of these matches; with none of them, no topic at all.
    Only(Arc<[Filter]>),
}

impl Filters {
    /// A list from the texts of its filters.
    ///
    /// # Errors
    /// When one of them is no filter, or there are too many.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, BadFilter> {
        let mut filters = Vec::new();
        for text in texts {
            if filters.len() >= FILTERS_MAX {
                return Err(BadFilter::TooMany);
            }
            filters.push(Filter::parse(text)?);
        }
        Ok(Self::Only(filters.into()))
    }

    /// No topic at all.
    #[must_use]
    pub fn none() -> Self {
        Self::Only(Arc::new([]))
    }

    /// Whether a topic is allowed.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(filters) => filters.iter().any(|filter| filter.matches(topic)),
        }
    }
}

/// What somebody may do with topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// Which it may publish to.
    pub publish: Filters,
    /// Which it may subscribe to.
    pub subscribe: Filters,
}

impl Grants {
    /// Everything.
    pub const ALL: Self = Self {
        publish: Filters::All,
        subscribe: Filters::All,
    };
}

/// Longest filter, in bytes of UTF-8: a longer one could match no topic that is taken by default.
pub const FILTER_BYTES_MAX: usize = limits::TOPIC_BYTES_MAX;

/// Filters in one list: with longest filters, 64 KiB for each list of a peer.
pub const FILTERS_MAX: usize = 256;

#[cfg(test)]
mod tests;
