//! The hub: the one task that owns the state machine, and never waits for a session.

use std::time::{Duration, Instant, SystemTime};

use auth::{
    ClusterSecret,
    cluster::resume::{self, Holder},
};
use bytes::Bytes;
use coordinator_core::{Coordinator, Input, Output, Resume, SessionId, Stats};
use proto::{Message as _, Reason, WelcomeMessage, revocation::Target};
use rustc_hash::FxHashMap;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time,
};
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::{Dropped, Metrics},
    outbox::{self, Full},
    revocations,
    session::Owner,
    upgrade::auth_role,
};

/// What sessions tell the hub.
#[derive(Debug)]
pub(crate) enum Command {
    /// A session is open.
    Open {
        owner: Owner,
        seat: Seat,
        /// By this it is called from now on.
        id: oneshot::Sender<SessionId>,
    },
    /// A message came.
    Signal { session: SessionId, bytes: Bytes },
    /// A session is over.
    Closed { session: SessionId },
    /// Somebody is not to be here any more.
    Revoke {
        target: Target,
        until: SystemTime,
        /// Whether there was room to remember it.
        answer: oneshot::Sender<bool>,
    },
    /// Who is not to be here any more?
    Revocations {
        answer: oneshot::Sender<Vec<revocations::Entry>>,
    },
}

/// The hub's hold on a session. Letting it go ends the session.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) outbox: outbox::Sender,
    pub(crate) close: oneshot::Sender<Reason>,
}

/// Signs what sessions may show when they come back.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) secret: ClusterSecret,
    pub(crate) lifetime: Duration,
}

#[derive(Debug)]
pub(crate) struct Hub {
    core: Coordinator,
    tokens: Tokens,
    seats: FxHashMap<SessionId, (Owner, Seat)>,
    next_session: u64,
    commands: mpsc::Receiver<Command>,
    stats: watch::Sender<Stats>,
    metrics: Metrics,
}

impl Hub {
    pub(crate) fn new(
        core: Coordinator,
        tokens: Tokens,
        stats: watch::Sender<Stats>,
        metrics: Metrics,
    ) -> (Self, mpsc::Sender<Command>) {
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let hub = Self {
            core,
            tokens,
            seats: FxHashMap::default(),
            next_session: 0,
            commands,
            stats,
            metrics,
        };
        (hub, sender)
    }

