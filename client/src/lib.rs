//! The Rust client of the broker.
//!
//! [`session`] is the pure state machine: what to say to the coordinator and to the communication
//! server, when, and what to do when either is lost. It has no sockets and no clock; the shell
//! around it, the load tester and the simulation all drive the same one.

pub mod session;

pub use session::{Event, Identity, Message, Session};
