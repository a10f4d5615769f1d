//! `broker pub` and `broker sub`.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use auth::SharedSecret;
use client::Lane;
use serde_json::{Value, json};
use tests::{
    cluster::{Cluster, Setup},
    member::Member,
};

use crate::program::Program;

const TOPIC: &str = "plaza/chat";

/// `broker sub` that has subscribed.
async fn listener(url: &str, args: &[&str]) -> Result<Program> {
    let mut all = vec!["sub", "--coordinator", url];
    all.extend(args);
    let mut program = Program::start(&all)?;
    program.has_said("subscribed to").await?;
    Ok(program)
}

async fn publish(url: &str, args: &[&str]) -> Result<()> {
    let mut all = vec!["pub", "--coordinator", url];
    all.extend(args);
    Program::run(&all).await?.with(0)?;
    Ok(())
}

#[tokio::test]
async fn what_one_publishes_the_other_prints() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let url = cluster.url();
    let mut sub = listener(&url, &["--count", "2", TOPIC]).await?;
    cluster.subscribed(1).await?;
    publish(&url, &[TOPIC, "hello"]).await?;
    ensure!(sub.line().await? == "hello");
    publish(&url, &[TOPIC, ""]).await?;
    let ended = sub.ended().await?.with(0)?;
    ensure!(ended.output == "\n", "{ended:?}");
    cluster.stop().await
}

#[tokio::test]
async fn lines_of_standard_input_arrive_in_order() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let url = cluster.url();
    let mut sub = listener(&url, &["--count", "200", TOPIC]).await?;
    let mut publisher = Program::start(&["pub", "--coordinator", &url, TOPIC, "-"])?;
    // One at a time, and many at once.
    publisher.write(b"0\n").await?;
    ensure!(sub.line().await? == "0");
    let rest: String = (1..200).map(|n| format!("{n}\n")).collect();
    publisher.write(rest.as_bytes()).await?;
    publisher.ended().await?.with(0)?;
    let ended = sub.ended().await?.with(0)?;
    ensure!(ended.output == rest, "{ended:?}");
    cluster.stop().await
}

#[tokio::test]
async fn json_tells_everything() -> Result<()> {
    let setup = Setup {
        clients: Arc::new(SharedSecret::new(&"a long enough secret".into())),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let url = cluster.url();
    let token = [("BROKER_TOKEN", "ann:a long enough secret")];
    let args = ["sub", "--coordinator", &url, "--json", TOPIC, "plaza/other"];
    let mut sub = Program::start_with(&args, &token)?;
    sub.has_said("subscribed to plaza/chat, plaza/other")
        .await?;
    let file = std::env::temp_dir().join(format!("body-{}", std::process::id()));
    std::fs::write(&file, [0xff, 0x00])?;
    let path = file.display().to_string();
    for args in [
        &["--identity", "hello"][..],
        &["--lane", "unreliable", "--file", &path],
    ] {
        let mut all = vec!["pub", "--coordinator", &url, TOPIC];
        all.extend(args);
        Program::start_with(&all, &token)?.ended().await?.with(0)?;
    }
    std::fs::remove_file(&file)?;
    let mut next = async || -> Result<Value> {
        let mut message: Value = serde_json::from_str(&sub.line().await?)?;
        let from = message.as_object_mut().and_then(|m| m.remove("from"));
        ensure!(from.is_some_and(|from| from.is_u64()));
        Ok(message)
    };
    let expected = json!({
        "topic": TOPIC, "lane": "reliable", "seq": 1, "body": "hello",
        "identity": { "name": "ann", "role": 1 },
    });
    ensure!(next().await? == expected);
    let expected = json!({
        "topic": TOPIC, "lane": "unreliable", "seq": 1, "body_base64": "/wA=", "identity": null,
    });
    ensure!(next().await? == expected);
    cluster.stop().await
}

#[tokio::test]
async fn repetitions_are_as_many_as_asked_for() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let url = cluster.url();
    let mut sub = listener(&url, &["--identity", TOPIC]).await?;
    publish(
        &url,
        &["--repeat", "3", "--interval", "10ms", TOPIC, "again"],
    )
    .await?;
    for _ in 0..3 {
        let line = sub.line().await?;
        let fields: Vec<&str> = line.split('\t').collect();
        ensure!(fields[1..] == ["-", "again"], "{line}");
        ensure!(fields[0].parse::<u64>().is_ok(), "{line}");
    }
    sub.signal("-INT").await?;
    let ended = sub.ended().await?.with(0)?;
    ensure!(ended.output.is_empty(), "no more: {ended:?}");
    cluster.stop().await
}

