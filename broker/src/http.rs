//! One HTTP request on a connection of its own.

use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{DATE, HeaderMap},
};
use hyper_util::rt::TokioIo;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The beginning of it, as text.
    pub(crate) body: String,
}

impl Answer {
    /// When it was written, by the server's clock.
    pub(crate) fn date(&self) -> Option<SystemTime> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        httpdate::parse_http_date(date).ok()
    }
}

/// Sends a request, and waits for the whole answer.
pub(crate) async fn exchange(
    stream: tls::Stream,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
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
