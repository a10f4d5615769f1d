//! How many clients come from one address: an IPv4 address, or the /64 of an IPv6 address. Counted
//! from the moment that a client shows who it is: before, the limits for handshakes hold.

use std::{collections::HashMap, net::IpAddr};

use commserver_core::PeerId;
use settings::network::{Network, site};

use crate::AddressLimits;

/// The clients of each address. It knows nobody that has no peer, and no peer twice.
#[derive(Debug)]
pub(crate) struct Addresses {
    limits: AddressLimits,
    // Keyed hashes: remotes choose the addresses.
    counts: HashMap<IpAddr, usize>,
    sites: HashMap<PeerId, IpAddr>,
}

impl Addresses {
    pub(crate) fn new(limits: AddressLimits) -> Self {
        Self {
            limits,
            counts: HashMap::new(),
            sites: HashMap::new(),
        }
    }

    /// Takes a place for a peer; false when its address has as many as it may.
    pub(super) fn enter(&mut self, peer: PeerId, ip: IpAddr) -> bool {
        let max = self.limits.peers_max;
        if max == 0 || Network::any_contains(&self.limits.exempt, ip) {
            return true;
        }
        let site = site(ip);
        let count = self.counts.get(&site).copied().unwrap_or_default();
        if self.sites.contains_key(&peer) {
            return true;
        }
        if count >= max {
            return false;
        }
        self.counts.insert(site, count + 1);
        self.sites.insert(peer, site);
        true
    }

    /// Gives a peer's place back, if it has one.
    pub(super) fn leave(&mut self, peer: PeerId) {
        let Some(site) = self.sites.remove(&peer) else {
            return;
        };
        if let Some(count) = self.counts.get_mut(&site) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&site);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::seats::tests::ids;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_clients() {
        let mut addresses = Addresses::new(AddressLimits {
            peers_max: 2,
            exempt: Network::LOOPBACK.into(),
        });
        let ids = ids(5);
        assert!(addresses.enter(ids[0], ip("2001:db8::1")));
        assert!(addresses.enter(ids[1], ip("2001:db8::2")));
        assert!(addresses.enter(ids[1], ip("2001:db8::2")), "it is in");
        assert!(!addresses.enter(ids[2], ip("2001:db8::3")), "one /64");
        assert!(addresses.enter(ids[2], ip("2001:db8:0:1::1")));
        addresses.leave(ids[3]);
        addresses.leave(ids[0]);
        addresses.leave(ids[0]);
        assert!(addresses.enter(ids[3], ip("2001:db8::3")));
        assert!(!addresses.enter(ids[4], ip("2001:db8::4")));
        assert!(addresses.enter(ids[4], ip("::1")), "exempt");
        for id in ids {
            addresses.leave(id);
        }
        assert!(addresses.counts.is_empty() && addresses.sites.is_empty());
    }

    #[test]
    fn none_is_any_number() {
        let mut addresses = Addresses::new(AddressLimits {
            peers_max: 0,
            exempt: Vec::new(),
        });
        for id in ids(100) {
            assert!(addresses.enter(id, ip("192.0.2.1")));
        }
    }
}
