use shard::{
    DropReason, Impair,
    rtc_peer::{DtlsRole, Role},
};
use tokio::task::JoinSet;

use crate::harness::{ACCEPTOR, DEADLINE, Node, config, introduce, within};

/// Connects `n` dialers, each with a socket of its own, to one acceptor at once.
async fn connect_many(n: u64, impair: Option<Impair>, dialers: DtlsRole) -> Node {
    let mut settings = config(1);
    settings.impair = impair;
    // The layers double their timers: the unluckiest of hundreds takes long.
    settings.peer.handshake_timeout = DEADLINE;
    let server = Node::start(settings);
    let mut connecting = JoinSet::new();
    for seed in 0..n {
        let mut acceptor = server.open(ACCEPTOR).await.expect("room");
        let mut settings = config(1000 + seed);
        settings.socket_buffer_bytes = 0;
        settings.receive_buffers = 1;
        settings.peer.dtls = dialers;
        settings.peer.handshake_timeout = DEADLINE;
        connecting.spawn(async move {
            let client = Node::start(settings);
            let mut dialer = client.open(Role::Dialer).await.expect("room");
            introduce(&mut acceptor, &mut dialer).await;
            (client, acceptor, dialer)
        });
    }
    let all = within("everybody to connect", connecting.join_all()).await;
    assert_eq!(server.stats.peers.value(), n);
    for (client, _acceptor, _dialer) in all {
        client.stop().await;
    }
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_connect_at_once() {
    let server = connect_many(200, None, DtlsRole::Auto).await;
    assert_eq!(server.stats.dropped(DropReason::UnknownUser), 0);
    assert_eq!(server.stats.rebinds.value(), 0);
    assert!(shard::kernel_drops([&*server.stats]).is_some());
    server.stop().await;
}

/// The acceptor's socket loses 5 % each way; the layers' own timers repair it.
async fn connect_under_loss(dialers: DtlsRole) {
    let impair = "loss=5%,delay=5ms,jitter=2ms,seed=3"
        .parse()
        .expect("parses");
    let server = connect_many(100, Some(impair), dialers).await;
    assert!(server.stats.dropped(DropReason::Impaired) > 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_complete_under_loss() {
    connect_under_loss(DtlsRole::Auto).await;
}

/// Browsers may leave the ClientHello to the acceptor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_begun_by_the_acceptor_complete_under_loss() {
    connect_under_loss(DtlsRole::Passive).await;
}
