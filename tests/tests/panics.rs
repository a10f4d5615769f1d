//! A server in which something panics is gone at once, and the cluster goes on without it.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use client::Config;
use proto::Lane;
use tests::{
    member::{self, Member},
    process::Process,
};

const SECRET: &str = "the secret of the whole cluster";
const TOPIC: &str = "plaza/1";
const SIGABRT: i32 = 6;

/// The file that a process panics by, when it is there.
struct Trigger(String);

impl Trigger {
    fn new(name: &str) -> Self {
        let name = format!("panic-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name).display().to_string())
    }

    fn variable(&self) -> (&str, &str) {
        ("BROKER_TEST_PANIC_FILE", &self.0)
    }

    fn pull(&self) -> Result<()> {
        Ok(fs::write(&self.0, "")?)
    }
}

impl Drop for Trigger {
    fn drop(&mut self) {
        // It may not have been pulled.
        let _removed = fs::remove_file(&self.0);
    }
}

async fn commserver(url: &str, variables: &[(&str, &str)]) -> Result<Process> {
    let args = [
        "commserver",
        "--coordinator",
        url,
        "--rtc-listen",
        "127.0.0.1:0",
        "--insecure",
    ];
    Process::start_with(&args, SECRET, variables).await
}

fn alias(process: &Process) -> Result<u64> {
    let (_, rest) = process.ready().split_once("alias=").context("an alias")?;
    Ok(rest.trim_end_matches(')').parse()?)
}

/// Notices sooner than in real life that its server is gone.
fn impatient(url: &str) -> Result<Config> {
    Ok(Config {
        idle_timeout: Duration::from_secs(3),
        ..member::config(url)?
    })
}

async fn hears(from: &Member, to: &mut Member, body: &'static str) -> Result<()> {
    from.publish(TOPIC, Lane::Reliable, body).await?;
    assert_eq!(to.message().await?.body, body);
    Ok(())
}

async fn join(config: &Config, server: u64) -> Result<Member> {
    for _ in 0..100 {
        let member = Member::join_as(config).await?;
        if member.server() == Some(server) {
            member.client.subscribe(&[TOPIC]).await?;
            return Ok(member);
        }
        member.client.close().await;
    }
    anyhow::bail!("nobody was sent to {server}")
}

#[tokio::test]
async fn a_commserver_that_panics_is_gone_at_once_and_its_clients_go_elsewhere() -> Result<()> {
    let trigger = Trigger::new("commserver");
    let coordinator = ["coordinator", "--listen", "127.0.0.1:0", "--insecure"];
    let coordinator = Process::start(&coordinator, SECRET).await?;
    let url = url(&coordinator)?;
    let doomed = commserver(&url, &[trigger.variable()]).await?;
    let other = commserver(&url, &[]).await?;
    let config = impatient(&url)?;
    let mut bystanders = [
        join(&config, alias(&other)?).await?,
        join(&config, alias(&other)?).await?,
    ];
    let mut moved = join(&config, alias(&doomed)?).await?;
    trigger.pull()?;
    assert_eq!(doomed.signal().await?, SIGABRT);
    let [ann, bob] = &mut bystanders;
    hears(ann, bob, "we notice nothing").await?;
    moved.connected().await?;
    assert_eq!(moved.server(), Some(alias(&other)?));
    // Confirmed by the new server before anything is said.
    moved.client.flush().await?;
    hears(ann, &mut moved, "you are back").await?;
    for process in [other, coordinator] {
        process.kill().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_coordinator_that_panics_is_gone_at_once_and_packets_flow_on() -> Result<()> {
    let trigger = Trigger::new("coordinator");
    let start = ["coordinator", "--listen", "127.0.0.1:0", "--insecure"];
    let coordinator = Process::start_with(&start, SECRET, &[trigger.variable()]).await?;
    let url = url(&coordinator)?;
    let server = commserver(&url, &[]).await?;
    let ann = join(&impatient(&url)?, alias(&server)?).await?;
    let mut bob = join(&impatient(&url)?, alias(&server)?).await?;
    trigger.pull()?;
    assert_eq!(coordinator.signal().await?, SIGABRT);
    hears(&ann, &mut bob, "still here").await?;
    // Another one in its place takes newcomers.
    let listen = url.trim_start_matches("ws://");
    let again = ["coordinator", "--listen", listen, "--insecure"];
    let again = Process::start(&again, SECRET).await?;
    let newcomer = join(&impatient(&url)?, alias(&server)?).await?;
    hears(&newcomer, &mut bob, "hello").await?;
    for process in [server, again] {
        process.kill().await?;
    }
    Ok(())
}

fn url(coordinator: &Process) -> Result<String> {
    let words = coordinator.ready().split(' ');
    let mut urls = words.filter(|word| word.starts_with("ws://"));
    urls.next().map(str::to_owned).context("its address")
}
