//! What a server says and does when something is not to be had: a port, a file, descriptors.

use std::{
    net::{TcpListener, UdpSocket},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use tests::{PATIENCE, member::Member};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

use crate::program::Program;

const SECRET: (&str, &str) = ("BROKER_CLUSTER_SECRET", "the secret of the whole cluster");

#[tokio::test]
async fn a_port_that_is_taken_is_named_and_the_exit_is_1() -> Result<()> {
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let addr = tcp.local_addr()?.to_string();
    let coordinator = ["coordinator", "--insecure", "--listen", &addr];
    let ended = Program::start_with(&coordinator, &[SECRET])?
        .ended()
        .await?;
    let ended = ended.with(1)?;
    ensure!(ended.errors.contains(&addr), "{ended:?}");
    ensure!(ended.errors.contains("Address already in use"), "{ended:?}");
    ensure!(ended.output.is_empty(), "{ended:?}");

    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let addr = udp.local_addr()?.to_string();
    let url = "ws://127.0.0.1:9";
    let commserver = [
        "commserver",
        "--insecure",
        "--coordinator",
        url,
        "--rtc-listen",
        &addr,
    ];
    let ended = Program::start_with(&commserver, &[SECRET])?.ended().await?;
    let ended = ended.with(1)?;
    ensure!(ended.errors.contains(&addr), "{ended:?}");
    ensure!(ended.errors.contains("Address already in use"), "{ended:?}");
    ensure!(ended.output.is_empty(), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_named_and_the_exit_is_64() -> Result<()> {
    let folder = std::env::temp_dir();
    let folder = folder.to_str().context("a plain name")?;
    for file in ["/nonexistent/broker.toml", folder] {
        for program in ["coordinator", "commserver"] {
            let args = [program, "--insecure", "--config", file];
            let ended = Program::start_with(&args, &[SECRET])?.ended().await?;
            let ended = ended.with(64)?;
            ensure!(ended.errors.contains("cannot read"), "{ended:?}");
            ensure!(ended.errors.contains(file), "{ended:?}");
        }
    }
    // And so is a secret's.
    let args = [
        "coordinator",
        "--insecure",
        "--cluster-secret-file",
        "/nonexistent/secret",
    ];
    let ended = Program::start_with(&args, &[])?.ended().await?.with(64)?;
    ensure!(ended.errors.contains("/nonexistent/secret"), "{ended:?}");
    Ok(())
}

/// Starts `broker` with so few descriptors.
fn start_poor(descriptors: u32, args: &str) -> Result<Child> {
    let broker = env!("CARGO_BIN_EXE_broker");
    Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {descriptors}; exec {broker} {args}"))
        .env(SECRET.0, SECRET.1)
        .env("BROKER_LIMITS__REQUESTS_MAX", "1024")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("a shell")
}

#[tokio::test]
async fn a_coordinator_without_descriptors_keeps_its_sessions_and_recovers() -> Result<()> {
    let mut coordinator = start_poor(64, "coordinator --insecure --listen 127.0.0.1:0")?;
    let output = coordinator.stdout.take().context("a pipe")?;
    let mut output = BufReader::new(output).lines();
    let ready = timeout(PATIENCE, output.next_line()).await??;
    let ready = ready.context("it has ended")?;
    let mut words = ready.split(' ');
    let url = words.find(|word| word.starts_with("ws://"));
    let url = url.context("its address")?.to_owned();
    let addr = url.trim_start_matches("ws://").to_owned();
    let commserver = [
        "commserver",
        "--insecure",
        "--coordinator",
        &url,
        "--rtc-listen",
        "127.0.0.1:0",
    ];
    let mut commserver = Program::start_with(&commserver, &[SECRET])?;
    commserver.line().await?;
    let mut before = Member::join(&url).await?;
    // More than it has left; the kernel takes them all the same.
    let mut strangers = Vec::new();
    for _ in 0..80 {
        strangers.push(TcpStream::connect(&addr).await?);
    }
    let errors = coordinator.stderr.take().context("a pipe")?;
    let mut errors = BufReader::new(errors).lines();
    let said = timeout(PATIENCE, async {
        while let Some(line) = errors.next_line().await? {
            if line.contains("cannot accept connections") {
                return Ok(line);
            }
        }
        anyhow::bail!("it has ended")
    });
    let said = said.await.context("it says nothing about it")??;
    ensure!(said.contains("Too many open files"), "{said}");
    ensure!(
        before.settle().await?.is_empty(),
        "who was there is still there, and is told nothing"
    );
    drop(strangers);
    Member::join(&url).await.context("there is room again")?;
    Ok(())
}

#[tokio::test]
async fn too_few_descriptors_to_start_with_end_it_with_a_word() -> Result<()> {
    let args = "commserver --insecure --coordinator ws://127.0.0.1:9 --rtc-listen 127.0.0.1:0";
    let ended = start_poor(8, args)?.wait_with_output();
    let ended = timeout(PATIENCE, ended).await??;
    let errors = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.code() == Some(1), "{ended:?}");
    ensure!(errors.contains("Too many open files"), "{errors}");
    Ok(())
}
