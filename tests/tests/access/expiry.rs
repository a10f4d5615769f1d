use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use auth::jwt::claims::{Claims, Seconds};
use proto::{Lane, Reason};
use tests::member::{self, Member};

use crate::{claims, join, setup, sign};

/// A token that soon ends.
fn short(name: &str) -> Result<String> {
    sign(&Claims {
        exp: Some(Seconds::of(SystemTime::now() + Duration::from_secs(5))),
        ..claims(name)
    })
}

#[tokio::test]
async fn a_client_shows_new_tokens_and_notices_nothing_else() -> Result<()> {
    let cluster = setup()?.start(1).await?;
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let config = member::config(&cluster.url())?.with_token_provider(move || {
        count.fetch_add(1, Ordering::Relaxed);
        let token = short("ann").map_err(|error| error.to_string());
        async move { token }
    });
    let mut ann = Member::join_as(&config).await?;
    let alias = ann.alias();
    ann.client.subscribe(&["a"]).await?;
    let bob = join(&cluster, &claims("bob")).await?;
    for renewals in 1..=3 {
        let renewed = |stats: &commserver_core::Stats| stats.renewals >= renewals;
        cluster.wait_for("a new token", renewed).await?;
        bob.publish("a", Lane::Reliable, "hello").await?;
        // Were there an event beside the messages, this would fail.
        ensure!(ann.message().await?.body == "hello");
    }
    ensure!(ann.alias() == alias);
    let asked = asked.load(Ordering::Relaxed);
    ensure!(asked >= 4, "{asked}: before the dial, and for each renewal");
    cluster.stop().await
}

#[tokio::test]
async fn a_client_that_has_no_newer_token_stops() -> Result<()> {
    let cluster = setup()?.start(1).await?;
    let config = member::config(&cluster.url())?.with_token(short("ann")?);
    let mut ann = Member::join_as(&config).await?;
    let mut bob = join(&cluster, &claims("bob")).await?;
    bob.client.subscribe(&["a"]).await?;
    let reason = ann.stopped().await?;
    // It has tried once more with what it has.
    ensure!(reason == Reason::Unauthenticated, "{reason:?}");
    cluster
        .wait_for("its end", |stats| stats.clients == 1)
        .await?;
    bob.settle().await?;
    cluster.stop().await
}
