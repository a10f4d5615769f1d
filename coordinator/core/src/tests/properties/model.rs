//! A simple model of who is there, and what must be true of what a coordinator does.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::*;

/// Somebody who was ever let in.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) session: SessionId,
    pub(super) alias: u64,
    /// What it may take up; none of the 2019 protocol.
    pub(super) resume: Option<Resume>,
    role: Role,
    open: bool,
    /// What it said last of how it is doing, and when.
    load: Option<(Instant, LoadMessage)>,
}

pub(super) struct Model {
    pub(super) ground: Ground,
    pub(super) known: Vec<Known>,
    /// Who has sent CONNECT to whom, by alias.
    pub(super) contacts: BTreeSet<(u64, u64)>,
}

impl Known {
    fn check_offered(&self, now: Instant) {
        assert_eq!(self.role, Role::CommunicationServer);
        if let Some((heard, load)) = &self.load {
            assert_eq!(load.state(), ServerState::Live);
            assert!(load.peers < load.peers_max);
            assert!(now.duration_since(*heard) < Duration::from_secs(10));
        }
    }
}

impl Model {
    pub(super) fn at(&self, n: usize) -> Option<&Known> {
        self.known.get(n % self.known.len().max(1))
    }

    /// Who has this alias now.
    fn holder(&self, alias: u64) -> Option<&Known> {
        let mut open = self.known.iter().filter(|known| known.open);
        let holder = open.find(|known| known.alias == alias);
        assert!(open.all(|known| known.alias != alias), "{alias} twice");
        holder
    }

    pub(super) fn close(&mut self, session: SessionId) {
        let mut known = self.known.iter_mut();
        let known = known.find(|known| known.session == session);
        known.expect("it is known").open = false;
    }

    /// A session is let in, or is not: what `cast` says of it has to be true.
    pub(super) fn open(&mut self, cast: &mut Cast, newcomer: Newcomer) {
        let room = cast.room();
        let Newcomer {
            role,
            ours,
            resume: claim,
            ..
        } = newcomer;
        let session = cast.arrive(newcomer);
        let holder = claim.and_then(|claim| self.holder(claim.alias.number()));
        let holder = holder.cloned();
        let own = holder
            .clone()
            .filter(|holder| holder.resume == claim && holder.role == role);
        let refused = cast.closed.remove(&session);
        if refused == Some(Reason::HubTaken) {
            let mut hubs = self
                .known
                .iter()
                .filter(|known| known.open && known.role == role);
            assert!(hubs.next().is_some() && role == Role::CommunicationServerHub);
            assert!(self.ground.topology == Topology::Star && own.is_none());
            return;
        }
        if refused.is_some() {
            let sessions = self.known.iter().filter(|known| known.open);
            let count = sessions.filter(|known| is_server(known.role) == is_server(role));
            assert!(count.count() >= room[usize::from(is_server(role))] && own.is_none());
            return;
        }
        let welcome = cast.received::<WelcomeMessage>(session);
        let load = own.as_ref().and_then(|own| own.load);
        if let Some(own) = own {
            assert_eq!(welcome.alias, own.alias);
            assert_eq!(cast.closed.remove(&own.session), Some(Reason::Replaced));
            self.close(own.session);
        } else if holder.is_some() {
            assert_ne!(Some(welcome.alias), claim.map(|claim| claim.alias.number()));
        }
        assert!(cast.closed.is_empty(), "{:?}", cast.closed);
        assert!(self.holder(welcome.alias).is_none(), "given twice");
        let kept = claim.is_some_and(|claim| claim.alias.number() == welcome.alias);
        // Of this instance, which is 0.
        let own = self
            .known
            .iter()
            .filter(|known| known.alias.is_multiple_of(64));
        let highest = own.map(|known| known.alias).max();
        assert!(kept || Some(welcome.alias) > highest, "fresh ones rise");
        self.known.push(Known {
            session,
            alias: welcome.alias,
            resume: ours.then(|| cast.resume(session)),
            role,
            open: true,
            load,
        });
        self.check_list(session, &welcome.available_servers, cast.now);
    }

    /// Checks a list of servers: to a client such as may be offered, to a server those that it is
    /// to be linked with.
    pub(super) fn check_list(&self, to: SessionId, servers: &[u64], now: Instant) {
        let to = self.known.iter().find(|known| known.session == to);
        let to = to.expect("a known target");
        let servers = servers.iter().map(|&alias| self.holder(alias));
        let servers = servers.map(|server| server.expect("one that is here"));
        if !is_server(to.role) {
            assert!(servers.len() <= 4);
            return servers.for_each(|server| server.check_offered(now));
        }
        let links = |server: &Known| {
            is_server(server.role)
                && server.alias != to.alias
                && self.ground.topology.links(to.role, server.role)
        };
        let expected = self.known.iter().filter(|known| known.open && links(known));
        let mut expected: Vec<u64> = expected.map(|known| known.alias).collect();
        expected.sort_unstable();
        assert!(
            servers.map(|server| server.alias).eq(expected),
            "all, ascending"
        );
    }

    /// A session has said how it is doing, and was understood or not.
    pub(super) fn hear(
        &mut self,
        session: SessionId,
        load: LoadMessage,
        now: Instant,
        taken: bool,
    ) {
        let mut known = self.known.iter_mut();
        let known = known.find(|known| known.session == session);
        let known = known.expect("it is known");
        let is_state = (1..4).contains(&load.state);
        assert_eq!(taken, known.open && is_server(known.role) && is_state);
        if taken {
            known.load = Some((now, load));
        }
    }

    /// Checks a PEER_GONE: to a server that the client contacted, which nobody is any more.
    pub(super) fn check_gone(&self, to: SessionId, alias: u64) {
        let to = self.known.iter().find(|known| known.session == to);
        let to = to.expect("a known target");
        assert!(to.open && is_server(to.role));
        assert!(self.contacts.contains(&(alias, to.alias)));
        assert!(self.holder(alias).is_none());
    }

    /// Checks a relayed signal: from somebody who is open, stamped truly, along an allowed pair.
    pub(super) fn check(&self, to: SessionId, from_alias: u64, from_role: i32) {
        let from = self.holder(from_alias).expect("a known sender");
        let to = self.known.iter().find(|known| known.session == to);
        let to = to.expect("a known target");
        assert!(to.open);
        assert_eq!(from.role, Role::try_from(from_role).expect("a role"));
        match (is_server(from.role), is_server(to.role)) {
            (true, false) => assert!(self.contacts.contains(&(to.alias, from.alias))),
            (from_server, to_server) => assert!(from_server || to_server),
        }
    }
}
