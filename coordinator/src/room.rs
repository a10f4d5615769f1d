//! Room for sessions: taken before the upgrade, so that a refusal can still be an HTTP status.

use std::{future, sync::Arc};

use proto::Role;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Limits, addresses::Held};

/// How many sessions of each kind there may be.
#[derive(Debug)]
pub(crate) struct Room {
    clients: Arc<Semaphore>,
    servers: Arc<Semaphore>,
    /// For those that take the place of their own session, while they wait for it.
    successors: Arc<Semaphore>,
    /// Sessions that are upgraded only to be told that they are refused.
    refused: Arc<Semaphore>,
}

/// A session's place. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    permit: OwnedSemaphorePermit,
    /// Where its own place is to come from.
    predecessor: Option<Arc<Semaphore>>,
    /// Its place among those of its address.
    _at_address: Option<Held>,
}

impl Room {
    pub(crate) fn new(limits: &Limits) -> Self {
        let room = |places| Arc::new(Semaphore::new(places));
        Self {
            clients: room(limits.core.clients_max),
            servers: room(limits.core.servers_max),
            successors: room(limits.requests_max),
            refused: room(limits.refused_max),
        }
    }

    /// A place for a session of this role, if there is one.
    pub(crate) fn enter(&self, role: Role) -> Option<Place> {
        let permit = Arc::clone(self.of(role)).try_acquire_owned().ok()?;
        Some(Place {
            permit,
            predecessor: None,
            _at_address: None,
        })
    }

    /// A place for a session that comes to replace another one, which still has its own.
    pub(crate) fn enter_as_successor(&self, role: Role) -> Option<Place> {
        let permit = Arc::clone(&self.successors).try_acquire_owned().ok()?;
        Some(Place {
            permit,
            predecessor: Some(Arc::clone(self.of(role))),
            _at_address: None,
        })
    }

    /// A place to be told in why there is none.
    pub(crate) fn enter_refused(&self) -> Option<Place> {
        let permit = Arc::clone(&self.refused).try_acquire_owned().ok()?;
        Some(Place {
            permit,
            predecessor: None,
            _at_address: None,
        })
    }

    const fn of(&self, role: Role) -> &Arc<Semaphore> {
        match role {
            Role::CommunicationServer | Role::CommunicationServerHub => &self.servers,
            Role::Client | Role::UnknownRole => &self.clients,
        }
    }
}

impl Place {
    /// The same, with a place among those of its address.
    pub(crate) fn at(self, held: Held) -> Self {
        Self {
            _at_address: Some(held),
            ..self
        }
    }

    /// Whether it is one only for as long as there is a predecessor to take it from.
    pub(crate) const fn is_successors(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Keeps it, and sees to a successor's getting its predecessor's. Never ends.
    pub(crate) async fn hold(mut self) {
        if let Some(room) = self.predecessor.take()
            && let Ok(permit) = room.acquire_owned().await
        {
            self.permit = permit;
        }
        future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Room {
        let mut limits = Limits::default();
        limits.core.clients_max = 1;
        limits.core.servers_max = 1;
        limits.requests_max = 1;
        Room::new(&limits)
    }

    #[tokio::test(start_paused = true)]
    async fn a_successor_gets_the_place_of_its_predecessor() {
        let room = room();
        let first = room.enter(Role::Client).expect("a place");
        assert!(room.enter(Role::Client).is_none());
        assert!(room.enter(Role::CommunicationServer).is_some());
        let second = room.enter_as_successor(Role::Client).expect("a place");
        assert!(second.is_successors());
        assert!(room.enter_as_successor(Role::Client).is_none());
        let mut second = Box::pin(second.hold());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert!(room.enter(Role::Client).is_none(), "it is the successor's");
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(
            room.enter_as_successor(Role::Client).is_some(),
            "which gave its own back"
        );
        drop(second);
        assert!(room.enter(Role::Client).is_some());
    }
}
