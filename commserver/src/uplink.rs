//! The link to the coordinator: dialed for ever, with growing and jittered pauses. Its loss is told
//! to the hub and harms nobody that is connected.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use auth::{ClusterSecret, Role};
use bytes::Bytes;
use commserver_core::ResumeToken;
use futures_util::{SinkExt, StreamExt};
use http::{Uri, header};
use proto::backoff::Backoff;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use shard::Handle;
use tls::{Connector, Stream, Trust};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, ClientRequestBuilder, Message,
        error::{ProtocolError, SubProtocolError},
        protocol::{CloseFrame, WebSocketConfig},
    },
};
use tokio_util::sync::CancellationToken;

use crate::{config, hub::Command};

type Socket = WebSocketStream<Stream>;

/// What the uplink counts.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Dials that did not become a session.
    pub(crate) dials_failed: AtomicU64,
    /// Whether there is a session now.
    pub(crate) connected: AtomicBool,
    /// Sessions so far.
    pub(crate) sessions: AtomicU64,
    /// Frames from the coordinator that are no signals.
    pub(crate) frames_ignored: AtomicU64,
}

/// Dials the coordinator and carries signals both ways.
#[derive(Debug)]
pub(crate) struct Uplink {
    pub(crate) coordinator: Uri,
    pub(crate) trust: Trust,
    pub(crate) role: Role,
    pub(crate) secret: ClusterSecret,
    pub(crate) config: config::Uplink,
    pub(crate) signals: mpsc::Receiver<Bytes>,
    pub(crate) hub: Handle<Command>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) seed: u64,
    /// What the next dial shows so that the alias is kept.
    pub(crate) resume: Option<ResumeToken>,
}

/// Why a session ended.
#[derive(Debug)]
enum End {
    /// We go.
    Shutdown,
    /// The hub is gone, so we go too.
    HubGone,
    /// The coordinator closed it.
    Closed(Option<CloseFrame>),
    /// Nothing was heard for too long.
    Idle,
    /// A write took too long.
    Stuck,
    /// The socket failed.
    Failed(tungstenite::Error),
}

impl Uplink {
    /// Works until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let mut backoff = Backoff::new(self.config.redial_min, self.config.redial_max);
        // A 2019 coordinator does not know the subprotocol; after it said so, the next dial is
        // without, and the one after that asks again.
        let mut with_subprotocol = true;
        loop {
            let dial = self.dial(with_subprotocol);
            let dialed = tokio::select! {
                () = shutdown.cancelled() => return,
                dialed = timeout(self.config.dial_timeout, dial) => dialed,
            };
            match dialed {
                Ok(Ok(socket)) => {
                    let started = Instant::now();
                    count(&self.stats.sessions);
                    with_subprotocol = true;
                    let end = self.converse(socket, &shutdown).await;
                    if matches!(end, End::Shutdown | End::HubGone) {
                        return;
                    }
                    tracing::warn!(%end, "coordinator lost");
                    // One that accepts and closes again is not hammered.
                    if started.elapsed() > self.config.redial_max {
                        backoff.reset();
                    }
                }
                Ok(Err(error)) => {
                    count(&self.stats.dials_failed);
                    with_subprotocol = !with_subprotocol || !lacks_subprotocol(&error);
                    match tls::trouble(&error) {
                        Some(trouble) => {
                            let advice = trouble.advice();
                            tracing::warn!(%trouble, advice, "coordinator not reached");
                        }
                        None => tracing::warn!(%error, "coordinator not reached"),
                    }
                }
                Err(_elapsed) => {
                    count(&self.stats.dials_failed);
                    tracing::warn!("coordinator did not answer in time");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(backoff.step(rng.random())) => {}
            }
        }
    }

    async fn dial(&self, with_subprotocol: bool) -> Result<Socket, tungstenite::Error> {
        let token = self.secret.uplink_token(self.role, SystemTime::now());
        let mut request = ClientRequestBuilder::new(self.coordinator.clone())
            .with_header(header::AUTHORIZATION.as_str(), format!("Bearer {token}"));
        if with_subprotocol {
            request = request.with_sub_protocol(proto::SUBPROTOCOL);
            if let Some(token) = &self.resume {
                let prefix = proto::RESUME_SUBPROTOCOL_PREFIX;
                request = request.with_sub_protocol(format!("{prefix}{}", token.expose()));
            }
        }
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        // A new one for each dial: the files may have been renewed.
        let connector = Connector::new(self.trust.clone());
        let uri = &self.coordinator;
        let host = uri.host().unwrap_or_default();
        let secure = uri.scheme_str() == Some("wss");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = connector.dial(host, port, secure).await?;
        let (socket, _response) = client_async_with_config(request, stream, Some(limits)).await?;
        Ok(socket)
    }

