//! Peers of the 2019 protocol (decentraland/webrtc-broker), for interoperability tests.
//!
//! Written from the protocol's description alone, on a foreign WebRTC engine (the whole `rtc`
//! crate, full ICE, a UDP socket of its own for each peer) and with a schema of their own: nothing
//! here imports `proto`, `rtc-peer` or `shard`, so a mistake that our two sides share is seen.
//! Each double is a small task behind channels, so that a test reads like a conversation.

mod client;
mod coordinator;
mod engine;
mod peer;
mod routing;
mod server;
mod session;
mod topic_list;
pub mod wire;

pub use client::{Client, Manner, Packet};
pub use coordinator::Coordinator;
pub use engine::{Lane, Trickle};
pub use server::{Options, Seen, Server};
pub use session::Session;
