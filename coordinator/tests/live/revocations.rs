//! Who is not to be here any more, and whose token has ended.

use std::{fs, path::PathBuf, sync::Arc, time::Duration, time::SystemTime};

use async_trait::async_trait;
use auth::{Authenticated, Authenticator, Credentials, Refusal, Role, SharedSecret};
use coordinator::{BindError, Config, Server};
use proto::{
    ErrorMessage, Reason, RevokedMessage, SUBPROTOCOL, ServersMessage, WelcomeMessage,
    revocation::Target,
};

use crate::harness::{Running, Socket, raw};

const SECRET: &str = "the clients' own secret";

fn named(config: &mut Config) {
    config.clients = Arc::new(SharedSecret::new(&SECRET.into()));
}

/// Asks to be let in under this name.
async fn come(running: &Running, name: &str) -> Socket {
    let request = running.request("/connect").with_sub_protocol(SUBPROTOCOL);
    let bearer = format!("Bearer {name}:{SECRET}");
    let request = request.with_header("Authorization", bearer);
    Socket::open(request).await.expect("an upgrade")
}

async fn post(running: &Running, body: &str) -> String {
    let (admin, length) = (running.admin, body.len());
    let request = format!(
        "POST /v1/admin/revoke HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    raw(admin, request.as_bytes()).await
}

async fn revoke(running: &Running, body: &str) {
    let answer = post(running, body).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

async fn shut_out(mut socket: Socket) {
    let error = socket.receive::<ErrorMessage>().await;
    assert_eq!(error.code, u32::from(Reason::Revoked.number()));
    assert!(!error.retryable, "whoever hears it does not come back");
    let code = u16::from(socket.closed().await.code);
    assert_eq!(code, Reason::Revoked.close_code());
}

#[tokio::test]
async fn a_subject_is_closed_and_not_let_in_and_the_servers_are_told() {
    let running = Running::with(named).await;
    let (mut server, _) = running.server().await;
    server.receive::<ServersMessage>().await;
    let mut ann = come(&running, "ann").await;
    ann.receive::<WelcomeMessage>().await;
    let mut ben = come(&running, "ben").await;
    ben.receive::<WelcomeMessage>().await;

    revoke(&running, r#"{"subject": "ann", "for_s": 60}"#).await;
    shut_out(ann).await;
    shut_out(come(&running, "ann").await).await;
    let target = Target::Identity("ann".into());
    let told = server.receive::<RevokedMessage>().await;
    assert_eq!(told.entries, [target.to_entry(60)]);
    // One that comes later is told as well.
    let (mut late, _) = running.server().await;
    late.receive::<ServersMessage>().await;
    let told = late.receive::<RevokedMessage>().await;
    assert_eq!(Target::of_entry(&told.entries[0]), Some(target));

    let listed = running.admin("/v1/admin/revocations").await;
    assert!(listed.contains(r#"[{"subject":"ann","until":"#), "{listed}");
    running.metric("coordinator_revocations 1\n").await;
    running.metric("coordinator_revoked_total 1\n").await;

    revoke(&running, r#"{"subject": "ann", "for_s": 0}"#).await;
    let mut ann = come(&running, "ann").await;
    ann.receive::<WelcomeMessage>().await;
    let listed = running.admin("/v1/admin/revocations").await;
    assert!(listed.ends_with(r#"{"revocations":[]}"#), "{listed}");
    running.stop().await;
}

#[tokio::test]
async fn an_alias_does_not_come_back_by_its_resume_token() {
    let running = Running::start().await;
    let (client, welcome) = running.client().await;
    let body = format!(r#"{{"alias": {}}}"#, welcome.alias);
    revoke(&running, &body).await;
    shut_out(client).await;
    let resume = format!("resume.{}", welcome.resume_token);
    let request = running.request("/connect").with_sub_protocol(SUBPROTOCOL);
    let request = request.with_sub_protocol(resume);
    shut_out(Socket::open(request).await.expect("an upgrade")).await;
    running.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let running = Running::start().await;
    let long = format!(r#"{{"subject": "{}"}}"#, "x".repeat(1_025));
    for body in [
        "",
        "{}",
        "[]",
        r#"{"for_s": 1}"#,
        r#"{"subject": ""}"#,
        r#"{"token_id": ""}"#,
        r#"{"alias": 0}"#,
        r#"{"alias": -1}"#,
        r#"{"subject": "ann", "alias": 1}"#,
        r#"{"subject": "ann", "until": 1}"#,
        &long,
    ] {
        let answer = post(&running, body).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{body}: {answer}");
        assert!(answer.contains(r#"{"error":""#), "{body}: {answer}");
    }
    let listed = running.admin("/v1/admin/revocations").await;
    assert!(listed.ends_with(r#"{"revocations":[]}"#), "{listed}");
    running.stop().await;
}

/// A file of this test's own.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("{name}-{}.json", std::process::id()))
}

#[tokio::test]
async fn a_restart_forgets_nothing_that_has_a_file() {
    let file = file("revocations");
    let with_file = |config: &mut Config| {
        named(config);
        config.revocations_file = Some(file.clone());
    };
    let running = Running::with(with_file).await;
    revoke(&running, r#"{"subject": "ann"}"#).await;
    running.stop().await;
    let running = Running::with(with_file).await;
    shut_out(come(&running, "ann").await).await;
    running.stop().await;

    // Rather nobody at all than those who are shut out.
    fs::write(&file, "{").expect("written");
    let mut config = Config::new(Arc::new(auth::AllowAll), auth::ClusterSecret::generate());
    config.listen.set_port(0);
    with_file(&mut config);
    let bound = Server::bind(config).await;
    assert!(matches!(bound, Err(BindError::Revocations(_))), "{bound:?}");
    fs::remove_file(&file).expect("removed");
}

/// Lets in everybody, for no time at all.
#[derive(Debug)]
struct Ended;

#[async_trait]
impl Authenticator for Ended {
    async fn authenticate(
        &self,
        _role: Role,
        _credentials: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        Ok(Authenticated {
            expires: Some(SystemTime::now()),
            ..Authenticated::everything("ann".into())
        })
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let running = Running::with(|config| {
        config.clients = Arc::new(Ended);
        config.timeouts.expiry_min = Duration::from_millis(50);
    })
    .await;
    let (mut server, _) = running.server().await;
    server.receive::<ServersMessage>().await;
    let (mut client, _) = running.client().await;
    let error = client.receive::<ErrorMessage>().await;
    assert_eq!(error.code, u32::from(Reason::TokenExpired.number()));
    assert!(error.retryable);
    let code = u16::from(client.closed().await.code);
    assert_eq!(code, Reason::TokenExpired.close_code());
    // A server's token is for one dial, and its session for ever.
    running.metric("coordinator_servers 1\n").await;
    running.stop().await;
}
