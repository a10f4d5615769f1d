//! TLS on the way to the coordinator: whom each side trusts, what happens when it does not, and
//! certificates that are renewed while sessions live.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};
use auth::Role;
use proto::Lane;
use tests::{
    PATIENCE,
    cluster::{Cluster, Setup},
    member::{self, Member},
    pki::{Authority, Folder, Validity},
};
use tls::{Acceptor, Connector, Files, Pair, Trouble, Trust, trouble};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_tungstenite::{
    client_async,
    tungstenite::{self, ClientRequestBuilder, http::StatusCode},
};

const TOPIC: &str = "plaza/1";
const HOST: &str = "127.0.0.1";

fn trust(ca: &Path, pair: Option<Pair>) -> Trust {
    Trust {
        ca: Some(ca.into()),
        pair,
    }
}

/// A coordinator with this certificate, and a commserver that trusts `ca` and shows `shown`.
fn setup(files: Files, ca: &Path, shown: Option<Pair>) -> Setup {
    let trust = trust(ca, shown);
    Setup {
        scheme: "wss",
        coordinator: Arc::new(move |config| {
            config.tls = Some(files.clone());
            config.tls_reload_interval = Duration::from_millis(20);
        }),
        commserver: Arc::new(move |config| config.trust = trust.clone()),
        ..Setup::default()
    }
}

const fn plain(pair: Pair) -> Files {
    Files {
        pair,
        client_ca: None,
    }
}

async fn join(cluster: &Cluster, ca: &Path) -> Result<Member> {
    Member::join_as(&member::config(&cluster.url())?.with_ca_file(ca)).await
}

#[tokio::test]
async fn a_certificate_is_renewed_while_sessions_live() -> Result<()> {
    let folder = Folder::new()?;
    let old = Authority::new("old")?;
    let old_ca = old.write(&folder, "old-ca.pem")?;
    let pair = old.issue(&folder, "coordinator", &[HOST], Validity::Now)?;
    let cluster = setup(plain(pair.clone()), &old_ca, None).start(1).await?;
    let mut listener = join(&cluster, &old_ca).await?;
    listener.client.subscribe(&[TOPIC]).await?;

    // Half of a pair is none; the one before stays in use.
    folder.write("coordinator.key", "half of it")?;
    let early = join(&cluster, &old_ca).await?;
    let new = Authority::new("new")?;
    let new_ca = new.write(&folder, "new-ca.pem")?;
    new.issue(&folder, "coordinator", &[HOST], Validity::Now)?;
    dialed(&cluster, &new_ca).await?;

    let late = join(&cluster, &new_ca).await?;
    for publisher in [&early, &late] {
        publisher.publish(TOPIC, Lane::Reliable, "hello").await?;
        ensure!(listener.message().await?.body == "hello");
    }
    let welcomes = cluster.commserver(0).stats().welcomes;
    ensure!(welcomes == 1, "the server's session has lived: {welcomes}");
    cluster.stop().await
}

/// Waits until the coordinator shows a certificate that `ca` has signed.
async fn dialed(cluster: &Cluster, ca: &Path) -> Result<()> {
    let dialing = async {
        let connector = Connector::new(trust(ca, None));
        while connector
            .dial(HOST, cluster.addr().port(), true)
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, dialing)
        .await
        .context("no new certificate")
}

/// A listener that shakes hands, for ever.
async fn listen(files: Files, tasks: &mut JoinSet<()>) -> Result<u16> {
    let acceptor = Acceptor::load(files)?;
    let listener = TcpListener::bind((HOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // That it fails is what these tests are about.
            drop(acceptor.accept(stream).await);
        }
    });
    Ok(port)
}

