//! What the application asks of a session.

use std::time::Instant;

use bytes::Bytes;
use proto::{Lane, Reason, limits, topic};

use super::{
    Event, Output, PublishError, Published, RequestId, RequestRefused, Session,
    event::ServerError,
    link::{Link, Phase},
};

impl Session {
    /// Wants these topics, from now on and on every later server. [`Event::Answered`] follows when
    /// the server has agreed to all of them or refused one, and then the whole; while there is none, that takes until there is.
    /// A topic that is wanted already is asked for again, which changes nothing.
    ///
    /// # Errors
    /// When a topic is none, or a limit is reached: then nothing is asked at all.
    pub fn subscribe(
        &mut self,
        now: Instant,
        topics: &[&str],
    ) -> Result<RequestId, RequestRefused> {
        self.refuse_stopped()?;
        let request = self.subscriptions.subscribe(topics)?;
        self.ask(now, request);
        Ok(request)
    }

    /// Wants these topics no longer: their messages end at once, also those still on their way.
    /// [`Event::Answered`] follows.
    ///
    /// # Errors
    /// When a topic is none, or too many requests wait.
    pub fn unsubscribe(
        &mut self,
        now: Instant,
        topics: &[&str],
    ) -> Result<RequestId, RequestRefused> {
        self.refuse_stopped()?;
        let request = self.subscriptions.unsubscribe(topics)?;
        self.ask(now, request);
        Ok(request)
    }

    /// Publishes to a topic, which need not be subscribed. `with_identity` adds who we are, as the
    /// server's authenticator knows it.
    ///
    /// # Errors
    /// See [`PublishError`]; nothing was sent then.
    pub fn publish(
        &mut self,
        topic: &str,
        lane: Lane,
        body: Bytes,
        with_identity: bool,
    ) -> Result<Published, PublishError> {
        if let Some(reason) = self.stopped {
            return Err(PublishError::Stopped(reason));
        }
        topic::validate(topic, limits::TOPIC_BYTES_MAX)?;
        let draft = self.outgoing.draft(topic, lane, body, with_identity);
        let (bytes, bytes_max) = (draft.frame.len(), self.packet_bytes_max());
        if bytes > bytes_max {
            return Err(PublishError::TooLarge { bytes, bytes_max });
        }
        let peer = self.peer_for(lane);
        let published = match (peer, lane) {
            (None, Lane::Unreliable) => {
                self.stats.dropped.unreliable_offline += 1;
                return Ok(Published::Dropped);
            }
            (None, Lane::Reliable) => {
                let gave_way = self.outgoing.push(draft.frame.clone())?;
                if gave_way > 0 {
                    self.stats.dropped.queue_overflow += gave_way;
                    self.note_dropped_publication();
                }
                self.stats.queued += 1;
                Published::Queued
            }
            (Some(peer), lane) => {
                let frame = draft.frame.clone();
                self.outputs.push_back(Output::Send { peer, lane, frame });
                self.count_published(lane);
                Published::Sent
            }
        };
        if draft.seq == 0 {
            self.stats.dropped.uncounted += 1;
        }
        self.outgoing.count(topic, lane, &draft);
        Ok(published)
    }

    /// Ends the session politely: [`Event::Stopped`] with this reason is the last event.
    /// [`Reason::Closed`] is the usual one.
    pub fn close(&mut self, reason: Reason) {
        self.stop(reason);
    }

    /// Publications that wait for a peer.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.outgoing.len()
    }

    /// The peer on which this lane takes a publication now.
    fn peer_for(&self, lane: Lane) -> Option<super::PeerId> {
        let link = self
            .link
            .as_ref()
            .filter(|link| link.phase == Phase::Ready)?;
        let takes = match lane {
            // Nothing waits then: what waited was sent when the lane became free.
            Lane::Reliable => link.takes_publications(),
            Lane::Unreliable => link.is_open(lane),
        };
        link.peer.filter(|_| takes)
    }

    /// Sends what waited, in order, now that a peer takes it.
    pub(super) fn flush_queue(&mut self) {
        let packet_bytes_max = match &self.link {
            Some(link) if link.takes_publications() => link.packet_bytes_max,
            _ => return,
        };
        while let Some(frame) = self.outgoing.pop() {
            if frame.len() > packet_bytes_max {
                self.stats.dropped.queue_too_large += 1;
                self.note_dropped_publication();
                self.emit(Event::Error(ServerError::of(Reason::PacketTooLarge, "")));
            } else {
                self.count_published(Lane::Reliable);
                self.send_reliable(frame);
            }
        }
        self.ask_flushes();
    }

    fn count_published(&mut self, lane: Lane) {
        self.stats.published += 1;
        if lane == Lane::Reliable {
            self.flushes.count_sent();
        }
    }

    /// Nothing is asked of a server that is gone.
    pub(super) fn forget_asked(&mut self) {
        for request in self.subscriptions.peer_lost() {
            self.emit(Event::Answered {
                request,
                result: Ok(()),
            });
        }
        while let Some(answer) = self.subscriptions.take_empty() {
            self.tell(answer);
        }
    }

    fn ask(&mut self, now: Instant, request: RequestId) {
        match &self.link {
            Some(Link {
                phase: Phase::Ready,
                speaks_ours: true,
                packet_bytes_max,
                ..
            }) => {
                let deadline = now + self.config.request_timeout;
                for frame in self.subscriptions.ask(request, *packet_bytes_max, deadline) {
                    self.send_reliable(frame);
                }
                while let Some(answer) = self.subscriptions.take_empty() {
                    self.tell(answer);
                }
            }
            Some(Link {
                phase: Phase::Ready,
                ..
            }) => self.send_list_2019(),
            _ => self.forget_asked(),
        }
    }

    pub(super) fn refuse_stopped(&self) -> Result<(), RequestRefused> {
        self.stopped
            .map_or(Ok(()), |reason| Err(RequestRefused::Stopped(reason)))
    }
}
