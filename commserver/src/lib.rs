//! The communication server: clients' data channels end here, packets are routed by topic, and
//! what other servers' clients want goes to them over the mesh.
//!
//! The logic is `commserver-core`'s, the transport `shard`'s. Here they meet: sockets, time,
//! threads, configuration, metrics. `main.rs` is the binary; [`Server`] is for programs that host
//! one, as `broker dev` and the tests do.

mod admin;
mod authentication;
pub mod cli;
mod config;
mod from_settings;
mod hub;
mod metrics;
mod server;
mod uplink;

pub use commserver_core::{Drain, Drop, GoneHint, Limits, Stats, Timings};
pub use shard::{Impair, PeerConfig, outbox};

pub use config::{AddressLimits, Authentication, Compat, Config, Rtc, Uplink};
pub use server::{BindError, RunError, Server, Status};
