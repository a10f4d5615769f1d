//! Pages of which sites may come.

use coordinator::{Config, Origins};
use proto::{ErrorMessage, Reason, SUBPROTOCOL};
use settings::Value as _;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, http::StatusCode};

use crate::harness::{Running, Socket, refusal};

const APP: &str = "https://app.example";
const STRANGE: &str = "https://strange.example";

fn listed(config: &mut Config) {
    config.allowed_origins = Origins::parse(APP).expect("an origin");
}

fn page_of(request: ClientRequestBuilder, origin: &str) -> ClientRequestBuilder {
    request.with_header("Origin", origin)
}

/// The answer to a request with these headers.
async fn ask(running: &Running, method: &str, headers: &str) -> String {
    let request =
        format!("{method} /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    running.raw(request.as_bytes()).await
}

#[tokio::test]
async fn a_page_of_another_site_is_refused() {
    let running = Running::with(listed).await;
    let (status, body) = refusal(Socket::open(page_of(running.request("/connect"), STRANGE)).await);
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("\"code\":28,"), "{body}");
    let request = page_of(running.request("/connect"), STRANGE).with_sub_protocol(SUBPROTOCOL);
    let mut socket = Socket::open(request).await.expect("an upgrade");
    let error = socket.receive::<ErrorMessage>().await;
    assert_eq!(error.code, u32::from(Reason::OriginForbidden.number()));
    assert!(!error.retryable);
    let metric = "coordinator_refusals_total{reason=\"OriginForbidden\"} 2\n";
    running.metric(metric).await;

    let own = format!("http://{}", running.addr);
    for origin in [APP, &own] {
        Socket::join(page_of(running.request("/connect"), origin)).await;
    }
    // Programs are not asked.
    running.client().await;
    running.stop().await;
}

#[tokio::test]
async fn any_site_may_come_when_none_is_listed() {
    let running = Running::start().await;
    Socket::join(page_of(running.request("/connect"), STRANGE)).await;
    running.stop().await;
}

#[tokio::test]
async fn pages_that_may_come_may_read_the_answers() {
    let running = Running::with(listed).await;
    let allowed = format!("access-control-allow-origin: {APP}\r\n");
    for (origin, may) in [(APP, true), (STRANGE, false)] {
        let origin = format!("Origin: {origin}\r\n");
        let answer = ask(&running, "GET", &origin).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(answer.contains(&allowed), may, "{answer}");
        assert!(answer.contains("vary: Origin\r\n"), "{answer}");
        assert!(!answer.contains("allow-credentials"), "{answer}");

        let first = format!("{origin}Access-Control-Request-Method: POST\r\n");
        let answer = ask(&running, "OPTIONS", &first).await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        assert_eq!(answer.contains(&allowed), may, "{answer}");
        let headers = "access-control-allow-headers: authorization, content-type\r\n";
        assert_eq!(answer.contains(headers), may, "{answer}");
    }
    let answer = ask(&running, "GET", "").await;
    assert!(!answer.contains("access-control-allow"), "{answer}");
    running.stop().await;
}
