//! The link to the coordinator, from the other side.

use std::time::{Duration, SystemTime};

use auth::Role;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use proto::{
    ConnectMessage, ConnectionRefusedMessage, Message, MessageType, Role as WireRole, ServerState,
    peek,
};

use crate::{config, coordinator::Coordinator, run, secret, within};

#[tokio::test]
async fn shows_who_it_is() {
    let coordinator = Coordinator::new().await;
    let mut server = run(config(&coordinator.url)).await;
    let mut session = coordinator.accept().await;
    let request = &session.request;
    assert_eq!(request.uri(), "/discover?role=COMMUNICATION_SERVER");
    let headers = request.headers();
    assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], proto::SUBPROTOCOL);
    let bearer = headers[AUTHORIZATION].to_str().expect("text");
    let token = bearer.strip_prefix("Bearer ").expect("a bearer token");
    let verdict = secret().verify_uplink_token(token, Role::Server, SystemTime::now());
    assert_eq!(verdict, Ok(()));

    assert_eq!(server.status.alias(), None);
    session.welcome(77).await;
    assert_eq!(within(server.status.welcomed()).await, Some(77));
    server.stop().await;
    assert!(session.ends_politely().await);
}

#[tokio::test]
async fn shows_the_token_that_it_was_given_last() {
    let coordinator = Coordinator::new().await;
    let mut server = run(config(&coordinator.url)).await;
    let ours = proto::SUBPROTOCOL;
    let mut session = coordinator.accept().await;
    assert_eq!(session.offered(), [ours], "it has none yet");
    session.welcome_with_token(77, "first.token").await;
    within(server.status.welcomed()).await;
    drop(session);

    // One that does not get as far as WELCOME changes nothing.
    for _ in 0..2 {
        let session = coordinator.accept().await;
        assert_eq!(session.offered(), [ours, "resume.first.token"]);
    }
    let mut session = coordinator.accept().await;
    session.welcome_with_token(77, "second.token").await;
    // The last word, and the socket is closed right behind it.
    session.replaced().await;
    drop(session);
    let session = coordinator.accept().await;
    assert_eq!(session.offered(), [ours], "somebody else has shown it");
    drop(session);
    server.stop().await;
}

#[tokio::test]
async fn reports_its_load_again_and_again() {
    let coordinator = Coordinator::new().await;
    let mut config = config(&coordinator.url);
    config.limits.peers_max = 5;
    config.uplink.load_interval = Duration::from_millis(20);
    let server = run(config).await;
    let mut session = coordinator.accept().await;
    session.welcome_to_report(77).await;
    for _ in 0..3 {
        let load = session.load().await;
        assert_eq!(load.state(), ServerState::Live);
        assert_eq!((load.peers, load.peers_max), (0, 5));
        assert!(load.cpu_permille <= 1_000, "{load:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_2019_coordinator_sees_no_token() {
    let coordinator = Coordinator::new().await;
    let server = run(config(&coordinator.url)).await;
    let mut session = coordinator.accept().await;
    session.welcome_with_token(77, "a.token").await;
    drop(session);
    drop(coordinator.accept_speaking(None).await);
    let session = coordinator.accept_speaking(None).await;
    let session = session.expect("a session");
    assert_eq!(session.offered(), [""; 0]);
    drop(session);
    server.stop().await;
}

#[tokio::test]
async fn a_hub_says_so() {
    let coordinator = Coordinator::new().await;
    let mut config = config(&coordinator.url);
    config.hub = true;
    let server = run(config).await;
    let session = coordinator.accept().await;
    let request = &session.request;
    assert_eq!(request.uri(), "/discover?role=COMMUNICATION_SERVER_HUB");
    let bearer = request.headers()[AUTHORIZATION].to_str().expect("text");
    let token = bearer.strip_prefix("Bearer ").expect("a bearer token");
    let verdict = |role| secret().verify_uplink_token(token, role, SystemTime::now());
    assert_eq!(verdict(Role::Hub), Ok(()));
    assert!(verdict(Role::Server).is_err());
    server.stop().await;
}

#[tokio::test]
async fn says_where_it_is() {
    let coordinator = Coordinator::new().await;
    let mut config = config(&coordinator.url);
    config.region = Some("eu-west.1".into());
    let server = run(config).await;
    let session = coordinator.accept().await;
    let target = "/discover?role=COMMUNICATION_SERVER&region=eu-west.1";
    assert_eq!(session.request.uri(), target);
    drop(session);
    server.stop().await;
}

fn connect(to_alias: u64) -> Vec<u8> {
    let connect = ConnectMessage {
        r#type: MessageType::Connect.into(),
        from_alias: 5,
        to_alias,
        from_role: WireRole::Client.into(),
    };
    connect.encode_to_vec()
}

#[tokio::test]
async fn dials_again_and_takes_the_new_alias() {
    let coordinator = Coordinator::new().await;
    let mut config = config(&coordinator.url);
    config.limits.peers_max = 0;
    let server = run(config).await;
    for alias in 1..4 {
        let mut session = coordinator.accept().await;
        session.welcome(alias).await;
        session.send(connect(alias)).await;
        let signal = session.signal().await.expect("a signal");
        let kind = peek::message_type(&signal);
        assert_eq!(kind, Some(MessageType::ConnectionRefused));
        let refused = ConnectionRefusedMessage::decode(signal).expect("CONNECTION_REFUSED");
        assert_eq!((refused.from_alias, refused.to_alias), (alias, 5));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_2019_coordinator_does_not_know_the_subprotocol() {
    let coordinator = Coordinator::new().await;
    let mut server = run(config(&coordinator.url)).await;
    drop(coordinator.accept_speaking(None).await);
    let mut session = coordinator.accept_speaking(None).await.expect("a session");
    let headers = session.request.headers();
    assert!(!headers.contains_key(SEC_WEBSOCKET_PROTOCOL));
    session.welcome(5).await;
    assert_eq!(within(server.status.welcomed()).await, Some(5));
    drop(session);
    let session = coordinator.accept().await;
    let asked_again = session
        .request
        .headers()
        .contains_key(SEC_WEBSOCKET_PROTOCOL);
    assert!(asked_again, "it may be another one by now");
    server.stop().await;
}

#[tokio::test]
async fn does_not_wait_for_ever() {
    let coordinator = Coordinator::new().await;
    let mut config = config(&coordinator.url);
    config.uplink.dial_timeout = Duration::from_millis(50);
    config.uplink.idle_timeout = Duration::from_millis(100);
    let server = run(config).await;
    let silent = coordinator.accept_silently().await;
    // It was welcomed by nobody, and tries another time; that session then goes quiet.
    let quiet = coordinator.accept().await;
    let third = coordinator.accept().await;
    drop((silent, quiet, third));
    server.stop().await;
}

#[tokio::test]
async fn stops_while_nobody_answers() {
    let coordinator = Coordinator::new().await;
    let url = coordinator.url.clone();
    drop(coordinator);
    run(config(&url)).await.stop().await;
}
