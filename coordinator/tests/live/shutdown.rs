//! The end, of a session and of all.

use proto::{ErrorMessage, Reason};

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use crate::harness::Running;

#[tokio::test]
async fn every_session_is_told_and_none_is_let_in() {
    let running = Running::start().await;
    let (mut client, _) = running.client().await;
    let (mut old, _) = running.old_client().await;
    let addr = running.addr;
    running.shutdown.cancel();
    let error = client.receive::<ErrorMessage>().await;
    assert_eq!(error.code, u32::from(Reason::ShuttingDown.number()));
    assert!(error.retryable);
    assert_eq!(u16::from(client.closed().await.code), 4009);
    assert_eq!(u16::from(old.closed().await.code), 1001);
    drop((client, old));
    running.stop().await;
    assert!(TcpStream::connect(addr).await.is_err(), "it still listens");
}

#[tokio::test]
async fn a_session_that_does_not_answer_does_not_hold_it_up() {
    let running = Running::with(|config| {
        config.timeouts.close = std::time::Duration::from_secs(3600);
        config.timeouts.drain = std::time::Duration::from_millis(200);
    })
    .await;
    let (_deaf, _) = running.client().await;
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let running = Running::start().await;
    let (mut client, _) = running.client().await;
    let close = CloseFrame {
        code: CloseCode::Normal,
        reason: "bye".into(),
    };
    client.0.close(Some(close)).await.expect("an open socket");
    assert_eq!(client.closed().await.code, CloseCode::Normal);
    assert!(client.next().await.is_none(), "a clean end");
    let ended = "coordinator_sessions_closed_total{role=\"Client\",reason=\"PeerClosed\"} 1\n";
    running.metric(ended).await;
    running.stop().await;
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_does_not_hold_it_up() {
    let running = Running::with(|config| {
        config.timeouts.header = std::time::Duration::from_secs(3600);
        config.timeouts.request = std::time::Duration::from_secs(3600);
        config.timeouts.drain = std::time::Duration::from_secs(3600);
    })
    .await;
    let _idle = TcpStream::connect(running.addr).await.expect("it listens");
    // Connections are accepted in order: after this one, the idle one is in.
    running.get("/healthz").await;
    running.stop().await;
}
