//! A plain relay on the async `webrtc` crate, as one would write it with its documentation at hand:
//! one process that is coordinator and communication server in one. It is what the broker is
//! compared with, so it is honest: ICE-lite, one certificate for all peers, each packet encoded
//! once, a full send buffer drops or closes, nothing in it waits on purpose.
//!
//! It speaks as much of the protocol as the load tester needs, and lets everybody in. It is no
//! broker: no limits, no metrics, no second server.

mod peer;
mod relay;
mod session;

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{State, WebSocketUpgrade},
    response::Response,
    routing::any,
};
use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::{peer::Engine, relay::Relay};

/// A plain relay on the async `webrtc` crate.
#[derive(Debug, Parser)]
#[command(name = "plain")]
struct Flags {
    /// Address of the signalling.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address of the peers' UDP sockets, each with a port of its own.
    #[arg(long, default_value_t = IpAddr::from(Ipv4Addr::LOCALHOST))]
    rtc_listen: IpAddr,
}

/// What every session shares.
#[derive(Debug)]
struct Shared {
    relay: Relay,
    engine: Engine,
    tasks: TaskTracker,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let shared = Arc::new(Shared {
        relay: Relay::default(),
        engine: Engine::new(flags.rtc_listen).context("no certificate")?,
        tasks: TaskTracker::new(),
    });
    let listener = TcpListener::bind(flags.listen).await.context("listen")?;
    let addr = listener.local_addr().context("listen")?;
    let router = Router::new()
        .route("/connect", any(connect))
        .with_state(shared);
    writeln!(std::io::stdout(), "plain ready: ws://{addr}").context("standard output")?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, router) => served.context("serve"),
        _ = terminate.recv() => Ok(()),
    }
}

async fn connect(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .protocols([proto::SUBPROTOCOL])
        .on_upgrade(|socket| session::run(shared, socket))
}