    /// One session, to its end. The hub hears of both.
    async fn converse(&mut self, mut socket: Socket, shutdown: &CancellationToken) -> End {
        // Signals of the session before are about peers that have given up.
        while self.signals.try_recv().is_ok() {}
        if self.hub.send(Command::UplinkOpened).await.is_err() {
            return End::HubGone;
        }
        tracing::info!("coordinator reached");
        self.stats.connected.store(true, Ordering::Relaxed);
        let end = self.carry(&mut socket, shutdown).await;
        self.stats.connected.store(false, Ordering::Relaxed);
        // The hub is usually gone before this task is told to go.
        if matches!(end, End::Shutdown | End::HubGone) {
            let goodbye = timeout(CLOSE_TIMEOUT, socket.close(None)).await;
            tracing::debug!(?goodbye, "coordinator told");
            return end;
        }
        let (resume, answer) = oneshot::channel();
        let told = self.hub.send(Command::UplinkClosed { resume }).await;
        let (Ok(()), Ok(token)) = (told, answer.await) else {
            return End::HubGone;
        };
        self.resume = token;
        end
    }

    async fn carry(&mut self, socket: &mut Socket, shutdown: &CancellationToken) -> End {
        let mut pings = interval(self.config.ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let frame = tokio::select! {
                () = shutdown.cancelled() => return End::Shutdown,
                () = sleep_until(heard + self.config.idle_timeout) => return End::Idle,
                incoming = socket.next() => {
                    heard = Instant::now();
                    match self.take(incoming).await {
                        Ok(()) => continue,
                        Err(end) => return end,
                    }
                }
                _ = pings.tick() => Message::Ping(Bytes::new()),
                signal = self.signals.recv() => match signal {
                    Some(signal) => Message::Binary(signal),
                    None => return End::HubGone,
                },
            };
            match timeout(self.config.write_timeout, socket.send(frame)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return End::Failed(error),
                Err(_elapsed) => return End::Stuck,
            }
        }
    }

    async fn take(&self, incoming: Option<Result<Message, tungstenite::Error>>) -> Result<(), End> {
        match incoming {
            Some(Ok(Message::Binary(signal))) => {
                let sent = self.hub.send(Command::Signal(signal)).await;
                sent.map_err(|_| End::HubGone)
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Ok(Message::Text(_))) => {
                count(&self.stats.frames_ignored);
                Ok(())
            }
            Some(Ok(Message::Close(frame))) => Err(End::Closed(frame)),
            Some(Err(error)) => Err(End::Failed(error)),
            None => Err(End::Closed(None)),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown => f.write_str("shutting down"),
            Self::HubGone => f.write_str("the hub is gone"),
            Self::Closed(None) => f.write_str("closed"),
            Self::Closed(Some(frame)) => write!(f, "closed: {} {}", frame.code, frame.reason),
            Self::Idle => f.write_str("nothing heard for too long"),
            Self::Stuck => f.write_str("a write took too long"),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

/// The URL of the endpoint for servers of this role and region.
pub(crate) fn discover_uri(
    coordinator: &Uri,
    role: Role,
    region: Option<&str>,
) -> Result<Uri, http::Error> {
    let path = coordinator.path().trim_end_matches('/');
    let role = match role {
        Role::Hub => proto::Role::CommunicationServerHub,
        _ => proto::Role::CommunicationServer,
    };
    let mut target = format!("{path}/discover?role={}", role.as_str_name());
    if let Some(region) = region {
        target.push_str("&region=");
        target.push_str(region);
    }
    let mut parts = coordinator.clone().into_parts();
    parts.path_and_query = Some(target.parse().map_err(http::Error::from)?);
    Uri::from_parts(parts).map_err(http::Error::from)
}

fn lacks_subprotocol(error: &tungstenite::Error) -> bool {
    let missing = ProtocolError::SecWebSocketSubProtocolError(SubProtocolError::NoSubProtocol);
    matches!(error, tungstenite::Error::Protocol(found) if *found == missing)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Largest message from the coordinator: SERVERS with thousands of entries.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// For the goodbye to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
