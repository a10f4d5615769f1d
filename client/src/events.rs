//! The way of events to the application: a bounded queue with one reader.
//!
//! The reader cannot hold up the network, so a slow one loses: of unreliable messages the oldest,
//! counted; of everything else nothing, ever: when there is no room for it the client ends with
//! [`Reason::SlowConsumer`].

use std::{collections::VecDeque, fmt, sync::Arc};

use parking_lot::Mutex;
use proto::{Lane, Reason};
use tokio::sync::Notify;

use crate::session::Event;

#[cfg(test)]
mod tests;

/// Limits of a client's event queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventsConfig {
    /// Unreliable messages that wait. 1,024.
    pub unreliable_count_max: usize,
    /// Bytes of their bodies. 1 MiB.
    pub unreliable_bytes_max: usize,
    /// Everything else that waits. 4,096.
    pub reliable_count_max: usize,
    /// Bytes of the bodies therein. 8 MiB.
    pub reliable_bytes_max: usize,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            unreliable_count_max: 1_024,
            unreliable_bytes_max: 1024 * 1024,
            reliable_count_max: 4_096,
            reliable_bytes_max: 8 * 1024 * 1024,
        }
    }
}

/// What a client is told, in order. The last event is [`Event::Stopped`].
pub struct Events {
    shared: Arc<Shared>,
}

/// The writing end, on the client's own task.
#[derive(Debug)]
pub(crate) struct Sender {
    shared: Arc<Shared>,
    config: EventsConfig,
}

#[derive(Debug, Default)]
struct Shared {
    queues: Mutex<Queues>,
    readable: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    reliable: Queue,
    unreliable: Queue,
    /// Numbers events, so that those of both queues come out in the order in which they went in.
    pushed: u64,
    dropped: u64,
    /// [`Event::Stopped`] is in: nothing follows it.
    ended: bool,
    /// The reader is gone: nothing is kept.
    abandoned: bool,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<(u64, Event)>,
    bytes: usize,
}

/// There is no room for an event that may not be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflow;

pub(crate) fn channel(config: EventsConfig) -> (Sender, Events) {
    let shared = Arc::new(Shared::default());
    let sender = Sender {
        shared: Arc::clone(&shared),
        config,
    };
    (sender, Events { shared })
}

impl Events {
    /// The next event; `None` after [`Event::Stopped`]. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            let readable = self.shared.readable.notified();
            {
                let mut queues = self.shared.queues.lock();
                if let Some(event) = queues.pop() {
                    return Some(event);
                }
                if queues.ended {
                    return None;
                }
            }
            readable.await;
        }
    }

    /// The next event, if it is there already.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.shared.queues.lock().pop()
    }

    /// Unreliable messages that were dropped because they were not read in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.queues.lock().dropped
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut queues = self.shared.queues.lock();
        queues.abandoned = true;
        queues.clear();
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Sender {
    pub(crate) fn push(&self, event: Event) -> Result<(), Overflow> {
        let pushed = self.shared.queues.lock().push(event, &self.config);
        self.shared.readable.notify_one();
        pushed
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // Whatever ended the task, the reader does not wait for ever.
        let event = Event::Stopped {
            reason: Reason::Closed,
        };
        // It cannot overflow: the end always has a place.
        let _ended = self.push(event);
    }
}

impl Queues {
    fn push(&mut self, event: Event, config: &EventsConfig) -> Result<(), Overflow> {
        if self.ended {
            return Ok(());
        }
        self.ended = matches!(event, Event::Stopped { .. });
        if self.abandoned {
            return Ok(());
        }
        self.pushed += 1;
        let numbered = (self.pushed, event);
        if is_unreliable(&numbered.1) {
            self.unreliable.push(numbered);
            while self
                .unreliable
                .is_over(config.unreliable_count_max, config.unreliable_bytes_max)
            {
                self.unreliable.pop();
                self.dropped += 1;
            }
            return Ok(());
        }
        self.reliable.push(numbered);
        let over = self
            .reliable
            .is_over(config.reliable_count_max, config.reliable_bytes_max);
        if over && !self.ended {
            self.reliable.pop_newest();
            return Err(Overflow);
        }
        Ok(())
    }

    fn pop(&mut self) -> Option<Event> {
        let queue = match (self.reliable.front(), self.unreliable.front()) {
            (Some(reliable), Some(unreliable)) if unreliable < reliable => &mut self.unreliable,
            (None, Some(_)) => &mut self.unreliable,
            _ => &mut self.reliable,
        };
        queue.pop()
    }

    fn clear(&mut self) {
        self.reliable = Queue::default();
        self.unreliable = Queue::default();
    }
}

impl Queue {
    fn push(&mut self, numbered: (u64, Event)) {
        self.bytes += body_bytes(&numbered.1);
        self.events.push_back(numbered);
    }

    fn pop(&mut self) -> Option<Event> {
        let (_, event) = self.events.pop_front()?;
        self.bytes -= body_bytes(&event);
        Some(event)
    }

    fn pop_newest(&mut self) {
        if let Some((_, event)) = self.events.pop_back() {
            self.bytes -= body_bytes(&event);
        }
    }

    fn front(&self) -> Option<u64> {
        self.events.front().map(|(number, _)| *number)
    }

    fn is_over(&self, count_max: usize, bytes_max: usize) -> bool {
        self.events.len() > count_max || self.bytes > bytes_max
    }
}

fn is_unreliable(event: &Event) -> bool {
    matches!(event, Event::Message(message) if message.lane == Lane::Unreliable)
}

fn body_bytes(event: &Event) -> usize {
    match event {
        Event::Message(message) => message.body.len(),
        _ => 0,
    }
}
