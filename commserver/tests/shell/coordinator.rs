//! A coordinator by hand.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL};
use proto::{LoadMessage, Message as _, MessageType, ReplacedMessage, WelcomeMessage, frame, peek};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

use crate::within;

pub(crate) struct Coordinator {
    listener: TcpListener,
    pub(crate) url: String,
}

pub(crate) struct Session {
    pub(crate) request: Request,
    socket: WebSocketStream<TcpStream>,
}

impl Coordinator {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let addr = listener.local_addr().expect("an address");
        Self {
            listener,
            url: format!("ws://{addr}"),
        }
    }

    /// The next session of a server.
    pub(crate) async fn accept(&self) -> Session {
        let session = self.accept_speaking(Some(proto::SUBPROTOCOL)).await;
        session.expect("a session")
    }

    /// The same, with a subprotocol or without, as one of 2019. `None` when the server turns away.
    pub(crate) async fn accept_speaking(
        &self,
        subprotocol: Option<&'static str>,
    ) -> Option<Session> {
        let (stream, _) = within(self.listener.accept()).await.expect("accepted");
        let mut seen = None;
        #[expect(clippy::result_large_err, reason = "the callback's type is not ours")]
        let look = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            seen = Some(request.clone());
            if let Some(subprotocol) = subprotocol {
                let value = HeaderValue::from_static(subprotocol);
                response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, value);
            }
            Ok(response)
        };
        let socket = within(accept_hdr_async(stream, look)).await.ok()?;
        let request = seen.expect("a request");
        Some(Session { request, socket })
    }

    /// A connection that nobody answers.
    pub(crate) async fn accept_silently(&self) -> TcpStream {
        within(self.listener.accept()).await.expect("accepted").0
    }
}

impl Session {
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) {
        let sent = within(self.socket.send(Message::Binary(bytes.into()))).await;
        sent.expect("sent");
    }

    pub(crate) async fn welcome(&mut self, alias: u64) {
        self.welcome_with_token(alias, "").await;
    }

    pub(crate) async fn welcome_with_token(&mut self, alias: u64, resume_token: &str) {
        let welcome = WelcomeMessage {
            r#type: MessageType::Welcome.into(),
            alias,
            resume_token: resume_token.into(),
            ..WelcomeMessage::default()
        };
        self.send(welcome.encode_to_vec()).await;
    }

    /// As one that takes reports.
    pub(crate) async fn welcome_to_report(&mut self, alias: u64) {
        let welcome = WelcomeMessage {
            r#type: MessageType::Welcome.into(),
            alias,
            capabilities: frame::capabilities(false),
            ..WelcomeMessage::default()
        };
        self.send(welcome.encode_to_vec()).await;
    }

    /// The next report.
    pub(crate) async fn load(&mut self) -> LoadMessage {
        loop {
            let signal = self.signal().await.expect("a signal");
            if peek::message_type(&signal) == Some(MessageType::Load) {
                return LoadMessage::decode(signal).expect("LOAD");
            }
        }
    }

    pub(crate) async fn replaced(&mut self) {
        let replaced = ReplacedMessage {
            r#type: MessageType::Replaced.into(),
        };
        self.send(replaced.encode_to_vec()).await;
    }

    /// The subprotocol entries that the server has offered.
    pub(crate) fn offered(&self) -> Vec<&str> {
        let offered = self.request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
        let lists = offered.iter().filter_map(|list| list.to_str().ok());
        lists.flat_map(|list| list.split(", ")).collect()
    }

    /// Whether the server closes, and says so.
    pub(crate) async fn ends_politely(&mut self) -> bool {
        loop {
            match within(self.socket.next()).await {
                Some(Ok(Message::Close(_))) => return true,
                None | Some(Err(_)) => return false,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next signal; `None` when the server closed.
    pub(crate) async fn signal(&mut self) -> Option<Bytes> {
        loop {
            match within(self.socket.next()).await? {
                Ok(Message::Binary(bytes)) => return Some(bytes),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
