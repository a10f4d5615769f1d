//! UDP: a socket for each address that speaks, so that the server tells them apart.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Faults, place_at};
use crate::blow::Place;

/// A datagram, and when it goes on.
type Due = (Instant, Vec<u8>);

/// Forwards for ever.
pub(super) async fn forward(socket: UdpSocket, to: Place, target: SocketAddr, faults: Faults) {
    let socket = Arc::new(socket);
    let mut flows: BTreeMap<SocketAddr, mpsc::Sender<Due>> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // An error is about a datagram that was sent before.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Some(place) = place_at(from.ip()) else {
            continue;
        };
        let flow = match flows.get(&from) {
            Some(flow) => flow,
            None if flows.len() >= FLOWS_MAX => continue,
            None => {
                let Ok(flow) = open(&socket, from, (place, to), target, &faults, &mut tasks).await
                else {
                    continue;
                };
                flows.entry(from).or_insert(flow)
            }
        };
        pass(flow, &faults, (place, to), buffer.get(..length));
    }
}

/// A socket towards the server, in the name of an address.
async fn open(
    socket: &Arc<UdpSocket>,
    from: SocketAddr,
    (place, to): (Place, Place),
    target: SocketAddr,
    faults: &Faults,
    tasks: &mut JoinSet<()>,
) -> std::io::Result<mpsc::Sender<Due>> {
    let near = Arc::clone(socket);
    let far = Arc::new(UdpSocket::bind((target.ip(), 0)).await?);
    far.connect(target).await?;
    let (there, mut going) = mpsc::channel::<Due>(QUEUE_MAX);
    let (back, mut coming) = mpsc::channel::<Due>(QUEUE_MAX);
    let sender = Arc::clone(&far);
    tasks.spawn(async move {
        while let Some((due, bytes)) = going.recv().await {
            sleep_until(due).await;
            // Nobody may be there: then it is lost, as it would be.
            let _sent = sender.send(&bytes).await;
        }
    });
    tasks.spawn(async move {
        while let Some((due, bytes)) = coming.recv().await {
            sleep_until(due).await;
            let _sent = near.send_to(&bytes, from).await;
        }
    });
    let faults = faults.clone();
    tasks.spawn(async move {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            match far.recv(&mut buffer).await {
                Ok(length) => pass(&back, &faults, (to, place), buffer.get(..length)),
                // The server is down: the kernel says so, once for each datagram.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    Ok(there)
}

/// A full queue loses it, as a router's does.
fn pass(flow: &mpsc::Sender<Due>, faults: &Faults, path: (Place, Place), bytes: Option<&[u8]>) {
    let state = faults.state(path.0, path.1);
    if let Some(bytes) = bytes.filter(|_| state.passes()) {
        let _passed = flow.try_send((Instant::now() + state.delay, bytes.to_vec()));
    }
}

const DATAGRAM_BYTES_MAX: usize = 2_048;
/// Addresses that have spoken to one server; each life of a crowd has new ones.
const FLOWS_MAX: usize = 16_384;
/// Datagrams on their way, for each flow and direction.
const QUEUE_MAX: usize = 2_048;
