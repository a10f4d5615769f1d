//! The cable between the processes: userland forwarders of UDP and TCP that every packet passes, and
//! that can cut, delay and lose in either direction. Who speaks is known by its address: each
//! process has one of its own on the loopback network.

mod tcp;
mod udp;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::blow::{Fault, Place};

/// All forwarders. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Cable {
    faults: Faults,
    tasks: JoinSet<()>,
}

/// What is the matter with each path, from its first end to its second and back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Paths>>);

type Paths = BTreeMap<(Place, Place), [State; 2]>;

/// One way of a path.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct State {
    cut: bool,
    delay: Duration,
    lost_of_hundred: u32,
}

/// From the one that dials to the one that is dialed.
const THERE: usize = 0;
const BACK: usize = 1;

impl Cable {
    pub(crate) fn new() -> Self {
        Self {
            faults: Faults::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Takes what is meant for a server and gives it to where that listens: the same port on its own
    /// address. Returns the port.
    pub(crate) async fn lay_udp(&mut self, to: Place) -> anyhow::Result<u16> {
        let socket = tokio::net::UdpSocket::bind((advertised(to), 0)).await?;
        let port = socket.local_addr()?.port();
        let target = SocketAddr::new(address(to), port);
        let faults = self.faults.clone();
        self.tasks.spawn(udp::forward(socket, to, target, faults));
        Ok(port)
    }

    /// Takes connections of one place to the coordinator. Returns where.
    pub(crate) async fn lay_tcp(
        &mut self,
        from: Place,
        target: SocketAddr,
    ) -> anyhow::Result<SocketAddr> {
        let listener = tokio::net::TcpListener::bind((address(from), 0)).await?;
        let addr = listener.local_addr().context("the cable's address")?;
        let faults = self.faults.clone();
        self.tasks
            .spawn(tcp::forward(listener, from, target, faults));
        Ok(addr)
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Faults {
    /// A path is struck.
    pub(crate) fn strike(&self, path: (Place, Place), fault: Fault) {
        let (way, state) = match fault {
            Fault::Cut(way) => (
                way,
                State {
                    cut: true,
                    ..State::default()
                },
            ),
            Fault::Delay(way, delay) => (
                way,
                State {
                    delay,
                    ..State::default()
                },
            ),
            Fault::Lose(way, lost_of_hundred) => (
                way,
                State {
                    lost_of_hundred,
                    ..State::default()
                },
            ),
            Fault::Kill | Fault::Stop => return,
        };
        let pick = |on: bool| if on { state } else { State::default() };
        let states = [pick(way.there()), pick(way.back())];
        self.0.lock().insert(path, states);
    }

    pub(crate) fn mend(&self, path: (Place, Place)) {
        self.0.lock().remove(&path);
    }

    /// What is the matter on the way from one end to the other.
    fn state(&self, from: Place, to: Place) -> State {
        let faults = self.0.lock();
        // A path between two servers may be struck under either name.
        let there = faults.get(&(from, to)).map(|states| states[THERE]);
        let back = faults.get(&(to, from)).map(|states| states[BACK]);
        there.or(back).unwrap_or_default()
    }
}

impl State {
    /// Whether a datagram gets through.
    fn passes(self) -> bool {
        !self.cut && rand::random_range(0..100) >= self.lost_of_hundred
    }
}

/// Where a process has its sockets.
pub(crate) fn address(place: Place) -> IpAddr {
    let [kind, number] = match place {
        Place::Coordinator => [1, 1],
        Place::Server(index) => [2, byte(index)],
        Place::Crowd(index) => [3, byte(index)],
    };
    Ipv4Addr::new(127, 77, kind, number).into()
}

/// Where a server is for the others.
pub(crate) fn advertised(place: Place) -> IpAddr {
    match address(place) {
        IpAddr::V4(own) => {
            let [a, b, kind, number] = own.octets();
            Ipv4Addr::new(a, b, kind + 10, number).into()
        }
        other => other,
    }
}

/// Whose address it is.
fn place_at(ip: IpAddr) -> Option<Place> {
    let IpAddr::V4(ip) = ip else { return None };
    match ip.octets() {
        [127, 77, 1, _] => Some(Place::Coordinator),
        [127, 77, 2, number] => Some(Place::Server(usize::from(number).checked_sub(1)?)),
        [127, 77, 3, number] => Some(Place::Crowd(usize::from(number).checked_sub(1)?)),
        _ => None,
    }
}

fn byte(index: usize) -> u8 {
    u8::try_from(index + 1).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blow::Way;

    const CROWD: Place = Place::Crowd(2);
    const SERVER: Place = Place::Server(0);

    #[test]
    fn an_address_tells_whose_it_is() {
        for place in [Place::Coordinator, SERVER, CROWD, Place::Server(3)] {
            assert_eq!(place_at(address(place)), Some(place));
        }
        assert_eq!(place_at(advertised(SERVER)), None);
        assert_eq!(place_at(Ipv4Addr::LOCALHOST.into()), None);
    }

    #[test]
    fn a_way_is_struck_and_the_other_is_not() {
        let faults = Faults::default();
        faults.strike((CROWD, SERVER), Fault::Cut(Way::There));
        assert!(faults.state(CROWD, SERVER).cut);
        assert_eq!(faults.state(SERVER, CROWD), State::default());
        faults.strike((CROWD, SERVER), Fault::Lose(Way::Both, 7));
        assert_eq!(faults.state(SERVER, CROWD).lost_of_hundred, 7);
        assert!(!faults.state(CROWD, SERVER).cut);
        faults.mend((CROWD, SERVER));
        assert_eq!(faults.state(SERVER, CROWD), State::default());
    }

    #[test]
    fn what_is_cut_does_not_pass() {
        let cut = State {
            cut: true,
            ..State::default()
        };
        assert!(!cut.passes() && State::default().passes());
        let lossy = State {
            lost_of_hundred: 100,
            ..State::default()
        };
        assert!(!lossy.passes());
    }
}
