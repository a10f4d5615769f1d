//! Two peers over an emulated link in virtual time: seeded loss, delay, reordering, duplication.

#![allow(dead_code, reason = "every test file uses a part of it")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows #[test] functions, not what they call"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc_peer::{
    Certificate, CloseReason, Config, Input, Lane, Output, Peer, Role, SendError, Signal, Transmit,
};

pub(crate) const ACCEPTOR: usize = 0;
pub(crate) const DIALER: usize = 1;

/// What a link does to datagrams, each way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Impair {
    /// Share of datagrams lost.
    pub(crate) loss: f64,
    /// Time on the way.
    pub(crate) delay: Duration,
    /// Up to that much more, each on its own: this reorders.
    pub(crate) jitter: Duration,
    /// Share of datagrams that arrive twice.
    pub(crate) duplicate: f64,
}

pub(crate) const LOSSLESS: Impair = Impair {
    loss: 0.0,
    delay: Duration::from_millis(10),
    jitter: Duration::ZERO,
    duplicate: 0.0,
};

impl Impair {
    pub(crate) fn loss(loss: f64) -> Self {
        Self { loss, ..LOSSLESS }
    }
}

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[expect(clippy::as_conversions, reason = "a random share")]
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

enum Arrival {
    Datagram(Transmit),
    Signal(Signal),
}

/// What a side of the pair has told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) open: Vec<Lane>,
    pub(crate) packets: Vec<(Instant, Lane, Bytes)>,
    pub(crate) writable: Vec<Lane>,
    pub(crate) closed: Vec<CloseReason>,
    pub(crate) sent_datagrams: u64,
}

type Tamper = Box<dyn FnMut(usize, String) -> String>;
type Filter = Box<dyn FnMut(usize, &[u8]) -> bool>;

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) peers: [Peer; 2],
    pub(crate) told: [Told; 2],
    pub(crate) addrs: [SocketAddr; 2],
    pub(crate) impair: Impair,
    /// Drops a datagram (sender's side, content) by the test's own choice.
    pub(crate) drop: Filter,
    /// Changes a signal's JSON (sender's side, content) on the way.
    pub(crate) tamper: Tamper,
    /// How long signals take, per side that receives them.
    pub(crate) signal_delay: [Duration; 2],
    random: Random,
    arrivals: BTreeMap<(Instant, u64), (usize, Arrival)>,
    sequence: u64,
}

pub(crate) static CERTIFICATES: LazyLock<[Certificate; 2]> =
    LazyLock::new(|| std::array::from_fn(|_| Certificate::generate().unwrap()));

pub(crate) fn addrs() -> [SocketAddr; 2] {
    [
        "192.0.2.1:7000".parse().unwrap(),
        "192.0.2.2:9000".parse().unwrap(),
    ]
}

pub(crate) fn configs(seed: u64) -> [Config; 2] {
    let roles = [Role::Acceptor { ice_lite: true }, Role::Dialer];
    std::array::from_fn(|side| {
        Config::new(
            roles[side],
            CERTIFICATES[side].clone(),
            vec![addrs()[side]],
            seed * 2 + u64::try_from(side).unwrap(),
        )
    })
}

impl Pair {
    pub(crate) fn new(seed: u64, impair: Impair) -> Self {
        Self::with(seed, impair, configs(seed))
    }

    pub(crate) fn with(seed: u64, impair: Impair, configs: [Config; 2]) -> Self {
        let now = Instant::now();
        let mut pair = Self {
            now,
            start: now,
            peers: configs.map(|config| Peer::new(now, config)),
            told: Default::default(),
            addrs: addrs(),
            impair,
            drop: Box::new(|_, _| false),
            tamper: Box::new(|_, json| json),
            signal_delay: [Duration::from_millis(5); 2],
            random: Random(seed),
            arrivals: BTreeMap::new(),
            sequence: 0,
        };
        pair.drain();
        pair
    }

    /// Both lanes open on both sides, or a panic.
    pub(crate) fn connected(seed: u64, impair: Impair) -> Self {
        let mut pair = Self::new(seed, impair);
        pair.connect();
        pair
    }

    pub(crate) fn connect(&mut self) {
        let connected = self.run(Duration::from_secs(15), Self::is_connected);
        assert!(connected, "not connected: {:?}", self.told);
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.told.iter().all(|told| told.open.len() == 2)
    }

