//! The checkers: they watch what is sent and what arrives, and say when something is wrong. They know
//! nothing of what the workload intends, and look into no core: only at the wire, at what applications
//! are told, and at what the harness itself decided (who is who, who was let in, what broke).

mod arrivals;
mod attachments;
mod expectations;
mod links;
mod subscriptions;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use proto::{Lane, Message as _, MessageType, WelcomeMessage, peek};

use super::{
    clock::At,
    node::{EngineKey, Life, Node},
    plan::Plan,
    publication::PublicationId,
};
use attachments::Attachment;
use expectations::Expectation;
use links::Links;

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Only subscribers receive.
    OnlySubscribers,
    /// Nobody receives what it published itself, under the alias that it still has.
    NoEcho,
    /// On the reliable lane, everybody receives everything while no peer on the way is lost; where
    /// only signalling fails, if anything, on the unreliable lane as well.
    NothingLost,
    /// Where only signalling fails, if anything, no client is disconnected and no link lost, whatever
    /// rogues do.
    Undisturbed,
    /// Nobody receives anything twice on one peer, and no application is told of it twice for that.
    AtMostOnce,
    /// On the reliable lane, what a publisher sends by one peer comes to a peer in this order.
    Order,
    /// Nothing crosses more than one link, or in a star more than the two to the hub and from it.
    Hops,
    /// Who is not let in neither sends nor receives.
    Authentication,
    /// Nobody receives, and nobody's publications are received, beyond what the credentials allow.
    Grants,
    /// Alias, identity, role, topic and body are the publisher's.
    Truth,
    /// After everything is healed, every pair of servers that is to be linked has one link, and no
    /// more; no other pair has any.
    Links,
    /// After everything is healed, everybody is connected, and a probe reaches everybody.
    Liveness,
    /// When the probes have arrived, no queue holds anything.
    Queues,
    /// Nothing grows beyond its limit.
    Bounds,
    /// After everybody has left, nothing is left of them.
    NothingLeft,
    /// Sessions and servers keep their alias for life, whatever becomes of their sockets and of the
    /// coordinator.
    AliasKept,
    /// No core contradicts itself or panics.
    Invariants,
    /// Time goes on.
    Progress,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which checker says so.
    pub check: Check,
    /// What it saw.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.check, self.text)
    }
}

/// All of them, over one record of what happened.
#[derive(Debug)]
pub(super) struct Checkers {
    /// Longer than anything takes from one side of the cluster to the other while no path is cut.
    travel_max: Duration,
    /// The server that is the hub of a star.
    hub: Option<usize>,
    /// There are no faults in this run, but for those of signalling.
    quiet: bool,
    publications: BTreeMap<PublicationId, Publication>,
    /// By the member's engine.
    attachments: BTreeMap<EngineKey, Attachment>,
    links: Links,
    /// When each path was last cut, slowed or healed, and whether it is cut.
    paths: BTreeMap<(Node, Node), (At, bool)>,
    /// The last publication that came on the reliable lane of a member's peer from a publisher's
    /// peer. Where either has another peer meanwhile, by another server, one may overtake the other.
    last: BTreeMap<(EngineKey, EngineKey), PublicationId>,
    /// The alias of the first WELCOME in each life.
    aliases: BTreeMap<Life, u64>,
    violation: Option<Violation>,
    pub(super) counts: Counts,
}

/// How much was looked at: a checker that saw nothing has proved nothing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Publications sent.
    pub published: u64,
    /// Packets that arrived at members.
    pub arrived: u64,
    /// Packets that arrived over links.
    pub relayed: u64,
    /// Pairs of a publication and a recipient that had to meet, and did.
    pub judged: u64,
    /// Publications that a member got once more after it had moved to another server, which got them
    /// late: nobody promises that this cannot be.
    pub repeated_after_move: u64,
}

/// A publication, from the moment when it leaves the member.
#[derive(Debug)]
struct Publication {
    engine: EngineKey,
    member: usize,
    server: usize,
    topic: String,
    lane: Lane,
    with_identity: bool,
    sent: At,
    expected: Vec<Expectation>,
    /// At these engines of members.
    arrived: BTreeSet<EngineKey>,
    /// By member, how often its application was told.
    told: BTreeMap<usize, usize>,
    /// Servers that it reached over a link.
    linked: BTreeSet<usize>,
}

impl Checkers {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            travel_max: plan.travel_max(),
            hub: plan.hub(),
            quiet: plan.is_quiet(),
            publications: BTreeMap::new(),
            attachments: BTreeMap::new(),
            links: Links::default(),
            paths: BTreeMap::new(),
            last: BTreeMap::new(),
            aliases: BTreeMap::new(),
            violation: None,
            counts: Counts::default(),
        }
    }

    /// The first thing that was wrong.
    pub(super) fn take_violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }

    pub(super) fn fail(&mut self, check: Check, text: String) {
        self.violation.get_or_insert(Violation { check, text });
    }

    fn require(&mut self, holds: bool, check: Check, text: impl FnOnce() -> String) {
        if !holds {
            self.fail(check, text());
        }
    }

    /// A signal arrives at somebody who shows the token of the last WELCOME at each dial.
    pub(super) fn signal_arrives(&mut self, life: Life, bytes: &[u8]) {
        if peek::message_type(bytes) != Some(MessageType::Welcome) {
            return;
        }
        let Ok(welcome) = WelcomeMessage::decode(bytes) else {
            return;
        };
        let alias = welcome.alias;
        let before = *self.aliases.entry(life).or_insert(alias);
        self.require(alias == before, Check::AliasKept, || {
            format!("{} was {before}, and is {alias} now", life.node)
        });
    }

    /// Something changed about a path.
    pub(super) fn path_changed(&mut self, now: At, a: Node, b: Node, cut: bool) {
        self.paths.insert(ends(a, b), (now, cut));
    }

    /// Nothing has happened to the path for so long.
    fn is_quiet(&self, now: At, a: Node, b: Node, for_long: Duration) -> bool {
        let state = self.paths.get(&ends(a, b));
        state.is_none_or(|&(since, cut)| !cut && since + for_long <= now)
    }
}

fn ends(a: Node, b: Node) -> (Node, Node) {
    if a < b { (a, b) } else { (b, a) }
}
