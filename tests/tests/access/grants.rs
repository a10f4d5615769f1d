use std::num::NonZeroU64;

use anyhow::{Result, bail, ensure};
use auth::jwt::claims::{Claims, LimitClaims};
use client::session::{RequestError, ServerError};
use client::{Event, SubscribeError};
use proto::{Lane, Reason};
use tests::member::Member;

use crate::{claims, join, setup};

fn filters(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

/// The ERROR that comes next.
async fn told(member: &mut Member) -> Result<ServerError> {
    match member.expect().await? {
        Event::Error(error) => Ok(error),
        other => bail!("{other:?} instead of an error"),
    }
}

#[tokio::test]
async fn who_may_not_publish_is_told_and_heard_by_nobody() -> Result<()> {
    let cluster = setup()?.start(2).await?;
    let mut ann = join(
        &cluster,
        &Claims {
            publish: filters(&["room/+/chat"]),
            ..claims("ann")
        },
    )
    .await?;
    let mut bob = join(&cluster, &claims("bob")).await?;
    bob.client
        .subscribe(&["room/1/chat", "room/1/moves"])
        .await?;
    cluster.subscribed(2).await?;
    for lane in Lane::ALL {
        ann.publish("room/1/moves", lane, "no").await?;
        let error = told(&mut ann).await?;
        ensure!(error.reason == Some(Reason::TopicForbidden), "{error:?}");
        ensure!(error.topic == "room/1/moves", "{error:?}");
        ann.publish("room/1/chat", lane, "yes").await?;
        let message = bob.message().await?;
        ensure!(message.body == "yes" && message.lane == lane, "{message:?}");
    }
    ensure!(bob.settle().await?.is_empty(), "nothing else came");
    cluster.stop().await
}

#[tokio::test]
async fn who_may_not_subscribe_gets_the_rest_of_the_list() -> Result<()> {
    let cluster = setup()?.start(1).await?;
    let mut ann = join(
        &cluster,
        &Claims {
            subscribe: filters(&["room/#"]),
            ..claims("ann")
        },
    )
    .await?;
    let bob = join(&cluster, &claims("bob")).await?;
    let refused = ann.client.subscribe(&["hall"]).await;
    let Err(SubscribeError::Failed(RequestError::Refused(error))) = refused else {
        bail!("{refused:?}");
    };
    ensure!(error.reason == Some(Reason::TopicForbidden), "{error:?}");
    ensure!(error.topic == "hall", "{error:?}");
    ann.client.subscribe(&["room/1"]).await?;
    bob.publish("hall", Lane::Reliable, "no").await?;
    bob.publish("room/1", Lane::Reliable, "yes").await?;
    ensure!(ann.message().await?.body == "yes");
    cluster.stop().await
}

#[tokio::test]
async fn a_token_lowers_what_its_bearer_may_send() -> Result<()> {
    let cluster = setup()?.start(1).await?;
    let slow = join(
        &cluster,
        &Claims {
            limits: Some(LimitClaims {
                unreliable_packets_per_s: NonZeroU64::new(5),
                subscriptions_max: Some(1),
                ..LimitClaims::default()
            }),
            ..claims("slow")
        },
    )
    .await?;
    let fast = join(&cluster, &claims("fast")).await?;
    for member in [&slow, &fast] {
        for _ in 0..100 {
            member.publish("a", Lane::Unreliable, "x").await?;
        }
        member.client.flush().await?;
    }
    slow.client.subscribe(&["a"]).await?;
    ensure!(slow.client.subscribe(&["b"]).await.is_err());
    fast.client.subscribe(&["a", "b"]).await?;
    let metrics = cluster.commserver(0).metrics().await?;
    let dropped = metrics.transport_drops("rate_limited");
    // Two seconds' worth passes at once, and a little more in time.
    ensure!((50..=90).contains(&dropped), "{dropped}");
    cluster.stop().await
}
