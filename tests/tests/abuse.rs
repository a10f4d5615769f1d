//! Abuse of every kind at once, beside two who talk to each other: not one of their packets is lost,
//! and neither loses its connection. What it costs them is measured by `cargo xtask bench --abuse`,
//! with the same attacks.

use std::{sync::Arc, time::Duration};

use abuse::{Attack, Done, REGISTERED, Target};
use anyhow::{Context as _, Result, bail, ensure};
use client::Event;
use coordinator::Accounts;
use proto::Lane;
use shard::budget;
use tests::{
    PATIENCE, admin,
    cluster::{Cluster, Setup},
    member::Member,
    metrics::Metrics,
    pki::Folder,
};
use tokio::{task::JoinSet, time::timeout};

const QUIET: &str = "quiet";

/// What a client may send; the loud one sends a hundred times as much.
const BUDGET: budget::Config = budget::Config {
    packets_per_s: 100,
    bytes_per_s: 0,
    burst: Duration::from_secs(1),
};

const ATTACKS: [Attack; 6] = [
    Attack::HalfOpen(100),
    Attack::Handshakes(50),
    Attack::Garbage(20_000),
    Attack::Loud(10_000),
    Attack::Logins(16),
    Attack::Topics {
        clients: 4,
        topics: 2_000,
    },
];

/// Where somebody is registered.
async fn cluster(folder: &Folder) -> Result<Cluster> {
    let store = folder.path().join("clients");
    let setup = Setup {
        coordinator: Arc::new(move |config| {
            let mut accounts = Accounts::new(store.clone());
            accounts.self_registration = true;
            config.accounts = Some(accounts);
        }),
        commserver: Arc::new(|config| config.rtc.unreliable_budget = BUDGET),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let body = format!(
        r#"{{"clientID":"{REGISTERED}","authKey":"{}"}}"#,
        "k".repeat(32)
    );
    let answer = admin::post(cluster.addr(), "/v1/auth/register", &body).await?;
    ensure!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    Ok(cluster)
}

/// Waits until it is under way.
async fn under_way(attack: Attack, done: &Done, abuse: &mut JoinSet<Result<()>>) -> Result<()> {
    let begun = async {
        while done.count() < attack.under_way() {
            if let Some(ended) = abuse.try_join_next() {
                bail!("an abuser has given up: {ended:?}");
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let begun = timeout(PATIENCE, begun).await;
    begun.with_context(|| format!("{attack:?}: {} done", done.count()))?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_behaves_notices_nothing() -> Result<()> {
    let folder = Folder::new()?;
    let cluster = cluster(&folder).await?;
    let mut hearer = Member::join(&cluster.url()).await?;
    hearer.client.subscribe(&[QUIET]).await?;
    let speaker = Member::join(&cluster.url()).await?;

    let server = cluster.commserver(0);
    let target = Target {
        coordinator: cluster.url().parse()?,
        rtc: server.rtc_addr,
        token: None,
    };
    let mut abuse = JoinSet::new();
    for attack in ATTACKS {
        let done = Arc::new(Done::default());
        abuse.spawn(attack.run(target.clone(), Arc::clone(&done)));
        under_way(attack, &done, &mut abuse).await?;
    }
    server
        .wait_for("hanging handshakes", |stats| stats.handshakes == 50)
        .await?;

    for number in 0..100 {
        let body = number.to_string();
        speaker.publish(QUIET, Lane::Reliable, body.clone()).await?;
        match hearer.expect().await? {
            Event::Message(message) => ensure!(message.body == body, "{message:?}"),
            other => bail!("{other:?}"),
        }
    }
    // All of it went on all the time.
    ensure!(abuse.try_join_next().is_none(), "an abuser has given up");
    abuse.shutdown().await;
    let metrics = server.metrics().await?;
    for reason in ["unknown_protocol", "unknown_user", "rate_limited"] {
        ensure!(metrics.transport_drops(reason) > 0, "{reason} is counted");
    }
    ensure!(
        metrics.value("broker_rate_pauses_total") > 0,
        "topics have a budget"
    );
    let metrics = Metrics::scrape(cluster.admin_addr()).await?;
    let refused = "coordinator_account_requests_total{request=\"Login\",result=\"Refused\"}";
    ensure!(metrics.value(refused) > 0, "logins are refused");
    ensure!(hearer.client.stats().connects == 1 && speaker.client.stats().connects == 1);
    cluster.stop().await
}
