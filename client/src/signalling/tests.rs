//! The signalling task against a coordinator that the test plays.
#![expect(
    clippy::result_large_err,
    reason = "tungstenite's callback is typed so"
)]

use super::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::handshake::server::{ErrorResponse, Request as Upgrade, Response},
};

const SOCKET: SocketId = SocketId(1);

fn showing(token: Option<&str>) -> Shown {
    Shown {
        token: token.map(|token| Secret::new(token.to_owned())),
        resume: None,
    }
}

/// The task, the session's end of it, and the coordinator's listener.
struct Scene {
    listener: TcpListener,
    orders: mpsc::Sender<Order>,
    inputs: mpsc::Receiver<Input>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Scene {
    async fn dialing(token: Option<&str>) -> Self {
        Self::with(token, Timeouts::default()).await
    }

    async fn with(token: Option<&str>, timeouts: Timeouts) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let addr = listener.local_addr().expect("bound");
        let config = Config {
            coordinator: format!("ws://{addr}").parse().expect("a URL"),
            tls: Connector::default(),
            region: None,
            timeouts,
        };
        let (orders, order_queue) = mpsc::channel(8);
        let (tell, inputs) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let tell = move |input| {
            let tell = tell.clone();
            async move { tell.send(input).await.is_ok() }
        };
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let task = tokio::spawn(run(config, order_queue, tell, stop.clone()));
        orders
            .send(Order::Dial(SOCKET, showing(token)))
            .await
            .expect("the task runs");
        Self {
            listener,
            orders,
            inputs,
            stop,
            task,
        }
    }

    /// The coordinator's end, and what the client offered.
    async fn accept(&self) -> (WebSocketStream<TcpStream>, String, String) {
        let (stream, _) = self.listener.accept().await.expect("a client");
        let (mut path, mut offered) = (String::new(), String::new());
        let socket = accept_hdr_async(stream, |request: &Upgrade, mut response: Response| {
            path = request.uri().path().to_owned();
            let header = request.headers().get(SEC_WEBSOCKET_PROTOCOL);
            offered = header.map_or_else(String::new, |h| h.to_str().expect("text").to_owned());
            let ours = HeaderValue::from_static(SUBPROTOCOL);
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, ours);
            Ok::<_, ErrorResponse>(response)
        });
        let socket = socket.await.expect("an upgrade");
        (socket, path, offered)
    }

    async fn input(&mut self) -> Input {
        timeout(Duration::from_secs(10), self.inputs.recv())
            .await
            .expect("an input in time")
            .expect("the task runs")
    }

    async fn assert_opened(&mut self) {
        let input = self.input().await;
        assert!(
            matches!(input, Input::SignallingOpened { socket: SOCKET }),
            "{input:?}"
        );
    }

    async fn assert_closed(&mut self, expected: Option<Reason>) {
        match self.input().await {
            Input::SignallingClosed {
                socket: SOCKET,
                reason,
            } => assert_eq!(reason, expected),
            other => panic!("expected the end, got {other:?}"),
        }
    }
}

#[tokio::test]
async fn signals_pass_both_ways() {
    let mut scene = Scene::dialing(Some("s3cret")).await;
    let (mut coordinator, path, offered) = scene.accept().await;
    assert_eq!(path, "/connect");
    assert_eq!(offered, "webrtc-broker.1, token.czNjcmV0");
    scene.assert_opened().await;
    coordinator
        .send(Message::text("nobody's"))
        .await
        .expect("sent");
    coordinator
        .send(Message::binary(&b"welcome"[..]))
        .await
        .expect("sent");
    match scene.input().await {
        Input::Signal {
            socket: SOCKET,
            bytes,
        } => assert_eq!(bytes, "welcome"),
        other => panic!("expected the signal, got {other:?}"),
    }
    let signal = Order::Signal(SOCKET, Bytes::from_static(b"connect"));
    scene.orders.send(signal).await.expect("the task runs");
    let received = coordinator.next().await.expect("open").expect("a message");
    assert_eq!(received, Message::binary(&b"connect"[..]));

    scene
        .orders
        .send(Order::HangUp(SOCKET))
        .await
        .expect("the task runs");
    let received = coordinator.next().await.expect("open").expect("a message");
    assert!(received.is_close());
}

#[tokio::test]
async fn a_resume_token_travels_beside_the_credentials() {
    let mut scene = Scene::dialing(Some("s3cret")).await;
    let (coordinator, ..) = scene.accept().await;
    scene.assert_opened().await;
    drop(coordinator);
    scene.assert_closed(None).await;
    let shown = Shown {
        resume: Some(Secret::new("t0.k-n_")),
        ..showing(Some("s3cret"))
    };
    let dial = Order::Dial(SocketId(2), shown);
    scene.orders.send(dial).await.expect("the task runs");
    let (_coordinator, _, offered) = scene.accept().await;
    assert_eq!(offered, "webrtc-broker.1, token.czNjcmV0, resume.t0.k-n_");
}

#[tokio::test]
async fn a_close_code_is_a_reason() {
    for (code, reason) in [(4003, Some(Reason::Forbidden)), (1001, None)] {
        let mut scene = Scene::dialing(None).await;
        let (mut coordinator, _, offered) = scene.accept().await;
        assert_eq!(offered, SUBPROTOCOL);
        scene.assert_opened().await;
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        coordinator.close(Some(frame)).await.expect("sent");
        scene.assert_closed(reason).await;
    }
}

