//! The driver: one task that owns the socket, the peers and the handler, and works in passes, each
//! bounded by count and by time, so that no kind of work starves another.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
pub use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    handler::Handler,
    interfaces,
    pace::{Pace, Pass},
    peers::Peers,
    socket::Socket,
    stats::{Stats, count},
    wire::Wire,
};

#[cfg(test)]
mod tests;

/// A bound socket with a handler; nothing happens until [`Shard::run`].
#[derive(Debug)]
pub struct Shard<H: Handler> {
    handler: H,
    peers: Peers,
    wire: Wire,
    commands: mpsc::Receiver<H::Command>,
    /// A command that ended a wait.
    command: Option<H::Command>,
    handle: Handle<H::Command>,
    stats: Arc<Stats>,
    bounds: Bounds,
    pace: Pace,
}

/// Tells a shard's handler things from other tasks.
pub struct Handle<C> {
    commands: mpsc::Sender<C>,
}

impl<C> Handle<C> {
    /// Refuses when [`Config::commands_max`] commands wait, or the shard is gone.
    pub fn try_send(&self, command: C) -> Result<(), TrySendError<C>> {
        self.commands.try_send(command)
    }

    /// Waits for room; refuses when the shard is gone.
    pub async fn send(&self, command: C) -> Result<(), SendError<C>> {
        self.commands.send(command).await
    }
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
        }
    }
}

impl<C> fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl<H: Handler> Shard<H> {
    /// Binds the socket. Needs the context of a tokio runtime with I/O and time: the one that is to
    /// run it.
    pub fn bind(config: Config, handler: H) -> io::Result<Self> {
        let socket = Socket::bind(
            config.listen,
            config.socket_buffer_bytes,
            config.receive_buffers,
        )?;
        let local_addrs = interfaces::local_addrs(socket.local_addr(), &config.advertise)?;
        let stats = Arc::new(Stats::default());
        let (receive_bytes, send_bytes) = socket.granted_buffers();
        stats.receive_buffer_bytes.set(count(receive_bytes));
        stats.send_buffer_bytes.set(count(send_bytes));
        stats.socket_inode.set(socket.inode());
        tracing::info!(
            addr = %socket.local_addr(),
            asked_bytes = config.socket_buffer_bytes,
            receive_bytes,
            send_bytes,
            "udp socket bound"
        );
        if receive_bytes.min(send_bytes) < config.socket_buffer_bytes {
            tracing::warn!(
                "the system grants smaller socket buffers than asked for: raise net.core.rmem_max \
                 and net.core.wmem_max"
            );
        }
        let (sender, commands) = mpsc::channel(config.commands_max.max(1));
        Ok(Self {
            handler,
            pace: Pace::new(config.pace, config.pace_idle),
            wire: Wire::new(socket, config.impair, Arc::clone(&stats)),
            peers: Peers::new(config, local_addrs, Arc::clone(&stats)),
            stats,
            bounds: Bounds::PASS,
            commands,
            command: None,
            handle: Handle { commands: sender },
        })
    }

