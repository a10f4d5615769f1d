//! The WebSocket to the coordinator, and what stands in its way.

use std::{io, net::SocketAddr};

use client::Config;
use hyper::StatusCode;
use proto::SUBPROTOCOL;
use tokio::time::timeout;
use tokio_tungstenite::{
    client_async,
    tungstenite::{
        self,
        error::{ProtocolError, SubProtocolError},
        http::{HeaderMap, Request, Response, header},
    },
};

use super::{
    STEP_TIMEOUT,
    coordinator::{Health, Site, Socket, refusal},
    report::Report,
};

/// Opens it; `None` when it does not open.
pub(super) async fn upgrade(
    report: &mut Report,
    config: &Config,
    site: &Site,
    addr: SocketAddr,
    health: &Health,
) -> Option<Socket> {
    const STEP: &str = "websocket";
    let Ok(mut request) = config.upgrade_request() else {
        report.bad(STEP, "the URL is none", "use ws://host:port");
        return None;
    };
    match open(site, addr, request.clone()).await {
        Ok(socket) => {
            report.ok(STEP, format!("open, with {SUBPROTOCOL}"));
            return Some(socket);
        }
        Err(Failure::Handshake(error)) if is_without_subprotocol(&error) => {}
        Err(failure) => {
            let (what, advice) = failure.explain(site, health);
            report.bad(STEP, what, advice);
            return None;
        }
    }
    // Perhaps it opens without a word of ours.
    request.headers_mut().remove(header::SEC_WEBSOCKET_PROTOCOL);
    match open(site, addr, request).await {
        Ok(socket) if *health == Health::Coordinator => {
            report.bad(
                STEP,
                format!("open, but {SUBPROTOCOL} was not taken up"),
                "a proxy in between drops Sec-WebSocket-Protocol, and with it the token: have it \
                 pass that header",
            );
            drop(socket);
            None
        }
        Ok(socket) => {
            report.note(
                STEP,
                format!("open, without {SUBPROTOCOL}"),
                "a coordinator of 2019, or a proxy that drops Sec-WebSocket-Protocol",
            );
            Some(socket)
        }
        Err(failure) => {
            let (what, advice) = failure.explain(site, health);
            report.bad(STEP, what, advice);
            None
        }
    }
}

/// Why there is no WebSocket.
#[derive(Debug)]
enum Failure {
    TimedOut,
    Tcp(io::Error),
    Handshake(tungstenite::Error),
}

async fn open(site: &Site, addr: SocketAddr, request: Request<()>) -> Result<Socket, Failure> {
    let opened = async {
        let stream = site.open(addr).await.map_err(Failure::Tcp)?;
        let opened = client_async(request, stream).await;
        opened.map(|(socket, _)| socket).map_err(Failure::Handshake)
    };
    let opened = timeout(STEP_TIMEOUT, opened).await;
    opened.unwrap_or(Err(Failure::TimedOut))
}

fn is_without_subprotocol(error: &tungstenite::Error) -> bool {
    matches!(
        error,
        tungstenite::Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol
        ))
    )
}

impl Failure {
    /// What happened, and what to do about it.
    fn explain(&self, site: &Site, health: &Health) -> (String, String) {
        let path = format!("{}/connect", site.base);
        match self {
            Self::TimedOut => (
                format!("no answer to the upgrade of {path} within {STEP_TIMEOUT:?}"),
                "a proxy in between, or something that is no coordinator".into(),
            ),
            Self::Tcp(error) => (
                refusal(error),
                "it went away meanwhile: look at its log".into(),
            ),
            Self::Handshake(tungstenite::Error::Http(response)) => {
                explain_status(response, &path, health)
            }
            Self::Handshake(error) => (
                format!("the answer to the upgrade of {path} is none: {error}"),
                match health {
                    Health::Coordinator => "a proxy in between cannot WebSockets".into(),
                    Health::Other(_) => "that is no coordinator: check host and port".into(),
                },
            ),
        }
    }
}

fn explain_status(
    response: &Response<Option<Vec<u8>>>,
    path: &str,
    health: &Health,
) -> (String, String) {
    let status = response.status();
    let body = response.body().as_deref().unwrap_or_default();
    let body = String::from_utf8_lossy(body);
    let what = format!("the upgrade of {path} is answered with {status}");
    let advice = match status {
        StatusCode::BAD_REQUEST | StatusCode::UPGRADE_REQUIRED => {
            if body.to_lowercase().contains("upgrade") || *health == Health::Coordinator {
                "the request reaches the coordinator without Upgrade: have the proxy in between \
                 pass it (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                 proxy_set_header Connection \"upgrade\")"
                    .into()
            } else {
                "a proxy that does not pass Upgrade, or something that is no coordinator".into()
            }
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "a proxy in between wants credentials of its own, or the token is not good".into()
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::OK => {
            "nobody upgrades at that path: check host, port and path of the URL".into()
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            "a proxy in between does not reach the coordinator, or that is full or going: look at \
             its log and at coordinator_refusals_total"
                .into()
        }
        _ if status.is_redirection() => match location(response.headers()) {
            Some(location) => format!("clients do not follow redirections: use {location}"),
            None => "clients do not follow redirections".into(),
        },
        _ => "check host, port and path of the URL, and the proxy in between".into(),
    };
    (what, advice)
}

fn location(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::LOCATION)?.to_str().ok()
}
