//! Good answers, by the hash of the token that they are about: the oldest goes when there are too
//! many.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use aws_lc_rs::digest;
use tokio::time::Instant;

use crate::{Authenticated, Role, cluster::role_claim};

/// SHA-256 of role and token: what is remembered is no use to whoever reads the memory.
pub(super) type Key = [u8; 32];

pub(super) fn key(role: Role, token: &[u8]) -> Key {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(role_claim(role).as_bytes());
    // No role has one.
    context.update(&[0]);
    context.update(token);
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

pub(super) struct Cache {
    entries: HashMap<Key, Entry>,
    /// Keys in the order in which they came.
    order: BTreeMap<u64, Key>,
    next: u64,
    entries_max: usize,
}

struct Entry {
    authenticated: Authenticated,
    at: Instant,
    place: u64,
}

impl Cache {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
            entries_max,
        }
    }

    /// What was answered about it within that time.
    pub(super) fn find(&self, key: &Key, within: Duration, now: Instant) -> Option<Authenticated> {
        let entry = self.entries.get(key)?;
        let age = now.saturating_duration_since(entry.at);
        (age < within).then(|| entry.authenticated.clone())
    }

    pub(super) fn put(&mut self, key: Key, authenticated: Authenticated, now: Instant) {
        self.forget(&key);
        if self.entries.len() >= self.entries_max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        if self.entries.len() >= self.entries_max {
            return;
        }
        let place = self.next;
        self.next += 1;
        self.order.insert(place, key);
        let entry = Entry {
            authenticated,
            at: now,
            place,
        };
        self.entries.insert(key, entry);
    }

    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.place);
        }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Authenticated {
        Authenticated::everything("ann".into())
    }

    fn nth(n: u8) -> Key {
        key(Role::Client, &[n])
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_its_time() {
        let mut cache = Cache::new(10);
        let begin = Instant::now();
        let minute = Duration::from_mins(1);
        cache.put(nth(1), ann(), begin);
        let just = Duration::from_nanos(1);
        assert_eq!(
            cache.find(&nth(1), minute, begin + minute - just),
            Some(ann())
        );
        assert_eq!(cache.find(&nth(1), minute, begin + minute), None);
        assert_eq!(cache.find(&nth(2), minute, begin), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_goes_when_there_are_too_many() {
        let now = Instant::now();
        let held = |cache: &Cache, n| cache.find(&nth(n), Duration::MAX, now).is_some();
        for entries_max in 0..4 {
            let mut cache = Cache::new(usize::from(entries_max));
            for n in 0..entries_max {
                cache.put(nth(n), ann(), now);
            }
            assert!((0..entries_max).all(|n| held(&cache, n)), "{entries_max}");
            cache.put(nth(100), ann(), now);
            assert_eq!(held(&cache, 100), entries_max > 0);
            assert!(!held(&cache, 0) && (1..entries_max).all(|n| held(&cache, n)));
            assert_eq!(cache.entries.len(), usize::from(entries_max));
            assert_eq!(cache.order.len(), cache.entries.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_again_is_young_again() {
        let now = Instant::now();
        let mut cache = Cache::new(2);
        for n in [1, 2, 1, 3] {
            cache.put(nth(n), ann(), now);
        }
        assert!(cache.find(&nth(1), Duration::MAX, now).is_some());
        assert!(cache.find(&nth(2), Duration::MAX, now).is_none());
        cache.forget(&nth(1));
        assert!(cache.find(&nth(1), Duration::MAX, now).is_none());
        assert_eq!(cache.order.len(), 1);
    }

    #[test]
    fn a_key_is_for_one_token_in_one_role() {
        let keys = [
            key(Role::Client, b"a"),
            key(Role::Client, b"b"),
            key(Role::Server, b"a"),
            key(Role::Hub, b"a"),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{at}");
        }
    }
}
