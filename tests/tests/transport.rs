//! A foreign engine in every manner that browsers and NATs may have, against our transport.

use anyhow::Result;
use proto::Lane as OurLane;
use tests::cluster::Cluster;
use tests::double::{Client, Lane, Manner, Packet, Trickle};
use tests::member::Member;

const TOPIC: &str = "plaza/1";

/// Joins in this manner, and hears and is heard on both lanes.
async fn works(cluster: &Cluster, manner: &Manner) -> Result<Client> {
    let mut ours = Member::join(&cluster.url()).await?;
    ours.client.subscribe(&[TOPIC]).await?;
    let mut foreign = Client::join_as(&cluster.url(), manner).await?;
    foreign.auth(b"").await;
    foreign.subscribe(&[TOPIC]).await;
    assert_eq!(foreign.settle().await?, []);
    talk(&mut ours, &mut foreign).await?;
    Ok(foreign)
}

async fn talk(ours: &mut Member, foreign: &mut Client) -> Result<()> {
    let lanes = [
        (Lane::Reliable, OurLane::Reliable),
        (Lane::Unreliable, OurLane::Unreliable),
    ];
    for (lane, our_lane) in lanes {
        foreign.publish(lane, TOPIC, "hello").await;
        let message = ours.message().await?;
        assert_eq!(
            (message.from_alias, message.lane),
            (foreign.alias, our_lane)
        );
        ours.publish(TOPIC, our_lane, "hello").await?;
        let (from_alias, body) = (ours.alias(), "hello".into());
        assert_eq!(
            foreign.expect().await?,
            Packet::Forward {
                lane,
                from_alias,
                body
            }
        );
    }
    Ok(())
}

#[tokio::test]
async fn candidates_come_whenever() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    for trickle in [Trickle::After, Trickle::Before, Trickle::Inside] {
        works(
            &cluster,
            &Manner {
                trickle,
                ..Manner::default()
            },
        )
        .await?;
    }
    cluster.stop().await
}

#[tokio::test]
async fn candidates_that_lead_nowhere_do_no_harm() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let extra_candidates = [
        // As browsers hide their addresses.
        "candidate:1 1 udp 2113937151 0b1c2d3e-4f50-4617-a8b9-cadbecfd0e1f.local 54321 typ host",
        "candidate:2 1 udp 2113939711 fe80::1 54321 typ host generation 0 network-cost 999",
        "candidate:3 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active",
        "candidate:4 1 udp 1677729535 192.0.2.8 54321 typ srflx raddr 0.0.0.0 rport 0",
        "candidate:5 2 udp 2113937150 127.0.0.1 54322 typ host",
        "candidate:6 1 quic 1 127.0.0.1 1 typ nonsense",
        "",
    ];
    let extra_candidates = extra_candidates.map(str::to_owned).to_vec();
    works(
        &cluster,
        &Manner {
            extra_candidates,
            ..Manner::default()
        },
    )
    .await?;
    cluster.stop().await
}

#[tokio::test]
async fn a_client_may_leave_dtls_to_the_server() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    works(
        &cluster,
        &Manner {
            dtls_passive: true,
            ..Manner::default()
        },
    )
    .await?;
    cluster.stop().await
}

#[tokio::test]
async fn a_client_keeps_its_peer_when_its_address_changes() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let mut foreign = works(&cluster, &Manner::default()).await?;
    foreign.move_away().await;
    assert_eq!(foreign.settle().await?, []);
    let mut ours = Member::join(&cluster.url()).await?;
    ours.client.subscribe(&[TOPIC]).await?;
    talk(&mut ours, &mut foreign).await?;
    cluster.stop().await
}
