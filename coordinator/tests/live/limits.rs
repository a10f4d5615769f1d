//! What a session may not do, and what happens when it does.

use std::time::Duration;

use proto::{
    ConnectMessage, ErrorMessage, Message as _, MessageType, Reason, ServersMessage, WebRtcMessage,
    limits::SIGNAL_BYTES_MAX,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::harness::{DEADLINE, Running, Socket};

/// An ANSWER of exactly `size` bytes.
fn answer(to_alias: u64, size: usize) -> WebRtcMessage {
    let mut answer = WebRtcMessage {
        r#type: MessageType::WebrtcAnswer.into(),
        to_alias,
        data: vec![b'x'; size].into(),
        ..Default::default()
    };
    while answer.encoded_len() > size {
        answer.data.truncate(answer.data.len() - 1);
    }
    assert_eq!(answer.encoded_len(), size);
    answer
}

async fn expect_reason(socket: &mut Socket, reason: Reason) {
    let error = socket.receive::<ErrorMessage>().await;
    assert_eq!(error.code, u32::from(reason.number()));
    assert_eq!(u16::from(socket.closed().await.code), reason.close_code());
}

#[tokio::test]
async fn a_signal_has_its_size() {
    let running = Running::start().await;
    let (mut server, welcome) = running.server().await;
    server.receive::<ServersMessage>().await;
    for size in [SIGNAL_BYTES_MAX - 1, SIGNAL_BYTES_MAX] {
        let (mut client, _) = running.client().await;
        client.send(&answer(welcome.alias, size)).await;
        server.receive::<WebRtcMessage>().await;
    }
    let (mut client, _) = running.client().await;
    client
        .send(&answer(welcome.alias, SIGNAL_BYTES_MAX + 1))
        .await;
    expect_reason(&mut client, Reason::MessageTooLarge).await;
    let (mut old, _) = running.old_client().await;
    old.send(&answer(welcome.alias, SIGNAL_BYTES_MAX + 1)).await;
    assert_eq!(u16::from(old.closed().await.code), 1009);
    let ended = "coordinator_sessions_closed_total{role=\"Client\",reason=\"MessageTooLarge\"} 2\n";
    running.metric(ended).await;
    running.stop().await;
}

/// A WebSocket of which only the request is real: what follows is up to the test.
async fn raw_socket(running: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(running.addr).await.expect("it listens");
    let request = "GET /connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    stream
}

#[tokio::test]
async fn a_message_that_will_be_too_large_is_not_waited_for() {
    let running = Running::start().await;
    let mut stream = raw_socket(&running).await;
    // RFC 6455 section 5.2: binary, masked, 1 MiB to come; none of it comes.
    let header = [0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4];
    stream.write_all(&header).await.expect("it reads");
    let ended = "coordinator_sessions_closed_total{role=\"Client\",reason=\"MessageTooLarge\"} 1\n";
    running.metric(ended).await;
    running.stop().await;
}

#[tokio::test]
async fn a_session_that_does_not_read_is_closed_alone() {
    let running = Running::start().await;
    deaf_and_other(&running, "SessionQueueFull").await;
    running.stop().await;
}

#[tokio::test]
async fn a_session_that_reads_too_slowly_is_closed_alone() {
    let running = Running::with(|config| {
        config.limits.client_outbox.count_max = 10_000;
        config.limits.client_outbox.bytes_max = 1024 * 1024 * 1024;
        config.timeouts.write = Duration::from_millis(300);
    })
    .await;
    deaf_and_other(&running, "WriteTimeout").await;
    running.stop().await;
}

/// One client does not read what a server sends to it, and is closed for `reason`; another is not
/// hurt.
async fn deaf_and_other(running: &Running, reason: &str) {
    let (mut server, server_welcome) = running.server().await;
    server.receive::<ServersMessage>().await;
    let connect = ConnectMessage {
        r#type: MessageType::Connect.into(),
        to_alias: server_welcome.alias,
        ..Default::default()
    };
    let (mut deaf, deaf_welcome) = running.client().await;
    deaf.send(&connect).await;
    server.receive::<ConnectMessage>().await;
    let (mut other, other_welcome) = running.client().await;
    other.send(&connect).await;
    server.receive::<ConnectMessage>().await;

    // More than TCP's buffers and the outbox hold together.
    let mut flood = answer(deaf_welcome.alias, SIGNAL_BYTES_MAX);
    flood.r#type = MessageType::WebrtcIceCandidate.into();
    for _ in 0..1_200 {
        server.send(&flood).await;
    }
    let mut last = answer(other_welcome.alias, 100);
    last.r#type = MessageType::WebrtcOffer.into();
    server.send(&last).await;
    let told = other.receive::<WebRtcMessage>().await;
    assert_eq!(told.r#type(), MessageType::WebrtcOffer);
    let ended =
        format!("coordinator_sessions_closed_total{{role=\"Client\",reason=\"{reason}\"}} 1\n");
    running.metric(&ended).await;
    running.metric("coordinator_clients 1\n").await;
}

#[tokio::test]
async fn a_silent_session_is_pinged_and_then_closed() {
    let running = Running::with(|config| {
        config.timeouts.ping_interval = Duration::from_millis(100);
        config.timeouts.idle = Duration::from_secs(2);
    })
    .await;
    // It answers pings, because it reads: it stays.
    let (mut alive, _) = running.client().await;
    for _ in 0..30 {
        let frame = alive.next().await.expect("open").expect("a frame");
        assert!(matches!(frame, Frame::Ping(_)), "{frame:?}");
    }
    drop(alive);
    // It does not read at first, so nothing answers; what it finds then is why it was closed.
    let (mut silent, _) = running.client().await;
    let ended = "coordinator_sessions_closed_total{role=\"Client\",reason=\"IdleTimeout\"} 1\n";
    running.metric(ended).await;
    expect_reason(&mut silent, Reason::IdleTimeout).await;
    running.stop().await;
}

#[tokio::test]
async fn a_frame_that_breaks_the_rules_ends_its_session() {
    let running = Running::start().await;
    let mut stream = raw_socket(&running).await;
    // A binary frame without the mask that RFC 6455 section 5.1 demands of clients.
    let unmasked = [0x82, 0x01, 0x00];
    stream.write_all(&unmasked).await.expect("it reads");
    let ended =
        "coordinator_sessions_closed_total{role=\"Client\",reason=\"ProtocolViolation\"} 1\n";
    running.metric(ended).await;
    running.stop().await;
}

#[tokio::test]
async fn a_request_has_its_deadline_and_its_room() {
    let running = Running::with(|config| {
        config.timeouts.header = Duration::from_millis(300);
        config.limits.requests_max = 1;
    })
    .await;
    let stream = TcpStream::connect(running.addr).await;
    let mut stream = stream.expect("it listens");
    let unfinished = b"GET /connect HT";
    stream.write_all(unfinished).await.expect("it reads");
    // The operator has room of its own.
    running.admin("/metrics").await;
    // There is room for another only when the first has run into its deadline.
    running.get("/healthz").await;
    let text = running.admin("/metrics").await;
    assert!(
        text.contains("coordinator_requests_total{reason=\"TimedOut\"}"),
        "{text}"
    );
    let mut rest = Vec::new();
    let ended = timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
    ended.expect("in time").expect("a clean end");
    running.stop().await;
}

#[tokio::test]
async fn a_request_has_its_form() {
    let running = Running::start().await;
    running.raw(b"\x00\xff\r\n\r\n").await;
    let malformed = "coordinator_requests_total{reason=\"Malformed\"}";
    running.metric(malformed).await;
    let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(64 * 1024));
    let response = running.raw(long.as_bytes()).await;
    assert!(response.starts_with("HTTP/1.1 431 "), "{response}");
    running.stop().await;
}

#[tokio::test]
async fn a_session_that_signals_too_fast_waits_and_loses_nothing() {
    let running = Running::with(|config| {
        config.limits.core.client_rate.per_second = 1000;
        config.limits.core.client_rate.burst = 20;
    })
    .await;
    let (mut server, welcome) = running.server().await;
    server.receive::<ServersMessage>().await;
    let (mut client, _) = running.client().await;
    for _ in 0..200 {
        client.send(&answer(welcome.alias, 100)).await;
    }
    for _ in 0..200 {
        server.receive::<WebRtcMessage>().await;
    }
    let text = running.admin("/metrics").await;
    assert!(!text.contains("coordinator_pauses_total 0\n"), "{text}");
    running.stop().await;
}

/// Everything above the shares is taken by one that does not read: it is what has to go, however
/// much it may have for itself, and whoever is within its share does not notice.
#[tokio::test]
async fn who_holds_most_of_what_may_wait_for_all_is_closed_alone() {
    let running = Running::with(|config| {
        config.limits.client_outbox.count_max = 100_000;
        config.limits.client_outbox.bytes_max = 1024 * 1024 * 1024;
        config.limits.outbox_bytes_total_max = 1;
        config.limits.core.clients_max = 8;
        config.limits.core.servers_max = 2;
    })
    .await;
    deaf_and_other(&running, "SessionQueueFull").await;
    running.metric("coordinator_crowded_out_total 1\n").await;
    running.metric("coordinator_outbox_bytes 0\n").await;
    running.stop().await;
}
