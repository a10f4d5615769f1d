//! What processes use: CPU time and resident memory, as the kernel accounts them.

use std::{fs, time::Instant};

use anyhow::Context as _;

/// CPU time and memory of some processes together at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// When.
    pub at: Instant,
    /// User and system time so far, seconds. Of a datagram on the loopback interface the sender
    /// pays the receive path as well.
    pub cpu_s: f64,
    /// Resident memory.
    pub resident_bytes: f64,
}

impl Usage {
    /// Of these processes, now.
    pub fn of(pids: &[u32]) -> anyhow::Result<Self> {
        let mut sum = Self {
            at: Instant::now(),
            cpu_s: 0.0,
            resident_bytes: 0.0,
        };
        for pid in pids {
            let read = |name: &str| {
                let path = format!("/proc/{pid}/{name}");
                fs::read_to_string(&path).with_context(|| format!("{path}: has it ended?"))
            };
            let ticks = cpu_ticks(&read("stat")?).context("/proc/PID/stat")?;
            sum.cpu_s += float(ticks) / float(rustix::param::clock_ticks_per_second());
            let resident = resident_bytes(&read("status")?).context("/proc/PID/status")?;
            sum.resident_bytes += float(resident);
        }
        Ok(sum)
    }
}

/// What happened between two moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    /// CPU time, seconds.
    pub cpu_s: f64,
    /// By the clock.
    pub seconds: f64,
}

impl Spent {
    /// From one moment to another.
    pub fn between(from: &Usage, to: &Usage) -> Self {
        Self {
            cpu_s: to.cpu_s - from.cpu_s,
            seconds: to.at.saturating_duration_since(from.at).as_secs_f64(),
        }
    }

    /// Share of so many cores that was in use over so long, 0 to 1.
    pub fn share(&self, cores: usize, seconds: f64) -> f64 {
        let capacity = seconds * float_of_usize(cores.max(1));
        if capacity > 0.0 {
            self.cpu_s / capacity
        } else {
            0.0
        }
    }
}

/// Whether a share of the cores leaves no doubt that there was no more to be had. Not 1: the window
/// has edges, and the kernel counts in ticks.
pub fn is_saturated(share: f64) -> bool {
    share >= SATURATED_SHARE
}

const SATURATED_SHARE: f64 = 0.93;

/// utime and stime, from /proc/PID/stat. The second field is the program's name in parentheses,
/// which may itself hold spaces and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    // The first field after the name is number 3; utime is 14, stime 15.
    let mut fields = after_name.split_ascii_whitespace().skip(14 - 3);
    let utime: u64 = fields.next()?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    Some(utime + stime)
}

/// VmRSS, from /proc/PID/status.
pub(crate) fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Counts of what happens in a run are far below 2^52.
#[expect(clippy::as_conversions, reason = "no lossless conversion exists")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// The same for sizes.
pub fn float_of_usize(count: usize) -> f64 {
    float(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const STAT: &str = "4711 (comm) (server) S 1 4711 4711 0 -1 4194560 1 2 3 4 250 50 7 8 20 0 5 0 \
        123 456 789";

    #[test]
    fn cpu_time_is_user_and_system_whatever_the_name() {
        assert_eq!(cpu_ticks(STAT), Some(300));
        assert_eq!(cpu_ticks("4711 (x) S 1"), None);
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn memory_is_the_resident_set() {
        let status = "Name:\tx\nVmPeak:\t  9000 kB\nVmRSS:\t    2048 kB\nThreads:\t3\n";
        assert_eq!(resident_bytes(status), Some(2 * 1024 * 1024));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_is_accounted() {
        let own = Usage::of(&[std::process::id()]).expect("it runs");
        assert!(own.resident_bytes > 0.0 && own.cpu_s >= 0.0);
        let twice = Usage::of(&[std::process::id(); 2]).expect("it runs");
        assert!(twice.resident_bytes > own.resident_bytes);
        assert!(Usage::of(&[u32::MAX]).is_err());
    }

    fn usage(at: Instant, cpu_s: f64) -> Usage {
        Usage {
            at,
            cpu_s,
            resident_bytes: 0.0,
        }
    }

    #[test]
    fn what_was_spent_is_the_difference_and_its_share_counts_all_cores() {
        let start = Instant::now();
        let end = start + Duration::from_secs(4);
        let spent = Spent::between(&usage(start, 10.0), &usage(end, 13.0));
        let about = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(about(spent.cpu_s, 3.0) && about(spent.seconds, 4.0));
        assert!(about(spent.share(1, 4.0), 0.75));
        assert!(about(spent.share(2, 4.0), 0.375));
        assert!(about(spent.share(1, 0.0), 0.0));
    }

    #[test]
    fn a_core_that_was_busy_but_for_the_edges_is_saturated() {
        assert!(is_saturated(1.0) && is_saturated(0.93));
        assert!(!is_saturated(0.92) && !is_saturated(0.0));
    }
}
