//! The threads that the bots run on: each with a runtime of its own, so that a bot's socket, timers
//! and books stay on one core, whatever runtime the run was started from.

use std::{io, thread};

use tokio::runtime::{self, Handle};
use tokio_util::sync::CancellationToken;

/// Ends when dropped.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    thread: Option<thread::JoinHandle<()>>,
}

impl Workers {
    /// So many threads; 0 is one for each core.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let count = match count {
            0 => thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let mut workers = Self {
            workers: Vec::new(),
            stop: CancellationToken::new(),
        };
        for number in 0..count {
            workers.add(number)?;
        }
        Ok(workers)
    }

    pub(crate) fn count(&self) -> usize {
        self.workers.len()
    }

    /// The runtime of a worker, by number counted round.
    pub(crate) fn runtime(&self, number: usize) -> Option<&Handle> {
        let number = number.checked_rem(self.workers.len())?;
        self.workers.get(number).map(|worker| &worker.runtime)
    }

    fn add(&mut self, number: usize) -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let stop = self.stop.clone();
        let thread = thread::Builder::new()
            .name(format!("bots-{number}"))
            .spawn(move || runtime.block_on(stop.cancelled()))?;
        self.workers.push(Worker {
            runtime: handle,
            thread: Some(thread),
        });
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
        for worker in &mut self.workers {
            // A bot that panicked has said so already; the run ends either way.
            let _joined = worker.thread.take().map(thread::JoinHandle::join);
        }
    }
}
