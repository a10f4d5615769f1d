//! The peers: a slab whose slots are used again under another generation, an index by alias and one
//! by instance, and everybody's next deadline.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use proto::Role;
use rustc_hash::FxHashMap;
use slab::Slab;

use crate::{
    Limits,
    interest::Telling,
    io::{Pair, PeerId},
    mesh::Standing,
    peer::{Peer, Ready, State, Talk, is_server},
};

/// The peers of one alias: at most one that is let in and one that may replace it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slots {
    pub(crate) pending: Option<PeerId>,
    pub(crate) current: Option<PeerId>,
    /// Whether it is a server, and does not count against the clients' limit.
    server: bool,
}

/// All peers.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    slab: Slab<Peer>,
    generation: u32,
    aliases: FxHashMap<u64, Slots>,
    instances: FxHashMap<u64, PeerId>,
    deadlines: BTreeSet<(Instant, PeerId)>,
    clients: usize,
    servers: usize,
    clients_ready: usize,
    links: BTreeSet<PeerId>,
    /// Clients whose lane is not open yet, in the order in which they came.
    handshakes: BTreeMap<u64, PeerId>,
    next_handshake: u64,
}

impl Peers {
    /// Makes a peer in state `Signalling`, as the pending one of its alias.
    pub(crate) fn insert(&mut self, pair: Pair, dialed: bool, stamp: Role) -> Option<PeerId> {
        let alias = if dialed { pair.acceptor } else { pair.dialer };
        let entry = self.slab.vacant_entry();
        let id = PeerId {
            index: u32::try_from(entry.key()).ok()?,
            generation: self.generation,
        };
        self.generation = self.generation.wrapping_add(1);
        let handshake = (!dialed && !is_server(stamp)).then_some(self.next_handshake);
        if let Some(turn) = handshake {
            self.next_handshake += 1;
            self.handshakes.insert(turn, id);
        }
        entry.insert(Peer {
            id,
            alias,
            pair,
            dialed,
            stamp,
            state: State::Signalling,
            handshake,
            deadline: None,
        });
        let known = self.aliases.contains_key(&alias);
        let slots = self.aliases.entry(alias).or_default();
        debug_assert_eq!(slots.pending, None, "one pending peer per alias");
        slots.pending = Some(id);
        if !known {
            slots.server = is_server(stamp);
            *self.counter(is_server(stamp)) += 1;
        }
        Some(id)
    }

    /// A peer's lane is open, or it is gone.
    pub(crate) fn end_handshake(&mut self, id: PeerId) {
        let turn = self.get_mut(id).and_then(|peer| peer.handshake.take());
        if let Some(turn) = turn {
            self.handshakes.remove(&turn);
        }
    }

