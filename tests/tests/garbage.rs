//! Garbage on every socket, while a client that hears another goes on hearing it.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use commserver_core::Drop;
use proto::{Lane as OurLane, Reason};
use tests::PATIENCE;
use tests::cluster::Cluster;
use tests::double::wire::{Kind, Message};
use tests::double::{Client, Lane, Session};
use tests::member::Member;
use tests::socket::{Incoming, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_tungstenite::tungstenite::Message as Frame;

const TOPIC: &str = "plaza/1";

/// Two that talk.
struct Pair {
    speaker: Member,
    hearer: Member,
}

impl Pair {
    async fn join(cluster: &Cluster) -> Result<Self> {
        let speaker = Member::join(&cluster.url()).await?;
        let hearer = Member::join(&cluster.url()).await?;
        hearer.client.subscribe(&[TOPIC]).await?;
        Ok(Self { speaker, hearer })
    }

    /// Nothing has come that should not, and what should come comes.
    async fn undisturbed(&mut self) -> Result<()> {
        assert_eq!(self.hearer.settle().await?, []);
        self.speaker
            .publish(TOPIC, OurLane::Reliable, "still here")
            .await?;
        assert_eq!(self.hearer.message().await?.body, "still here");
        Ok(())
    }
}

/// Bytes that look random, the same in every run.
fn noise(seed: usize, size: usize) -> Vec<u8> {
    let mut state = u64::try_from(seed)
        .unwrap_or(0)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(size).collect()
}

#[tokio::test]
async fn on_the_http_ports() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let mut pair = Pair::join(&cluster).await?;
    let requests: [&[u8]; 5] = [
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /connect HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /connect HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\n\r\n",
    ];
    for addr in [cluster.addr(), cluster.commserver(0).admin_addr] {
        for seed in 0..20 {
            let mut stream = TcpStream::connect(addr).await?;
            // Cut off by the server, maybe before all is written.
            let noise = noise(seed, 2000);
            drop(
                stream
                    .write_all(requests.get(seed).unwrap_or(&&noise[..]))
                    .await,
            );
            if seed % 2 == 0 {
                drop(stream.shutdown().await);
                drop(stream.read_to_end(&mut Vec::new()).await);
            }
        }
    }
    pair.undisturbed().await?;
    cluster.stop().await
}

#[tokio::test]
async fn on_the_signalling_socket() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let server = cluster.aliases()[0];
    let mut pair = Pair::join(&cluster).await?;
    let url = format!("{}/connect", cluster.url());
    for seed in 0..20 {
        let mut socket = Socket::open(&url).await?;
        for size in [0, 1, 10, 1000, 60_000] {
            drop(socket.send(noise(seed, size).into()).await);
        }
        if seed % 2 == 0 {
            drop(socket.send_frame(Frame::Text("hello".into())).await);
        }
    }
    // Over the limit: the session is closed, with the reason.
    let mut socket = Socket::open(&url).await?;
    drop(socket.expect().await?);
    drop(socket.send(vec![8; 65_537].into()).await);
    let Incoming::Closed(_) = socket.expect().await? else {
        bail!("still open")
    };

    // Well-formed signals with nonsense in them go as far as the commserver.
    let mut session = Session::dial(&url).await?;
    for kind in [Kind::Answer, Kind::Candidate, Kind::Offer] {
        session.webrtc(kind, server, "{}".into()).await?;
    }
    session.connect(server).await?;
    let Message::WebRtc(_) = session.expect().await?.message else {
        bail!("no offer")
    };
    for (seed, kind) in (0..).zip([Kind::Candidate, Kind::Offer, Kind::Answer, Kind::Answer]) {
        session
            .webrtc(kind, server, noise(seed, 3000).into())
            .await?;
        session
            .webrtc(kind, server, r#"{"type":"answer","sdp":"v=0\r\n"}"#.into())
            .await?;
        session
            .webrtc(kind, server, r#"{"candidate":"candidate:1"}"#.into())
            .await?;
    }
    pair.undisturbed().await?;
    cluster.stop().await
}

#[tokio::test]
async fn on_the_udp_port() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let mut pair = Pair::join(&cluster).await?;
    let rtc_addr = cluster.commserver(0).rtc_addr;
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    for seed in 0..500 {
        let mut datagram = noise(seed, 1 + (seed * 7) % 1400);
        // Every kind that a first byte can announce: STUN, DTLS, RTP, none.
        datagram[0] = [0, 1, 20, 22, 23, 63, 128, 200, 255][seed % 9];
        socket.send_to(&datagram, rtc_addr).await?;
    }
    // A binding request with a cookie and attributes of nonsense.
    let mut stun = vec![0, 1, 0, 100, 0x21, 0x12, 0xa4, 0x42];
    stun.extend(noise(7, 112));
    socket.send_to(&stun, rtc_addr).await?;
    socket.send_to(&[], rtc_addr).await?;
    // More than a path carries, to a name that somebody has or nobody.
    socket.send_to(&noise(8, 60_000), rtc_addr).await?;
    pair.undisturbed().await?;
    counted(&cluster, 503).await?;
    cluster.stop().await
}

/// Each datagram is counted for what it is, unless the system lost it.
async fn counted(cluster: &Cluster, datagrams: u64) -> Result<()> {
    let reasons = ["malformed", "unknown_address", "unknown_protocol"];
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = cluster.commserver(0).metrics().await?;
        let dropped = reasons.map(|reason| metrics.transport_drops(reason));
        ensure!(dropped.iter().all(|count| *count > 0), "{dropped:?}");
        let lost = metrics.value("broker_kernel_drops_total");
        match dropped.iter().sum::<u64>() + lost {
            seen if seen == datagrams => return Ok(()),
            seen => ensure!(
                Instant::now() < deadline,
                "{seen} of {datagrams}: {dropped:?}"
            ),
        }
    }
}

#[tokio::test]
async fn on_the_data_channels() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let mut pair = Pair::join(&cluster).await?;
    for authenticates in [false, true] {
        let mut mallory = Client::join(&cluster.url()).await?;
        if authenticates {
            mallory.auth(b"").await;
        }
        for seed in 0..50 {
            for lane in [Lane::Unreliable, Lane::Reliable] {
                mallory.send(lane, noise(seed, 1 + seed * 20).into()).await;
            }
        }
        for bytes in [
            &b"\x08\x09"[..],
            b"\x08\x07\x10\x02\x1a\x02\xff\xff",
            b"\x08\x09\x1a\x00",
            b"",
        ] {
            mallory
                .send(Lane::Reliable, Bytes::from_static(bytes))
                .await;
        }
        if !authenticates {
            mallory.closed().await?;
        }
        pair.undisturbed().await?;
    }
    let reasons = [Drop::Malformed, Drop::UnknownType, Drop::WrongLane];
    cluster
        .wait_for("it to be counted", |stats| {
            let dropped: u64 = reasons.iter().map(|why| stats.dropped(*why)).sum();
            dropped >= 50 && stats.peers_closed.get(&Reason::AuthExpected) == Some(&1)
        })
        .await?;
    cluster.stop().await
}