#[tokio::test]
async fn an_http_status_is_a_reason() {
    for (status, reason) in [
        ("401 Unauthorized", Some(Reason::Unauthenticated)),
        ("403 Forbidden", Some(Reason::Forbidden)),
        ("503 Service Unavailable", Some(Reason::Overloaded)),
        ("404 Not Found", None),
    ] {
        let mut scene = Scene::dialing(None).await;
        let (mut stream, _) = scene.listener.accept().await.expect("a client");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut request).await.expect("a request");
        }
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("sent");
        scene.assert_closed(reason).await;
    }
}

#[tokio::test]
async fn a_coordinator_of_2019_is_spoken_to_plainly() {
    let mut scene = Scene::dialing(Some("s3cret")).await;
    for offered in [true, false] {
        let (stream, _) = scene.listener.accept().await.expect("a client");
        let accepted = accept_hdr_async(stream, |request: &Upgrade, response: Response| {
            assert_eq!(
                request.headers().contains_key(SEC_WEBSOCKET_PROTOCOL),
                offered
            );
            Ok::<_, ErrorResponse>(response)
        });
        let socket = accepted.await.expect("an upgrade");
        if !offered {
            scene.assert_opened().await;
        }
        drop(socket);
    }
    scene.assert_closed(None).await;
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = listener.local_addr().expect("bound");
    drop(listener);
    let config = Config {
        coordinator: format!("ws://{addr}").parse().expect("a URL"),
        tls: Connector::default(),
        region: None,
        timeouts: Timeouts::default(),
    };
    let mut line = Line {
        config,
        socket: None,
    };
    let (_orders, mut order_queue) = mpsc::channel(1);
    let input = line.dial(SOCKET, &Shown::default(), &mut order_queue).await;
    let gone = Input::SignallingClosed {
        socket: SOCKET,
        reason: None,
    };
    assert_eq!(format!("{input:?}"), format!("{:?}", Some(gone)));
}

#[tokio::test]
async fn a_dial_that_hangs_can_be_left_and_ends_in_time() {
    let timeouts = Timeouts {
        dial: Duration::from_millis(50),
        ..Timeouts::default()
    };
    let mut scene = Scene::with(None, timeouts).await;
    // Taken, but never upgraded.
    let _held = scene.listener.accept().await.expect("a client");
    scene.assert_closed(Some(Reason::HandshakeTimeout)).await;

    let mut scene = Scene::dialing(None).await;
    let _held = scene.listener.accept().await.expect("a client");
    scene
        .orders
        .send(Order::HangUp(SOCKET))
        .await
        .expect("the task runs");
    scene
        .orders
        .send(Order::Dial(SocketId(2), Shown::default()))
        .await
        .expect("the task runs");
    let _second = scene.accept().await;
    let input = scene.input().await;
    assert!(
        matches!(
            input,
            Input::SignallingOpened {
                socket: SocketId(2)
            }
        ),
        "{input:?}"
    );
}

#[tokio::test]
async fn silence_is_the_end() {
    let timeouts = Timeouts {
        idle: Duration::from_millis(50),
        ..Timeouts::default()
    };
    let mut scene = Scene::with(None, timeouts).await;
    let _silent = scene.accept().await;
    scene.assert_opened().await;
    scene.assert_closed(Some(Reason::IdleTimeout)).await;
}

#[tokio::test]
async fn stopping_hangs_up() {
    let mut scene = Scene::dialing(None).await;
    let (mut coordinator, ..) = scene.accept().await;
    scene.assert_opened().await;
    scene.stop.cancel();
    let received = coordinator.next().await.expect("open").expect("a message");
    assert!(received.is_close());
    drop(coordinator);
    timeout(Duration::from_secs(10), scene.task)
        .await
        .expect("in time")
        .expect("no panic");
}

#[test]
fn region_is_in_the_url() {
    let request = |coordinator: &str, region: Option<&str>, manner| {
        let config = Config {
            coordinator: coordinator.parse().expect("a URL"),
            tls: Connector::default(),
            region: region.map(str::to_owned),
            timeouts: Timeouts::default(),
        };
        let request = config.request(manner).expect("a request");
        request.uri().path_and_query().expect("a path").to_string()
    };
    let shown = Shown::default();
    let ours = Manner::Ours(&shown);
    assert_eq!(request("ws://a", None, ours), "/connect");
    assert_eq!(
        request("ws://a", Some("eu-west_1"), ours),
        "/connect?region=eu-west_1"
    );
    // What is there already stays.
    assert_eq!(
        request("ws://a/b/?x=1", Some("eu"), ours),
        "/b/connect?x=1&region=eu"
    );
    // In 2019 there were none.
    assert_eq!(request("ws://a", Some("eu"), Manner::Plain), "/connect");
}

#[test]
fn urls_of_coordinators() {
    let path = |url: &str| {
        let coordinator = url.parse().expect("a URL");
        let config = Config {
            coordinator,
            tls: Connector::default(),
            region: None,
            timeouts: Timeouts::default(),
        };
        config
            .request(Manner::Ours(&Shown::default()))
            .map(|request| request.uri().path().to_owned())
    };
    assert_eq!(path("ws://localhost:9090"), Ok("/connect".into()));
    assert_eq!(
        path("ws://localhost:9090/broker/"),
        Ok("/broker/connect".into())
    );
    assert_eq!(path("ws://localhost/connect"), Ok("/connect".into()));
    assert!(path("http://localhost").is_err());
    assert_eq!(path("wss://localhost"), Ok("/connect".into()));
}
