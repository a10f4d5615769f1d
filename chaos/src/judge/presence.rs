//! Which client was on which server, when.

use std::collections::BTreeMap;

use crate::log::{At, Line, What};

/// Of all clients.
#[derive(Debug, Default)]
pub(super) struct Presence(BTreeMap<u32, Vec<(At, Option<u64>)>>);

impl Presence {
    /// From lines in the order of time.
    pub(super) fn read(lines: &[&Line]) -> Self {
        let mut presence = Self::default();
        for line in lines {
            let changes = presence.0.entry(line.client).or_default();
            match line.what {
                What::Subscribed(server) => changes.push((line.at, Some(server))),
                What::Away | What::Born | What::Stopped => changes.push((line.at, None)),
                What::Sent(_) | What::Queued(_) | What::Got(_) | What::Welcomed(_) => {}
            }
        }
        presence
    }

    /// The server that a client was on.
    pub(super) fn server_at(&self, client: u32, at: At) -> Option<u64> {
        let changes = self.0.get(&client)?;
        let before = changes.iter().rev().find(|(since, _)| *since <= at);
        before.and_then(|(_, server)| *server)
    }

    /// The server that a client was on for all of the time.
    pub(super) fn stays(&self, client: u32, from: At, until: At) -> Option<u64> {
        let server = self.server_at(client, from)?;
        (!self.moved(client, from, until)).then_some(server)
    }

    /// Whether anything changed for a client.
    pub(super) fn moved(&self, client: u32, from: At, until: At) -> bool {
        let changes = self.0.get(&client).map(Vec::as_slice).unwrap_or_default();
        changes
            .iter()
            .any(|(since, _)| *since > from && *since <= until)
    }
}
