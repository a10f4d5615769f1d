//! One UDP socket and its WebRTC peers, driven in bounded passes: read, feed the engines, tell the
//! owner, take what it sends, flush each touched peer once, write. The owner implements
//! [`Handler`] and spawns [`Shard::run`]: a server gives it a thread with a runtime of its own, a
//! load test runs many as tasks.
//!
//! Not here: signalling, topics, authentication. The protocols of a peer are `rtc-peer`'s.
//!
//! At one pair of addresses there can be one peer, for DTLS carries no name: two peers of one
//! socket cannot both talk to the same remote socket. A client needs a socket of its own, or at
//! least one that it shares only with clients of other servers.

mod batch;
pub mod budget;
mod config;
mod deadlines;
mod demux;
mod handler;
pub mod impair;
mod interfaces;
mod kernel;
pub mod outbox;
mod pace;
mod peers;
pub mod pool;
mod shard;
mod socket;
mod stats;
mod wire;

pub use rtc_peer;

pub use crate::{
    config::{Config, LOCAL_ADDRS_MAX, PeerConfig},
    handler::{Event, Handler},
    impair::Impair,
    kernel::kernel_drops,
    peers::{Full, PeerKey, Peers, Sent},
    shard::{Handle, SendError, Shard, TrySendError},
    stats::{Counter, DropReason, LaneStats, Stats},
};
