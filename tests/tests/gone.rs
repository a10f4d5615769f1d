//! Clients whose session at the coordinator ends while their peer is there, or is not.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use commserver::GoneHint;
use proto::{Lane, Reason};
use tests::cluster::{Cluster, Setup};
use tests::member::Member;
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};

const TOPIC: &str = "plaza/1";

/// A cluster of one server, which takes nobody for gone without a reason for a long time.
async fn cluster() -> Result<Cluster> {
    let setup = Setup {
        commserver: Arc::new(|config| config.timings.gone_timeout = Duration::from_secs(1)),
        ..Setup::default()
    };
    setup.start(1).await
}

fn probed(stats: &commserver::Stats) -> u64 {
    let probed = stats.gone_hints.get(&GoneHint::Probed);
    probed.copied().unwrap_or_default()
}

/// Joins, and dies without a word.
async fn joins_and_dies(url: String) -> Result<()> {
    let died = spawn_blocking(move || {
        let life = Builder::new_current_thread().enable_all().build()?;
        let member = life.block_on(Member::join(&url))?;
        drop(life);
        drop(member);
        anyhow::Ok(())
    });
    died.await?
}

/// Carries TCP to the coordinator, which hears of an end only when the relay loses it.
struct Relay {
    addr: SocketAddr,
    lose: watch::Sender<()>,
    _tasks: JoinSet<()>,
}

impl Relay {
    async fn start(coordinator: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (lose, lost) = watch::channel(());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                carried.spawn(carry(client, coordinator, lost.clone()));
            }
        });
        Ok(Self {
            addr,
            lose,
            _tasks: tasks,
        })
    }

    fn url(&self) -> String {
        format!("ws://{}", self.addr)
    }

    /// The coordinator's ends of all that is carried now are closed; the clients' ends stay open.
    fn lose(&self) {
        self.lose.send_replace(());
    }
}

async fn carry(mut client: TcpStream, to: SocketAddr, mut lost: watch::Receiver<()>) {
    lost.mark_unchanged();
    let Ok(mut coordinator) = TcpStream::connect(to).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_coordinator, mut to_coordinator) = coordinator.split();
    let carried = async {
        let up = copy(&mut from_client, &mut to_coordinator);
        let down = copy(&mut from_coordinator, &mut to_client);
        let _ended = tokio::join!(up, down);
        pending::<()>().await;
    };
    tokio::select! {
        () = carried => {}
        _lost = lost.changed() => {}
    }
    drop(coordinator);
    pending::<()>().await;
}

#[tokio::test]
async fn who_has_vanished_is_missed_and_who_is_there_is_not() -> Result<()> {
    let cluster = cluster().await?;
    let server = cluster.commserver(0);
    let (near, far) = (
        Relay::start(cluster.addr()).await?,
        Relay::start(cluster.addr()).await?,
    );
    let mut there = Member::join(&near.url()).await?;
    there.client.subscribe(&[TOPIC]).await?;
    let alias = there.alias();
    joins_and_dies(far.url()).await?;
    // What the dead one sent is read by now.
    there.settle().await?;

    near.lose();
    server
        .wait_for("a hint", |stats| probed(stats) == 1)
        .await?;
    // Whose turn comes later is missed before the idle timeout: by then the first one has stayed.
    far.lose();
    server
        .wait_for("its end", |stats| stats.gone_closed == 1)
        .await?;
    let stats = server.stats();
    assert_eq!((probed(&stats), stats.clients_ready), (2, 1));
    assert_eq!(stats.peers_closed[&Reason::IdleTimeout], 1);

    there.settle().await?;
    assert_eq!(there.alias(), alias);
    let other = Member::join(&cluster.url()).await?;
    other.publish(TOPIC, Lane::Reliable, "still there?").await?;
    assert_eq!(there.message().await?.body, "still there?");
    cluster.stop().await
}
