//! WELCOME, SERVERS and signals over real sockets.

use bytes::Bytes;
use proto::{
    ConnectMessage, ErrorMessage, MessageType, PeerGoneMessage, Reason, Role, SUBPROTOCOL,
    ServersMessage, WebRtcMessage,
};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::harness::{Running, Socket};
use futures_util::SinkExt as _;

fn connect(to_alias: u64) -> ConnectMessage {
    ConnectMessage {
        r#type: MessageType::Connect.into(),
        to_alias,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_client_and_a_server_come_to_terms() {
    let running = Running::start().await;
    let (mut server, server_welcome) = running.server().await;
    let list = server.receive::<ServersMessage>().await;
    assert_eq!((list.version, list.entries.len()), (1, 0));
    let (mut client, welcome) = running.client().await;
    assert_eq!(welcome.r#type(), MessageType::Welcome);
    assert_eq!(welcome.available_servers, [server_welcome.alias]);

    client.send(&connect(server_welcome.alias)).await;
    let told = server.receive::<ConnectMessage>().await;
    assert_eq!(
        (told.from_alias, told.from_role()),
        (welcome.alias, Role::Client)
    );

    let offer = WebRtcMessage {
        r#type: MessageType::WebrtcOffer.into(),
        to_alias: welcome.alias,
        data: Bytes::from_static(b"{\"type\":\"offer\"}"),
        ..Default::default()
    };
    server.send(&offer).await;
    let told = client.receive::<WebRtcMessage>().await;
    assert_eq!(told.from_alias, server_welcome.alias);
    assert_eq!(told.from_role(), Role::CommunicationServer);
    assert_eq!(
        (told.r#type(), told.data),
        (MessageType::WebrtcOffer, offer.data)
    );
    running
        .metric("coordinator_signals_relayed_total 2\n")
        .await;
    running.stop().await;
}

#[tokio::test]
async fn the_subprotocol_is_selected_alone() {
    let running = Running::start().await;
    let offered = running
        .request("/connect")
        .with_sub_protocol("token.YWJj")
        .with_sub_protocol(SUBPROTOCOL);
    let (_, response) = tokio_tungstenite::connect_async(offered)
        .await
        .expect("an upgrade");
    let selected = response.headers().get("Sec-WebSocket-Protocol");
    assert_eq!(selected.expect("one"), SUBPROTOCOL);
    let (_, response) = tokio_tungstenite::connect_async(running.request("/connect"))
        .await
        .expect("an upgrade");
    assert_eq!(response.headers().get("Sec-WebSocket-Protocol"), None);
    running.stop().await;
}

#[tokio::test]
async fn the_role_is_in_the_url() {
    let running = Running::with(|config| config.raw_cluster_secret = false).await;
    let (mut first, first_welcome) = running.server().await;
    first.receive::<ServersMessage>().await;
    // Without a role: a communication server, as for the 2019 coordinator.
    let token = running
        .secret
        .uplink_token(auth::Role::Server, std::time::SystemTime::now());
    let request = running.request(&format!("/discover?token={token}"));
    let (_old, welcome) = Socket::join(request).await;
    assert_eq!(welcome.available_servers, [first_welcome.alias]);
    let list = first.receive::<ServersMessage>().await;
    assert_eq!(list.entries[0].role(), Role::CommunicationServer);
    let token = running
        .secret
        .uplink_token(auth::Role::Hub, std::time::SystemTime::now());
    let path = format!("/discover?role=COMMUNICATION_SERVER_HUB&token={token}");
    let (_hub, _) = Socket::join(running.request(&path)).await;
    let list = first.receive::<ServersMessage>().await;
    assert_eq!(list.entries[1].role(), Role::CommunicationServerHub);
    running.stop().await;
}

#[tokio::test]
async fn a_client_waits_for_a_server_to_appear() {
    let running = Running::start().await;
    let (mut client, welcome) = running.client().await;
    assert!(welcome.available_servers.is_empty());
    let (server, server_welcome) = running.server().await;
    let list = client.receive::<ServersMessage>().await;
    assert_eq!(list.entries[0].alias, server_welcome.alias);

    // A server that goes away is no more to be reached.
    drop(server);
    running.metric("coordinator_servers 0\n").await;
    client.send(&connect(server_welcome.alias)).await;
    let error = client.receive::<ErrorMessage>().await;
    assert_eq!(error.code, u32::from(Reason::PeerUnavailable.number()));
    assert_eq!(error.alias, server_welcome.alias);
    running.stop().await;
}

#[tokio::test]
async fn garbage_hurts_nobody() {
    let running = Running::start().await;
    let (mut server, server_welcome) = running.server().await;
    server.receive::<ServersMessage>().await;
    let (mut bad, _) = running.client().await;
    let (mut good, _) = running.client().await;
    let (mut old, _) = running.old_client().await;
    for _ in 0..3 {
        bad.send_bytes(vec![0xff; 100]).await;
        bad.send_bytes(vec![]).await;
        bad.0
            .send(Frame::text("hello?"))
            .await
            .expect("an open socket");
        old.0
            .send(Frame::Ping(Bytes::new()))
            .await
            .expect("an open socket");
    }
    running
        .metric("coordinator_signals_dropped_total{reason=\"undecodable\"} 3\n")
        .await;
    running
        .metric("coordinator_frames_dropped_total{reason=\"TextFrame\"} 3\n")
        .await;
    for client in [&mut bad, &mut good, &mut old] {
        client.send(&connect(server_welcome.alias)).await;
        server.receive::<ConnectMessage>().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn servers_are_told_when_their_client_has_gone() {
    let running = Running::start().await;
    let (mut server, server_welcome) = running.server().await;
    server.receive::<ServersMessage>().await;
    let (mut client, welcome) = running.client().await;
    client.send(&connect(server_welcome.alias)).await;
    server.receive::<ConnectMessage>().await;
    // Not by a close, but by the end of its connection.
    drop(client);
    let gone = server.receive::<PeerGoneMessage>().await;
    assert_eq!(gone.r#type(), MessageType::PeerGone);
    assert_eq!(gone.alias, welcome.alias);
    running.metric("coordinator_peers_gone_total 1\n").await;
    running.stop().await;
}

#[tokio::test]
async fn the_coordinators_own_end_is_not_that_of_clients() {
    let running = Running::start().await;
    let (mut server, server_welcome) = running.server().await;
    server.receive::<ServersMessage>().await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let (mut client, _) = running.client().await;
        client.send(&connect(server_welcome.alias)).await;
        server.receive::<ConnectMessage>().await;
        clients.push(client);
    }
    running.shutdown.cancel();
    let last = server.receive::<ErrorMessage>().await;
    assert_eq!(last.code, u32::from(Reason::ShuttingDown.number()));
    running.stop().await;
}
