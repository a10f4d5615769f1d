//! Accepting connections: so many requests at once, each with its deadlines.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use proto::Reason;
use tls::{Acceptor, TlsStream};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};
use tokio_util::{either::Either, sync::CancellationToken, task::TaskTracker};
use tower_service::Service as _;

use crate::{
    Shared,
    addresses::{Held, TooMany},
    metrics::Request as Outcome,
    refusal, session,
    upgrade::Remote,
};

/// A listener: what it serves, and to how many at once.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) router: Router,
    pub(crate) requests_max: usize,
    /// Whether the limits for each address count, and proxies speak for others.
    pub(crate) is_public: bool,
    /// What it speaks TLS with, if it does.
    pub(crate) tls: Option<Arc<Acceptor>>,
    /// Where its connections are tasks.
    pub(crate) tasks: TaskTracker,
}

impl Listener {
    /// Accepts until `shutdown` is cancelled.
    pub(crate) async fn accept(self, shared: &Arc<Shared>, shutdown: &CancellationToken) {
        let room = Arc::new(Semaphore::new(self.requests_max.max(1)));
        loop {
            // Without room, connections wait in the kernel's queue.
            let accepted = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, self.socket.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let Ok(held) = self.hold(shared, remote.ip()) else {
                        continue;
                    };
                    let (shared, shutdown) = (Arc::clone(shared), shutdown.clone());
                    let (router, tls) = (self.router.clone(), self.tls.clone());
                    self.tasks.spawn(async move {
                        let request = async {
                            let (stream, certified) = match secure(&shared, tls, stream).await {
                                Ok(secured) => secured,
                                Err(end) => return shared.metrics.request_ended(end),
                            };
                            let remote = Remote {
                                addr: remote,
                                certified,
                            };
                            serve(&shared, &shutdown, router, stream, remote).await;
                        };
                        session::unless(&shared.abort, request).await;
                        drop((permit, held));
                    });
                }
                Err(error) => recover(shared, &error).await,
            }
        }
    }

    /// A connection's place among those of its address. One too many is closed unanswered: an answer
    /// would have to wait for its request.
    fn hold(&self, shared: &Shared, ip: IpAddr) -> Result<Option<Held>, TooMany> {
        if !self.is_public || shared.proxies.contain(ip) {
            return Ok(None);
        }
        let held = shared.addresses.request(Instant::now(), ip).map(Some);
        held.inspect_err(|&why| shared.metrics.too_many(why))
    }
}

/// Whose request it is that has come from `from`, and its place among those of that address, when the
/// connection itself has none.
fn client(
    shared: &Shared,
    from: SocketAddr,
    headers: &HeaderMap,
) -> Result<(SocketAddr, Option<Held>), TooMany> {
    if !shared.proxies.contain(from.ip()) {
        return Ok((from, None));
    }
    let ip = shared.proxies.client(from.ip(), headers);
    let held = shared.addresses.request(Instant::now(), ip);
    let held = held.inspect_err(|&why| shared.metrics.too_many(why))?;
    Ok((SocketAddr::new(ip, 0), Some(held)))
}

/// A connection that ended before it was accepted is its own affair. Without file descriptors, or
/// memory, there is nothing to do but wait for some.
async fn recover(shared: &Shared, error: &io::Error) {
    shared.metrics.accept_failed();
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        tracing::warn!(%error, "cannot accept connections");
        time::sleep(ACCEPT_RETRY).await;
    }
}

/// Shakes hands, where there is TLS; and whether the other side has shown a certificate that is good,
/// or need not.
async fn secure(
    shared: &Shared,
    tls: Option<Arc<Acceptor>>,
    stream: TcpStream,
) -> Result<(Stream, bool), Outcome> {
    // Signals are small, and each is waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot turn off Nagle's algorithm");
    }
    let Some(acceptor) = tls else {
        return Ok((Stream::Left(stream), true));
    };
    let accepted = time::timeout(shared.timeouts.header, acceptor.accept(stream)).await;
    let accepted = accepted.map_err(|_| Outcome::TimedOut)?.map_err(|error| {
        tracing::debug!(%error, "no agreement on TLS");
        Outcome::TlsFailed
    })?;
    let certified = accepted.certified || !acceptor.is_mutual();
    Ok((Stream::Right(accepted.stream), certified))
}

/// One request; when it is an upgrade, axum's task goes on with the session.
async fn serve(
    shared: &Shared,
    shutdown: &CancellationToken,
    router: Router,
    stream: Stream,
    remote: Remote,
) {
    let service = service_fn(|mut request: Request<Incoming>| {
        let mut router = router.clone();
        async move {
            let response = match client(shared, remote.addr, request.headers()) {
                Ok((addr, held)) => {
                    request.extensions_mut().insert(Remote { addr, ..remote });
                    let response = router.call(request.map(Body::new)).await;
                    drop(held);
                    response
                }
                Err(_) => Ok(refusal::response(Reason::TooManyFromAddress)),
            };
            response.map(closing)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.timeouts.header)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let connection = async {
        let mut connection = pin!(connection);
        tokio::select! {
            end = connection.as_mut() => end,
            () = shutdown.cancelled() => {
                // One that has asked for nothing yet ends; an answer that is on its way arrives.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    let end = match time::timeout(shared.timeouts.request, connection).await {
        Ok(Ok(())) => Outcome::Served,
        Ok(Err(error)) if error.is_timeout() => Outcome::TimedOut,
        Ok(Err(error)) if error.is_parse() => Outcome::Malformed,
        Ok(Err(_)) => Outcome::Broken,
        Err(_) => Outcome::TimedOut,
    };
    shared.metrics.request_ended(end);
}

/// A connection serves one request: those that wait for another would take the room of the rest.
/// And whatever it is answered, it is what it says that it is.
fn closing(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    }
    response
}

/// With TLS on it, or without.
type Stream = Either<TcpStream, TlsStream<TcpStream>>;

const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Room for a token of several kilobytes in URL or headers.
pub(crate) const HEADER_BYTES_MAX: usize = 32 * 1024;
