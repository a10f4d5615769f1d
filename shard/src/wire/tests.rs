use std::{collections::BTreeMap, net::SocketAddr};

use rustix::io::Errno;

use super::*;

fn wire(listen: &str, impair: Option<Impair>) -> Wire {
    let socket = Socket::bind(listen.parse().unwrap(), 1024 * 1024, 4).unwrap();
    Wire::new(socket, impair, Arc::default())
}

/// Receives until `n` datagrams are there; (to, from, bytes) of each.
async fn gather(wire: &mut Wire, n: usize) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
    let mut got = Vec::new();
    let deadline = Duration::from_secs(10);
    let all = tokio::time::timeout(deadline, async {
        while got.len() < n {
            wire.readable().await.unwrap();
            wire.receive(Instant::now(), |d| {
                got.push((d.local, d.remote, d.bytes.to_vec()));
            });
        }
    });
    all.await.expect("all arrive");
    got
}

#[tokio::test]
async fn runs_and_singles_arrive_whole() {
    let mut from = wire("127.0.0.1:0", None);
    let mut to = [
        wire("127.0.0.1:0", None),
        wire("127.0.0.1:0", None),
        wire("127.0.0.1:0", None),
    ];
    let local = from.local_addr();
    // A run with a shorter end, single ones to each, a run again.
    for (index, len) in [(0, 900), (0, 900), (0, 10), (1, 5), (2, 6), (0, 7)] {
        let remote = to[index].local_addr();
        from.batch().push(local, remote, &vec![1; len]);
    }
    for n in 0..100 {
        let remote = to[1].local_addr();
        from.batch().push(local, remote, &[n; 1200]);
    }
    from.write(Instant::now()).await;
    let lens = |got: Vec<(SocketAddr, SocketAddr, Vec<u8>)>| -> Vec<usize> {
        got.iter().map(|(_, _, bytes)| bytes.len()).collect()
    };
    assert_eq!(lens(gather(&mut to[0], 4).await), [900, 900, 10, 7]);
    assert_eq!(lens(gather(&mut to[2], 1).await), [6]);
    let got = gather(&mut to[1], 101).await;
    assert_eq!(got[0].2, [1; 5]);
    for (n, (at, remote, bytes)) in (0..).zip(&got[1..]) {
        assert_eq!(bytes[..], [n; 1200]);
        assert_eq!((*at, *remote), (to[1].local_addr(), local));
    }
    let stats = &from.stats;
    assert_eq!(stats.datagrams_out.value(), 106);
    assert_eq!(to[1].stats.datagrams_in.value(), 101);
    assert!(
        stats.send_calls.value() < 30,
        "{} calls",
        stats.send_calls.value()
    );
}

/// A socket for every address answers from the one that was spoken to, alone and in company.
#[tokio::test]
async fn answers_leave_from_the_address_spoken_to() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let mut server = wire(listen, None);
        let port = server.local_addr().port();
        let mut client = wire("127.0.0.1:0", None);
        for ip in [[127, 0, 0, 1], [127, 0, 0, 7]] {
            let to = SocketAddr::from((ip, port));
            let local = client.local_addr();
            client.batch().push(local, to, &[ip[3]]);
            client.write(Instant::now()).await;
            let (at, remote, bytes) = gather(&mut server, 1).await.remove(0);
            assert_eq!((at, remote, bytes), (to, client.local_addr(), vec![ip[3]]));
            server.batch().push(at, remote, &[ip[3]; 2]);
            server.write(Instant::now()).await;
            let (_, from, bytes) = gather(&mut client, 1).await.remove(0);
            assert_eq!((from, bytes.len()), (to, 2), "{listen}");
        }
    }
}

#[tokio::test]
async fn what_the_system_refuses_is_counted_and_the_rest_goes_on() {
    let mut from = wire("127.0.0.1:0", None);
    let mut to = wire("127.0.0.1:0", None);
    let (local, remote) = (from.local_addr(), to.local_addr());
    from.batch().push(local, remote, &[1]);
    // Nobody can be reached at port 0.
    from.batch()
        .push(local, "127.0.0.1:0".parse().unwrap(), &[2]);
    from.batch().push(local, remote, &[3]);
    from.write(Instant::now()).await;
    let got = gather(&mut to, 2).await;
    assert_eq!((got[0].2[0], got[1].2[0]), (1, 3));
    assert_eq!(from.stats.dropped(DropReason::SocketError), 1);
    assert_eq!(from.stats.datagrams_out.value(), 2);
}

