//! What a run is made of, drawn from its seed: how many of everybody, how slow the network, which
//! faults may strike. Each seed has a subset of the faults only: a bug that needs quiet around it
//! would never show in a run where everything breaks.

use std::{collections::BTreeSet, time::Duration};

use commserver_core::Drain;
use coordinator_core::{Selector, Topology};

use super::{clock::At, dice::Dice, sabotage::Sabotage};

/// What may go wrong in a run. New kinds go here and into `faults`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The coordinator dies, and a fresh one comes up in its place.
    CoordinatorRestart,
    /// The coordinator is gone for an hour.
    CoordinatorAway,
    /// A commserver dies with all it knows, and is started again.
    ServerCrash,
    /// A commserver shuts down politely, and is started again.
    ServerShutdown,
    /// A commserver drains: it lets its clients go before it does, and is started again.
    ServerDrain,
    /// A client dies, and comes back with or without its resume token.
    ClientCrash,
    /// A signalling socket breaks; each end notices in its own time.
    SignallingCut,
    /// Nothing gets through between two nodes for a while, one way or both.
    PathCut,
    /// Nothing gets through between some of all nodes and the others, one way or both.
    Partition,
    /// What two nodes send each other waits on the way, and comes all at once.
    PathClog,
    /// One side of a peer gives up, and the other one goes on for a while.
    PeerDeath,
    /// Everything takes longer between two nodes for a while.
    PathSlow,
    /// The network loses packets, all the time: they are lost on the unreliable lane, and late on
    /// the reliable one.
    Loss,
    /// Authenticators take their time, now and then longer than anybody waits.
    SlowVerdicts,
    /// A peer is closed because it does not read.
    SlowConsumer,
    /// A client does not read for a while.
    SlowReader,
    /// A program stands still for a while, and everything that came meanwhile is there at once.
    Freeze,
    /// A node's clock jumps forward, by up to an hour.
    ClockJump,
}

impl Fault {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::CoordinatorRestart,
        Self::CoordinatorAway,
        Self::ServerCrash,
        Self::ServerShutdown,
        Self::ServerDrain,
        Self::ClientCrash,
        Self::SignallingCut,
        Self::PathCut,
        Self::Partition,
        Self::PathClog,
        Self::PeerDeath,
        Self::PathSlow,
        Self::Loss,
        Self::SlowVerdicts,
        Self::SlowConsumer,
        Self::SlowReader,
        Self::Freeze,
        Self::ClockJump,
    ];

    /// Those that no peer may notice: packets flow as if nothing was.
    pub const SIGNALLING: &'static [Self] = &[
        Self::CoordinatorRestart,
        Self::CoordinatorAway,
        Self::SignallingCut,
    ];

    /// In how many of a hundred runs that may have it.
    const fn chance(self) -> u32 {
        match self {
            // An hour takes as long as ten other runs.
            Self::CoordinatorAway => 6,
            _ => 45,
        }
    }
}

/// How a client misbehaves that is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Mischief {
    /// Subscribes and publishes without AUTH.
    Unauthenticated,
    /// Sends AUTH with credentials that are wrong, and everything else right behind it.
    WrongCredentials,
    /// Says in AUTH that it is a server, announces interest and relays.
    FalseServer,
    /// Is let in, and lies about alias, identity and role in what it publishes.
    Liar,
    /// Is let in, and sends garbage, packets that are not for clients to send, and giants.
    Garbage,
    /// None: it speaks the 2019 protocol, and nothing more.
    Elder,
    /// Joins, and says nothing.
    Mute,
    /// Sends more behind its AUTH than a server holds while it waits for the verdict.
    Flooder,
    /// Sprays signals at everybody through the coordinator.
    Sprayer,
    /// Is let in to publish to one topic and to hear another, and tries all.
    Trespasser,
}

impl Mischief {
    const ALL: [Self; 10] = [
        Self::Unauthenticated,
        Self::WrongCredentials,
        Self::FalseServer,
        Self::Liar,
        Self::Garbage,
        Self::Elder,
        Self::Mute,
        Self::Flooder,
        Self::Sprayer,
        Self::Trespasser,
    ];
}

/// Everything that is decided before a run begins.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) servers: usize,
    /// How they are linked. In a star the first of them is the hub.
    pub(super) topology: Topology,
    /// Clients that are honest: a session each.
    pub(super) sessions: usize,
    /// Those that are not.
    pub(super) mischiefs: Vec<Mischief>,
    pub(super) topics: usize,
    /// How the coordinator picks servers for clients.
    pub(super) selector: Selector,
    pub(super) faults: BTreeSet<Fault>,
    /// One way, between two nodes.
    pub(super) delay_max: Duration,
    /// Of a packet on the unreliable lane, in a hundred.
    pub(super) loss: u32,
    /// What a commserver has room for, where it is less than usual.
    pub(super) peers_max: Option<usize>,
    /// What a commserver lets a client subscribe to, where it is less than usual.
    pub(super) subscriptions_max: Option<usize>,
    /// How a commserver drains.
    pub(super) drain: Drain,
    /// Longest pause between two things that clients do.
    pub(super) pause_max: Duration,
    pub(super) sabotage: Option<Sabotage>,
    /// So many events are kept for a person to read.
    pub(super) trace_max: usize,
}

