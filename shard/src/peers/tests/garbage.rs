//! Garbage on the socket, from strangers and from the address of a peer that is there: each datagram
//! is counted for what it is, and neither that peer nor another loses a packet.

use super::network::{Network, config};
use super::*;

const SERVER: usize = 0;
const VICTIM: usize = 1;
const BYSTANDER: usize = 2;

/// A server and two clients that talk to it throughout.
struct Town {
    network: Network,
    keys: [[PeerKey; 2]; 2],
    talked: u32,
}

impl Town {
    fn new() -> Self {
        let mut network = Network::new((1..=3).map(config));
        let keys = [VICTIM, BYSTANDER].map(|client| network.connect(SERVER, client));
        network.run_for(Duration::from_secs(10));
        Self {
            network,
            keys,
            talked: 0,
        }
    }

    fn stranger() -> SocketAddr {
        ([198, 51, 100, 66], 666).into()
    }

    /// The victim's own address, which anybody can write on a datagram.
    fn forged(&self) -> SocketAddr {
        self.network.addr(VICTIM)
    }

    /// The victim's user name at the server, which anybody on the way can read.
    fn user(&mut self) -> String {
        let [ours, _] = self.keys[0];
        let (_, seat) = self.network.peers(SERVER).seats.find(ours).unwrap();
        seat.peer.local_ufrag().to_owned()
    }

    /// A datagram, and a word of everybody to everybody.
    fn inject(&mut self, remote: SocketAddr, bytes: &[u8]) {
        self.network.inject(SERVER, remote, bytes);
        let packet: Bytes = self.talked.to_be_bytes().to_vec().into();
        let now = self.network.now;
        for (client, [ours, theirs]) in [VICTIM, BYSTANDER].into_iter().zip(self.keys) {
            for lane in Lane::ALL {
                self.network.peers(SERVER).send(now, ours, lane, &packet);
                self.network.peers(client).send(now, theirs, lane, &packet);
            }
        }
        self.talked += 1;
        self.network.run_for(Duration::from_millis(1));
    }

    /// What the server counted; nobody lost a word, or heard one that was not said.
    fn ends(mut self) -> HashMap<DropReason, u64> {
        self.network.run_for(Duration::from_secs(20));
        let pairs = [VICTIM, BYSTANDER].into_iter().zip(self.keys);
        for (client, [ours, theirs]) in pairs {
            for seat in [(SERVER, ours), (client, theirs)] {
                assert_eq!(self.network.closed(seat), None);
                for on in Lane::ALL {
                    let told = self.network.told(seat).into_iter();
                    let heard = told.filter_map(|(_, event)| match event {
                        Event::Packet { lane, bytes, .. } if *lane == on => {
                            Some(u32::from_be_bytes(bytes[..].try_into().unwrap()))
                        }
                        _ => None,
                    });
                    assert!(heard.eq(0..self.talked), "{seat:?} {on:?}");
                }
            }
        }
        let stats = &self.network.peers(SERVER).stats;
        assert_eq!(stats.rebinds.value(), 0);
        let counted = DropReason::ALL.map(|reason| (reason, stats.dropped(reason)));
        counted.into_iter().filter(|(_, n)| *n > 0).collect()
    }
}

fn noise(first: u8, len: usize) -> Vec<u8> {
    let mut state = u64::from(first) << 32 | count(len) | 1;
    let rest = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[1]
    });
    [first].into_iter().chain(rest).take(len).collect()
}

