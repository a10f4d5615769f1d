//! TCP: what is cut or lost waits, as it does for a sender that tries again, and comes in order.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use super::Faults;
use crate::blow::Place;

/// Takes connections for ever.
pub(super) async fn forward(
    listener: TcpListener,
    from: Place,
    target: SocketAddr,
    faults: Faults,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((near, _)) = listener.accept().await else {
            sleep(LOOK_INTERVAL).await;
            continue;
        };
        let faults = faults.clone();
        connections.spawn(async move {
            // Who is not there resets the other side, and that is all there is to say.
            let _ended = join(near, from, target, faults).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn join(near: TcpStream, from: Place, target: SocketAddr, faults: Faults) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    let to = Place::Coordinator;
    // The end of one way is the end of both: nobody here closes by halves.
    tokio::select! {
        ended = copy(near_in, far_out, (from, to), &faults) => ended,
        ended = copy(far_in, near_out, (to, from), &faults) => ended,
    }
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    path: (Place, Place),
    faults: &Faults,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown().await;
        };
        let mut state = faults.state(path.0, path.1);
        while state.cut {
            sleep(LOOK_INTERVAL).await;
            state = faults.state(path.0, path.1);
        }
        if !state.passes() {
            sleep(RETRANSMISSION).await;
        }
        sleep(state.delay).await;
        to.write_all(bytes).await?;
    }
}

const CHUNK_BYTES: usize = 16 * 1024;
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// What a lost segment costs.
const RETRANSMISSION: Duration = Duration::from_millis(250);
