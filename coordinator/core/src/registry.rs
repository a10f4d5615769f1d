//! Who is here: sessions, by the shell's id and by alias, who has contacted whom, and who was sent
//! where.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use proto::{Role, ServerEntry};
use rustc_hash::FxHashMap;

use crate::{Region, Resume, SessionId, alias::Alias, load::Load, rate::Bucket, signal::is_server};

/// Who comes, as the shell found.
#[derive(Debug, Clone)]
pub(crate) struct Newcomer {
    pub(crate) role: Role,
    pub(crate) ours: bool,
    pub(crate) identity: Bytes,
    pub(crate) token_id: Option<Arc<str>>,
    pub(crate) resume: Option<Resume>,
    pub(crate) region: Option<Region>,
}

impl Newcomer {
    pub(crate) const fn is_server(&self) -> bool {
        is_server(self.role)
    }
}

/// A WebSocket at the coordinator, and who is behind it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) alias: Alias,
    /// Drawn when the alias was first given.
    pub(crate) series: u64,
    pub(crate) role: Role,
    /// Speaks more than the 2019 protocol.
    pub(crate) ours: bool,
    /// As the authenticator found.
    pub(crate) identity: Bytes,
    pub(crate) token_id: Option<Arc<str>>,
    pub(crate) region: Option<Region>,
    pub(crate) bucket: Bucket,
    /// Of a client.
    pub(crate) client: Client,
    /// Of a server.
    pub(crate) server: Server,
}

/// What only clients have.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Servers that it sent CONNECT to, the latest last: those may answer.
    contacts: VecDeque<Alias>,
    /// Where it was sent last.
    pub(crate) place: Option<Place>,
    /// It has its alias from before, and most likely its peer too: it has not said yet that it
    /// needs another.
    pub(crate) is_back: bool,
}

/// What only servers have.
#[derive(Debug)]
pub(crate) struct Server {
    /// The first session of the line that keeps its load.
    tenure: SessionId,
    pub(crate) load: Load,
    /// The version of the list that it was sent last.
    pub(crate) told: u64,
}

/// A client's place at a server: gone when the server is, even if another comes under its alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    server: Alias,
    tenure: SessionId,
}

impl Session {
    /// `resume` is what it may take up the next time.
    pub(crate) fn new(now: Instant, id: SessionId, resume: Resume, newcomer: Newcomer) -> Self {
        Self {
            id,
            alias: resume.alias,
            series: resume.series,
            role: newcomer.role,
            ours: newcomer.ours,
            identity: newcomer.identity,
            token_id: newcomer.token_id,
            region: newcomer.region,
            bucket: Bucket::new(now),
            client: Client::default(),
            server: Server {
                tenure: id,
                load: Load::default(),
                told: 0,
            },
        }
    }

    /// Goes on where `before`, of the same owner, was.
    pub(crate) fn succeed(&mut self, before: Self) {
        self.client = before.client;
        self.server = before.server;
    }

    /// As other servers are told of it.
    pub(crate) fn entry(&self) -> ServerEntry {
        ServerEntry {
            alias: self.alias.number(),
            role: self.role.into(),
            region: self
                .region
                .as_ref()
                .map(Region::name)
                .unwrap_or_default()
                .into(),
            state: self.server.load.state().into(),
            endpoints: Vec::new(),
        }
    }

    const fn place_here(&self) -> Place {
        Place {
            server: self.alias,
            tenure: self.server.tenure,
        }
    }

    /// By what it may be taken up.
    pub(crate) const fn resume(&self) -> Resume {
        Resume {
            alias: self.alias,
            series: self.series,
        }
    }

    pub(crate) const fn is_server(&self) -> bool {
        is_server(self.role)
    }

    /// Remembers that it sent CONNECT to `server`; the contact before all others is forgotten
    /// when there are too many.
    pub(crate) fn contact(&mut self, server: Alias, contacts_max: usize) {
        let contacts = &mut self.client.contacts;
        contacts.retain(|&known| known != server);
        contacts.push_back(server);
        while contacts.len() > contacts_max.max(1) {
            contacts.pop_front();
        }
    }

