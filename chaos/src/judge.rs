//! What the clients' logs say about the promise: on the reliable lane nothing comes twice or out of
//! order, and nothing is lost but what a fault may have touched on its own way: the publisher, its
//! server, the link, the subscriber's server, the subscriber. Nobody loses its server but by a fault
//! between the two, or its alias at all.

mod excuse;
mod presence;
mod story;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    blow::{Fault, Target},
    log::{At, Line, Publication, What},
};
use excuse::{IDLE, Way};
use presence::Presence;
use story::Stories;
pub(crate) use verdict::Verdict;

/// Something that was struck, from when to when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Struck {
    pub(crate) target: Target,
    pub(crate) fault: Fault,
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
        let mut excuses = Excuses::default();
        for line in &ordered {
            if let What::Sent(publication) = line.what {
                verdict.published += 1;
                let sent = (line.at, publication);
                self.judge_sent(sent, &presence, &arrived, &mut excuses, &mut verdict);
            }
        }
        self.judge_stories(Stories::read(&ordered), &mut excuses, &mut verdict);
        verdict.missing = (0..self.clients)
            .filter(|&client| presence.server_at(client, self.until).is_none())
            .collect();
        verdict
    }

    fn judge_sent(
        &self,
        (at, publication): (At, Publication),
        presence: &Presence,
        arrived: &BTreeSet<(u32, Publication)>,
        excuses: &mut Excuses,
        verdict: &mut Verdict,
    ) {
        let (from, end) = (publication.client, at + TRAVEL);
        if end > self.until {
            return;
        }
        let interested =
            (0..self.clients).filter(|&to| to != from && to % self.topics == from % self.topics);
        for to in interested {
            let met = arrived.contains(&(to, publication));
            let stays = |client| presence.stays(client, at.saturating_sub(SETTLED), end);
            let (Some(source), Some(target)) = (stays(from), stays(to)) else {
                continue;
            };
            let servers = [source, target].map(|alias| self.servers.get(&alias).copied());
            let [Some(source), Some(target)] = servers else {
                continue;
            };
            let way = Way {
                servers: [source, target],
                crowds: [from, to].map(|client| self.crowd_of(client)),
            };
            let whole = at >= self.whole_from;
            let touched = !whole && excuses.touch(way, &self.struck, (at, end));
            match (met, touched) {
                (false, true) => verdict.excused += 1,
                (true, true) => {}
                (met, false) => {
                    verdict.judged += 1;
                    verdict.judged_whole += u64::from(whole);
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

    fn judge_stories(&self, stories: Stories, excuses: &mut Excuses, verdict: &mut Verdict) {
        for &(client, alias, at) in &stories.departures {
            verdict.departed += 1;
            let Some(&server) = self.servers.get(&alias) else {
                continue;
            };
            let way = Way::of_client(self.crowd_of(client), server);
            if !excuses.touch(way, &self.struck, (at, at)) {
                verdict.departed_unasked += 1;
                verdict.note(format_args!(
                    "client {client} lost server {server} at {:.3} s",
                    at.as_secs_f64()
                ));
            }
        }
        verdict.unreturned = stories.unreturned();
        verdict.returns = stories.returns;
        verdict.resumed = stories.resumed;
        verdict.renamed = stories.renamed;
    }

    fn crowd_of(&self, client: u32) -> usize {
        usize::try_from(client / self.clients_of_crowd).unwrap_or_default()
    }
}

/// The times in which something may be missed, for each way: there are few ways and many packets.
#[derive(Debug, Default)]
struct Excuses(BTreeMap<Way, Vec<(At, At)>>);

impl Excuses {
    /// Whether a fault may have cost something on a way in this time.
    fn touch(&mut self, way: Way, struck: &[Struck], (from, until): (At, At)) -> bool {
        let windows = self.0.entry(way).or_insert_with(|| way.excuses(struck));
        let mut windows = windows.iter();
        windows.any(|&(begins, ends)| begins <= until && ends >= from)
    }
}

/// A subscription has reached all servers, and what was published has arrived.
pub(crate) const SETTLED: Duration = Duration::from_secs(3);
/// Longest way through a cluster on a loaded machine.
pub(crate) const TRAVEL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
