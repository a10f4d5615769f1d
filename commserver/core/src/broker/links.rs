//! Links: which of two to the same server stays, what a new one is told, and what links announce.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proto::{InterestMessage, Message, Reason, RenamedMessage, Role, topic};

use super::{Broker, signals::renamed_frame};
use crate::{
    Drop, PeerId,
    interest::{List, Outgoing, Step, Telling},
    mesh::Standing,
    peer::{Hello, Ready, State},
    topics::{Change, Form, Full},
};

impl Broker {
    /// There may be a link to the same server already, under this alias or another. Both sides
    /// decide alike which of the two stays: the younger one of the same dialer, and of two dialers
    /// at the same time the one with the higher instance. Says whether the new one does.
    pub(super) fn make_way_for_link(&mut self, now: Instant, id: PeerId, hello: Hello) -> bool {
        let Some(new) = self.peers.get(id) else {
            return false;
        };
        let (alias, dialed) = (new.alias, new.dialed);
        let before = self.peers.of_instance(hello.instance);
        let Some(before) = before.and_then(|id| self.peers.get(id)) else {
            // Whoever has the alias without being that server is replaced on the way.
            return true;
        };
        let ours_stay = self.config.instance > hello.instance;
        // Nobody dials a server that it has a link to: the other side has lost the old one, however
        // alive it looks from here.
        let stood_until = before.link_since().and_then(|at| at.checked_add(GLARE_MAX));
        let lost = stood_until.is_some_and(|until| until <= now);
        let stays = lost || dialed == before.dialed || dialed == ours_stay;
        let before = before.id;
        self.stats.links_replaced += 1;
        if stays {
            self.close(now, before, Reason::Replaced);
        } else {
            self.close(now, id, Reason::Replaced);
            // It has another alias by now, so this one is linked after all.
            self.rename_link(now, before, alias);
        }
        stays
    }

    /// Whether a hub is not to be linked with us: we are one ourselves, or are linked with the one
    /// that the coordinator lists.
    pub(super) fn has_other_hub(&self, alias: u64) -> bool {
        self.config.hub || self.is_at_a_hub_other_than(alias)
    }

    fn is_at_a_hub_other_than(&self, alias: u64) -> bool {
        let other = self.mesh.hub().filter(|&hub| hub != alias);
        other.is_some_and(|hub| self.peers.standing(hub) == Standing::Linked)
    }

    /// Once we are linked with the hub, leaves hubs that are not the hub any more, and in a star all
    /// others: what comes from there would come twice.
    pub(super) fn leave_other_ways(&mut self, now: Instant) {
        let links = self.peers.links().filter_map(|(peer, ready)| {
            let says_so = ready.role == Role::CommunicationServerHub;
            let is_hub = says_so || self.mesh.lists_as_hub(peer.alias);
            if is_hub && self.has_other_hub(peer.alias) {
                Some((peer.id, Reason::HubTaken))
            } else if self.mesh.is_leaf() && self.is_at_a_hub_other_than(peer.alias) {
                Some((peer.id, Reason::Replaced))
            } else {
                None
            }
        });
        let others: Vec<(PeerId, Reason)> = links.collect();
        for (link, reason) in others {
            self.close(now, link, reason);
        }
    }

    /// What a link gets first: our alias if it is new, and everything that it should know is wanted.
    pub(super) fn greet_link(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let State::Ready(ready) = &peer.state else {
            return;
        };
        let hello = ready.hello;
        let known_as = if peer.dialed {
            peer.pair.dialer
        } else {
            peer.pair.acceptor
        };
        if hello.ours
            && let Some(own) = self.mesh.own().filter(|&own| own != known_as)
        {
            self.send(id, renamed_frame(own));
        }
        let told = self.topics.told_to(id);
        let telling = if hello.delta_interest {
            let topics_max = self.config.limits.topics_max;
            Telling::Changes(Outgoing::new(told.cloned(), topics_max))
        } else {
            Telling::Lists(List::new(now, told.count()))
        };
        if let Some(talk) = self.peers.talk_mut(id) {
            talk.telling = Some(telling);
        }
        self.send_announcements(id);
        self.send_lists(now);
        if self.news_waiting() > self.config.limits.news_max() {
            self.shed_news(now);
        }
    }

    /// Announces what has changed, when it is due.
    pub(super) fn announce(&mut self, now: Instant) {
        self.window.note(now, self.topics.changed_len());
        while self.window.pass(now) {
            let changes = self.topics.take_changes();
            let links: Vec<PeerId> = self.peers.links().map(|(peer, _)| peer.id).collect();
            let mut waiting = self.news_waiting();
            for link in links {
                waiting -= self.news_for(link);
                self.tell(now, link, &changes);
                waiting += self.news_for(link);
                if waiting > self.config.limits.news_max() {
                    waiting = self.shed_news(now);
                }
            }
            // To be closed is what may have become of one of them.
            self.window.note(now, self.topics.changed_len());
        }
        self.send_lists(now);
    }

    /// Closes the links that are furthest behind, until what waits for the others is within the
    /// limit; says how much that is. They are dialed again, and begin with a snapshot.
    fn shed_news(&mut self, now: Instant) -> usize {
        let mut waiting = self.news_waiting();
        while waiting > self.config.limits.news_max() {
            let links = self.peers.links();
            let last = links.max_by_key(|(_, ready)| news_of(ready));
            let Some((last, news)) = last.map(|(peer, ready)| (peer.id, news_of(ready))) else {
                break;
            };
            waiting -= news;
            self.stats.links_crowded_out += 1;
            self.close(now, last, Reason::SlowConsumer);
        }
        waiting
    }

