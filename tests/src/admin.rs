//! The coordinator's HTTP APIs, as an operator and programs use them.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::PATIENCE;

/// Revokes what `body` says, which is JSON.
///
/// # Errors
/// When the coordinator does not take it.
pub async fn revoke(admin_addr: SocketAddr, body: &str) -> Result<()> {
    let answer = timeout(PATIENCE, post(admin_addr, "/v1/admin/revoke", body));
    let answer = answer.await.context("no answer in time")??;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{body}: {answer}");
    Ok(())
}

/// What a request is answered, head and body.
///
/// # Errors
/// When it is not.
pub async fn post(addr: SocketAddr, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
