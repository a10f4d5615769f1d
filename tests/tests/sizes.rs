//! Sizes: of a message on a data channel at its limit, and of the largest packets on their way.

use anyhow::{Result, bail};
use bytes::Bytes;
use client::session::PublishError;
use proto::limits::PACKET_BYTES_MAX;
use proto::{Lane as OurLane, Reason};
use tests::cluster::Cluster;
use tests::double::{Client, Lane, Manner, Packet, wire};
use tests::member::Member;

const TOPIC: &str = "plaza/1";

fn packet(size: usize) -> (Bytes, Bytes) {
    wire::topic_of_size(TOPIC, size)
}

async fn joined(cluster: &Cluster, manner: &Manner) -> Result<Client> {
    let client = Client::join_as(&cluster.url(), manner).await?;
    client.auth(b"").await;
    Ok(client)
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
