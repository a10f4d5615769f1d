//! The links between servers, read off the wire: which are in use, and since when nothing changed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::{Lane, peek};

use super::{Check, Checkers};
use crate::simulation::{clock::At, node::EngineKey, publication::PublicationId};

/// All links.
#[derive(Debug, Default)]
pub(super) struct Links {
    pairs: BTreeMap<(usize, usize), Pair>,
}

#[derive(Debug, Default)]
struct Pair {
    /// Engines that were let in on both sides, by the dialer's.
    live: BTreeSet<EngineKey>,
    changed: At,
    changes: u64,
}

impl Links {
    /// READY has arrived at the dialer.
    pub(super) fn opened(&mut self, now: At, engine: EngineKey, a: usize, b: usize) {
        let pair = self.pairs.entry((a.min(b), a.max(b))).or_default();
        if pair.live.insert(engine) {
            pair.changed = now;
            pair.changes += 1;
        }
    }

    /// Says whether it was one.
    pub(super) fn closed(&mut self, now: At, engine: EngineKey) -> bool {
        let mut lost = false;
        for pair in self.pairs.values_mut() {
            if pair.live.remove(&engine) {
                pair.changed = now;
                pair.changes += 1;
                lost = true;
            }
        }
        lost
    }

    /// The pair has a link, and it has not changed since: which change that was.
    pub(super) fn settled(&self, before: At, a: usize, b: usize) -> Option<u64> {
        let pair = self.pairs.get(&(a.min(b), a.max(b)))?;
        let settled = pair.live.len() == 1 && pair.changed <= before;
        settled.then_some(pair.changes)
    }

    /// How many links a pair has, and how often that has changed.
    pub(super) fn state(&self, a: usize, b: usize) -> (usize, u64) {
        let pair = self.pairs.get(&(a.min(b), a.max(b)));
        pair.map_or((0, 0), |pair| (pair.live.len(), pair.changes))
    }
}

impl Checkers {
    /// A server has read READY from another one.
    pub(crate) fn link_opened(&mut self, now: At, engine: EngineKey, a: usize, b: usize) {
        self.links.opened(now, engine, a, b);
    }

    /// Links between two servers.
    pub(crate) fn link_count(&self, a: usize, b: usize) -> usize {
        self.links.state(a, b).0
    }

    /// A packet has arrived over a link.
    pub(crate) fn link_receives(&mut self, from: usize, to: usize, lane: Lane, bytes: &Bytes) {
        let Some(packet) = peek::TopicPacket::decode(bytes) else {
            return;
        };
        self.counts.relayed += 1;
        let Some(id) = PublicationId::read(packet.body) else {
            return self.fail(
                Check::Truth,
                format!("server{from} relays what nobody published"),
            );
        };
        let Some(publication) = self.publications.get_mut(&id) else {
            return self.fail(
                Check::Truth,
                format!("server{from} relays {id}, which nobody published"),
            );
        };
        let publishers_server = publication.server;
        // From where it was published, or from the hub that got it from there.
        let through_hub = self.hub == Some(from) && publication.linked.contains(&from);
        let on_its_way = publishers_server != to && (publishers_server == from || through_hub);
        let hops_before = u32::from(publishers_server != from);
        let first = publication.linked.insert(to);
        self.require(
            on_its_way && packet.hops == hops_before,
            Check::Hops,
            || {
                let hops = packet.hops;
                format!(
                    "{id} of server{publishers_server} crossed the link from server{from} to \
                 server{to}, {hops} hops before"
                )
            },
        );
        self.require(first, Check::AtMostOnce, || {
            format!("{id} crossed the link from server{from} to server{to} twice")
        });
        let seen = super::arrivals::Seen {
            alias: packet.from_alias,
            topic: Some(packet.topic),
            lane,
            identity: packet
                .with_identity
                .then_some((packet.identity, packet.role)),
        };
        self.check_truth(id, seen);
    }
}
