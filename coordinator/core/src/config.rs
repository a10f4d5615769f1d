//! What a coordinator is told at its start: who it is, and how much it takes.

use std::time::Duration;

use proto::limits;

use crate::{Instance, Rate, Selector, Topology};

/// What a coordinator is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which of several coordinators it is.
    pub instance: Instance,
    /// Now, as the time since 2026-01-01: later than at any start before.
    pub started: Duration,
    /// For the selector.
    pub seed: u64,
    /// How servers are picked for clients.
    pub selector: Selector,
    /// How servers are linked.
    pub topology: Topology,
    /// How long a server that has said how it is doing may be silent and still be sent clients.
    pub stale_after: Duration,
    /// How much is taken.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instance: Instance::default(),
            started: Duration::ZERO,
            seed: 0,
            selector: Selector::default(),
            topology: Topology::default(),
            // Servers speak every two seconds: five times in a row is no accident.
            stale_after: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }
}

/// How much a coordinator takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Sessions of clients at once.
    pub clients_max: usize,
    /// Sessions of servers and hubs at once: each is told of all others.
    pub servers_max: usize,
    /// Largest signal, in bytes.
    pub signal_bytes_max: usize,
    /// How fast a client may signal: joining takes a CONNECT, an ANSWER and some candidates.
    pub client_rate: Rate,
    /// How fast a server may signal: it answers all its clients.
    pub server_rate: Rate,
    /// Servers that a client may be in contact with at once.
    pub contacts_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients_max: 50_000,
            servers_max: 256,
            signal_bytes_max: limits::SIGNAL_BYTES_MAX,
            client_rate: Rate {
                per_second: 50,
                burst: 250,
            },
            server_rate: Rate {
                per_second: 20_000,
                burst: 40_000,
            },
            contacts_max: 16,
        }
    }
}