    pub(crate) fn send(&mut self, side: usize, lane: Lane, bytes: &Bytes) -> Result<(), SendError> {
        self.peers[side].send(self.now, lane, bytes)
    }

    pub(crate) fn input(&mut self, side: usize, input: Input<'_>) {
        self.peers[side].handle_input(self.now, input);
        self.drain();
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Lets time pass until the condition holds; `false` when it did not in that time.
    pub(crate) fn run(&mut self, time: Duration, mut until: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + time;
        loop {
            self.drain();
            if until(self) {
                return true;
            }
            let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
            let deadlines = self.peers.iter().filter_map(Peer::next_deadline);
            let Some(next) = deadlines.chain(arrival).min().filter(|next| *next <= end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(next);
            self.step();
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run(time, |_| false);
    }

    fn step(&mut self) {
        for peer in &mut self.peers {
            if peer
                .next_deadline()
                .is_some_and(|deadline| deadline <= self.now)
            {
                peer.handle_input(self.now, Input::Tick);
                let next = peer.next_deadline();
                let stuck = next.is_some_and(|next| next < self.now);
                assert!(
                    !stuck,
                    "the deadline is still in the past after a tick: {peer:?}"
                );
            }
        }
        while let Some(entry) = self.arrivals.first_entry()
            && entry.key().0 <= self.now
        {
            let (side, arrival) = entry.remove();
            match arrival {
                Arrival::Signal(mut signal) => {
                    let json = String::from_utf8(signal.data.to_vec()).unwrap();
                    signal.data = (self.tamper)(1 - side, json).into();
                    self.peers[side].handle_input(self.now, Input::Signal(signal));
                }
                Arrival::Datagram(transmit) => self.peers[side].handle_input(
                    self.now,
                    Input::Datagram {
                        local: transmit.remote,
                        remote: transmit.local,
                        bytes: &transmit.bytes,
                    },
                ),
            }
        }
    }

    pub(crate) fn drain(&mut self) {
        for side in [ACCEPTOR, DIALER] {
            while let Some(output) = self.peers[side].poll_output() {
                assert!(
                    self.told[side].closed.is_empty(),
                    "nothing comes after Closed, but {output:?} did"
                );
                self.take(side, output);
            }
        }
    }

    fn take(&mut self, side: usize, output: Output) {
        let told = &mut self.told[side];
        match output {
            Output::Signal(signal) => {
                let at = self.now + self.signal_delay[1 - side];
                self.arrive(at, 1 - side, Arrival::Signal(signal));
            }
            Output::Transmit(transmit) => {
                told.sent_datagrams += 1;
                assert!(
                    transmit.bytes.len() <= 1200,
                    "{} bytes",
                    transmit.bytes.len()
                );
                self.carry(side, transmit);
            }
            Output::LaneOpen(lane) => told.open.push(lane),
            Output::Packet { lane, bytes } => told.packets.push((self.now, lane, bytes)),
            Output::Writable(lane) => told.writable.push(lane),
            Output::Closed(reason) => told.closed.push(reason),
        }
    }

    fn carry(&mut self, side: usize, mut transmit: Transmit) {
        // What is sent to an address that nobody has (any more) is lost.
        if transmit.remote != self.addrs[1 - side] || (self.drop)(side, &transmit.bytes) {
            return;
        }
        // The network between sees the outer address of a side.
        transmit.local = self.addrs[side];
        transmit.remote = addrs()[1 - side];
        if self.random.share() < self.impair.loss {
            return;
        }
        let copies = 1 + usize::from(self.random.share() < self.impair.duplicate);
        for _ in 0..copies {
            let at = self.now + self.impair.delay + self.impair.jitter.mul_f64(self.random.share());
            self.arrive(at, 1 - side, Arrival::Datagram(transmit.clone()));
        }
    }

    fn arrive(&mut self, at: Instant, side: usize, arrival: Arrival) {
        self.sequence += 1;
        self.arrivals.insert((at, self.sequence), (side, arrival));
    }

    /// The payloads of the packets that a side got on a lane.
    pub(crate) fn got(&self, side: usize, lane: Lane) -> Vec<Bytes> {
        let packets = self.told[side].packets.iter();
        packets
            .filter(|(_, on, _)| *on == lane)
            .map(|(_, _, bytes)| bytes.clone())
            .collect()
    }
}