    /// What waits to be told to all links.
    pub(super) fn news_waiting(&self) -> usize {
        self.peers.links().map(|(_, ready)| news_of(ready)).sum()
    }

    fn news_for(&self, link: PeerId) -> usize {
        self.peers.ready(link).map_or(0, news_of)
    }

    /// Tells one link what of this is news to it.
    fn tell(&mut self, now: Instant, id: PeerId, changes: &[Change]) {
        let news = changes
            .iter()
            .filter_map(|change| Some((&change.topic, change.news_to(id)?)));
        match self.peers.telling_mut(id) {
            None => {}
            Some(Telling::Changes(outgoing)) => {
                let news = news.map(|(topic, wanted)| (Arc::clone(topic), wanted));
                if outgoing.push(news).is_err() {
                    return self.close(now, id, Reason::SlowConsumer);
                }
                self.send_announcements(id);
            }
            Some(Telling::Lists(list)) => {
                for (topic, wanted) in news {
                    list.note(now, topic, wanted);
                }
            }
        }
    }

    /// Sends one link what it may be sent now.
    fn send_announcements(&mut self, id: PeerId) {
        while let Some(Telling::Changes(outgoing)) = self.peers.telling_mut(id)
            && let Some(frame) = outgoing.poll()
        {
            self.send(id, frame);
        }
    }

    /// A link has taken in an announcement.
    pub(super) fn handle_ack(&mut self, id: PeerId) {
        if let Some(Telling::Changes(outgoing)) = self.peers.telling_mut(id) {
            outgoing.acknowledge();
            self.send_announcements(id);
        }
    }

    /// Sends the lists that are due.
    fn send_lists(&mut self, now: Instant) {
        let links: Vec<PeerId> = self.peers.links().map(|(peer, _)| peer.id).collect();
        for link in links {
            if let Some(Telling::Lists(list)) = self.peers.telling_mut(link)
                && let Some(frame) = list.poll(now, &self.topics, link)
            {
                self.send(link, frame);
            }
        }
        self.survey_lists();
    }

    /// Looks when the next list is due, and how much those before left out.
    pub(super) fn survey_lists(&mut self) {
        let lists = self.peers.links().filter_map(|(_, ready)| {
            let telling = ready.talk.as_ref()?.telling.as_ref();
            match telling? {
                Telling::Lists(list) => Some(list),
                Telling::Changes(_) => None,
            }
        });
        (self.lists_due, self.stats.topics_unannounced) = (None, 0);
        for list in lists {
            let dues = [self.lists_due, list.next_deadline()];
            self.lists_due = dues.into_iter().flatten().min();
            self.stats.topics_unannounced += list.missing();
        }
    }

    /// A link says what is wanted on its side.
    pub(super) fn handle_interest(&mut self, now: Instant, id: PeerId, bytes: &Bytes) {
        let Ok(message) = InterestMessage::decode(&bytes[..]) else {
            return self.close(now, id, Reason::ProtocolViolation);
        };
        let Some(talk) = self.peers.talk_mut(id) else {
            return;
        };
        match talk.received.step(&message) {
            Step::Gap => return self.close(now, id, Reason::ProtocolViolation),
            Step::Replace => self.topics.remove_peer(id),
            Step::Apply => {}
        }
        for topic in &message.remove {
            self.topics.remove(id, topic);
        }
        for topic in &message.add {
            self.add_interest(id, topic);
        }
        self.acknowledge(id, 0);
    }

    /// A link wants a topic. Its server has checked it against limits of its own.
    pub(super) fn add_interest(&mut self, id: PeerId, topic: &str) {
        if topic::validate(topic, self.config.limits.topic_bytes_max).is_err() {
            self.drop_one(Drop::BadTopic);
        } else if let Err(full) = self.topics.add(id, Form::Server, topic) {
            self.drop_one(match full {
                Full::Topics => Drop::TooManyTopics,
                Full::Links => Drop::TooManyLinkTopics,
            });
        }
    }

    /// A link says that the coordinator lists its server under another alias now.
    pub(super) fn handle_renamed(&mut self, now: Instant, id: PeerId, bytes: &Bytes) {
        match RenamedMessage::decode(&bytes[..]) {
            Ok(message) => self.rename_link(now, id, message.alias),
            Err(_) => self.drop_one(Drop::Malformed),
        }
    }

    fn rename_link(&mut self, now: Instant, id: PeerId, alias: u64) {
        let Some(before) = self.peers.get(id).map(|peer| peer.alias) else {
            return;
        };
        if !self.peers.rename(id, alias) {
            return;
        }
        // An attempt of ours to reach it under that alias has become pointless.
        let pending = self.peers.slots(alias).pending;
        if let Some(pending) = pending.and_then(|id| self.peers.get(id))
            && pending.dialed
        {
            self.close(now, pending.id, Reason::Replaced);
        }
        self.note_standing(now, before);
        self.note_standing(now, alias);
        self.leave_other_ways(now);
    }
}

/// Two servers that dial each other at the same time have both links within so long of each other.
const GLARE_MAX: Duration = Duration::from_secs(3);

/// What waits to be told to a link, one topic each. Lists to 2019 servers hold a few kilobytes.
fn news_of(ready: &Ready) -> usize {
    let telling = ready.talk.as_ref().and_then(|talk| talk.telling.as_ref());
    match telling {
        Some(Telling::Changes(outgoing)) => outgoing.len(),
        Some(Telling::Lists(_)) | None => 0,
    }
}
