//! Scripted conversations with one broker.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a script that does not go as written has failed"
)]

mod admission;
mod drain;
mod expiry;
mod gone;
mod grants;
mod handshakes;
#[cfg(test)]
mod hub;
mod hubs;
mod interest;
mod interest_limits;
mod links;
mod load;
mod requests;
mod revocations;
mod routing;
mod server;
mod servers_2019;
mod uplink;
