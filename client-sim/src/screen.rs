//! One line on the terminal that says how far the run is.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use client_sim::{Phase, Progress};
use tokio::{sync::watch, time::sleep};

/// Until the run ends.
pub(crate) async fn show(mut progress: watch::Receiver<Progress>) {
    let mut last = (Instant::now(), *progress.borrow());
    while progress.changed().await.is_ok() {
        let now = *progress.borrow_and_update();
        let elapsed = last.0.elapsed();
        write(&line(&now, &last.1, elapsed));
        last = (Instant::now(), now);
        sleep(INTERVAL).await;
    }
    std::future::pending::<()>().await;
}

/// Leaves the line free for what comes.
pub(crate) fn clear() {
    write("");
}

fn line(now: &Progress, before: &Progress, elapsed: Duration) -> String {
    match now.phase {
        Phase::Connecting => format!("connecting  {} of {} clients", now.ready, now.clients),
        Phase::Probing => format!("probing     {} clients wait for every server", now.ready),
        Phase::Publishing { elapsed: done, of } => {
            let ms = elapsed.as_millis().max(1);
            let rate = |now: u64, before: u64| u128::from(now.saturating_sub(before)) * 1000 / ms;
            let back = match now.reconnects {
                0 => String::new(),
                count => format!("   {count} reconnects"),
            };
            format!(
                "publishing  {:.1} of {:.1} s   {}/s out   {}/s in   {} under way   {} clients{back}",
                done.as_secs_f64(),
                of.as_secs_f64(),
                rate(now.published, before.published),
                rate(now.delivered, before.delivered),
                now.expected.saturating_sub(now.delivered),
                now.ready,
            )
        }
        Phase::Draining => {
            let under_way = now.expected.saturating_sub(now.delivered);
            format!("draining    {under_way} under way")
        }
        Phase::Leaving => "leaving".to_owned(),
    }
}

/// Over the line before: back to its start, and clear to its end.
fn write(line: &str) {
    let mut terminal = io::stderr();
    // A terminal that is gone needs no progress.
    let _written = write!(terminal, "\r{line}\x1b[K").and_then(|()| terminal.flush());
}

const INTERVAL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_a_terminal() {
        let before = Progress::default();
        let now = Progress {
            phase: Phase::Publishing {
                elapsed: Duration::from_millis(2_500),
                of: Duration::from_secs(10),
            },
            clients: 1_000,
            ready: 1_000,
            published: 250,
            expected: 150_000,
            delivered: 149_000,
            reconnects: 0,
        };
        let line = line(&now, &before, Duration::from_millis(500));
        assert_eq!(
            line,
            "publishing  2.5 of 10.0 s   500/s out   298000/s in   1000 under way   1000 clients"
        );
    }
}
