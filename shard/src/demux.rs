//! Whose datagram is this? By the proved address, by the user that a STUN request names, or by the
//! transaction that a STUN response answers (RFC 7983, RFC 8489). Pure tables, no cryptography:
//! what needs a proof is said to need one, and only [`Demux::bind`] ties an address to a peer.
//!
//! DTLS and SCTP carry no name: at one pair of addresses there can be one peer.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use smallvec::SmallVec;

use crate::stats::DropReason;

#[cfg(test)]
mod tests;

/// Both ends of a path; our port is the socket's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Path {
    pub(crate) local: IpAddr,
    pub(crate) remote: SocketAddr,
}

/// What finds the peer of a datagram. Slots are the caller's small integers.
#[derive(Debug, Default)]
pub(crate) struct Demux {
    // Keyed hashes: remotes choose the keys.
    paths: HashMap<Path, usize>,
    users: HashMap<Box<str>, usize>,
    transactions: HashMap<Transaction, usize>,
    slots: Vec<Names>,
}

/// Everything that leads to one slot, to be removed with it.
#[derive(Debug, Default)]
struct Names {
    user: Option<Box<str>>,
    paths: SmallVec<[Path; 1]>,
    transactions: Vec<Transaction>,
}

/// STUN transaction id.
pub(crate) type Transaction = [u8; 12];

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To the peer that proved this path before.
    Bound(usize),
    /// To this peer, if its integrity check passes; the path is to be bound then.
    Claimed(usize),
}

/// What [`Demux::bind`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The path was free, or this peer's already.
    Bound,
    /// The path was another peer's.
    Rebound,
}

impl Demux {
    /// Makes a slot known by its username fragment.
    pub(crate) fn insert(&mut self, slot: usize, user: &str) {
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Names::default);
        }
        if let Some(names) = self.slots.get_mut(slot) {
            names.user = Some(user.into());
            self.users.insert(user.into(), slot);
        }
    }

    /// Forgets everything that leads to a slot.
    pub(crate) fn remove(&mut self, slot: usize) {
        let Some(names) = self.slots.get_mut(slot).map(std::mem::take) else {
            return;
        };
        for path in names.paths {
            self.paths.remove(&path);
        }
        for transaction in names.transactions {
            self.transactions.remove(&transaction);
        }
        if let Some(user) = names.user
            && self.users.get(&user) == Some(&slot)
        {
            self.users.remove(&user);
        }
    }

    /// Whether nothing leads anywhere.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.users.is_empty() && self.transactions.is_empty()
    }

    /// Finds the destination of a datagram.
    pub(crate) fn route(&self, path: &Path, bytes: &[u8]) -> Result<Destination, DropReason> {
        let first = *bytes.first().ok_or(DropReason::Malformed)?;
        let bound = self.paths.get(path).copied();
        match first {
            0..=3 => self.route_stun(bound, bytes),
            20..=63 => bound
                .map(Destination::Bound)
                .ok_or(DropReason::UnknownAddress),
            _ => Err(DropReason::UnknownProtocol),
        }
    }

    fn route_stun(&self, bound: Option<usize>, bytes: &[u8]) -> Result<Destination, DropReason> {
        let stun = Stun::parse(bytes).ok_or(DropReason::Malformed)?;
        let claimed = match stun.class {
            Class::Request => stun.user.and_then(|user| self.users.get(user)),
            Class::Response => self.transactions.get(&stun.transaction),
            Class::Indication => None,
        };
        match (claimed.copied(), bound, stun.class) {
            (Some(slot), Some(bound), _) if slot == bound => Ok(Destination::Bound(slot)),
            (Some(slot), _, _) => Ok(Destination::Claimed(slot)),
            // Once a path is proved, the transactions on it are not noted any more: the peer itself
            // checks what answers it.
            (None, Some(bound), Class::Response | Class::Indication) => {
                Ok(Destination::Bound(bound))
            }
            (None, None, Class::Indication) => Err(DropReason::UnknownAddress),
            (None, None, Class::Response) => Err(DropReason::UnknownTransaction),
            (None, _, Class::Request) => Err(DropReason::UnknownUser),
        }
    }

    /// Ties a path to a slot that proved it. A slot keeps its newest [`PATHS_MAX`] paths.
    pub(crate) fn bind(&mut self, slot: usize, path: Path) -> Bound {
        let before = self.paths.insert(path, slot);
        if before == Some(slot) {
            return Bound::Bound;
        }
        if let Some(names) = before.and_then(|slot| self.slots.get_mut(slot)) {
            names.paths.retain(|held| *held != path);
        }
        if let Some(names) = self.slots.get_mut(slot) {
            if names.paths.len() >= PATHS_MAX {
                self.paths.remove(&names.paths.remove(0));
            }
            names.paths.push(path);
        }
        match before {
            Some(_) => Bound::Rebound,
            None => Bound::Bound,
        }
    }

    /// Notes a datagram that a slot sends: a STUN request on a path that it has not proved is
    /// answered with nothing but its transaction id to tell whose it is. A slot keeps its newest
    /// [`TRANSACTIONS_MAX`].
    pub(crate) fn note_sent(&mut self, slot: usize, path: &Path, bytes: &[u8]) {
        if !matches!(bytes.first(), Some(0..=3)) || self.paths.get(path) == Some(&slot) {
            return;
        }
        let (Some(stun), Some(names)) = (Stun::parse(bytes), self.slots.get_mut(slot)) else {
            return;
        };
        if stun.class != Class::Request || names.transactions.contains(&stun.transaction) {
            return;
        }
        if names.transactions.len() >= TRANSACTIONS_MAX {
            self.transactions.remove(&names.transactions.remove(0));
        }
        names.transactions.push(stun.transaction);
        self.transactions.insert(stun.transaction, slot);
    }
}

/// What of a STUN message tells where it belongs.
#[derive(Debug, PartialEq, Eq)]
struct Stun<'a> {
    class: Class,
    transaction: Transaction,
    /// The receiver's part of USERNAME: what stands before the colon.
    user: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Request,
    Indication,
    /// Success or error.
    Response,
}

impl<'a> Stun<'a> {
    /// RFC 8489 section 5. Attributes are read until the first USERNAME.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, mut attributes) = bytes.split_first_chunk::<20>()?;
        let [t0, t1, l0, l1, c0, c1, c2, c3, transaction @ ..] = *header;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if [c0, c1, c2, c3] != MAGIC_COOKIE || len != attributes.len() || len % 4 != 0 {
            return None;
        }
        let class = match (t0 & 1, t1 & 0x10) {
            (0, 0) => Class::Request,
            (0, _) => Class::Indication,
            _ => Class::Response,
        };
        let mut user = None;
        while let Some(([t0, t1, l0, l1], rest)) = attributes.split_first_chunk::<4>() {
            let len = usize::from(u16::from_be_bytes([*l0, *l1]));
            let value = rest.get(..len)?;
            if u16::from_be_bytes([*t0, *t1]) == USERNAME {
                let name = std::str::from_utf8(value).ok()?;
                user = name.split_once(':').map(|(ours, _)| ours);
                break;
            }
            attributes = rest.get(len.next_multiple_of(4)..)?;
        }
        Some(Self {
            class,
            transaction,
            user,
        })
    }
}

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;

/// Most paths bound to one peer: a browser proves one for each of its addresses.
pub(crate) const PATHS_MAX: usize = 8;

/// Most unanswered checks noted for one peer: more than the pairs of 8 local and 8 remote
/// candidates that any engine keeps in flight at once.
pub(crate) const TRANSACTIONS_MAX: usize = 64;
