//! What the measurement was taken on: figures without their machine mean nothing.

use std::{fmt, fs, path::Path, process::Command};

use serde::{Deserialize, Serialize};

/// A machine, as it describes itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    /// Cores that share execution units with another one.
    pub(crate) siblings: bool,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    /// Runnable processes over the minute before: above 0.5 it was not quiet.
    pub(crate) load_before: f64,
}

impl Machine {
    pub(crate) fn describe(cores: &[usize]) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            cores: cores.len(),
            siblings: cores.iter().any(|core| has_siblings(*core)),
            memory_gib: field(&read("/proc/meminfo"), "MemTotal").map_or(0.0, |total| gib(&total)),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: load(&read("/proc/loadavg")),
        }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.load_before <= LOAD_QUIET
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let siblings = if self.siblings {
            " (some are hardware threads of one)"
        } else {
            ""
        };
        write!(
            f,
            "{}, {} cores{siblings}, {:.0} GiB, Linux {}, load before {:.2}",
            self.cpu, self.cores, self.memory_gib, self.kernel, self.load_before
        )
    }
}

/// The repository's state: the commit, and whether something was changed since.
pub(crate) fn commit(root: &Path) -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(root).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}

/// Now, in UTC, as people write it. From the days since 1970, by the calendar's own arithmetic.
pub(crate) fn utc(seconds_since_1970: u64) -> String {
    let (days, seconds) = (seconds_since_1970 / 86_400, seconds_since_1970 % 86_400);
    // Years that begin in March: the leap day is then the last one.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn gib(kib: &str) -> f64 {
    let kib = kib.trim_end_matches("kB").trim().parse::<f64>();
    kib.map_or(0.0, |kib| kib / 1024.0 / 1024.0)
}

fn load(loadavg: &str) -> f64 {
    let first = loadavg.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or(0.0)
}

fn has_siblings(core: usize) -> bool {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    fs::read_to_string(path).is_ok_and(|list| list.contains([',', '-']))
}

const LOAD_QUIET: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_right_at_its_edges() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds), shown);
        }
    }

    #[test]
    fn fields_and_load_are_read() {
        assert_eq!(
            field("processor\t: 0\nmodel name\t: A B\n", "model name").as_deref(),
            Some("A B")
        );
        assert!((gib("2097152 kB") - 2.0).abs() < 1e-9);
        assert!((load("0.75 0.50 0.25 1/2 3") - 0.75).abs() < 1e-9);
    }
}
