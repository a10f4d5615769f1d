//! What authenticators count when they ask somebody else. Registered by whoever hosts them, under a
//! prefix of its own.

use prometheus_client::{
    encoding::EncodeLabelValue,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::remote::Trouble;

/// Counters. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    calls: Family<ByResult<Call>, Counter>,
    key_sets: Family<ByResult<KeySets>, Counter>,
}

impl Metrics {
    /// Adds them to `registry`, under its prefix and `auth_`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "auth_calls",
            "Questions to the authentication service, by what came of them",
            self.calls.clone(),
        );
        registry.register(
            "auth_key_sets",
            "Key sets asked for, by what came of it",
            self.key_sets.clone(),
        );
    }

    pub(crate) fn called(&self, result: Call) {
        self.calls.get_or_create(&by_result(result)).inc();
    }

    pub(crate) fn key_set(&self, result: KeySets) {
        self.key_sets.get_or_create(&by_result(result)).inc();
    }

    #[cfg(test)]
    pub(crate) fn calls(&self, result: Call) -> u64 {
        self.calls.get_or_create(&by_result(result)).get()
    }

    #[cfg(test)]
    pub(crate) fn key_sets(&self, result: KeySets) -> u64 {
        self.key_sets.get_or_create(&by_result(result)).get()
    }
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Call {
    /// Yes.
    Allowed,
    /// No.
    Refused,
    /// It was known from before.
    Remembered,
    /// It was known from before, and the service did not answer.
    LastKnown,
    /// No connection, or not to whom it should be.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// An HTTP status that is no answer.
    Status,
    /// An answer that is none.
    Malformed,
    /// Too many at once.
    Overload,
}

impl From<Trouble> for Call {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Connection | Trouble::Untrusted => Self::Unreachable,
            Trouble::Timeout => Self::Timeout,
            Trouble::Status(_) => Self::Status,
            Trouble::TooLong | Trouble::Malformed => Self::Malformed,
            Trouble::Overload => Self::Overload,
        }
    }
}

/// What came of asking for a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum KeySets {
    /// It is in use.
    Read,
    /// There was none; the one before stays.
    Failed,
    /// A token named an unknown key too soon after the last time.
    TooSoon,
}

/// One label.
type ByResult<R> = [(&'static str, R); 1];

const fn by_result<R: Copy>(result: R) -> ByResult<R> {
    [("result", result)]
}
