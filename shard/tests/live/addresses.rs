//! Where a shard listens, what it offers, and who does what: the pairs that are not the usual one.

use std::net::SocketAddr;

use shard::{
    Config, DropReason,
    rtc_peer::{DtlsRole, Lane, Role},
};

use crate::harness::{ACCEPTOR, Node, config, introduce, introduce_through, numbered};

fn listening(addr: &str, seed: u64) -> Config {
    let mut config = config(seed);
    config.listen = addr.parse().expect("an address");
    config
}

/// Connects, exchanges a packet on each lane each way, closes.
async fn converse(server: Config, client: Config, acceptor_role: Role) {
    let (server, client) = (Node::start(server), Node::start(client));
    let mut acceptor = server.open(acceptor_role).await.expect("room");
    let mut dialer = client.open(Role::Dialer).await.expect("room");
    introduce(&mut acceptor, &mut dialer).await;
    for lane in Lane::ALL {
        acceptor.send(lane, numbered(1, 50)).await;
        assert_eq!(dialer.packet().await, (lane, numbered(1, 50)));
        dialer.send(lane, numbered(2, 50)).await;
        assert_eq!(acceptor.packet().await, (lane, numbered(2, 50)));
    }
    assert_eq!(server.stats.dropped(DropReason::SocketError), 0);
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn both_sockets_bound_to_every_address() {
    converse(
        listening("0.0.0.0:0", 1),
        listening("0.0.0.0:0", 2),
        ACCEPTOR,
    )
    .await;
}

#[tokio::test]
async fn ipv6() {
    converse(listening("[::1]:0", 1), listening("[::1]:0", 2), ACCEPTOR).await;
}

#[tokio::test]
async fn a_socket_for_both_families_meets_one_for_ipv4() {
    let mut server = listening("[::]:0", 1);
    server.advertise = vec!["127.0.0.1".parse().expect("an address")];
    converse(server, listening("127.0.0.1:0", 2), ACCEPTOR).await;
}

#[tokio::test]
async fn an_acceptor_that_is_a_full_agent() {
    converse(config(1), config(2), Role::Acceptor { ice_lite: false }).await;
}

#[tokio::test]
async fn an_acceptor_that_sends_the_client_hello() {
    let mut client = config(2);
    client.peer.dtls = DtlsRole::Passive;
    converse(config(1), client, ACCEPTOR).await;
}

/// As behind a one-to-one NAT: what is offered is not what datagrams come to.
#[tokio::test]
async fn an_advertised_address_that_is_not_the_sockets() {
    let mut settings = listening("0.0.0.0:0", 1);
    settings.advertise = vec!["203.0.113.9".parse().expect("an address")];
    let server = Node::start(settings);
    let client = Node::start(config(2));
    let mut acceptor = server.open(ACCEPTOR).await.expect("room");
    let mut dialer = client.open(Role::Dialer).await.expect("room");
    let translate = |text: String| {
        assert!(!text.contains("127.0.0.1"), "{text}");
        text.replace("203.0.113.9", "127.0.0.1")
    };
    introduce_through(&mut acceptor, &mut dialer, translate).await;
    acceptor.send(Lane::Reliable, numbered(1, 50)).await;
    assert_eq!(dialer.packet().await.1, numbered(1, 50));
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn the_bound_address_is_told() {
    let node = Node::start(config(1));
    assert_eq!(
        node.addr,
        SocketAddr::from(([127, 0, 0, 1], node.addr.port()))
    );
    assert_ne!(node.addr.port(), 0);
    assert!(node.stats.receive_buffer_bytes.value() > 0);
    node.stop().await;
}
