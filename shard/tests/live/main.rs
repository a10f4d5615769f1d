//! Shards that talk to each other over loopback sockets, in real time. Every wait is for an event
//! and has a deadline.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test, in which to panic is to fail"
)]

mod addresses;
mod back_pressure;
mod close;
mod connect;
mod harness;
mod lanes;
mod limits;
mod measure;
mod spoofing;
