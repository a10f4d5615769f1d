//! Two peers and the network between them, which does as it is told: nothing arrives on its own.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rtc_peer::{Certificate, Config, Input, Lane, Output, Peer, Role, Signal, Transmit};

/// Index of the one that makes the offer.
pub(crate) const ACCEPTOR: usize = 0;
/// Index of the one that answers it.
pub(crate) const DIALER: usize = 1;

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) peers: [Peer; 2],
    /// What is under way, with the side that it goes to.
    pub(crate) datagrams: VecDeque<(usize, Vec<u8>)>,
    pub(crate) signals: VecDeque<(usize, Signal)>,
    closed: [bool; 2],
}

/// Where a datagram claims to come from.
#[derive(Clone, Copy)]
pub(crate) enum From {
    /// The other side's address.
    Partner,
    /// One that nobody knows.
    Stranger,
}

impl Pair {
    pub(crate) fn new(ice_lite: bool) -> Self {
        let now = Instant::now();
        let roles = [Role::Acceptor { ice_lite }, Role::Dialer];
        let mut seed = 0;
        let peers = roles.map(|role| {
            seed += 1;
            let [acceptor, dialer] = &*CERTIFICATES;
            let (certificate, addr) = match role {
                Role::Acceptor { .. } => (acceptor, ADDRS[ACCEPTOR]),
                Role::Dialer => (dialer, ADDRS[DIALER]),
            };
            Peer::new(
                now,
                Config::new(role, certificate.clone(), vec![addr], seed),
            )
        });
        let mut pair = Self {
            now,
            peers,
            datagrams: VecDeque::new(),
            signals: VecDeque::new(),
            closed: [false; 2],
        };
        pair.drain();
        pair
    }

    /// The oldest datagram arrives; `false` when there is none.
    pub(crate) fn deliver(&mut self) -> bool {
        let Some((side, bytes)) = self.datagrams.pop_front() else {
            return false;
        };
        self.arrive(side, From::Partner, &bytes);
        true
    }

    pub(crate) fn arrive(&mut self, side: usize, from: From, bytes: &[u8]) {
        let remote = match from {
            From::Partner => ADDRS[1 - side],
            From::Stranger => STRANGER,
        };
        let local = ADDRS[side];
        let datagram = Input::Datagram {
            local,
            remote,
            bytes,
        };
        self.input(side, datagram);
    }

    pub(crate) fn input(&mut self, side: usize, input: Input<'_>) {
        if let Input::Datagram { bytes, .. } = &input {
            let is_stun = self.peers[side].accepts_stun(bytes);
            assert!(!is_stun || bytes.first().is_some_and(|first| *first < 4));
        }
        self.peers[side].handle_input(self.now, input);
        self.drain();
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        for side in [ACCEPTOR, DIALER] {
            if self.peers[side]
                .next_deadline()
                .is_some_and(|due| due <= self.now)
            {
                self.input(side, Input::Tick);
                let next = self.peers[side].next_deadline();
                assert!(
                    next.is_none_or(|next| next >= self.now),
                    "what was due is done"
                );
            }
        }
    }

    /// A packet, if the lane takes it.
    pub(crate) fn send(&mut self, side: usize, lane: Lane, bytes: &Bytes) {
        let sent = self.peers[side].send(self.now, lane, bytes);
        assert!(
            sent.is_err() || !self.closed[side],
            "sent by one that has closed"
        );
        self.drain();
    }

    pub(crate) fn set_paused(&mut self, side: usize, lane: Lane, paused: bool) {
        self.peers[side].set_paused(self.now, lane, paused);
        self.drain();
    }

    /// Everything arrives, and time jumps from one deadline to the next, for a while.
    pub(crate) fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            while self.deliver() {}
            let deadlines = self.peers.iter().filter_map(Peer::next_deadline);
            let Some(next) = deadlines.min() else {
                assert_eq!(self.closed, [true; 2], "whoever is there has a deadline");
                return;
            };
            self.pass(next.saturating_duration_since(self.now));
        }
    }

    fn drain(&mut self) {
        for side in [ACCEPTOR, DIALER] {
            let mut outputs = 0;
            while let Some(output) = self.peers[side].poll_output() {
                outputs += 1;
                assert!(outputs <= OUTPUTS_MAX, "no end of outputs");
                self.take(side, output);
            }
        }
    }

    fn take(&mut self, side: usize, output: Output) {
        let told = matches!(output, Output::Transmit(_));
        assert!(told || !self.closed[side], "{output:?} after the end");
        match output {
            Output::Signal(signal) => self.signals.push_back((1 - side, signal)),
            Output::Transmit(transmit) => self.carry(side, transmit),
            Output::Closed(_) => self.closed[side] = true,
            Output::Packet { .. } | Output::LaneOpen(_) | Output::Writable(_) => {}
        }
    }

    fn carry(&mut self, side: usize, transmit: Transmit) {
        let bytes = transmit.bytes;
        assert!(bytes.len() <= DATAGRAM_BYTES_MAX, "{} bytes", bytes.len());
        assert_eq!(transmit.local, ADDRS[side]);
        if transmit.remote == ADDRS[1 - side] && self.datagrams.len() < UNDER_WAY_MAX {
            self.datagrams.push_back((1 - side, bytes));
        }
    }
}

static CERTIFICATES: LazyLock<[Certificate; 2]> =
    LazyLock::new(|| [(); 2].map(|()| Certificate::generate().expect("a certificate")));

const ADDRS: [SocketAddr; 2] = [addr([192, 0, 2, 1], 7000), addr([192, 0, 2, 2], 9000)];
const STRANGER: SocketAddr = addr([198, 51, 100, 66], 666);
const DATAGRAM_BYTES_MAX: usize = 1200;
/// A whole send buffer in datagrams, and more.
const OUTPUTS_MAX: usize = 10_000;
/// What is more is lost, as in a network.
const UNDER_WAY_MAX: usize = 1_000;
const STEPS_MAX: usize = 60;

const fn addr(ip: [u8; 4], port: u16) -> SocketAddr {
    let [a, b, c, d] = ip;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
}
