//! The program under test: started, spoken to, listened to, and never waited for without an end.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tests::PATIENCE;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// A running `broker`. It dies with this value.
pub(crate) struct Program {
    child: Child,
    pub(crate) input: Option<ChildStdin>,
    output: Option<Lines<BufReader<ChildStdout>>>,
    errors: Lines<BufReader<ChildStderr>>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What nobody has read of it.
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Program {
    pub(crate) fn start(args: &[&str]) -> Result<Self> {
        Self::start_with(args, &[])
    }

    /// The same with variables. Those of the test are not its.
    pub(crate) fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_broker"))
            .env_clear()
            .envs(variables.iter().copied())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the program")?;
        let output = child.stdout.take().context("a pipe")?;
        let errors = child.stderr.take().context("a pipe")?;
        Ok(Self {
            input: child.stdin.take(),
            output: Some(BufReader::new(output).lines()),
            errors: BufReader::new(errors).lines(),
            child,
        })
    }

    /// Starts it and waits until it has ended.
    pub(crate) async fn run(args: &[&str]) -> Result<Ended> {
        Self::start(args)?.ended().await
    }

    /// The next line of its output.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let output = self.output.as_mut().context("its output is closed")?;
        let line = timeout(PATIENCE, output.next_line()).await;
        line.context("it says nothing")??.context("it has ended")
    }

    /// Waits until it has said this on standard error; what it says before is skipped.
    pub(crate) async fn has_said(&mut self, wanted: &str) -> Result<String> {
        let mut said = String::new();
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.errors.next_line().await? {
                if line.contains(wanted) {
                    return Ok(line);
                }
                said = said.clone() + &line + "\n";
            }
            anyhow::bail!("it has ended")
        });
        let found = found.await.context("it says something else");
        found
            .and_then(|found| found)
            .with_context(|| format!("{wanted:?} was expected, not\n{said}"))
    }

    /// Writes to its standard input.
    pub(crate) async fn write(&mut self, text: &[u8]) -> Result<()> {
        let input = self.input.as_mut().context("its input is closed")?;
        input.write_all(text).await.context("its input")
    }

    /// Nobody reads its output any more.
    pub(crate) fn stop_reading(&mut self) {
        self.output = None;
    }

    pub(crate) async fn signal(&self, name: &str) -> Result<()> {
        let id = self.child.id().context("it has ended")?.to_string();
        let status = Command::new("kill").args([name, &id]).status().await?;
        ensure!(status.success(), "kill {name}");
        Ok(())
    }

    pub(crate) async fn ended(mut self) -> Result<Ended> {
        self.input = None;
        let ended = async {
            let (mut output, mut errors) = (String::new(), String::new());
            if let Some(lines) = self.output {
                lines.into_inner().read_to_string(&mut output).await?;
            }
            self.errors.into_inner().read_to_string(&mut errors).await?;
            let code = self.child.wait().await?.code();
            Ok(Ended {
                code,
                output,
                errors,
            })
        };
        timeout(PATIENCE, ended).await.context("it does not end")?
    }
}

impl Ended {
    /// Demands a status, and shows what it said when it has another one.
    pub(crate) fn with(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "{code} was expected of {self:#?}");
        Ok(self)
    }
}
