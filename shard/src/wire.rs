//! Between the peers and the network: the socket's two directions, the batch that waits to be
//! written, and, in tests, the impairment of both.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    batch::Batch,
    impair::{Fate, Impair, Line},
    socket::{Datagram, Socket, Written},
    stats::{DropReason, Stats, count},
};

#[cfg(test)]
mod tests;

/// The socket with what surrounds it.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    batch: Batch,
    impaired: Option<Box<Impaired>>,
    stats: Arc<Stats>,
}

#[derive(Debug)]
struct Impaired {
    inward: Line<Held>,
    outward: Line<Held>,
}

/// A datagram on its way through an impairment.
#[derive(Debug)]
struct Held {
    local: SocketAddr,
    remote: SocketAddr,
    bytes: Vec<u8>,
}

/// What one receive call brought.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) datagrams: usize,
    /// There was less than the call could take: the socket is probably empty now.
    pub(crate) drained: bool,
}

impl Wire {
    pub(crate) fn new(socket: Socket, impair: Option<Impair>, stats: Arc<Stats>) -> Self {
        let impaired = impair.map(|impair| {
            Box::new(Impaired {
                inward: Line::new(impair, 0),
                outward: Line::new(impair, 1),
            })
        });
        Self {
            socket,
            batch: Batch::default(),
            impaired,
            stats,
        }
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// Resolves when a read may succeed.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Where datagrams to be sent are put.
    pub(crate) fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// When something held by the impairment is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let impaired = self.impaired.as_ref()?;
        let due = [impaired.inward.next_due(), impaired.outward.next_due()];
        due.into_iter().flatten().min()
    }

    /// One receive call; `None` when the socket has nothing.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        mut sink: impl FnMut(Datagram<'_>),
    ) -> Option<Received> {
        let filled = match self.socket.receive() {
            Ok(filled) => filled,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.stats.receive_errors.add(1);
                }
                return None;
            }
        };
        let (mut datagrams, mut bytes) = (0, 0);
        for datagram in self.socket.received(filled) {
            datagrams += 1;
            bytes += datagram.bytes.len();
            match &mut self.impaired {
                None => sink(datagram),
                Some(impaired) => {
                    let held = Held::from(datagram);
                    if let Some(held) = pass(&mut impaired.inward, now, held, &self.stats) {
                        sink(held.as_datagram());
                    }
                }
            }
        }
        self.stats.receive_calls.add(1);
        self.stats.datagrams_in.add(count(datagrams));
        self.stats.bytes_in.add(count(bytes));
        Some(Received {
            datagrams,
            drained: filled < self.socket.receive_buffers(),
        })
    }

    /// Hands over what the impairment held until now.
    pub(crate) fn deliver_due(&mut self, now: Instant, mut sink: impl FnMut(Datagram<'_>)) {
        if let Some(impaired) = &mut self.impaired {
            while let Some(held) = impaired.inward.pop_due(now) {
                sink(held.as_datagram());
            }
        }
    }

    /// Writes the batch. A socket that stays full for [`SOCKET_FULL_WAIT`] loses it, as a full
    /// queue anywhere on the way would.
    pub(crate) async fn write(&mut self, now: Instant) {
        if let Some(impaired) = &mut self.impaired {
            let batch = std::mem::take(&mut self.batch);
            for (local, remote, bytes) in batch.iter() {
                let held = Held {
                    local,
                    remote,
                    bytes: bytes.to_vec(),
                };
                if let Some(held) = pass(&mut impaired.outward, now, held, &self.stats) {
                    self.batch.push(held.local, held.remote, &held.bytes);
                }
            }
            while let Some(held) = impaired.outward.pop_due(now) {
                self.batch.push(held.local, held.remote, &held.bytes);
            }
        }
        self.write_batch().await;
    }

    /// Writes all that the impairment holds: nothing comes after it.
    pub(crate) async fn write_held(&mut self) {
        if let Some(impaired) = &mut self.impaired {
            while let Some(held) = impaired.outward.pop() {
                self.batch.push(held.local, held.remote, &held.bytes);
            }
        }
        self.write_batch().await;
    }

    async fn write_batch(&mut self) {
        loop {
            let segments_max = self.socket.segments_max();
            let Some(run) = self.batch.run(segments_max) else {
                return;
            };
            let first = run.count;
            let sent = if first == 1 {
                self.socket.send_singles(self.batch.singles(segments_max))
            } else {
                self.socket.send(&run).map(|()| Written {
                    datagrams: run.count,
                    bytes: run.bytes.len(),
                })
            };
            match sent {
                Ok(written) => {
                    self.stats.send_calls.add(1);
                    self.stats.datagrams_out.add(count(written.datagrams));
                    self.stats.bytes_out.add(count(written.bytes));
                    self.batch.advance(written.datagrams);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_room().await;
                }
                // The system turned out not to segment: the same datagrams again, one by one.
                Err(_) if first > 1 && self.socket.segments_max() == 1 => {}
                Err(error) => {
                    tracing::trace!(%error, "datagram refused by the system");
                    self.stats
                        .count_drops(DropReason::SocketError, count(first));
                    self.batch.advance(first);
                }
            }
        }
    }

    /// Waits for a full socket, but not for ever: then the batch is lost.
    async fn wait_for_room(&mut self) {
        let writable = self.socket.writable();
        let waited = tokio::time::timeout(SOCKET_FULL_WAIT, writable).await;
        if waited.is_err() {
            let lost = self.batch.len();
            self.stats.count_drops(DropReason::SocketFull, count(lost));
            self.batch.advance(lost);
        }
    }
}

impl Held {
    fn as_datagram(&self) -> Datagram<'_> {
        Datagram {
            local: self.local,
            remote: self.remote,
            bytes: &self.bytes,
        }
    }
}

impl From<Datagram<'_>> for Held {
    fn from(datagram: Datagram<'_>) -> Self {
        Self {
            local: datagram.local,
            remote: datagram.remote,
            bytes: datagram.bytes.to_vec(),
        }
    }
}

/// Sends a datagram down a line, counting what the line drops.
fn pass(line: &mut Line<Held>, now: Instant, held: Held, stats: &Stats) -> Option<Held> {
    match line.offer(now, held) {
        Fate::Passes(held) => return Some(held),
        Fate::Held => {}
        Fate::Lost => stats.count_drop(DropReason::Impaired),
        Fate::Full => stats.count_drop(DropReason::ImpairmentFull),
    }
    None
}

/// Longest wait for a full socket; every peer waits with it.
const SOCKET_FULL_WAIT: Duration = Duration::from_millis(50);
