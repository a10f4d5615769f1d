//! The whole cluster in one thread, in virtual time, from a seed: the coordinator's core, the
//! commservers' and the clients' sessions, joined by simulated sockets and simulated peers, with
//! faults, and with checkers that watch.
//!
//! The cores are the real ones. What their shells do (sockets, engines, authentication, redialing)
//! is simulated, as plainly as it can be: no real DTLS, no real ICE. The same seed gives the same
//! run, event for event.
//!
//! A run: everybody joins and works while things break; then everything is healed, and after a while
//! the cluster must be whole; then everybody leaves, and nothing may be left.

#![allow(
    clippy::indexing_slicing,
    reason = "indexes come from the tables that they index; a wrong one fails the test, as it should"
)]

mod authenticator;
mod checkers;
mod clock;
mod coordinator;
mod credentials;
mod dice;
mod engines;
mod event;
mod faults;
mod lanes;
mod member;
mod network;
mod node;
mod paths;
mod plan;
mod publication;
mod report;
mod rogue;
mod sabotage;
mod server;
mod sockets;
mod stillness;
mod trace;
mod workload;
mod world;

pub use checkers::{Check, Counts, Violation};
pub use plan::Fault;
pub use report::{Failure, Report, run, run_sabotaged, run_traced};
pub use sabotage::Sabotage;
