//! Sizes at their limits: of a packet, and of a message on a data channel.

use anyhow::{Result, bail};
use bytes::Bytes;
use client::session::PublishError;
use proto::limits::PACKET_BYTES_MAX;
use proto::{Lane as OurLane, Message as _, Reason};
use tests::cluster::Cluster;
use tests::double::wire::{Kind, Message, Topic};
use tests::double::{Client, Lane, Manner, Packet};
use tests::member::Member;

const TOPIC: &str = "plaza/1";

/// An encoded TOPIC of exactly `size` bytes, and its body.
fn packet(size: usize) -> (Bytes, Bytes) {
    let encode = |body: usize| {
        let body = Bytes::from(vec![b'x'; body]);
        let kind = Kind::Topic.into();
        let topic = Topic {
            kind,
            from_alias: 0,
            topic: TOPIC.to_owned(),
            body: body.clone(),
        };
        (Message::Topic(topic).encode(), body)
    };
    let overhead = encode(size).0.len() - size;
    let fitting = (size - overhead - 4..=size)
        .map(encode)
        .find(|(bytes, _)| bytes.len() == size);
    fitting.unwrap_or_default()
}

async fn joined(cluster: &Cluster, manner: &Manner) -> Result<Client> {
    let client = Client::join_as(&cluster.url(), manner).await?;
    client.auth(b"").await;
    Ok(client)
}

#[tokio::test]
async fn a_packet_up_to_the_limit_passes_and_one_beyond_is_an_error() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let mut sender = joined(&cluster, &Manner::default()).await?;
    let mut reader = joined(&cluster, &Manner::default()).await?;
    reader.subscribe(&[TOPIC]).await;
    reader.settle().await?;
    for lane in [Lane::Reliable, Lane::Unreliable] {
        for size in [PACKET_BYTES_MAX - 1, PACKET_BYTES_MAX] {
            let (bytes, sent) = packet(size);
            assert_eq!(bytes.len(), size);
            sender.send(lane, bytes).await;
            let Packet::Forward { body, .. } = reader.expect().await? else {
                bail!("of {size}")
            };
            assert!(body == sent, "of {size}");
        }
        sender.send(lane, packet(PACKET_BYTES_MAX + 1).0).await;
        let Packet::Foreign { bytes, .. } = sender.expect().await? else {
            bail!("no ERROR")
        };
        let error = proto::ErrorMessage::decode(bytes)?;
        assert_eq!(error.code, u32::from(Reason::PacketTooLarge.number()));
        // The channel stays.
        sender.publish(lane, TOPIC, "small").await;
        let Packet::Forward { body, .. } = reader.expect().await? else {
            bail!("not small")
        };
        assert_eq!(body, "small");
    }
    assert_eq!(sender.settle().await?, []);
    assert_eq!(reader.settle().await?, []);
    cluster.stop().await
}

#[tokio::test]
async fn a_message_beyond_64_kib_closes_its_sender_alone() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let manner = Manner {
        ignores_size_limit: true,
        ..Manner::default()
    };
    let mut sender = joined(&cluster, &manner).await?;
    let mut other = joined(&cluster, &Manner::default()).await?;
    other.subscribe(&[TOPIC]).await;
    other.settle().await?;

    sender.send(Lane::Reliable, packet(65_536).0).await;
    assert!(
        matches!(sender.expect().await?, Packet::Foreign { .. }),
        "an ERROR"
    );
    assert_eq!(sender.settle().await?, [], "at 64 KiB it stays");

    sender.send(Lane::Reliable, packet(65_537).0).await;
    sender.closed().await?;
    cluster
        .wait_for("its close to be counted", |stats| {
            stats.peers_closed.get(&Reason::MessageTooLarge) == Some(&1) && stats.clients == 1
        })
        .await?;
    assert_eq!(other.settle().await?, []);

    let late = joined(&cluster, &Manner::default()).await?;
    late.publish(Lane::Reliable, TOPIC, "still here").await;
    assert!(matches!(other.expect().await?, Packet::Forward { .. }));
    cluster.stop().await
}

#[tokio::test]
async fn our_client_says_so_before_it_sends() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let sender = Member::join(&cluster.url()).await?;
    let mut reader = Member::join(&cluster.url()).await?;
    reader.client.subscribe(&[TOPIC]).await?;
    let mut size = PACKET_BYTES_MAX;
    let largest = loop {
        let body = Bytes::from(vec![7; size]);
        match sender
            .client
            .publish(TOPIC, OurLane::Reliable, body.clone())
            .await
        {
            Ok(_) => break body,
            Err(PublishError::TooLarge { bytes, bytes_max }) => {
                assert_eq!(bytes_max, PACKET_BYTES_MAX);
                assert!(bytes > bytes_max);
            }
            Err(other) => bail!(other),
        }
        size -= 1;
    };
    assert!(largest.len() > PACKET_BYTES_MAX - 64, "{}", largest.len());
    assert!(reader.message().await?.body == largest);
    cluster.stop().await
}

#[tokio::test]
async fn large_packets_cross_links() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let [here, there] = cluster.aliases()[..] else {
        bail!("two servers")
    };
    let sender = joined(
        &cluster,
        &Manner {
            server: Some(here),
            ..Manner::default()
        },
    )
    .await?;
    let mut reader = joined(
        &cluster,
        &Manner {
            server: Some(there),
            ..Manner::default()
        },
    )
    .await?;
    reader.subscribe(&[TOPIC]).await;
    cluster.subscribed(1).await?;
    for lane in [Lane::Reliable, Lane::Unreliable] {
        let (bytes, sent) = packet(PACKET_BYTES_MAX);
        sender.send(lane, bytes).await;
        let Packet::Forward {
            body, from_alias, ..
        } = reader.expect().await?
        else {
            bail!("not forwarded")
        };
        assert!(body == sent && from_alias == sender.alias);
    }
    cluster.stop().await
}
