//! Who wants which topic: the table that every published packet looks into once.
//!
//! A topic lives while somebody subscribes to it. Subscribers are kept beside each other by the form
//! in which they take packets, so that a delivery copies a slice. Both directions are indexed:
//! leaving costs the same however many others stay.
//!
//! The table also remembers what the other servers were told about each topic, and which topics are
//! not any more as they were told: see [`Audience`].

mod link_room;
mod subscribers;

use std::{hash::BuildHasher, sync::Arc};

use hashbrown::{HashTable, hash_table::Entry};
use rustc_hash::{FxHashMap, FxHashSet};
use slab::Slab;

pub(crate) use self::link_room::LinkRoom;
use self::subscribers::Subscribers;
use crate::{hashing::Keyed, io::PeerId};

/// In which of its forms a peer takes a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// A 2019 client: without topic and sequence number.
    Bare,
    /// A client that announced that it takes them.
    Topical,
    /// A server, which routes it again.
    Server,
}

impl Form {
    pub(crate) const ALL: [Self; 3] = [Self::Bare, Self::Topical, Self::Server];
}

/// Which links are to know that packets of a topic are wanted here.
///
/// A server wants what its clients want, and tells all links. A hub also wants what other servers
/// want, and tells a server only what somebody else wants: else each would send it everything that
/// its own clients publish to each other. That is one of three things for each topic, however many
/// links there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Nobody,
    Everybody,
    AllBut(PeerId),
}

impl Audience {
    /// Whether this link is to know.
    pub(crate) fn includes(self, link: PeerId) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::AllBut(excepted) => excepted != link,
        }
    }
}

/// What has become of a topic, as links are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) topic: Arc<str>,
    pub(crate) before: Audience,
    pub(crate) after: Audience,
}

impl Change {
    /// What this link is to be told: whether the topic is wanted, if that has changed for it.
    pub(crate) fn news_to(&self, link: PeerId) -> Option<bool> {
        let wanted = self.after.includes(link);
        (wanted != self.before.includes(link)).then_some(wanted)
    }
}

/// One topic and its subscribers.
#[derive(Debug)]
pub(crate) struct Topic {
    name: Arc<str>,
    subscribers: Subscribers,
    told: Audience,
    /// It is among those to be looked at in the next announcement.
    changed: bool,
}

impl Topic {
    /// The subscribers that take this form.
    pub(crate) fn subscribers(&self, form: Form) -> &[PeerId] {
        self.subscribers.of(form)
    }

    fn audience(&self, hub: bool) -> Audience {
        if self.subscribers.has_clients() {
            return Audience::Everybody;
        }
        match self.subscribers(Form::Server) {
            [only] if hub => Audience::AllBut(*only),
            [_, ..] if hub => Audience::Everybody,
            _ => Audience::Nobody,
        }
    }
}

/// All topics and all subscriptions.
#[derive(Debug)]
pub(crate) struct TopicTable {
    hub: bool,
    /// By name: slots.
    names: HashTable<u32>,
    hashing: Keyed,
    /// Those with subscribers, and those that ended since the last announcement.
    topics: Slab<Topic>,
    changed: Vec<u32>,
    peers: FxHashMap<PeerId, Subscriptions>,
    topics_max: usize,
    link_room: LinkRoom,
    /// Topics with subscribers.
    count: usize,
    subscriptions: usize,
}

/// One peer's: the topic's slot, and the peer's place among the topic's subscribers.
#[derive(Debug)]
struct Subscriptions {
    form: Form,
    places: FxHashMap<u32, u32>,
}

/// Why a topic is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The table holds as many topics as it may.
    Topics,
    /// All links together want as many as they may, and this one is above its share.
    Links,
}

impl TopicTable {
    pub(crate) fn new(topics_max: usize, link_room: LinkRoom, hub: bool, seed: u64) -> Self {
        Self {
            hub,
            names: HashTable::new(),
            hashing: Keyed::new(seed),
            topics: Slab::new(),
            changed: Vec::new(),
            peers: FxHashMap::default(),
            topics_max,
            link_room,
            count: 0,
            subscriptions: 0,
        }
    }

    /// Subscribes a peer, always with the same form. One that is subscribed already stays so.
    pub(crate) fn add(&mut self, peer: PeerId, form: Form, name: &str) -> Result<(), Full> {
        let is_link = form == Form::Server;
        let crowded = is_link && !self.link_room.has_room(self.count_of_peer(peer));
        if crowded && !self.contains(peer, name) {
            return Err(Full::Links);
        }
        let slot = self.slot_for(name)?;
        let own = self.peers.entry(peer).or_insert_with(|| Subscriptions {
            form,
            places: FxHashMap::default(),
        });
        debug_assert_eq!(own.form, form, "a peer's form does not change");
        if own.places.contains_key(&slot) {
            return Ok(());
        }
        let Some(topic) = self.topics.get_mut(index(slot)) else {
            return Ok(());
        };
        self.count += usize::from(topic.subscribers.is_empty());
        let peers = &mut self.peers;
        let place = topic.subscribers.insert(peer, form, |peer, place| {
            note_place(peers, peer, slot, place)
        });
        note_place(peers, peer, slot, place);
        self.subscriptions += 1;
        if is_link {
            self.link_room.add(self.count_of_peer(peer));
        }
        self.note_change(slot);
        Ok(())
    }

