//! Who is not to be here any more: what REVOKED says, and the list that both of its ends keep.
//!
//! No clock here: times are whatever its owner counts in.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use prost::Message as _;

use crate::{MessageType, RevokedEntry, RevokedMessage, limits};

/// Who it is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Whoever the authenticators call so.
    Identity(Bytes),
    /// Whoever shows the token of this name.
    Token(Arc<str>),
    /// Whoever has this alias.
    Alias(u64),
}

impl Target {
    /// All by which somebody may be meant. The nameless are not meant by their lack of a name.
    pub fn all_of(
        identity: &Bytes,
        token_id: Option<&Arc<str>>,
        alias: Option<u64>,
    ) -> impl Iterator<Item = Self> {
        let identity = Some(identity).filter(|identity| !identity.is_empty());
        let identity = identity.cloned().map(Self::Identity);
        let token = token_id.cloned().map(Self::Token);
        [identity, token, alias.map(Self::Alias)]
            .into_iter()
            .flatten()
    }

    /// As an entry of REVOKED, which holds for so many seconds.
    #[must_use]
    pub fn to_entry(&self, for_s: u64) -> RevokedEntry {
        let mut entry = RevokedEntry {
            for_s,
            ..RevokedEntry::default()
        };
        match self {
            Self::Identity(identity) => entry.identity = identity.clone(),
            Self::Token(token) => entry.token_id = (**token).into(),
            Self::Alias(alias) => entry.alias = *alias,
        }
        entry
    }

    /// Whom an entry is about. One that names nobody, or more than one, is about nobody.
    #[must_use]
    pub fn of_entry(entry: &RevokedEntry) -> Option<Self> {
        match (&entry.identity[..], &entry.token_id[..], entry.alias) {
            ([_, ..], "", 0) => Some(Self::Identity(entry.identity.clone())),
            ([], token, 0) if !token.is_empty() => Some(Self::Token(token.into())),
            ([], "", alias) if alias != 0 => Some(Self::Alias(alias)),
            _ => None,
        }
    }

    /// What it is counted as.
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Identity(identity) => identity.len(),
                Self::Token(token) => token.len(),
                Self::Alias(_) => 0,
            }
    }
}

/// REVOKED about all of these, in messages that are no larger than a signal may be.
#[must_use]
pub fn messages(entries: impl IntoIterator<Item = RevokedEntry>) -> Vec<Bytes> {
    let mut messages = Vec::new();
    let mut message = empty();
    let mut room = MESSAGE_BYTES_MAX;
    for entry in entries {
        let bytes = entry.encoded_len() + ENTRY_OVERHEAD_BYTES_MAX;
        if bytes > room && !message.entries.is_empty() {
            messages.push(
                std::mem::replace(&mut message, empty())
                    .encode_to_vec()
                    .into(),
            );
            room = MESSAGE_BYTES_MAX;
        }
        room = room.saturating_sub(bytes);
        message.entries.push(entry);
    }
    if !message.entries.is_empty() {
        messages.push(message.encode_to_vec().into());
    }
    messages
}

fn empty() -> RevokedMessage {
    RevokedMessage {
        r#type: MessageType::Revoked.into(),
        entries: Vec::new(),
    }
}

/// Those who are not to be here, each until a time of its own. Bounded in bytes.
#[derive(Debug, Clone)]
pub struct List<T> {
    entries: BTreeMap<Target, T>,
    bytes: usize,
    bytes_max: usize,
}

/// There is no room for another entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl<T: Copy + Ord> List<T> {
    /// An empty one, with room for so many bytes; see [`limits::REVOCATIONS_BYTES_MAX`].
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// From now on until then. The last word about somebody counts: one that is over by now takes
    /// back what was said before.
    ///
    /// # Errors
    /// When there is no room, also without those that are over.
    pub fn set(&mut self, now: T, target: Target, until: T) -> Result<(), Full> {
        self.remove(&target);
        if until <= now {
            return Ok(());
        }
        let bytes = target.bytes();
        if self.bytes + bytes > self.bytes_max {
            self.forget_past(now);
        }
        if self.bytes + bytes > self.bytes_max {
            return Err(Full);
        }
        self.bytes += bytes;
        self.entries.insert(target, until);
        Ok(())
    }

    /// The same, at the cost of those that would end first. Says how many.
    pub fn set_at_any_cost(&mut self, now: T, target: &Target, until: T) -> usize {
        let mut forgotten = 0;
        while self.set(now, target.clone(), until).is_err() {
            let first = self.entries.iter().min_by_key(|&(_, until)| *until);
            let Some(first) = first.map(|(target, _)| target.clone()) else {
                break;
            };
            self.remove(&first);
            forgotten += 1;
        }
        forgotten
    }

    /// Whether one of these is not to be here now.
    pub fn covers(&self, now: T, targets: impl IntoIterator<Item = Target>) -> bool {
        let mut targets = targets.into_iter();
        !self.entries.is_empty()
            && targets.any(|target| self.entries.get(&target).is_some_and(|&until| now < until))
    }

    /// Those that hold now, and until when.
    pub fn current(&self, now: T) -> impl Iterator<Item = (&Target, T)> {
        let entries = self.entries.iter();
        entries
            .map(|(target, &until)| (target, until))
            .filter(move |&(_, until)| now < until)
    }

    /// How many there are, those that are over included until their room is needed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets those that are over.
    pub fn forget_past(&mut self, now: T) {
        self.entries.retain(|_, until| now < *until);
        self.bytes = self.entries.keys().map(Target::bytes).sum();
    }

    fn remove(&mut self, target: &Target) {
        if self.entries.remove(target).is_some() {
            self.bytes -= target.bytes();
        }
    }

    /// Walks the list.
    ///
    /// # Panics
    /// When something does not hold that must.
    pub fn check_invariants(&self) {
        let bytes = self.entries.keys().map(Target::bytes).sum::<usize>();
        assert_eq!(bytes, self.bytes, "bytes are counted");
        assert!(bytes <= self.bytes_max, "and bounded");
    }
}

