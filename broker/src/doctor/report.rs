//! What was found, as it is found: lines for people, one JSON object for programs.

use std::io::{self, Write as _};

use serde::Serialize;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Nothing is wrong, but somebody may want to know.
    Note,
    /// Clients suffer from it.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) step: &'static str,
    /// Of which server; of none, the coordinator.
    pub(crate) server: Option<u64>,
    pub(crate) verdict: Verdict,
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) advice: Option<String>,
}

/// All findings of an examination.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    healthy: bool,
    coordinator: String,
    findings: Vec<Finding>,
    /// The server that is being looked at.
    #[serde(skip)]
    server: Option<u64>,
    #[serde(skip)]
    json: bool,
}

impl Report {
    pub(crate) fn new(coordinator: String, json: bool) -> Self {
        let report = Self {
            healthy: true,
            coordinator,
            findings: Vec::new(),
            server: None,
            json,
        };
        report.say(&format!("coordinator {}", report.coordinator));
        report
    }

    /// From here on it is about this server.
    pub(crate) fn turn_to(&mut self, server: u64) {
        self.server = Some(server);
        self.say(&format!("\nserver {server}"));
    }

    pub(crate) fn ok(&mut self, step: &'static str, what: impl Into<String>) {
        self.add(step, Verdict::Ok, what.into(), None);
    }

    pub(crate) fn note(
        &mut self,
        step: &'static str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(step, Verdict::Note, what.into(), Some(advice.into()));
    }

    pub(crate) fn bad(
        &mut self,
        step: &'static str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.add(step, Verdict::Bad, what.into(), Some(advice.into()));
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// Says how it stands on the whole.
    pub(crate) fn close(&self) {
        if self.json {
            let mut text = serde_json::to_string(self).unwrap_or_default();
            text.push('\n');
            print(&text);
            return;
        }
        let bad = |finding: &&Finding| finding.verdict == Verdict::Bad;
        match self.findings.iter().filter(bad).count() {
            0 => self.say("\nall well"),
            1 => self.say("\none thing is wrong"),
            count => self.say(&format!("\n{count} things are wrong")),
        }
    }

    fn add(&mut self, step: &'static str, verdict: Verdict, what: String, advice: Option<String>) {
        let finding = Finding {
            step,
            server: self.server,
            verdict,
            what,
            advice,
        };
        self.healthy &= verdict != Verdict::Bad;
        self.say(&line(&finding));
        self.findings.push(finding);
    }

    fn say(&self, text: &str) {
        if !self.json {
            print(&format!("{text}\n"));
        }
    }
}

fn line(finding: &Finding) -> String {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Note => "note",
        Verdict::Bad => "BAD",
    };
    let mut line = format!("  {verdict:<5} {:<12} {}", finding.step, finding.what);
    if let Some(advice) = &finding.advice {
        line += &format!("\n{:21}{advice}", "");
    }
    line
}

/// If standard output is closed, nobody wants to know.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_finding_is_enough() {
        let mut report = Report::new("ws://h".into(), true);
        report.ok("tcp", "answers");
        report.note("addresses", "one of two", "look at it");
        assert!(report.is_healthy());
        report.turn_to(64);
        report.bad("udp", "nothing answers", "open the port");
        report.ok("tcp", "answers");
        assert!(!report.is_healthy());
        let json = serde_json::to_value(&report).expect("serializes");
        assert_eq!(
            json["findings"][2],
            serde_json::json!({
                "step": "udp", "server": 64, "verdict": "bad",
                "what": "nothing answers", "advice": "open the port",
            })
        );
        assert_eq!(json["findings"][0]["server"], serde_json::Value::Null);
        assert_eq!(
            (&json["healthy"], &json["coordinator"]),
            (&false.into(), &"ws://h".into())
        );
    }

    #[test]
    fn advice_stands_below_what_it_is_about() {
        let finding = Finding {
            step: "udp",
            server: None,
            verdict: Verdict::Bad,
            what: "nothing answers".into(),
            advice: Some("open the port".into()),
        };
        assert_eq!(
            line(&finding),
            "  BAD   udp          nothing answers\n                     open the port"
        );
    }
}
