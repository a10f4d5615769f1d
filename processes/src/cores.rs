//! Which cores the servers get, and which the load: never the same, where there are two.

use std::fmt;

use anyhow::Context as _;
use rustix::thread::CpuSet;
use serde::{Deserialize, Serialize};

/// The machine's cores, divided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cores {
    /// For all servers of a subject together.
    pub server: Vec<usize>,
    /// For the clients, and for the driver, which sleeps nearly always.
    pub load: Vec<usize>,
}

impl Cores {
    /// Of the cores that this process may use, the first for the servers (the first two where
    /// several servers are measured and there are four), the others for the load: a client costs
    /// more than its share of a server.
    pub fn divide(allowed: &[usize], servers: usize) -> Self {
        let wanted = if servers > 1 && allowed.len() >= 4 {
            2
        } else {
            1
        };
        let (server, load) = allowed.split_at(wanted.min(allowed.len()));
        Self {
            server: server.to_vec(),
            // One core is shared, and every row is marked.
            load: if load.is_empty() { server } else { load }.to_vec(),
        }
    }

    /// Whether server and load are on different cores.
    pub fn apart(&self) -> bool {
        self.server.iter().all(|core| !self.load.contains(core))
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, load) = (list(&self.server), list(&self.load));
        write!(f, "servers on core {server}, load on core {load}")
    }
}

/// As a command line has them: `0,1`.
pub fn list(cores: &[usize]) -> String {
    let cores = cores.iter().map(usize::to_string);
    cores.collect::<Vec<_>>().join(",")
}

/// The cores that this process may use.
pub fn allowed() -> anyhow::Result<Vec<usize>> {
    let set = rustix::thread::sched_getaffinity(None).context("sched_getaffinity")?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect())
}

/// Keeps the calling thread, and what it starts, on these cores.
pub fn pin(cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .with_context(|| format!("cannot run on core {}", list(cores)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(allowed: &[usize], servers: usize) -> (Vec<usize>, Vec<usize>) {
        let cores = Cores::divide(allowed, servers);
        (cores.server, cores.load)
    }

    #[test]
    fn server_and_load_are_apart_where_they_can_be() {
        assert_eq!(divided(&[0, 1], 1), (vec![0], vec![1]));
        assert_eq!(divided(&[0, 1], 2), (vec![0], vec![1]));
        assert_eq!(divided(&[2, 5, 7], 2), (vec![2], vec![5, 7]));
        assert_eq!(divided(&[0, 1, 2, 3], 1), (vec![0], vec![1, 2, 3]));
        assert_eq!(divided(&[0, 1, 2, 3], 2), (vec![0, 1], vec![2, 3]));
        assert!(Cores::divide(&[0, 1], 1).apart());
    }

    #[test]
    fn one_core_is_shared_and_that_is_known() {
        assert_eq!(divided(&[3], 1), (vec![3], vec![3]));
        assert!(!Cores::divide(&[3], 1).apart());
    }
}