#[tokio::test]
async fn who_is_not_whom_it_should_be_is_told_apart() -> Result<()> {
    let folder = Folder::new()?;
    let authority = Authority::new("ours")?;
    let ca = authority.write(&folder, "ca.pem")?;
    let stranger = Authority::new("a stranger's")?;
    let strange_ca = stranger.write(&folder, "strange.pem")?;
    let mut tasks = JoinSet::new();
    for (hosts, validity, ca, expected) in [
        (&[HOST][..], Validity::Now, &ca, None),
        (
            &[HOST],
            Validity::Now,
            &strange_ca,
            Some(Trouble::UnknownIssuer),
        ),
        (&[HOST], Validity::Over, &ca, Some(Trouble::Expired)),
        (&[HOST], Validity::Later, &ca, Some(Trouble::NotYetValid)),
        (
            &["broker.example"],
            Validity::Now,
            &ca,
            Some(Trouble::WrongName),
        ),
    ] {
        let pair = authority.issue(&folder, "server", hosts, validity)?;
        let port = listen(plain(pair), &mut tasks).await?;
        let dialed = Connector::new(trust(ca, None)).dial(HOST, port, true).await;
        let found = dialed.as_ref().err().map(|error| trouble(error));
        ensure!(found == expected.map(Some), "{expected:?}: {dialed:?}");
    }
    // And one that speaks no TLS at all.
    let cluster = Cluster::start(0).await?;
    let port = cluster.addr().port();
    let dialed = Connector::new(trust(&ca, None))
        .dial(HOST, port, true)
        .await;
    let Err(error) = dialed else {
        bail!("TLS with a plain coordinator")
    };
    ensure!(trouble(&error) == Some(Trouble::NoTls), "{error}");
    cluster.stop().await
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() -> Result<()> {
    let folder = Folder::new()?;
    let authority = Authority::new("ours")?;
    let good = authority.issue(&folder, "good", &[HOST], Validity::Now)?;
    let other = authority.issue(&folder, "other", &[HOST], Validity::Now)?;
    let empty = folder.write("empty.pem", "")?;
    let missing = folder.path().join("missing.pem");
    for (cert, key, says) in [
        (&missing, &good.key, "missing.pem"),
        (&empty, &good.key, "no certificate"),
        (&good.cert, &empty, "no private key"),
        (&good.cert, &good.cert, "no private key"),
        (&good.cert, &other.key, "good.pem cannot be used"),
    ] {
        let (cert, key): (PathBuf, PathBuf) = (cert.clone(), key.clone());
        let Err(error) = Acceptor::load(plain(Pair { cert, key })) else {
            bail!("{says}: taken")
        };
        ensure!(error.to_string().contains(says), "{says}: {error}");
    }
    let nobody = Connector::new(trust(&empty, None)).check();
    ensure!(nobody.is_err_and(|error| error.to_string().contains("empty.pem")));

    let acceptor = Acceptor::load(plain(good.clone()))?;
    ensure!(!acceptor.reload()?, "nothing has changed");
    folder.write("good.key", "half of it")?;
    ensure!(acceptor.reload().is_err());
    authority.issue(&folder, "good", &[HOST], Validity::Now)?;
    ensure!(acceptor.reload()?, "it has changed");
    Ok(())
}

#[tokio::test]
async fn servers_show_certificates_where_they_are_asked_for() -> Result<()> {
    let folder = Folder::new()?;
    let authority = Authority::new("ours")?;
    let ca = authority.write(&folder, "ca.pem")?;
    let files = Files {
        pair: authority.issue(&folder, "coordinator", &[HOST], Validity::Now)?,
        client_ca: Some(ca.clone()),
    };
    let shown = authority.issue(&folder, "commserver", &["commserver"], Validity::Now)?;
    let cluster = setup(files, &ca, Some(shown)).start(2).await?;
    // Clients have none, and need none.
    let member = join(&cluster, &ca).await?;
    ensure!(member.server().is_some());

    // Whoever has the secret, and no certificate, is not let in as a server.
    let token = cluster
        .secret()
        .uplink_token(Role::Server, SystemTime::now());
    let uri = format!("{}/discover", cluster.url()).parse()?;
    let bearer = format!("Bearer {token}");
    let request = ClientRequestBuilder::new(uri).with_header("Authorization", bearer);
    let connector = Connector::new(trust(&ca, None));
    let stream = connector.dial(HOST, cluster.addr().port(), true).await?;
    match client_async(request.clone(), stream).await {
        Err(tungstenite::Error::Http(refused)) => {
            ensure!(refused.status() == StatusCode::UNAUTHORIZED, "{refused:?}");
        }
        other => bail!("no refusal: {other:?}"),
    }

    // Nor is one with somebody else's certificate.
    let stranger = Authority::new("a stranger's")?;
    let strange = stranger.issue(&folder, "strange", &["commserver"], Validity::Now)?;
    let connector = Connector::new(trust(&ca, Some(strange)));
    let error = match connector.dial(HOST, cluster.addr().port(), true).await {
        Ok(stream) => match client_async(request, stream).await {
            Err(error) => trouble(&error),
            Ok(_) => bail!("a stranger is in"),
        },
        Err(error) => trouble(&error),
    };
    ensure!(error == Some(Trouble::Refused), "{error:?}");
    cluster.stop().await
}
