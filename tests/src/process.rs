//! Servers as processes of their own, which can be killed without a farewell.

use std::{ffi::OsStr, os::unix::process::ExitStatusExt as _, path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::PATIENCE;

/// A server in a process of its own. It dies with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// What it printed when it was ready.
    ready: String,
    /// Kept open: a program that cannot print may not be what is tested.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts `broker` with these arguments and waits for its ready line.
    ///
    /// # Errors
    /// When the program is not there, ends, or is not ready in time.
    pub async fn start<A: AsRef<OsStr>>(args: &[A], cluster_secret: &str) -> Result<Self> {
        Self::start_with(args, cluster_secret, &[]).await
    }

    /// The same with settings of its own, as variables.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with<A: AsRef<OsStr>>(
        args: &[A],
        cluster_secret: &str,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let program = program()?;
        let mut child = Command::new(&program)
            .args(args)
            .env("BROKER_LOG__FILTER", "error")
            .envs(variables.iter().copied())
            .env("BROKER_CLUSTER_SECRET", cluster_secret)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let stdout = child.stdout.take().context("a pipe from the server")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("ready") {
                    return Ok(line);
                }
            }
            bail!("it ended before it was ready")
        });
        let ready = ready.await.context("it is not ready in time")??;
        Ok(Self {
            child,
            ready,
            _stdout: lines,
        })
    }

    /// The line that it printed when it was ready.
    #[must_use]
    pub fn ready(&self) -> &str {
        &self.ready
    }

    /// Asks it to end, as an operator does.
    ///
    /// # Errors
    /// When it has ended already, or the system cannot.
    pub async fn terminate(&self) -> Result<()> {
        let id = self.child.id().context("it has ended already")?;
        let mut kill = Command::new("kill");
        let told = kill.args(["-TERM", &id.to_string()]).status().await?;
        ensure!(told.success(), "no such process: {id}");
        Ok(())
    }

    /// Waits until it ends by itself, and yields its exit code.
    ///
    /// # Errors
    /// When it does not in time, or by a signal.
    pub async fn exit_code(mut self) -> Result<i32> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.context("it does not end")??;
        status.code().with_context(|| status.to_string())
    }

    /// Waits until it ends by a signal, and yields which.
    ///
    /// # Errors
    /// When it does not in time, or in another way.
    pub async fn signal(mut self) -> Result<i32> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.context("it does not end")??;
        status.signal().with_context(|| status.to_string())
    }

    /// Stops it, or lets it go on: it notices neither.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn set_stopped(&self, stopped: bool) -> Result<()> {
        let id = self.child.id().context("it has ended already")?;
        let signal = if stopped { "-STOP" } else { "-CONT" };
        let mut kill = Command::new("kill");
        let told = kill.args([signal, &id.to_string()]).status().await?;
        ensure!(told.success(), "no such process: {id}");
        Ok(())
    }

    /// Ends it as `kill -9` does, and waits until it has ended.
    ///
    /// # Errors
    /// When the system cannot.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("killing a server")
    }
}

/// The `broker` program of the same build as this test.
fn program() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test
        .parent()
        .and_then(|deps| deps.parent())
        .context("a build folder")?;
    let program = folder.join("broker");
    if !program.is_file() {
        bail!(
            "{} is missing: run `cargo build -p broker` before",
            program.display()
        );
    }
    Ok(program)
}
