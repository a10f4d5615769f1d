//! The admin listener: what is there and not on the public one, and who may use its API.

use std::net::SocketAddr;

use auth::SharedSecret;
use coordinator::{BindError, Config, Server};

use crate::harness::{Running, raw};

const SECRET: &str = "a secret of the operator's";

fn with_secret(config: &mut Config) {
    config.admin_secret = Some(SharedSecret::new(&SECRET.into()));
}

/// The response of the admin API to a request with these headers.
async fn ask(addr: SocketAddr, headers: &str) -> String {
    let request = format!(
        "GET /v1/admin/status HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{headers}\r\n"
    );
    raw(addr, request.as_bytes()).await
}

#[tokio::test]
async fn the_operators_pages_are_on_their_own_listener() {
    let running = Running::start().await;
    for path in ["/metrics", "/v1/admin/status"] {
        let public = running.get(path).await;
        assert!(public.starts_with("HTTP/1.1 404 "), "{public}");
        let admin = running.admin(path).await;
        assert!(admin.starts_with("HTTP/1.1 200 "), "{admin}");
    }
    // Health is on both; sessions are not.
    assert!(running.admin("/healthz").await.starts_with("HTTP/1.1 200 "));
    assert!(running.admin("/readyz").await.starts_with("HTTP/1.1 503 "));
    assert!(running.admin("/connect").await.starts_with("HTTP/1.1 404 "));
    let (_client, _) = running.client().await;
    running.metric("coordinator_clients 1\n").await;
    let status = running.admin("/v1/admin/status").await;
    assert!(status.contains("\"clients\":1,"), "{status}");
    running.stop().await;
}

#[tokio::test]
async fn the_admin_api_asks_for_its_secret() {
    let running = Running::with(with_secret).await;
    let good = format!("Authorization: Bearer {SECRET}\r\n");
    let answer = ask(running.admin, &good).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let wrong = format!("Authorization: Bearer {SECRET}x\r\n");
    let named = format!("Authorization: Bearer ann:{SECRET}\r\n");
    for headers in ["", &wrong, &named, "Authorization: Bearer \r\n"] {
        let refused = ask(running.admin, headers).await;
        assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
        assert!(refused.contains("www-authenticate: Bearer"), "{refused}");
    }
    let metric = "coordinator_admin_refusals_total{reason=\"Unauthenticated\"} 4\n";
    running.metric(metric).await;
    running.stop().await;
}

#[tokio::test]
async fn without_a_secret_the_admin_api_answers_programs_on_this_machine_only() {
    let running = Running::start().await;
    let answer = ask(running.admin, "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // A page in a browser on this machine, and a proxy, act for somebody elsewhere.
    for headers in [
        "Origin: https://elsewhere.example\r\n",
        "X-Forwarded-For: 203.0.113.9\r\n",
    ] {
        let refused = ask(running.admin, headers).await;
        assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    }
    let metric = "coordinator_admin_refusals_total{reason=\"Forbidden\"} 2\n";
    running.metric(metric).await;
    running.stop().await;
}

#[tokio::test]
async fn others_reach_the_admin_listener_only_with_a_secret() {
    let mut config = Config::new(
        std::sync::Arc::new(auth::AllowAll),
        auth::ClusterSecret::generate(),
    );
    config.listen.set_port(0);
    config.admin_listen = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
    let open = Server::bind(config.clone()).await;
    assert!(
        matches!(open, Err(BindError::AdminWithoutSecret { .. })),
        "{open:?}"
    );
    with_secret(&mut config);
    let server = Server::bind(config).await.expect("a secret");
    assert!(server.admin_addr().is_some());
}