    /// Clients whose lane is not open yet.
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.len()
    }

    /// Of those, the one that came first.
    pub(crate) fn first_handshake(&self) -> Option<&Peer> {
        let (_, &id) = self.handshakes.first_key_value()?;
        self.get(id)
    }

    pub(crate) fn get(&self, id: PeerId) -> Option<&Peer> {
        self.slab.get(id.index()).filter(|peer| peer.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.slab.get_mut(id.index()).filter(|peer| peer.id == id)
    }

    /// A peer that was let in.
    pub(crate) fn ready(&self, id: PeerId) -> Option<&Ready> {
        match &self.get(id)?.state {
            State::Ready(ready) => Some(ready),
            _ => None,
        }
    }

    /// The same, to change it.
    pub(crate) fn ready_mut(&mut self, id: PeerId) -> Option<&mut Ready> {
        match &mut self.get_mut(id)?.state {
            State::Ready(ready) => Some(ready),
            _ => None,
        }
    }

    /// How it stands between us and an alias.
    pub(crate) fn standing(&self, alias: u64) -> Standing {
        match self.slots(alias) {
            Slots {
                current: Some(_), ..
            } => Standing::Linked,
            Slots {
                pending: Some(_), ..
            } => Standing::Pending,
            _ => Standing::Apart,
        }
    }

    /// Whether an alias is counted already, among the servers or among the clients.
    pub(crate) fn has_place(&self, alias: u64, server: bool) -> bool {
        let slots = self.aliases.get(&alias);
        slots.is_some_and(|slots| slots.server == server)
    }

    /// What a current link talks about.
    pub(crate) fn talk_mut(&mut self, id: PeerId) -> Option<&mut Talk> {
        self.ready_mut(id)?.talk.as_deref_mut()
    }

    /// What a current link is told.
    pub(crate) fn telling_mut(&mut self, id: PeerId) -> Option<&mut Telling> {
        self.talk_mut(id)?.telling.as_mut()
    }

    /// The peers of an alias.
    pub(crate) fn slots(&self, alias: u64) -> Slots {
        self.aliases.get(&alias).copied().unwrap_or_default()
    }

    /// The current link to a server's instance.
    pub(crate) fn of_instance(&self, instance: u64) -> Option<PeerId> {
        self.instances.get(&instance).copied()
    }

    /// The current links, in the order of their ids.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&Peer, &Ready)> {
        self.links.iter().filter_map(|&id| {
            let peer = self.get(id)?;
            match &peer.state {
                State::Ready(ready) => Some((peer, ready)),
                _ => None,
            }
        })
    }

    /// Everybody's id.
    pub(crate) fn ids(&self) -> impl Iterator<Item = PeerId> {
        self.slab.iter().map(|(_, peer)| peer.id)
    }

    /// Lets a peer in. The one that was current under its alias is not any more, and is returned,
    /// to be closed.
    pub(crate) fn make_ready(&mut self, id: PeerId, ready: Ready) -> Option<PeerId> {
        let (link, instance) = (ready.is_link(), ready.hello.instance);
        self.set_deadline(id, None);
        let peer = self.get_mut(id)?;
        let alias = peer.alias;
        peer.state = State::Ready(ready);
        let slots = self.aliases.entry(alias).or_default();
        slots.pending = None;
        let replaced = slots.current.replace(id);
        let was_server = std::mem::replace(&mut slots.server, link);
        *self.counter(was_server) -= 1;
        *self.counter(link) += 1;
        if link {
            self.links.insert(id);
            if instance != 0 {
                self.instances.insert(instance, id);
            }
        } else {
            self.clients_ready += 1;
        }
        replaced
    }

    /// Moves a current link to another alias, unless that has a current one already.
    pub(crate) fn rename(&mut self, id: PeerId, alias: u64) -> bool {
        let Some(old) = self.get(id).map(|peer| peer.alias) else {
            return false;
        };
        if !self.links.contains(&id) || self.slots(alias).current.is_some() {
            return false;
        }
        if let Some(slots) = self.aliases.get_mut(&old) {
            slots.current = None;
        }
        self.drop_slots_if_empty(old);
        let known = self.aliases.contains_key(&alias);
        let slots = self.aliases.entry(alias).or_default();
        slots.current = Some(id);
        let was_server = std::mem::replace(&mut slots.server, true);
        if known {
            *self.counter(was_server) -= 1;
        }
        self.servers += 1;
        if let Some(peer) = self.get_mut(id) {
            peer.alias = alias;
        }
        true
    }

    /// Forgets a peer.
    pub(crate) fn remove(&mut self, id: PeerId) -> Option<Peer> {
        self.get(id)?;
        self.end_handshake(id);
        self.set_deadline(id, None);
        let peer = self.slab.try_remove(id.index())?;
        if let Some(slots) = self.aliases.get_mut(&peer.alias) {
            slots.pending = slots.pending.filter(|&pending| pending != id);
            slots.current = slots.current.filter(|&current| current != id);
        }
        self.drop_slots_if_empty(peer.alias);
        if let State::Ready(ready) = &peer.state {
            if !ready.is_link() {
                self.clients_ready -= 1;
            } else if self.links.remove(&id)
                && self.instances.get(&ready.hello.instance) == Some(&id)
            {
                self.instances.remove(&ready.hello.instance);
            }
        }
        Some(peer)
    }

    /// Sets, moves or clears the peer's deadline.
    pub(crate) fn set_deadline(&mut self, id: PeerId, deadline: Option<Instant>) {
        let Some(peer) = self.get_mut(id) else {
            return;
        };
        if let Some(before) = std::mem::replace(&mut peer.deadline, deadline) {
            self.deadlines.remove(&(before, id));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
    }

    /// The peer's next step is due within `timeout`.
    pub(crate) fn expect_within(&mut self, id: PeerId, now: Instant, timeout: Duration) {
        self.set_deadline(id, now.checked_add(timeout));
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// A peer whose deadline has passed; its deadline is cleared.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<PeerId> {
        let &(deadline, id) = self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.set_deadline(id, None);
        Some(id)
    }

    /// Aliases with a peer, in any state, that are no servers.
    pub(crate) const fn clients(&self) -> usize {
        self.clients
    }

    /// The same for servers.
    pub(crate) const fn servers(&self) -> usize {
        self.servers
    }

    /// Clients that were let in.
    pub(crate) const fn clients_ready(&self) -> usize {
        self.clients_ready
    }

    /// Current links.
    pub(crate) fn links_len(&self) -> usize {
        self.links.len()
    }

    const fn counter(&mut self, server: bool) -> &mut usize {
        if server {
            &mut self.servers
        } else {
            &mut self.clients
        }
    }

    fn drop_slots_if_empty(&mut self, alias: u64) {
        if let Some(slots) = self.aliases.get(&alias)
            && slots.pending.is_none()
            && slots.current.is_none()
        {
            *self.counter(slots.server) -= 1;
            self.aliases.remove(&alias);
        }
    }

    pub(crate) fn check_invariants(&self, limits: &Limits) {
        for (key, peer) in &self.slab {
            let id = peer.id;
            assert_eq!(id.index(), key, "a peer knows its slot");
            let slots = self.slots(peer.alias);
            let expected = match &peer.state {
                State::Ready(ready) => {
                    let link = ready.is_link();
                    assert_eq!(self.links.contains(&id), link, "links are listed");
                    assert_eq!(ready.talk.is_some(), link, "links talk");
                    slots.current
                }
                State::Authenticating(_, hold) => {
                    hold.check_invariants(limits);
                    slots.pending
                }
                State::Signalling => slots.pending,
            };
            assert_eq!(expected, Some(id), "an alias leads to its peers");
            let handshakes =
                matches!(peer.state, State::Signalling) && !peer.dialed && !is_server(peer.stamp);
            let turn = peer.handshake.and_then(|turn| self.handshakes.get(&turn));
            assert_eq!(turn == Some(&id), handshakes, "handshakes are listed");
            let waits = match &peer.state {
                State::Ready(ready) => ready.renewal.close_at.is_some(),
                _ => true,
            };
            assert_eq!(peer.deadline.is_some(), waits, "who waits has a deadline");
            if let Some(deadline) = peer.deadline {
                assert!(
                    self.deadlines.contains(&(deadline, id)),
                    "deadlines are queued"
                );
            }
        }
        let waiting = self.slab.iter().filter(|(_, peer)| peer.deadline.is_some());
        assert_eq!(self.deadlines.len(), waiting.count(), "no stale deadline");
        self.check_indexes(limits);
    }

    fn check_indexes(&self, limits: &Limits) {
        let mut found = 0;
        for (alias, slots) in &self.aliases {
            let ids = [slots.pending, slots.current];
            assert_ne!(ids, [None, None], "an alias without peers is forgotten");
            for id in ids.into_iter().flatten() {
                let peer_alias = self.get(id).map(|peer| peer.alias);
                assert_eq!(peer_alias, Some(*alias), "a peer knows its alias");
                found += 1;
            }
        }
        assert_eq!(found, self.slab.len(), "every peer has an alias");
        let turns = self
            .slab
            .iter()
            .filter(|(_, peer)| peer.handshake.is_some());
        assert_eq!(self.handshakes.len(), turns.count(), "no stale handshake");
        let servers = self.aliases.values().filter(|slots| slots.server).count();
        assert_eq!(servers, self.servers, "servers are counted");
        assert_eq!(
            self.aliases.len() - servers,
            self.clients,
            "clients are counted"
        );
        assert!(self.clients <= limits.peers_max, "clients are bounded");
        let handshakes = self.handshakes.len();
        assert!(
            handshakes <= limits.handshakes_max,
            "handshakes are bounded"
        );
        let ready = self.slab.iter().filter(|(_, peer)| match &peer.state {
            State::Ready(ready) => !ready.is_link(),
            _ => false,
        });
        assert_eq!(
            ready.count(),
            self.clients_ready,
            "ready clients are counted"
        );
        for (&instance, &id) in &self.instances {
            let found = self.ready(id).map(|ready| ready.hello.instance);
            assert_eq!(found, Some(instance), "an instance leads to its link");
        }
        for (_, ready) in self.links() {
            let instance = ready.hello.instance;
            let known = instance == 0 || self.instances.contains_key(&instance);
            assert!(known, "a link's instance is known, and has one link");
        }
        let instances = self.links().filter(|(_, ready)| ready.hello.instance != 0);
        assert_eq!(
            self.instances.len(),
            instances.count(),
            "one link per instance"
        );
    }
}
