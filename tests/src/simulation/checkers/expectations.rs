//! Who must receive a publication on the reliable lane, and where
//! only signalling fails on either: every member whose subscription, peer and
//! link (where one is crossed) stand when it is sent and keep standing until it has arrived. Cuts
//! that no peer is lost by only delay it.

use bytes::Bytes;
use proto::{Lane, peek};

use super::{Check, Checkers, Publication};
use crate::simulation::{
    clock::At,
    node::{EngineKey, Node},
    publication::PublicationId,
};

/// One member that must receive it, as long as nothing of this changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expectation {
    engine: EngineKey,
    member: usize,
    server: usize,
    /// Of its subscription.
    change: u64,
    /// Of the links on the way.
    link_changes: Option<[u64; 2]>,
}

/// What became of an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Met,
    /// A peer, the link or the subscription did not last: it may or may not have arrived.
    Void,
    /// It may still be under way.
    Early,
    Missed,
}

impl Checkers {
    /// If it is a publication that a member sends, remembers who must receive it.
    pub(super) fn note_publication(
        &mut self,
        now: At,
        engine: EngineKey,
        lane: Lane,
        bytes: &Bytes,
    ) {
        let Some(packet) = peek::TopicPacket::decode(bytes) else {
            return;
        };
        let Some(id) = PublicationId::read(packet.body) else {
            return;
        };
        let Some(publisher) = self.attachments.get(&engine) else {
            return;
        };
        // Where nothing else is in the way, a lane that is not open yet on one side may be.
        let open = self.quiet && publisher.opened + self.travel_max <= now;
        let sure = publisher.honest && publisher.alive && publisher.is_let_in();
        let (member, server) = (publisher.member, publisher.server);
        let expected = if sure && (lane == Lane::Reliable || open) {
            self.expect(now, member, server, packet.topic)
        } else {
            Vec::new()
        };
        let publication = Publication {
            engine,
            member,
            server,
            topic: packet.topic.into(),
            lane,
            with_identity: packet.with_identity,
            sent: now,
            expected,
            arrived: Default::default(),
            told: Default::default(),
            linked: Default::default(),
        };
        self.counts.published += 1;
        let before = self.publications.insert(id, publication);
        self.require(before.is_none(), Check::AtMostOnce, || {
            format!("client{member} sent {id} twice")
        });
    }

    /// Whether somebody must receive it, so that [`Self::judge`] has something to say.
    pub(crate) fn is_expected(&self, id: PublicationId) -> bool {
        let publication = self.publications.get(&id);
        publication.is_some_and(|publication| !publication.expected.is_empty())
    }

    /// Says whether a publication has reached everybody; true when it is too early to say.
    pub(crate) fn judge(&mut self, now: At, id: PublicationId) -> bool {
        let Some(publication) = self.publications.get(&id) else {
            return false;
        };
        let outcomes: Vec<(Expectation, Outcome)> = publication
            .expected
            .iter()
            .map(|&expectation| (expectation, self.outcome(now, publication, expectation)))
            .collect();
        let mut early = Vec::new();
        for (expectation, outcome) in outcomes {
            let member = expectation.member;
            match outcome {
                Outcome::Met => self.counts.judged += 1,
                Outcome::Void => {}
                Outcome::Early => early.push(expectation),
                Outcome::Missed => {
                    self.fail(
                        Check::NothingLost,
                        format!("client{member} did not get {id}"),
                    );
                }
            }
        }
        let again = !early.is_empty();
        if let Some(publication) = self.publications.get_mut(&id) {
            publication.expected = early;
        }
        again
    }

    /// Members that must have received it by now and have not: for probes, where nothing may be in
    /// the way.
    pub(crate) fn has_reached(&self, id: PublicationId, member: usize) -> bool {
        let publication = self.publications.get(&id);
        publication.is_some_and(|publication| {
            self.arrivals(id, member) > 0 && publication.told.contains_key(&member)
        })
    }

    fn expect(&self, now: At, publisher: usize, server: usize, topic: &str) -> Vec<Expectation> {
        // By then, every server knew what is wanted where.
        let Some(before) = now.checked_sub(self.travel_max) else {
            return Vec::new();
        };
        let settled = |(&engine, attachment): (&EngineKey, &super::Attachment)| {
            if attachment.member == publisher || !attachment.alive || !attachment.is_let_in() {
                return None;
            }
            let change = attachment.subscriptions.settled(before, topic)?;
            let theirs = attachment.server;
            let link_changes = if theirs == server {
                None
            } else {
                let [(a, b), (c, d)] = self.link_hops(server, theirs);
                for (from, to) in [(a, b), (c, d)] {
                    let (from, to) = (Node::Server(from), Node::Server(to));
                    if !self.is_quiet(now, from, to, self.travel_max) {
                        return None;
                    }
                }
                let settled = |a, b| self.links.settled(before, a, b);
                Some([settled(a, b)?, settled(c, d)?])
            };
            Some(Expectation {
                engine,
                member: attachment.member,
                server: theirs,
                change,
                link_changes,
            })
        };
        self.attachments.iter().filter_map(settled).collect()
    }

    fn outcome(&self, now: At, publication: &Publication, expected: Expectation) -> Outcome {
        let member = self.attachments.get(&expected.engine);
        let honest = member.is_some_and(|attachment| attachment.honest);
        // A rogue has no application to tell.
        let told = !honest || publication.told.contains_key(&expected.member);
        let stands = |engine: EngineKey| {
            self.attachments
                .get(&engine)
                .is_some_and(|attachment| attachment.alive)
        };
        let subscribed = self
            .attachments
            .get(&expected.engine)
            .is_some_and(|attachment| {
                attachment
                    .subscriptions
                    .stands(&publication.topic, expected.change)
            });
        let links = self.link_hops(publication.server, expected.server);
        let linked = expected
            .link_changes
            .is_none_or(|changes| links.map(|(from, to)| self.links.state(from, to).1) == changes);
        if publication.arrived.contains(&expected.engine) && (told || !subscribed) {
            return Outcome::Met;
        }
        if !stands(publication.engine) || !stands(expected.engine) || !subscribed || !linked {
            return Outcome::Void;
        }
        let servers = links.map(|(from, to)| (Node::Server(from), Node::Server(to)));
        let publishing = (
            Node::Member(publication.member),
            Node::Server(publication.server),
        );
        let delivering = (Node::Server(expected.server), Node::Member(expected.member));
        let hops = [publishing, servers[0], servers[1], delivering];
        let quiet = hops
            .iter()
            .all(|&(a, b)| self.is_quiet(now, a, b, self.travel_max));
        if quiet && publication.sent + self.travel_max <= now {
            Outcome::Missed
        } else {
            Outcome::Early
        }
    }

    /// Between which servers something passes on its way from one to another: through the hub, if
    /// there is one. Where that is one link, it is named twice.
    fn link_hops(&self, from: usize, to: usize) -> [(usize, usize); 2] {
        match self.hub {
            Some(hub) if from != hub && to != hub && from != to => [(from, hub), (hub, to)],
            _ => [(from, to); 2],
        }
    }
}