    /// Runs until `stop` is cancelled. From `shutdown` on, sessions are being closed.
    pub(crate) async fn run(mut self, shutdown: CancellationToken, stop: CancellationToken) {
        let mut told = false;
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
            // Sessions end only after it is cancelled, so that none of their ends comes first.
            if !told && shutdown.is_cancelled() {
                told = true;
                self.input(Input::ShuttingDown);
            }
            for command in batch.drain(..) {
                self.take(command);
            }
            self.stats.send_replace(*self.core.stats());
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Open { owner, seat, id } => self.open(owner, seat, id),
            Command::Signal { session, bytes } => {
                self.input(Input::Signal { session, bytes });
            }
            Command::Closed { session } => {
                self.seats.remove(&session);
                self.input(Input::SessionClosed { session });
            }
            Command::Revoke {
                target,
                until,
                answer,
            } => {
                let kept = revoke(&mut self.core, (target, until));
                self.drain();
                // Whoever asks no more does not have to know.
                let _asked = answer.send(kept);
            }
            Command::Revocations { answer } => {
                let (now, time) = (Instant::now(), SystemTime::now());
                let current = self.core.revocations(now);
                let entries = current.map(|(target, until)| {
                    (target.clone(), time + until.saturating_duration_since(now))
                });
                let _asked = answer.send(entries.collect());
            }
        }
    }

    fn open(&mut self, owner: Owner, seat: Seat, id: oneshot::Sender<SessionId>) {
        self.next_session += 1;
        let session = SessionId(self.next_session);
        if id.send(session).is_err() {
            // It ended before it began: nobody will say that it is closed.
            return;
        }
        let opened = Input::SessionOpened {
            session,
            role: owner.role,
            ours: owner.ours,
            identity: owner.identity.clone(),
            token_id: owner.token_id.clone(),
            resume: owner.resume,
            region: owner.region.clone(),
        };
        self.seats.insert(session, (owner, seat));
        self.input(opened);
    }

    fn input(&mut self, input: Input) {
        self.core.handle_input(Instant::now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Welcome {
                    session,
                    welcome,
                    resume,
                } => self.welcome(session, welcome, resume),
                Output::Send { session, bytes } => self.send(session, bytes),
                Output::Close { session, reason } => self.close(session, reason),
            }
        }
    }

    fn welcome(&mut self, session: SessionId, mut welcome: WelcomeMessage, resume: Option<Resume>) {
        if let Some(resume) = resume
            && let Some((owner, _)) = self.seats.get(&session)
        {
            let token = self.tokens.sign(resume, owner);
            welcome.resume_token = token.unwrap_or_default();
        }
        self.send(session, welcome.encode_to_vec().into());
    }

    fn send(&mut self, session: SessionId, bytes: Bytes) {
        let Some((_, seat)) = self.seats.get(&session) else {
            self.metrics.dropped(Dropped::Outbox);
            return;
        };
        let mut sent = seat.outbox.try_send(bytes.clone());
        while sent == Err(Full::Total) {
            self.metrics.crowded_out();
            let slow = self.holds_most(session, bytes.len());
            if slow == session {
                break;
            }
            self.close(slow, Reason::SessionQueueFull);
            let seat = self.seats.get(&session);
            sent = seat.map_or(Err(Full::Session), |(_, seat)| {
                seat.outbox.try_send(bytes.clone())
            });
        }
        if sent.is_err() {
            self.metrics.dropped(Dropped::Outbox);
            // Its task then says that it is closed.
            self.close(session, Reason::SessionQueueFull);
        }
    }

    /// For whom most waits, one that is to get so much more among them. All are asked, which costs
    /// nobody much: whoever it is has more than its shares, and is about to go.
    fn holds_most(&self, asking: SessionId, bytes: usize) -> SessionId {
        let held = |session: &SessionId, seat: &Seat| {
            let more = if *session == asking { bytes } else { 0 };
            seat.outbox.held_per_share(more)
        };
        let seats = self.seats.iter();
        let seats = seats.map(|(session, (_, seat))| (held(session, seat), *session));
        seats
            .max_by_key(|(held, session)| (*held, *session == asking))
            .map_or(asking, |(_, session)| session)
    }

    fn close(&mut self, session: SessionId, reason: Reason) {
        let Some((_, seat)) = self.seats.remove(&session) else {
            return;
        };
        if reason == Reason::SessionQueueFull {
            // It would not be sent any of it.
            seat.outbox.take_back();
        }
        if seat.close.send(reason).is_err() {
            tracing::trace!(session = session.0, "was over before it was closed");
        }
    }
}

/// Says whether it holds, or is taken back, as wanted: there may be no room. What there is to be
/// done about it comes out of the core.
pub(crate) fn revoke(core: &mut Coordinator, (target, until): revocations::Entry) -> bool {
    let now = Instant::now();
    let left = until.duration_since(SystemTime::now()).unwrap_or_default();
    let until = now + left;
    let input = Input::Revoke {
        target: target.clone(),
        until,
    };
    core.handle_input(now, input);
    core.is_revoked(now, &target) == (until > now)
}

impl Tokens {
    /// `None` when the owner's identity has no room in a token: it then comes back as another.
    fn sign(&self, resume: Resume, owner: &Owner) -> Option<String> {
        let resume = resume::Resume {
            alias: resume.alias.number(),
            series: resume.series,
        };
        let holder = Holder {
            role: auth_role(owner.role),
            identity: &owner.identity,
        };
        let until = SystemTime::now() + self.lifetime;
        self.secret.resume_token(resume, holder, until)
    }
}

/// Sessions wait when there are more: the hub takes microseconds for each.
pub(crate) const COMMANDS_MAX: usize = 4096;

/// After so many, metrics are brought up to date and other tasks get their turn.
const BATCH_MAX: usize = 128;

#[cfg(test)]
mod tests;
