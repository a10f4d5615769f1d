//! What the clients' logs say about the promise: on the reliable lane nothing comes twice or out of
//! order, and nothing is lost but what a fault may have touched on its own way: the publisher, its
//! server, the link, the subscriber's server, the subscriber.

mod presence;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use crate::{
    log::{At, Line, Publication, What},
    plan::{Place, Target},
};
use presence::Presence;

/// Something that was struck, from when to when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Struck {
    pub(crate) target: Target,
    pub(crate) from: At,
    pub(crate) until: At,
}

/// What the judge is told of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Case {
    pub(crate) struck: Vec<Struck>,
    /// Which server has had which alias.
    pub(crate) servers: BTreeMap<u64, usize>,
    pub(crate) clients: u32,
    pub(crate) topics: u32,
    pub(crate) clients_of_crowd: u32,
    /// What was published from then on must have come to everybody: everything is whole.
    pub(crate) whole_from: At,
    /// What was published after that may still be under way.
    pub(crate) until: At,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) published: u64,
    pub(crate) arrived: u64,
    /// Pairs of a publication and a subscriber that had to meet.
    pub(crate) judged: u64,
    /// Of those, after everything was whole again.
    pub(crate) judged_whole: u64,
    /// Pairs that a fault may have touched, and that did not meet.
    pub(crate) excused: u64,
    /// Came again, or late, to somebody who had moved meanwhile, or from somebody who had.
    pub(crate) after_move: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) lost: u64,
    /// Clients that are not on a server at the end.
    pub(crate) missing: Vec<u32>,
    /// The first few faults, in words.
    pub(crate) examples: Vec<String>,
}

impl Verdict {
    /// Whether the promise was kept.
    pub(crate) fn is_good(&self) -> bool {
        self.duplicated + self.reordered + self.lost == 0 && self.missing.is_empty()
    }

    fn note(&mut self, example: impl fmt::Display) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example.to_string());
        }
    }
}

impl Case {
    /// Looks at all lines of all crowds.
    pub(crate) fn judge(&self, lines: &[Line]) -> Verdict {
        let mut ordered: Vec<&Line> = lines.iter().collect();
        ordered.sort_by_key(|line| line.at);
        let presence = Presence::read(&ordered);
        let mut verdict = Verdict::default();
        let mut arrived: BTreeMap<(u32, Publication), At> = BTreeMap::new();
        let mut last: BTreeMap<(u32, u32, u64), (u64, At)> = BTreeMap::new();
        for line in &ordered {
            let What::Got(publication) = line.what else {
                continue;
            };
            verdict.arrived += 1;
            let (to, from) = (line.client, publication.client);
            let moved_since = |at: At| {
                let moved = |client| presence.moved(client, at.saturating_sub(SETTLED), line.at);
                moved(to) || moved(from)
            };
            if let Some(&before) = arrived.get(&(to, publication)) {
                if moved_since(before) {
                    verdict.after_move += 1;
                } else {
                    verdict.duplicated += 1;
                    verdict.note(format_args!("client {to} got {publication:?} twice"));
                }
                continue;
            }
            arrived.insert((to, publication), line.at);
            let stream = (to, from, publication.life);
            match last.get(&stream) {
                Some(&(number, at)) if number > publication.number => {
                    if moved_since(at.saturating_sub(IDLE)) {
                        verdict.after_move += 1;
                    } else {
                        verdict.reordered += 1;
                        verdict.note(format_args!(
                            "client {to} got {publication:?} after {number}"
                        ));
                    }
                }
                _ => {
                    last.insert(stream, (publication.number, line.at));
                }
            }
        }
        let arrived: BTreeSet<(u32, Publication)> = arrived.into_keys().collect();
        for line in &ordered {
            if let What::Sent(publication) = line.what {
                verdict.published += 1;
                self.judge_sent(line.at, publication, &presence, &arrived, &mut verdict);
            }
        }
        verdict.missing = (0..self.clients)
            .filter(|&client| presence.server_at(client, self.until).is_none())
            .collect();
        verdict
    }

    fn judge_sent(
        &self,
        at: At,
        publication: Publication,
        presence: &Presence,
        arrived: &BTreeSet<(u32, Publication)>,
        verdict: &mut Verdict,
    ) {
        let from = publication.client;
        let interested =
            (0..self.clients).filter(|&to| to != from && to % self.topics == from % self.topics);
        for to in interested {
            let met = arrived.contains(&(to, publication));
            let end = at + TRAVEL;
            let stays = |client| presence.stays(client, at.saturating_sub(SETTLED), end);
            let (Some(source), Some(target)) = (stays(from), stays(to)) else {
                continue;
            };
            let servers = [source, target].map(|alias| self.servers.get(&alias).copied());
            let [Some(source), Some(target)] = servers else {
                continue;
            };
            let way = self.way(from, source, target, to);
            let touched = way.iter().any(|&target| self.is_touched(target, at, end));
            match (met, touched || end > self.until) {
                (false, true) => verdict.excused += 1,
                (true, true) => {}
                (met, false) => {
                    verdict.judged += 1;
                    verdict.judged_whole += u64::from(at >= self.whole_from);
                    if !met {
                        verdict.lost += 1;
                        verdict.note(format_args!(
                            "client {to} on server {target} did not get {publication:?} of \
                             server {source}, sent at {:.3} s",
                            at.as_secs_f64()
                        ));
                    }
                }
            }
        }
    }

    /// Everything on the way from one client to another.
    fn way(&self, from: u32, source: usize, target: usize, to: u32) -> Vec<Target> {
        let crowd = |client: u32| {
            Place::Crowd(usize::try_from(client / self.clients_of_crowd).unwrap_or_default())
        };
        let (source, target) = (Place::Server(source), Place::Server(target));
        vec![
            Target::Process(crowd(from)),
            Target::Path(crowd(from), source),
            Target::Process(source),
            Target::Path(source, target),
            Target::Path(target, source),
            Target::Process(target),
            Target::Path(crowd(to), target),
            Target::Process(crowd(to)),
        ]
    }

    /// Whether a fault was there in this time, or had just been: a peer that is lost by it is back a
    /// while later.
    fn is_touched(&self, target: Target, from: At, until: At) -> bool {
        self.struck.iter().any(|struck| {
            struck.target == target && struck.from <= until && struck.until + AFTERMATH >= from
        })
    }
}

/// A subscription has reached all servers, and what was published has arrived.
const SETTLED: Duration = Duration::from_secs(3);
/// Longest way through a cluster on a loaded machine.
const TRAVEL: Duration = Duration::from_secs(5);
/// Until a peer is taken for lost.
const IDLE: Duration = Duration::from_secs(15);
/// A link that a fault has cost is noticed after 15 s and dialed again within 30 s.
pub(crate) const AFTERMATH: Duration = Duration::from_secs(45);
const EXAMPLES_MAX: usize = 10;

#[cfg(test)]
mod tests;
