//! Who is refused, and how that is seen.

use std::{sync::Arc, time::SystemTime};

use async_trait::async_trait;
use auth::{Authenticated, Authenticator, ClusterSecret, Credentials, Refusal, SharedSecret};
use proto::{ErrorMessage, MessageType, Reason, SUBPROTOCOL};
use tokio_tungstenite::tungstenite::http::StatusCode;

use crate::harness::{Running, Socket, refusal};

const SECRET: &str = "the clients' own secret";

async fn with_secret() -> Running {
    Running::with(|config| config.clients = Arc::new(SharedSecret::new(&SECRET.into()))).await
}

/// Asks in both ways at `path`, and expects `reason` and, without the subprotocol, `status`.
async fn refused(running: &Running, path: &str, reason: Reason, status: StatusCode) {
    let (found, body) = refusal(Socket::open(running.request(path)).await);
    assert_eq!(found, status, "{path}");
    let expected = format!(
        r#"{{"code":{},"name":"{}","text":"{}","retryable":{}}}"#,
        reason.number(),
        reason.name(),
        reason.text(),
        reason.retryable()
    );
    assert_eq!(body, expected);

    let request = running.request(path).with_sub_protocol(SUBPROTOCOL);
    let mut socket = Socket::open(request).await.expect("an upgrade");
    let error = socket.receive::<ErrorMessage>().await;
    assert_eq!(error.r#type(), MessageType::Error);
    assert_eq!(error.code, u32::from(reason.number()));
    assert_eq!(error.retryable, reason.retryable());
    assert_eq!(
        u16::from(socket.closed().await.code),
        4000 + reason.number()
    );

    let metric = format!(
        "coordinator_refusals_total{{reason=\"{}\"}} 2\n",
        reason.name()
    );
    running.metric(&metric).await;
}

#[tokio::test]
async fn a_client_without_a_token() {
    let running = with_secret().await;
    refused(
        &running,
        "/connect",
        Reason::Unauthenticated,
        StatusCode::UNAUTHORIZED,
    )
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_client_with_a_wrong_token() {
    let running = with_secret().await;
    let path = "/connect?token=the+clients'+own+secre";
    refused(
        &running,
        path,
        Reason::Unauthenticated,
        StatusCode::UNAUTHORIZED,
    )
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_role_that_does_not_exist() {
    let running = Running::start().await;
    let path = "/discover?role=CLIENT";
    refused(&running, path, Reason::UnknownRole, StatusCode::BAD_REQUEST).await;
    running.stop().await;
}

#[tokio::test]
async fn a_server_with_a_hubs_token() {
    let running = Running::start().await;
    let token = running
        .secret
        .uplink_token(auth::Role::Hub, SystemTime::now());
    let path = format!("/discover?token={token}");
    refused(&running, &path, Reason::Forbidden, StatusCode::FORBIDDEN).await;
    running.stop().await;
}

#[tokio::test]
async fn a_server_of_another_cluster() {
    let running = Running::start().await;
    let other = ClusterSecret::generate();
    let token = other.uplink_token(auth::Role::Server, SystemTime::now());
    let path = format!("/discover?token={token}");
    refused(
        &running,
        &path,
        Reason::Unauthenticated,
        StatusCode::UNAUTHORIZED,
    )
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_client_while_nobody_can_check_it() {
    let running = Running::with(|config| config.clients = Arc::new(Absent)).await;
    refused(
        &running,
        "/connect",
        Reason::AuthUnavailable,
        StatusCode::SERVICE_UNAVAILABLE,
    )
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_client_whose_check_takes_too_long() {
    let running = Running::with(|config| {
        config.clients = Arc::new(Silent);
        config.timeouts.auth = std::time::Duration::from_millis(50);
    })
    .await;
    refused(
        &running,
        "/connect",
        Reason::AuthUnavailable,
        StatusCode::SERVICE_UNAVAILABLE,
    )
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_client_too_many() {
    let running = Running::with(|config| config.limits.core.clients_max = 1).await;
    let (first, _) = running.client().await;
    refused(
        &running,
        "/connect",
        Reason::Overloaded,
        StatusCode::SERVICE_UNAVAILABLE,
    )
    .await;
    // Servers have their own room, and a place is free again once its session is over.
    let (_server, _) = running.server().await;
    drop(first);
    running.metric("coordinator_clients 0\n").await;
    // The place is given back a moment after the session is counted out.
    let second = tokio::time::timeout(crate::harness::DEADLINE, async {
        loop {
            match Socket::open(running.request("/connect")).await {
                Ok(socket) => return socket,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert!(second.await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn a_refusal_without_room_to_be_told_is_a_status() {
    let running = Running::with(|config| {
        config.clients = Arc::new(SharedSecret::new(&SECRET.into()));
        config.limits.refused_max = 1;
        config.timeouts.close = std::time::Duration::from_secs(3600);
        config.timeouts.drain = std::time::Duration::from_millis(1);
    })
    .await;
    let request = || running.request("/connect").with_sub_protocol(SUBPROTOCOL);
    let first = Socket::open(request()).await;
    assert!(first.is_ok(), "it is told, and takes its time to read it");
    let (status, _) = refusal(Socket::open(request()).await);
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    running.stop().await;
}

#[tokio::test]
async fn tokens_pass_in_every_place() {
    let running = with_secret().await;
    // base64url of "the clients' own secret".
    let entry = "token.dGhlIGNsaWVudHMnIG93biBzZWNyZXQ";
    let bearer = format!("Bearer ann:{SECRET}");
    for request in [
        running
            .request("/connect")
            .with_header("Authorization", bearer),
        running.request("/connect?token=the%20clients'+own%20secret"),
        running
            .request("/connect")
            .with_sub_protocol(SUBPROTOCOL)
            .with_sub_protocol(entry),
    ] {
        Socket::join(request).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn the_raw_secret_passes_where_it_is_allowed() {
    let secret = "a cluster secret of ours";
    for allowed in [false, true] {
        let running = Running::with(|config| {
            config.cluster_secret = ClusterSecret::parse(secret).expect("long enough");
            config.raw_cluster_secret = allowed;
        })
        .await;
        let request = running.request("/discover?token=a%20cluster%20secret%20of%20ours");
        assert_eq!(Socket::open(request).await.is_ok(), allowed);
        running.stop().await;
    }
}

#[derive(Debug)]
struct Absent;

#[async_trait]
impl Authenticator for Absent {
    async fn authenticate(
        &self,
        _: auth::Role,
        _: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        Err(Refusal::Unavailable)
    }
}

#[derive(Debug)]
struct Silent;

#[async_trait]
impl Authenticator for Silent {
    async fn authenticate(
        &self,
        _: auth::Role,
        _: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        std::future::pending().await
    }
}
