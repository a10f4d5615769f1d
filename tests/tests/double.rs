//! The doubles among themselves: a 2019 client and a 2019 server at a 2019 coordinator.

use anyhow::Result;
use tests::double::wire::Role;
use tests::double::{Client, Coordinator, Lane, Options, Packet, Seen, Server, Session};

#[tokio::test]
async fn a_client_talks_to_itself_and_another_through_a_server() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    let mut server = Server::start(&coordinator.url(), Options::default()).await?;
    let mut alice = Client::join(&coordinator.url()).await?;
    let mut bob = Client::join(&coordinator.url()).await?;
    assert_eq!(
        (server.alias, alice.alias, bob.alias, bob.server),
        (1, 2, 3, 1)
    );

    alice.auth(b"alice").await;
    assert_eq!(
        server.expect().await?,
        Seen::Authenticated {
            alias: 2,
            role: Role::Client
        }
    );
    bob.auth(b"bob").await;
    bob.subscribe_gzip(&["one", "two"]).await?;
    assert!(bob.settle().await?.is_empty());

    for lane in [Lane::Reliable, Lane::Unreliable] {
        alice.publish(lane, "one", "hello").await;
        let body = "hello".into();
        assert_eq!(
            bob.expect().await?,
            Packet::Forward {
                lane,
                from_alias: 2,
                body
            }
        );
        alice.publish_identity(lane, "two", "it is me").await;
        let (identity, body) = ("alice".into(), "it is me".into());
        let packet = Packet::Identity {
            lane,
            from_alias: 2,
            identity,
            role: 1,
            body,
        };
        assert_eq!(bob.expect().await?, packet);
    }

    bob.subscribe(&[]).await;
    assert!(bob.settle().await?.is_empty());
    alice
        .publish(Lane::Reliable, "one", "nobody is there")
        .await;
    assert!(alice.settle().await?.is_empty());
    assert!(bob.settle().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn something_before_auth_ends_the_peer() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    let _server = Server::start(&coordinator.url(), Options::default()).await?;
    let mut client = Client::join(&coordinator.url()).await?;
    client.subscribe(&["one"]).await;
    client.closed().await?;
    Ok(())
}

#[tokio::test]
async fn a_full_server_refuses() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    let options = Options {
        peers_max: 1,
        ..Options::default()
    };
    let _server = Server::start(&coordinator.url(), options).await?;
    let _first = Client::join(&coordinator.url()).await?;
    let refusal = Client::join(&coordinator.url())
        .await
        .expect_err("a refusal");
    assert!(
        format!("{refusal:#}").contains("refused, reason 1"),
        "{refusal:#}"
    );
    Ok(())
}

#[tokio::test]
async fn the_coordinator_lists_servers_and_writes_the_sender() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    let mut server = Session::dial(&format!("{}/discover", coordinator.url())).await?;
    let mut client = Session::dial(&format!("{}/connect", coordinator.url())).await?;
    assert_eq!((server.alias, &client.available_servers[..]), (1, &[1][..]));
    client.connect(server.alias).await?;
    let signal = format!("{:?}", server.expect().await?.message);
    assert!(
        signal.contains("Connect") && signal.contains("from_alias: 2"),
        "{signal}"
    );
    Ok(())
}
