//! What the servers hold, before and after: it must not have grown.

use std::collections::BTreeMap;

use processes::footprint::Footprint;

use crate::{blow::Place, cluster::Cluster, say};

/// Of the coordinator and of each server, at one moment.
pub(crate) struct Held {
    footprints: BTreeMap<Place, Footprint>,
    tasks: BTreeMap<Place, f64>,
}

impl Held {
    pub(crate) async fn by(cluster: &Cluster) -> anyhow::Result<Self> {
        Ok(Self {
            footprints: cluster.footprints()?,
            tasks: cluster.tasks().await?,
        })
    }

    /// What is more than it was, beyond what the same clients on other servers explain, and so many
    /// clients more.
    pub(crate) fn growth(&self, before: &Self, newcomers: u32) -> Vec<String> {
        let most = |count: fn(&Footprint) -> u64| {
            let servers = before.footprints.iter();
            let servers = servers.filter(|(place, _)| **place != Place::Coordinator);
            servers.map(|(_, held)| count(held)).max().unwrap_or(0)
        };
        let mut grown = Vec::new();
        for (place, now) in &self.footprints {
            let Some(then) = before.footprints.get(place) else {
                continue;
            };
            let is_server = *place != Place::Coordinator;
            let base = |count: fn(&Footprint) -> u64| {
                if is_server { most(count) } else { count(then) }
            };
            let memory = base(|held| held.resident_bytes);
            // A session is a connection at the coordinator; a peer of a server is none.
            let sessions = if is_server { 0 } else { newcomers };
            let descriptors = base(|held| held.descriptors) + u64::from(sessions);
            for (what, now, allowed) in [
                ("bytes", now.resident_bytes, memory * 2 + MEMORY_SLACK_BYTES),
                (
                    "descriptors",
                    now.descriptors,
                    descriptors + DESCRIPTORS_SLACK,
                ),
                ("threads", now.threads, base(|held| held.threads)),
            ] {
                if now > allowed {
                    grown.push(format!(
                        "{place} has {now} {what}, and {allowed} are allowed"
                    ));
                }
            }
            let tasks = |held: &Self| held.tasks.get(place).copied().unwrap_or_default();
            let sessions_tasks = f64::from(sessions * TASKS_OF_SESSION);
            if tasks(self) > tasks(before) + sessions_tasks + TASKS_SLACK {
                let (then, now) = (tasks(before), tasks(self));
                grown.push(format!("{place} has {now} tasks, after {then}"));
            }
        }
        grown
    }

    /// A line for each process.
    pub(crate) fn tell(&self, before: &Self) {
        for (place, then) in &before.footprints {
            let Some(now) = self.footprints.get(place) else {
                continue;
            };
            say(&format!(
                "{place}: {} -> {} KiB, {} -> {} descriptors, {} -> {} threads, {} -> {} tasks",
                then.resident_bytes / 1024,
                now.resident_bytes / 1024,
                then.descriptors,
                now.descriptors,
                then.threads,
                now.threads,
                before.tasks.get(place).copied().unwrap_or_default(),
                self.tasks.get(place).copied().unwrap_or_default(),
            ));
        }
    }
}

/// Clients are spread anew after each fault, and an allocator gives little back.
const MEMORY_SLACK_BYTES: u64 = 48 * 1024 * 1024;
/// Connections that are being closed.
const DESCRIPTORS_SLACK: u64 = 16;
const TASKS_SLACK: f64 = 32.0;
/// One that reads, and one that writes.
const TASKS_OF_SESSION: u32 = 2;
