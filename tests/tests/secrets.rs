//! Secrets are in no log, no error and no `Debug`: a cluster of processes that say all that they can
//! say, everything that they are told, and a look for each secret in what they said.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tests::PATIENCE;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

const CLUSTER: &str = "cluster-secret-7f3a9c51e2";
const CLIENT: &str = "client-secret-0b6d84ffa1";
const ADMIN: &str = "admin-secret-55c1d0e87b";
const WRONG: &str = "wrong-secret-9e27bb6410";
const TOPIC: &str = "plaza/1";

/// A program that says all that it can say.
struct Told {
    name: &'static str,
    child: Child,
    /// What it has said when it was ready.
    ready: String,
}

fn program() -> Result<std::path::PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(|deps| deps.parent());
    Ok(folder.context("a build folder")?.join("broker"))
}

fn command(args: &[&str], variables: &[(&str, &str)]) -> Result<Command> {
    let mut command = Command::new(program()?);
    command
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        // Servers read the one, the other programs the other.
        .env("BROKER_LOG__FILTER", "trace")
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

impl Told {
    /// Starts a server and waits for its first line.
    async fn start(
        name: &'static str,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<(Self, tokio::task::JoinHandle<String>)> {
        let mut child = command(args, variables)?.spawn().context(name)?;
        let mut errors = child.stderr.take().context("a pipe")?;
        #[expect(clippy::disallowed_methods, reason = "awaited at the end of the test")]
        let log = tokio::spawn(async move {
            let mut text = Vec::new();
            // What could not be read is not there to be looked at.
            errors.read_to_end(&mut text).await.ok();
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        let ready = timeout(PATIENCE, lines.next_line()).await;
        let ready = ready.context("not ready in time")??.context(name)?;
        child.stdout = None;
        Ok((Self { name, child, ready }, log))
    }

    /// Asks it to end, and yields everything that it has said.
    async fn end(mut self, log: tokio::task::JoinHandle<String>) -> Result<(&'static str, String)> {
        let id = self.child.id().context("it has ended already")?.to_string();
        Command::new("kill").args(["-TERM", &id]).status().await?;
        timeout(PATIENCE, self.child.wait())
            .await
            .context(self.name)??;
        Ok((self.name, format!("{}\n{}", self.ready, log.await?)))
    }
}

/// Runs a client to its end.
async fn run(
    name: &'static str,
    args: &[&str],
    variables: &[(&str, &str)],
) -> Result<(&'static str, String)> {
    let output = timeout(PATIENCE, command(args, variables)?.output());
    let output = output.await.context(name)??;
    let text = [output.stdout, output.stderr].concat();
    Ok((name, String::from_utf8_lossy(&text).into_owned()))
}

#[tokio::test]
async fn secrets_are_in_no_log() -> Result<()> {
    let secrets = [
        ("BROKER_CLUSTER_SECRET", CLUSTER),
        ("BROKER_CLIENT_SECRET", CLIENT),
        ("BROKER_ADMIN_SECRET", ADMIN),
    ];
    let mut said = Vec::new();
    for program in ["coordinator", "commserver"] {
        let args = [
            program,
            "--print-config",
            "--coordinator",
            "ws://127.0.0.1:1",
        ];
        let args = if program == "commserver" {
            &args[..]
        } else {
            &args[..2]
        };
        said.push(run("--print-config", args, &secrets).await?);
    }
    let args = ["coordinator", "--listen", "127.0.0.1:0"];
    let (coordinator, coordinator_log) = Told::start("coordinator", &args, &secrets).await?;
    let url = coordinator
        .ready
        .split(' ')
        .find(|word| word.starts_with("ws://"));
    let url = url.context("an address")?.to_owned();
    let args = [
        "commserver",
        "--coordinator",
        &url,
        "--rtc-listen",
        "127.0.0.1:0",
    ];
    let (commserver, commserver_log) = Told::start("commserver", &args, &secrets).await?;
    ensure!(
        commserver.ready.contains("(reached"),
        "{}",
        commserver.ready
    );

    let named = format!("ann:{CLIENT}");
    for (name, token) in [("pub", named.as_str()), ("pub, refused", WRONG)] {
        let args = ["pub", "--coordinator", &url, TOPIC, "hello"];
        said.push(run(name, &args, &[("BROKER_TOKEN", token)]).await?);
    }
    let args = ["doctor", "--coordinator", &url];
    said.push(run("doctor", &args, &[("BROKER_TOKEN", CLIENT)]).await?);
    // A server that does not belong, and one whose secret is too short to be one.
    let stranger = [
        ("BROKER_CLUSTER_SECRET", WRONG),
        ("BROKER_CLIENT_SECRET", CLIENT),
    ];
    let args = [
        "commserver",
        "--coordinator",
        &url,
        "--rtc-listen",
        "127.0.0.1:0",
    ];
    let (stranger, stranger_log) = Told::start("stranger", &args, &stranger).await?;
    let short = [("BROKER_CLUSTER_SECRET", "short-5c0e")];
    said.push(run("short", &["coordinator", "--insecure"], &short).await?);

    said.push(stranger.end(stranger_log).await?);
    said.push(commserver.end(commserver_log).await?);
    said.push(coordinator.end(coordinator_log).await?);
    look_through(&said, &named)
}

/// Looks for everything that was secret in everything that was said.
fn look_through(said: &[(&str, String)], named: &str) -> Result<()> {
    let encoded = [CLIENT, named, WRONG].map(encode);
    let looked_for = [CLUSTER, CLIENT, ADMIN, WRONG, "short-5c0e"];
    for (name, text) in said {
        for secret in looked_for
            .into_iter()
            .chain(encoded.iter().map(String::as_str))
        {
            ensure!(!text.contains(secret), "{name} says {secret}:\n{text}");
        }
        // Tokens that were made on the way: signed ones begin like this, whatever is in them.
        ensure!(!text.contains("eyJ"), "{name} says a token:\n{text}");
    }
    // They did say something.
    let said = |name: &str| {
        let found = said.iter().find(|(found, _)| *found == name);
        found.map_or(0, |(_, text)| text.len())
    };
    for name in ["coordinator", "commserver", "pub", "doctor"] {
        ensure!(said(name) > 200, "{name} says nothing: {}", said(name));
    }
    Ok(())
}

/// As a token travels in a WebSocket's subprotocols.
fn encode(token: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(token)
}

#[test]
fn configurations_show_no_secret() -> Result<()> {
    let secret = auth::ClusterSecret::parse(CLUSTER)?;
    let clients = std::sync::Arc::new(auth::SharedSecret::new(&CLIENT.into()));
    let mut coordinator = coordinator::Config::new(clients.clone(), secret.clone());
    coordinator.admin_secret = Some(auth::SharedSecret::new(&ADMIN.into()));
    let commserver = commserver::Config::new("ws://h".parse()?, clients, secret);
    let client = client::Config::new("ws://h".parse()?)
        .with_token(CLIENT)
        .with_resume_token(WRONG);
    let shown = format!("{coordinator:?} {commserver:?} {client:?}");
    for secret in [CLUSTER, CLIENT, ADMIN, WRONG] {
        ensure!(!shown.contains(secret), "{shown}");
    }
    ensure!(shown.len() > 1_000, "{shown}");
    Ok(())
}
