//! A process that the driver has started: on given cores, in a process group of its own, so that
//! Ctrl-C in the terminal goes to the driver alone, which then ends it by its id.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{ChildStdout, Command},
    time::timeout,
};

use crate::cores;

/// Killed when dropped.
#[derive(Debug)]
pub struct Child {
    name: String,
    pid: u32,
    child: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Child {
    /// Starts a program; what it says on standard error goes to a file in `logs`.
    pub fn start(
        name: &str,
        program: &Path,
        args: &[String],
        environment: &[(&str, String)],
        on: &[usize],
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        fs::create_dir_all(logs).with_context(|| logs.display().to_string())?;
        let errors = File::create(&log).with_context(|| log.display().to_string())?;
        let driver = std::env::current_exe().context("this program")?;
        let mut command = Command::new(driver);
        command
            .args(["exec", "--cores", &cores::list(on), "--driver"])
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(program)
            .args(args)
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            // What is measured is the release with its defaults, not this shell's settings.
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().with_context(|| name.to_owned())?;
        let stdout = child.stdout.take().context("standard output")?;
        Ok(Self {
            name: name.to_owned(),
            pid: child.id().context("it ended at once")?,
            child,
            lines: BufReader::new(stdout).lines(),
            log,
        })
    }

    /// Its id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The next line on standard output; `None` when there will be no more.
    pub async fn line(&mut self, within: Duration) -> anyhow::Result<Option<String>> {
        match timeout(within, self.lines.next_line()).await {
            Ok(line) => Ok(line?),
            Err(_) => bail!("{}: said nothing for {within:?}; {}", self.name, self.log()),
        }
    }

    /// The line that it says when it is ready.
    pub async fn ready(&mut self) -> anyhow::Result<String> {
        match self.line(READY_TIMEOUT).await? {
            Some(line) => Ok(line),
            None => bail!("{}: ended before it was ready; {}", self.name, self.log()),
        }
    }

    /// Whether it is still there: one that ended by itself has crashed, or was asked too much.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{}: ended with {status}; {}", self.name, self.log()),
        }
    }

    /// Whether it has ended, by itself or not.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for it to end by itself.
    pub async fn wait(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        match timeout(within, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("{}: does not end; {}", self.name, self.log()),
        }
    }

    /// Asks it to end, and kills it when it does not.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.check_running()?;
        self.signal(Signal::TERM)?;
        let ended = timeout(STOP_TIMEOUT, self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => bail!("{}: ended with {status}; {}", self.name, self.log()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                self.child.kill().await?;
                bail!("{}: had to be killed; {}", self.name, self.log())
            }
        }
    }

    /// Ends it as `kill -9` does, and waits until it has ended.
    ///
    /// # Errors
    /// When the system cannot.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("{}: kill -9", self.name))
    }

    /// Stops it, or lets it go on: it notices neither.
    ///
    /// # Errors
    /// When it has ended.
    pub fn set_stopped(&self, stopped: bool) -> anyhow::Result<()> {
        self.signal(if stopped { Signal::STOP } else { Signal::CONT })
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{}: no process", self.name))?;
        kill_process(pid, signal).with_context(|| format!("{}: {signal:?}", self.name))
    }

    /// The end of what it said on standard error.
    pub fn log(&self) -> String {
        let mut tail = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
            file.read_to_end(&mut tail)
        });
        let tail = match read {
            Ok(_) => String::from_utf8_lossy(&tail).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        format!("{}: {tail}", self.log.display())
    }
}

/// Servers are ready in a fraction of a second; this is for a loaded machine.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// A server drains for 5 s at most, by default.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

const LOG_TAIL_BYTES: u64 = 1_000;
