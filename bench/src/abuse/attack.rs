//! The attacks, and the process in which one runs: on the load's cores, where the crowd has the
//! right of way, for what is measured is what becomes of the servers.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    process::Command,
    sync::Arc,
    time::Duration,
};

use abuse::{Attack, Done, Target};
use anyhow::{Context as _, bail};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use tokio::time::sleep;
use url::Url;

/// An attack, and how the servers say that they have noticed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// On the command line and in the file.
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) title: &'static str,
    attack: Attack,
    /// Counters of coordinator and commserver, which are added up.
    pub(crate) counters: &'static [&'static str],
}

/// All of them.
pub(crate) const ATTACKS: [Kind; 6] = [
    Kind {
        name: "half-open",
        title: "1,000 half-open WebSockets",
        attack: Attack::HalfOpen(1_000),
        counters: &["coordinator_requests_total{reason=\"TimedOut\"}"],
    },
    Kind {
        name: "handshakes",
        title: "500 peers that never finish DTLS",
        attack: Attack::Handshakes(500),
        counters: &["broker_peers_closed_total{reason=\"HandshakeTimeout\"}"],
    },
    Kind {
        name: "garbage",
        title: "50,000 garbage datagrams/s",
        attack: Attack::Garbage(50_000),
        counters: &[
            "broker_transport_drops_total{reason=\"unknown_protocol\"}",
            "broker_transport_drops_total{reason=\"unknown_address\"}",
            "broker_transport_drops_total{reason=\"unknown_user\"}",
            "broker_transport_drops_total{reason=\"malformed\"}",
            "broker_kernel_drops_total",
        ],
    },
    Kind {
        name: "loud",
        title: "a client at 100 times its limit",
        attack: Attack::Loud(100 * PACKETS_PER_S),
        counters: &[
            "broker_transport_drops_total{reason=\"rate_limited\"}",
            "broker_rate_pauses_total",
        ],
    },
    Kind {
        name: "logins",
        title: "64 logins at once with wrong keys",
        attack: Attack::Logins(64),
        counters: &[
            "coordinator_account_requests_total{request=\"Login\",result=\"Refused\"}",
            "coordinator_account_requests_total{request=\"Login\",result=\"Busy\"}",
        ],
    },
    Kind {
        name: "topics",
        title: "100 clients subscribe and unsubscribe 10,000 topics",
        attack: Attack::Topics {
            clients: 100,
            topics: 10_000,
        },
        counters: &["broker_rate_pauses_total"],
    },
];

/// What a client may send on each lane, in all trials: ten times what one of the crowd does.
pub(crate) const PACKETS_PER_S: u32 = 100;

/// What `bench attack` is told.
#[derive(Debug, Args)]
pub(crate) struct Attacker {
    /// Which one.
    name: String,
    /// The coordinator.
    #[arg(long)]
    coordinator: Url,
    /// A commserver's UDP socket.
    #[arg(long)]
    rtc: SocketAddr,
    /// What clients show.
    #[arg(long, env = "BROKER_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Attacker {
    /// Attacks until it is ended; says a word when it is under way.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let kind = ATTACKS.into_iter().find(|kind| kind.name == self.name);
        let kind = kind.with_context(|| format!("{}: no attack of that name", self.name))?;
        step_back()?;
        raise_file_limit()?;
        let target = Target {
            coordinator: self.coordinator,
            rtc: self.rtc,
            token: self.token,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let done = Arc::new(Done::default());
            tokio::select! {
                ended = kind.attack.run(target, Arc::clone(&done)) => ended,
                said = say_when_under_way(kind.attack, &done) => said,
            }
        })
    }
}

/// Whoever else is on these cores comes first, at once: to the kernel a nice process may finish its
/// slice, of some milliseconds, and the crowd would seem to wait for its servers. Where `chrt`
/// (util-linux) is not there it is nice all the same.
fn step_back() -> anyhow::Result<()> {
    let id = std::process::id().to_string();
    let idle = Command::new("chrt")
        .args(["--idle", "--pid", "0", &id])
        .status();
    if !idle.is_ok_and(|status| status.success()) {
        nice(LEAST).context("nice")?;
    }
    Ok(())
}

async fn say_when_under_way(attack: Attack, done: &Done) -> anyhow::Result<()> {
    for _ in 0..BEGIN_S * 10 {
        if done.count() >= attack.under_way() {
            writeln!(io::stdout(), "under way")?;
            return std::future::pending().await;
        }
        sleep(Duration::from_millis(100)).await;
    }
    bail!("{} of {} begun", done.count(), attack.under_way())
}

/// A socket for each connection and each peer.
fn raise_file_limit() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all).context("the limit of open files")
}

/// Of what a process can be.
const LEAST: i32 = 19;

/// For an attack to be under way.
pub(crate) const BEGIN_S: u32 = 60;
