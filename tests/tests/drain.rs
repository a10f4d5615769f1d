//! A commserver that is told to go: who can goes elsewhere, who cannot is closed at last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use auth::ClusterSecret;
use commserver::Drain;
use proto::Lane;
use tests::PATIENCE;
use tests::cluster::{Cluster, Setup};
use tests::double::{Client, Manner};
use tests::member::Member;
use tests::process::Process;

const TOPIC: &str = "plaza/1";
const SECRET: &str = "the secret of the whole cluster";

fn setup(drain: Drain) -> Result<Setup> {
    Ok(Setup {
        secret: ClusterSecret::parse(SECRET)?,
        commserver: Arc::new(move |config| config.drain = drain),
        ..Setup::default()
    })
}

/// A client that has never heard of going elsewhere, at this server.
async fn client_2019(cluster: &Cluster, server: u64) -> Result<Client> {
    let manner = Manner {
        server: Some(server),
        ..Manner::default()
    };
    let mut client = Client::join_as(&cluster.url(), &manner).await?;
    client.auth(b"").await;
    client.settle().await?;
    Ok(client)
}

#[tokio::test]
async fn who_can_goes_elsewhere_under_its_alias() -> Result<()> {
    let drain = Drain {
        // More than anybody here has patience for: nobody is closed by the deadline.
        timeout: PATIENCE * 10,
        within: Duration::from_millis(200),
    };
    let mut cluster = setup(drain)?.start(2).await?;
    let [here, there] = cluster.aliases()[..] else {
        bail!("two servers")
    };
    let mut moves = Member::join_server(&cluster.url(), here).await?;
    let mut stays = Member::join_server(&cluster.url(), there).await?;
    let alias = moves.alias();
    for member in [&moves, &stays] {
        member.client.subscribe(&[TOPIC]).await?;
    }
    cluster.subscribed(2).await?;

    cluster.stop_commserver(0).await?;
    assert_eq!(moves.connected().await?, there);
    assert_eq!(moves.alias(), alias);
    moves.settle().await?;
    stays.settle().await?;
    stays
        .publish(TOPIC, Lane::Reliable, "are you here?")
        .await?;
    let message = moves.message().await?;
    assert_eq!(message.body, "are you here?");
    moves.publish(TOPIC, Lane::Reliable, "as always").await?;
    let message = stays.message().await?;
    assert_eq!(
        (message.from_alias, &message.body[..]),
        (alias, &b"as always"[..])
    );
    cluster.stop().await
}

#[tokio::test]
async fn who_cannot_be_asked_stays_until_the_deadline() -> Result<()> {
    let drain = Drain {
        timeout: Duration::from_secs(1),
        within: Duration::ZERO,
    };
    let mut cluster = setup(drain)?.start(2).await?;
    let mut old = client_2019(&cluster, cluster.aliases()[0]).await?;
    let told = Instant::now();
    cluster.stop_commserver(0).await?;
    assert!(told.elapsed() >= drain.timeout, "{:?}", told.elapsed());
    old.closed().await?;
    cluster
        .wait_for("the other alone", |stats| stats.links == 0)
        .await?;
    cluster.stop().await
}

#[tokio::test]
async fn nobody_waits_where_there_is_nowhere_to_go() -> Result<()> {
    let drain = Drain {
        // More than anybody here has patience for.
        timeout: PATIENCE * 10,
        within: Duration::ZERO,
    };
    let cluster = setup(drain)?.start(1).await?;
    let mut old = client_2019(&cluster, cluster.aliases()[0]).await?;
    cluster.stop().await?;
    old.closed().await?;
    Ok(())
}

/// A commserver as a process of its own, linked with the one of the cluster; and its alias.
async fn start_process(cluster: &Cluster, drain_timeout: &str) -> Result<(Process, u64)> {
    let url = cluster.url();
    let args = ["commserver", "--insecure", "--rtc-listen", "127.0.0.1:0"];
    let args = [&args[..], &["--coordinator", &url]].concat();
    let drain = [
        ("BROKER_DRAIN__TIMEOUT", drain_timeout),
        ("BROKER_DRAIN__WITHIN", "0s"),
    ];
    let process = Process::start_with(&args, SECRET, &drain).await?;
    cluster.wait_for("a link", |stats| stats.links == 1).await?;
    let alias = process.ready().split_once("alias=");
    let alias = alias.and_then(|(_, rest)| rest.strip_suffix(')'));
    let alias = alias.context("its alias")?.parse()?;
    Ok((process, alias))
}

#[tokio::test]
async fn a_process_that_has_drained_exits_with_0() -> Result<()> {
    let cluster = setup(Drain::default())?.start(1).await?;
    let (process, alias) = start_process(&cluster, "1s").await?;
    let mut old = client_2019(&cluster, alias).await?;
    process.terminate().await?;
    assert_eq!(process.exit_code().await?, 0);
    old.closed().await?;
    cluster.stop().await
}

#[tokio::test]
async fn a_second_signal_does_not_wait() -> Result<()> {
    let cluster = setup(Drain::default())?.start(1).await?;
    let (process, alias) = start_process(&cluster, "1h").await?;
    let mut old = client_2019(&cluster, alias).await?;
    process.terminate().await?;
    // The first one has been taken as soon as nobody is let in any more.
    while client_2019(&cluster, alias).await.is_ok() {}
    assert_eq!(old.settle().await?, [], "who is here is served");
    process.terminate().await?;
    assert_eq!(process.exit_code().await?, 130);
    cluster.stop().await
}
