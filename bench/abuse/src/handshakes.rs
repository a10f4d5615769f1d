//! Clients that ask for a server, answer its offer, prove that they are there, begin the DTLS
//! handshake, and fall silent.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use proto::{ConnectMessage, Message as _, MessageType, WebRtcMessage, WelcomeMessage, peek};
use rtc_peer::{Certificate, Config, Input, Output, Peer, Role, Signal, SignalKind};
use tokio::{
    net::{TcpStream, UdpSocket},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, header},
    },
};

use crate::{Done, Target};

pub(crate) async fn run(target: &Target, count: usize, done: &Done) -> Result<()> {
    let certificate = &Certificate::generate()?;
    let clients = (0..count).map(|_| async move {
        loop {
            let begun = timeout(PATIENCE, begin(target, certificate.clone())).await;
            if let Ok(Ok(hanging)) = begun {
                done.add(1);
                // The server gives up sooner.
                sleep(SILENCE).await;
                drop(hanging);
            } else {
                sleep(PAUSE).await;
            }
        }
    });
    join_all(clients).await;
    Ok(())
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A client that has sent its first DTLS flight, and its session.
#[derive(Debug)]
struct Hanging {
    socket: Socket,
    udp: UdpSocket,
    local: SocketAddr,
    peer: Peer,
    server: u64,
    alias: u64,
}

async fn begin(target: &Target, certificate: Certificate) -> Result<Hanging> {
    let mut socket = session(target).await?;
    let welcome = WelcomeMessage::decode(receive(&mut socket).await?.as_slice())?;
    let server = welcome.available_servers.first().copied();
    let server = server.context("no server")?;
    let connect = ConnectMessage {
        r#type: MessageType::Connect.into(),
        from_alias: welcome.alias,
        to_alias: server,
        from_role: 0,
    };
    socket.send(binary(&connect)).await?;
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let local = udp.local_addr()?;
    let config = Config::new(Role::Dialer, certificate, vec![local], rand::random());
    let mut hanging = Hanging {
        socket,
        udp,
        local,
        peer: Peer::new(std::time::Instant::now(), config),
        server,
        alias: welcome.alias,
    };
    hanging.until_it_hangs().await?;
    Ok(hanging)
}

impl Hanging {
    /// Up to the first datagram of DTLS, which is sent.
    async fn until_it_hangs(&mut self) -> Result<()> {
        let mut datagram = [0; 2_048];
        loop {
            if self.flush().await? {
                return Ok(());
            }
            let deadline = self.peer.next_deadline().context("it gave up")?;
            let now = std::time::Instant::now;
            tokio::select! {
                signal = receive(&mut self.socket) => {
                    if let Some(signal) = signal_of(&signal?) {
                        self.peer.handle_input(now(), Input::Signal(signal));
                    }
                }
                received = self.udp.recv_from(&mut datagram) => {
                    let (length, remote) = received?;
                    let bytes = datagram.get(..length).unwrap_or_default();
                    let local = self.local;
                    self.peer.handle_input(now(), Input::Datagram { local, remote, bytes });
                }
                () = sleep_until(Instant::from_std(deadline)) => {
                    self.peer.handle_input(now(), Input::Tick);
                }
            }
        }
    }

    /// Sends what there is; says whether DTLS has begun, and then no more is sent.
    async fn flush(&mut self) -> Result<bool> {
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    self.udp.send_to(&transmit.bytes, transmit.remote).await?;
                    if transmit.bytes.first().is_some_and(|first| *first >= DTLS) {
                        return Ok(true);
                    }
                }
                Output::Signal(signal) => {
                    let message = WebRtcMessage {
                        r#type: kind_of(signal.kind).into(),
                        from_alias: self.alias,
                        to_alias: self.server,
                        data: signal.data,
                        from_role: 0,
                    };
                    self.socket.send(binary(&message)).await?;
                }
                Output::Closed(reason) => bail!("closed: {reason:?}"),
                Output::LaneOpen(_) | Output::Packet { .. } | Output::Writable(_) => {}
            }
        }
        Ok(false)
    }
}

async fn session(target: &Target) -> Result<Socket> {
    let mut url = target.coordinator.clone();
    url.set_path("/connect");
    let mut request = url.as_str().into_client_request()?;
    if let Some(token) = &target.token {
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"))?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
    }
    Ok(connect_async(request).await?.0)
}

/// The next signal.
async fn receive(socket: &mut Socket) -> Result<Vec<u8>> {
    while let Some(message) = socket.next().await {
        if let Message::Binary(bytes) = message? {
            return Ok(bytes.to_vec());
        }
    }
    bail!("the session is over")
}

fn binary(message: &impl proto::Message) -> Message {
    Message::Binary(message.encode_to_vec().into())
}

/// What the server's engine says.
fn signal_of(bytes: &[u8]) -> Option<Signal> {
    let kind = match MessageType::try_from(peek::raw_type(bytes)?) {
        Ok(MessageType::WebrtcOffer) => SignalKind::Offer,
        Ok(MessageType::WebrtcIceCandidate) => SignalKind::Candidate,
        _ => return None,
    };
    let data = WebRtcMessage::decode(bytes).ok()?.data;
    Some(Signal { kind, data })
}

fn kind_of(kind: SignalKind) -> MessageType {
    match kind {
        SignalKind::Offer => MessageType::WebrtcOffer,
        SignalKind::Answer => MessageType::WebrtcAnswer,
        SignalKind::Candidate => MessageType::WebrtcIceCandidate,
    }
}

/// Content types of DTLS begin here (RFC 7983).
const DTLS: u8 = 20;

/// For a server to be there and to offer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server waits 15 s for a handshake, by default.
const SILENCE: Duration = Duration::from_secs(20);

const PAUSE: Duration = Duration::from_millis(200);
