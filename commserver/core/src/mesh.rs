//! Which servers there are, which of them we dial, and when.
//!
//! One link per pair. The higher alias dials, so the newcomer comes to those that are there; should
//! that not work out, the lower one dials too, after three pauses. Redials go on for ever, while
//! the coordinator lists the server.
//!
//! Nothing may come on two ways. A star has one hub: should more be listed by mistake, the one with
//! the highest alias is it. A server that is told of the hub alone is a leaf, and links of another
//! time end; one that is told of other servers too is in a mesh, and what a hub passes on is not for
//! it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use proto::backoff::Backoff;
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::Timings;

/// The servers that the coordinator lists, ourselves apart.
#[derive(Debug)]
pub(crate) struct Mesh {
    own: Option<u64>,
    /// Whether we are a hub.
    is_hub: bool,
    /// Whether the coordinator is there to pass our signals on.
    reachable: bool,
    /// The version of the last SERVERS since the last WELCOME.
    version: Option<u64>,
    targets_max: usize,
    targets: BTreeMap<u64, Target>,
    /// Those that are listed as hubs.
    hubs: BTreeSet<u64>,
    /// Whether others are listed.
    has_others: bool,
    /// Whether clients may find a place elsewhere.
    takes_clients: bool,
    /// The earliest of their dues.
    next: Option<Instant>,
    redial: Backoff,
    rng: Xoshiro256PlusPlus,
}

/// A server in the coordinator's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) alias: u64,
    /// As far as the list says: that in WELCOME does not.
    pub(crate) hub: bool,
    /// It is not full and not about to go, or the coordinator does not say.
    pub(crate) takes_clients: bool,
}

/// How it stands between us and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A link is current.
    Linked,
    /// A peer is being set up that may become a link.
    Pending,
    /// Neither.
    Apart,
}

#[derive(Debug)]
struct Target {
    backoff: Backoff,
    /// When to look whether to dial; `None` while there is a link or an attempt at one.
    due: Option<Instant>,
}

