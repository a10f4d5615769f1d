//! Whether the server has what was published: a PING goes behind it on the reliable lane, which keeps
//! order, so its echo says yes. A peer that is lost before says that nobody knows.

use std::collections::VecDeque;

use super::{
    Event, RequestId, RequestRefused, Session,
    event::RequestError,
    link::{Link, Phase},
};

/// What is known about the publications on the reliable lane.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    /// Handed to the current lane.
    sent: u64,
    /// Of those, the ones that an echo came behind.
    confirmed: u64,
    /// One was dropped, or is lost for all that is known, and no flush has told so yet.
    lost: bool,
    /// On their way behind everything sent before, in the order of their PINGs.
    asked: VecDeque<Asked>,
    /// For the queue of publications to be empty.
    waiting: VecDeque<RequestId>,
}

#[derive(Debug)]
struct Asked {
    ping: u32,
    sent: u64,
    request: RequestId,
}

impl Flushes {
    pub(super) fn count_sent(&mut self) {
        self.sent += 1;
    }

    /// Everything sent so far has arrived: the flushes that this answers.
    pub(super) fn confirm_all(&mut self) -> Vec<RequestId> {
        self.confirmed = self.sent;
        self.asked.drain(..).map(|asked| asked.request).collect()
    }

    /// Whether everything sent so far has arrived, for all that is known.
    pub(super) const fn are_all_confirmed(&self) -> bool {
        self.confirmed == self.sent
    }

    fn len(&self) -> usize {
        self.asked.len() + self.waiting.len()
    }

    /// The echo of a PING came: the flushes that it answers.
    pub(super) fn take_echoed(&mut self, time: f64) -> Vec<RequestId> {
        let is_its = |asked: &Asked| f64::from(asked.ping).to_bits() == time.to_bits();
        let Some(last) = self.asked.iter().rposition(is_its) else {
            return Vec::new();
        };
        let echoed: Vec<Asked> = self.asked.drain(..=last).collect();
        self.confirmed = echoed.last().map_or(self.confirmed, |asked| asked.sent);
        echoed.into_iter().map(|asked| asked.request).collect()
    }

    /// The lane is gone: the flushes that will not be answered.
    fn take_lost(&mut self) -> Vec<RequestId> {
        let told = self.asked.back().map_or(self.confirmed, |asked| asked.sent);
        let mut requests: Vec<RequestId> =
            self.asked.drain(..).map(|asked| asked.request).collect();
        if self.sent > told {
            // Those that wait came after everything that was sent.
            self.lost |= self.waiting.is_empty();
            requests.extend(self.waiting.drain(..));
        }
        (self.sent, self.confirmed) = (0, 0);
        requests
    }
}

impl Session {
    /// Asks whether the server has everything that was published on the reliable lane before.
    /// [`Event::Answered`] follows: with [`RequestError::Unconfirmed`] when a part of it is dropped,
    /// or when the server was lost first, so that nobody knows. While there is no server, and while
    /// publications wait for room, it waits with them.
    ///
    /// # Errors
    /// When the session has ended, or too many requests wait.
    pub fn flush(&mut self) -> Result<RequestId, RequestRefused> {
        self.refuse_stopped()?;
        let requests_max = self.config.requests_max;
        if self.flushes.len() >= requests_max {
            return Err(RequestRefused::TooManyRequests(requests_max));
        }
        let request = self.subscriptions.next_request();
        if std::mem::take(&mut self.flushes.lost) {
            self.answer_flushes([request], &Err(RequestError::Unconfirmed));
        } else if self.outgoing.is_empty() && self.flushes.are_all_confirmed() {
            self.answer_flushes([request], &Ok(()));
        } else {
            self.flushes.waiting.push_back(request);
            self.ask_flushes();
        }
        Ok(request)
    }

    /// Sends the PING of the flushes that wait, if nothing is in front of them any more.
    pub(super) fn ask_flushes(&mut self) {
        let ready = matches!(
            &self.link,
            Some(Link {
                phase: Phase::Ready,
                ..
            })
        );
        if !ready || !self.outgoing.is_empty() || self.flushes.waiting.is_empty() {
            return;
        }
        let Some(ping) = self.send_ping() else {
            return;
        };
        let sent = self.flushes.sent;
        let waiting = self.flushes.waiting.drain(..);
        let asked = waiting.map(|request| Asked {
            ping,
            sent,
            request,
        });
        self.flushes.asked.extend(asked);
    }

    /// A publication that was accepted will not go out.
    pub(super) fn note_dropped_publication(&mut self) {
        self.flushes.lost |= self.flushes.waiting.is_empty();
        let waiting = std::mem::take(&mut self.flushes.waiting);
        self.answer_flushes(waiting, &Err(RequestError::Unconfirmed));
    }

    /// The peer is gone.
    pub(super) fn lose_flushes(&mut self) {
        let lost = self.flushes.take_lost();
        self.answer_flushes(lost, &Err(RequestError::Unconfirmed));
    }

    /// The session ends.
    pub(super) fn stop_flushes(&mut self, result: &Result<(), RequestError>) {
        let asked: Vec<RequestId> = self
            .flushes
            .asked
            .drain(..)
            .map(|asked| asked.request)
            .collect();
        self.answer_flushes(asked, result);
        let waiting = std::mem::take(&mut self.flushes.waiting);
        self.answer_flushes(waiting, result);
    }

    pub(super) fn answer_flushes(
        &mut self,
        requests: impl IntoIterator<Item = RequestId>,
        result: &Result<(), RequestError>,
    ) {
        for request in requests {
            let result = result.clone();
            self.emit(Event::Answered { request, result });
        }
    }
}
