//! The handshake: under loss, in every role, and against what must stop it.

mod link;

use std::time::Duration;

use link::{ACCEPTOR, CERTIFICATES, DIALER, Impair, LOSSLESS, Pair, configs};
use rtc_peer::{CloseReason, Config, DtlsRole, Role};

/// The acceptor's DTLS role, by what each side insists on.
fn with_acceptor(dtls: DtlsRole, ice_lite: bool) -> impl Fn(u64) -> [Config; 2] {
    move |seed| {
        let [mut acceptor, mut dialer] = configs(seed);
        acceptor.role = Role::Acceptor { ice_lite };
        acceptor.dtls = dtls;
        if dtls == DtlsRole::Active {
            dialer.dtls = DtlsRole::Passive;
        }
        [acceptor, dialer]
    }
}

/// How many of 100 handshakes complete at 5 % loss each way.
fn completed(configs: impl Fn(u64) -> [Config; 2]) -> usize {
    (0..100)
        .filter(|seed| {
            let mut pair = Pair::with(*seed, Impair::loss(0.05), configs(*seed));
            pair.run(Duration::from_secs(15), Pair::is_connected)
        })
        .count()
}

#[test]
fn all_handshakes_complete_at_5_percent_loss_with_a_passive_acceptor() {
    assert_eq!(completed(with_acceptor(DtlsRole::Auto, true)), 100);
}

#[test]
fn all_handshakes_complete_at_5_percent_loss_with_an_active_acceptor() {
    assert_eq!(completed(with_acceptor(DtlsRole::Active, true)), 100);
}

#[test]
fn all_handshakes_complete_at_5_percent_loss_with_a_full_agent_as_acceptor() {
    assert_eq!(completed(with_acceptor(DtlsRole::Auto, false)), 100);
}

#[test]
fn a_lossless_handshake_takes_few_round_trips() {
    // Offer and answer 10 ms; then at a round trip of 20 ms: one check, two of DTLS, two of SCTP,
    // half a one for the OPEN; an active acceptor waits half a one more for its first check.
    for (dtls, ice_lite, round_trips) in [
        (DtlsRole::Auto, true, 6),
        (DtlsRole::Active, true, 6),
        (DtlsRole::Auto, false, 10),
    ] {
        let mut pair = Pair::with(1, LOSSLESS, with_acceptor(dtls, ice_lite)(1));
        pair.connect();
        assert!(pair.elapsed() <= Duration::from_millis(10 + round_trips * 20));
    }
}

#[test]
fn addresses_that_have_proven_themselves_are_told() {
    let mut pair = Pair::new(1, LOSSLESS);
    let proven = |pair: &Pair, side: usize| pair.peers[side].proven_addrs().collect::<Vec<_>>();
    assert!(proven(&pair, DIALER).is_empty() && proven(&pair, ACCEPTOR).is_empty());
    pair.connect();
    assert_eq!(proven(&pair, DIALER), [pair.addrs[ACCEPTOR]]);
    assert_eq!(proven(&pair, ACCEPTOR), [pair.addrs[DIALER]]);
}

#[test]
fn the_cheapest_suite_is_the_only_one_offered() {
    let hellos = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let tap = std::rc::Rc::clone(&hellos);
    let mut pair = Pair::new(1, LOSSLESS);
    pair.drop = Box::new(move |_, datagram| {
        // A handshake record with a ClientHello in it.
        if datagram[0] == 22 && datagram[13] == 1 {
            tap.borrow_mut().push(datagram.to_vec());
        }
        false
    });
    pair.connect();
    let hello = hellos.take().remove(0);
    // Two headers, version, random, empty session and cookie; then the list of suites.
    let suites_at = 13 + 12 + 2 + 32 + 1 + 1;
    assert_eq!(
        hello[suites_at..][..4],
        [0, 2, 0xC0, 0x2B],
        "ECDHE-ECDSA-AES128-GCM-SHA256"
    );
}

#[test]
fn reordered_and_duplicated_datagrams_do_no_harm() {
    for seed in 0..20 {
        let impair = Impair {
            loss: 0.02,
            jitter: Duration::from_millis(40),
            duplicate: 0.2,
            ..LOSSLESS
        };
        let mut pair = Pair::with(seed, impair, configs(seed));
        pair.connect();
    }
}

#[test]
fn a_fingerprint_that_does_not_match_closes() {
    for wrong in [ACCEPTOR, DIALER] {
        let mut pair = Pair::new(1, LOSSLESS);
        // The description names another certificate than the one that DTLS shows.
        let [shown, named] =
            [wrong, 1 - wrong].map(|side| CERTIFICATES[side].fingerprint().to_string());
        pair.tamper = Box::new(move |from, json| {
            if from == wrong {
                json.replace(&shown, &named)
            } else {
                json
            }
        });
        pair.run_for(Duration::from_secs(5));
        assert_eq!(
            pair.told[1 - wrong].closed,
            [CloseReason::FingerprintMismatch]
        );
        assert!(pair.told[1 - wrong].open.is_empty());
        assert!(pair.peers[1 - wrong].fingerprints().is_none());
    }
}
