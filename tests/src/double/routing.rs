//! A 2019 server's table: who is connected, in which role, wanting which topics; and to whom a
//! packet goes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::wire::Role;

/// What a server knows of one peer.
#[derive(Debug)]
pub(super) struct Entry {
    /// Unknown until AUTH; known from the start for a server that this one dialed.
    pub(super) role: Role,
    pub(super) identity: Bytes,
    pub(super) topics: BTreeSet<String>,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) is_hub: bool,
    pub(super) peers: BTreeMap<u64, Entry>,
}

impl Table {
    pub(super) fn insert(&mut self, alias: u64, role: Role) {
        let entry = Entry {
            role,
            identity: Bytes::new(),
            topics: BTreeSet::new(),
        };
        self.peers.insert(alias, entry);
    }

    /// Clients subscribed to `topic`, but for the sender.
    pub(super) fn clients(&self, topic: &str, sender: u64) -> Vec<u64> {
        self.subscribed(topic, sender, |role| role == Role::Client)
    }

    /// Servers subscribed to `topic` that a packet of `sender` goes on to: none when it came from
    /// a server, unless this is a hub.
    pub(super) fn servers(&self, topic: &str, sender: u64) -> Vec<u64> {
        let from_server = self
            .peers
            .get(&sender)
            .is_some_and(|entry| is_server(entry.role));
        if from_server && !self.is_hub {
            return Vec::new();
        }
        self.subscribed(topic, sender, is_server)
    }

    /// The topics to announce: those of the clients, and on a hub those of the servers too.
    pub(super) fn topics(&self) -> BTreeSet<String> {
        let wanted = |entry: &&Entry| entry.role == Role::Client || self.is_hub;
        let topics = self
            .peers
            .values()
            .filter(wanted)
            .flat_map(|entry| entry.topics.iter());
        topics.cloned().collect()
    }

    /// All servers.
    pub(super) fn links(&self) -> Vec<u64> {
        let links = self.peers.iter().filter(|(_, entry)| is_server(entry.role));
        links.map(|(alias, _)| *alias).collect()
    }

    fn subscribed(&self, topic: &str, sender: u64, wanted: impl Fn(Role) -> bool) -> Vec<u64> {
        let subscribed = |(alias, entry): &(&u64, &Entry)| {
            **alias != sender && wanted(entry.role) && entry.topics.contains(topic)
        };
        self.peers
            .iter()
            .filter(subscribed)
            .map(|(alias, _)| *alias)
            .collect()
    }
}

/// Servers of both kinds.
pub(super) fn is_server(role: Role) -> bool {
    matches!(
        role,
        Role::CommunicationServer | Role::CommunicationServerHub
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(is_hub: bool) -> Table {
        let mut table = Table {
            is_hub,
            ..Table::default()
        };
        for (alias, role) in [(1, Role::Client), (2, Role::Client), (3, Role::Unknown)] {
            table.insert(alias, role);
        }
        table.insert(8, Role::CommunicationServer);
        table.insert(9, Role::CommunicationServer);
        for entry in table.peers.values_mut() {
            entry.topics.insert("t".to_owned());
        }
        table
    }

    #[test]
    fn a_packet_of_a_client_goes_everywhere_but_back() {
        assert_eq!(table(false).clients("t", 1), [2]);
        assert_eq!(table(false).servers("t", 1), [8, 9]);
        assert!(table(false).clients("u", 1).is_empty());
    }

    #[test]
    fn a_packet_of_a_server_goes_to_clients_and_on_a_hub_to_the_other_servers() {
        assert_eq!(table(false).clients("t", 8), [1, 2]);
        assert!(table(false).servers("t", 8).is_empty());
        assert_eq!(table(true).servers("t", 8), [9]);
    }
}