/// Three datagrams to each of two, the first two of which make a run.
fn fill(from: &mut Wire, to: &[Wire; 2]) {
    let local = from.local_addr();
    for to in to {
        for len in [900, 900, 10] {
            from.batch().push(local, to.local_addr(), &vec![1; len]);
        }
    }
}

/// ENOBUFS: the queue of the network card is full, just now.
#[tokio::test]
async fn what_finds_no_buffer_is_counted_and_the_rest_goes_on() {
    let mut from = wire("127.0.0.1:0", None);
    let mut to = [wire("127.0.0.1:0", None), wire("127.0.0.1:0", None)];
    fill(&mut from, &to);
    from.socket.refusals.expect([Some(Errno::NOBUFS)]);
    from.write(Instant::now()).await;
    let lost = from.stats.dropped(DropReason::SocketError);
    assert!((1..=3).contains(&lost), "a call of a run: {lost}");
    assert_eq!(from.stats.datagrams_out.value(), 6 - lost);
    // All of the other's, and all that comes later.
    assert_eq!(gather(&mut to[1], 3).await.len(), 3);
    fill(&mut from, &to);
    from.write(Instant::now()).await;
    assert_eq!(gather(&mut to[1], 3).await.len(), 3);
    assert_eq!(from.stats.dropped(DropReason::SocketError), lost);
    assert_eq!(from.stats.dropped(DropReason::SocketFull), 0);
}

/// EAGAIN: the socket's own buffer is full, and stays so.
#[tokio::test]
async fn a_socket_that_stays_full_loses_what_waits_and_no_more() {
    let mut from = wire("127.0.0.1:0", None);
    let mut to = [wire("127.0.0.1:0", None), wire("127.0.0.1:0", None)];
    fill(&mut from, &to);
    // The first run goes. A new socket is told once that there is room.
    let full = std::iter::repeat_n(Some(Errno::AGAIN), 100);
    from.socket.refusals.expect([None].into_iter().chain(full));
    from.write(Instant::now()).await;
    let lost = from.stats.dropped(DropReason::SocketFull);
    let sent = from.stats.datagrams_out.value();
    assert!(
        lost > 0 && sent > 0 && lost + sent == 6,
        "{lost} and {sent}"
    );
    assert_eq!(from.batch().len(), 0, "nothing waits for ever");
    assert_eq!(from.stats.dropped(DropReason::SocketError), 0);
    // The system would say that there is room again; only a new socket hears so here.
    from.socket = Socket::bind("127.0.0.1:0".parse().unwrap(), 1024 * 1024, 4).unwrap();
    fill(&mut from, &to);
    from.write(Instant::now()).await;
    assert_eq!(from.stats.datagrams_out.value(), sent + 6);
    assert_eq!(gather(&mut to[1], 3).await.len(), 3);
}

#[tokio::test]
async fn an_impairment_loses_counts_and_holds_in_both_directions() {
    let impair: Impair = "loss=30%,delay=3ms".parse().unwrap();
    let mut plain = wire("127.0.0.1:0", None);
    let mut bad = wire("127.0.0.1:0", Some(impair));
    let (plain_addr, bad_addr) = (plain.local_addr(), bad.local_addr());
    for n in 0..100 {
        plain.batch().push(plain_addr, bad_addr, &[n]);
        bad.batch().push(bad_addr, plain_addr, &[n]);
    }
    let now = Instant::now();
    plain.write(now).await;
    bad.write(now).await;
    assert_eq!(bad.stats.datagrams_out.value(), 0, "all held or lost");
    let later = now + Duration::from_millis(3);
    assert_eq!(bad.next_due(), Some(later));
    bad.write(later).await;
    let lost = bad.stats.dropped(DropReason::Impaired);
    assert!((15..45).contains(&lost), "{lost} lost");
    assert_eq!(bad.stats.datagrams_out.value(), 100 - lost);

    let deadline = now + Duration::from_secs(10);
    while bad.stats.datagrams_in.value() < 100 && Instant::now() < deadline {
        bad.readable().await.unwrap();
        bad.receive(later, |_| panic!("none passes at once"));
    }
    let mut arrived = BTreeMap::new();
    bad.deliver_due(later + Duration::from_millis(3), |d| {
        arrived.insert(d.bytes[0], ());
    });
    let lost_in = bad.stats.dropped(DropReason::Impaired) - lost;
    assert!((15..45).contains(&lost_in), "{lost_in} lost");
    assert_eq!(count(arrived.len()), 100 - lost_in);
    assert_eq!(bad.next_due(), None);
}
