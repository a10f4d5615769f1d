#![expect(clippy::as_conversions, reason = "small numbers, written out here")]

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

fn path(port: u16) -> Path {
    Path {
        local: IpAddr::V4(Ipv4Addr::LOCALHOST),
        remote: ([127, 0, 0, 1], port).into(),
    }
}

fn stun(kind: u16, transaction: u8, username: Option<&str>) -> Vec<u8> {
    let mut attributes = Vec::new();
    if let Some(name) = username {
        // An attribute before it, of a length that needs padding.
        attributes.extend([0x80, 0x22, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0]);
        attributes.extend([0, 6, 0, name.len() as u8]);
        attributes.extend(name.as_bytes());
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    }
    let mut bytes = Vec::new();
    bytes.extend(kind.to_be_bytes());
    bytes.extend((attributes.len() as u16).to_be_bytes());
    bytes.extend(MAGIC_COOKIE);
    bytes.extend([transaction; 12]);
    bytes.extend(attributes);
    bytes
}

const REQUEST: u16 = 0x0001;
const INDICATION: u16 = 0x0011;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;
const DTLS: [u8; 14] = [22; 14];

#[test]
fn dtls_goes_by_the_proved_address_alone() {
    let mut demux = Demux::default();
    demux.insert(0, "aaaa");
    assert_eq!(
        demux.route(&path(1), &DTLS),
        Err(DropReason::UnknownAddress)
    );
    assert_eq!(demux.bind(0, path(1)), Bound::Bound);
    assert_eq!(demux.route(&path(1), &DTLS), Ok(Destination::Bound(0)));
    assert_eq!(
        demux.route(&path(2), &DTLS),
        Err(DropReason::UnknownAddress)
    );
}

#[test]
fn the_same_remote_on_two_of_our_addresses_is_two_paths() {
    let mut demux = Demux::default();
    demux.insert(0, "aaaa");
    demux.insert(1, "bbbb");
    let other = Path {
        local: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
        ..path(1)
    };
    demux.bind(0, path(1));
    assert_eq!(demux.bind(1, other), Bound::Bound);
    assert_eq!(demux.route(&path(1), &DTLS), Ok(Destination::Bound(0)));
    assert_eq!(demux.route(&other, &DTLS), Ok(Destination::Bound(1)));
}

#[test]
fn a_request_claims_by_the_user_that_it_names() {
    let mut demux = Demux::default();
    demux.insert(3, "ours");
    let request = stun(REQUEST, 1, Some("ours:theirs"));
    assert_eq!(demux.route(&path(1), &request), Ok(Destination::Claimed(3)));
    demux.bind(3, path(1));
    assert_eq!(demux.route(&path(1), &request), Ok(Destination::Bound(3)));
    for username in [Some("theirs:ours"), Some("ours"), Some(""), None] {
        let request = stun(REQUEST, 1, username);
        let unknown = Err(DropReason::UnknownUser);
        assert_eq!(demux.route(&path(1), &request), unknown, "{username:?}");
    }
}

#[test]
fn naming_another_user_moves_a_path_only_once_it_is_bound() {
    let mut demux = Demux::default();
    demux.insert(0, "aaaa");
    demux.insert(1, "bbbb");
    demux.bind(0, path(1));
    let request = stun(REQUEST, 1, Some("bbbb:x"));
    assert_eq!(demux.route(&path(1), &request), Ok(Destination::Claimed(1)));
    // The claim alone changed nothing.
    assert_eq!(demux.route(&path(1), &DTLS), Ok(Destination::Bound(0)));
    assert_eq!(demux.bind(1, path(1)), Bound::Rebound);
    assert_eq!(demux.route(&path(1), &DTLS), Ok(Destination::Bound(1)));
    // The first owner is gone: the path stays the second's.
    demux.remove(0);
    assert_eq!(demux.route(&path(1), &DTLS), Ok(Destination::Bound(1)));
}