/// A connectivity check for `user`, whole but for its secret.
fn check(user: &str) -> Vec<u8> {
    let username = format!("{user}:abcd");
    let mut attributes = vec![0, 6, 0, username.len().to_le_bytes()[0]];
    attributes.extend(username.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    attributes.extend([0, 8, 0, 20]);
    attributes.extend([0xee; 20]);
    let mut bytes = vec![0, 1, 0, attributes.len().to_le_bytes()[0]];
    bytes.extend([0x21, 0x12, 0xa4, 0x42]);
    bytes.extend([9; 12]);
    bytes.extend(attributes);
    bytes
}

#[test]
fn every_first_byte_from_a_stranger_is_counted_for_what_it_is() {
    let mut town = Town::new();
    let lengths = [1, 20, 100, 1400];
    for first in 0..=255 {
        for len in lengths {
            town.inject(Town::stranger(), &noise(first, len));
        }
    }
    town.inject(Town::stranger(), &[]);
    let counted = town.ends();
    assert_eq!(counted[&DropReason::Malformed], 4 * 4 + 1, "no STUN");
    assert_eq!(
        counted[&DropReason::UnknownAddress],
        44 * 4,
        "no DTLS of anybody"
    );
    assert_eq!(counted[&DropReason::UnknownProtocol], (256 - 48) * 4);
    assert_eq!(counted.len(), 3, "{counted:?}");
}

#[test]
fn truncated_and_forged_checks_are_counted_for_what_they_are() {
    let mut town = Town::new();
    let whole = check(&town.user());
    for len in 1..whole.len() {
        town.inject(Town::stranger(), &whole[..len]);
        town.inject(town.forged(), &whole[..len]);
    }
    let truncated = 2 * (count(whole.len()) - 1);
    for _ in 0..10 {
        town.inject(Town::stranger(), &whole);
        town.inject(town.forged(), &whole);
        town.inject(Town::stranger(), &check("nobody"));
    }
    let mut answer = whole.clone();
    answer[0] = 1;
    town.inject(Town::stranger(), &answer);
    let counted = town.ends();
    assert_eq!(counted[&DropReason::Malformed], truncated);
    assert_eq!(counted[&DropReason::BadIntegrity], 10, "by a stranger");
    assert_eq!(
        counted[&DropReason::StunRefused],
        10,
        "from the address itself"
    );
    assert_eq!(counted[&DropReason::UnknownUser], 10);
    assert_eq!(counted[&DropReason::UnknownTransaction], 1);
    assert_eq!(counted.len(), 5, "{counted:?}");
}

#[test]
fn checks_of_strangers_are_looked_at_so_often_and_no_more() {
    let mut town = Town::new();
    let budget = budget::Config {
        packets_per_s: 100,
        bytes_per_s: 0,
        burst: Duration::from_millis(100),
    };
    town.network.peers(SERVER).config.unproved_budget = budget;
    let whole = check(&town.user());
    // A thousand in a second, and the others' checks of their own paths go on.
    for _ in 0..1_000 {
        town.inject(Town::stranger(), &whole);
    }
    let counted = town.ends();
    let looked_at = counted[&DropReason::BadIntegrity];
    assert!((100..=120).contains(&looked_at), "{looked_at}");
    let dropped = counted[&DropReason::UnprovedLimited];
    assert_eq!(looked_at + dropped, 1_000);
    assert_eq!(counted.len(), 2, "{counted:?}");
}

#[test]
fn a_burst_of_strangers_checks_is_looked_at_and_not_one_more() {
    for (sent, looked_at) in [(9, 9), (10, 10), (11, 10)] {
        let mut town = Town::new();
        let budget = budget::Config {
            packets_per_s: 1,
            bytes_per_s: 0,
            burst: Duration::from_secs(10),
        };
        town.network.peers(SERVER).config.unproved_budget = budget;
        let whole = check(&town.user());
        for _ in 0..sent {
            town.inject(Town::stranger(), &whole);
        }
        let counted = town.ends();
        assert_eq!(counted[&DropReason::BadIntegrity], looked_at, "{sent}");
        let dropped = counted.get(&DropReason::UnprovedLimited);
        assert_eq!(dropped.copied().unwrap_or_default(), sent - looked_at);
    }
}

/// Whoever can write a peer's address on a datagram gets as far as its DTLS, and no further.
#[test]
fn garbage_from_a_peers_own_address_is_counted_and_harms_nobody() {
    let mut town = Town::new();
    let mut records = 0;
    for first in 20..=63 {
        for len in [1, 13, 14, 60, 1200] {
            town.inject(town.forged(), &noise(first, len));
            records += 1;
        }
    }
    // Records that look right: of each kind, with the version and a length that fits.
    for kind in 20..=25 {
        for epoch in 0..=2 {
            for len in [0_u8, 1, 2, 24, 100] {
                let mut record = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 99, 0, len];
                record.extend(noise(kind, usize::from(len)));
                town.inject(town.forged(), &record);
                records += 1;
            }
        }
    }
    for first in 64..=255 {
        town.inject(town.forged(), &noise(first, 100));
    }
    let counted = town.ends();
    assert_eq!(counted[&DropReason::DtlsRefused], records);
    assert_eq!(counted[&DropReason::UnknownProtocol], 192);
    assert_eq!(counted.len(), 2, "{counted:?}");
}

#[test]
fn datagrams_that_no_path_carries_are_counted() {
    let mut town = Town::new();
    for len in [2047, 2048, 2049, 16_384, 65_507] {
        town.inject(town.forged(), &noise(23, len));
        town.inject(Town::stranger(), &noise(23, len));
    }
    let counted = town.ends();
    assert_eq!(
        counted[&DropReason::DtlsRefused],
        2,
        "at the limit and one below"
    );
    assert_eq!(
        counted[&DropReason::Oversize],
        3,
        "one above, and far above"
    );
    assert_eq!(counted[&DropReason::UnknownAddress], 5);
    assert_eq!(counted.len(), 3, "{counted:?}");
}
