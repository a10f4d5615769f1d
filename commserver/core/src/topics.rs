//! Who wants which topic: the table that every published packet looks into once.
//!
//! A topic lives while somebody subscribes to it. Subscribers are kept apart by the form in which
//! they take packets, so that a delivery copies a slice. Both directions are indexed: leaving costs
//! the same however many others stay.

use std::{collections::HashMap, sync::Arc};

use rustc_hash::FxHashMap;
use slab::Slab;

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

/// One topic and its subscribers.
#[derive(Debug)]
pub(crate) struct Topic {
    name: Arc<str>,
    bare: Vec<PeerId>,
    topical: Vec<PeerId>,
    servers: Vec<PeerId>,
}

impl Topic {
    /// The subscribers that take this form.
    pub(crate) fn subscribers(&self, form: Form) -> &[PeerId] {
        match form {
            Form::Bare => &self.bare,
            Form::Topical => &self.topical,
            Form::Server => &self.servers,
        }
    }

    fn subscribers_mut(&mut self, form: Form) -> &mut Vec<PeerId> {
        match form {
            Form::Bare => &mut self.bare,
            Form::Topical => &mut self.topical,
            Form::Server => &mut self.servers,
        }
    }

    /// Whether a client of this server subscribes to it.
    fn is_wanted(&self) -> bool {
        !self.bare.is_empty() || !self.topical.is_empty()
    }

    fn is_empty(&self) -> bool {
        !self.is_wanted() && self.servers.is_empty()
    }
}

/// All topics and all subscriptions.
#[derive(Debug)]
pub(crate) struct TopicTable {
    names: HashMap<Arc<str>, u32, Keyed>,
    topics: Slab<Topic>,
    peers: FxHashMap<PeerId, Subscriptions>,
    topics_max: usize,
    subscriptions: usize,
}

/// One peer's: the topic's slot, and the peer's place among the topic's subscribers.
#[derive(Debug)]
struct Subscriptions {
    form: Form,
    places: FxHashMap<u32, usize>,
}

/// The table holds as many topics as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// What became of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was so already.
    None,
    /// Done, and it is nobody else's business.
    Done,
    /// Done, and whether clients of this server want the topic has changed.
    Interest(Arc<str>),
}

impl TopicTable {
    pub(crate) fn new(topics_max: usize, seed: u64) -> Self {
        Self {
            names: HashMap::with_hasher(Keyed::new(seed)),
            topics: Slab::new(),
            peers: FxHashMap::default(),
            topics_max,
            subscriptions: 0,
        }
    }

    /// Subscribes a peer, always with the same form.
    pub(crate) fn add(&mut self, peer: PeerId, form: Form, name: &str) -> Result<Change, Full> {
        let slot = match self.names.get(name) {
            Some(&slot) => slot,
            None => self.insert(name)?,
        };
        let own = self.peers.entry(peer).or_insert_with(|| Subscriptions {
            form,
            places: FxHashMap::default(),
        });
        debug_assert_eq!(own.form, form, "a peer's form does not change");
        let Some(topic) = self.topics.get_mut(index(slot)) else {
            return Ok(Change::None);
        };
        let std::collections::hash_map::Entry::Vacant(place) = own.places.entry(slot) else {
            return Ok(Change::None);
        };
        let wanted_before = topic.is_wanted();
        let subscribers = topic.subscribers_mut(form);
        place.insert(subscribers.len());
        subscribers.push(peer);
        self.subscriptions += 1;
        Ok(topic.change_since(wanted_before))
    }

    /// Ends a subscription.
    pub(crate) fn remove(&mut self, peer: PeerId, name: &str) -> Change {
        let Some(&slot) = self.names.get(name) else {
            return Change::None;
        };
        let Some(own) = self.peers.get_mut(&peer) else {
            return Change::None;
        };
        let Some(place) = own.places.remove(&slot) else {
            return Change::None;
        };
        let form = own.form;
        if own.places.is_empty() {
            self.peers.remove(&peer);
        }
        self.vacate(slot, form, place)
    }

    /// Ends all subscriptions of a peer and hands each topic's change to `changed`.
    pub(crate) fn remove_peer(&mut self, peer: PeerId, mut changed: impl FnMut(Change)) {
        let Some(own) = self.peers.remove(&peer) else {
            return;
        };
        for (slot, place) in own.places {
            changed(self.vacate(slot, own.form, place));
        }
    }

