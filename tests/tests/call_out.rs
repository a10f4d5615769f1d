//! A service outside of the cluster: one that decides about each token, and one that publishes the
//! keys of tokens. Real clients, through a coordinator and a commserver that ask it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail, ensure};
use auth::Authenticator;
use auth::call_out::{CallOut, Config, OnOutage, Service};
use auth::jwt::claims::{Claims, Seconds};
use auth::jwt::keys::KeySet;
use auth::jwt::published::{AtAddress, Published, REFRESH};
use auth::jwt::signing::SigningKey;
use auth::jwt::{Jwt, Rules};
use auth::metrics::Metrics;
use auth::remote::{Address, Trust};
use client::Event;
use proto::{Lane, Reason};
use serde_json::{Value, json};
use settings::Settings;
use tests::cluster::{Cluster, Setup};
use tests::front::Front;
use tests::member::{self, Member};
use tests::pki::{Authority, Folder, Validity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const TOPIC: &str = "plaza/1";

/// An example of such a service, as small as it can be: one answer for each request, as JSON.
struct Example {
    addr: SocketAddr,
    tasks: JoinSet<()>,
}

impl Example {
    async fn start(answers: impl Fn(Value) -> Value + Clone + Send + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answers.clone()));
            }
        });
        Ok(Self { addr, tasks })
    }

    /// It does not answer any more.
    async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }
}

async fn serve(mut stream: TcpStream, answers: impl Fn(Value) -> Value + Send) {
    let mut request = Vec::new();
    let asked = loop {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&request);
        match text.split_once("\r\n\r\n") {
            // Nothing is asked of a publisher.
            Some((head, _)) if head.starts_with("GET ") => break Value::Null,
            Some((_, body)) => {
                if let Ok(asked) = serde_json::from_str(body) {
                    break asked;
                }
            }
            None => {}
        }
    };
    let body = answers(asked).to_string();
    let response = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    drop(stream.write_all(response.as_bytes()).await);
}

/// A cluster whose servers ask it about each token.
async fn asking(example: &Example, on_outage: OnOutage) -> Result<Cluster> {
    let url = format!("http://{}/auth", example.addr);
    let config = Config {
        on_outage,
        timeout: Duration::from_secs(5),
        ..Config::default()
    };
    let service = Service::at(&url, &Trust::none()?, None)?;
    let setup = Setup {
        clients: Arc::new(CallOut::new(service, config, Metrics::default())),
        ..Setup::default()
    };
    setup.start(1).await
}

async fn join(cluster: &Cluster, token: &str) -> Result<Member> {
    Member::join_as(&member::config(&cluster.url())?.with_token(token)).await
}

/// Whoever shows `NAME's ticket` is that one, and may talk in the plaza.
fn tickets(asked: Value) -> Value {
    let token = asked.get("token").and_then(Value::as_str);
    let token = token.unwrap_or_default();
    match token.strip_suffix("'s ticket") {
        Some(name) => json!({"allow": true, "identity": name, "publish": ["plaza/+"]}),
        None => json!({"allow": false}),
    }
}

#[tokio::test]
async fn who_the_service_lets_in_is_whom_it_names() -> Result<()> {
    let example = Example::start(tickets).await?;
    let cluster = asking(&example, OnOutage::Deny).await?;
    let ann = join(&cluster, "ann's ticket").await?;
    let mut bob = join(&cluster, "bob's ticket").await?;
    bob.client.subscribe(&[TOPIC]).await?;
    ann.client
        .publish_with_identity(TOPIC, Lane::Reliable, "it is me")
        .await?;
    let identity = bob.message().await?.identity;
    ensure!(
        identity
            .as_ref()
            .is_some_and(|identity| identity.bytes == "ann"),
        "{identity:?}"
    );
    let config = member::config(&cluster.url())?.with_token("a forged one");
    let stopped = Member::start(&config)?.stopped().await?;
    ensure!(stopped == Reason::Unauthenticated, "{stopped:?}");
    cluster.stop().await
}

