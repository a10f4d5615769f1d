//! What the system says instead of sending, for tests: no full send queue can be had on loopback.

use std::{collections::VecDeque, io};

use parking_lot::Mutex;

/// What is left to be said, one for each call that sends.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<VecDeque<Option<rustix::io::Errno>>>);

impl Refusals {
    /// The next calls fail so, or go through.
    pub(crate) fn expect(&self, calls: impl IntoIterator<Item = Option<rustix::io::Errno>>) {
        self.0.lock().extend(calls);
    }

    pub(super) fn next(&self) -> io::Result<()> {
        match self.0.lock().pop_front().flatten() {
            Some(errno) => Err(errno.into()),
            None => Ok(()),
        }
    }
}
