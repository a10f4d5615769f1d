//! `broker sub`: prints what comes on topics.

use std::{
    io::{self, BufWriter, StdoutLock, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use client::{Client, Event, Events, Message};

use crate::{
    access::{Access, FAILED, INTERRUPTED, Notices, complain, interrupted, stopped},
    show::{self, Manner},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line is the body of a message: as it is when a terminal can show it, else base64:… . With several \
topics the topic comes before it, with --identity the publisher's alias and name, separated by tabs.

Exit status: 0 after --count messages, when interrupted (Ctrl-C, SIGTERM) without --count, and when \
nobody reads any more; 130 when interrupted before --count messages have come; 1 when the cluster \
refuses; 64 for bad usage. While there is no server, it tries again for ever.")]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    /// Topics to listen to.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Print one JSON object a line: topic, from, lane, seq, body (or body_base64), identity.
    #[arg(long)]
    json: bool,
    /// End after so many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print who published, as the server has verified it: alias, and name if it was told.
    #[arg(long)]
    identity: bool,
    /// Do not say on standard error how the connection fares.
    #[arg(long, short)]
    quiet: bool,
}

/// Listens until it has heard enough.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, events) = args.access.connect()?;
    let manner = Manner {
        json: args.json,
        topic: args.topics.len() > 1,
        identity: args.identity,
    };
    let mut printer = Printer {
        out: BufWriter::new(io::stdout().lock()),
        manner,
        left: args.count,
    };
    let notices = Notices::new(COMMAND, client.clone(), args.quiet);
    let ended = tokio::select! {
        ended = listen(&client, &args.topics, events, &mut printer, notices) => ended?,
        interrupted = interrupted() => {
            interrupted?;
            match args.count {
                None => Ended::Enough,
                Some(_) => Ended::Interrupted,
            }
        }
    };
    printer.flush()?;
    client.close().await;
    Ok(match ended {
        Ended::Enough => ExitCode::SUCCESS,
        Ended::Interrupted => ExitCode::from(INTERRUPTED),
        Ended::Refused => ExitCode::from(FAILED),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Enough,
    Interrupted,
    Refused,
}

async fn listen(
    client: &Client,
    topics: &[String],
    mut events: Events,
    printer: &mut Printer,
    mut notices: Notices,
) -> anyhow::Result<Ended> {
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut subscribing = Some(Box::pin(client.subscribe(&topics)));
    loop {
        let subscribed = async {
            match &mut subscribing {
                Some(subscribing) => subscribing.await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            // Why it ended is among the events, and says more than the answer.
            biased;
            event = events.recv() => event,
            subscribed = subscribed => {
                subscribing = None;
                let subscribed = subscribed.map_err(anyhow::Error::from);
                if let Some(reason) = subscribed.as_ref().err().and_then(stopped) {
                    complain(COMMAND, format_args!("refused: {reason}"));
                    return Ok(Ended::Refused);
                }
                subscribed.context("subscribing")?;
                notices.say(format_args!("subscribed to {}", topics.join(", ")));
                continue;
            }
        };
        let mut next = event;
        while let Some(event) = next {
            notices.tell(&event);
            match event {
                Event::Message(message) if printer.print(&message)? => {
                    return Ok(Ended::Enough);
                }
                Event::Stopped { reason } => {
                    complain(COMMAND, format_args!("refused: {reason}"));
                    return Ok(Ended::Refused);
                }
                _ => {}
            }
            next = events.try_recv();
        }
        // What has come is shown before more is waited for.
        if printer.flush()? {
            return Ok(Ended::Enough);
        }
    }
}

struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    manner: Manner,
    /// Messages still to come, if they are counted.
    left: Option<u64>,
}

impl Printer {
    /// True when it was the last: because enough have come, or nobody reads any more.
    fn print(&mut self, message: &Message) -> anyhow::Result<bool> {
        if unread(show::write(&mut self.out, message, self.manner))? {
            return Ok(true);
        }
        let Some(left) = &mut self.left else {
            return Ok(false);
        };
        *left = left.saturating_sub(1);
        Ok(*left == 0)
    }

    fn flush(&mut self) -> anyhow::Result<bool> {
        unread(self.out.flush())
    }
}

/// That nobody reads any more (`| head`) is no error.
fn unread(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        written => written.map(|()| false).context("standard output"),
    }
}

pub(crate) const COMMAND: &str = "sub";
