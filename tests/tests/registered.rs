//! Registered clients through a whole cluster: from a name and a key to a packet that says who sent
//! it, and what becomes of a token that another one has taken the place of.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use auth::{ClusterSecret, Registered, SharedSecret};
use coordinator::Accounts;
use proto::{Lane, Reason};
use tests::PATIENCE;
use tests::cluster::{Cluster, Setup};
use tests::member::{self, Member};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const TOPIC: &str = "plaza/1";
const ADMIN: &str = "the operator's secret";

/// A file that is gone with this value.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tests-accounts-{}-{nth}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

async fn cluster(file: &File) -> Result<Cluster> {
    let secret = ClusterSecret::generate();
    let store = file.0.clone();
    let setup = Setup {
        clients: Arc::new(Registered::new(&secret)),
        secret: secret.clone(),
        coordinator: Arc::new(move |config| {
            let accounts = Accounts::new(store.clone());
            let standing = Arc::clone(&accounts.standing);
            config.clients = Arc::new(Registered::new(&secret).with_standing(standing));
            config.admin_secret = Some(SharedSecret::new(&ADMIN.into()));
            config.accounts = Some(accounts);
        }),
        ..Setup::default()
    };
    setup.start(1).await
}

/// What is answered with this status.
async fn post(cluster: &Cluster, path: &str, body: &str, status: u16) -> Result<String> {
    let mut stream = TcpStream::connect(cluster.addr()).await?;
    let request = format!(
        "POST /v1/auth/{path} HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut response)).await??;
    let expected = format!("HTTP/1.1 {status} ");
    ensure!(response.starts_with(&expected), "{status}: {response}");
    Ok(response)
}

fn named(client: &str) -> String {
    format!(r#"{{"clientID":"{client}","authKey":"the key of {client}, long enough for it"}}"#)
}

async fn log_in(cluster: &Cluster, client: &str) -> Result<String> {
    let response = post(cluster, "login", &named(client), 200).await?;
    let (_, rest) = response
        .split_once(r#""bearerToken":""#)
        .context("a token")?;
    Ok(rest.split('"').next().unwrap_or_default().into())
}

async fn join(cluster: &Cluster, token: &str) -> Result<Member> {
    Member::join_as(&member::config(&cluster.url())?.with_token(token)).await
}

async fn refused(cluster: &Cluster, token: &str) -> Result<Reason> {
    let config = member::config(&cluster.url())?.with_token(token);
    Member::start(&config)?.stopped().await
}

#[tokio::test]
async fn who_logs_in_is_who_has_registered() -> Result<()> {
    let file = File::new();
    let cluster = cluster(&file).await?;
    for client in ["ann", "bob"] {
        post(&cluster, "register", &named(client), 201).await?;
    }
    let ann = join(&cluster, &log_in(&cluster, "ann").await?).await?;
    let mut bob = join(&cluster, &log_in(&cluster, "bob").await?).await?;
    bob.client.subscribe(&[TOPIC]).await?;
    ann.client
        .publish_with_identity(TOPIC, Lane::Reliable, "it is me")
        .await?;
    let identity = bob.message().await?.identity;
    let identity = identity.context("an identity")?;
    ensure!(identity.bytes == "ann", "{identity:?}");
    cluster.stop().await
}

#[tokio::test]
async fn one_token_lets_in_the_last_one() -> Result<()> {
    let file = File::new();
    let mut cluster = cluster(&file).await?;
    post(&cluster, "register", &named("ann"), 201).await?;
    let first = log_in(&cluster, "ann").await?;
    join(&cluster, &first).await?;
    let second = log_in(&cluster, "ann").await?;
    ensure!(refused(&cluster, &first).await? == Reason::Unauthenticated);
    join(&cluster, &second).await?;

    cluster.stop_coordinator().await?;
    cluster.start_coordinator().await?;
    cluster.welcomed(2).await?;
    ensure!(refused(&cluster, &first).await? == Reason::Unauthenticated);
    let mut ann = join(&cluster, &second).await?;
    post(&cluster, "unregister", r#"{"clientID":"ann"}"#, 200).await?;
    let stopped = ann.stopped().await?;
    ensure!(stopped == Reason::Revoked, "{stopped:?}");
    let again = refused(&cluster, &second).await?;
    ensure!(again == Reason::Unauthenticated, "{again:?}");
    cluster.stop().await
}
