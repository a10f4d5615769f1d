//! Registered clients over HTTP: who may do what, and what a flood of logins does to the others.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use auth::{Registered, SharedSecret};
use coordinator::{Accounts, Config};
use tokio::task::JoinSet;

use crate::harness::{Running, Socket, raw};

const KEY: &str = "ann's key, of thirty-two bytes or more";
const ADMIN: &str = "the operator's secret";

/// A file that is gone with this value.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("coordinator-accounts-{}-{nth}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

async fn start(file: &File, change: impl FnOnce(&mut Accounts)) -> Running {
    let mut accounts = Accounts::new(file.0.clone());
    accounts.keys_per_s = 1_000;
    change(&mut accounts);
    Running::with(|config: &mut Config| {
        let standing = Arc::clone(&accounts.standing);
        let registered = Registered::new(&config.cluster_secret).with_standing(standing);
        config.clients = Arc::new(registered);
        config.admin_secret = Some(SharedSecret::new(&ADMIN.into()));
        config.accounts = Some(accounts);
    })
    .await
}

/// Status, and the whole response.
async fn post(running: &Running, path: &str, bearer: Option<&str>, body: &str) -> (u16, String) {
    let bearer = bearer.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let request = format!(
        "POST /v1/auth/{path} HTTP/1.1\r\nHost: c\r\nContent-Length: {}\r\n{}\r\n{body}",
        body.len(),
        bearer.unwrap_or_default(),
    );
    let response = raw(running.addr, request.as_bytes()).await;
    let status = response
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok());
    (status.expect("a status"), response)
}

