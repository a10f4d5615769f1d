//! Topics: how many, and of what form.

use anyhow::{Result, ensure};
use proto::Reason;
use tests::double::{Client, Lane};

use crate::scene::{Scene, error};

/// `limits.subscriptions_max`.
pub(crate) async fn of_one_client() -> Result<()> {
    let mut scene = Scene::set(|config| config.limits.subscriptions_max = 3).await?;
    let reason = Reason::TooManySubscriptions;
    three_and_no_fourth(&mut scene, reason, "too_many_subscriptions").await?;
    scene.end().await
}

/// `limits.topics_max`: what the two talk about is one.
pub(crate) async fn of_all() -> Result<()> {
    let mut scene = Scene::set(|config| config.limits.topics_max = 4).await?;
    three_and_no_fourth(&mut scene, Reason::TooManyTopics, "too_many_topics").await?;

    // A topic that is there takes no room, whoever wants it.
    let mut other = scene.offender().await?;
    takes(&mut scene, &mut other, &["a", "b"]).await?;
    scene.end().await
}

/// A client may have three topics of its own; of four the last one is refused, and counted.
async fn three_and_no_fourth(scene: &mut Scene, reason: Reason, drop: &str) -> Result<()> {
    let mut offender = scene.offender().await?;
    let before = scene.counts().await?;
    takes(scene, &mut offender, &["a", "b"]).await?;
    takes(scene, &mut offender, &["a", "b", "c"]).await?;
    scene.ensure_nothing_since(&before).await?;

    offender.subscribe(&["a", "b", "c", "d"]).await;
    ensure!(error(&mut offender).await? == (reason, "d".to_owned()));
    let moved = [
        format!("broker_drops_total{{reason=\"{drop}\"}}"),
        format!("broker_errors_total{{reason=\"{reason:?}\"}}"),
    ];
    scene
        .ensure_since(&before, &moved.each_ref().map(String::as_str))
        .await?;
    ensure!(!hears(scene, &mut offender, "d").await?);
    ensure!(hears(scene, &mut offender, "c").await?);
    Ok(())
}

/// `limits.topic_bytes_max`.
pub(crate) async fn length() -> Result<()> {
    let mut scene = Scene::set(|config| config.limits.topic_bytes_max = 8).await?;
    of_good_form(&mut scene, ["1234567", "12345678"], "123456789").await?;
    scene.end().await
}

/// `limits.topic_levels_max`.
pub(crate) async fn levels() -> Result<()> {
    let mut scene = Scene::set(|config| config.limits.topic_levels_max = 3).await?;
    of_good_form(&mut scene, ["a/b", "a/b/c"], "a/b/c/d").await?;
    scene.end().await
}

/// Two topics may be subscribed and published to, and a third one neither.
async fn of_good_form(scene: &mut Scene, good: [&str; 2], bad: &str) -> Result<()> {
    let mut offender = scene.offender().await?;
    let before = scene.counts().await?;
    takes(scene, &mut offender, &good).await?;
    for topic in good {
        offender.publish(Lane::Reliable, topic, "x").await;
        scene.note(1);
    }
    ensure!(offender.settle().await?.is_empty(), "nothing is wrong yet");
    scene.ensure_nothing_since(&before).await?;

    let expected = (Reason::BadTopic, bad.to_owned());
    let moved = [
        "broker_drops_total{reason=\"bad_topic\"}",
        "broker_errors_total{reason=\"BadTopic\"}",
    ];
    offender.subscribe(&[good[0], bad]).await;
    ensure!(error(&mut offender).await? == expected, "subscribed");
    scene.ensure_since(&before, &moved).await?;

    let before = scene.counts().await?;
    offender.publish(Lane::Reliable, bad, "x").await;
    ensure!(error(&mut offender).await? == expected, "published");
    scene.ensure_since(&before, &moved).await?;
    ensure!(hears(scene, &mut offender, good[0]).await?, "it is there");
    Ok(())
}

/// A client subscribes to these topics, is told nothing, and hears all of them.
async fn takes(scene: &mut Scene, client: &mut Client, topics: &[&str]) -> Result<()> {
    client.subscribe(topics).await;
    let told = client.settle().await?;
    ensure!(told.is_empty(), "{told:?} about {topics:?}");
    for topic in topics {
        ensure!(hears(scene, client, topic).await?, "{topic} of {topics:?}");
    }
    Ok(())
}

/// Whether a client, which is there, hears what is said about this.
async fn hears(scene: &mut Scene, client: &mut Client, topic: &str) -> Result<bool> {
    scene.publish(topic).await?;
    Ok(!client.settle().await?.is_empty())
}
