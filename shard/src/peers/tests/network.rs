//! Several shards' peers in virtual time, over a network that takes a moment and, when asked to,
//! swallows what a shard sends. A pass is made as the driver makes it: datagrams, deadlines,
//! events, one flush.

use std::collections::{BTreeMap, HashMap};

use super::*;

/// How long a datagram is on its way.
pub(super) const DELAY: Duration = Duration::from_millis(10);

/// Names a shard of the network.
pub(super) type ShardIndex = usize;

/// A peer, and whose it is.
pub(super) type Seat = (ShardIndex, PeerKey);

pub(super) struct Network {
    pub(super) now: Instant,
    shards: Vec<Host>,
    /// Who signals to whom.
    partners: HashMap<Seat, Seat>,
    in_flight: BTreeMap<(Instant, u64), InFlight>,
    sequence: u64,
}

struct Host {
    peers: Peers,
    addr: SocketAddr,
    /// What was told, but for signals.
    told: Vec<(Instant, Event)>,
    /// Nothing leaves it any more.
    mute: bool,
}

struct InFlight {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

pub(super) fn config(seed: u64) -> Config {
    static CERTIFICATE: std::sync::OnceLock<Certificate> = std::sync::OnceLock::new();
    let certificate = CERTIFICATE.get_or_init(|| Certificate::generate().unwrap());
    Config::new(certificate.clone(), seed)
}

impl Network {
    pub(super) fn new(configs: impl IntoIterator<Item = Config>) -> Self {
        let hosts = (1..).zip(configs).map(|(n, config)| {
            let addr = SocketAddr::from(([192, 0, 2, n], 7000));
            Host {
                peers: Peers::new(config, vec![addr], Arc::default()),
                addr,
                told: Vec::new(),
                mute: false,
            }
        });
        Self {
            now: Instant::now(),
            shards: hosts.collect(),
            partners: HashMap::new(),
            in_flight: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// A pair with both lanes open: the acceptor's key and the dialer's.
    pub(super) fn connect(&mut self, acceptor: ShardIndex, dialer: ShardIndex) -> [PeerKey; 2] {
        let now = self.now;
        let lite = Role::Acceptor { ice_lite: true };
        let ours = self.shards[acceptor].peers.open(now, lite).unwrap();
        let theirs = self.shards[dialer].peers.open(now, Role::Dialer).unwrap();
        self.partners.insert((acceptor, ours), (dialer, theirs));
        self.partners.insert((dialer, theirs), (acceptor, ours));
        let both = [(acceptor, ours), (dialer, theirs)];
        let connected = self.run(Duration::from_secs(10), |network| {
            both.iter().all(|seat| network.lanes_open(*seat) == 2)
        });
        assert!(connected);
        [ours, theirs]
    }

    fn lanes_open(&self, seat: Seat) -> usize {
        let told = self.told(seat).into_iter();
        told.filter(|(_, event)| matches!(event, Event::LaneOpen { .. }))
            .count()
    }

    pub(super) fn peers(&mut self, shard: ShardIndex) -> &mut Peers {
        &mut self.shards[shard].peers
    }

    /// A datagram from anywhere arrives at a shard now.
    pub(super) fn inject(&mut self, shard: ShardIndex, remote: SocketAddr, bytes: &[u8]) {
        let host = &mut self.shards[shard];
        let local = host.addr;
        let datagram = Datagram {
            local,
            remote,
            bytes,
        };
        host.peers.handle_datagram(self.now, datagram);
    }

    /// Where a shard sends from.
    pub(super) fn addr(&self, shard: ShardIndex) -> SocketAddr {
        self.shards[shard].addr
    }

    /// From now on nothing that the shard sends arrives anywhere.
    pub(super) fn mute(&mut self, shard: ShardIndex) {
        self.shards[shard].mute = true;
    }

    /// What a peer's shard told of it, with the times.
    pub(super) fn told(&self, (shard, key): Seat) -> Vec<&(Instant, Event)> {
        let told = self.shards[shard].told.iter();
        told.filter(|(_, event)| event.peer() == key).collect()
    }

    /// When and why a peer closed.
    pub(super) fn closed(&self, seat: Seat) -> Option<(Instant, CloseReason)> {
        let told = self.told(seat).into_iter();
        told.filter_map(|(at, event)| match event {
            Event::Closed { reason, .. } => Some((*at, *reason)),
            _ => None,
        })
        .next()
    }

    /// Lets time pass until the condition holds; `false` when it did not in that time.
    pub(super) fn run(&mut self, time: Duration, mut until: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + time;
        loop {
            self.pass();
            if until(self) {
                return true;
            }
            let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
            let deadlines = self
                .shards
                .iter()
                .filter_map(|host| host.peers.next_deadline());
            let next = deadlines.chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(next);
        }
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        self.run(time, |_| false);
    }

    /// One turn of every shard.
    fn pass(&mut self) {
        while let Some(entry) = self.in_flight.first_entry()
            && entry.key().0 <= self.now
        {
            let datagram = entry.remove();
            let host = self.shards.iter_mut().find(|host| host.addr == datagram.to);
            let received = Datagram {
                local: datagram.to,
                remote: datagram.from,
                bytes: &datagram.bytes,
            };
            host.expect("an address of the network")
                .peers
                .handle_datagram(self.now, received);
        }
        for shard in 0..self.shards.len() {
            self.turn(shard);
        }
    }

    fn turn(&mut self, shard: ShardIndex) {
        let now = self.now;
        let host = &mut self.shards[shard];
        while host.peers.handle_deadline(now) {}
        loop {
            while let Some(event) = self.shards[shard].peers.poll_event(now) {
                self.take(shard, event);
            }
            let host = &mut self.shards[shard];
            let mut batch = Batch::default();
            while host.peers.flush_peer(&mut batch) {}
            host.peers.end_flush();
            if !host.mute {
                for (from, to, bytes) in batch.iter() {
                    self.sequence += 1;
                    let bytes = bytes.to_vec();
                    let in_flight = InFlight { from, to, bytes };
                    let at = (now + DELAY, self.sequence);
                    self.in_flight.insert(at, in_flight);
                }
            }
            if !host.peers.has_events() {
                return;
            }
        }
    }

    fn take(&mut self, shard: ShardIndex, event: Event) {
        if let Event::Signal { peer, signal } = event {
            let (there, partner) = self.partners[&(shard, peer)];
            let now = self.now;
            self.shards[there].peers.handle_signal(now, partner, signal);
        } else {
            self.shards[shard].told.push((self.now, event));
        }
    }
}
