//! Pages in a real Chromium against real server processes: `web/e2e/run.mjs` plays the scenarios,
//! this starts the servers, and kills them or asks them to end when it is asked to.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use tests::{admin, process::Process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    time::timeout,
};

const SECRET: &str = "a-cluster-secret-for-the-browser-tests";

/// For all scenarios together, on a loaded machine; each has deadlines of its own.
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test]
#[ignore = "needs Chromium and Node.js: `cargo xtask test` sees to them"]
async fn pages_talk_across_servers_and_survive_their_deaths() {
    let outcome = timeout(PATIENCE, play()).await;
    outcome
        .expect("the scenarios end in time")
        .expect("every scenario is ok");
}

async fn play() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let mut browser = Command::new("node")
        .arg("e2e/run.mjs")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../web"))
        .env("COORDINATOR_URL", format!("{}/connect", cluster.url))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("node cannot be started")?;
    let mut answers = browser.stdin.take().context("a pipe to node")?;
    let lines = browser.stdout.take().context("a pipe from node")?;
    let mut lines = BufReader::new(lines).lines();
    let mut played = 0;
    while let Some(line) = lines.next_line().await? {
        say(&line);
        if let Some(wish) = line.strip_prefix("ask ") {
            cluster
                .fulfil(wish.trim())
                .await
                .with_context(|| line.clone())?;
            answers.write_all(b"done\n").await?;
        }
        played += usize::from(line.starts_with("ok "));
    }
    let status = browser.wait().await?;
    ensure!(status.success(), "node ended with {status}");
    ensure!(played >= 12, "only {played} scenarios were played");
    Ok(())
}

struct Cluster {
    url: String,
    coordinator: Option<Process>,
    commservers: Vec<Process>,
    draining: Option<Process>,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let coordinator = start_coordinator("127.0.0.1:0").await?;
        let ready = coordinator.ready();
        let url = ready
            .split_whitespace()
            .find(|word| word.starts_with("ws://"));
        let url = url
            .with_context(|| format!("no address in {ready:?}"))?
            .to_owned();
        let mut cluster = Self {
            url,
            coordinator: Some(coordinator),
            commservers: Vec::new(),
            draining: None,
        };
        for _ in 0..2 {
            cluster.start_commserver().await?;
        }
        Ok(cluster)
    }

    /// Shuts out the client that has this alias.
    async fn revoke(&self, alias: &str) -> Result<()> {
        let coordinator = self.coordinator.as_ref().context("there is none")?;
        let words = coordinator.ready().split_whitespace();
        let mut admin = words.filter_map(|word| word.strip_prefix("admin=http://"));
        let admin = admin.next().context("no admin listener")?.parse()?;
        admin::revoke(admin, &format!(r#"{{"alias": {alias}}}"#)).await
    }

    async fn fulfil(&mut self, wish: &str) -> Result<()> {
        if let Some(alias) = wish.strip_prefix("revoke ") {
            return self.revoke(alias).await;
        }
        match wish {
            "kill-commserver" => {
                let server = self.commservers.pop().context("there is none")?;
                server.kill().await
            }
            "drain-commserver" => {
                let server = self.commservers.pop().context("there is none")?;
                server.terminate().await?;
                self.draining = Some(server);
                Ok(())
            }
            "await-drained" => {
                let server = self.draining.take().context("there is none")?;
                let code = server.exit_code().await?;
                ensure!(code == 0, "it ended with {code}");
                Ok(())
            }
            "start-commserver" => self.start_commserver().await,
            "kill-coordinator" => {
                self.coordinator
                    .take()
                    .context("there is none")?
                    .kill()
                    .await
            }
            "start-coordinator" => {
                let addr = self.url.trim_start_matches("ws://").to_owned();
                self.coordinator = Some(start_coordinator(&addr).await?);
                Ok(())
            }
            other => bail!("{other:?} is nothing that can be asked for"),
        }
    }

    async fn start_commserver(&mut self) -> Result<()> {
        let args = [
            "commserver",
            "--insecure",
            "--rtc-listen",
            "127.0.0.1:0",
            "--coordinator",
            &self.url,
        ];
        self.commservers.push(Process::start(&args, SECRET).await?);
        Ok(())
    }
}

async fn start_coordinator(listen: &str) -> Result<Process> {
    Process::start(&["coordinator", "--insecure", "--listen", listen], SECRET).await
}

/// What node says belongs to the test's output.
#[expect(
    clippy::print_stdout,
    reason = "shown by the test harness when the test fails"
)]
fn say(line: &str) {
    println!("{line}");
}
