//! What an operator's tools ask.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Running, config, coordinator::Coordinator, run, within};

async fn get(server: &Running, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(&server.admin).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer))
        .await
        .expect("an answer");
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    (status.expect("a status"), answer)
}

#[tokio::test]
async fn ready_when_welcomed() {
    let coordinator = Coordinator::new().await;
    let mut server = run(config(&coordinator.url)).await;
    assert_eq!(get(&server, "/healthz").await.0, 200);
    assert_eq!(get(&server, "/readyz").await.0, 503);
    let mut session = coordinator.accept().await;
    session.welcome(77).await;
    within(server.status.welcomed()).await;
    assert_eq!(get(&server, "/readyz").await.0, 200);
    assert_eq!(get(&server, "/").await.0, 404);
    drop(session);
    server.stop().await;
}

#[tokio::test]
async fn everything_counted_is_shown() {
    let coordinator = Coordinator::new().await;
    let mut server = run(config(&coordinator.url)).await;
    let mut session = coordinator.accept().await;
    session.welcome(77).await;
    // Of a type that no one knows.
    session.send(vec![0x08, 0x63]).await;
    let counted = |stats: &commserver::Stats| stats.dropped(commserver::Drop::UnknownType) == 1;
    assert!(within(server.status.wait_for(counted)).await);
    let (status, page) = get(&server, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "broker_uplink_connected 1",
        "broker_drops_total{reason=\"unknown_type\"} 1",
        "broker_drops_total{reason=\"hop_limit\"} 0",
        "broker_delivered_total{lane=\"unreliable\"} 0",
        "broker_transport_drops_total{reason=\"evicted\"} 0",
        "broker_transports 0",
        "# EOF",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in {page}");
    }
    server.stop().await;
}