    /// Ends a subscription, if there is one.
    pub(crate) fn remove(&mut self, peer: PeerId, name: &str) {
        if let Some(slot) = self.slot(name) {
            self.end(peer, slot);
        }
    }

    /// Ends all subscriptions of a peer.
    pub(crate) fn remove_peer(&mut self, peer: PeerId) {
        if let Some(own) = self.peers.remove(&peer) {
            if own.form == Form::Server {
                self.link_room.subtract(own.places.len(), 0);
            }
            for (slot, place) in own.places {
                self.vacate(slot, own.form, place);
            }
        }
    }

    /// Ends all subscriptions of a peer but those to these topics.
    pub(crate) fn keep_only<'a>(&mut self, peer: PeerId, names: impl Iterator<Item = &'a str>) {
        let kept: FxHashSet<u32> = names.filter_map(|name| self.slot(name)).collect();
        let Some(own) = self.peers.get(&peer) else {
            return;
        };
        let slots = own.places.keys().copied();
        let ended: Vec<u32> = slots.filter(|slot| !kept.contains(slot)).collect();
        for slot in ended {
            self.end(peer, slot);
        }
    }

    /// The topic with this name, if anybody subscribes to it.
    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        let topic = self.topics.get(index(self.slot(name)?))?;
        (!topic.subscribers.is_empty()).then_some(topic)
    }

    /// How many topics one peer is subscribed to.
    pub(crate) fn count_of_peer(&self, peer: PeerId) -> usize {
        self.peers.get(&peer).map_or(0, |own| own.places.len())
    }

    /// Whether this peer is subscribed to this topic.
    pub(crate) fn contains(&self, peer: PeerId, name: &str) -> bool {
        let own = self.peers.get(&peer);
        own.zip(self.slot(name))
            .is_some_and(|(own, slot)| own.places.contains_key(&slot))
    }

    /// The topics that a peer is subscribed to, in no order.
    pub(crate) fn of_peer(&self, peer: PeerId) -> impl Iterator<Item = &Arc<str>> {
        let own = self.peers.get(&peer).into_iter();
        let slots = own.flat_map(|own| own.places.keys());
        slots.filter_map(|&slot| Some(&self.topics.get(index(slot))?.name))
    }

    /// Topics now.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// Subscriptions now.
    pub(crate) const fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    // --- what links are told ---

    /// Topics that may have to be told about.
    pub(crate) const fn changed_len(&self) -> usize {
        self.changed.len()
    }

    /// What is not as the links were told, in the order in which it changed. They are told now.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for slot in std::mem::take(&mut self.changed) {
            let Some(topic) = self.topics.get_mut(index(slot)) else {
                continue;
            };
            topic.changed = false;
            let after = topic.audience(self.hub);
            let before = std::mem::replace(&mut topic.told, after);
            if before != after {
                let topic = Arc::clone(&topic.name);
                changes.push(Change {
                    topic,
                    before,
                    after,
                });
            }
            self.drop_if_over(slot);
        }
        changes
    }

    /// What a link was told, or would have been, had it been there.
    pub(crate) fn told_to(&self, link: PeerId) -> impl Iterator<Item = &Arc<str>> {
        let topics = self.topics.iter().map(|(_, topic)| topic);
        let told = topics.filter(move |topic| topic.told.includes(link));
        told.map(|topic| &topic.name)
    }

    /// Whether it was told that this topic is wanted.
    pub(crate) fn is_told(&self, link: PeerId, name: &str) -> bool {
        let topic = self
            .slot(name)
            .and_then(|slot| self.topics.get(index(slot)));
        topic.is_some_and(|topic| topic.told.includes(link))
    }

    fn note_change(&mut self, slot: u32) {
        if let Some(topic) = self.topics.get_mut(index(slot))
            && !topic.changed
            && topic.audience(self.hub) != topic.told
        {
            topic.changed = true;
            self.changed.push(slot);
        }
        self.drop_if_over(slot);
    }

    // --- inside ---

    fn slot(&self, name: &str) -> Option<u32> {
        let hash = self.hashing.hash_one(name);
        let topics = &self.topics;
        let found = self.names.find(hash, |&slot| is_named(topics, slot, name));
        found.copied()
    }

    /// The slot of this topic, which is made if there is none and there may be another one.
    fn slot_for(&mut self, name: &str) -> Result<u32, Full> {
        let (topics, hashing) = (&self.topics, &self.hashing);
        let entry = self.names.entry(
            hashing.hash_one(name),
            |&slot| is_named(topics, slot, name),
            |&slot| {
                topics
                    .get(index(slot))
                    .map_or(0, |topic| hashing.hash_one(&*topic.name))
            },
        );
        let full = self.count >= self.topics_max;
        match entry {
            Entry::Occupied(entry) => {
                let slot = *entry.get();
                let over = topics
                    .get(index(slot))
                    .is_none_or(|topic| topic.subscribers.is_empty());
                if full && over {
                    Err(Full::Topics)
                } else {
                    Ok(slot)
                }
            }
            Entry::Vacant(_) if full => Err(Full::Topics),
            Entry::Vacant(entry) => {
                let key = self.topics.vacant_key();
                let slot = u32::try_from(key).map_err(|_| Full::Topics)?;
                entry.insert(slot);
                self.topics.insert(Topic {
                    name: name.into(),
                    subscribers: Subscribers::default(),
                    told: Audience::Nobody,
                    changed: false,
                });
                Ok(slot)
            }
        }
    }

    fn end(&mut self, peer: PeerId, slot: u32) {
        let Some(own) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(place) = own.places.remove(&slot) else {
            return;
        };
        let (form, left) = (own.form, own.places.len());
        if own.places.is_empty() {
            self.peers.remove(&peer);
        }
        if form == Form::Server {
            self.link_room.subtract(left + 1, left);
        }
        self.vacate(slot, form, place);
    }

    /// Empties a place among a topic's subscribers.
    fn vacate(&mut self, slot: u32, form: Form, place: u32) {
        let Some(topic) = self.topics.get_mut(index(slot)) else {
            return;
        };
        let peers = &mut self.peers;
        topic.subscribers.remove(place, form, |peer, place| {
            note_place(peers, peer, slot, place)
        });
        self.count -= usize::from(topic.subscribers.is_empty());
        self.subscriptions -= 1;
        self.note_change(slot);
    }

    /// Forgets a topic that nobody wants and nobody has to be told about.
    fn drop_if_over(&mut self, slot: u32) {
        let Some(topic) = self.topics.get(index(slot)) else {
            return;
        };
        if !topic.subscribers.is_empty() || topic.changed {
            return;
        }
        let hash = self.hashing.hash_one(&*topic.name);
        if let Ok(entry) = self.names.find_entry(hash, |&found| found == slot) {
            entry.remove();
        }
        self.topics.remove(index(slot));
    }

    /// Walks the table; `form` says how a peer takes packets, `None` that it may not subscribe.
    pub(crate) fn check_invariants(&self, form: impl Fn(PeerId) -> Option<Form>) {
        assert!(self.count <= self.topics_max, "topics are bounded");
        assert_eq!(self.names.len(), self.topics.len(), "one name, one topic");
        let (mut count, mut subscriptions, mut changed) = (0, 0, 0);
        for (key, topic) in &self.topics {
            let slot = self.slot(&topic.name);
            assert_eq!(slot, u32::try_from(key).ok(), "names lead back");
            let ended = topic.subscribers.is_empty();
            assert!(!ended || topic.changed, "a topic that is over is gone");
            let news = topic.told != topic.audience(self.hub);
            assert!(!news || topic.changed, "links will be told");
            let all =
                Form::ALL.map(|form| topic.subscribers(form).iter().map(move |peer| (peer, form)));
            for (place, (peer, form)) in (0..).zip(all.into_iter().flatten()) {
                let own = self.peers.get(peer).filter(|own| own.form == form);
                let found = own.zip(slot).and_then(|(own, slot)| own.places.get(&slot));
                assert_eq!(found, Some(&place), "a subscriber knows its place");
                subscriptions += 1;
            }
            count += usize::from(!ended);
            changed += usize::from(topic.changed);
        }
        assert_eq!(count, self.count, "topics are counted");
        assert_eq!(changed, self.changed.len(), "changes are listed once");
        assert_eq!(
            subscriptions, self.subscriptions,
            "subscriptions are counted"
        );
        let places = self.peers.values().map(|own| own.places.len());
        assert_eq!(
            places.sum::<usize>(),
            subscriptions,
            "no place is forgotten"
        );
        let links = self.peers.values().filter(|own| own.form == Form::Server);
        self.link_room
            .check_invariants(links.map(|own| own.places.len()));
        for (&peer, own) in &self.peers {
            assert!(
                !own.places.is_empty(),
                "a peer without topics is not listed"
            );
            let found = form(peer);
            assert_eq!(found, Some(own.form), "{peer} may subscribe, in its form");
        }
    }
}

fn note_place(peers: &mut FxHashMap<PeerId, Subscriptions>, peer: PeerId, slot: u32, place: u32) {
    if let Some(own) = peers.get_mut(&peer) {
        own.places.insert(slot, place);
    }
}

fn is_named(topics: &Slab<Topic>, slot: u32, name: &str) -> bool {
    topics
        .get(index(slot))
        .is_some_and(|topic| &*topic.name == name)
}

#[expect(clippy::as_conversions, reason = "usize has at least 32 bits here")]
const fn index(slot: u32) -> usize {
    slot as usize
}

#[cfg(test)]
mod tests;
