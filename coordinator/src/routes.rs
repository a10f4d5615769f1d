//! Which path is served by what.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get},
};

use crate::{Shared, pages, upgrade};

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let endpoints = Router::new()
        .route(CONNECT, any(upgrade::connect))
        .route(DISCOVER, any(upgrade::discover))
        .route(HEALTHZ, get(healthz))
        .route(READYZ, get(readyz))
        .route(METRICS, get(metrics));
    let router = shared.pages.iter().cloned().fold(endpoints, pages::route);
    router.with_state(shared)
}

/// The process is alive.
async fn healthz() -> &'static str {
    "ok\n"
}

/// There is a server that clients can be sent to, if not at the moment: one that has no room, or is
/// silent, is not mended by sending clients to another coordinator.
async fn readyz(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    if shared.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n");
    }
    let stats = *shared.stats.borrow();
    if stats.servers == stats.hubs {
        return (StatusCode::SERVICE_UNAVAILABLE, "no communication server\n");
    }
    (StatusCode::OK, "ready\n")
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

/// Paths that pages cannot have.
pub(crate) const ENDPOINTS: [&str; 5] = [CONNECT, DISCOVER, HEALTHZ, READYZ, METRICS];

const CONNECT: &str = "/connect";
const DISCOVER: &str = "/discover";
const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";
const METRICS: &str = "/metrics";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