#[tokio::test]
async fn a_listener_comes_back_and_says_so() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let url = cluster.url();
    let mut sub = listener(&url, &[TOPIC]).await?;
    cluster.stop_commserver(0).await?;
    sub.has_said("lost the server: ShuttingDown").await?;
    cluster.restart_commserver(0).await?;
    sub.has_said("connected again to server").await?;
    cluster.subscribed(1).await?;
    publish(&url, &[TOPIC, "back"]).await?;
    ensure!(sub.line().await? == "back");
    cluster.stop().await
}

#[tokio::test]
async fn nobody_reading_is_no_error() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let url = cluster.url();
    let mut sub = listener(&url, &[TOPIC]).await?;
    let ann = Member::join(&url).await?;
    ann.publish(TOPIC, Lane::Reliable, "one").await?;
    ensure!(sub.line().await? == "one");
    sub.stop_reading();
    ann.publish(TOPIC, Lane::Reliable, "two").await?;
    let ended = sub.ended().await?.with(0)?;
    ensure!(ended.errors.is_empty(), "{ended:?}");
    cluster.stop().await
}

#[tokio::test]
async fn an_interrupt_ends_it_as_documented() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let url = cluster.url();
    for (signal, args, code) in [
        ("-INT", &[TOPIC][..], 0),
        ("-TERM", &[TOPIC], 0),
        ("-INT", &["--count", "1", TOPIC], 130),
    ] {
        let sub = listener(&url, args).await?;
        sub.signal(signal).await?;
        sub.ended().await?.with(code)?;
    }
    let mut waits = Program::start(&["pub", "--coordinator", &url, TOPIC, "-"])?;
    waits.has_said("connected to server").await?;
    waits.signal("-INT").await?;
    let input = waits.input.take();
    waits.ended().await?.with(130)?;
    drop(input);
    cluster.stop().await
}

