//! Any order of anything, on the coordinator's core.

mod world;

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use coordinator_core::{Region, Selector, Topology};
use proto::Role;

pub(crate) use self::world::{Claim, World};
use crate::choices::tail;

/// Runs one input: which kind of coordinator, then one thing after the other.
pub fn run(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let topology = if choices.ratio(1, 2).unwrap_or_default() {
        Topology::Star
    } else {
        Topology::Mesh
    };
    let selectors = Selector::ALL.map(|(_, selector)| selector);
    let selector = choices.choose(&selectors).copied().unwrap_or_default();
    let mut world = World::new(topology, selector);
    for _ in 0..OPS_MAX {
        if choices.is_empty() || act(&mut world, &mut choices).is_err() {
            break;
        }
    }
    world.leave();
}

fn act(world: &mut World, choices: &mut Unstructured<'_>) -> Result<()> {
    match choices.int_in_range(0..=20)? {
        0..=2 => {
            let (role, ours, region) = (role(choices)?, choices.arbitrary()?, region(choices)?);
            world.open(role, ours, region, Claim::None);
        }
        3..=4 => {
            let claim = Claim::Of(choices.arbitrary()?, choices.ratio(1, 4)?);
            world.open(role(choices)?, true, None, claim);
        }
        5 => {
            let claim = Claim::Forged(choices.arbitrary()?);
            world.open(role(choices)?, true, None, claim);
        }
        6..=7 => world.close(choices.arbitrary()?),
        8..=10 => world.connect(choices.arbitrary()?, choices.arbitrary()?),
        11..=13 => {
            let kind = choices.int_in_range(-1..=47)?;
            world.signal(choices.arbitrary()?, choices.arbitrary()?, kind);
        }
        14 => world.bytes(choices.arbitrary()?, tail(choices, 80)?),
        15..=16 => {
            let state = choices.int_in_range(-1..=4)?;
            let numbers = [number(choices)?, number(choices)?, number(choices)?];
            world.load(choices.arbitrary()?, state, numbers);
        }
        17..=18 => world.pass(Duration::from_millis(choices.int_in_range(0..=20_000)?)),
        19 => {
            let kind = choices.int_in_range(0..=2)?;
            let time = Duration::from_millis(choices.int_in_range(0..=20_000)?);
            world.revoke(choices.arbitrary()?, kind, time);
        }
        _ if choices.ratio(1, 16)? => world.shut_down(),
        _ => {}
    }
    Ok(())
}

fn role(choices: &mut Unstructured<'_>) -> Result<Role> {
    let roles = [
        Role::Client,
        Role::Client,
        Role::CommunicationServer,
        Role::CommunicationServer,
        Role::CommunicationServerHub,
    ];
    choices.choose(&roles).copied()
}

fn region(choices: &mut Unstructured<'_>) -> Result<Option<Region>> {
    Ok(Region::parse(choices.choose(&["", "eu", "us"])?))
}

fn number(choices: &mut Unstructured<'_>) -> Result<u32> {
    if choices.ratio(1, 8)? {
        choices.arbitrary()
    } else {
        choices.int_in_range(0..=5)
    }
}

const OPS_MAX: usize = 300;
