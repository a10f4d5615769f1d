//! Peers of the 2019 protocol in a cluster of ours, and ours in a cluster of theirs.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, bail};
use auth::{ClusterSecret, SharedSecret};
use bytes::Bytes;
use proto::Lane as OurLane;
use tests::cluster::{Cluster, Setup};
use tests::double::wire::Role;
use tests::double::{Client, Coordinator, Lane, Manner, Options, Packet, Seen, Server};
use tests::member::{self, Member};

const TOPIC: &str = "plaza/1";
const CLUSTER_SECRET: &str = "the-secret-of-the-whole-cluster";

fn topics<const N: usize>(topics: [&str; N]) -> BTreeSet<String> {
    topics.into_iter().map(str::to_owned).collect()
}

/// A cluster that takes servers of the 2019 protocol, by settings on both sides.
fn open_to_2019_servers() -> Result<Setup> {
    Ok(Setup {
        secret: ClusterSecret::parse(CLUSTER_SECRET)?,
        coordinator: Arc::new(|config| config.raw_cluster_secret = true),
        commserver: Arc::new(|config| config.compat.servers_2019 = true),
        ..Setup::default()
    })
}

fn with_secret() -> Options {
    Options {
        token: CLUSTER_SECRET.to_owned(),
        auth_body: CLUSTER_SECRET.into(),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_2019_client_among_ours() -> Result<()> {
    let setup = Setup {
        clients: Arc::new(SharedSecret::new(&"a-long-enough-secret".into())),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let token = "old:a-long-enough-secret";
    let manner = Manner {
        token: token.to_owned(),
        ..Manner::default()
    };
    let mut old = Client::join_as(&cluster.url(), &manner).await?;
    old.auth(token.as_bytes()).await;
    old.subscribe_gzip(&[TOPIC, "plaza/2"]).await?;
    let config = member::config(&cluster.url())?.with_token("new:a-long-enough-secret");
    let mut new = Member::join_as(&config).await?;
    new.client.subscribe(&[TOPIC]).await?;
    assert_eq!(old.settle().await?, [], "nothing that it does not know");

    for (lane, ours) in [
        (Lane::Reliable, OurLane::Reliable),
        (Lane::Unreliable, OurLane::Unreliable),
    ] {
        // Without topic and number, or this would be a foreign packet.
        new.publish(TOPIC, ours, "to the old").await?;
        let (from_alias, body) = (new.alias(), Bytes::from("to the old"));
        let packet = Packet::Forward {
            lane,
            from_alias,
            body: body.clone(),
        };
        assert_eq!(old.expect().await?, packet);
        new.client
            .publish_with_identity("plaza/2", ours, body.clone())
            .await?;
        let packet = Packet::Identity {
            lane,
            from_alias,
            identity: "new".into(),
            role: 1,
            body,
        };
        assert_eq!(old.expect().await?, packet);

        // What it claims to be is written over.
        old.publish(lane, TOPIC, "to the new").await;
        let message = new.message().await?;
        assert_eq!(
            (message.from_alias, &message.body[..]),
            (old.alias, &b"to the new"[..])
        );
        assert_eq!((message.topic.as_deref(), message.seq), (Some(TOPIC), 0));
        old.publish_identity(lane, TOPIC, "it is me").await;
        let message = new.message().await?;
        assert_eq!(
            message.identity.map(|identity| identity.bytes),
            Some("old".into())
        );

        let ping = old.ping(lane).await;
        assert_eq!(old.expect().await?, Packet::Pong { lane, bytes: ping });
    }

    old.subscribe(&["plaza/2"]).await;
    old.settle().await?;
    new.publish(TOPIC, OurLane::Reliable, "replaced").await?;
    new.settle().await?;
    assert_eq!(old.settle().await?, [], "a new set replaces the old one");
    old.close().await?;
    cluster
        .wait_for("its place to be free", |stats| stats.clients == 1)
        .await?;
    cluster.stop().await
}

#[tokio::test]
async fn a_2019_server_that_dials_ours() -> Result<()> {
    let cluster = open_to_2019_servers()?.start(1).await?;
    let ours = cluster.aliases()[0];
    let mut new = Member::join_server(&cluster.url(), ours).await?;
    new.client.subscribe(&[TOPIC]).await?;
    let mut old = Server::start(&cluster.url(), with_secret()).await?;
    converse(&cluster, &mut new, &mut old, ours).await
}

#[tokio::test]
async fn a_2019_server_that_ours_dials() -> Result<()> {
    let mut cluster = open_to_2019_servers()?.start(0).await?;
    let mut old = Server::start(&cluster.url(), with_secret()).await?;
    // The newcomer has the higher alias: it dials.
    let ours = cluster.add_commserver().await?;
    let (alias, role) = (ours, Role::CommunicationServer);
    old.wait_for(|seen| *seen == Seen::Authenticated { alias, role })
        .await?;
    let mut new = Member::join_server(&cluster.url(), ours).await?;
    new.client.subscribe(&[TOPIC]).await?;
    converse(&cluster, &mut new, &mut old, ours).await
}

/// A client of ours on our server and a 2019 client on the 2019 server, both on the topic, speak
/// with each other over the link.
async fn converse(cluster: &Cluster, new: &mut Member, old: &mut Server, ours: u64) -> Result<()> {
    old.wait_for(|seen| {
        *seen
            == Seen::Topics {
                alias: ours,
                topics: topics([TOPIC]),
            }
    })
    .await?;
    let manner = Manner {
        server: Some(old.alias),
        ..Manner::default()
    };
    let mut guest = Client::join_as(&cluster.url(), &manner).await?;
    guest.auth(b"").await;
    guest.subscribe(&[TOPIC]).await;
    guest.settle().await?;
    cluster
        .commserver(0)
        .wait_for("its interest", |stats| stats.subscriptions == 2)
        .await?;

    for (lane, ours) in [
        (Lane::Reliable, OurLane::Reliable),
        (Lane::Unreliable, OurLane::Unreliable),
    ] {
        guest.publish(lane, TOPIC, "from afar").await;
        let message = new.message().await?;
        assert_eq!((message.from_alias, message.lane), (guest.alias, ours));
        assert_eq!(message.body, "from afar");
        new.publish(TOPIC, ours, "and back").await?;
        let (from_alias, body) = (new.alias(), "and back".into());
        assert_eq!(
            guest.expect().await?,
            Packet::Forward {
                lane,
                from_alias,
                body
            }
        );
        guest.publish_identity(lane, TOPIC, "who").await;
        let message = new.message().await?;
        assert_eq!(
            (message.from_alias, &message.body[..]),
            (guest.alias, &b"who"[..])
        );
        assert!(message.identity.is_some());
    }
    assert_eq!(new.settle().await?, []);
    assert_eq!(guest.settle().await?, []);

    // A change of interest reaches it as a whole list.
    new.client.subscribe(&["plaza/2"]).await?;
    let both = Seen::Topics {
        alias: ours,
        topics: topics([TOPIC, "plaza/2"]),
    };
    old.wait_for(|seen| *seen == both).await?;
    Ok(())
}

#[tokio::test]
async fn a_2019_server_is_sent_no_packet_that_would_close_it() -> Result<()> {
    let cluster = open_to_2019_servers()?.start(1).await?;
    let ours = cluster.aliases()[0];
    let mut old = Server::start(&cluster.url(), with_secret()).await?;
    let manner = Manner {
        server: Some(old.alias),
        ..Manner::default()
    };
    let mut guest = Client::join_as(&cluster.url(), &manner).await?;
    guest.auth(b"").await;
    guest.subscribe(&[TOPIC]).await;
    cluster
        .commserver(0)
        .wait_for("its interest", |stats| stats.subscriptions == 1)
        .await?;

    let new = Member::join_server(&cluster.url(), ours).await?;
    new.publish(TOPIC, OurLane::Reliable, vec![0; 10_000])
        .await?;
    new.publish(TOPIC, OurLane::Reliable, "small").await?;
    let Packet::Forward { body, .. } = guest.expect().await? else {
        bail!("not forwarded")
    };
    assert_eq!(body, "small");

    // A list of more than 5,000 bytes comes gzipped.
    let many: Vec<String> = (0..1000).map(|n| format!("plaza/{n:04}")).collect();
    new.client
        .subscribe(&many.iter().map(String::as_str).collect::<Vec<_>>())
        .await?;
    let all = |seen: &Seen| matches!(seen, Seen::Topics { topics, .. } if topics.len() == 1000);
    old.wait_for(all).await?;
    cluster.stop().await
}

#[tokio::test]
async fn without_the_setting_no_2019_server_is_a_link() -> Result<()> {
    let setup = Setup {
        secret: ClusterSecret::parse(CLUSTER_SECRET)?,
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let refused = Server::start(&cluster.url(), with_secret()).await;
    assert!(
        refused.is_err(),
        "the coordinator does not take the secret itself"
    );
    cluster.stop().await?;

    let setup = Setup {
        commserver: Arc::new(|_| {}),
        ..open_to_2019_servers()?
    };
    let cluster = setup.start(1).await?;
    let ours = cluster.aliases()[0];
    let mut old = Server::start(&cluster.url(), with_secret()).await?;
    old.wait_for(|seen| matches!(seen, Seen::Closed { alias, .. } if *alias == ours))
        .await?;
    assert_eq!(cluster.commserver(0).stats().links, 0);
    cluster.stop().await
}

#[tokio::test]
async fn our_client_at_a_2019_coordinator_and_server() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    let mut server = Server::start(&coordinator.url(), Options::default()).await?;
    let mut old = Client::join(&coordinator.url()).await?;
    old.auth(b"").await;
    old.subscribe(&[TOPIC]).await;
    let mut new = Member::join(&coordinator.url()).await?;
    let alias = new.alias();
    let asked = new.client.subscribe(&[TOPIC]).await;
    assert!(asked.is_ok(), "{asked:?}");
    server
        .wait_for(|seen| {
            *seen
                == Seen::Topics {
                    alias,
                    topics: topics([TOPIC]),
                }
        })
        .await?;
    old.settle().await?;

    old.publish(Lane::Reliable, TOPIC, "hello").await;
    let message = new.message().await?;
    assert_eq!(
        (message.from_alias, &message.body[..]),
        (old.alias, &b"hello"[..])
    );
    assert_eq!((message.topic, message.seq), (None, 0), "it does not tell");
    new.publish(TOPIC, OurLane::Reliable, "hello to you")
        .await?;
    let (from_alias, body) = (alias, "hello to you".into());
    assert_eq!(
        old.expect().await?,
        Packet::Forward {
            lane: Lane::Reliable,
            from_alias,
            body
        }
    );
    Ok(())
}

#[tokio::test]
async fn our_servers_at_a_2019_coordinator() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    let setup = Setup {
        commserver: Arc::new(|config| config.compat.trust_unstamped_servers = true),
        ..Setup::default()
    };
    // It says nothing of roles, and of newcomers only to those: the newcomer dials.
    let cluster = setup.start_at(coordinator.addr, 2).await?;
    let [here, there] = cluster.aliases()[..] else {
        bail!("two servers")
    };
    let manner = Manner {
        server: Some(there),
        ..Manner::default()
    };
    let mut old = Client::join_as(&coordinator.url(), &manner).await?;
    old.auth(b"").await;
    old.subscribe(&[TOPIC]).await;
    let mut new = Member::join(&coordinator.url()).await?;
    assert_eq!(new.server(), Some(here), "the first in its list");
    new.client.subscribe(&[TOPIC]).await?;
    cluster.subscribed(2).await?;

    new.publish(TOPIC, OurLane::Reliable, "across").await?;
    let (from_alias, body) = (new.alias(), "across".into());
    assert_eq!(
        old.expect().await?,
        Packet::Forward {
            lane: Lane::Reliable,
            from_alias,
            body
        }
    );
    old.publish(Lane::Unreliable, TOPIC, "and back").await;
    let message = new.message().await?;
    assert_eq!(
        (message.from_alias, message.lane),
        (old.alias, OurLane::Unreliable)
    );
    cluster.stop().await
}

#[tokio::test]
async fn a_2019_coordinator_makes_nobody_a_server_without_the_setting() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    let cluster = Setup::default().start_at(coordinator.addr, 1).await?;
    let mut second = Setup::default().start_at(coordinator.addr, 0).await?;
    second.add_commserver().await?;
    let refused = |stats: &commserver_core::Stats| !stats.peers_closed.is_empty();
    cluster.wait_for("a refusal", refused).await?;
    assert_eq!(cluster.commserver(0).stats().links, 0);
    second.stop().await?;
    cluster.stop().await
}
