//! The same small relay on other WebRTC engines: what the broker's own engine is chosen against. One
//! thread, one UDP socket for all peers, read and written in batches, each packet encoded once, each
//! peer flushed once a pass: all that a good relay does around an engine, and nothing else. No
//! limits, no metrics, no tokens, no second server.

mod driver;
mod engine;
mod messages;
mod session;
mod socket;
mod topics;

use std::{io::Write as _, net::SocketAddr};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{State, WebSocketUpgrade},
    response::Response,
    routing::any,
};
use clap::{Parser, ValueEnum};
use tokio::{net::TcpListener, sync::mpsc};

use crate::{
    driver::Driver,
    engine::{Engine, rtc::Rtc, str0m::Str0m},
    session::Command,
    socket::Socket,
};

/// A small relay on a WebRTC engine.
#[derive(Debug, Parser)]
#[command(name = "engines")]
struct Flags {
    /// The engine.
    #[arg(long)]
    engine: Choice,
    /// Address of the signalling.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address of the UDP socket.
    #[arg(long, default_value = "127.0.0.1:0")]
    rtc_listen: SocketAddr,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    Rtc,
    Str0m,
}

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match flags.engine {
            Choice::Rtc => run::<Rtc>(&flags).await,
            Choice::Str0m => run::<Str0m>(&flags).await,
        }
    })
}

async fn run<E: Engine>(flags: &Flags) -> anyhow::Result<()> {
    let socket = Socket::bind(flags.rtc_listen).context("the UDP socket")?;
    let listener = TcpListener::bind(flags.listen).await.context("listen")?;
    let (commands_in, commands) = mpsc::channel(COMMANDS_MAX);
    let app = Router::new()
        .route("/connect", any(connect))
        .with_state(commands_in);
    let driver = Driver::<E>::new(socket)?;
    let addr = listener.local_addr()?;
    writeln!(std::io::stdout(), "engines ready: ws://{addr}").context("standard output")?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        done = driver.run(commands) => done,
        served = axum::serve(listener, app) => served.context("serve"),
        _ = terminate.recv() => Ok(()),
    }
}

async fn connect(
    State(commands): State<mpsc::Sender<Command>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .protocols([proto::SUBPROTOCOL])
        .on_upgrade(|socket| session::run(commands, socket))
}

/// Signals of all sessions that wait for the driver.
const COMMANDS_MAX: usize = 1024;
