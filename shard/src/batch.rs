//! Datagrams on their way out, back to back in one block of memory, so that neighbours of one size
//! to one peer are one run for the system call.

use std::net::SocketAddr;

/// What waits to be written, in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Entries written already.
    written: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    local: SocketAddr,
    remote: SocketAddr,
    start: usize,
    len: usize,
}

/// Datagrams that go out in one call.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// All of them, back to back.
    pub(crate) bytes: &'a [u8],
    /// Size of each; the last may be shorter.
    pub(crate) segment_bytes: usize,
    /// How many.
    pub(crate) count: usize,
}

impl Batch {
    /// Appends a datagram.
    pub(crate) fn push(&mut self, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        self.entries.push(Entry {
            local,
            remote,
            start: self.bytes.len(),
            len: bytes.len(),
        });
        self.bytes.extend_from_slice(bytes);
    }

    /// Everything not written yet, datagram by datagram.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr, &[u8])> {
        let rest = self.entries.iter().skip(self.written);
        rest.map(|entry| {
            let bytes = self.bytes.get(entry.start..entry.start + entry.len);
            (entry.local, entry.remote, bytes.unwrap_or_default())
        })
    }

    /// The next run, of at most `segments_max` datagrams. The same until [`Batch::advance`].
    pub(crate) fn run(&self, segments_max: usize) -> Option<Run<'_>> {
        self.run_at(self.written, segments_max)
    }

    /// The next runs as long as they are of one datagram each.
    pub(crate) fn singles(&self, segments_max: usize) -> impl Iterator<Item = Run<'_>> {
        let starts = self.written..self.entries.len();
        let runs = starts.map_while(move |start| self.run_at(start, segments_max));
        runs.take_while(|run| run.count == 1)
    }

    fn run_at(&self, start: usize, segments_max: usize) -> Option<Run<'_>> {
        let rest = self.entries.get(start..)?;
        let first = rest.first()?;
        let mut end = first.start + first.len;
        let mut count = 1;
        for entry in rest.iter().skip(1).take(segments_max.saturating_sub(1)) {
            let joins = entry.remote == first.remote
                && entry.local == first.local
                && entry.len > 0
                && entry.len <= first.len
                && entry.start + entry.len - first.start <= RUN_BYTES_MAX;
            if !joins {
                break;
            }
            end = entry.start + entry.len;
            count += 1;
            if entry.len < first.len {
                break;
            }
        }
        Some(Run {
            local: first.local,
            remote: first.remote,
            bytes: self.bytes.get(first.start..end)?,
            segment_bytes: first.len,
            count,
        })
    }

    /// Forgets `count` datagrams: they were written or given up.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
        if self.written >= self.entries.len() {
            self.entries.clear();
            self.bytes.clear();
            self.written = 0;
        }
    }

    /// Datagrams not written yet.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.written
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Largest UDP payload over IPv4, less room for an IPv6 header: the kernel's limit for one call.
const RUN_BYTES_MAX: usize = 65_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// (remote port, segment size, count, total) of every run.
    fn runs(batch: &mut Batch, segments_max: usize) -> Vec<(u16, usize, usize, usize)> {
        let mut runs = Vec::new();
        while let Some(run) = batch.run(segments_max) {
            let count = run.count;
            runs.push((run.remote.port(), run.segment_bytes, count, run.bytes.len()));
            batch.advance(count);
        }
        runs
    }

    #[test]
    fn neighbours_of_one_size_are_one_run_which_a_shorter_one_ends() {
        let mut batch = Batch::default();
        for (port, len) in [(1, 100), (1, 100), (1, 40), (1, 40), (2, 40), (2, 41)] {
            batch.push(addr(9), addr(port), &vec![0; len]);
        }
        assert_eq!(
            runs(&mut batch, 64),
            [
                (1, 100, 3, 240),
                (1, 40, 1, 40),
                (2, 40, 1, 40),
                (2, 41, 1, 41)
            ]
        );
        assert_eq!((batch.len(), batch.bytes()), (0, 0));
    }

    #[test]
    fn a_run_keeps_to_the_segments_and_bytes_allowed() {
        let mut batch = Batch::default();
        for _ in 0..5 {
            batch.push(addr(9), addr(1), &[0; 10]);
        }
        assert_eq!(
            runs(&mut batch, 2),
            [(1, 10, 2, 20), (1, 10, 2, 20), (1, 10, 1, 10)]
        );
        for _ in 0..60 {
            batch.push(addr(9), addr(1), &[0; 1200]);
        }
        let counts: Vec<_> = runs(&mut batch, 64).iter().map(|run| run.2).collect();
        assert_eq!(counts, [54, 6]);
        batch.push(addr(9), addr(1), &[0; 10]);
        batch.push(addr(8), addr(1), &[0; 10]);
        assert_eq!(runs(&mut batch, 1).len(), 2);
    }

    #[test]
    fn singles_end_before_a_run() {
        let mut batch = Batch::default();
        for port in [1, 2, 3, 3, 4] {
            batch.push(addr(9), addr(port), &[0; 10]);
        }
        let singles = |batch: &Batch| -> Vec<u16> {
            let singles = batch.singles(64);
            singles.map(|run| run.remote.port()).collect()
        };
        assert_eq!(singles(&batch), [1, 2]);
        batch.advance(2);
        assert!(singles(&batch).is_empty());
        batch.advance(2);
        assert_eq!(singles(&batch), [4]);
    }

    #[test]
    fn another_source_address_is_another_run() {
        let mut batch = Batch::default();
        batch.push(addr(9), addr(1), &[0; 10]);
        batch.push(addr(8), addr(1), &[0; 10]);
        assert_eq!(runs(&mut batch, 64).len(), 2);
    }
}
