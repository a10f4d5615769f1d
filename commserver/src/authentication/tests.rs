use super::*;
use crate::hub::seats::tests::ids;
use async_trait::async_trait;
use auth::{AllowAll, Authenticated, Refusal};
use shard::{Event, Handler, Peers, Shard, rtc_peer::Certificate};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

/// A hub that only listens.
struct Listener(mpsc::Sender<Command>);

impl Handler for Listener {
    type Command = Command;

    fn handle_event(&mut self, _now: Instant, _event: Event, _peers: &mut Peers) {}

    fn handle_command(&mut self, _now: Instant, command: Command, _peers: &mut Peers) {
        self.0.try_send(command).expect("the test has room");
    }

    fn handle_timeout(&mut self, _now: Instant, _peers: &mut Peers) {}

    fn next_deadline(&self) -> Option<Instant> {
        None
    }
}

/// Never answers, and knows how many wait for it.
#[derive(Debug, Default)]
struct Silent {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Ends with its call, however that ends.
struct Call<'a>(&'a Silent);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Authenticator for Silent {
    async fn authenticate(
        &self,
        _role: Role,
        _credentials: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let _call = Call(self);
        std::future::pending().await
    }
}

/// What the hub hears when so many peers ask for this role.
async fn answers(
    authenticator: Arc<dyn Authenticator>,
    role: Role,
    peers: u64,
) -> Vec<Result<Granted, Reason>> {
    let (heard, mut hears) = mpsc::channel(100);
    let certificate = Certificate::generate().expect("a certificate");
    let shard = Shard::bind(shard::Config::new(certificate, 1), Listener(heard)).expect("bound");
    let (hub, shutdown) = (shard.handle(), CancellationToken::new());
    let (asks, requests) = mpsc::channel(100);
    let desk = Desk {
        authenticator,
        requests,
        config: config::Authentication {
            calls_max: 2,
            timeout: Duration::from_millis(20),
            ..config::Authentication::default()
        },
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(shard.run(shutdown.clone()));
    tasks.spawn(desk.run(hub, shutdown.clone()));
    for peer in ids(peers) {
        let request = Request {
            peer,
            role,
            body: Bytes::new(),
            link: Link::default(),
            proof: Bytes::from_static(b"ours"),
        };
        asks.try_send(request).expect("room");
    }
    let mut results = Vec::new();
    for _ in 0..peers {
        let command = timeout(Duration::from_secs(10), hears.recv());
        match command.await.expect("an answer in time") {
            Some(Command::Authenticated { result, proof, .. }) => {
                assert_eq!(proof, "ours", "it comes back with the answer");
                results.push(result);
            }
            other => panic!("{other:?}"),
        }
    }
    shutdown.cancel();
    while tasks.join_next().await.is_some() {}
    results
}

#[tokio::test]
async fn so_many_calls_at_once_and_none_for_ever() {
    let silent = Arc::new(Silent::default());
    let results = answers(silent.clone(), Role::Client, 5).await;
    assert_eq!(results, vec![Err(Reason::AuthUnavailable); 5]);
    assert_eq!(silent.most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn answers_are_put_in_numbered_reasons() {
    let results = answers(Arc::new(AllowAll), Role::Client, 1).await;
    let everything = Granted::of(Authenticated::everything(Bytes::new()));
    assert_eq!(results, [Ok(everything)]);
    let results = answers(Arc::new(AllowAll), Role::Server, 1).await;
    assert_eq!(results, [Err(Reason::Forbidden)]);
}
