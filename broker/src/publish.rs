//! `broker pub`: publishes, and ends when the server has it.

use std::{
    cell::RefCell, convert::Infallible, fs, io, path::PathBuf, pin::pin, process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use client::{Client, Event, Events, Lane, Published, RequestError, State, SubscribeError};
use proto::{limits, topic};
use settings::Value as _;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    time::{sleep, timeout},
};

use crate::access::{
    Access, BadUsage, FAILED, INTERRUPTED, Notices, complain, interrupted, stopped,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 when the server has everything (on the unreliable lane: when everything was sent to \
it; it may be lost on the way); 1 when it does not, or when nobody knows because the server was lost \
before it had confirmed; 64 for bad usage; 130 when interrupted. That the server has a message is no \
word about who receives it: without a subscriber it is gone.")]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    /// Where to publish.
    topic: String,
    /// What to publish; '-' publishes each line of standard input.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    body: Option<String>,
    /// Publish the contents of a file, as one message.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// reliable or unreliable.
    #[arg(long, default_value = "reliable", value_parser = parse_lane)]
    lane: Lane,
    /// Publish with who we are, as the server has verified it.
    #[arg(long)]
    identity: bool,
    /// Publish it so many times.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Wait between the repetitions.
    #[arg(long, value_name = "D", default_value = "1s", value_parser = parse_duration)]
    interval: Duration,
    /// Give up when a message is not with the server after this time.
    #[arg(long, value_name = "D", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
    /// Do not say on standard error how the connection fares.
    #[arg(long, short)]
    quiet: bool,
}

/// Publishes everything, and waits until the server has it.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    topic::validate(&args.topic, limits::TOPIC_BYTES_MAX)
        .map_err(|error| BadUsage(format!("{:?} is not a topic: {error}", args.topic)))?;
    let body = args.body()?;
    let (client, events) = args.access.connect()?;
    let trouble = RefCell::new(None);
    let mut publisher = Publisher {
        client: &client,
        args: &args,
        trouble: &trouble,
        published: 0,
        unconfirmed: 0,
        doubtful: 0,
    };
    let publish = async {
        match body {
            Some(body) => publisher.repeat(&body).await?,
            None => publisher.lines(BufReader::new(tokio::io::stdin())).await?,
        }
        publisher.confirm().await?;
        anyhow::Ok(publisher.doubtful)
    };
    let notices = Notices::new(COMMAND, client.clone(), args.quiet);
    let ended = tokio::select! {
        // Why it ended is among the events.
        biased;
        stopped = watch(events, notices, &trouble) => match stopped? {},
        doubtful = publish => match doubtful {
            Ok(0) => Ok(ExitCode::SUCCESS),
            Ok(_) => Ok(ExitCode::from(FAILED)),
            Err(error) => Err(match stopped(&error) {
                Some(reason) => anyhow!("refused: {reason}"),
                None => error,
            }),
        },
        interrupted = interrupted() => interrupted.map(|()| ExitCode::from(INTERRUPTED)),
    };
    client.close().await;
    ended
}

impl Args {
    /// `None` is standard input, line by line.
    fn body(&self) -> anyhow::Result<Option<Bytes>> {
        if let Some(path) = &self.file {
            let read = fs::read(path).map_err(|error| {
                let path = path.display();
                BadUsage(format!("cannot read {path}: {error}"))
            });
            return Ok(Some(read?.into()));
        }
        match self.body.as_deref() {
            Some("-") if self.repeat > 1 => {
                bail!(BadUsage(
                    "--repeat does not go with lines of standard input".into()
                ))
            }
            Some("-") | None => Ok(None),
            Some(body) => Ok(Some(Bytes::copy_from_slice(body.as_bytes()))),
        }
    }
}

struct Publisher<'a> {
    client: &'a Client,
    args: &'a Args,
    /// Why there was no server, the last time that there was none.
    trouble: &'a RefCell<Option<String>>,
    published: u64,
    /// Since the server last said that it has everything.
    unconfirmed: u64,
    /// Those of which nobody knows whether a server has them.
    doubtful: u64,
}

