//! The authenticators of the commservers' shells, and the proofs between servers.

use bytes::Bytes;
use commserver_core::{Identity, Input, Pair, PeerId};
use proto::{Role, filter::Grants};

use super::{
    credentials::{self, Fingerprints, Side as Prover},
    event::Event,
    node::{EngineKey, Life},
    plan::Fault,
    sabotage::Sabotage,
    world::World,
};

/// What an authenticator was asked about a peer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) role: Role,
    pub(super) body: Bytes,
    pub(super) pair: Pair,
}

impl World {
    /// A broker asks who somebody is: it takes a while to find out.
    pub(super) fn ask(&mut self, life: Life, peer: PeerId, asked: Asked) {
        let Some(host) = self.living_server(life) else {
            return;
        };
        host.asked.insert(peer, asked);
        let Some(&engine) = host.engines.get(&peer) else {
            return;
        };
        let slow = self.plan.has(Fault::SlowVerdicts) && !self.is_work_over();
        let slowest = match self.net.dice.below(10) {
            0..3 if slow => 15_000,
            0 => 1_000,
            _ => 20,
        };
        let wait = self.net.dice.millis(0, slowest);
        self.net.after(wait, Event::Verdict(life, peer, engine));
    }

    /// The authenticator's verdict on a peer.
    pub(super) fn verdict(&mut self, life: Life, peer: PeerId, engine: EngineKey) {
        let Some(host) = self.living_server(life) else {
            return;
        };
        let Some(Asked { role, body, pair }) = host.asked.remove(&peer) else {
            return;
        };
        let Some(prints) = self.fingerprints(engine) else {
            return;
        };
        let result = credentials::judge(role, &body, pair, prints);
        let found = result.as_ref().ok().cloned();
        let mut result = if self.strikes(Sabotage::BelieveEverybody, 100) {
            result.or_else(|_| Ok(Identity::everything(Bytes::new())))
        } else {
            result
        };
        if let Some(remote) = self.net.engines[engine.0].remote {
            // Whoever is no server is no client either when it is let in as a server.
            self.checkers
                .judged(remote, found.filter(|_| role == Role::Client));
        }
        if let Ok(found) = &mut result
            && self.strikes(Sabotage::ForgetGrants, 100)
        {
            found.grants = Grants::ALL;
        }
        let proof = match role {
            Role::Client => Bytes::new(),
            _ => credentials::proof(Prover::Acceptor, pair, prints),
        };
        let authenticated = Input::Authenticated {
            peer,
            result,
            proof,
        };
        self.feed_server(life, authenticated);
    }

    /// The body of a server's AUTH.
    pub(super) fn prove(&mut self, life: Life, peer: PeerId, pair: Pair) -> Option<Input> {
        let engine = *self.living_server(life)?.engines.get(&peer)?;
        let body = credentials::proof(Prover::Dialer, pair, self.fingerprints(engine)?);
        Some(Input::Proof { peer, body })
    }

    /// Whether the proof in a server's READY is one.
    pub(super) fn verify(
        &mut self,
        life: Life,
        peer: PeerId,
        proof: &Bytes,
        pair: Pair,
    ) -> Option<Input> {
        let engine = *self.living_server(life)?.engines.get(&peer)?;
        let prints = self.fingerprints(engine)?;
        let valid = *proof == credentials::proof(Prover::Acceptor, pair, prints);
        Some(Input::ProofVerified { peer, valid })
    }

    /// The fingerprints that both sides of a joined pair have seen.
    fn fingerprints(&self, key: EngineKey) -> Option<Fingerprints> {
        let engine = &self.net.engines[key.0];
        let ours = credentials::fingerprint(engine.life);
        let theirs = credentials::fingerprint(self.net.engines[engine.remote?.0].life);
        Some(if engine.is_acceptor() {
            Fingerprints {
                dialer: theirs,
                acceptor: ours,
            }
        } else {
            Fingerprints {
                dialer: ours,
                acceptor: theirs,
            }
        })
    }
}
