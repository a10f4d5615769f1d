//! What is measured: the broker itself, a plain relay, relays on other engines, and the kernel's
//! limit; and the processes of all but the last.

use std::{fmt, path::PathBuf};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{child::Child, cores::Cores, metrics::Metrics, usage::Usage};

/// What is measured.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    /// The coordinator and commserver of this repository, with their defaults.
    Ours,
    /// `bench/plain`.
    Plain,
    /// `bench/engines` on `rtc`.
    Rtc,
    /// `bench/engines` on `str0m`.
    Str0m,
    /// See [`crate::limit`].
    Limit,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Plain => "plain",
            Self::Rtc => "rtc",
            Self::Str0m => "str0m",
            Self::Limit => "limit",
        })
    }
}

/// Where programs are and where their logs go.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Folder of the release binaries.
    pub(crate) programs: PathBuf,
    pub(crate) logs: PathBuf,
    pub(crate) allowed_cores: Vec<usize>,
}

impl Setup {
    pub(crate) fn cores(&self, servers: usize) -> Cores {
        Cores::divide(&self.allowed_cores, servers)
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// The running processes of a subject.
#[derive(Debug)]
pub(crate) struct Servers {
    /// Coordinator first, where there is one.
    children: Vec<Child>,
    /// Processes that carry packets.
    carriers: Vec<u32>,
    /// Where clients go.
    pub(crate) url: String,
    /// What clients show.
    pub(crate) token: Option<String>,
    /// `host:port` of each commserver's UDP socket, where they are the broker's.
    pub(crate) rtc: Vec<String>,
    /// `host:port` of each `/metrics`.
    admin: Vec<String>,
    pub(crate) cores: Cores,
}

impl Servers {
    /// Starts them and waits until they are ready.
    pub(crate) async fn start(
        setup: &Setup,
        subject: Subject,
        commservers: usize,
    ) -> anyhow::Result<Self> {
        match subject {
            Subject::Ours => Self::ours(setup, commservers, [&[], &[]]).await,
            Subject::Plain => Self::relay(setup, "plain", &["--rtc-listen", "127.0.0.1"]).await,
            Subject::Rtc => Self::relay(setup, "engines", &["--engine", "rtc"]).await,
            Subject::Str0m => Self::relay(setup, "engines", &["--engine", "str0m"]).await,
            Subject::Limit => anyhow::bail!("it has no servers"),
        }
    }

    /// The broker, with more said to coordinator and commservers.
    pub(crate) async fn ours(
        setup: &Setup,
        commservers: usize,
        [coordinators, commservers_own]: [&[(&str, String)]; 2],
    ) -> anyhow::Result<Self> {
        let cores = setup.cores(commservers);
        let token = secret();
        let mut environment = vec![
            ("BROKER_CLUSTER_SECRET", secret()),
            ("BROKER_CLIENT_SECRET", token.clone()),
        ];
        if commservers > 1 {
            // Half of the clients on each, in every run.
            environment.push(("BROKER_SELECTOR", "round-robin".to_owned()));
        }
        let mut coordinator = Child::start(
            "coordinator",
            &setup.program("coordinator"),
            &args(&["--listen", "127.0.0.1:0"]),
            &[environment.as_slice(), coordinators].concat(),
            &cores.server,
            &setup.logs,
        )?;
        let line = coordinator.ready().await?;
        let url = word(&line, "ws://").context("the coordinator's address")?;
        let admin = word(&line, "http://").context("the address of /metrics")?;
        let mut servers = Self {
            children: vec![coordinator],
            carriers: Vec::new(),
            url,
            token: Some(token),
            rtc: Vec::new(),
            admin: vec![admin],
            cores,
        };
        let environment = [environment.as_slice(), commservers_own].concat();
        for number in 0..commservers {
            servers.add_commserver(setup, number, &environment).await?;
        }
        Ok(servers)
    }

    async fn add_commserver(
        &mut self,
        setup: &Setup,
        number: usize,
        environment: &[(&str, String)],
    ) -> anyhow::Result<()> {
        let one_each = self
            .cores
            .server
            .iter()
            .skip(number % self.cores.server.len());
        let core: Vec<usize> = one_each.take(1).copied().collect();
        let mut commserver = Child::start(
            &format!("commserver-{number}"),
            &setup.program("commserver"),
            &args(&[
                "--coordinator",
                &self.url,
                "--rtc-listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
            ]),
            environment,
            &core,
            &setup.logs,
        )?;
        let line = commserver.ready().await?;
        ensure!(line.contains("(reached"), "no coordinator: {line}");
        self.rtc
            .push(word(&line, "udp://").context("the UDP address")?);
        self.admin
            .push(word(&line, "http://").context("the address of /metrics")?);
        self.carriers.push(commserver.pid());
        self.children.push(commserver);
        Ok(())
    }

    /// A relay that is coordinator and server in one process.
    async fn relay(setup: &Setup, program: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let cores = setup.cores(1);
        let mut all = args(&["--listen", "127.0.0.1:0"]);
        all.extend(args(arguments));
        let mut relay = Child::start(
            program,
            &setup.program(program),
            &all,
            &[],
            &cores.server,
            &setup.logs,
        )?;
        let url = word(&relay.ready().await?, "ws://").context("the relay's address")?;
        Ok(Self {
            carriers: vec![relay.pid()],
            children: vec![relay],
            url,
            token: None,
            rtc: Vec::new(),
            admin: Vec::new(),
            cores,
        })
    }

    /// Of all processes together: a coordinator is a cost of its clients as well.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let pids: Vec<u32> = self.children.iter().map(Child::pid).collect();
        Usage::of(&pids)
    }

    /// Of those that carry packets.
    pub(crate) fn usage_of_carriers(&self) -> anyhow::Result<Usage> {
        Usage::of(&self.carriers)
    }

    /// What they count, where they do.
    pub(crate) async fn metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::scrape(&self.admin).await
    }

    pub(crate) fn check_running(&mut self) -> anyhow::Result<()> {
        self.children.iter_mut().try_for_each(Child::check_running)
    }

    /// Ends them, and says if one does not end as it should.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let mut stopped = Ok(());
        while let Some(child) = self.children.pop() {
            stopped = stopped.and(child.stop().await);
        }
        stopped
    }
}

/// The word of a line that starts with `prefix`. An address is wanted without `http://` and
/// `udp://`, and with `ws://`.
fn word(line: &str, prefix: &str) -> Option<String> {
    let word = line
        .split([' ', '='])
        .find(|word| word.starts_with(prefix))?;
    let bare = word
        .trim_start_matches("http://")
        .trim_start_matches("udp://");
    Some(bare.to_owned())
}

fn secret() -> String {
    format!("{:032x}", rand::random::<u128>())
}

pub(crate) fn args(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_the_ready_lines() {
        let line = "commserver ready: rtc=udp://127.0.0.1:54941 admin=http://127.0.0.1:39875 \
            coordinator=ws://127.0.0.1:9190/ (reached, alias=117)";
        assert_eq!(word(line, "http://").as_deref(), Some("127.0.0.1:39875"));
        assert_eq!(word(line, "udp://").as_deref(), Some("127.0.0.1:54941"));
        let line = "coordinator ready: ws://127.0.0.1:9190 admin=http://127.0.0.1:9191";
        assert_eq!(word(line, "ws://").as_deref(), Some("ws://127.0.0.1:9190"));
        assert_eq!(word(line, "rtc="), None);
    }
}
