//! `broker dev`: what it says, and how it ends.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};

use crate::program::Program;

/// A cluster that has introduced itself, and where its coordinator is.
async fn start() -> Result<(Program, String)> {
    let mut program = Program::start(&["dev", "--listen", "127.0.0.1:0", "--bots", "3"])?;
    loop {
        let line = program.line().await?;
        if let Some(url) = line.trim().strip_prefix("coordinator ") {
            return Ok((program, url.trim().to_owned()));
        }
    }
}

#[tokio::test]
async fn one_command_brings_up_a_cluster_and_a_signal_ends_it() -> Result<()> {
    for signal in ["-INT", "-TERM"] {
        let (program, url) = start().await?;
        Program::run(&["doctor", "--coordinator", &url])
            .await?
            .with(0)?;
        program.signal(signal).await?;
        let ended = program.ended().await?.with(0)?;
        ensure!(ended.errors.is_empty(), "{ended:?}");
        ensure!(ended.output.contains("Ctrl-C ends it"), "{ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_what_to_do() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let addr = taken.local_addr()?.to_string();
    let ended = Program::run(&["dev", "--listen", &addr]).await?.with(1)?;
    let expected = format!("another program listens on {addr}");
    ensure!(ended.errors.contains(&expected), "{ended:?}");
    ensure!(ended.errors.contains("--listen (127.0.0.1:0"), "{ended:?}");
    ensure!(ended.errors.lines().count() == 1, "{ended:?}");
    // One that is none of this machine.
    let elsewhere = Program::run(&["dev", "--listen", "192.0.2.1:9090"])
        .await?
        .with(1)?;
    let said = elsewhere.errors.matches("Cannot assign").count();
    ensure!(said == 1, "once: {elsewhere:?}");
    Ok(())
}

#[tokio::test]
async fn bad_usage_is_told_before_anything_is_started() -> Result<()> {
    for (args, says) in [
        (
            &["dev", "--listen", "127.0.0.1"][..],
            "an address with a port",
        ),
        (&["dev", "--listen", "nonsense:1"], "an address with a port"),
        (&["dev", "--commservers", "0"], "1..=64"),
        (&["dev", "--commservers", "65"], "1..=64"),
        (&["dev", "--bots", "1001"], "0..=1000"),
        (&["dev", "--fast"], "--fast"),
        (&["develop"], "develop"),
        (&[], "Usage: broker"),
    ] {
        let ended = Program::run(args).await?.with(64).with_context(|| says)?;
        ensure!(ended.errors.contains(says), "{args:?}: {ended:?}");
        ensure!(ended.output.is_empty(), "{ended:?}");
    }
    Ok(())
}
