//! The log of a server: what is logged, and how it looks. To standard error, so that standard output
//! has the ready line alone.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::Settings;

/// What is logged, and how.
#[derive(Debug)]
pub struct Log {
    filter: EnvFilter,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// For people.
    Pretty,
    /// For programs.
    Json,
}

impl Log {
    /// As the settings say.
    pub fn take(settings: &mut Settings) -> Self {
        let text = settings.take("log.filter", "info".to_owned());
        let filter = EnvFilter::try_new(&text).unwrap_or_else(|error| {
            settings.problem(format!("log.filter: {error}"));
            EnvFilter::default()
        });
        let choices = [("pretty", Format::Pretty), ("json", Format::Json)];
        let format = settings.take_choice("log.format", Format::Pretty, &choices);
        Self { filter, format }
    }

    /// Begins, for the whole process. A program that hosts a server may have a log already, which
    /// then stays.
    pub fn start(self) {
        let log = tracing_subscriber::fmt()
            .with_writer(io::stderr)
            // It would say so on standard error too, and panic where that is what is closed.
            .log_internal_errors(false)
            .with_ansi(io::stderr().is_terminal())
            .with_env_filter(self.filter);
        let started = match self.format {
            Format::Pretty => log.try_init(),
            Format::Json => log.json().try_init(),
        };
        if started.is_err() {
            tracing::debug!("somebody else has set up the log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(file: &str) -> (Log, Settings) {
        let mut settings = Settings::new(|_| None);
        settings.file_text("x.toml", file);
        (Log::take(&mut settings), settings)
    }

    #[test]
    fn is_for_people_unless_it_is_told_otherwise() {
        let (log, settings) = taken("");
        assert_eq!(
            (log.format, log.filter.to_string()),
            (Format::Pretty, "info".into())
        );
        assert!(settings.finish().is_ok());
        let (log, settings) = taken("log.format = 'json'\nlog.filter = 'commserver=debug,warn'");
        assert_eq!(log.format, Format::Json);
        assert_eq!(log.filter.to_string(), "commserver=debug,warn");
        assert!(settings.finish().is_ok());
    }

    #[test]
    fn what_cannot_be_used_is_a_problem() {
        for (file, named) in [
            ("log.filter = 'a=b=c'", "log.filter: "),
            ("log.format = 'xml'", "log.format (x.toml): expected"),
        ] {
            let (_, settings) = taken(file);
            let problems = settings.finish().map(|_| ()).map_err(|p| p.to_string());
            let told = problems.expect_err("a problem");
            assert!(told.contains(named), "{told}");
        }
    }
}
