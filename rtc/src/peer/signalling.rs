//! Offer and answer (RFC 8829, for one data-channel section), and candidates that trickle.

use super::layers::{Layers, Remote};
use super::{CloseReason, Output};
use crate::sdp::{self, Description, Setup};
use crate::{Config, DtlsRole, Fingerprint, Role, Signal, SignalKind};

/// What this side describes itself with, and what has been exchanged.
#[derive(Debug)]
pub(super) struct Signalling {
    role: Role,
    dtls: DtlsRole,
    fingerprint: Fingerprint,
    message_bytes_max: u32,
    candidates: Vec<String>,
    session_id: u64,
    described: bool,
    /// Candidates that came before the description.
    early: Vec<String>,
}

impl Signalling {
    pub(super) fn new(config: &Config) -> Self {
        let addrs = config.local_addrs.iter().enumerate();
        Self {
            role: config.role,
            dtls: config.dtls,
            fingerprint: config.certificate.fingerprint(),
            message_bytes_max: config.message_bytes_max,
            candidates: addrs
                .map(|(index, addr)| sdp::host_candidate(*addr, index))
                .collect(),
            session_id: config.seed,
            described: false,
            early: Vec::new(),
        }
    }

    /// The acceptor makes its offer.
    pub(super) fn start(&mut self, layers: &mut Layers) {
        if self.role == Role::Dialer {
            return;
        }
        let setup = match self.dtls {
            DtlsRole::Auto => Setup::ActPass,
            DtlsRole::Active => Setup::Active,
            DtlsRole::Passive => Setup::Passive,
        };
        self.describe(layers, SignalKind::Offer, setup, "0");
    }

    pub(super) fn handle(&mut self, layers: &mut Layers, signal: &Signal) {
        match (signal.kind, self.role) {
            (SignalKind::Candidate, _) => self.handle_candidate(layers, signal),
            (SignalKind::Offer, Role::Dialer) | (SignalKind::Answer, Role::Acceptor { .. })
                if !self.described =>
            {
                let description = signal.sdp().map(|sdp| Description::parse(&sdp));
                let Some(Ok(description)) = description else {
                    tracing::debug!(?description, "description refused");
                    layers.end(CloseReason::BadDescription);
                    return;
                };
                self.handle_description(layers, &description);
            }
            _ => layers.stats_mut().dropped_signals += 1,
        }
    }

    fn handle_description(&mut self, layers: &mut Layers, theirs: &Description) {
        let Some(active) = self.choose_active(theirs) else {
            tracing::debug!("DTLS roles do not meet, or both sides are ICE-lite");
            layers.end(CloseReason::BadDescription);
            return;
        };
        self.described = true;
        if self.role == Role::Dialer {
            let setup = if active {
                Setup::Active
            } else {
                Setup::Passive
            };
            self.describe(layers, SignalKind::Answer, setup, &theirs.mid);
        }
        layers.describe(Remote {
            ufrag: theirs.ice_ufrag.clone(),
            password: theirs.ice_password.clone(),
            fingerprint: theirs.fingerprint,
            message_bytes_max: theirs.message_bytes_max.unwrap_or(u32::MAX),
            controls: match self.role {
                Role::Acceptor { .. } => false,
                Role::Dialer => !theirs.ice_lite,
            },
            dtls_active: !active,
        });
        let early = std::mem::take(&mut self.early);
        for candidate in theirs.candidates.iter().chain(&early) {
            layers.add_remote_candidate(candidate);
        }
    }

    /// Whether this side sends the ClientHello; `None` when the roles cannot meet.
    fn choose_active(&self, theirs: &Description) -> Option<bool> {
        match self.role {
            Role::Acceptor { ice_lite: true } if theirs.ice_lite => None,
            // What an answer leaves open, or leaves out, is that it is the active side.
            Role::Acceptor { .. } => match (theirs.setup, self.dtls) {
                (Setup::Passive, DtlsRole::Passive) | (Setup::Active, DtlsRole::Active) => None,
                (Setup::Passive, _) => Some(true),
                (Setup::Active, _) => Some(false),
                (Setup::ActPass, dtls) => Some(dtls == DtlsRole::Active),
            },
            Role::Dialer => match (theirs.setup, self.dtls) {
                (Setup::ActPass, dtls) => Some(dtls != DtlsRole::Passive),
                (Setup::Passive, DtlsRole::Passive) | (Setup::Active, DtlsRole::Active) => None,
                (Setup::Passive, _) => Some(true),
                (Setup::Active, _) => Some(false),
            },
        }
    }

    fn handle_candidate(&mut self, layers: &mut Layers, signal: &Signal) {
        let Some(candidate) = signal.candidate() else {
            layers.stats_mut().dropped_signals += 1;
            return;
        };
        // The empty one says that there are no more.
        if candidate.is_empty() {
            return;
        }
        if self.described {
            layers.add_remote_candidate(&candidate);
        } else if self.early.len() < EARLY_CANDIDATES_MAX && candidate.len() <= CANDIDATE_BYTES_MAX
        {
            self.early.push(candidate);
        } else {
            layers.stats_mut().dropped_early += 1;
        }
    }

    fn describe(&self, layers: &mut Layers, kind: SignalKind, setup: Setup, mid: &str) {
        let (ice_ufrag, ice_password) = layers.credentials();
        let description = Description {
            mid: mid.to_owned(),
            ice_lite: matches!(self.role, Role::Acceptor { ice_lite: true }),
            ice_ufrag,
            ice_password,
            fingerprint: self.fingerprint,
            setup,
            message_bytes_max: Some(self.message_bytes_max),
            candidates: self.candidates.clone(),
        };
        let sdp = description.write(self.session_id);
        layers.push(Output::Signal(Signal::description(kind, &sdp)));
    }
}

/// Candidates held until the description comes.
const EARLY_CANDIDATES_MAX: usize = 32;
/// A candidate line with every extension is below 300 bytes.
const CANDIDATE_BYTES_MAX: usize = 512;
