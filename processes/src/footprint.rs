//! What a process holds: memory, descriptors, threads.

use std::fs;

use anyhow::Context as _;

use crate::usage;

/// At one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Footprint {
    /// Of one process, now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).with_context(|| path.clone())?;
        Ok(Self {
            resident_bytes: usage::resident_bytes(&status).with_context(|| path.clone())?,
            descriptors: u64::try_from(descriptors.count())?,
            threads: threads(&status).context(path)?,
        })
    }
}

fn threads(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("Threads:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_some_of_each() {
        let own = Footprint::of(std::process::id()).expect("it runs");
        assert!(own.resident_bytes > 0 && own.descriptors > 2 && own.threads > 0);
        let held = fs::File::open("/proc/self/status").expect("a file");
        let more = Footprint::of(std::process::id()).expect("it runs");
        assert!(more.descriptors > own.descriptors - 1);
        drop(held);
        assert!(Footprint::of(u32::MAX).is_err());
    }
}
