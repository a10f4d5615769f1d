//! A running coordinator, and sockets to it.

use std::{net::SocketAddr, sync::Arc, time::Duration, time::SystemTime};

use auth::{AllowAll, ClusterSecret, Role};
use bytes::Bytes;
use coordinator::{Config, Server};
use futures_util::{SinkExt as _, StreamExt as _};
use proto::{Message, SUBPROTOCOL, WelcomeMessage};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, ClientRequestBuilder, http::StatusCode, protocol::CloseFrame},
};
use tokio_util::sync::CancellationToken;

/// Far beyond what anything here takes: reached only when something is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) secret: ClusterSecret,
    pub(crate) shutdown: CancellationToken,
    task: JoinSet<()>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let secret = ClusterSecret::generate();
        let mut config = Config::new(Arc::new(AllowAll), secret.clone());
        config.listen.set_port(0);
        config.admin_listen = Some(config.listen);
        // Most tests end with sockets that nobody reads any more.
        config.timeouts.close = Duration::from_millis(100);
        change(&mut config);
        let secret = config.cluster_secret.clone();
        let server = Server::bind(config).await.expect("a free port");
        let addr = server.addr();
        let admin = server.admin_addr().expect("an admin listener");
        let shutdown = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(server.run(shutdown.clone()));
        Self {
            addr,
            admin,
            secret,
            shutdown,
            task,
        }
    }

    /// A request for a WebSocket at `path`.
    pub(crate) fn request(&self, path: &str) -> ClientRequestBuilder {
        let uri = format!("ws://{}{path}", self.addr);
        ClientRequestBuilder::new(uri.parse().expect("a URI"))
    }

    pub(crate) async fn client(&self) -> (Socket, WelcomeMessage) {
        let request = self.request("/connect").with_sub_protocol(SUBPROTOCOL);
        Socket::join(request).await
    }

    /// A client that speaks the 2019 protocol only.
    pub(crate) async fn old_client(&self) -> (Socket, WelcomeMessage) {
        Socket::join(self.request("/connect")).await
    }

    pub(crate) async fn server(&self) -> (Socket, WelcomeMessage) {
        Socket::join(self.server_request().with_sub_protocol(SUBPROTOCOL)).await
    }

    pub(crate) fn server_request(&self) -> ClientRequestBuilder {
        self.server_request_at("/discover?role=COMMUNICATION_SERVER")
    }

    pub(crate) fn server_request_at(&self, path: &str) -> ClientRequestBuilder {
        self.with_token(path, Role::Server)
    }

    pub(crate) fn hub_request(&self) -> ClientRequestBuilder {
        self.with_token("/discover?role=COMMUNICATION_SERVER_HUB", Role::Hub)
    }

    fn with_token(&self, path: &str, role: Role) -> ClientRequestBuilder {
        let token = self.secret.uplink_token(role, SystemTime::now());
        let bearer = format!("Bearer {token}");
        self.request(path).with_header("Authorization", bearer)
    }

    /// The response to a plain GET, as text: status line, headers, body.
    pub(crate) async fn get(&self, path: &str) -> String {
        get(self.addr, path).await
    }

    /// The same from the admin listener.
    pub(crate) async fn admin(&self, path: &str) -> String {
        get(self.admin, path).await
    }

    /// Everything that comes back for `bytes` on a TCP connection.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        raw(self.addr, bytes).await
    }

    /// Waits until the metrics have this line.
    pub(crate) async fn metric(&self, line: &str) {
        page(self.admin, "/metrics", line).await;
    }

    /// Waits until the response to a GET holds `text`.
    pub(crate) async fn page(&self, path: &str, text: &str) {
        page(self.addr, path, text).await;
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        let ended = timeout(DEADLINE, self.task.join_next()).await;
        ended
            .expect("in time")
            .expect("one task")
            .expect("no panic");
    }
}

async fn get(addr: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    raw(addr, request.as_bytes()).await
}

/// Everything that comes back for `bytes` on a TCP connection.
pub(crate) async fn raw(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    stream.write_all(bytes).await.expect("it reads");
    let mut response = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut response)).await;
    read.expect("in time").expect("it answers");
    String::from_utf8_lossy(&response).into_owned()
}

async fn page(addr: SocketAddr, path: &str, text: &str) {
    let mut last = String::new();
    let found = timeout(DEADLINE, async {
        loop {
            last = get(addr, path).await;
            if last.contains(text) {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    let found = found.await;
    assert!(found.is_ok(), "no {text:?} in {path}: {last}");
}

pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn open(request: ClientRequestBuilder) -> Result<Self, tungstenite::Error> {
        let connected = timeout(DEADLINE, connect_async(request)).await;
        connected.expect("in time").map(|(stream, _)| Self(stream))
    }

    pub(crate) async fn join(request: ClientRequestBuilder) -> (Self, WelcomeMessage) {
        let mut socket = Self::open(request).await.expect("an upgrade");
        let welcome = socket.receive().await;
        (socket, welcome)
    }

    pub(crate) async fn send(&mut self, message: &impl Message) {
        self.send_bytes(message.encode_to_vec()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: Vec<u8>) {
        let message = tungstenite::Message::Binary(bytes.into());
        self.0.send(message).await.expect("an open socket");
    }

    /// The next binary message; pings are skipped.
    pub(crate) async fn receive<M: Message + Default>(&mut self) -> M {
        M::decode(self.receive_bytes().await).expect("a message")
    }

    pub(crate) async fn receive_bytes(&mut self) -> Bytes {
        loop {
            match self.next().await {
                Some(Ok(tungstenite::Message::Binary(bytes))) => return bytes,
                Some(Ok(tungstenite::Message::Ping(_) | tungstenite::Message::Pong(_))) => {}
                other => panic!("expected a signal, got {other:?}"),
            }
        }
    }

    pub(crate) async fn next(
        &mut self,
    ) -> Option<Result<tungstenite::Message, tungstenite::Error>> {
        timeout(DEADLINE, self.0.next()).await.expect("in time")
    }

    /// The close that comes next, whatever comes before it.
    pub(crate) async fn closed(&mut self) -> CloseFrame {
        loop {
            match self.next().await {
                Some(Ok(tungstenite::Message::Close(Some(frame)))) => return frame,
                Some(Ok(tungstenite::Message::Close(None)) | Err(_)) | None => {
                    panic!("closed without a reason")
                }
                Some(Ok(_)) => {}
            }
        }
    }
}

/// The HTTP response to a refused upgrade.
pub(crate) fn refusal(refused: Result<Socket, tungstenite::Error>) -> (StatusCode, String) {
    match refused {
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (
                response.status(),
                String::from_utf8_lossy(&body).into_owned(),
            )
        }
        Err(error) => panic!("expected an HTTP response, got {error}"),
        Ok(_) => panic!("expected a refusal, got an upgrade"),
    }
}
