//! What the whole-cluster tests share: doubles of foreign peers, and the cluster's cores in
//! virtual time.
//!
//! The tests themselves are in `tests/tests`, one binary for each subject.

pub mod double;
pub mod simulation;
