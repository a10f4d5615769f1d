//! The handle of a client, and what stands between it and the session.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use proto::{Lane, Reason};
use secrecy::SecretString;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};
use tokio_util::sync::DropGuard;

use crate::{
    config::{Config, EndpointConfig},
    driver::{App, Running},
    endpoint::{ConnectError, Endpoint},
    events::{self, Events, EventsConfig},
    session::{
        Event, PublishError, Published, RequestError, RequestId, RequestRefused, Secret, Session,
        State, Stats,
    },
};

/// A client of a broker: subscribes and publishes. Cheap to clone; when the last clone is dropped,
/// the client leaves politely.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    running: Running<Command>,
    shared: Arc<Shared>,
    _leave: DropGuard,
}

/// Why a subscription was not made or ended, or a flush did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// It was not even asked for.
    #[error(transparent)]
    Invalid(#[from] RequestRefused),
    /// It did not succeed.
    #[error(transparent)]
    Failed(#[from] RequestError),
}

/// What other tasks ask of the session.
#[derive(Debug)]
pub(crate) enum Command {
    Subscribe(Vec<String>, oneshot::Sender<Result<(), SubscribeError>>),
    Unsubscribe(Vec<String>, oneshot::Sender<Result<(), SubscribeError>>),
    Publish(
        Publication,
        oneshot::Sender<Result<Published, PublishError>>,
    ),
    Flush(oneshot::Sender<Result<(), SubscribeError>>),
}

#[derive(Debug)]
pub(crate) struct Publication {
    topic: String,
    lane: Lane,
    body: Bytes,
    with_identity: bool,
}

/// What the session's task tells everybody.
#[derive(Debug)]
pub(crate) struct Shared {
    state: watch::Sender<State>,
    numbers: Mutex<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    rtt: Option<Duration>,
    stats: Stats,
    resume: Option<Secret>,
    welcomed_as: Option<u64>,
}

impl Client {
    /// A client with an endpoint of its own; see [`Endpoint::connect`].
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(config: &Config) -> Result<(Self, Events), ConnectError> {
        Endpoint::new(EndpointConfig::default())?.connect(config)
    }

    pub(crate) fn new(running: Running<Command>, shared: Arc<Shared>) -> Self {
        let leave = running.stop.clone().drop_guard();
        let inner = Inner {
            running,
            shared,
            _leave: leave,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Wants these topics, on this server and every later one. Resolves when a server has agreed
    /// to all of them, or refused: then none of those that were new is subscribed. While there is
    /// no server, it waits for one.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub async fn subscribe(&self, topics: &[&str]) -> Result<(), SubscribeError> {
        let topics = topics.iter().map(|&topic| topic.to_owned()).collect();
        let answer = self.ask(|reply| Command::Subscribe(topics, reply)).await;
        answer.unwrap_or_else(|| Err(RequestRefused::Stopped(self.stopped()).into()))
    }

    /// Wants these topics no longer: their messages end at once. Resolves when the server knows.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub async fn unsubscribe(&self, topics: &[&str]) -> Result<(), SubscribeError> {
        let topics = topics.iter().map(|&topic| topic.to_owned()).collect();
        let answer = self.ask(|reply| Command::Unsubscribe(topics, reply)).await;
        answer.unwrap_or_else(|| Err(RequestRefused::Stopped(self.stopped()).into()))
    }

    /// Publishes. Resolves when the packet is on its way, waits in the queue, or is dropped,
    /// as [`Published`] says; not when somebody has received it.
    ///
    /// # Errors
    /// See [`PublishError`]; nothing was sent then.
    pub async fn publish(
        &self,
        topic: &str,
        lane: Lane,
        body: impl Into<Bytes>,
    ) -> Result<Published, PublishError> {
        self.send(topic, lane, body.into(), false).await
    }

    /// Publishes with who we are, as the server knows it.
    ///
    /// # Errors
    /// See [`PublishError`]; nothing was sent then.
    pub async fn publish_with_identity(
        &self,
        topic: &str,
        lane: Lane,
        body: impl Into<Bytes>,
    ) -> Result<Published, PublishError> {
        self.send(topic, lane, body.into(), true).await
    }

    /// Waits until the server has everything that was published on the reliable lane before: what
    /// waits in the queue goes out first. That is no word about who receives it.
    ///
    /// # Errors
    /// [`RequestError::Unconfirmed`] when a part of it was dropped, or when the server was lost
    /// before it confirmed: then nobody knows. Otherwise see [`SubscribeError`].
    pub async fn flush(&self) -> Result<(), SubscribeError> {
        let answer = self.ask(Command::Flush).await;
        answer.unwrap_or_else(|| Err(RequestRefused::Stopped(self.stopped()).into()))
    }

    /// Where the client is.
    #[must_use]
    pub fn state(&self) -> State {
        *self.inner.shared.state.borrow()
    }

    /// Waits until a server has taken us in; the answer is our alias, or why it will never be.
    ///
    /// # Errors
    /// The reason for which the client has stopped.
    pub async fn connected(&self) -> Result<u64, Reason> {
        let settled =
            |state: &State| matches!(state, State::Connected { .. } | State::Stopped { .. });
        match self.reached(settled).await {
            State::Connected { alias, .. } => Ok(alias),
            State::Stopped { reason } => Err(reason),
            _ => Err(Reason::Closed),
        }
    }

    /// Waits until the client is where it is wanted, or has stopped: there is nothing beyond.
    pub async fn reached(&self, mut wanted: impl FnMut(&State) -> bool) -> State {
        let mut states = self.inner.shared.state.subscribe();
        let reached = states
            .wait_for(|state| wanted(state) || matches!(state, State::Stopped { .. }))
            .await;
        reached.map_or_else(|_| self.state(), |state| *state)
    }

    /// Our alias, as the server knows it.
    #[must_use]
    pub fn alias(&self) -> Option<u64> {
        match self.state() {
            State::Connected { alias, .. } => Some(alias),
            _ => None,
        }
    }

    /// Our alias, as the coordinator knows it, while there is a session there. It differs from
    /// [`Client::alias`] after a coordinator has come back that does not take our resume token: a
    /// server knows us by what we were called when we came to it.
    #[must_use]
    pub fn welcomed_as(&self) -> Option<u64> {
        self.inner.shared.numbers.lock().welcomed_as
    }

    /// What brings a later client back under our alias, in this process or the next, by
    /// [`Config::with_resume_token`]: a secret, to be kept like one. It is another one after each
    /// dial; the coordinator says how long it is good for, by default for a week.
    #[must_use]
    pub fn resume_token(&self) -> Option<SecretString> {
        let numbers = self.inner.shared.numbers.lock();
        let token = numbers.resume.as_ref()?.expose().to_vec();
        String::from_utf8(token).ok().map(SecretString::from)
    }

    /// The round trip to the server, as last measured on the reliable lane.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.inner.shared.numbers.lock().rtt
    }

    /// What the session did so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.shared.numbers.lock().stats
    }

    /// What the client's UDP socket did so far.
    #[must_use]
    pub fn socket_stats(&self) -> &shard::Stats {
        &self.inner.running.socket
    }

    /// Leaves: tells server and coordinator, and waits a moment until that is done. Other clones
    /// of this client are closed, too.
    pub async fn close(self) {
        self.inner.running.stop.cancel();
        if timeout(CLOSE_TIMEOUT, self.inner.running.tasks.wait())
            .await
            .is_err()
        {
            tracing::debug!("the client's tasks take their time to end");
        }
    }

    async fn send(
        &self,
        topic: &str,
        lane: Lane,
        body: Bytes,
        with_identity: bool,
    ) -> Result<Published, PublishError> {
        let publication = Publication {
            topic: topic.to_owned(),
            lane,
            body,
            with_identity,
        };
        let answer = self.ask(|reply| Command::Publish(publication, reply)).await;
        answer.unwrap_or_else(|| Err(PublishError::Stopped(self.stopped())))
    }

    /// Asks the session's task; `None` when it has ended.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        if !self.inner.running.commands.send(command(reply)).await {
            return None;
        }
        answer.await.ok()
    }

    fn stopped(&self) -> Reason {
        match self.state() {
            State::Stopped { reason } => reason,
            _ => Reason::Closed,
        }
    }
}

