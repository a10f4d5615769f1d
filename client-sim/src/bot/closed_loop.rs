//! How a bot publishes in a closed loop: as much as its window allows; see [`crate::window`].

use std::time::{Duration, Instant};

use client::session::Session;

use super::Bot;
use crate::plan::nanos;

impl Bot {
    /// Fills the window, until the time is over.
    pub(super) fn publish_window(&mut self, session: &mut Session) {
        loop {
            // A pass may be long, and each packet's latency counts from here.
            let now = Instant::now();
            let (Some(publisher), Some(windows)) = (&mut self.publisher, &self.tally.windows)
            else {
                return;
            };
            let Some(elapsed) = now.checked_duration_since(publisher.start) else {
                return;
            };
            if elapsed >= self.plan.duration || publisher.next_slot >= self.plan.slots {
                self.publisher = None;
                return;
            }
            let (slot, topic) = (publisher.next_slot, publisher.topic);
            if !windows.has_room(self.client, slot) {
                let deadline = *publisher
                    .give_up_at
                    .get_or_insert(now + windows.patience.min(left(self.plan.duration, elapsed)));
                if now < deadline {
                    return;
                }
                windows.give_up(self.client, slot);
            }
            publisher.give_up_at = None;
            publisher.next_slot += 1;
            self.publish(topic, slot, nanos(elapsed), session);
        }
    }
}

/// A wait ends with the run at the latest; that is a matter of the clock, not of patience.
fn left(duration: Duration, elapsed: Duration) -> Duration {
    duration.saturating_sub(elapsed)
}
