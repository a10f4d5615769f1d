//! The hub: the one task that owns the state machine, and never waits for a session.

use std::time::Instant;

use bytes::Bytes;
use coordinator_core::{Coordinator, Input, Output, SessionId, Stats};
use proto::{Reason, Role};
use rustc_hash::FxHashMap;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time,
};
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::{Dropped, Metrics},
    outbox,
};

/// What sessions tell the hub.
#[derive(Debug)]
pub(crate) enum Command {
    /// A session is open.
    Open {
        role: Role,
        ours: bool,
        seat: Seat,
        /// By this it is called from now on.
        id: oneshot::Sender<SessionId>,
    },
    /// A message came.
    Signal { session: SessionId, bytes: Bytes },
    /// A session is over.
    Closed { session: SessionId },
}

/// The hub's hold on a session. Letting it go ends the session.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) outbox: outbox::Sender,
    pub(crate) close: oneshot::Sender<Reason>,
}

#[derive(Debug)]
pub(crate) struct Hub {
    core: Coordinator,
    seats: FxHashMap<SessionId, Seat>,
    next_session: u64,
    commands: mpsc::Receiver<Command>,
    stats: watch::Sender<Stats>,
    metrics: Metrics,
}

impl Hub {
    pub(crate) fn new(
        core: Coordinator,
        stats: watch::Sender<Stats>,
        metrics: Metrics,
    ) -> (Self, mpsc::Sender<Command>) {
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let hub = Self {
            core,
            seats: FxHashMap::default(),
            next_session: 0,
            commands,
            stats,
            metrics,
        };
        (hub, sender)
    }

    /// Runs until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let deadline = self.core.next_deadline().map(time::Instant::from_std);
            tokio::select! {
                () = stop.cancelled() => return,
                count = self.commands.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        return;
                    }
                }
                () = time::sleep_until(deadline.unwrap_or_else(time::Instant::now)),
                    if deadline.is_some() => self.input(Input::Tick),
            }
            for command in batch.drain(..) {
                self.take(command);
            }
            self.stats.send_replace(*self.core.stats());
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Open {
                role,
                ours,
                seat,
                id,
            } => self.open(role, ours, seat, id),
            Command::Signal { session, bytes } => {
                self.input(Input::Signal { session, bytes });
            }
            Command::Closed { session } => {
                self.seats.remove(&session);
                self.input(Input::SessionClosed { session });
            }
        }
    }

    fn open(&mut self, role: Role, ours: bool, seat: Seat, id: oneshot::Sender<SessionId>) {
        self.next_session += 1;
        let session = SessionId(self.next_session);
        if id.send(session).is_err() {
            // It ended before it began: nobody will say that it is closed.
            return;
        }
        self.seats.insert(session, seat);
        self.input(Input::SessionOpened {
            session,
            role,
            ours,
        });
    }

    fn input(&mut self, input: Input) {
        self.core.handle_input(Instant::now(), input);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send { session, bytes } => self.send(session, bytes),
                Output::Close { session, reason } => self.close(session, reason),
            }
        }
    }

    fn send(&mut self, session: SessionId, bytes: Bytes) {
        let Some(seat) = self.seats.get(&session) else {
            self.metrics.dropped(Dropped::Outbox);
            return;
        };
        if seat.outbox.try_send(bytes).is_err() {
            self.metrics.dropped(Dropped::Outbox);
            // Its task then says that it is closed.
            self.close(session, Reason::SessionQueueFull);
        }
    }

    fn close(&mut self, session: SessionId, reason: Reason) {
        let Some(seat) = self.seats.remove(&session) else {
            return;
        };
        if seat.close.send(reason).is_err() {
            tracing::trace!(session = session.0, "was over before it was closed");
        }
    }
}

/// Sessions wait when there are more: the hub takes microseconds for each.
pub(crate) const COMMANDS_MAX: usize = 4096;

/// After so many, metrics are brought up to date and other tasks get their turn.
const BATCH_MAX: usize = 128;
