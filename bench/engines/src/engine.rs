//! What the driver needs of an engine: one peer, without socket and clock.

pub(crate) mod rtc;
pub(crate) mod str0m;

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;
use proto::Lane;

use crate::socket::Batch;

/// What a peer tells.
#[derive(Debug)]
pub(crate) enum Event {
    Packet(Lane, Bytes),
    Closed,
}

/// An engine's peer: it offers both lanes' channels, as an ICE-lite agent at one address.
pub(crate) trait Engine: Sized {
    /// What all peers share: the certificate.
    type Shared;

    fn shared() -> anyhow::Result<Self::Shared>;

    /// Makes it, and its offer as JSON.
    fn open(
        now: Instant,
        shared: &Self::Shared,
        local: SocketAddr,
    ) -> anyhow::Result<(Self, Vec<u8>)>;

    /// Its ICE username fragment.
    fn ufrag(&self) -> &str;

    fn answer(&mut self, now: Instant, json: &[u8]) -> anyhow::Result<()>;

    fn candidate(&mut self, json: &[u8]) -> anyhow::Result<()>;

    fn receive(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]);

    /// Queues a packet; `false` when there is no room.
    fn send(&mut self, now: Instant, lane: Lane, packet: &Bytes) -> bool;

    fn handle_timeout(&mut self, now: Instant);

    fn deadline(&mut self) -> Option<Instant>;

    /// Takes everything that it has to tell and to send.
    fn drain(&mut self, now: Instant, events: &mut Vec<Event>, batch: &mut Batch);
}

/// The ICE username fragment of a description.
fn ufrag_of(sdp: &str) -> Option<String> {
    let line = sdp
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))?;
    Some(line.trim().to_owned())
}

/// What may wait for one client on each lane.
const SEND_BUFFER_BYTES_MAX: usize = 1024 * 1024;
