//! Which servers whom is told of.

use std::time::Instant;

use proto::{Message, MessageType, ServerEntry, ServerState, ServersMessage, limits};

use crate::{Alias, Coordinator, SessionId, registry::Session};

impl Coordinator {
    /// Tells every server of ours who the others are now, if that is news.
    pub(crate) fn announce_servers(&mut self) -> bool {
        let list: Vec<ServerEntry> = self.registry.servers().map(server_entry).collect();
        if list == self.announced {
            return false;
        }
        self.announced = list;
        self.version += 1;
        let servers = self.registry.servers().filter(|server| server.ours);
        let told: Vec<(SessionId, Alias)> =
            servers.map(|server| (server.id, server.alias)).collect();
        for (id, alias) in told {
            self.send_others(id, alias);
        }
        true
    }

    /// Tells the server `alias` who the others are.
    pub(crate) fn send_others(&mut self, session: SessionId, alias: Alias) {
        let others = self.announced.iter();
        let others = others.filter(|entry| entry.alias != alias.number());
        self.send_servers(session, others.cloned().collect());
    }

    /// Clients that found no server when they came are told when one is there: so many at a time
    /// that the first server to appear is not all that they are told of.
    pub(crate) fn offer_to_waiting(&mut self, now: Instant) {
        if self.registry.servers_count() == 0 {
            return;
        }
        for id in self.waiting.take_due(now) {
            let servers = self.select_servers();
            let sessions = servers
                .iter()
                .filter_map(|&alias| self.registry.by_alias(alias));
            let entries = sessions.map(server_entry).collect();
            self.send_servers(id, entries);
        }
    }

    pub(crate) fn select_servers(&mut self) -> Vec<Alias> {
        let servers: Vec<Alias> = self.registry.servers().map(|server| server.alias).collect();
        let count_max = limits::AVAILABLE_SERVERS_MAX;
        let (rng, last) = (&mut self.rng, self.assigned);
        let selected = self.selector.select(rng, &servers, last, count_max);
        self.assigned = selected.first().copied().or(last);
        selected
    }

    fn send_servers(&mut self, session: SessionId, entries: Vec<ServerEntry>) {
        let servers = ServersMessage {
            r#type: MessageType::Servers.into(),
            version: self.version,
            entries,
        };
        self.stats.server_lists += 1;
        self.send(session, servers.encode_to_vec().into());
    }
}

fn server_entry(server: &Session) -> ServerEntry {
    ServerEntry {
        alias: server.alias.number(),
        role: server.role.into(),
        state: ServerState::Live.into(),
        ..Default::default()
    }
}