/// What stands between the handle and the session, on the session's task.
#[derive(Debug)]
pub(crate) struct Desk {
    events: events::Sender,
    waiting: HashMap<RequestId, oneshot::Sender<Result<(), SubscribeError>>>,
    shared: Arc<Shared>,
}

pub(crate) fn app(config: EventsConfig) -> (Desk, Arc<Shared>, Events) {
    let (sender, events) = events::channel(config);
    let shared = Arc::new(Shared {
        state: watch::Sender::new(State::Dialing),
        numbers: Mutex::new(Numbers::default()),
    });
    let desk = Desk {
        events: sender,
        waiting: HashMap::new(),
        shared: Arc::clone(&shared),
    };
    (desk, shared, events)
}

impl App for Desk {
    type Command = Command;

    fn handle_event(&mut self, _now: Instant, event: Event, session: &mut Session) {
        // Whoever sees the event sees the state as well.
        self.tell_state(session);
        if let Event::Answered { request, result } = event {
            if let Some(reply) = self.waiting.remove(&request) {
                answer(reply, result.map_err(SubscribeError::Failed));
            }
        } else if self.events.push(event).is_err() {
            session.close(Reason::SlowConsumer);
        }
    }

    fn handle_command(&mut self, now: Instant, command: Command, session: &mut Session) {
        match command {
            Command::Subscribe(topics, reply) => {
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                self.wait(session.subscribe(now, &topics), reply);
            }
            Command::Unsubscribe(topics, reply) => {
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                self.wait(session.unsubscribe(now, &topics), reply);
            }
            Command::Publish(publication, reply) => {
                let Publication {
                    topic,
                    lane,
                    body,
                    with_identity,
                } = publication;
                answer(reply, session.publish(&topic, lane, body, with_identity));
            }
            Command::Flush(reply) => self.wait(session.flush(), reply),
        }
    }

    fn handle_pass_end(&mut self, _now: Instant, session: &Session) {
        self.tell_state(session);
        *self.shared.numbers.lock() = Numbers {
            rtt: session.rtt(),
            stats: *session.stats(),
            resume: session.resume_token().cloned(),
            welcomed_as: session.alias(),
        };
    }
}

impl Desk {
    /// The session bounds how many wait.
    fn wait(
        &mut self,
        asked: Result<RequestId, RequestRefused>,
        reply: oneshot::Sender<Result<(), SubscribeError>>,
    ) {
        match asked {
            Ok(request) => {
                self.waiting.insert(request, reply);
            }
            Err(refused) => answer(reply, Err(refused.into())),
        }
    }

    fn tell_state(&self, session: &Session) {
        let new = session.state();
        self.shared.state.send_if_modified(|state| {
            let changed = *state != new;
            *state = new;
            changed
        });
    }
}

/// Whoever asked may have left meanwhile.
fn answer<T>(reply: oneshot::Sender<T>, result: T) {
    if reply.send(result).is_err() {
        tracing::trace!("nobody waits for the answer");
    }
}

/// For the goodbyes to server and coordinator.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
