//! Synthetic clients that load-test a running cluster and report honestly.
//!
//! Every client is the real one: the session state machine and the socket driver of `client`. The
//! schedule is open-loop, latency counts from the scheduled time, and what is due is known from
//! the plan, not from what arrives. A run is [`run`]; the binary puts flags around it.
//!
//! ```no_run
//! # async fn example() -> Result<(), client_sim::Error> {
//! use client_sim::{Control, Options};
//!
//! let options = Options { clients: 20, ..Options::default() };
//! let report = client_sim::run(options, Control::default()).await?;
//! assert_eq!(report.lost, 0);
//! # Ok(())
//! # }
//! ```

mod bot;
mod churn;
mod conductor;
mod ledger;
mod options;
mod pacer;
mod payload;
mod plan;
mod probing;
mod report;
mod require;
mod roster;
mod tally;
mod timeline;
mod tokens;
mod window;
mod workers;

use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use churn::{Churn, ChurnError};
pub use client::{ConnectError, Impair, Lane};
use conductor::Conductor;
pub use options::Options;
pub use report::{LatencyUs, Report, TimesMs};
pub use require::{Miss, NAMES as REQUIREMENTS, ParseError, Requirement};

/// Puts a load on a cluster and reports what became of it.
///
/// # Errors
/// When nothing can be reported: see [`Error`]. Faults of the cluster are in the report.
pub async fn run(options: Options, control: Control) -> Result<Report, Error> {
    let problems = options.problems();
    if !problems.is_empty() {
        return Err(Error::Options(problems));
    }
    Conductor::new(options, control)?.run().await
}

/// A run's way to the outside.
#[derive(Debug, Default)]
pub struct Control {
    /// Ends the run early, with a report.
    pub stop: CancellationToken,
    /// Where the run tells how far it is.
    pub progress: Option<watch::Sender<Progress>>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Asked for.
    pub clients: u64,
    /// On a server and subscribed.
    pub ready: u64,
    /// So far.
    pub published: u64,
    /// Deliveries due so far, as the publishers see it.
    pub expected: u64,
    /// So far.
    pub delivered: u64,
    /// Times that clients came back to a server, so far.
    pub reconnects: u64,
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// Clients are starting.
    #[default]
    Connecting,
    /// Making sure that everybody hears every server.
    Probing,
    /// Under load.
    Publishing {
        /// So far.
        elapsed: Duration,
        /// In all.
        of: Duration,
    },
    /// Waiting for what is under way.
    Draining,
    /// Nothing is under way any more: clients say goodbye.
    Leaving,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// They contradict themselves.
    #[error("{}", .0.join("\n"))]
    Options(Vec<String>),
    /// The system gives no threads.
    #[error("cannot start the threads for the clients")]
    Workers(#[source] io::Error),
    /// The timeline has no place.
    #[error("cannot write the timeline to {}", path.display())]
    Timeline {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A client could not even start.
    #[error("cannot start a client")]
    Client(#[from] ConnectError),
    /// No client found a server in time.
    #[error("no client was connected and subscribed in time: {}", list(.0))]
    NobodyConnected(BTreeMap<String, u64>),
    /// Somebody does not hear everybody.
    #[error("the probes of every server reached {reached} of {clients} clients only")]
    ProbesMissing {
        /// Clients that they reached.
        reached: u64,
        /// Clients that were there.
        clients: u64,
    },
}

fn list(errors: &BTreeMap<String, u64>) -> String {
    let errors = errors.iter().map(|(name, count)| format!("{name} {count}"));
    errors.collect::<Vec<_>>().join(", ")
}

/// A duration with its unit, such as `250us`, `20ms`, `10s` or `2m`.
///
/// # Errors
/// A text that says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match text.get(digits.len()..) {
        Some("us") => 1e-6,
        Some("ms") => 1e-3,
        Some("s") => 1.0,
        Some("m") => 60.0,
        Some("h") => 3600.0,
        _ => {
            return Err(format!(
                "expected a duration such as 20ms or 10s, got {text:?}"
            ));
        }
    };
    let number: f64 = digits
        .trim()
        .parse()
        .map_err(|_| format!("{digits:?} is no number"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let ms = Duration::from_millis;
        for (text, duration) in [
            ("20ms", ms(20)),
            ("10s", ms(10_000)),
            ("1.5s", ms(1_500)),
            ("2m", ms(120_000)),
        ] {
            assert_eq!(parse_duration(text), Ok(duration));
        }
        for text in ["", "10", "ms", "-1s", "1d", "1e400s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
