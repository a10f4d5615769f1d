//! A coordinator, its sessions, and what each of them has been sent.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::*;
use crate::{lists::ANNOUNCE_INTERVAL, registry::Newcomer};

pub(super) struct Cast {
    pub(super) coordinator: Coordinator,
    pub(super) now: Instant,
    inboxes: BTreeMap<SessionId, Vec<Bytes>>,
    /// What each session may take up later.
    resumes: BTreeMap<SessionId, Resume>,
    pub(super) closed: BTreeMap<SessionId, Reason>,
    next: u64,
}

impl Cast {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            started: Duration::from_secs(1_000),
            seed: 7,
            ..Config::default()
        };
        change(&mut config);
        Self {
            coordinator: Coordinator::new(config),
            now: Instant::now(),
            inboxes: BTreeMap::new(),
            resumes: BTreeMap::new(),
            closed: BTreeMap::new(),
            next: 1,
        }
    }

    /// Hands in `input`, checks the state, and distributes what comes out.
    pub(super) fn input(&mut self, input: Input) {
        self.coordinator.handle_input(self.now, input);
        self.coordinator.check_invariants();
        let mut last_words = Vec::new();
        while let Some(output) = self.coordinator.poll_output() {
            match output {
                Output::Welcome {
                    session,
                    welcome,
                    resume,
                } => {
                    self.resumes.extend(resume.map(|resume| (session, resume)));
                    self.inbox(session).push(welcome.encode_to_vec().into());
                }
                Output::Send { session, bytes } => {
                    assert_eq!(self.closed.get(&session), None, "sent to after its end");
                    if self.coordinator.registry.session(session).is_none() {
                        last_words.push(session);
                    }
                    self.inbox(session).push(bytes);
                }
                Output::Close { session, reason } => {
                    assert_eq!(self.closed.insert(session, reason), None, "closed twice");
                }
            }
        }
        for session in last_words {
            assert!(self.closed.contains_key(&session), "sent to after its end");
        }
    }

    fn inbox(&mut self, session: SessionId) -> &mut Vec<Bytes> {
        self.inboxes.entry(session).or_default()
    }

    pub(super) fn open(&mut self, role: Role, ours: bool) -> SessionId {
        self.open_with(role, ours, None)
    }

    pub(super) fn open_with(
        &mut self,
        role: Role,
        ours: bool,
        resume: Option<Resume>,
    ) -> SessionId {
        self.arrive(Newcomer {
            resume,
            ..nobody(role, ours)
        })
    }

    pub(super) fn arrive(&mut self, newcomer: Newcomer) -> SessionId {
        let session = SessionId(self.next);
        self.next += 1;
        self.input(Input::SessionOpened {
            session,
            role: newcomer.role,
            ours: newcomer.ours,
            identity: newcomer.identity,
            token_id: newcomer.token_id,
            resume: newcomer.resume,
            region: newcomer.region,
        });
        session
    }

    /// Opens a session of ours in a region, and reads its WELCOME.
    pub(super) fn join_in(&mut self, region: &str, role: Role) -> (SessionId, WelcomeMessage) {
        let session = self.arrive(Newcomer {
            region: Region::parse(region),
            ..nobody(role, true)
        });
        let welcome = self.received::<WelcomeMessage>(session);
        (session, welcome)
    }

    /// Opens a session that takes up what `before` had, and reads its WELCOME.
    pub(super) fn come_back(&mut self, role: Role, before: Resume) -> (SessionId, WelcomeMessage) {
        let session = self.open_with(role, true, Some(before));
        let welcome = self.received::<WelcomeMessage>(session);
        (session, welcome)
    }

    /// For how many clients and servers there is room.
    pub(super) const fn room(&self) -> [usize; 2] {
        let limits = &self.coordinator.limits;
        [limits.clients_max, limits.servers_max]
    }

    /// What `session` may take up.
    pub(super) fn resume(&self, session: SessionId) -> Resume {
        self.resumes[&session]
    }

    /// Opens a session, and reads its WELCOME.
    pub(super) fn join(&mut self, role: Role, ours: bool) -> (SessionId, WelcomeMessage) {
        let session = self.open(role, ours);
        let welcome = self.received::<WelcomeMessage>(session);
        assert_eq!(welcome.r#type(), MessageType::Welcome);
        (session, welcome)
    }

    pub(super) fn client(&mut self) -> (SessionId, u64) {
        let (session, welcome) = self.join(Role::Client, true);
        (session, welcome.alias)
    }

    /// A server of ours, with everything that its arrival set off already read by all.
    pub(super) fn server(&mut self) -> (SessionId, u64) {
        let (session, welcome) = self.join(Role::CommunicationServer, true);
        self.settle();
        (session, welcome.alias)
    }

    /// Every announcement has gone, and everybody has read everything.
    pub(super) fn settle(&mut self) {
        self.settle_quietly();
        self.forget();
    }

    /// Every announcement has gone: the next one goes at once.
    pub(super) fn settle_quietly(&mut self) {
        self.pass(ANNOUNCE_INTERVAL);
        self.pass(ANNOUNCE_INTERVAL);
    }

    /// The server says how it is doing.
    pub(super) fn load(&mut self, server: SessionId, state: ServerState, peers: [u32; 2]) {
        let [peers, peers_max] = peers;
        let load = LoadMessage {
            r#type: MessageType::Load.into(),
            state: state.into(),
            peers,
            peers_max,
            ..Default::default()
        };
        self.signal(server, &load);
    }

    /// The servers that a client is told of that comes now, and goes again.
    pub(super) fn offered(&mut self) -> Vec<u64> {
        let (client, welcome) = self.join(Role::Client, false);
        self.close(client);
        welcome.available_servers
    }

    pub(super) fn close(&mut self, session: SessionId) {
        self.input(Input::SessionClosed { session });
    }

    pub(super) fn signal(&mut self, session: SessionId, message: &impl Message) {
        self.bytes(session, message.encode_to_vec());
    }

    pub(super) fn bytes(&mut self, session: SessionId, bytes: Vec<u8>) {
        let bytes = bytes.into();
        self.input(Input::Signal { session, bytes });
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Tick);
    }

    /// The oldest signal that `session` has not read.
    pub(super) fn received<M: Message + Default>(&mut self, session: SessionId) -> M {
        M::decode(self.next_bytes(session)).expect("a message")
    }

    pub(super) fn next_bytes(&mut self, session: SessionId) -> Bytes {
        let inbox = self.inboxes.entry(session).or_default();
        assert!(!inbox.is_empty(), "{session:?} has nothing to read");
        inbox.remove(0)
    }

    /// How many signals `session` has not read.
    pub(super) fn unread(&self, session: SessionId) -> usize {
        self.inboxes.get(&session).map_or(0, Vec::len)
    }

    /// Everybody reads everything.
    pub(super) fn forget(&mut self) {
        self.inboxes.clear();
    }

    pub(super) fn dropped(&self) -> Dropped {
        self.coordinator.stats().dropped
    }
}

pub(super) fn connect(to_alias: u64) -> ConnectMessage {
    ConnectMessage {
        r#type: MessageType::Connect.into(),
        to_alias,
        ..Default::default()
    }
}

/// Somebody without a name, who comes for the first time.
pub(super) const fn nobody(role: Role, ours: bool) -> Newcomer {
    Newcomer {
        role,
        ours,
        identity: Bytes::new(),
        token_id: None,
        resume: None,
        region: None,
    }
}
