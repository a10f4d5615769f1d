//! Whatever happens in whatever order: nothing panics, every invariant holds, and what comes out
//! keeps its promises.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod world;

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*, sample::select};
use proto::{Lane, Reason, Role, frame};

use crate::world::{Op, World, auth, interest, ready, renamed, subscription};

fn alias() -> impl Strategy<Value = u64> {
    0..12_u64
}

fn role() -> impl Strategy<Value = Role> {
    select(&[
        Role::UnknownRole,
        Role::Client,
        Role::Client,
        Role::CommunicationServer,
        Role::CommunicationServerHub,
    ])
}

fn topic() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-h]", 1 => "[ $a-z]{0,20}"]
}

fn packet() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => (role(), any::<bool>(), 0..5_u64).prop_map(|(role, ours, i)| auth(role, ours, i)),
        2 => (0..5_u64).prop_map(ready),
        4 => vec(topic(), 0..5).prop_map(|topics| subscription(&topics)),
        6 => (topic(), any::<bool>()).prop_map(|(topic, identity)| {
            frame::publish(&topic, "body".into(), 1, identity)
        }),
        3 => (0..3_u64, vec(topic(), 0..4), any::<bool>(), any::<bool>())
            .prop_map(|(version, add, begin, end)| interest(version, add, begin, end)),
        1 => alias().prop_map(renamed),
        1 => Just(Bytes::from_static(b"\x08\x06")),
        // Any message type with any fields, and any bytes at all.
        2 => (0..47_u8, vec(any::<u8>(), 0..30)).prop_map(|(kind, rest)| {
            Bytes::from([&[8, kind][..], &rest].concat())
        }),
        1 => vec(any::<u8>(), 0..300).prop_map(Bytes::from),
    ]
}

fn lane() -> impl Strategy<Value = Lane> {
    select(&[
        Lane::Reliable,
        Lane::Reliable,
        Lane::Reliable,
        Lane::Unreliable,
    ])
}

fn op() -> impl Strategy<Value = Op> {
    let at = || 0..64_usize;
    prop_oneof![
        4 => (0..3_000_u64).prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::Uplink),
        1 => (alias(), vec(alias(), 0..4), select(&["", "token", "no token"]))
            .prop_map(|(own, listed, token)| Op::Welcome(own, listed, token)),
        1 => Just(Op::Replaced),
        2 => alias().prop_map(Op::Gone),
        2 => (0..9_u64, vec(alias(), 0..5)).prop_map(|(version, all)| Op::Servers(version, all)),
        8 => (alias(), role()).prop_map(|(alias, role)| Op::Connect(alias, role)),
        1 => vec(any::<u8>(), 0..60).prop_map(Op::Signal),
        2 => (2..15_u8, alias(), vec(any::<u8>(), 0..20)).prop_map(|(kind, alias, rest)| {
            let alias = u8::try_from(alias).unwrap_or_default();
            Op::Signal([&[8, kind, 16, alias][..], &rest].concat())
        }),
        1 => at().prop_map(Op::LocalSignal),
        10 => at().prop_map(Op::Open),
        30 => (at(), lane(), packet()).prop_map(|(at, lane, bytes)| Op::Packet(at, lane, bytes)),
        10 => (at(), 0..8_u64, any::<bool>()).prop_map(|(at, seed, good)| {
            Op::Verdict(at, good.then_some(seed).ok_or(Reason::Unauthenticated))
        }),
        2 => (at(), 0..8_u64).prop_map(|(at, seed)| {
            Op::Packet(at, Lane::Reliable, auth(Role::Client, seed < 7, 0))
        }),
        2 => at().prop_map(|at| Op::Verdict(at, Err(Reason::AuthUnavailable))),
        1 => (alias(), 0..6_u64).prop_map(|(alias, for_s)| Op::Revoked(alias, for_s)),
        4 => at().prop_map(Op::Proof),
        4 => (at(), any::<bool>()).prop_map(|(at, valid)| Op::ProofVerdict(at, valid)),
        3 => at().prop_map(Op::Close),
        1 => at().prop_map(Op::Slow),
        1 => any::<Option<u64>>().prop_map(Op::Load),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn invariants_hold(
        ops in vec(op(), 1..300),
        compat: bool,
        hub: bool,
        drains in option::of(0..300_usize),
    ) {
        let mut world = World::new(compat, hub);
        for (at, op) in ops.into_iter().enumerate() {
            if drains == Some(at) {
                world.act(Op::Drain);
            }
            world.act(op);
        }
        world.act(Op::Shutdown);
        assert_eq!(world.alive, BTreeSet::new(), "all are closed");
        assert_eq!(world.broker.stats().subscriptions, 0);
    }
}
