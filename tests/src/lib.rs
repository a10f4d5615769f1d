//! What the whole-cluster tests share: doubles of foreign peers, and a cluster in one process.
//!
//! The tests themselves are in `tests/tests`, one binary for each subject.

pub mod double;