impl Publisher<'_> {
    async fn repeat(&mut self, body: &Bytes) -> anyhow::Result<()> {
        for nth in 0..self.args.repeat {
            if nth > 0 {
                self.confirm().await?;
                sleep(self.args.interval).await;
            }
            self.publish(body.clone()).await?;
        }
        Ok(())
    }

    async fn lines(&mut self, mut input: impl AsyncBufRead + Unpin) -> anyhow::Result<()> {
        loop {
            let mut next = pin!(line(&mut input));
            let line = loop {
                tokio::select! {
                    line = &mut next => break line?,
                    // Nothing comes for the moment: time to ask about what has gone.
                    () = sleep(PAUSE), if self.unconfirmed > 0 => self.confirm().await?,
                }
            };
            let Some(line) = line else {
                return Ok(());
            };
            self.publish(line).await?;
            if self.unconfirmed >= UNCONFIRMED_MAX {
                self.confirm().await?;
            }
        }
    }

    async fn publish(&mut self, body: Bytes) -> anyhow::Result<()> {
        let sent = timeout(self.args.timeout, self.send(body)).await;
        sent.map_err(|_| {
            let trouble = self.trouble.borrow();
            let why = match (trouble.as_deref(), self.client.state()) {
                (_, State::WaitingForServer) => NO_SERVER,
                (Some(why), _) => why,
                (None, _) => "it takes longer",
            };
            anyhow!("no server within {:?}: {why}", self.args.timeout)
        })??;
        self.published += 1;
        self.unconfirmed += 1;
        Ok(())
    }

    /// Waits for a server: only then is it known how much it takes, and what is unreliable needs one.
    async fn send(&self, body: Bytes) -> anyhow::Result<()> {
        let Args { topic, lane, .. } = self.args;
        loop {
            let connected = |state: &State| matches!(state, State::Connected { .. });
            self.client.reached(connected).await;
            let body = body.clone();
            let published = if self.args.identity {
                self.client.publish_with_identity(topic, *lane, body).await
            } else {
                self.client.publish(topic, *lane, body).await
            };
            match published? {
                Published::Sent | Published::Queued => return Ok(()),
                // The lane opens a moment later than the reliable one.
                Published::Dropped => sleep(LANE_INTERVAL).await,
            }
        }
    }

    /// Waits until the server has everything published so far.
    async fn confirm(&mut self) -> anyhow::Result<()> {
        let asked = std::mem::take(&mut self.unconfirmed);
        match timeout(self.args.timeout, self.client.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(SubscribeError::Failed(RequestError::Unconfirmed))) => {
                self.doubtful += asked;
                complain(
                    COMMAND,
                    format_args!(
                        "the server was lost before it had confirmed: nobody knows whether it has \
                         the last {asked} of {} messages",
                        self.published
                    ),
                );
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => bail!(
                "the server has not confirmed within {:?}",
                self.args.timeout
            ),
        }
    }
}

/// Says how the client fares; ends when it has been told something for good.
async fn watch(
    mut events: Events,
    mut notices: Notices,
    trouble: &RefCell<Option<String>>,
) -> anyhow::Result<Infallible> {
    while let Some(event) = events.recv().await {
        notices.tell(&event);
        match event {
            Event::Stopped { reason } => bail!("refused: {reason}"),
            Event::Retrying { reason, .. } => *trouble.borrow_mut() = Some(notices.trouble(reason)),
            _ => {}
        }
    }
    bail!("the client has ended")
}

/// The next line, without its end; `None` at the end of the input.
async fn line(input: &mut (impl AsyncBufRead + Unpin)) -> anyhow::Result<Option<Bytes>> {
    let mut line = Vec::new();
    let bytes_max = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let read = input.take(bytes_max + 1).read_until(b'\n', &mut line).await;
    if read.context("standard input")? == 0 {
        return Ok(None);
    }
    let ended = line.pop_if(|byte| *byte == b'\n').is_some();
    if !ended && line.len() > LINE_BYTES_MAX {
        bail!(io::Error::other(format!(
            "a line of standard input has more than {LINE_BYTES_MAX} bytes"
        )));
    }
    Ok(Some(line.into()))
}

fn parse_lane(text: &str) -> Result<Lane, String> {
    let lane = Lane::ALL.into_iter().find(|lane| lane.label() == text);
    lane.ok_or_else(|| format!("expected reliable or unreliable, got {text:?}"))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    Duration::parse(text).map_err(|expected| format!("expected {expected}"))
}

pub(crate) const COMMAND: &str = "pub";

/// What to look at when the coordinator has nobody to send us to.
const NO_SERVER: &str = "the coordinator has none that takes clients; is a commserver running, and linked \
                         with it?";

/// Messages of which the server is not yet known to have them.
const UNCONFIRMED_MAX: u64 = 64;

/// Without a line for so long, the server is asked.
const PAUSE: Duration = Duration::from_millis(200);

const LANE_INTERVAL: Duration = Duration::from_millis(50);

/// More than any server takes.
const LINE_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_what_is_between_line_ends() {
        let mut input = &b"one\n\nthree\xff\nlast"[..];
        let mut lines = Vec::new();
        while let Some(line) = line(&mut input).await.expect("memory") {
            lines.push(line);
        }
        assert_eq!(lines, [&b"one"[..], b"", b"three\xff", b"last"]);
    }

    #[tokio::test]
    async fn a_line_has_a_limit() {
        for (bytes, end, good) in [
            (LINE_BYTES_MAX, true, true),
            (LINE_BYTES_MAX, false, true),
            (LINE_BYTES_MAX + 1, true, false),
            (LINE_BYTES_MAX + 1, false, false),
        ] {
            let mut input = vec![b'x'; bytes];
            if end {
                input.push(b'\n');
            }
            let line = line(&mut &*input).await;
            assert_eq!(line.is_ok(), good, "{bytes} {end}");
        }
    }
}
