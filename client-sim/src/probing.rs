//! What a bot knows about who can reach it: probes of every server on every topic that it
//! subscribes to, sent until they have arrived.

use rustc_hash::FxHashSet;

use crate::{
    plan::TopicId,
    tally::{Tally, change},
};

/// Who probes: for each server and topic one client that is there.
#[derive(Debug, Default)]
pub(crate) struct Probes(pub(crate) Vec<Probe>);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    pub(crate) server: u64,
    pub(crate) topic: TopicId,
    pub(crate) client: u32,
}

/// One bot's part.
#[derive(Debug, Default)]
pub(crate) struct Probing {
    awaited: FxHashSet<(TopicId, u64)>,
    seen: FxHashSet<(TopicId, u64)>,
    /// As the tally has it.
    done: bool,
}

impl Probing {
    /// A round begins: what of it is still to come.
    pub(crate) fn expect(
        &mut self,
        probes: &Probes,
        client: u32,
        wanted: impl Iterator<Item = TopicId>,
        tally: &Tally,
    ) {
        let wanted: FxHashSet<TopicId> = wanted.collect();
        let of_others = probes.0.iter().filter(|probe| probe.client != client);
        self.awaited = of_others
            .filter(|probe| wanted.contains(&probe.topic))
            .map(|probe| (probe.topic, probe.server))
            .filter(|from| !self.seen.contains(from))
            .collect();
        self.tell(self.awaited.is_empty(), tally);
    }

    /// A probe arrived.
    pub(crate) fn receive(&mut self, topic: TopicId, server: u64, tally: &Tally) {
        let from = (topic, server);
        self.seen.insert(from);
        if self.awaited.remove(&from) {
            self.tell(self.awaited.is_empty(), tally);
        }
    }

    /// The bot has no server any more: with the next one it begins anew.
    pub(crate) fn forget(&mut self, tally: &Tally) {
        self.seen.clear();
        self.awaited.clear();
        self.tell(false, tally);
    }

    fn tell(&mut self, done: bool, tally: &Tally) {
        if done != self.done {
            self.done = done;
            change(&tally.probed, done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, plan::Plan};
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn done_when_all_but_ones_own_have_come() {
        let tally = Tally::new(&Plan::new(&Options::default(), 1), 1, false);
        let probe = |server, topic, client| Probe {
            server,
            topic,
            client,
        };
        let probes = Probes(vec![
            probe(7, 0, 1),
            probe(8, 0, 2),
            probe(7, 1, 2),
            probe(8, 9, 2),
        ]);
        let mut probing = Probing::default();
        let expect = |probing: &mut Probing| {
            probing.expect(&probes, 1, [0, 1].into_iter(), &tally);
        };
        expect(&mut probing);
        probing.receive(0, 8, &tally);
        probing.receive(9, 8, &tally);
        assert_eq!(tally.probed.load(Relaxed), 0);
        // Another round does not forget what has come.
        expect(&mut probing);
        probing.receive(1, 7, &tally);
        probing.receive(1, 7, &tally);
        assert_eq!(tally.probed.load(Relaxed), 1);
        probing.forget(&tally);
        assert_eq!(tally.probed.load(Relaxed), 0);
        expect(&mut probing);
        assert_eq!(tally.probed.load(Relaxed), 0);
    }
}
