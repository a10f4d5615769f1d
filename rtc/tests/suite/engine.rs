//! What the suite needs of an engine, and a pair of them on an emulated link.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc_peer::{Lane, Signal};

use crate::link::{ACCEPTOR, DIALER, Impair, Random, addrs};

/// Which side of the DTLS handshake the acceptor takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptorDtls {
    Passive,
    Active,
}

/// How a side is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) side: usize,
    pub(crate) now: Instant,
    pub(crate) seed: u64,
    pub(crate) dtls: AcceptorDtls,
}

impl Setup {
    pub(crate) fn addr(&self) -> SocketAddr {
        addrs()[self.side]
    }

    pub(crate) fn is_acceptor(&self) -> bool {
        self.side == ACCEPTOR
    }
}

/// What a side wants done, or tells.
#[derive(Debug)]
pub(crate) enum Told {
    Signal(Signal),
    Datagram(Vec<u8>),
    Open(Lane),
    Packet(Lane, Bytes),
    Closed,
}

/// An engine under test: one side of a pair. The acceptor offers and creates both channels; the
/// dialer answers.
pub(crate) trait Engine {
    fn signal(&mut self, now: Instant, signal: Signal);
    fn receive(&mut self, now: Instant, remote: SocketAddr, bytes: &[u8]);
    fn tick(&mut self, now: Instant);
    fn deadline(&mut self) -> Option<Instant>;
    fn poll(&mut self, now: Instant) -> Option<Told>;
    /// `false` when it takes no more.
    fn send(&mut self, now: Instant, lane: Lane, bytes: &Bytes) -> bool;
    /// Packets are left with the engine, or taken again.
    fn pause(&mut self, now: Instant, paused: bool);
    fn close(&mut self, now: Instant);
}

/// Makes a side.
pub(crate) type Make = fn(Setup) -> Box<dyn Engine>;

enum Arrival {
    Datagram(Vec<u8>),
    Signal(Signal),
}

/// Whether a datagram (sender's side, content) is lost.
pub(crate) type Lose = Box<dyn FnMut(usize, &[u8]) -> bool>;

/// Two of a kind and the link between them, in virtual time.
pub(crate) struct Duel {
    pub(crate) now: Instant,
    pub(crate) sides: [Box<dyn Engine>; 2],
    pub(crate) open: [Vec<Lane>; 2],
    pub(crate) packets: [Vec<(Instant, Lane, Bytes)>; 2],
    pub(crate) closed: [bool; 2],
    pub(crate) longest: usize,
    pub(crate) impair: Impair,
    /// The case's own choice, beside `impair`.
    pub(crate) lose: Lose,
    random: Random,
    arrivals: BTreeMap<(Instant, u64), (usize, Arrival)>,
    sequence: u64,
}

impl Duel {
    pub(crate) fn new(make: Make, seed: u64, dtls: AcceptorDtls, impair: Impair) -> Self {
        let now = Instant::now();
        let mut duel = Self {
            now,
            sides: [ACCEPTOR, DIALER].map(|side| {
                make(Setup {
                    side,
                    now,
                    seed: seed * 2 + u64::try_from(side).unwrap(),
                    dtls,
                })
            }),
            open: Default::default(),
            packets: Default::default(),
            closed: [false; 2],
            longest: 0,
            impair,
            lose: Box::new(|_, _| false),
            random: Random(seed),
            arrivals: BTreeMap::new(),
            sequence: 0,
        };
        duel.drain();
        duel
    }

    /// With both lanes open.
    pub(crate) fn connected(
        make: Make,
        seed: u64,
        dtls: AcceptorDtls,
        impair: Impair,
    ) -> Result<Self, String> {
        let mut duel = Self::new(make, seed, dtls, impair);
        if duel.run(Duration::from_secs(15), Self::is_open) {
            Ok(duel)
        } else {
            Err(format!("seed {seed}: not open in 15 s: {:?}", duel.open))
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.iter().all(|lanes| lanes.len() == 2)
    }

    pub(crate) fn send(&mut self, side: usize, lane: Lane, bytes: &Bytes) -> bool {
        self.sides[side].send(self.now, lane, bytes)
    }

    pub(crate) fn got(&self, side: usize, lane: Lane) -> Vec<Bytes> {
        let packets = self.packets[side].iter().filter(|(_, on, _)| *on == lane);
        packets.map(|(_, _, bytes)| bytes.clone()).collect()
    }

    /// Lets time pass until the condition holds; `false` when it did not in that time.
    pub(crate) fn run(&mut self, time: Duration, until: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        loop {
            self.drain();
            if until(self) {
                return true;
            }
            let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
            let deadlines = self.sides.iter_mut().filter_map(|side| side.deadline());
            let next = deadlines.chain(arrival).min().filter(|next| *next <= end);
            let Some(next) = next else {
                self.now = end;
                return until(self);
            };
            // Some count in milliseconds, and would stand still.
            self.now = self.now.max(next) + Duration::from_micros(100);
            self.step();
        }
    }

    fn step(&mut self) {
        for side in &mut self.sides {
            if side.deadline().is_some_and(|at| at <= self.now) {
                side.tick(self.now);
            }
        }
        while let Some(entry) = self.arrivals.first_entry()
            && entry.key().0 <= self.now
        {
            let (side, arrival) = entry.remove();
            match arrival {
                Arrival::Signal(signal) => self.sides[side].signal(self.now, signal),
                Arrival::Datagram(bytes) => {
                    self.sides[side].receive(self.now, addrs()[1 - side], &bytes);
                }
            }
            // One of them has to be drained after each datagram.
            self.drain();
        }
    }

    pub(crate) fn drain(&mut self) {
        for side in [ACCEPTOR, DIALER] {
            while let Some(told) = self.sides[side].poll(self.now) {
                match told {
                    Told::Signal(signal) => {
                        let at = self.now + Duration::from_millis(5);
                        self.arrive(at, 1 - side, Arrival::Signal(signal));
                    }
                    Told::Datagram(bytes) => self.carry(side, bytes),
                    Told::Open(lane) => self.open[side].push(lane),
                    Told::Packet(lane, bytes) => self.packets[side].push((self.now, lane, bytes)),
                    Told::Closed => self.closed[side] = true,
                }
            }
        }
    }

    fn carry(&mut self, side: usize, bytes: Vec<u8>) {
        self.longest = self.longest.max(bytes.len());
        if (self.lose)(side, &bytes) || self.random.share() < self.impair.loss {
            return;
        }
        let copies = 1 + usize::from(self.random.share() < self.impair.duplicate);
        for _ in 0..copies {
            let at = self.now + self.impair.delay + self.impair.jitter.mul_f64(self.random.share());
            self.arrive(at, 1 - side, Arrival::Datagram(bytes.clone()));
        }
    }

    fn arrive(&mut self, at: Instant, side: usize, arrival: Arrival) {
        self.sequence += 1;
        self.arrivals.insert((at, self.sequence), (side, arrival));
    }
}
