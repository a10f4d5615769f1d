//! Tells a program where a run is: on standard output one JSON object a line, when a phase begins.
//! Whoever measures a server meanwhile knows from it what to measure between.

use std::io::{self, Write as _};

use client_sim::{Phase, Progress};
use tokio::sync::watch;

/// Until the run ends.
pub(crate) async fn tell(mut progress: watch::Receiver<Progress>) {
    let mut last = "";
    while progress.changed().await.is_ok() {
        let now = *progress.borrow_and_update();
        let phase = name(now.phase);
        if phase != last {
            last = phase;
            // Whoever does not listen any more does not want to know.
            let _written = writeln!(io::stdout(), "{}", line(phase, &now));
        }
    }
    std::future::pending::<()>().await;
}

fn line(phase: &str, now: &Progress) -> String {
    let Progress {
        ready,
        published,
        delivered,
        ..
    } = now;
    format!(
        r#"{{"phase":"{phase}","ready":{ready},"published":{published},"delivered":{delivered}}}"#
    )
}

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Connecting => "connecting",
        Phase::Probing => "probing",
        Phase::Publishing { .. } => "publishing",
        Phase::Draining => "draining",
        Phase::Leaving => "leaving",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object() {
        let now = Progress {
            phase: Phase::Draining,
            ready: 50,
            published: 3,
            delivered: 147,
            ..Progress::default()
        };
        let line = line(name(now.phase), &now);
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let expected = serde_json::json!({
            "phase": "draining", "ready": 50, "published": 3, "delivered": 147
        });
        assert_eq!(value, expected);
        assert!(!line.contains('\n'));
    }
}
