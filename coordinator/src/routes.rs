//! Which path of the public listener is served by what.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    middleware,
    routing::{any, get},
};

use crate::{Shared, accounts, origin, pages, upgrade};

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let endpoints = health()
        .route(CONNECT, any(upgrade::connect))
        .route(DISCOVER, any(upgrade::discover));
    let endpoints = accounts::add(endpoints, shared.accounts.as_ref());
    let router = shared.pages.iter().cloned().fold(endpoints, pages::route);
    let cors = middleware::from_fn_with_state(Arc::clone(&shared), origin::cors);
    router.layer(cors).with_state(shared)
}

/// For whoever distributes the load, and for whoever restarts what has died: on both listeners.
pub(crate) fn health() -> Router<Arc<Shared>> {
    Router::new()
        .route(HEALTHZ, get(healthz))
        .route(READYZ, get(readyz))
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

/// Paths that pages cannot have.
pub(crate) const ENDPOINTS: [&str; 7] = [
    CONNECT,
    DISCOVER,
    HEALTHZ,
    READYZ,
    accounts::LOGIN,
    accounts::REGISTER,
    accounts::UNREGISTER,
];

const CONNECT: &str = "/connect";
const DISCOVER: &str = "/discover";
const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";
