//! A 2019 communication server: dials `/discover` and every server that it is told, makes an offer
//! to whoever connects, and reads and writes only the channels that it opened itself.

mod worker;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::worker::Worker;
use super::engine::Lane;
use super::session::Session;
use super::wire::Role;
use crate::PATIENCE;

/// How a server behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A hub passes packets on between servers.
    pub is_hub: bool,
    /// What it adds to the coordinator's URL as `token`, when not empty.
    pub token: String,
    /// What it sends in AUTH.
    pub auth_body: Bytes,
    /// Peers beyond this number are refused; 0 is no limit.
    pub peers_max: usize,
}

/// What a test can see of a server.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// AUTH came and was good.
    Authenticated {
        /// Whose.
        alias: u64,
        /// The role it asked for.
        role: Role,
    },
    /// A peer has announced its topics.
    Topics {
        /// Whose.
        alias: u64,
        /// The whole set.
        topics: BTreeSet<String>,
    },
    /// A packet came that is passed on.
    Packet {
        /// From which peer.
        alias: u64,
        /// On which channel.
        lane: Lane,
        /// The whole message.
        bytes: Bytes,
    },
    /// Something came that a 2019 server skips.
    Skipped {
        /// From which peer.
        alias: u64,
        /// Its type.
        kind: i32,
    },
    /// A peer is gone.
    Closed {
        /// Which.
        alias: u64,
        /// Why.
        reason: String,
    },
}

/// A handle to the server's task. Dropping it ends the server without a goodbye.
#[derive(Debug)]
pub struct Server {
    /// What the coordinator calls it.
    pub alias: u64,
    seen: mpsc::Receiver<Result<Seen>>,
    _task: JoinSet<()>,
}

impl Server {
    /// Starts a server that registers with the coordinator at `url` (`ws://host:port`).
    ///
    /// # Errors
    /// When the coordinator cannot be reached or refuses.
    pub async fn start(url: &str, options: Options) -> Result<Self> {
        let role = if options.is_hub {
            "COMMUNICATION_SERVER_HUB"
        } else {
            "COMMUNICATION_SERVER"
        };
        let mut url = format!("{url}/discover?role={role}");
        if !options.token.is_empty() {
            url = format!("{url}&token={}", options.token);
        }
        let session = Session::dial(&url).await?;
        let alias = session.alias;
        let listed = session.available_servers.clone();
        let (report, seen) = mpsc::channel(QUEUE);
        let mut worker = Worker::new(session, options, report);
        for server in listed {
            worker.dial(server).await?;
        }
        let mut task = JoinSet::new();
        task.spawn(worker.run());
        Ok(Self {
            alias,
            seen,
            _task: task,
        })
    }

    /// The next thing seen, within [`PATIENCE`].
    ///
    /// # Errors
    /// When nothing happens, or the server has failed.
    pub async fn expect(&mut self) -> Result<Seen> {
        timeout(PATIENCE, self.seen.recv())
            .await
            .with_context(|| format!("server {} saw nothing in time", self.alias))?
            .context("the server is over")?
    }

    /// Skips what is seen until `wanted` says yes, and yields that.
    ///
    /// # Errors
    /// As [`Self::expect`].
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&Seen) -> bool) -> Result<Seen> {
        let mut skipped = Vec::new();
        let search = async {
            loop {
                let seen = self.expect().await?;
                if wanted(&seen) {
                    return Ok::<Seen, anyhow::Error>(seen);
                }
                skipped.push(seen);
            }
        };
        let found = timeout(PATIENCE, search)
            .await
            .unwrap_or_else(|late| Err(late.into()));
        found.with_context(|| format!("only {skipped:?} so far"))
    }
}

/// Events and sights that may wait.
const QUEUE: usize = 4096;
