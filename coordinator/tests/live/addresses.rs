//! What one address may have, directly and behind a proxy.

use std::time::Duration;

use coordinator::{AddressLimits, Config, ProxyHeader};
use proto::{ErrorMessage, RESUME_SUBPROTOCOL_PREFIX, Reason, SUBPROTOCOL};
use settings::{Network, Value as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, http::StatusCode};

use crate::harness::{DEADLINE, Running, Socket, refusal};

/// This machine counts like any other, and nothing is limited.
fn counted(config: &mut Config) {
    config.limits.addresses = AddressLimits {
        connections_per_s: 0,
        requests_max: 0,
        sessions_max: 0,
        exempt: Vec::new(),
        ..AddressLimits::default()
    };
}

fn limited(what: &str, count: u32) -> String {
    format!("coordinator_address_limits_total{{reason=\"{what}\"}} {count}\n")
}

/// Waits until the other side has closed, and yields what came before.
async fn end(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
    // Closed with something unread it is reset.
    drop(read.expect("in time"));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn an_address_has_so_many_sessions() {
    let running = Running::with(|config| {
        counted(config);
        config.limits.addresses.sessions_max = 2;
    })
    .await;
    let (first, _) = running.client().await;
    let (_second, welcome) = running.client().await;
    running.metric("coordinator_addresses 1\n").await;

    let (status, body) = refusal(Socket::open(running.request("/connect")).await);
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(body.contains("\"code\":27,"), "{body}");
    let request = running.request("/connect").with_sub_protocol(SUBPROTOCOL);
    let mut third = Socket::open(request).await.expect("an upgrade");
    let error = third.receive::<ErrorMessage>().await;
    assert_eq!(error.code, u32::from(Reason::TooManyFromAddress.number()));
    assert!(error.retryable);
    running.metric(&limited("Sessions", 2)).await;

    // Servers have proved who they are, and whoever comes back takes its own place.
    let (_server, _) = running.server().await;
    let token = format!("{RESUME_SUBPROTOCOL_PREFIX}{}", welcome.resume_token);
    let request = running.request("/connect").with_sub_protocol(SUBPROTOCOL);
    let (_again, resumed) = Socket::join(request.with_sub_protocol(token)).await;
    assert_eq!(resumed.alias, welcome.alias);

    drop(first);
    running.metric("coordinator_clients 1\n").await;
    let (_fourth, _) = running.client().await;
    running.stop().await;
}

#[tokio::test]
async fn an_address_has_so_many_requests_at_once() {
    let running = Running::with(|config| {
        counted(config);
        config.limits.addresses.requests_max = 2;
        config.timeouts.header = Duration::from_secs(3600);
        config.timeouts.request = Duration::from_secs(3601);
    })
    .await;
    let mut unfinished = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(running.addr).await;
        let mut stream = stream.expect("it listens");
        let begun = b"GET /connect HTTP/1.1\r\nUpgrade: websocket\r\n";
        stream.write_all(begun).await.expect("it reads");
        unfinished.push(stream);
    }
    let third = TcpStream::connect(running.addr).await.expect("it listens");
    assert_eq!(end(third).await, "");
    running.metric(&limited("Requests", 1)).await;
    // A session is no request any more.
    unfinished.clear();
    running.metric("coordinator_addresses 0\n").await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(running.client().await);
    }
    running.stop().await;
}

#[tokio::test]
async fn an_address_has_so_many_connections_a_second() {
    let running = Running::with(|config| {
        counted(config);
        config.limits.addresses.connections_per_s = 1;
        config.limits.addresses.connections_burst = 3;
    })
    .await;
    let mut refused = 0;
    for _ in 0..100 {
        let mut stream = TcpStream::connect(running.addr).await.expect("it listens");
        let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        // One that is closed already may refuse it.
        stream.write_all(request).await.ok();
        let answer = end(stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200 "));
        refused += u32::from(answer.is_empty());
    }
    assert!(refused > 0, "a hundred within a few seconds");
    running.metric(&limited("Connections", refused)).await;
    running.stop().await;
}

fn from(request: ClientRequestBuilder, address: &str) -> ClientRequestBuilder {
    request.with_header("X-Forwarded-For", address)
}

#[tokio::test]
async fn behind_a_proxy_each_client_has_its_own_address() {
    let running = Running::with(|config| {
        counted(config);
        config.limits.addresses.sessions_max = 1;
        config.limits.addresses.connections_per_s = 1;
        config.limits.addresses.connections_burst = 3;
        config.proxies.addresses = vec![Network::parse("127.0.0.1").expect("a network")];
        config.proxies.header = ProxyHeader::XForwardedFor;
    })
    .await;
    let mut sessions = Vec::new();
    for last in 1..=9 {
        // What stands first, the client has written.
        let noted = format!("192.0.2.66, 198.51.100.{last}");
        let request = from(running.request("/connect"), &noted);
        sessions.push(Socket::join(request.with_sub_protocol(SUBPROTOCOL)).await);
    }
    let again = from(running.request("/connect"), "198.51.100.1");
    let (status, _) = refusal(Socket::open(again).await);
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    running.metric(&limited("Sessions", 1)).await;

    // Too fast, it is answered: the connection is the proxy's.
    let mut refused = 0;
    for _ in 0..100 {
        let request = from(running.request("/healthz"), "198.51.100.1");
        let (status, body) = refusal(Socket::open(request).await);
        if status == StatusCode::TOO_MANY_REQUESTS {
            assert!(body.contains("\"code\":27,"), "{body}");
            refused += 1;
        }
    }
    assert!(refused > 0, "a hundred within a few seconds");
    running.metric(&limited("Connections", refused)).await;
    running.stop().await;
}

#[tokio::test]
async fn nobody_else_says_where_it_comes_from() {
    let running = Running::with(|config| {
        counted(config);
        config.limits.addresses.sessions_max = 1;
    })
    .await;
    let (_one, _) = running.client().await;
    let request = from(running.request("/connect"), "198.51.100.1");
    let (status, _) = refusal(Socket::open(request).await);
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    running.stop().await;
}
