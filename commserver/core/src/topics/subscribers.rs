//! The subscribers of one topic: in one list, up to two of them without an allocation, for most
//! topics have few.

use smallvec::SmallVec;

use super::{Form, index};
use crate::io::PeerId;

/// Peers, those of one form beside each other. Each knows its own place, so coming and going cost
/// the same however many others there are.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    /// First the bare ones, then the topical ones, then the servers.
    peers: SmallVec<[PeerId; 2]>,
    topical_at: u32,
    servers_at: u32,
}

impl Subscribers {
    /// Those that take this form.
    pub(crate) fn of(&self, form: Form) -> &[PeerId] {
        let (topical_at, servers_at) = (index(self.topical_at), index(self.servers_at));
        let slice = match form {
            Form::Bare => self.peers.get(..topical_at),
            Form::Topical => self.peers.get(topical_at..servers_at),
            Form::Server => self.peers.get(servers_at..),
        };
        slice.unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Whether there is one that is no server.
    pub(crate) const fn has_clients(&self) -> bool {
        self.servers_at > 0
    }

    /// Adds a peer and says at which place. `moved` is told of each other one that has another
    /// place now.
    pub(crate) fn insert(
        &mut self,
        peer: PeerId,
        form: Form,
        mut moved: impl FnMut(PeerId, u32),
    ) -> u32 {
        let mut place = self.len();
        self.peers.push(peer);
        // The first of each group behind makes room, and becomes its last.
        if form != Form::Server {
            place = self.trade(place, self.servers_at, &mut moved);
            self.servers_at += 1;
        }
        if form == Form::Bare {
            place = self.trade(place, self.topical_at, &mut moved);
            self.topical_at += 1;
        }
        place
    }

    /// Removes the peer at this place, which is among those of this form.
    pub(crate) fn remove(&mut self, place: u32, form: Form, mut moved: impl FnMut(PeerId, u32)) {
        // The last of each group fills the hole before it.
        let mut hole = place;
        if form == Form::Bare {
            self.topical_at -= 1;
            hole = self.trade(hole, self.topical_at, &mut moved);
        }
        if form != Form::Server {
            self.servers_at -= 1;
            hole = self.trade(hole, self.servers_at, &mut moved);
        }
        let last = self.len().saturating_sub(1);
        self.trade(hole, last, &mut moved);
        self.peers.pop();
    }

    /// The peer at `from` goes to `to`, and who is there comes to `from`.
    fn trade(&mut self, from: u32, to: u32, moved: &mut impl FnMut(PeerId, u32)) -> u32 {
        if from != to {
            self.peers.swap(index(from), index(to));
            if let Some(&other) = self.peers.get(index(from)) {
                moved(other, from);
            }
        }
        to
    }

    fn len(&self) -> u32 {
        u32::try_from(self.peers.len()).unwrap_or(u32::MAX)
    }
}
