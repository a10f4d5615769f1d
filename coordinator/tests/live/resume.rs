//! Sessions that come back over real sockets.

use std::{sync::Arc, time::Duration, time::SystemTime};

use auth::{
    ClusterSecret, SharedSecret,
    cluster::resume::{Holder, Resume},
};
use proto::{
    ConnectMessage, ErrorMessage, MessageHeader, MessageType, RESUME_SUBPROTOCOL_PREFIX, Reason,
    SUBPROTOCOL, ServersMessage, WelcomeMessage,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_tungstenite::tungstenite::ClientRequestBuilder;

use crate::harness::{Running, Socket};

const SECRET: &str = "the clients' own secret";

fn showing(request: ClientRequestBuilder, token: &str) -> ClientRequestBuilder {
    request
        .with_sub_protocol(SUBPROTOCOL)
        .with_sub_protocol(format!("{RESUME_SUBPROTOCOL_PREFIX}{token}"))
}

async fn client(running: &Running, token: &str) -> (Socket, WelcomeMessage) {
    Socket::join(showing(running.request("/connect"), token)).await
}

async fn server(running: &Running, token: &str) -> (Socket, WelcomeMessage) {
    Socket::join(showing(running.server_request(), token)).await
}

/// The loser is told, in this order: REPLACED, the reason as ERROR, the close.
async fn expect_replaced(loser: &mut Socket) {
    let told = loser.receive::<MessageHeader>().await;
    assert_eq!(told.r#type(), MessageType::Replaced);
    let error = loser.receive::<ErrorMessage>().await;
    assert_eq!(error.code, u32::from(Reason::Replaced.number()));
    let code = u16::from(loser.closed().await.code);
    assert_eq!(code, Reason::Replaced.close_code());
}

fn resumes(result: &str, count: u32) -> String {
    format!("coordinator_resumes_total{{result=\"{result}\"}} {count}\n")
}

#[tokio::test]
async fn a_client_keeps_its_alias() {
    let running = Running::start().await;
    let (mut first, welcome) = running.client().await;
    first.0.close(None).await.expect("an open socket");
    running.metric("coordinator_clients 0\n").await;
    let (mut again, resumed) = client(&running, &welcome.resume_token).await;
    assert_eq!(resumed.alias, welcome.alias);
    assert_ne!(resumed.resume_token, "");
    running.metric(&resumes("kept", 1)).await;

    // Also by the newer token, and while the session lives.
    let (_third, resumed) = client(&running, &resumed.resume_token).await;
    assert_eq!(resumed.alias, welcome.alias);
    expect_replaced(&mut again).await;
    running.metric(&resumes("replaced", 1)).await;
    running.metric("coordinator_clients 1\n").await;
    let ended = "coordinator_sessions_closed_total{role=\"Client\",reason=\"Replaced\"} 1\n";
    running.metric(ended).await;
    running.stop().await;
}

#[tokio::test]
async fn who_is_replaced_is_told_so_first_every_time() {
    let running = Running::start().await;
    let (mut loser, welcome) = running.client().await;
    for _ in 0..50 {
        let (winner, resumed) = client(&running, &welcome.resume_token).await;
        assert_eq!(resumed.alias, welcome.alias);
        expect_replaced(&mut loser).await;
        loser = winner;
    }
    running.stop().await;
}

#[tokio::test]
async fn who_takes_its_own_place_needs_no_other() {
    let running = Running::with(|config| {
        config.limits.core.clients_max = 1;
        // One at a time waits for its predecessor's place.
        config.limits.requests_max = 1;
    })
    .await;
    let (mut loser, welcome) = running.client().await;
    for _ in 0..10 {
        let (winner, resumed) = client(&running, &welcome.resume_token).await;
        assert_eq!(resumed.alias, welcome.alias);
        expect_replaced(&mut loser).await;
        drop(loser);
        loser = winner;
    }
    for token in ["", "a.b.c"] {
        let request = showing(running.request("/connect"), token);
        let mut refused = Socket::open(request).await.expect("an upgrade");
        let error = refused.receive::<ErrorMessage>().await;
        assert_eq!(error.code, u32::from(Reason::Overloaded.number()));
    }
    running.metric("coordinator_clients 1\n").await;
    running.stop().await;
}

#[tokio::test]
async fn the_subprotocol_is_answered_alone() {
    let running = Running::start().await;
    let (_first, welcome) = running.client().await;
    let request = showing(running.request("/connect"), &welcome.resume_token);
    let connected = tokio_tungstenite::connect_async(request).await;
    let (_, response) = connected.expect("an upgrade");
    let selected = response.headers().get("Sec-WebSocket-Protocol");
    assert_eq!(selected.expect("one"), SUBPROTOCOL);
    running.stop().await;
}

#[tokio::test]
async fn two_servers_with_one_token() {
    let running = Running::start().await;
    let (mut watcher, _) = running.server().await;
    watcher.receive::<ServersMessage>().await;
    let (mut first, welcome) = running.server().await;
    first.receive::<ServersMessage>().await;
    let list = watcher.receive::<ServersMessage>().await;
    assert_eq!(list.entries[0].alias, welcome.alias);

    let (mut second, resumed) = server(&running, &welcome.resume_token).await;
    assert_eq!(resumed.alias, welcome.alias);
    let own = second.receive::<ServersMessage>().await;
    assert_eq!((own.version, own.entries.len()), (list.version, 1));
    expect_replaced(&mut first).await;
    drop(first);

    // The watcher hears of what is news only: here of the third.
    let (_third, third) = running.server().await;
    let next = watcher.receive::<ServersMessage>().await;
    assert_eq!(next.version, list.version + 1);
    let aliases: Vec<u64> = next.entries.iter().map(|entry| entry.alias).collect();
    assert_eq!(aliases, [welcome.alias, third.alias]);
    running.stop().await;
}

#[tokio::test]
async fn a_restarted_coordinator_keeps_aliases() {
    let secret = ClusterSecret::generate();
    let start = || Running::with(|config| config.cluster_secret = secret.clone());
    let before = start().await;
    let (_first, client_welcome) = before.client().await;
    let token = secret.uplink_token(auth::Role::Server, SystemTime::now());
    let discover = format!("/discover?token={token}");
    let request = before.request(&discover).with_sub_protocol(SUBPROTOCOL);
    let (_server, server_welcome) = Socket::join(request).await;
    before.stop().await;

    let after = start().await;
    let (_client, resumed) = client(&after, &client_welcome.resume_token).await;
    assert_eq!(resumed.alias, client_welcome.alias);
    let request = showing(after.request(&discover), &server_welcome.resume_token);
    let (_server, resumed) = Socket::join(request).await;
    assert_eq!(resumed.alias, server_welcome.alias);
    let (_fresh, fresh) = after.client().await;
    assert!(fresh.alias > server_welcome.alias);
    after.metric(&resumes("kept", 2)).await;
    after.stop().await;
}

#[tokio::test]
async fn tokens_that_are_not_good_cost_the_alias_and_nothing_else() {
    let running = Running::with(|config| {
        config.clients = Arc::new(SharedSecret::new(&SECRET.into()));
    })
    .await;
    let request = |name: &str| {
        let bearer = format!("Bearer {name}:{SECRET}");
        running
            .request("/connect")
            .with_header("Authorization", bearer)
    };
    let sign = |secret: &ClusterSecret, alias, until| {
        let holder = Holder {
            role: auth::Role::Client,
            identity: b"ann",
        };
        let resume = Resume { alias, series: 7 };
        secret.resume_token(resume, holder, until).expect("short")
    };
    let now = SystemTime::now();
    let soon = now + Duration::from_secs(60);
    let past = now - Duration::from_secs(3600);
    let known = 64 << 20;
    for (name, token, result) in [
        ("ann", "a.b.c".to_string(), "invalid"),
        (
            "ann",
            sign(&ClusterSecret::generate(), known, soon),
            "invalid",
        ),
        ("ann", sign(&running.secret, known, past), "expired"),
        ("bob", sign(&running.secret, known, soon), "foreign"),
        ("ann", sign(&running.secret, u64::MAX, soon), "absurd"),
        ("ann", sign(&running.secret, 0, soon), "absurd"),
    ] {
        let (mut socket, welcome) = Socket::join(showing(request(name), &token)).await;
        assert_ne!(welcome.alias, known, "{result}");
        // A session like any other.
        let connect = ConnectMessage {
            r#type: MessageType::Connect.into(),
            to_alias: 1,
            ..Default::default()
        };
        socket.send(&connect).await;
        socket.receive::<ErrorMessage>().await;
    }
    for (result, count) in [
        ("invalid", 2),
        ("expired", 1),
        ("foreign", 1),
        ("absurd", 2),
    ] {
        running.metric(&resumes(result, count)).await;
    }
    let (_ann, welcome) =
        Socket::join(showing(request("ann"), &sign(&running.secret, known, soon))).await;
    assert_eq!(welcome.alias, known, "so that the others could have been");
    running.stop().await;
}

#[tokio::test]
async fn a_server_does_not_come_back_as_a_client() {
    let running = Running::start().await;
    let (_server, welcome) = running.server().await;
    let (_client, other) = client(&running, &welcome.resume_token).await;
    assert_ne!(other.alias, welcome.alias);
    running.metric(&resumes("foreign", 1)).await;
    running.stop().await;
}

#[tokio::test]
async fn sessions_of_2019_get_no_token_and_need_none() {
    let running = Running::start().await;
    let (_old, welcome) = running.old_client().await;
    assert_eq!(welcome.resume_token, "");
    let (_first, welcome) = running.client().await;
    // Without the subprotocol the token counts for nothing, whoever brings it.
    let mut stream = TcpStream::connect(running.addr).await.expect("it listens");
    let request = format!(
        "GET /connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {RESUME_SUBPROTOCOL_PREFIX}{}\r\n\r\n",
        welcome.resume_token
    );
    let written = stream.write_all(request.as_bytes()).await;
    written.expect("it reads");
    running.metric("coordinator_clients 3\n").await;
    for result in ["kept", "replaced", "invalid", "foreign", "expired"] {
        running.metric(&resumes(result, 0)).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_token_lives_as_long_as_it_is_told() {
    let running = Running::with(|config| config.resume_lifetime = Duration::from_secs(90)).await;
    let (_client, welcome) = running.client().await;
    let holder = Holder {
        role: auth::Role::Client,
        identity: b"",
    };
    let verify = |after| {
        let then = SystemTime::now() + Duration::from_secs(after);
        let token = &welcome.resume_token;
        running.secret.verify_resume_token(token, holder, then)
    };
    // With a minute for clocks that differ.
    assert!(verify(85).is_ok());
    assert!(verify(160).is_err());
    running.stop().await;
}
