//! The full ICE agent (RFC 8445) around `is`: makes connectivity checks and keeps consent fresh.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol};

use super::{Path, Proven};
use crate::Transmit;
use crate::stun::Sha1;

#[derive(Debug)]
pub(crate) struct Full {
    agent: IceAgent,
    local_addrs: Vec<SocketAddr>,
    /// Addresses of ours that datagrams really came to, beside the candidate that stands for
    /// them, where the two differ (a server behind a 1:1 NAT advertises its outer address).
    inner: Vec<(SocketAddr, SocketAddr)>,
    remote_candidates: usize,
    proven: Proven,
    sources: usize,
    selected: Option<Selected>,
    deadline: Option<Instant>,
    /// The deadline counts what was to be sent, which has been taken since.
    deadline_stale: bool,
}

#[derive(Clone, Copy, Debug)]
struct Selected {
    path: Path,
    heard: Instant,
}

impl Full {
    pub(crate) fn new(credentials: IceCreds, tie_breaker: u64, local_addrs: &[SocketAddr]) -> Self {
        let mut agent = IceAgent::with_hmac(credentials, &Sha1);
        agent.set_control_tie_breaker(tie_breaker);
        agent.set_max_candidate_pairs(CANDIDATE_PAIRS_MAX);
        for addr in local_addrs {
            if let Ok(candidate) = Candidate::host(*addr, Protocol::Udp) {
                agent.add_local_candidate(candidate);
            }
        }
        Self {
            agent,
            local_addrs: local_addrs.to_vec(),
            inner: Vec::new(),
            remote_candidates: 0,
            proven: Proven::default(),
            sources: 0,
            selected: None,
            deadline: None,
            deadline_stale: false,
        }
    }

    pub(crate) fn credentials(&self) -> &IceCreds {
        self.agent.local_credentials()
    }

    pub(crate) fn set_controlling(&mut self, controlling: bool) {
        self.agent.set_controlling(controlling);
    }

    pub(crate) fn set_remote(&mut self, now: Instant, credentials: IceCreds) {
        self.agent.set_remote_credentials(credentials);
        self.deadline = Some(now);
    }

    /// A candidate of the other side; `false` when it is not used.
    pub(crate) fn add_remote_candidate(&mut self, now: Instant, line: &str) -> bool {
        // A name under .local (RFC 8828) is not an address: such a host is known by its checks.
        let Ok(candidate) = Candidate::from_sdp_string(line) else {
            return false;
        };
        if candidate.proto() != Protocol::Udp || self.remote_candidates >= REMOTE_CANDIDATES_MAX {
            return false;
        }
        self.remote_candidates += 1;
        self.agent.add_remote_candidate(candidate);
        self.deadline = Some(now);
        true
    }

    pub(crate) fn accepts(&self, message: &StunMessage<'_>) -> bool {
        self.agent.accepts_message(message)
    }

    /// Takes a check or the response to one; `false` when it is not valid.
    pub(crate) fn handle(&mut self, now: Instant, path: Path, message: StunMessage<'_>) -> bool {
        // The agent remembers every address that ever checked: bound it.
        if !self.proven.contains(path) && self.sources >= SOURCES_MAX {
            return false;
        }
        let packet = StunPacket {
            proto: Protocol::Udp,
            source: path.remote,
            destination: self.candidate_of(path.local),
            message,
        };
        if !self.agent.handle_packet(now, packet) {
            return false;
        }
        if !self.proven.contains(path) {
            self.sources += 1;
            self.proven.insert(path);
        }
        self.handle_timeout(now);
        self.heard(now, path);
        true
    }

    /// Something authenticated came along the path. The agent nominates among the pairs that it
    /// knows by priority; a NAT that gives the other side another address it would not follow
    /// until the old pair fails, so that is done here.
    pub(crate) fn heard(&mut self, now: Instant, path: Path) {
        let Some(selected) = &mut self.selected else {
            return;
        };
        let silence = now.saturating_duration_since(selected.heard);
        if selected.path == path || silence >= SILENCE_BEFORE_REBIND {
            *selected = Selected { path, heard: now };
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        while let Some(event) = self.agent.poll_event() {
            if let IceAgentEvent::NominatedSend {
                source,
                destination,
                ..
            } = event
            {
                let path = Path {
                    local: self.inner_of(source),
                    remote: destination,
                };
                self.selected = Some(Selected { path, heard: now });
            }
        }
        self.deadline = self.agent.poll_timeout();
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn proven(&self) -> &Proven {
        &self.proven
    }

    pub(crate) fn is_proven(&self, path: Path) -> bool {
        self.selected() == Some(path) || self.proven.contains(path)
    }

    pub(crate) fn selected(&self) -> Option<Path> {
        self.selected.map(|selected| selected.path)
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        let Some(transmit) = self.agent.poll_transmit() else {
            if std::mem::take(&mut self.deadline_stale) {
                self.deadline = self.agent.poll_timeout();
            }
            return None;
        };
        self.deadline_stale = true;
        Some(Transmit {
            local: self.inner_of(transmit.source),
            remote: transmit.destination,
            bytes: transmit.contents.into(),
        })
    }

    fn candidate_of(&mut self, local: SocketAddr) -> SocketAddr {
        if self.local_addrs.contains(&local) {
            return local;
        }
        if let Some((candidate, _)) = self.inner.iter().find(|(_, inner)| *inner == local) {
            return *candidate;
        }
        let known = &self.inner;
        let candidate = self.local_addrs.iter().find(|addr| {
            addr.is_ipv4() == local.is_ipv4()
                && !known.iter().any(|(candidate, _)| candidate == *addr)
        });
        match candidate {
            Some(candidate) => {
                self.inner.push((*candidate, local));
                *candidate
            }
            None => local,
        }
    }

    fn inner_of(&self, candidate: SocketAddr) -> SocketAddr {
        self.inner
            .iter()
            .find(|(outer, _)| *outer == candidate)
            .map_or(candidate, |(_, inner)| *inner)
    }
}

/// Candidates that the other side may name.
const REMOTE_CANDIDATES_MAX: usize = 32;
/// Pairs of candidates to check.
const CANDIDATE_PAIRS_MAX: usize = 64;
/// More than the pause between two consent checks, 3 s, so that one which is lost changes nothing
/// while there are others.
const SILENCE_BEFORE_REBIND: Duration = Duration::from_secs(5);
/// Addresses from which valid checks are taken over the life of a peer.
const SOURCES_MAX: usize = 256;
