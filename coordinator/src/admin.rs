//! The operator's listener: health, metrics, and the admin API under `/v1/admin`, which asks who it
//! is. On the loopback interface, unless told otherwise.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use proto::Reason;
use serde::Serialize;

use crate::{Shared, refusal, revocations, routes, token, upgrade::Remote};

/// What is served on the admin listener.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let api = api().layer(middleware::from_fn_with_state(Arc::clone(&shared), guard));
    routes::health()
        .route("/metrics", get(metrics))
        .nest("/v1/admin", api)
        .with_state(shared)
}

/// The admin API. Whatever stands here, [`guard`] stands before it.
fn api() -> Router<Arc<Shared>> {
    Router::new()
        .route("/status", get(status))
        .route("/revoke", post(revocations::post))
        .route("/revocations", get(revocations::get))
}

/// Whether a request shows the admin secret. Where there is none, none does.
///
/// For requests that come by the public listener: there a peer on this machine may be a proxy, so
/// its address says nothing.
pub(crate) fn shows_secret(shared: &Shared, headers: &HeaderMap) -> bool {
    let secret = shared.admin_secret.as_ref();
    let shown = token::bearer(headers);
    secret.is_some_and(|secret| shown.is_some_and(|shown| secret.matches(shown.as_bytes())))
}

async fn guard(
    State(shared): State<Arc<Shared>>,
    Extension(remote): Extension<Remote>,
    request: Request,
    next: Next,
) -> Response {
    match check(&shared, remote, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(reason) => {
            shared.metrics.admin_refused(reason);
            tracing::warn!(%reason, path = request.uri().path(), "admin request refused");
            refusal::response(reason)
        }
    }
}

fn check(shared: &Shared, remote: Remote, uri: &Uri, headers: &HeaderMap) -> Result<(), Reason> {
    if shared.admin_secret.is_some() {
        let shown = shows_secret(shared, headers);
        return shown.then_some(()).ok_or(Reason::Unauthenticated);
    }
    let local = remote.addr.ip().to_canonical().is_loopback();
    (local && is_direct(uri, headers))
        .then_some(())
        .ok_or(Reason::Forbidden)
}

/// Whether a request from this machine is not made for somebody elsewhere: by a proxy, or by a page
/// in a browser, which may also have been told that its own name is this machine's address.
fn is_direct(uri: &Uri, headers: &HeaderMap) -> bool {
    let indirect = [header::ORIGIN, header::FORWARDED];
    let forwarded = headers.contains_key("x-forwarded-for")
        || indirect.iter().any(|name| headers.contains_key(name));
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse().ok());
    let host = host.as_ref().or_else(|| uri.authority());
    !forwarded && host.is_some_and(|host| is_this_machine(host.host()))
}

fn is_this_machine(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    let ip = ip.parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// How it is doing, in short.
async fn status(State(shared): State<Arc<Shared>>) -> Json<Status> {
    let stats = *shared.stats.borrow();
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        clients: stats.clients,
        clients_waiting: stats.waiting,
        servers: stats.servers,
        hubs: stats.hubs,
        shutting_down: shared.stop.is_cancelled(),
    })
}

#[derive(Serialize)]
struct Status {
    version: &'static str,
    clients: u64,
    clients_waiting: u64,
    servers: u64,
    hubs: u64,
    shutting_down: bool,
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &shared.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_meant_for_this_machine_is_direct() {
        let none = HeaderMap::new();
        let host = |host: &str| {
            let host = host.parse().expect("a header value");
            HeaderMap::from_iter([(header::HOST, host)])
        };
        let path = Uri::from_static("/v1/admin/status");
        assert!(!is_direct(&path, &none));
        for name in [
            "127.0.0.1:9091",
            "localhost:9091",
            "[::1]:9091",
            "127.1.2.3",
        ] {
            assert!(is_direct(&path, &host(name)), "{name}");
        }
        for name in ["rebound.example:9091", "10.0.0.1", "localhost.example", ""] {
            assert!(!is_direct(&path, &host(name)), "{name}");
        }
        for name in ["origin", "forwarded", "x-forwarded-for"] {
            let mut headers = host("127.0.0.1:9091");
            headers.insert(name, "null".parse().expect("a header value"));
            assert!(!is_direct(&path, &headers), "{name}");
        }
    }
}
