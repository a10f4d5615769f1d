//! `rtc-peer`.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use rtc_peer::{Config, DtlsRole, Input, Lane, Output, Peer, Role, Signal};

use crate::engine::{AcceptorDtls, Engine, Setup, Told};
use crate::link::CERTIFICATES;

struct Ours {
    peer: Peer,
    addr: SocketAddr,
}

pub(crate) fn make(setup: Setup) -> Box<dyn Engine> {
    let (role, dtls) = match (setup.is_acceptor(), setup.dtls) {
        (true, AcceptorDtls::Active) => (Role::Acceptor { ice_lite: true }, DtlsRole::Active),
        (true, AcceptorDtls::Passive) => (Role::Acceptor { ice_lite: true }, DtlsRole::Auto),
        (false, _) => (Role::Dialer, DtlsRole::Auto),
    };
    let certificate = CERTIFICATES[setup.side].clone();
    let mut config = Config::new(role, certificate, vec![setup.addr()], setup.seed);
    config.dtls = dtls;
    Box::new(Ours {
        peer: Peer::new(setup.now, config),
        addr: setup.addr(),
    })
}

impl Engine for Ours {
    fn signal(&mut self, now: Instant, signal: Signal) {
        self.peer.handle_input(now, Input::Signal(signal));
    }

    fn receive(&mut self, now: Instant, remote: SocketAddr, bytes: &[u8]) {
        let local = self.addr;
        let datagram = Input::Datagram {
            local,
            remote,
            bytes,
        };
        self.peer.handle_input(now, datagram);
    }

    fn tick(&mut self, now: Instant) {
        self.peer.handle_input(now, Input::Tick);
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.peer.next_deadline()
    }

    fn poll(&mut self, _now: Instant) -> Option<Told> {
        loop {
            return Some(match self.peer.poll_output()? {
                Output::Signal(signal) => Told::Signal(signal),
                Output::Transmit(transmit) => Told::Datagram(transmit.bytes),
                Output::LaneOpen(lane) => Told::Open(lane),
                Output::Packet { lane, bytes } => Told::Packet(lane, bytes),
                Output::Writable(_) => continue,
                Output::Closed(_) => Told::Closed,
            });
        }
    }

    fn send(&mut self, now: Instant, lane: Lane, bytes: &Bytes) -> bool {
        self.peer.send(now, lane, bytes).is_ok()
    }

    fn pause(&mut self, now: Instant, paused: bool) {
        for lane in Lane::ALL {
            self.peer.set_paused(now, lane, paused);
        }
    }

    fn close(&mut self, now: Instant) {
        self.peer.handle_input(now, Input::Close);
    }
}
