//! Sessions come, and come back, and go.

use std::time::Instant;

use bytes::Bytes;
use proto::{
    Message, MessageType, PeerGoneMessage, Reason, ReplacedMessage, Role, WelcomeMessage, frame,
};
use rand::RngExt as _;

use crate::{
    Alias, Coordinator, Output, Resume, SessionId,
    registry::{Newcomer, Session},
    signal::is_server,
    topology::is_hub,
};

/// What becomes of something to be taken up.
enum Claim {
    /// Nobody has the alias.
    Free,
    /// The owner's own session still has it.
    Held(SessionId),
    /// Somebody else has it.
    InUse,
    /// It is none of a coordinator's.
    Absurd,
}

impl Coordinator {
    pub(crate) fn open(&mut self, now: Instant, id: SessionId, newcomer: Newcomer) {
        if self.registry.session(id).is_some() {
            debug_assert!(false, "session {id:?} opened twice");
            return;
        }
        if self.shuts_out(now, &newcomer) {
            return self.refuse(id, Reason::Revoked);
        }
        let (role, ours) = (newcomer.role, newcomer.ours);
        let resume = newcomer.resume;
        let resume = resume.map(|resume| (resume, self.claim(resume, role)));
        let before = match resume {
            Some((_, Claim::Held(before))) => Some(before),
            _ => None,
        };
        if before.is_none()
            && let Err(reason) = self.admit(role)
        {
            return self.refuse(id, reason);
        }
        let kept = resume.and_then(|(resume, claim)| self.settle(&claim).then_some(resume));
        let resume = kept.unwrap_or_else(|| self.fresh());
        let mut session = Session::new(now, id, resume, newcomer);
        if let Some(before) = before.and_then(|before| self.replace(before)) {
            session.succeed(before);
        }
        session.client.is_back = kept.is_some();
        let (alias, welcomed) = (session.alias, ours.then(|| session.resume()));
        self.registry.insert(session);
        if is_server(role) {
            self.welcome_server(id, alias, role, welcomed);
            if ours {
                self.send_revocations(now, id);
            }
        } else {
            self.welcome_client(now, id, alias, welcomed);
        }
    }

    pub(crate) fn close(&mut self, id: SessionId) {
        self.waiting.remove(id);
        let Some(session) = self.registry.remove(id) else {
            return;
        };
        self.registry.leave(session.client.place);
        if self.shutting_down {
            return;
        }
        if session.is_server() {
            self.servers_changed();
        } else {
            self.tell_contacts(&session);
        }
    }

    /// The servers that a client contacted are to look whether its peer is still there.
    fn tell_contacts(&mut self, client: &Session) {
        let gone = PeerGoneMessage {
            r#type: MessageType::PeerGone.into(),
            alias: client.alias.number(),
        };
        let bytes: Bytes = gone.encode_to_vec().into();
        for contact in client.contacts() {
            let server = self.registry.by_alias(contact);
            let server = server.filter(|server| server.is_server() && server.ours);
            if let Some(session) = server.map(|server| server.id) {
                self.stats.peers_gone += 1;
                self.send(session, bytes.clone());
            }
        }
    }

    fn claim(&mut self, resume: Resume, role: Role) -> Claim {
        if !self.aliases.take_up(resume.alias) {
            return Claim::Absurd;
        }
        match self.registry.by_alias(resume.alias) {
            None => Claim::Free,
            Some(live) if live.series == resume.series && live.role == role => Claim::Held(live.id),
            Some(_) => Claim::InUse,
        }
    }

    /// Counts what became of a claim; whether the alias is kept.
    const fn settle(&mut self, claim: &Claim) -> bool {
        let resumes = &mut self.stats.resumes;
        match claim {
            Claim::Free => resumes.kept += 1,
            Claim::Held(_) => resumes.replaced += 1,
            Claim::InUse => resumes.in_use += 1,
            Claim::Absurd => resumes.absurd += 1,
        }
        matches!(claim, Claim::Free | Claim::Held(_))
    }

    fn fresh(&mut self) -> Resume {
        Resume {
            alias: self.aliases.allocate(),
            series: self.rng.random(),
        }
    }

    /// Whether there is room for another session of this role.
    fn admit(&self, role: Role) -> Result<(), Reason> {
        let full = if is_server(role) {
            self.registry.servers_count() >= self.limits.servers_max
        } else {
            self.registry.clients_count() >= self.limits.clients_max
        };
        let mut servers = self.registry.servers();
        if full {
            Err(Reason::Overloaded)
        } else if is_hub(role)
            && self.topology.has_one_hub()
            && servers.any(|server| is_hub(server.role))
        {
            Err(Reason::HubTaken)
        } else {
            Ok(())
        }
    }

    fn refuse(&mut self, session: SessionId, reason: Reason) {
        self.stats.refused += 1;
        self.outputs.push_back(Output::Close { session, reason });
    }

    /// Ends the session `id` in favour of its owner's new one.
    fn replace(&mut self, id: SessionId) -> Option<Session> {
        let before = self.registry.remove(id)?;
        self.waiting.remove(id);
        let replaced = ReplacedMessage {
            r#type: MessageType::Replaced.into(),
        };
        self.send(id, replaced.encode_to_vec().into());
        let reason = Reason::Replaced;
        self.outputs.push_back(Output::Close {
            session: id,
            reason,
        });
        Some(before)
    }

    fn welcome_server(&mut self, id: SessionId, alias: Alias, role: Role, resume: Option<Resume>) {
        self.servers_changed();
        let others = self.others_of(alias, role).map(|entry| entry.alias);
        let others = others.map(Alias::from_wire).collect();
        self.welcome(id, alias, resume, others);
        if resume.is_some() {
            self.send_others(id);
        }
    }

    fn welcome_client(
        &mut self,
        now: Instant,
        id: SessionId,
        alias: Alias,
        resume: Option<Resume>,
    ) {
        let servers = self.select_servers(now, id);
        if resume.is_some() && servers.is_empty() {
            self.waiting.push(id);
        }
        self.welcome(id, alias, resume, servers);
    }

    /// `resume` is there for sessions of ours.
    fn welcome(
        &mut self,
        session: SessionId,
        alias: Alias,
        resume: Option<Resume>,
        servers: Vec<Alias>,
    ) {
        let capabilities = resume.map(|_| frame::capabilities(false));
        let welcome = WelcomeMessage {
            r#type: MessageType::Welcome.into(),
            alias: alias.number(),
            available_servers: servers.into_iter().map(Alias::number).collect(),
            capabilities: capabilities.unwrap_or_default(),
            resume_token: String::new(),
        };
        self.stats.welcomes += 1;
        self.outputs.push_back(Output::Welcome {
            session,
            welcome,
            resume,
        });
    }
}
