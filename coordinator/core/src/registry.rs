//! Who is here: sessions, by the shell's id and by alias, and who has contacted whom.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use proto::Role;
use rustc_hash::FxHashMap;

use crate::{Resume, SessionId, alias::Alias, rate::Bucket, signal::is_server};

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
    pub(crate) bucket: Bucket,
    /// Servers that it sent CONNECT to, the latest last: those may answer.
    contacts: VecDeque<Alias>,
}

impl Session {
    pub(crate) fn new(now: Instant, id: SessionId, resume: Resume, role: Role, ours: bool) -> Self {
        Self {
            id,
            alias: resume.alias,
            series: resume.series,
            role,
            ours,
            bucket: Bucket::new(now),
            contacts: VecDeque::new(),
        }
    }

    /// Goes on where `before`, of the same owner, was.
    pub(crate) fn succeed(&mut self, before: Self) {
        self.contacts = before.contacts;
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
        self.contacts.retain(|&known| known != server);
        self.contacts.push_back(server);
        while self.contacts.len() > contacts_max.max(1) {
            self.contacts.pop_front();
        }
    }

    pub(crate) fn has_contacted(&self, server: Alias) -> bool {
        self.contacts.contains(&server)
    }

    pub(crate) fn contacts(&self) -> impl ExactSizeIterator<Item = Alias> {
        self.contacts.iter().copied()
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
    }
}
