//! What a stranger can do to a connected pair by sending to its sockets: nothing. What a proved
//! check can do: take over the address that it comes from.

use shard::{
    DropReason,
    rtc_peer::{Lane, Role},
};
use tokio::net::UdpSocket;

use crate::harness::{ACCEPTOR, Node, TestPeer, config, introduce_through, numbered, pair, within};

/// A binding request that names `user` but proves nothing.
fn check(user: &str) -> Vec<u8> {
    let username = format!("{user}:abcd");
    let mut attributes = vec![0, 6, 0, u8::try_from(username.len()).expect("short")];
    attributes.extend(username.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    // MESSAGE-INTEGRITY made up.
    attributes.extend([0, 8, 0, 20]);
    attributes.extend([0xee; 20]);
    let mut bytes = vec![0, 1, 0, u8::try_from(attributes.len()).expect("short")];
    bytes.extend([0x21, 0x12, 0xa4, 0x42]);
    bytes.extend([9; 12]);
    bytes.extend(attributes);
    bytes
}

#[tokio::test]
async fn a_stranger_changes_nothing_and_is_counted() {
    let server = config(1);
    let (server, client, acceptor, mut dialer) = pair(server, config(2)).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let user = acceptor.ufrag.clone();
    let strange = [
        (check(&user), DropReason::BadIntegrity),
        (check("nobody"), DropReason::UnknownUser),
        (vec![22; 60], DropReason::UnknownAddress),
        (vec![0; 60], DropReason::Malformed),
        (vec![128; 60], DropReason::UnknownProtocol),
    ];
    for (bytes, reason) in strange {
        let before = server.stats.dropped(reason);
        stranger.send_to(&bytes, server.addr).await.expect("sent");
        within(reason.name(), async {
            while server.stats.dropped(reason) == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    assert_eq!(server.stats.rebinds.value(), 0);
    acceptor.send(Lane::Reliable, numbered(1, 8)).await;
    assert_eq!(dialer.packet().await.1, numbered(1, 8));
    server.stop().await;
    client.stop().await;
}

/// A NAT that gives the next client the same address as the last: the server sees another user
/// prove the address that the first had.
#[tokio::test]
async fn a_proved_check_of_another_user_takes_the_address_over() {
    let server = Node::start(config(1));
    let nat = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let port = nat.local_addr().expect("bound").port();
    #[expect(clippy::disallowed_methods, reason = "ended below")]
    let nat = tokio::spawn(translate(nat, server.addr));

    let (first, _acceptor, _dialer) = connect_behind(&server, port, 2).await;
    first.task.abort();
    assert_eq!(server.stats.rebinds.value(), 0);
    let (second, acceptor, mut dialer) = connect_behind(&server, port, 3).await;
    assert_eq!(server.stats.rebinds.value(), 1);
    acceptor.send(Lane::Reliable, numbered(1, 8)).await;
    assert_eq!(dialer.packet().await.1, numbered(1, 8));

    server.stop().await;
    second.stop().await;
    nat.abort();
}

async fn connect_behind(server: &Node, port: u16, seed: u64) -> (Node, TestPeer, TestPeer) {
    let client = Node::start(config(seed));
    let mut acceptor = server.open(ACCEPTOR).await.expect("room");
    let mut dialer = client.open(Role::Dialer).await.expect("room");
    let (from, to) = (format!(" {} ", server.addr.port()), format!(" {port} "));
    introduce_through(&mut acceptor, &mut dialer, |text| text.replace(&from, &to)).await;
    (client, acceptor, dialer)
}

/// From whoever spoke last to the server, and back.
async fn translate(nat: UdpSocket, server: std::net::SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let mut client = server;
    loop {
        let (len, from) = nat.recv_from(&mut buffer).await.expect("receives");
        let to = if from == server { client } else { server };
        if from != server {
            client = from;
        }
        nat.send_to(&buffer[..len], to).await.expect("sends");
    }
}
