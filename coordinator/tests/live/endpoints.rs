//! Health, readiness, metrics and pages.

use coordinator::{BindError, Config, Page, Server};

use crate::harness::{Running, Socket};

#[tokio::test]
async fn ready_means_that_clients_get_a_server() {
    let running = Running::start().await;
    assert!(running.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    assert!(running.get("/readyz").await.starts_with("HTTP/1.1 503 "));
    let (_hub, _) = Socket::join(running.hub_request()).await;
    running.metric("coordinator_hubs 1\n").await;
    assert!(running.get("/readyz").await.starts_with("HTTP/1.1 503 "));
    let (server, _) = running.server().await;
    running.page("/readyz", "HTTP/1.1 200 ").await;
    drop(server);
    running.page("/readyz", "HTTP/1.1 503 ").await;
    running.stop().await;
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let running = Running::start().await;
    let (client, _) = running.client().await;
    let (_old, _) = running.old_client().await;
    running
        .metric("coordinator_sessions_opened_total{role=\"Client\"} 2\n")
        .await;
    running.metric("coordinator_clients 2\n").await;
    running.metric("coordinator_clients_waiting 1\n").await;
    running.metric("coordinator_welcomes_total 2\n").await;
    drop(client);
    let ended = "coordinator_sessions_closed_total{role=\"Client\",reason=\"PeerGone\"} 1\n";
    running.metric(ended).await;
    let text = running.admin("/metrics").await;
    assert!(
        text.contains("content-type: application/openmetrics-text"),
        "{text}"
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
    running.stop().await;
}

#[tokio::test]
async fn a_plain_get_is_no_websocket() {
    let running = Running::start().await;
    for path in ["/connect", "/discover?role=COMMUNICATION_SERVER"] {
        let response = running.get(path).await;
        assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    }
    running
        .metric("coordinator_refusals_total{reason=\"NotAnUpgrade\"} 2\n")
        .await;
    assert!(running.get("/nothing").await.starts_with("HTTP/1.1 404 "));
    running.stop().await;
}

#[tokio::test]
async fn pages_come_with_their_headers() {
    let page = |path: &str, body: &'static str| Page {
        path: path.into(),
        content_type: "text/html; charset=utf-8".into(),
        body: body.into(),
    };
    let pages = vec![page("/", "<p>plaza"), page("/app.js", "hello()")];
    let running = Running::with(|config| config.pages = pages).await;
    let response = running.get("/").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(response.ends_with("\r\n\r\n<p>plaza"), "{response}");
    for header in [
        "content-type: text/html; charset=utf-8\r\n",
        "x-content-type-options: nosniff\r\n",
        "x-frame-options: DENY\r\n",
        "cross-origin-opener-policy: same-origin\r\n",
        "content-security-policy: default-src 'self'; connect-src 'self' ws: wss:",
    ] {
        assert!(response.contains(header), "{header} in {response}");
    }
    assert!(running.get("/app.js").await.ends_with("hello()"));
    running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_served_is_said_at_once() {
    let running = Running::start().await;
    let mut config = Config::new(
        std::sync::Arc::new(auth::AllowAll),
        auth::ClusterSecret::generate(),
    );
    config.listen = running.addr;
    let taken = Server::bind(config.clone())
        .await
        .expect_err("a taken port");
    let expected = format!("cannot listen on {}: ", running.addr);
    assert!(taken.to_string().starts_with(&expected), "{taken}");

    config.pages = vec![Page {
        path: "/readyz".into(),
        content_type: String::new(),
        body: bytes::Bytes::new(),
    }];
    let clash = Server::bind(config).await;
    assert!(
        matches!(clash, Err(BindError::PagePath { .. })),
        "{clash:?}"
    );
    running.stop().await;
}
