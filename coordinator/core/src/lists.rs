//! Which servers whom is told of, and when.

use std::time::{Duration, Instant};

use proto::{Message, MessageType, Role, ServerEntry, ServersMessage, limits};

use crate::{
    Alias, Coordinator, SessionId,
    load::Standing,
    registry::Session,
    selector::Candidate,
    topology::{is_for_clients, is_hub},
    waiting::BATCH_MAX,
};

/// The servers, as servers are told of them.
#[derive(Debug, Default)]
pub(crate) struct List {
    /// Ascending.
    entries: Vec<ServerEntry>,
    /// Rises with every change.
    version: u64,
    /// As it was announced last, and the version of that.
    announced: Vec<ServerEntry>,
    announced_version: u64,
    /// When the next announcement may go, after one that has gone.
    quiet_until: Option<Instant>,
}

impl List {
    /// Those that differ between what is announced and what is so.
    fn changes(&self) -> Vec<&ServerEntry> {
        let unlike = |list: &[ServerEntry], entry: &ServerEntry| {
            let at = list.binary_search_by_key(&entry.alias, |other| other.alias);
            at.ok().and_then(|at| list.get(at)) != Some(entry)
        };
        let news = self.entries.iter();
        let news = news.filter(|entry| unlike(&self.announced, entry));
        let olds = self.announced.iter();
        news.chain(olds.filter(|entry| unlike(&self.entries, entry)))
            .collect()
    }

    const fn is_announced(&self) -> bool {
        self.announced_version == self.version
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.quiet_until.filter(|_| !self.is_announced())
    }

    pub(crate) fn aliases(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().map(|entry| entry.alias)
    }
}

impl Coordinator {
    /// A server has come, gone, or says something else of itself.
    pub(crate) fn servers_changed(&mut self) {
        self.standings_due = true;
        let entries: Vec<ServerEntry> = self.registry.servers().map(Session::entry).collect();
        if entries != self.list.entries {
            self.list.entries = entries;
            self.list.version += 1;
        }
    }

    /// Tells servers of ours what has changed for them. After an announcement the next one waits a
    /// moment: when all servers come back at once, each is told a few times, not once for each.
    pub(crate) fn announce(&mut self, now: Instant) {
        if self.list.quiet_until.is_some_and(|until| now < until) || self.list.is_announced() {
            return;
        }
        let changes = self.list.changes();
        let (version, announced) = (self.list.version, self.list.announced_version);
        let servers = self.registry.servers();
        let servers = servers.filter(|server| server.ours && server.server.told < version);
        let concerned = servers.filter(|server| {
            let mut changes = changes.iter();
            let concerns = |entry: &ServerEntry| {
                entry.alias != server.alias.number()
                    && self.topology.links(server.role, entry.role())
            };
            // One that was told since may know of something that has changed back.
            server.server.told > announced || changes.any(|entry| concerns(entry))
        });
        let concerned: Vec<SessionId> = concerned.map(|server| server.id).collect();
        for id in concerned {
            self.send_others(id);
        }
        self.list.announced.clone_from(&self.list.entries);
        self.list.announced_version = version;
        self.list.quiet_until = Some(now + ANNOUNCE_INTERVAL);
    }

    /// The servers that a server is told of.
    pub(crate) fn others_of(&self, alias: Alias, role: Role) -> impl Iterator<Item = &ServerEntry> {
        let topology = self.topology;
        self.list.entries.iter().filter(move |entry| {
            entry.alias != alias.number() && topology.links(role, entry.role())
        })
    }

    /// Tells a server who the others are.
    pub(crate) fn send_others(&mut self, id: SessionId) {
        let version = self.list.version;
        let Some(server) = self.registry.session_mut(id) else {
            return;
        };
        server.server.told = version;
        let (alias, role) = (server.alias, server.role);
        let entries = self.others_of(alias, role).cloned().collect();
        self.send_servers(id, entries);
    }

    /// Clients that found no server when they came are told when one is there: so many at a time
    /// that the first server to appear is not all that they are told of.
    pub(crate) fn offer_to_waiting(&mut self, now: Instant) {
        if self.stats.servers_live == 0 || !self.waiting.is_due(now) {
            return;
        }
        for _ in 0..BATCH_MAX {
            let Some(id) = self.waiting.first() else {
                break;
            };
            let servers = self.select_servers(now, id);
            if servers.is_empty() {
                break;
            }
            self.waiting.remove(id);
            let sessions = servers
                .iter()
                .filter_map(|&alias| self.registry.by_alias(alias));
            let entries = sessions.map(Session::entry).collect();
            self.send_servers(id, entries);
        }
        self.waiting.pause(now);
    }

    /// Where the client may go: the server to which it is sent first, then others in order. One
    /// that is back counts there only when it sends CONNECT: after a restart all are back at once,
    /// and where they were.
    pub(crate) fn select_servers(&mut self, now: Instant, id: SessionId) -> Vec<Alias> {
        let client = self.registry.session(id);
        let is_back = client.is_some_and(|client| client.client.is_back);
        let region = client.and_then(|client| client.region.as_ref());
        let servers = self.registry.servers();
        let servers = servers.filter(|server| is_for_clients(server.role));
        let live = servers
            .filter(|server| server.server.load.standing(now, self.stale_after) == Standing::Live);
        let candidates = live.map(|server| Candidate {
            alias: server.alias,
            used_ppm: server.server.load.used_ppm(),
            near: region.is_some() && server.region.as_ref() == region,
        });
        let candidates: Vec<Candidate> = candidates.collect();
        let (rng, last) = (&mut self.rng, self.assigned);
        let count_max = limits::AVAILABLE_SERVERS_MAX;
        let selected = self.selector.select(rng, &candidates, last, count_max);
        if let Some(&first) = selected.first() {
            self.assigned = Some(first);
            if !is_back {
                self.registry.send_to(id, first);
                self.standings_due = true;
            }
        }
        selected
    }

    /// Looks how the servers are doing, when something has changed or one may be stale.
    pub(crate) fn look_after_servers(&mut self, now: Instant) {
        if !self.standings_due && self.stale_at.is_none_or(|at| now < at) {
            return;
        }
        self.standings_due = false;
        let mut standings = [0; 4];
        let mut hubs = 0;
        self.stale_at = None;
        for server in self.registry.servers() {
            let load = &server.server.load;
            let standing = load.standing(now, self.stale_after);
            if standing != Standing::Stale {
                let at = load.stale_at(self.stale_after);
                self.stale_at = self.stale_at.into_iter().chain(at).min();
            }
            if is_hub(server.role) {
                hubs += 1;
                continue;
            }
            let [live, full, draining, stale] = &mut standings;
            *match standing {
                Standing::Live => live,
                Standing::Full => full,
                Standing::Draining => draining,
                Standing::Stale => stale,
            } += 1;
        }
        let stats = &mut self.stats;
        stats.hubs = hubs;
        [
            stats.servers_live,
            stats.servers_full,
            stats.servers_draining,
            stats.servers_stale,
        ] = standings;
    }

    fn send_servers(&mut self, session: SessionId, entries: Vec<ServerEntry>) {
        let servers = ServersMessage {
            r#type: MessageType::Servers.into(),
            version: self.list.version,
            entries,
        };
        self.stats.server_lists += 1;
        self.send(session, servers.encode_to_vec().into());
    }
}

/// Between two announcements of changes. The first change after a pause goes at once.
pub(crate) const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(100);