#[tokio::test]
async fn an_outage_costs_nobody_a_connection_and_strangers_their_time() -> Result<()> {
    let mut example = Example::start(tickets).await?;
    let last_known = OnOutage::LastKnown(Duration::from_secs(3600));
    let cluster = asking(&example, last_known).await?;
    let mut ann = join(&cluster, "ann's ticket").await?;
    ann.client.subscribe(&[TOPIC]).await?;
    example.stop().await;

    // Who is known comes back, who is not may try again.
    let bob = join(&cluster, "ann's ticket").await?;
    bob.publish(TOPIC, Lane::Reliable, "still here").await?;
    ensure!(ann.message().await?.body == "still here");
    let config = member::config(&cluster.url())?.with_token("eve's ticket");
    let reason = retrying(&mut Member::start(&config)?).await?;
    ensure!(reason == Reason::AuthUnavailable, "{reason:?}");
    cluster.stop().await
}

/// Who is let in with these settings, as a server takes them from its environment.
fn doors(url: &str, ca: &Path) -> Result<Arc<dyn Authenticator>> {
    let (url, ca) = (url.to_owned(), ca.display().to_string());
    let look_up = move |name: &str| match name {
        "BROKER_AUTH__CALL_OUT__URL" => Some(url.clone()),
        "BROKER_AUTH__CA_FILE" => Some(ca.clone()),
        _ => None,
    };
    let mut settings = Settings::new(look_up.clone());
    let host = auth_settings::Host {
        environment: &look_up,
        cluster: None,
        standing: None,
    };
    let doors = auth_settings::take(&mut settings, &host);
    settings.finish()?;
    Ok(doors.clients)
}

#[tokio::test]
async fn the_authority_in_the_settings_is_the_one_that_is_believed() -> Result<()> {
    let example = Example::start(tickets).await?;
    let folder = Folder::new()?;
    let authority = Authority::new("ours")?;
    let pair = authority.issue(&folder, "service", &["127.0.0.1"], Validity::Now)?;
    let front = Front::start(example.addr, pair).await?;
    let url = format!("https://{}/auth", front.addr());
    let ours = authority.write(&folder, "ca.pem")?;
    let stranger = Authority::new("a stranger's")?.write(&folder, "strange.pem")?;

    let setup = Setup {
        clients: doors(&url, &ours)?,
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    join(&cluster, "ann's ticket").await?;
    cluster.stop().await?;

    let setup = Setup {
        clients: doors(&url, &stranger)?,
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let config = member::config(&cluster.url())?.with_token("ann's ticket");
    let reason = retrying(&mut Member::start(&config)?).await?;
    ensure!(reason == Reason::AuthUnavailable, "{reason:?}");
    cluster.stop().await
}

/// Why somebody who is not let in may try again.
async fn retrying(member: &mut Member) -> Result<Reason> {
    loop {
        match member.expect().await? {
            Event::Retrying { reason, .. } => return Ok(reason),
            Event::Connected { .. } => bail!("nobody has let them in"),
            _ => {}
        }
    }
}

/// Made for this test alone.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINUgUpJOXnWEVLSnM+aSJSiA7QE8aB1IUDjM9KBE9V1u
-----END PRIVATE KEY-----
";
const PUBLIC: &str = "M9e9m_JDQF0vAhNH7fO_dnygDRGVAP8IIJVaOdoDSAg";

#[tokio::test]
async fn the_keys_that_an_issuer_publishes_are_found_at_its_address() -> Result<()> {
    let readings = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&readings);
    let example = Example::start(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": PUBLIC}]})
    });
    let example = example.await?;
    let url = format!("http://{}/keys", example.addr);
    let address = Address::parse(&url, ["http", "https"])?;
    let publisher = Arc::new(AtAddress::new(address, &Trust::none()?));
    let published = Published::new(publisher, None, REFRESH, Metrics::default());
    let jwt = Jwt::new(KeySet::default(), Rules::default()).with_published(published);
    let setup = Setup {
        clients: Arc::new(jwt),
        ..Setup::default()
    };
    let cluster = setup.start(1).await?;
    let key = SigningKey::pem(PRIVATE)?.named(Some("k1".into()));
    let token = key.sign(&Claims {
        sub: Some("ann".into()),
        exp: Some(Seconds::of(SystemTime::now() + Duration::from_secs(3600))),
        ..Claims::default()
    })?;
    for _ in 0..3 {
        join(&cluster, &token).await?;
    }
    // Once, for all of them and both servers.
    ensure!(readings.load(Ordering::Relaxed) == 1);
    cluster.stop().await
}
