//! What the whole-cluster tests share: the cores in virtual time, doubles of foreign peers, and a
//! cluster of real servers in one process.
//!
//! The tests themselves are in `tests/tests`, one binary for each subject.

pub mod admin;
pub mod cluster;
pub mod double;
pub mod front;
pub mod member;
pub mod metrics;
pub mod process;
pub mod proxy;
pub mod simulation;
pub mod socket;

use std::time::Duration;

pub use tls::pki;

/// How long a conversation waits for its next line. Generous: the machine may be loaded.
pub const PATIENCE: Duration = Duration::from_secs(20);
