//! One HTTP request, to see who answers.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header::HOST};
use tokio::time::timeout;

use super::{STEP_TIMEOUT, coordinator::Site};
pub(super) use crate::http::Answer;

/// GETs `path` of the site, whoever that is at `addr`.
pub(super) async fn get(site: &Site, addr: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let request = Request::get(path)
        .header(HOST, &site.authority)
        .body(Full::<Bytes>::default())?;
    let ask = async { crate::http::exchange(site.open(addr).await?, request).await };
    timeout(STEP_TIMEOUT, ask)
        .await
        .with_context(|| format!("no answer within {STEP_TIMEOUT:?}"))?
}