fn named(client: &str) -> String {
    format!(r#"{{"clientID":"{client}","authKey":"{KEY}"}}"#)
}

fn token_in(response: &str) -> String {
    let (_, rest) = response.split_once(r#""bearerToken":""#).expect("a token");
    rest.split('"').next().expect("its end").into()
}

async fn log_in(running: &Running, client: &str) -> String {
    let (status, response) = post(running, "login", None, &named(client)).await;
    assert_eq!(status, 200, "{response}");
    assert!(
        response.contains("cache-control: no-store\r\n"),
        "{response}"
    );
    token_in(&response)
}

async fn joins(running: &Running, token: &str) -> bool {
    let request = running.request("/connect");
    let request = request.with_header("Authorization", format!("Bearer {token}"));
    Socket::open(request).await.is_ok()
}

#[tokio::test]
async fn a_client_that_an_operator_registers_logs_in_and_joins() {
    let file = File::new();
    let running = start(&file, |_| {}).await;
    let (status, response) = post(&running, "register", Some(ADMIN), &named("ann")).await;
    assert_eq!(status, 201, "{response}");
    assert!(
        response.ends_with(r#"{"clientID":"ann","code":"201"}"#),
        "{response}"
    );
    let first = log_in(&running, "ann").await;
    assert!(joins(&running, &first).await);
    let second = log_in(&running, "ann").await;
    assert!(joins(&running, &second).await);
    assert!(
        !joins(&running, &first).await,
        "another has taken its place"
    );

    let (status, response) = post(
        &running,
        "unregister",
        Some(&second),
        r#"{"clientID":"ann"}"#,
    )
    .await;
    assert_eq!(status, 200, "{response}");
    assert!(!joins(&running, &second).await, "it has gone");
    let requests = "coordinator_account_requests_total{request=\"Login\",result=\"Done\"} 2\n";
    running.metric(requests).await;
    running.metric("coordinator_registered_clients 0\n").await;
    running.stop().await;
}

#[tokio::test]
async fn who_may_do_what() {
    let file = File::new();
    let running = start(&file, |_| {}).await;
    let ann = r#"{"clientID":"ann"}"#;
    let wrong = named("ann").replace("ann's", "bob's");
    let own = named("eve").replace('}', r#","publish":["a"]}"#);
    for (path, bearer, body, expected) in [
        ("register", None, named("ann").as_str(), 401),
        (
            "register",
            Some("a wrong secret, also long"),
            &named("ann"),
            401,
        ),
        ("register", Some(ADMIN), "{}", 400),
        ("register", Some(ADMIN), "no JSON", 400),
        (
            "register",
            Some(ADMIN),
            r#"{"clientID":"ann","authKey":"short"}"#,
            400,
        ),
        ("register", Some(ADMIN), &named("ann"), 201),
        ("register", Some(ADMIN), &named("ann"), 409),
        ("register", Some(ADMIN), &own, 201),
        ("login", None, &wrong, 401),
        ("login", None, &named("nobody"), 401),
        ("login", None, &"x".repeat(17 * 1024), 413),
        ("unregister", None, ann, 401),
        ("unregister", Some("garbage"), ann, 401),
        ("unregister", Some(ADMIN), r#"{"clientID":"nobody"}"#, 404),
        ("unregister", Some(ADMIN), ann, 200),
    ] {
        let (status, response) = post(&running, path, bearer, body).await;
        assert_eq!(status, expected, "{path} {bearer:?} {body}: {response}");
        for secret in [KEY, ADMIN] {
            assert!(!response.contains(secret), "{response}");
        }
    }
    let eve = log_in(&running, "eve").await;
    let (status, _) = post(&running, "unregister", Some(&eve), ann).await;
    assert_eq!(status, 403, "a client may unregister itself alone");
    let get = running.get("/v1/auth/login").await;
    assert!(get.starts_with("HTTP/1.1 405 "), "{get}");
    running.stop().await;
}

#[tokio::test]
async fn anybody_may_register_where_that_is_allowed_and_not_say_what_it_may() {
    let file = File::new();
    let running = start(&file, |accounts| accounts.self_registration = true).await;
    let greedy = named("eve").replace('}', r#","subscribe":["a"]}"#);
    for (bearer, body, expected) in [
        (None, &named("ann"), 201),
        (None, &greedy, 403),
        (Some(ADMIN), &greedy, 201),
        (Some("not the secret"), &named("mallory"), 401),
    ] {
        let (status, response) = post(&running, "register", bearer, body).await;
        assert_eq!(status, expected, "{bearer:?} {response}");
    }
    running.stop().await;
}

#[tokio::test]
async fn without_registered_clients_there_is_nothing_to_ask() {
    let running = Running::start().await;
    let (status, _) = post(&running, "login", None, &named("ann")).await;
    assert_eq!(status, 404);
    running.stop().await;
}

#[tokio::test]
async fn a_flood_of_logins_waits_for_itself() {
    let file = File::new();
    let running = start(&file, |accounts| {
        accounts.keys_per_s = 1;
        accounts.waiting_max = 4;
    })
    .await;
    let running = Arc::new(running);
    let mut flood = JoinSet::new();
    for _ in 0..100 {
        let running = Arc::clone(&running);
        flood.spawn(async move { post(&running, "login", None, &named("ann")).await.0 });
    }
    // A handful has a place, and is there for seconds; the others are told at once.
    let mut refused = 0;
    while refused < 90 {
        let status = flood
            .join_next()
            .await
            .expect("a hundred")
            .expect("no panic");
        assert!(matches!(status, 401 | 429), "{status}");
        refused += usize::from(status == 429);
    }
    let (server, _) = running.server().await;
    assert!(!flood.is_empty(), "logins are still under way");
    drop(server);
    let looked_at = flood
        .join_all()
        .await
        .into_iter()
        .filter(|status| *status == 401);
    assert!(looked_at.count() > 0, "those who waited had their turn");
    let metrics = running.admin("/metrics").await;
    let busy = "coordinator_account_requests_total{request=\"Login\",result=\"Busy\"} 9";
    assert!(metrics.contains(busy), "{metrics}");
    let running = Arc::into_inner(running).expect("nobody else has it");
    running.stop().await;
}
