//! Abuse of every kind at once, beside two who talk to each other: not one of their packets is lost,
//! and neither loses its connection.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use client::Event;
use futures_util::{SinkExt as _, StreamExt as _};
use proto::{ConnectMessage, Lane, Message as _, MessageType, WelcomeMessage};
use shard::budget;
use tests::{
    cluster::{Cluster, Setup},
    member::Member,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpStream, UdpSocket},
    task::JoinSet,
};
use tokio_tungstenite::{connect_async, tungstenite};

const QUIET: &str = "quiet";

/// What a client may send; the loud one sends a hundred times as much.
const BUDGET: budget::Config = budget::Config {
    packets_per_s: 100,
    bytes_per_s: 0,
    burst: Duration::from_secs(1),
};

/// Connections that ask for a WebSocket, and never end the request.
async fn half_open(cluster: &Cluster, count: usize) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(cluster.addr()).await?;
        let begun = b"GET /connect HTTP/1.1\r\nUpgrade: websocket\r\n";
        stream.write_all(begun).await?;
        streams.push(stream);
    }
    Ok(streams)
}

/// Clients that ask the server for an offer, and do nothing with it until they are dropped.
async fn hanging(url: String, server: u64, count: usize) -> Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        let (mut socket, _) = connect_async(format!("{url}/connect")).await?;
        let welcome = socket
            .next()
            .await
            .map(|message| message.map(tungstenite::Message::into_data));
        let welcome = WelcomeMessage::decode(welcome.unwrap_or_else(|| Ok(bytes::Bytes::new()))?)?;
        let connect = ConnectMessage {
            r#type: MessageType::Connect.into(),
            from_alias: welcome.alias,
            to_alias: server,
            from_role: 0,
        };
        let connect = tungstenite::Message::Binary(connect.encode_to_vec().into());
        socket.send(connect).await?;
        sockets.push(socket);
    }
    std::future::pending().await
}

/// Datagrams of every first byte, as fast as they go.
async fn garbage(to: std::net::SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    for round in 0_u64.. {
        let datagram = [round.to_le_bytes()[0]; 200];
        // A full socket is what this is about.
        socket.send_to(&datagram, to).await.ok();
        if round % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// Publishes far more than it may.
async fn loud(member: Member) -> Result<()> {
    loop {
        for _ in 0..100 {
            // What is over its budget is dropped, here or there.
            member.publish("loud", Lane::Unreliable, "!").await.ok();
        }
        tokio::task::yield_now().await;
    }
}

/// Subscribes to many topics and to none, again and again.
async fn restless(member: Member) -> Result<()> {
    let topics: Vec<String> = (0..500).map(|n| format!("restless/{n}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    loop {
        member.client.subscribe(&topics).await?;
        member.client.unsubscribe(&topics).await?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_behaves_notices_nothing() -> Result<()> {
    let setup = Setup {
        commserver: Arc::new(|config| config.rtc.unreliable_budget = BUDGET),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let mut hearer = Member::join(&cluster.url()).await?;
    hearer.client.subscribe(&[QUIET]).await?;
    let speaker = Member::join(&cluster.url()).await?;
    let (loud_one, first, second) = (
        Member::join(&cluster.url()).await?,
        Member::join(&cluster.url()).await?,
        Member::join(&cluster.url()).await?,
    );

    let server = cluster.commserver(0);
    let _half_open = half_open(&cluster, 100).await?;
    let mut abuse = JoinSet::new();
    abuse.spawn(hanging(cluster.url(), server.alias, 50));
    abuse.spawn(garbage(server.rtc_addr));
    abuse.spawn(loud(loud_one));
    abuse.spawn(restless(first));
    abuse.spawn(restless(second));
    server
        .wait_for("hanging handshakes", |stats| stats.handshakes == 50)
        .await?;

    for number in 0..100 {
        let body = number.to_string();
        speaker.publish(QUIET, Lane::Reliable, body.clone()).await?;
        match hearer.expect().await? {
            Event::Message(message) => ensure!(message.body == body, "{message:?}"),
            other => anyhow::bail!("{other:?}"),
        }
    }
    // All of it went on all the time.
    ensure!(abuse.try_join_next().is_none(), "an abuser has given up");
    abuse.shutdown().await;
    let metrics = server.metrics().await?;
    let unknown = metrics.transport_drops("unknown_protocol");
    ensure!(unknown > 200, "garbage is counted: {unknown}");
    ensure!(metrics.transport_drops("rate_limited") > 0);
    ensure!(hearer.client.stats().connects == 1 && speaker.client.stats().connects == 1);
    cluster.stop().await
}