#[tokio::test]
async fn a_wrong_token_is_told_and_not_tried_again() -> Result<()> {
    let setup = Setup {
        clients: Arc::new(SharedSecret::new(&"a long enough secret".into())),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let url = cluster.url();
    for args in [
        &["sub", "--coordinator", &url, "--token", "wrong", TOPIC][..],
        &["pub", "--coordinator", &url, "--token", "wrong", TOPIC, "x"],
        &["sub", "--coordinator", &url, TOPIC],
    ] {
        let ended = Program::run(args).await?.with(1)?;
        ensure!(
            ended.errors.contains("refused: Unauthenticated"),
            "{ended:?}"
        );
        ensure!(!ended.errors.contains("wrong"), "{ended:?}");
    }
    cluster.stop().await
}

#[tokio::test]
async fn without_a_server_it_gives_up_in_time_and_says_why() -> Result<()> {
    let cluster = Cluster::start(0).await?;
    let nowhere = "ws://127.0.0.1:9";
    for (url, why) in [
        (nowhere, "the coordinator cannot be reached"),
        (&*cluster.url(), "the coordinator has none"),
    ] {
        let args = [
            "pub",
            "--coordinator",
            url,
            "--timeout",
            "500ms",
            TOPIC,
            "x",
        ];
        let ended = Program::run(&args).await?.with(1)?;
        ensure!(ended.errors.contains("no server within 500ms"), "{ended:?}");
        ensure!(ended.errors.contains(why), "{ended:?}");
        ensure!(ended.output.is_empty(), "{ended:?}");
    }
    let quiet = [
        "pub",
        "-q",
        "--coordinator",
        nowhere,
        "--timeout",
        "1s",
        TOPIC,
        "x",
    ];
    let ended = Program::run(&quiet).await?.with(1)?;
    ensure!(
        ended.errors.lines().count() == 1,
        "the error alone: {ended:?}"
    );
    cluster.stop().await
}

#[tokio::test]
async fn what_the_server_has_not_confirmed_is_not_published() -> Result<()> {
    let secret = [("BROKER_CLUSTER_SECRET", "0123456789abcdef")];
    let args = ["coordinator", "--listen", "127.0.0.1:0", "--insecure"];
    let mut coordinator = Program::start_with(&args, &secret)?;
    let ready = coordinator.line().await?;
    let url = ready
        .strip_prefix("coordinator ready: ")
        .and_then(|addresses| addresses.split(' ').next())
        .context(ready.clone())?;
    let args = [
        "commserver",
        "--coordinator",
        url,
        "--insecure",
        "--rtc-listen",
        "127.0.0.1:0",
    ];
    let mut server = Program::start_with(&args, &secret)?;
    server.line().await?;

    let args = ["pub", "--coordinator", url, "--timeout", "5s", TOPIC, "-"];
    let mut publisher = Program::start(&args)?;
    publisher.write(b"one\n").await?;
    publisher.has_said("connected to server").await?;
    // Frozen, it reads nothing more, and nobody can tell.
    server.signal("-STOP").await?;
    publisher.write(b"two\n").await?;
    let ended = publisher.ended().await?.with(1)?;
    ensure!(
        ended.errors.contains("has not confirmed within 5s"),
        "{ended:?}"
    );
    server.signal("-CONT").await
}

#[tokio::test]
async fn what_is_too_large_is_not_published() -> Result<()> {
    let setup = Setup {
        commserver: Arc::new(|config| config.limits.packet_bytes_max = 1_000),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let large = "x".repeat(1_000);
    let args = ["pub", "--coordinator", &cluster.url(), TOPIC, &large];
    let ended = Program::run(&args).await?.with(1)?;
    ensure!(ended.errors.contains("the server takes 1000"), "{ended:?}");
    cluster.stop().await
}

#[tokio::test]
async fn bad_usage_is_told_before_anything_is_tried() -> Result<()> {
    let url = "ws://127.0.0.1:9";
    for args in [
        &["sub", TOPIC][..],
        &["sub", "--coordinator", url],
        &["sub", "--coordinator", url, "not a topic"],
        &["sub", "--coordinator", url, "$reserved"],
        &["sub", "--coordinator", url, "--count", "0", TOPIC],
        &["sub", "--coordinator", "http://127.0.0.1:9", TOPIC],
        &["pub", "--coordinator", url, TOPIC],
        &["pub", "--coordinator", url, "", "body"],
        &["pub", "--coordinator", url, TOPIC, "body", "--file", "f"],
        &["pub", "--coordinator", url, TOPIC, "--file", "/nowhere"],
        &["pub", "--coordinator", url, TOPIC, "-", "--repeat", "2"],
        &["pub", "--coordinator", url, TOPIC, "x", "--lane", "fast"],
        &["pub", "--coordinator", url, TOPIC, "x", "--interval", "1"],
        &["pub", "--coordinator", "not a url", TOPIC, "x"],
    ] {
        let ended = Program::run(args).await?;
        ensure!(ended.code == Some(64), "{args:?} ended {ended:#?}");
        ensure!(!ended.errors.is_empty() && ended.output.is_empty());
    }
    Ok(())
}
