//! Signals as bytes, where those who send them are known and have met: to the coordinator from each
//! kind of session, and to the commserver from the coordinator.

use arbitrary::{Result, Unstructured};
use coordinator_core::{Selector, Topology};
use proto::Role;

use crate::{
    commserver_steps::world::{Op, World as Server},
    coordinator_steps::{Claim, World as Coordinator},
};

/// Runs one input: signals, each with who sends it and its length.
pub fn run(bytes: &[u8]) {
    let mut choices = Unstructured::new(bytes);
    let mut coordinator = coordinator();
    let mut server = server();
    for _ in 0..SIGNALS_MAX {
        if choices.is_empty() {
            break;
        }
        let Ok((from, bytes)) = signal(&mut choices) else {
            break;
        };
        if from < SESSIONS {
            coordinator.bytes(from, bytes.to_vec());
        } else {
            server.act(Op::Signal(bytes.to_vec()));
        }
    }
    coordinator.leave();
    server.act(Op::Shutdown);
}

fn signal<'a>(choices: &mut Unstructured<'a>) -> Result<(u8, &'a [u8])> {
    let from = choices.int_in_range(0..=2 * SESSIONS - 1)?;
    let length = usize::from(choices.arbitrary::<u8>()?);
    let bytes = choices.bytes(length.min(choices.len()))?;
    Ok((from, bytes))
}

/// With a client of ours and one of 2019, a server and a hub, where both clients have asked for the
/// server.
fn coordinator() -> Coordinator {
    let mut world = Coordinator::new(Topology::Mesh, Selector::default());
    let roles = [
        (Role::CommunicationServer, true),
        (Role::CommunicationServerHub, true),
        (Role::Client, true),
        (Role::Client, false),
    ];
    for (role, ours) in roles {
        world.open(role, ours, None, Claim::None);
    }
    world.connect(2, 0);
    world.connect(3, 0);
    world
}

/// With a client that is setting up its peer and servers that it has been told of.
fn server() -> Server {
    let mut world = Server::new(false, false);
    world.act(Op::Uplink(true));
    world.act(Op::Welcome(6, vec![5, 7], "token"));
    world.act(Op::Servers(1, vec![5, 7]));
    world.act(Op::Connect(1, Role::Client));
    world
}

const SESSIONS: u8 = 4;
const SIGNALS_MAX: usize = 40;
