//! Links: which of two to the same server stays, what a new one is told, and what links announce.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::{InterestMessage, Lane, Message, Reason, RenamedMessage, topic};

use super::{Broker, signals::renamed_frame};
use crate::{
    Drop, PeerId,
    interest::Step,
    io::Recipients,
    peer::{Hello, State},
    topics::Form,
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

    /// What a link gets first: everything that our clients want, and our alias if it is new.
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
        if hello.delta_interest {
            let snapshot = self.announcer.snapshot();
            self.announce_to(now, id, &snapshot);
        } else {
            self.send_list(Recipients::from_slice(&[id]));
        }
    }

    /// Announces what has changed, when it is due.
    pub(super) fn announce(&mut self, now: Instant) {
        let topics = &self.topics;
        let changes = self.announcer.poll(now, |topic| topics.is_wanted(topic));
        if changes.is_empty() {
            return;
        }
        let (mut delta, mut list) = (Vec::new(), Recipients::new());
        for (peer, ready) in self.peers.links() {
            if ready.hello.delta_interest {
                delta.push(peer.id);
            } else {
                list.push(peer.id);
            }
        }
        for link in delta {
            self.announce_to(now, link, &changes);
        }
        self.send_list(list);
    }

    /// Queues announcements for one link and sends what may be sent.
    fn announce_to(&mut self, now: Instant, id: PeerId, frames: &[Bytes]) {
        let Some(talk) = self.peers.talk_mut(id) else {
            return;
        };
        let mut queued = frames.iter().map(|frame| talk.outgoing.push(frame.clone()));
        if queued.any(|queued| queued.is_err()) {
            return self.close(now, id, Reason::SlowConsumer);
        }
        self.send_announcements(id);
    }

    fn send_announcements(&mut self, id: PeerId) {
        while let Some(talk) = self.peers.talk_mut(id)
            && let Some(frame) = talk.outgoing.poll()
        {
            self.send(id, frame);
        }
    }

    /// A link has taken in an announcement.
    pub(super) fn handle_ack(&mut self, id: PeerId) {
        if let Some(talk) = self.peers.talk_mut(id) {
            talk.outgoing.acknowledge();
            self.send_announcements(id);
        }
    }

    fn send_list(&mut self, recipients: Recipients) {
        if !recipients.is_empty() {
            let list = self.announcer.list();
            let missing = u64::try_from(list.missing).unwrap_or(u64::MAX);
            self.stats.topics_unannounced += missing;
            self.deliver(recipients, Lane::Reliable, list.frame);
        }
    }

    /// A link says what its clients want.
    pub(super) fn handle_interest(&mut self, now: Instant, id: PeerId, bytes: &Bytes) {
        let Ok(message) = InterestMessage::decode(&bytes[..]) else {
            return self.close(now, id, Reason::ProtocolViolation);
        };
        let Some(talk) = self.peers.talk_mut(id) else {
            return;
        };
        match talk.received.step(&message) {
            Step::Gap => return self.close(now, id, Reason::ProtocolViolation),
            Step::Replace => self.topics.remove_peer(id, |_| {}),
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
        } else if self.topics.add(id, Form::Server, topic).is_err() {
            self.drop_one(Drop::TooManyTopics);
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
    }
}

/// Two servers that dial each other at the same time have both links within so long of each other.
const GLARE_MAX: Duration = Duration::from_secs(3);