#[test]
fn a_response_goes_to_who_asked() {
    let mut demux = Demux::default();
    demux.insert(0, "aaaa");
    demux.insert(1, "bbbb");
    for kind in [SUCCESS, ERROR] {
        let unknown = Err(DropReason::UnknownTransaction);
        assert_eq!(demux.route(&path(1), &stun(kind, 7, None)), unknown);
    }
    demux.note_sent(1, &path(1), &stun(REQUEST, 7, Some("x:bbbb")));
    // A symmetric NAT may answer from elsewhere: the id is what counts.
    for port in [1, 2] {
        assert_eq!(
            demux.route(&path(port), &stun(SUCCESS, 7, None)),
            Ok(Destination::Claimed(1))
        );
    }
    demux.bind(1, path(1));
    assert_eq!(
        demux.route(&path(1), &stun(SUCCESS, 7, None)),
        Ok(Destination::Bound(1))
    );
    // Consent checks on a proved path are not noted, and still answered.
    demux.note_sent(1, &path(1), &stun(REQUEST, 8, Some("x:bbbb")));
    assert_eq!(demux.transactions.len(), 1);
    assert_eq!(
        demux.route(&path(1), &stun(SUCCESS, 8, None)),
        Ok(Destination::Bound(1))
    );
}

#[test]
fn what_is_sent_besides_requests_is_not_noted() {
    let mut demux = Demux::default();
    demux.insert(0, "aaaa");
    demux.note_sent(0, &path(1), &stun(SUCCESS, 1, None));
    demux.note_sent(0, &path(1), &DTLS);
    demux.note_sent(0, &path(1), &[]);
    assert!(demux.transactions.is_empty());
}

#[test]
fn an_indication_goes_by_address() {
    let mut demux = Demux::default();
    demux.insert(0, "aaaa");
    let indication = stun(INDICATION, 1, None);
    let unknown = Err(DropReason::UnknownAddress);
    assert_eq!(demux.route(&path(1), &indication), unknown);
    demux.bind(0, path(1));
    assert_eq!(
        demux.route(&path(1), &indication),
        Ok(Destination::Bound(0))
    );
}

#[test]
fn other_first_bytes_and_broken_stun_are_dropped_with_a_reason() {
    let mut demux = Demux::default();
    demux.insert(0, "aaaa");
    demux.bind(0, path(1));
    for first in (4..20).chain(64..=255) {
        assert_eq!(
            demux.route(&path(1), &[first; 30]),
            Err(DropReason::UnknownProtocol)
        );
    }
    let whole = stun(REQUEST, 1, Some("aaaa:x"));
    for len in 0..whole.len() {
        assert_eq!(
            demux.route(&path(1), &whole[..len]),
            Err(DropReason::Malformed)
        );
    }
    for at in 4..8 {
        let mut cookie = whole.clone();
        cookie[at] ^= 1;
        assert_eq!(demux.route(&path(1), &cookie), Err(DropReason::Malformed));
    }
    let mut overlong = whole;
    overlong[23] = 255;
    assert_eq!(demux.route(&path(1), &overlong), Err(DropReason::Malformed));
}

#[test]
fn a_slot_keeps_its_newest_paths_and_transactions() {
    let mut demux = Demux::default();
    demux.insert(0, "aaaa");
    for n in 0..=PATHS_MAX {
        demux.bind(0, path(n as u16));
    }
    assert_eq!(demux.paths.len(), PATHS_MAX);
    assert_eq!(
        demux.route(&path(0), &DTLS),
        Err(DropReason::UnknownAddress)
    );
    assert_eq!(demux.route(&path(1), &DTLS), Ok(Destination::Bound(0)));
    for n in 0..=TRANSACTIONS_MAX {
        demux.note_sent(0, &path(99), &stun(REQUEST, n as u8, None));
        demux.note_sent(0, &path(99), &stun(REQUEST, n as u8, None));
    }
    assert_eq!(demux.transactions.len(), TRANSACTIONS_MAX);
    assert_eq!(
        demux.route(&path(99), &stun(SUCCESS, 0, None)),
        Err(DropReason::UnknownTransaction)
    );
    demux.remove(0);
    assert!(demux.is_empty());
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), first in 0u8..4) {
        let mut demux = Demux::default();
        demux.insert(0, "aaaa");
        _ = demux.route(&path(1), &bytes);
        let mut bytes = bytes;
        if bytes.len() >= 20 {
            let len = (bytes.len() - 20) as u16;
            bytes[0] = first;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            bytes[4..8].copy_from_slice(&MAGIC_COOKIE);
            _ = demux.route(&path(1), &bytes);
            demux.note_sent(0, &path(1), &bytes);
        }
    }
}