    /// The topic with this name, if anybody subscribes to it.
    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        let &slot = self.names.get(name)?;
        self.topics.get(index(slot))
    }

    /// Whether a client of this server subscribes to it.
    pub(crate) fn is_wanted(&self, name: &str) -> bool {
        self.get(name).is_some_and(Topic::is_wanted)
    }

    /// The topics of one peer, in no particular order.
    pub(crate) fn of_peer(&self, peer: PeerId) -> impl Iterator<Item = &Arc<str>> {
        let places = self.peers.get(&peer).map(|own| &own.places);
        let slots = places.into_iter().flat_map(FxHashMap::keys);
        slots.filter_map(|&slot| Some(&self.topics.get(index(slot))?.name))
    }

    /// How many topics one peer is subscribed to.
    pub(crate) fn count_of_peer(&self, peer: PeerId) -> usize {
        self.peers.get(&peer).map_or(0, |own| own.places.len())
    }

    /// Whether this peer is subscribed to this topic.
    pub(crate) fn contains(&self, peer: PeerId, name: &str) -> bool {
        let own = self.peers.get(&peer);
        let slot = self.names.get(name);
        own.zip(slot)
            .is_some_and(|(own, slot)| own.places.contains_key(slot))
    }

    /// Topics now.
    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    /// Subscriptions now.
    pub(crate) const fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    fn insert(&mut self, name: &str) -> Result<u32, Full> {
        if self.topics.len() >= self.topics_max {
            return Err(Full);
        }
        let name: Arc<str> = name.into();
        let entry = self.topics.vacant_entry();
        let slot = u32::try_from(entry.key()).map_err(|_| Full)?;
        entry.insert(Topic {
            name: Arc::clone(&name),
            bare: Vec::new(),
            topical: Vec::new(),
            servers: Vec::new(),
        });
        self.names.insert(name, slot);
        Ok(slot)
    }

    /// Empties a place among a topic's subscribers; the last one moves into it.
    fn vacate(&mut self, slot: u32, form: Form, place: usize) -> Change {
        let Some(topic) = self.topics.get_mut(index(slot)) else {
            return Change::None;
        };
        let wanted_before = topic.is_wanted();
        let subscribers = topic.subscribers_mut(form);
        subscribers.swap_remove(place);
        if let Some(moved) = subscribers.get(place)
            && let Some(other) = self.peers.get_mut(moved)
        {
            other.places.insert(slot, place);
        }
        self.subscriptions -= 1;
        let change = topic.change_since(wanted_before);
        if topic.is_empty() {
            self.names.remove(&topic.name);
            self.topics.remove(index(slot));
        }
        change
    }

    /// Walks the table; `form` says how a peer takes packets, `None` that it may not subscribe.
    pub(crate) fn check_invariants(&self, form: impl Fn(PeerId) -> Option<Form>) {
        assert!(self.topics.len() <= self.topics_max, "topics are bounded");
        assert_eq!(self.names.len(), self.topics.len(), "one name, one topic");
        let mut subscriptions = 0;
        for (key, topic) in &self.topics {
            let slot = u32::try_from(key).ok();
            assert_eq!(
                self.names.get(&topic.name).copied(),
                slot,
                "names lead back"
            );
            assert!(!topic.is_empty(), "a topic without subscribers is gone");
            for form in Form::ALL {
                for (place, peer) in topic.subscribers(form).iter().enumerate() {
                    let own = self.peers.get(peer).filter(|own| own.form == form);
                    let found = own.zip(slot).and_then(|(own, slot)| own.places.get(&slot));
                    assert_eq!(found, Some(&place), "a subscriber knows its place");
                    subscriptions += 1;
                }
            }
        }
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
        for (&peer, own) in &self.peers {
            assert!(
                !own.places.is_empty(),
                "a peer without topics is not listed"
            );
            assert_eq!(
                form(peer),
                Some(own.form),
                "{peer} may subscribe, in its form"
            );
        }
    }
}

impl Topic {
    fn change_since(&self, wanted_before: bool) -> Change {
        if self.is_wanted() == wanted_before {
            Change::Done
        } else {
            Change::Interest(Arc::clone(&self.name))
        }
    }
}

#[expect(clippy::as_conversions, reason = "usize has at least 32 bits here")]
const fn index(slot: u32) -> usize {
    slot as usize
}

#[cfg(test)]
mod tests;