    /// The bound address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.wire.local_addr()
    }

    /// For other tasks to talk to the handler.
    #[must_use]
    pub fn handle(&self) -> Handle<H::Command> {
        self.handle.clone()
    }

    /// The counters, also after the shard is gone.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Works until `shutdown`; then closes every peer politely, flushes, tells the handler of each
    /// close, and returns.
    pub async fn run(mut self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if self.turn().await {
                tokio::task::yield_now().await;
            } else {
                self.wait(&shutdown).await;
            }
        }
        self.shut_down().await;
    }

    /// A pass, and a rest unless there is more to do, which is what it returns.
    async fn turn(&mut self) -> bool {
        let start = Instant::now();
        let datagrams = self.stats.datagrams_in.value();
        if self.pass().await {
            return true;
        }
        let rested = self.pace.rest_after(Pass {
            start,
            worked: self.peers.worked(),
            received: self.stats.datagrams_in.value() != datagrams,
        });
        if rested {
            self.stats.rests.add(1);
        }
        false
    }

    /// One pass. Returns whether there is certainly more to do.
    async fn pass(&mut self) -> bool {
        let mut budget = Budget::new();
        // While the handler is behind with events, the kernel is left to queue, and to drop.
        let mut more = !self.peers.has_events() && self.receive(&mut budget);
        more |= self.take_commands(&mut budget);
        more |= self.wake_peers(&mut budget);
        if self
            .handler
            .next_deadline()
            .is_some_and(|at| at <= budget.now)
        {
            self.handler.handle_timeout(budget.now, &mut self.peers);
        }
        more |= self.handle_events(&mut budget);
        self.handler.handle_pass_end(budget.now, &mut self.peers);
        self.flush(budget.now).await;
        // What the end of the pass and the flush brought up is for the next.
        more |= self.peers.has_events();
        self.stats.passes.add(1);
        if more {
            self.stats.passes_cut.add(1);
        }
        more
    }

    fn receive(&mut self, budget: &mut Budget) -> bool {
        let peers = &mut self.peers;
        let now = budget.now;
        self.wire
            .deliver_due(now, |d| peers.handle_datagram(now, d));
        let mut datagrams = 0;
        loop {
            let now = budget.now;
            let Some(received) = self.wire.receive(now, |d| peers.handle_datagram(now, d)) else {
                return false;
            };
            datagrams += received.datagrams;
            if received.drained {
                return false;
            }
            if datagrams >= self.bounds.datagrams || budget.is_spent(self.bounds.receive_time) {
                return true;
            }
        }
    }

    fn take_commands(&mut self, budget: &mut Budget) -> bool {
        for _ in 0..self.bounds.commands {
            let next = self.command.take();
            let Some(command) = next.or_else(|| self.commands.try_recv().ok()) else {
                return false;
            };
            self.handler
                .handle_command(budget.now, command, &mut self.peers);
        }
        true
    }

    fn wake_peers(&mut self, budget: &mut Budget) -> bool {
        for _ in 0..self.bounds.deadlines {
            if !self.peers.handle_deadline(budget.now) {
                return false;
            }
        }
        true
    }

    fn handle_events(&mut self, budget: &mut Budget) -> bool {
        loop {
            for _ in 0..EVENTS_PER_CLOCK {
                let Some(event) = self.peers.poll_event(budget.now) else {
                    return false;
                };
                self.handler
                    .handle_event(budget.now, event, &mut self.peers);
            }
            if budget.is_spent(self.bounds.time) {
                return true;
            }
        }
    }

    /// Takes every touched peer's datagrams, once each, and writes them.
    async fn flush(&mut self, now: Instant) {
        while self.peers.flush_peer(self.wire.batch()) {
            if self.wire.batch().bytes() >= BATCH_BYTES_MAX {
                self.wire.write(now).await;
            }
        }
        self.wire.write(now).await;
        self.peers.end_flush();
    }

    /// Until there is something to do.
    async fn wait(&mut self, shutdown: &CancellationToken) {
        let deadline = [
            self.peers.next_deadline(),
            self.handler.next_deadline(),
            self.wire.next_due(),
        ]
        .into_iter()
        .flatten()
        .min();
        let timer = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            _ = self.wire.readable() => {}
            command = self.commands.recv() => self.command = command,
            () = timer => {}
        }
    }

    async fn shut_down(&mut self) {
        let now = Instant::now();
        self.handler.handle_shutdown(now, &mut self.peers);
        self.flush(now).await;
        self.peers.close_all(now);
        // A bound, not a wait: an engine says its goodbye and is closed at once.
        for _ in 0..SHUTDOWN_ROUNDS_MAX {
            while let Some(event) = self.peers.poll_event(now) {
                self.handler.handle_event(now, event, &mut self.peers);
            }
            self.flush(now).await;
            if self.peers.is_empty() {
                break;
            }
        }
        self.wire.write_held().await;
    }
}

/// What one pass may do before the others get their turn.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Datagrams read; the last call may go over it by what it brings.
    datagrams: usize,
    /// How long it reads and feeds the engines.
    receive_time: Duration,
    /// Commands taken.
    commands: usize,
    /// Peers woken by their deadline.
    deadlines: usize,
    /// How long it goes on with events before it flushes.
    time: Duration,
}

impl Bounds {
    /// A pass of 5 ms is what every peer may have to wait for the others.
    const PASS: Self = Self {
        datagrams: 1024,
        receive_time: Duration::from_millis(2),
        commands: 256,
        deadlines: 512,
        time: Duration::from_millis(5),
    };
}

/// The time of a pass: read at its start and at bounds, not for every event.
#[derive(Debug)]
struct Budget {
    start: Instant,
    now: Instant,
}

impl Budget {
    fn new() -> Self {
        let now = Instant::now();
        Self { start: now, now }
    }

    /// Reads the clock.
    fn is_spent(&mut self, limit: Duration) -> bool {
        self.now = Instant::now();
        self.now - self.start >= limit
    }
}

/// How many events are handled between looks at the clock.
const EVENTS_PER_CLOCK: usize = 64;

/// What a flush gathers before it writes: about 200 full datagrams.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// An engine is closed as soon as it is told: one round sees it, the others are spare.
const SHUTDOWN_ROUNDS_MAX: usize = 8;
