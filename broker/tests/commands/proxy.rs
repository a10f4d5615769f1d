//! What stands between a client and its coordinator, and changes what passes.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Changes the head of a request or of an answer: its lines up to the empty one.
pub(crate) type Edit = fn(&str) -> String;

/// A proxy, until it is dropped.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    _task: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(
        ip: IpAddr,
        upstream: SocketAddr,
        request: Edit,
        answer: Edit,
    ) -> Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await?;
        let addr = listener.local_addr()?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    // Whichever side breaks off, the other one is told.
                    pass(stream, upstream, request, answer).await.ok();
                });
            }
        });
        Ok(Self { addr, _task: task })
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.addr)
    }
}

/// Somebody who says this to everyone, whatever is asked.
pub(crate) async fn say(text: &'static str) -> Result<Proxy> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            head(&mut stream).await.ok();
            stream.write_all(text.as_bytes()).await.ok();
        }
    });
    Ok(Proxy { addr, _task: task })
}

pub(crate) fn as_it_is(head: &str) -> String {
    head.to_owned()
}

/// The same without the headers of these names.
pub(crate) fn without(head: &str, names: &[&str]) -> String {
    let keeps = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_lowercase();
        !names.contains(&name.as_str())
    };
    head.split_inclusive("\r\n").filter(keeps).collect()
}

async fn pass(
    mut client: TcpStream,
    upstream: SocketAddr,
    request: Edit,
    answer: Edit,
) -> Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    let asked = head(&mut client).await?;
    server.write_all(request(&asked).as_bytes()).await?;
    let answered = head(&mut server).await?;
    client.write_all(answer(&answered).as_bytes()).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}