impl Plan {
    pub(super) fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let mut dice = Dice::new(seed, "plan");
        let servers = [1, 2, 2, 3, 3, 4][dice.below(6)];
        let sessions = 2 + dice.below(6);
        let mischiefs: Vec<Mischief> = (0..dice.below(4))
            .filter_map(|_| dice.pick(&Mischief::ALL))
            .collect();
        let kinds: &[Fault] = match dice.below(5) {
            0 => &[],
            1 => Fault::SIGNALLING,
            _ => Fault::ALL,
        };
        let kinds = kinds.iter().copied();
        let faults: BTreeSet<Fault> = kinds.filter(|kind| dice.percent(kind.chance())).collect();
        // By dice of its own: the other choices of a seed stay what they were.
        let star = servers > 1 && Dice::new(seed, "topology").percent(35);
        let topology = if star { Topology::Star } else { Topology::Mesh };
        // Just enough for everybody, when nobody is counted twice.
        let members = sessions + mischiefs.len();
        let taking = servers - usize::from(star);
        let peers_max = members.div_ceil(taking) + 1 + dice.below(2);
        let peers_max = dice.percent(20).then_some(peers_max);
        let subscriptions_max = dice.percent(15).then(|| 2 + dice.below(4));
        let loss = [1, 5, 20, 50][dice.below(4)];
        let (_, selector) = Selector::ALL[Dice::new(seed, "selector").below(Selector::ALL.len())];
        Self {
            selector,
            seed,
            servers,
            topology,
            sessions,
            mischiefs,
            topics: 1 + dice.below(6),
            peers_max,
            subscriptions_max,
            loss: if faults.contains(&Fault::Loss) {
                loss
            } else {
                0
            },
            faults,
            delay_max: [2, 20, 60].map(Duration::from_millis)[dice.below(3)],
            drain: Drain {
                timeout: [0, 2, 10].map(Duration::from_secs)[dice.below(3)],
                within: dice.millis(0, 2_000),
            },
            pause_max: [40, 100, 300].map(Duration::from_millis)[dice.below(3)],
            sabotage,
            trace_max: TRACE_MAX,
        }
    }

    /// For a look at what is sabotaged, nothing else may be in the way.
    pub(super) fn quiet(mut self) -> Self {
        self.faults.clear();
        self.loss = 0;
        self
    }

    /// Longer than anything takes from one side of the cluster to the other while no path is cut:
    /// three hops, or four through a hub, the unreliable lane's twice as long, and a window for
    /// announcements on each server.
    pub(super) fn travel_max(&self) -> Duration {
        let slow = if self.has(Fault::PathSlow) {
            SLOW_MAX
        } else {
            Duration::ZERO
        };
        let lost = if self.has(Fault::Loss) {
            RETRANSMISSION_MAX
        } else {
            Duration::ZERO
        };
        let hops = if self.hub().is_some() { 4 } else { 3 };
        (self.delay_max * 3 / 2 + slow + lost) * hops * 2 + Duration::from_millis(100)
    }

    /// The server that is the hub of a star.
    pub(super) fn hub(&self) -> Option<usize> {
        (self.topology == Topology::Star).then_some(0)
    }

    /// Whether two servers are to be linked.
    pub(super) fn links(&self, a: usize, b: usize) -> bool {
        self.hub().is_none_or(|hub| (a == hub) != (b == hub))
    }

    /// Workload and faults end, and everything is healed.
    pub(super) fn work_ends(&self) -> At {
        if self.has(Fault::CoordinatorAway) {
            WORK_ENDS + AWAY
        } else {
            WORK_ENDS
        }
    }

    pub(super) fn members(&self) -> usize {
        self.sessions + self.mischiefs.len()
    }

    /// Peers and links have to stay as they are, and packets have to flow.
    pub(super) fn is_quiet(&self) -> bool {
        let mut faults = self.faults.iter();
        faults.all(|fault| Fault::SIGNALLING.contains(fault))
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

/// Events kept for a person to read, unless more are asked for.
const TRACE_MAX: usize = 100;
/// The most that a slow path adds to its delay.
pub(super) const SLOW_MAX: Duration = Duration::from_secs(1);
/// Clients begin to join, and soon to work.
pub(super) const WORK_BEGINS: At = At::from_secs(1);
/// Workload and faults end, and everything is healed, where no hour passes meanwhile.
const WORK_ENDS: At = At::from_secs(25);
/// How long the coordinator is gone when it is gone for long.
pub(super) const AWAY: Duration = Duration::from_secs(3_600);
/// Until something that was lost on the reliable lane has got through.
pub(super) const RETRANSMISSION_MAX: Duration = Duration::from_secs(1);