impl Mesh {
    pub(crate) fn new(timings: &Timings, targets_max: usize, is_hub: bool, seed: u64) -> Self {
        Self {
            own: None,
            is_hub,
            reachable: false,
            version: None,
            targets_max,
            targets: BTreeMap::new(),
            hubs: BTreeSet::new(),
            has_others: false,
            takes_clients: false,
            next: None,
            redial: Backoff::new(timings.redial_min, timings.redial_max),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
    }

    /// Our alias, since the first WELCOME.
    pub(crate) const fn own(&self) -> Option<u64> {
        self.own
    }

    /// The coordinator is there and knows us under this alias. The versions of its lists count anew.
    pub(crate) fn welcome(&mut self, own: u64) {
        self.own = Some(own);
        self.reachable = true;
        self.version = None;
    }

    /// Nobody passes our signals on for now: no dial is made until the next WELCOME.
    pub(crate) const fn unreachable(&mut self) {
        self.reachable = false;
    }

    /// Whether this is news: a list (with the version of its SERVERS) older than the last is not.
    pub(crate) fn accepts(&mut self, version: u64) -> bool {
        let news = self.reachable && self.version.is_none_or(|last| version > last);
        if news {
            self.version = Some(version);
        }
        news
    }

    /// The servers there are now. New ones are looked at after `pause`, unless there is a link,
    /// or an attempt at one.
    pub(crate) fn list(
        &mut self,
        now: Instant,
        listed: &[Listed],
        pause: Duration,
        standing: impl Fn(u64) -> Standing,
    ) {
        let mut before = std::mem::take(&mut self.targets);
        let own = self.own;
        let others = listed
            .iter()
            .filter(|server| Some(server.alias) != own && server.alias != 0);
        let hubs = others.clone().filter(|server| server.hub);
        self.hubs = hubs.map(|hub| hub.alias).take(self.targets_max).collect();
        self.has_others = others.clone().any(|server| !server.hub);
        let counts = |server: &&Listed| server.hub != self.has_others;
        self.takes_clients = others
            .clone()
            .filter(counts)
            .any(|server| server.takes_clients);
        let wanted = others.filter(|server| !server.hub || self.hub() == Some(server.alias));
        let aliases: Vec<u64> = wanted.map(|server| server.alias).collect();
        for alias in aliases.into_iter().take(self.targets_max) {
            let target = before.remove(&alias).unwrap_or_else(|| Target {
                backoff: self.redial.clone(),
                due: (standing(alias) == Standing::Apart).then_some(now + pause),
            });
            self.targets.insert(alias, target);
        }
        self.find_next();
    }

    /// The hub that we are to be linked with, if one is listed. A hub is linked with none.
    pub(crate) fn hub(&self) -> Option<u64> {
        self.hubs.last().copied().filter(|_| !self.is_hub)
    }

    /// Whether we are one of a star's servers that are no hub.
    pub(crate) fn is_leaf(&self) -> bool {
        self.hub().is_some() && !self.has_others
    }

    /// Links that a packet may cross to come here: two through a hub, where that is the only way.
    pub(crate) fn hops_max(&self) -> u32 {
        let direct = self.hub().is_some() && self.has_others;
        if direct { 1 } else { HOPS_MAX }
    }

    /// Whether the coordinator lists this server as a hub.
    pub(crate) fn lists_as_hub(&self, alias: u64) -> bool {
        self.hubs.contains(&alias)
    }

    /// Whether the server is in the last list.
    pub(crate) fn lists(&self, alias: u64) -> bool {
        self.targets.contains_key(&alias) || self.hubs.contains(&alias)
    }

    /// Whether some other server takes clients, as far as we are told: a leaf is told of the hub
    /// alone, which takes none, but stands for the others.
    pub(crate) const fn takes_clients(&self) -> bool {
        self.takes_clients
    }

    /// How it stands with a server: a link, an attempt at one, or neither, which is to be changed.
    pub(crate) fn set_standing(&mut self, now: Instant, alias: u64, standing: Standing) {
        let Some(target) = self.targets.get_mut(&alias) else {
            return;
        };
        match standing {
            Standing::Linked => {
                target.due = None;
                target.backoff.reset();
            }
            Standing::Pending => target.due = None,
            Standing::Apart => {
                if target.due.is_none() {
                    target.due = Some(now + target.backoff.step(self.rng.random()));
                }
            }
        }
        self.find_next();
    }

    /// The next server to dial now, if any: to be called until `None`.
    pub(crate) fn poll_dial(&mut self, now: Instant) -> Option<u64> {
        let own = self.own.filter(|_| self.reachable)?;
        let mut dial = None;
        for (&alias, target) in &mut self.targets {
            if target.due.is_none_or(|due| due > now) {
                continue;
            }
            if alias > own && target.backoff.attempts() < PAUSES_OF_THE_LOWER {
                target.due = Some(now + target.backoff.step(self.rng.random()));
                continue;
            }
            target.due = None;
            dial = Some(alias);
            break;
        }
        self.find_next();
        dial
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next.filter(|_| self.reachable)
    }

    fn find_next(&mut self) {
        self.next = self.targets.values().filter_map(|target| target.due).min();
    }

    /// Walks the targets.
    pub(crate) fn check_invariants(&self, standing: impl Fn(u64) -> Standing) {
        assert!(
            self.targets.len() <= self.targets_max,
            "targets are bounded"
        );
        let dues = self.targets.values().filter_map(|target| target.due);
        assert_eq!(self.next, dues.min(), "the earliest is known");
        for (&alias, target) in &self.targets {
            assert_ne!(Some(alias), self.own, "we do not dial ourselves");
            let apart = standing(alias) == Standing::Apart;
            assert_eq!(
                target.due.is_some(),
                apart,
                "{alias} is linked or will be dialed"
            );
        }
    }
}

/// After so many pauses without a link, the side that should wait dials too.
const PAUSES_OF_THE_LOWER: u32 = 3;

/// Links that a packet may cross at all: one, or two through a hub. It says how many it had crossed
/// when it was sent, so one that says so many is astray, and one that has crossed so many stays.
pub(crate) const HOPS_MAX: u32 = 2;
