//! Logins with a wrong key, as many at once as are asked for, again and again.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use crate::{Done, REGISTERED, Target, address};

pub(crate) async fn run(target: &Target, count: usize, done: &Done) -> Result<()> {
    let (host, port) = address(target)?;
    let address = (host.as_str(), port);
    let tries = (0..count).map(|nth| async move {
        for number in 0_u64.. {
            let key = format!("a key of thirty-two bytes or more {nth} {number}");
            // Who is told to wait waits a little; who is shown the door, too.
            match log_in(address, &key).await {
                Ok(answer) if answer.starts_with(b"HTTP/1.1 401") => {}
                _ => sleep(PAUSE).await,
            }
            done.add(1);
        }
    });
    join_all(tries).await;
    Ok(())
}

async fn log_in(address: (&str, u16), key: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let body = format!(r#"{{"clientID":"{REGISTERED}","authKey":"{key}"}}"#);
    let length = body.len();
    let request = format!(
        "POST /v1/auth/login HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

const PAUSE: Duration = Duration::from_millis(50);
