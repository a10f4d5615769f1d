//! What one address may have of a commserver, with real clients.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use proto::{ErrorMessage, Lane, Message as _, Reason};
use tests::cluster::Setup;
use tests::double::{Client, Packet};
use tests::member::Member;

const TOPIC: &str = "plaza/1";

#[tokio::test]
async fn an_address_has_so_many_clients_and_links_do_not_count() -> Result<()> {
    let setup = Setup {
        commserver: Arc::new(|config| {
            config.rtc.addresses.peers_max = 1;
            config.rtc.addresses.exempt = Vec::new();
        }),
        ..Setup::default()
    };
    // Linked with each other, from the same address.
    let cluster = setup.start(2).await?;
    let mut first = Member::join(&cluster.url()).await?;
    let second = Member::join(&cluster.url()).await?;
    ensure!(first.server() != second.server(), "one on each");
    first.client.subscribe(&[TOPIC]).await?;

    let mut third = Client::join(&cluster.url()).await?;
    third.auth(b"").await;
    let Packet::Foreign { bytes, .. } = third.expect().await? else {
        anyhow::bail!("no ERROR")
    };
    let error = ErrorMessage::decode(bytes)?;
    let expected = Reason::TooManyFromAddress;
    ensure!(error.code == u32::from(expected.number()), "{error:?}");
    ensure!(error.retryable);
    third.closed().await?;
    let both = [0, 1].map(|n| cluster.commserver(n));
    let refused = both.into_iter().find(|it| it.alias == third.server);
    let counted = |stats: &commserver_core::Stats| stats.peers_closed.contains_key(&expected);
    let refused = refused.context("the server of the third")?;
    refused.wait_for("a closed peer", counted).await?;

    second.publish(TOPIC, Lane::Reliable, "hello").await?;
    ensure!(first.message().await?.body == "hello");
    // Whoever leaves gives its place back.
    second.client.close().await;
    let _fourth = Member::join(&cluster.url()).await?;
    cluster.stop().await
}