/// Longest name of a token by which it can be revoked.
pub const TOKEN_ID_BYTES_MAX: usize = 256;

/// An entry beside the name in it: its end, and its place in the list.
const ENTRY_BYTES: usize = 64;

/// Key and length of an entry.
const ENTRY_OVERHEAD_BYTES_MAX: usize = 1 + 3;

/// With the message's type.
const MESSAGE_BYTES_MAX: usize = limits::SIGNAL_BYTES_MAX - 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(name: &str) -> Target {
        Target::Identity(Bytes::copy_from_slice(name.as_bytes()))
    }

    #[test]
    fn everybody_is_meant_by_what_they_have() {
        let ann = Bytes::from_static(b"ann");
        let token: Arc<str> = "t1".into();
        let all: Vec<Target> = Target::all_of(&ann, Some(&token), Some(7)).collect();
        assert_eq!(
            all,
            [name("ann"), Target::Token("t1".into()), Target::Alias(7)]
        );
        assert_eq!(Target::all_of(&Bytes::new(), None, None).count(), 0);
    }

    #[test]
    fn an_entry_is_about_one_of_the_three() {
        for target in [name("ann"), Target::Token("t1".into()), Target::Alias(7)] {
            let entry = target.to_entry(60);
            assert_eq!(entry.for_s, 60);
            assert_eq!(Target::of_entry(&entry), Some(target));
        }
        assert_eq!(Target::of_entry(&RevokedEntry::default()), None);
        let both = RevokedEntry {
            alias: 7,
            ..name("ann").to_entry(60)
        };
        assert_eq!(Target::of_entry(&both), None);
    }

    #[test]
    fn the_last_word_counts_and_ends() {
        let mut list = List::new(1_000);
        let ann = || [name("ann")];
        list.set(0, name("ann"), 10).expect("room");
        for (now, covered) in [(0, true), (9, true), (10, false), (11, false)] {
            assert_eq!(list.covers(now, ann()), covered, "{now}");
            assert_eq!(list.current(now).count(), usize::from(covered));
        }
        assert!(!list.covers(0, [name("ben")]));
        list.set(1, name("ann"), 5).expect("room");
        assert!(!list.covers(5, ann()));
        list.set(2, name("ann"), 2).expect("no room is needed");
        assert!(!list.covers(2, ann()) && list.is_empty());
        list.check_invariants();
    }

    #[test]
    fn room_is_bounded_in_bytes() {
        let each = ENTRY_BYTES + 3;
        for (room, third) in [
            (3 * each - 1, false),
            (3 * each, true),
            (3 * each + 1, true),
        ] {
            let mut list = List::new(room);
            list.set(0, name("ann"), 10).expect("room");
            list.set(0, name("ben"), 20).expect("room");
            assert_eq!(list.set(0, name("cat"), 30).is_ok(), third, "{room}");
            list.check_invariants();
            // Whoever is there may be spoken of again, and those that are over make room.
            list.set(0, name("ben"), 25).expect("the room it had");
            list.set(10, name("cat"), 30).expect("ann's room");
            list.check_invariants();
        }
    }

    #[test]
    fn at_any_cost_the_first_to_end_goes() {
        let mut list = List::new(2 * (ENTRY_BYTES + 3));
        assert_eq!(list.set_at_any_cost(0, &name("ann"), 20), 0);
        assert_eq!(list.set_at_any_cost(0, &name("ben"), 10), 0);
        assert_eq!(list.set_at_any_cost(0, &name("cat"), 30), 1);
        assert!(list.covers(0, [name("ann")]) && list.covers(0, [name("cat")]));
        assert!(!list.covers(0, [name("ben")]));
        list.check_invariants();
        // One that has no room at all is not waited for.
        let mut none = List::new(1);
        assert_eq!(none.set_at_any_cost(0, &name("ann"), 20), 0);
        assert!(none.is_empty());
    }

    proptest! {
        #[test]
        fn no_message_is_larger_than_a_signal(lengths in proptest::collection::vec(1..1_024_usize, 0..100)) {
            let targets: Vec<Target> = lengths.iter().map(|&length| name(&"x".repeat(length))).collect();
            let messages = messages(targets.iter().map(|target| target.to_entry(u64::MAX)));
            let mut read = Vec::new();
            for message in messages {
                prop_assert!(message.len() <= limits::SIGNAL_BYTES_MAX);
                let message = RevokedMessage::decode(message).expect("REVOKED");
                prop_assert!(!message.entries.is_empty());
                read.extend(message.entries.iter().filter_map(Target::of_entry));
            }
            prop_assert_eq!(read, targets);
        }
    }
}
