//! Connections that begin to ask for a WebSocket, and never finish. Half of them say nothing at all.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use crate::{Done, Target, address};

pub(crate) async fn run(target: &Target, count: usize, done: &Done) -> Result<()> {
    let (host, port) = address(target)?;
    let address = (host.as_str(), port);
    let connections = (0..count).map(|nth| async move {
        loop {
            // Who is not let in tries again, and so does who is shown the door.
            if hold(address, nth % 2 == 0, done).await.is_err() {
                sleep(PAUSE).await;
            }
        }
    });
    join_all(connections).await;
    Ok(())
}

/// One of them, until the other side has enough of it.
async fn hold(address: (&str, u16), speaks: bool, done: &Done) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    if speaks {
        stream.write_all(BEGINNING).await?;
    }
    done.add(1);
    let mut answer = [0; 256];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

const BEGINNING: &[u8] = b"GET /connect HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n";

const PAUSE: Duration = Duration::from_millis(200);
