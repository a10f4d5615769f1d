//! Any order of anything, on the commserver's core: the world of its own tests, with a fuzzer's
//! choices in place of dice.

#[path = "../../../commserver/core/tests/chaos/world.rs"]
pub(crate) mod world;

use std::collections::BTreeSet;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use proto::{Lane, Reason, Role, frame};

use self::world::{Op, World, auth, interest, ready, renamed, subscription};
use crate::choices::{tail, topic};

/// Runs one input: which kind of server, then one thing after the other.
pub fn run(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let kind: u8 = choices.arbitrary().unwrap_or_default();
    let mut world = World::new(kind & 1 != 0, kind & 2 != 0);
    for _ in 0..OPS_MAX {
        if choices.is_empty() {
            break;
        }
        let Ok(op) = op(&mut choices) else { break };
        world.act(op);
    }
    world.act(Op::Shutdown);
    assert_eq!(world.alive, BTreeSet::new(), "all are closed");
    assert_eq!(world.broker.stats().subscriptions, 0);
}

fn op(choices: &mut Unstructured<'_>) -> Result<Op> {
    Ok(match choices.int_in_range(0..=32)? {
        0..=2 => Op::Pass(choices.int_in_range(0..=3_000)?),
        3 => Op::Uplink(choices.arbitrary()?),
        4 => {
            let token = *choices.choose(&["", "token", "no token"])?;
            Op::Welcome(alias(choices)?, aliases(choices)?, token)
        }
        5 => Op::Gone(alias(choices)?),
        6 => Op::Servers(choices.int_in_range(0..=9)?, aliases(choices)?),
        7..=9 => Op::Connect(alias(choices)?, role(choices)?),
        10 => Op::Signal(tail(choices, 60)?),
        11 => signal(choices)?,
        12..=14 => Op::Open(at(choices)?),
        15..=22 => Op::Packet(at(choices)?, lane(choices)?, packet(choices)?),
        23..=24 => {
            let (at, seed) = (at(choices)?, choices.int_in_range(0..=7)?);
            let verdicts = [
                Ok(seed),
                Ok(seed),
                Err(Reason::Unauthenticated),
                Err(Reason::AuthUnavailable),
            ];
            Op::Verdict(at, *choices.choose(&verdicts)?)
        }
        25 => Op::Proof(at(choices)?),
        26 => Op::ProofVerdict(at(choices)?, choices.arbitrary()?),
        27 => Op::Close(at(choices)?),
        28 => Op::Slow(at(choices)?),
        29 => Op::Load(choices.arbitrary()?),
        30 => Op::LocalSignal(at(choices)?),
        31 => Op::Revoked(alias(choices)?, choices.int_in_range(0..=5)?),
        _ => match choices.int_in_range(0..=15)? {
            0 => Op::Drain,
            1 => Op::Shutdown,
            _ => Op::Replaced,
        },
    })
}

/// A signal of a known kind from somebody, with any fields behind.
fn signal(choices: &mut Unstructured<'_>) -> Result<Op> {
    let kind = choices.int_in_range(2..=45)?;
    let from = choices.int_in_range(0..=12)?;
    let rest = tail(choices, 20)?;
    Ok(Op::Signal([&[8, kind, 16, from], &rest[..]].concat()))
}

fn packet(choices: &mut Unstructured<'_>) -> Result<Bytes> {
    Ok(match choices.int_in_range(0..=15)? {
        0..=2 => auth(
            role(choices)?,
            choices.arbitrary()?,
            choices.int_in_range(0..=4)?,
        ),
        3 => ready(choices.int_in_range(0..=4)?),
        4..=6 => subscription(&topics(choices)?),
        7..=9 => frame::publish(&topic(choices)?, "body".into(), 1, choices.arbitrary()?),
        10..=11 => {
            let version = choices.int_in_range(0..=2)?;
            let (begin, end) = choices.arbitrary()?;
            interest(version, topics(choices)?, begin, end)
        }
        12 => renamed(alias(choices)?),
        13 => Bytes::from_static(b"\x08\x06"),
        14 => {
            let kind = choices.int_in_range(0..=47)?;
            [&[8, kind], &tail(choices, 40)?[..]].concat().into()
        }
        _ => tail(choices, 200)?.into(),
    })
}

fn at(choices: &mut Unstructured<'_>) -> Result<usize> {
    choices.int_in_range(0..=63)
}

fn alias(choices: &mut Unstructured<'_>) -> Result<u64> {
    choices.int_in_range(0..=11)
}

fn aliases(choices: &mut Unstructured<'_>) -> Result<Vec<u64>> {
    let count = choices.int_in_range(0..=4)?;
    (0..count).map(|_| alias(choices)).collect()
}

fn topics(choices: &mut Unstructured<'_>) -> Result<Vec<String>> {
    let count = choices.int_in_range(0..=4)?;
    (0..count).map(|_| topic(choices)).collect()
}

fn role(choices: &mut Unstructured<'_>) -> Result<Role> {
    let roles = [
        Role::UnknownRole,
        Role::Client,
        Role::CommunicationServer,
        Role::CommunicationServerHub,
    ];
    choices.choose(&roles).copied()
}

fn lane(choices: &mut Unstructured<'_>) -> Result<Lane> {
    let unreliable = choices.ratio(1, 4)?;
    Ok(if unreliable {
        Lane::Unreliable
    } else {
        Lane::Reliable
    })
}

const OPS_MAX: usize = 400;
