//! The coordinator's shell: accepts sockets, carries signals, dies and comes back.

use std::{collections::BTreeMap, time::Duration};

use coordinator_core::{Config, Coordinator, Input, Output, Region, SessionId};
use proto::{Message as _, Role};

use super::{
    clock::At,
    credentials,
    event::Event,
    node::{Life, Node, SocketKey},
    sabotage::Sabotage,
    sockets::Side,
    world::World,
};

/// The coordinator, while there is one.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) core: Option<Coordinator>,
    run: u32,
    sessions: BTreeMap<SessionId, SocketKey>,
    opened: u64,
    wake: Option<At>,
}

impl Host {
    pub(super) const fn life(&self) -> Life {
        Life {
            node: Node::Coordinator,
            run: self.run,
        }
    }
}

impl World {
    /// A fresh one, which knows nobody.
    pub(super) fn start_coordinator(&mut self) {
        let host = &mut self.coordinator;
        host.run += 1;
        host.sessions.clear();
        host.wake = None;
        self.net.thaw(Node::Coordinator);
        host.core = Some(Coordinator::new(Config {
            // Later than at any start before: no two are within a second in a run.
            started: Duration::from_secs(1_000 + self.net.now().as_secs() + u64::from(host.run)),
            seed: self.plan.seed ^ u64::from(host.run),
            selector: self.plan.selector,
            topology: self.plan.topology,
            ..Config::default()
        }));
        self.net.say(Node::Coordinator, "starts");
    }

    /// It dies: every socket breaks.
    pub(super) fn stop_coordinator(&mut self, notice_max_ms: u64) {
        self.count_coordinator();
        let host = &mut self.coordinator;
        if host.core.take().is_none() {
            return;
        }
        let sockets = std::mem::take(&mut host.sessions);
        self.net.say(Node::Coordinator, "dies");
        for socket in sockets.into_values() {
            self.net.close_end(socket, Side::Coordinator);
            self.net.break_socket(socket, [notice_max_ms, 1]);
        }
    }

    /// A dial arrives.
    pub(super) fn take_dial(&mut self, socket: SocketKey) {
        let life = self.net.sockets[socket.0].life;
        let (role, index) = match life.node {
            Node::Server(index) if self.plan.hub() == Some(index) => {
                (Role::CommunicationServerHub, index)
            }
            Node::Server(index) => (Role::CommunicationServer, index),
            Node::Member(index) => (Role::Client, index),
            Node::Coordinator => return,
        };
        let (us, them) = (life.node, Node::Coordinator);
        let cut = self.net.is_cut(us, them) || self.net.is_cut(them, us);
        let host = &mut self.coordinator;
        let Some(core) = host.core.as_mut().filter(|_| !cut) else {
            // Refused at once, or after a while of silence.
            let wait = if cut { 5_000 } else { 20 };
            return self.net.break_socket(socket, [wait, 1]);
        };
        let given_up = |side| self.net.is_closed(socket, side);
        if given_up(Side::Node) || given_up(Side::Coordinator) {
            // Or it broke meanwhile: nobody would ever say that the session is over.
            return;
        }
        if self.net.strikes(Sabotage::ForgetAliases, 100) {
            self.net.sockets[socket.0].resume = None;
        }
        host.opened += 1;
        let session = SessionId(host.opened);
        host.sessions.insert(session, socket);
        let run = host.run;
        let token = self.net.sockets[socket.0].resume.as_deref();
        let opened = Input::SessionOpened {
            session,
            role,
            ours: true,
            identity: bytes::Bytes::new(),
            token_id: None,
            resume: token.and_then(|token| credentials::resumed(token, life.node)),
            region: Region::parse(["north", "south"][index % 2]),
        };
        core.handle_input(self.net.instant(Node::Coordinator), opened);
        self.net.accept(socket, run);
        self.pump_coordinator();
    }

    /// Something arrives at the coordinator's end.
    pub(super) fn coordinator_hears(&mut self, socket: SocketKey, bytes: Option<bytes::Bytes>) {
        let host = &mut self.coordinator;
        let run = self.net.sockets[socket.0].coordinator_run;
        let found = host.sessions.iter().find(|&(_, &open)| open == socket);
        let Some(session) = found.map(|(&session, _)| session) else {
            return;
        };
        let Some(core) = host.core.as_mut().filter(|_| run == host.run) else {
            return;
        };
        let input = match bytes {
            Some(bytes) => Input::Signal { session, bytes },
            None => {
                host.sessions.remove(&session);
                Input::SessionClosed { session }
            }
        };
        core.handle_input(self.net.instant(Node::Coordinator), input);
        self.pump_coordinator();
    }

    pub(super) fn wake_coordinator(&mut self, life: Life) {
        let due = self.coordinator.wake.is_some_and(|at| at <= self.net.now());
        if self.coordinator.life() == life && due {
            self.tick_coordinator();
        }
    }

    pub(super) fn tick_coordinator(&mut self) {
        self.coordinator.wake = None;
        if let Some(core) = &mut self.coordinator.core {
            core.handle_input(self.net.instant(Node::Coordinator), Input::Tick);
            self.pump_coordinator();
        }
    }

    /// Adds up what it has counted.
    pub(super) fn count_coordinator(&mut self) {
        let Some(core) = &self.coordinator.core else {
            return;
        };
        let stats = *core.stats();
        for (reason, count) in stats.dropped.by_reason() {
            self.reach(format!("coordinator drops {}", reason.label()), count);
        }
        self.reach(
            "coordinator answers that nobody is there".into(),
            stats.errors,
        );
    }

    fn pump_coordinator(&mut self) {
        let life = self.coordinator.life();
        loop {
            let core = self.coordinator.core.as_mut();
            let Some(output) = core.and_then(Coordinator::poll_output) else {
                break;
            };
            if self.dies_midway(Node::Coordinator) {
                return;
            }
            let host = &mut self.coordinator;
            match output {
                Output::Welcome {
                    session,
                    mut welcome,
                    resume,
                } => {
                    let Some(&socket) = host.sessions.get(&session) else {
                        continue;
                    };
                    let node = self.net.sockets[socket.0].life.node;
                    let token = resume.map(|resume| credentials::resume_token(resume, node));
                    welcome.resume_token = token.unwrap_or_default();
                    if let Node::Member(index) = node {
                        self.members[index].resume = welcome.resume_token.clone();
                    }
                    self.net.sockets[socket.0].alias = Some(welcome.alias);
                    let bytes = welcome.encode_to_vec().into();
                    self.net.send_signal(socket, Side::Coordinator, bytes);
                }
                Output::Send { session, bytes } => {
                    if let Some(&socket) = host.sessions.get(&session) {
                        self.net.send_signal(socket, Side::Coordinator, bytes);
                    }
                }
                Output::Close { session, reason } => {
                    if let Some(socket) = host.sessions.remove(&session) {
                        self.net
                            .close_socket(socket, Side::Coordinator, Some(reason));
                    }
                }
            }
        }
        let host = &mut self.coordinator;
        let Some(core) = &host.core else { return };
        core.check_invariants();
        let next = core
            .next_deadline()
            .map(|at| self.net.at(Node::Coordinator, at));
        if let Some(at) = next.filter(|_| next != host.wake) {
            self.net
                .queue
                .push(at.max(self.net.now()), Event::Wake(life));
        }
        host.wake = next.map(|at| at.max(self.net.now()));
    }
}
