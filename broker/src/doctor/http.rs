//! One HTTP request, to see who answers.

use std::{net::SocketAddr, time::SystemTime};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{DATE, HOST, HeaderMap},
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{STEP_TIMEOUT, coordinator::Site};

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The beginning of it, as text.
    pub(super) body: String,
}

impl Answer {
    /// When it was written, by the server's clock.
    pub(super) fn date(&self) -> Option<SystemTime> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        httpdate::parse_http_date(date).ok()
    }
}

/// GETs `path` of the site, whoever that is at `addr`.
pub(super) async fn get(site: &Site, addr: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    timeout(STEP_TIMEOUT, ask(site, addr, path))
        .await
        .with_context(|| format!("no answer within {STEP_TIMEOUT:?}"))?
}

async fn ask(site: &Site, addr: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let stream = site.open(addr).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(HOST, &site.authority)
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = body.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
        anyhow::Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&body).trim().to_owned(),
        })
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // It is over when the exchange is, or before, and then the exchange says why.
        _ = connection => exchange.await,
    }
}

/// More than any answer of a coordinator.
const BODY_BYTES_MAX: usize = 64 * 1024;
