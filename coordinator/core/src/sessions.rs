//! Sessions come, and come back, and go.

use std::time::Instant;

use bytes::Bytes;
use proto::{
    Message, MessageType, PeerGoneMessage, Reason, ReplacedMessage, Role, WelcomeMessage, frame,
};
use rand::RngExt as _;

use crate::{Alias, Coordinator, Output, Resume, SessionId, registry::Session, signal::is_server};

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
    pub(crate) fn open(
        &mut self,
        now: Instant,
        id: SessionId,
        role: Role,
        ours: bool,
        resume: Option<Resume>,
    ) {
        if self.registry.session(id).is_some() {
            debug_assert!(false, "session {id:?} opened twice");
            return;
        }
        let resume = resume.map(|resume| (resume, self.claim(resume, role)));
        let before = match resume {
            Some((_, Claim::Held(before))) => Some(before),
            _ => None,
        };
        if before.is_none() && !self.has_room(role) {
            return self.refuse(id);
        }
        let kept = resume.and_then(|(resume, claim)| self.settle(&claim).then_some(resume));
        let mut session = Session::new(now, id, kept.unwrap_or_else(|| self.fresh()), role, ours);
        if let Some(before) = before.and_then(|before| self.replace(before)) {
            session.succeed(before);
        }
        let (alias, welcomed) = (session.alias, ours.then(|| session.resume()));
        self.registry.insert(session);
        if is_server(role) {
            self.welcome_server(id, alias, welcomed);
        } else {
            self.welcome_client(id, alias, welcomed);
        }
    }

    pub(crate) fn close(&mut self, id: SessionId) {
        self.waiting.remove(id);
        if let Some(session) = self.registry.remove(id)
            && !self.shutting_down
        {
            if session.is_server() {
                self.announce_servers();
            } else {
                self.tell_contacts(&session);
            }
        }
        if self.registry.servers_count() == 0 {
            self.waiting.pause();
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

    fn has_room(&self, role: Role) -> bool {
        if is_server(role) {
            self.registry.servers_count() < self.limits.servers_max
        } else {
            self.registry.clients_count() < self.limits.clients_max
        }
    }

    fn refuse(&mut self, session: SessionId) {
        self.stats.refused += 1;
        let reason = Reason::Overloaded;
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

    fn welcome_server(&mut self, id: SessionId, alias: Alias, resume: Option<Resume>) {
        let others = self.registry.servers().map(|server| server.alias);
        let others: Vec<Alias> = others.filter(|&other| other != alias).collect();
        self.welcome(id, alias, resume, &others);
        // One that took its own place changes nothing for the others.
        if !self.announce_servers() && resume.is_some() {
            self.send_others(id, alias);
        }
    }

    fn welcome_client(&mut self, id: SessionId, alias: Alias, resume: Option<Resume>) {
        let servers = self.select_servers();
        self.welcome(id, alias, resume, &servers);
        if resume.is_some() && servers.is_empty() {
            self.waiting.push(id);
        }
    }

    /// `resume` is there for sessions of ours.
    fn welcome(
        &mut self,
        session: SessionId,
        alias: Alias,
        resume: Option<Resume>,
        servers: &[Alias],
    ) {
        let capabilities = resume.map(|_| frame::capabilities(false));
        let welcome = WelcomeMessage {
            r#type: MessageType::Welcome.into(),
            alias: alias.number(),
            available_servers: servers.iter().map(|server| server.number()).collect(),
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
