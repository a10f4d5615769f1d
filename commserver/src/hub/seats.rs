//! Which of the core's peers is which of the shard's.

use commserver_core::PeerId;
use shard::PeerKey;

/// Both ways, by slot: each side's slots are small numbers that are used again.
#[derive(Debug, Default)]
pub(super) struct Seats {
    by_id: Vec<Option<(PeerId, PeerKey)>>,
    by_key: Vec<Option<(PeerKey, PeerId)>>,
}

impl Seats {
    pub(super) fn take(&mut self, id: PeerId, key: PeerKey) {
        *slot(&mut self.by_id, id.index()) = Some((id, key));
        *slot(&mut self.by_key, index(key)) = Some((key, id));
    }

    pub(super) fn key(&self, id: PeerId) -> Option<PeerKey> {
        let &(found, key) = self.by_id.get(id.index())?.as_ref()?;
        (found == id).then_some(key)
    }

    pub(super) fn id(&self, key: PeerKey) -> Option<PeerId> {
        let &(found, id) = self.by_key.get(index(key))?.as_ref()?;
        (found == key).then_some(id)
    }

    /// The peer is nobody's any more.
    pub(super) fn vacate(&mut self, id: PeerId) -> Option<PeerKey> {
        let key = self.key(id)?;
        *slot(&mut self.by_id, id.index()) = None;
        if self.id(key) == Some(id) {
            *slot(&mut self.by_key, index(key)) = None;
        }
        Some(key)
    }
}

fn slot<T>(slots: &mut Vec<Option<T>>, at: usize) -> &mut Option<T> {
    if slots.len() <= at {
        slots.resize_with(at + 1, || None);
    }
    #[expect(clippy::indexing_slicing, reason = "made to be there, just above")]
    &mut slots[at]
}

#[expect(clippy::as_conversions, reason = "usize has at least 32 bits here")]
const fn index(key: PeerKey) -> usize {
    key.index as usize
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use commserver_core::{Broker, Config, Input, Output};
    use proto::{ConnectMessage, Message, MessageType, Role, WelcomeMessage};
    use std::time::Instant;

    /// Ids as a core gives them out.
    pub(crate) fn ids(count: u64) -> Vec<PeerId> {
        let now = Instant::now();
        let mut broker = Broker::new(now, Config::new(1, 1));
        let mut signal = |bytes: Vec<u8>| broker.handle_input(now, Input::Signal(bytes.into()));
        let welcome = WelcomeMessage {
            r#type: MessageType::Welcome.into(),
            alias: 1_000,
            ..WelcomeMessage::default()
        };
        signal(welcome.encode_to_vec());
        for from_alias in 1..=count {
            let connect = ConnectMessage {
                r#type: MessageType::Connect.into(),
                from_alias,
                to_alias: 1_000,
                from_role: Role::Client.into(),
            };
            signal(connect.encode_to_vec());
        }
        let outputs = std::iter::from_fn(|| broker.poll_output());
        let ids = outputs.filter_map(|output| match output {
            Output::OpenPeer { peer, .. } => Some(peer),
            _ => None,
        });
        ids.collect()
    }

    #[test]
    fn a_stale_key_is_nobodys() {
        let ids = ids(2);
        let (first, second) = (ids[0], ids[1]);
        let key = |generation| PeerKey {
            index: 3,
            generation,
        };
        let mut seats = Seats::default();
        seats.take(first, key(0));
        assert_eq!(
            (seats.key(first), seats.id(key(0))),
            (Some(key(0)), Some(first))
        );
        assert_eq!(seats.vacate(first), Some(key(0)));
        assert_eq!(seats.vacate(first), None);
        seats.take(second, key(1));
        assert_eq!((seats.id(key(0)), seats.id(key(1))), (None, Some(second)));
        assert_eq!(seats.key(first), None);
    }
}
