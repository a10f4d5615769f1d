//! The operator's HTTP listener: `/healthz` (the process answers), `/readyz` (a coordinator has
//! welcomed it, and it is not about to go), `/metrics`. On the loopback interface, unless told otherwise.

use std::{fmt, sync::Arc};

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::{StatusCode, header};
use prometheus_client::{encoding::text, registry::Registry};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::hub::Snapshot;

/// What the requests look at.
#[derive(Clone)]
pub(crate) struct Shared {
    registry: Arc<Registry>,
    snapshots: watch::Receiver<Snapshot>,
}

impl Shared {
    pub(crate) fn new(registry: Registry, snapshots: watch::Receiver<Snapshot>) -> Self {
        Self {
            registry: Arc::new(registry),
            snapshots,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Serves until `shutdown`.
pub(crate) async fn run(listener: TcpListener, shared: Shared, shutdown: CancellationToken) {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shared);
    tokio::select! {
        // Requests here are answered at once, so none is waited for.
        () = shutdown.cancelled() => {}
        served = axum::serve(listener, router) => {
            tracing::error!(?served, "the admin listener ended");
        }
    }
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    let snapshot = shared.snapshots.borrow();
    let trouble = if snapshot.stats.draining {
        "it is about to go\n"
    } else if snapshot.alias.is_none() {
        "no coordinator has welcomed this server yet\n"
    } else {
        return (StatusCode::OK, "ready\n");
    };
    (StatusCode::SERVICE_UNAVAILABLE, trouble)
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let mut page = String::new();
    match text::encode(&mut page, &shared.registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPENMETRICS)], page),
        Err(fmt::Error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            String::new(),
        ),
    }
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