    pub(crate) fn has_contacted(&self, server: Alias) -> bool {
        self.client.contacts.contains(&server)
    }

    pub(crate) fn contacts(&self) -> impl ExactSizeIterator<Item = Alias> {
        self.client.contacts.iter().copied()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: FxHashMap<SessionId, Session>,
    /// Given by coordinators only: no stranger chooses a key.
    by_alias: FxHashMap<Alias, SessionId>,
    /// In order, because lists of them go on the wire in order.
    servers: BTreeMap<Alias, SessionId>,
}

impl Registry {
    /// The caller has made sure that neither id nor alias is there yet.
    pub(crate) fn insert(&mut self, session: Session) {
        let (id, alias) = (session.id, session.alias);
        if session.is_server() {
            self.servers.insert(alias, id);
        }
        let namesake = self.by_alias.insert(alias, id);
        debug_assert!(namesake.is_none(), "{alias} is given twice");
        let before = self.sessions.insert(id, session);
        debug_assert!(before.is_none(), "session {id:?} opened twice");
    }

    /// Sends the client `id` to `server`, and so away from where it was.
    pub(crate) fn send_to(&mut self, id: SessionId, server: Alias) {
        let Some(place) = self.by_alias(server).map(Session::place_here) else {
            return;
        };
        let before = self.sessions.get_mut(&id);
        let before = before.and_then(|client| client.client.place.replace(place));
        if before == Some(place) {
            return;
        }
        if let Some(server) = self.at_place(place) {
            server.server.load.enter();
        }
        self.leave(before);
    }

    /// A client that was sent there is elsewhere, or gone.
    pub(crate) fn leave(&mut self, place: Option<Place>) {
        if let Some(server) = place.and_then(|place| self.at_place(place)) {
            server.server.load.leave();
        }
    }

    fn at_place(&mut self, place: Place) -> Option<&mut Session> {
        let id = self.by_alias.get(&place.server)?;
        let server = self.sessions.get_mut(id)?;
        (server.is_server() && server.place_here() == place).then_some(server)
    }

    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.by_alias.remove(&session.alias);
        self.servers.remove(&session.alias);
        Some(session)
    }

    pub(crate) fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub(crate) fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    pub(crate) fn by_alias(&self, alias: Alias) -> Option<&Session> {
        self.sessions.get(self.by_alias.get(&alias)?)
    }

    /// In no order.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// Ascending.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Session> {
        self.servers.values().filter_map(|id| self.sessions.get(id))
    }

    pub(crate) fn servers_count(&self) -> usize {
        self.servers.len()
    }

    pub(crate) fn clients_count(&self) -> usize {
        self.sessions.len() - self.servers.len()
    }

    fn check_places(&self) {
        let mut counts: BTreeMap<(Alias, SessionId), u32> = BTreeMap::new();
        let clients = self
            .sessions
            .values()
            .filter(|session| !session.is_server());
        for Place { server, tenure } in clients.filter_map(|client| client.client.place) {
            *counts.entry((server, tenure)).or_default() += 1;
        }
        for server in self.servers() {
            let Place {
                server: alias,
                tenure,
            } = server.place_here();
            let expected = counts.get(&(alias, tenure)).copied().unwrap_or_default();
            assert_eq!(server.server.load.clients(), expected, "{server:?}");
        }
    }

    /// Panics when the three maps tell different stories.
    pub(crate) fn check_invariants(&self, contacts_max: usize) {
        assert_eq!(self.sessions.len(), self.by_alias.len());
        for (id, session) in &self.sessions {
            assert_eq!(session.id, *id);
            assert_eq!(self.by_alias.get(&session.alias), Some(id), "{session:?}");
            let listed = self.servers.get(&session.alias) == Some(id);
            assert_eq!(listed, session.is_server(), "{session:?}");
            assert!(
                session.contacts().len() <= contacts_max.max(1),
                "{session:?}"
            );
        }
        let servers = self.sessions.values().filter(|session| session.is_server());
        assert_eq!(servers.count(), self.servers.len());
        self.check_places();
    }
}
