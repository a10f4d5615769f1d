//! Any sequence of inputs, against a simple model of who is there.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use proto::{MessageHeader, PeerGoneMessage, WebRtcMessage};

use super::{cast::connect, *};

#[derive(Debug, Clone)]
enum Op {
    Open(Role, bool),
    /// What the n-th of all sessions ever opened had, as of this role; true: by a token of another
    /// that was given the same alias.
    ComeBack(usize, Role, bool),
    /// With an alias that may be anything.
    Forge(u64),
    /// The n-th of all sessions ever opened.
    Close(usize),
    /// From the n-th session to the m-th, of a type that may be anything.
    Signal(usize, usize, i32),
    Connect(usize, usize),
    Garbage(usize, Vec<u8>),
    Pass(u16),
}

fn op() -> impl Strategy<Value = Op> {
    let role = || {
        prop_oneof![
            4 => Just(Role::Client),
            4 => Just(Role::CommunicationServer),
            1 => Just(Role::CommunicationServerHub),
        ]
    };
    prop_oneof![
        3 => (role(), any::<bool>()).prop_map(|(role, ours)| Op::Open(role, ours)),
        2 => (any::<usize>(), role(), prop::bool::weighted(0.2))
            .prop_map(|(n, role, other)| Op::ComeBack(n, role, other)),
        1 => prop_oneof![any::<u64>(), 0..1_u64 << 53].prop_map(Op::Forge),
        1 => any::<usize>().prop_map(Op::Close),
        4 => (any::<usize>(), any::<usize>(), -2..40).prop_map(|(n, m, t)| Op::Signal(n, m, t)),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(n, m)| Op::Connect(n, m)),
        1 => (any::<usize>(), prop::collection::vec(any::<u8>(), 0..64))
            .prop_map(|(n, bytes)| Op::Garbage(n, bytes)),
        1 => any::<u16>().prop_map(Op::Pass),
    ]
}

/// Somebody who was ever let in.
#[derive(Clone)]
struct Known {
    session: SessionId,
    alias: u64,
    /// What it may take up; none of the 2019 protocol.
    resume: Option<Resume>,
    role: Role,
    open: bool,
}

#[derive(Default)]
struct Model {
    known: Vec<Known>,
    /// Who has sent CONNECT to whom, by alias.
    contacts: BTreeSet<(u64, u64)>,
}

impl Model {
    fn at(&self, n: usize) -> Option<&Known> {
        self.known.get(n % self.known.len().max(1))
    }

    /// Who has this alias now.
    fn holder(&self, alias: u64) -> Option<&Known> {
        let mut open = self.known.iter().filter(|known| known.open);
        let holder = open.find(|known| known.alias == alias);
        assert!(open.all(|known| known.alias != alias), "{alias} twice");
        holder
    }

    fn close(&mut self, session: SessionId) {
        let mut known = self.known.iter_mut();
        let known = known.find(|known| known.session == session);
        known.expect("it is known").open = false;
    }

    /// A session is let in, or is not: what `cast` says of it has to be true.
    fn open(&mut self, cast: &mut Cast, role: Role, ours: bool, claim: Option<Resume>) {
        let room = cast.room();
        let session = cast.open_with(role, ours, claim);
        let holder = claim.and_then(|claim| self.holder(claim.alias.number()));
        let holder = holder.cloned();
        let own = holder
            .clone()
            .filter(|holder| holder.resume == claim && holder.role == role);
        if cast.closed.remove(&session).is_some() {
            let sessions = self.known.iter().filter(|known| known.open);
            let count = sessions.filter(|known| is_server(known.role) == is_server(role));
            assert!(count.count() >= room[usize::from(is_server(role))] && own.is_none());
            return;
        }
        let welcome = cast.received::<WelcomeMessage>(session);
        if let Some(own) = own {
            assert_eq!(welcome.alias, own.alias);
            assert_eq!(cast.closed.remove(&own.session), Some(Reason::Replaced));
            self.close(own.session);
        } else if holder.is_some() {
            assert_ne!(Some(welcome.alias), claim.map(|claim| claim.alias.number()));
        }
        assert!(cast.closed.is_empty(), "{:?}", cast.closed);
        assert!(self.holder(welcome.alias).is_none(), "given twice");
        let kept = claim.is_some_and(|claim| claim.alias.number() == welcome.alias);
        // Of this instance, which is 0.
        let own = self
            .known
            .iter()
            .filter(|known| known.alias.is_multiple_of(64));
        let highest = own.map(|known| known.alias).max();
        assert!(kept || Some(welcome.alias) > highest, "fresh ones rise");
        self.known.push(Known {
            session,
            alias: welcome.alias,
            resume: ours.then(|| cast.resume(session)),
            role,
            open: true,
        });
    }

    /// Checks a PEER_GONE: to a server that the client contacted, which nobody is any more.
    fn check_gone(&self, to: SessionId, alias: u64) {
        let to = self.known.iter().find(|known| known.session == to);
        let to = to.expect("a known target");
        assert!(to.open && is_server(to.role));
        assert!(self.contacts.contains(&(alias, to.alias)));
        assert!(self.holder(alias).is_none());
    }

    /// Checks a relayed signal: from somebody who is open, stamped truly, along an allowed pair.
    fn check(&self, to: SessionId, from_alias: u64, from_role: i32) {
        let from = self.holder(from_alias).expect("a known sender");
        let to = self.known.iter().find(|known| known.session == to);
        let to = to.expect("a known target");
        assert!(to.open);
        assert_eq!(from.role, Role::try_from(from_role).expect("a role"));
        match (is_server(from.role), is_server(to.role)) {
            (true, false) => assert!(self.contacts.contains(&(to.alias, from.alias))),
            (from_server, to_server) => assert!(from_server || to_server),
        }
    }
}

fn run(ops: Vec<Op>) {
    let mut cast = Cast::with(|config| {
        config.limits.clients_max = 6;
        config.limits.servers_max = 4;
    });
    let mut model = Model::default();
    for op in ops {
        match op {
            Op::Open(role, ours) => model.open(&mut cast, role, ours, None),
            Op::ComeBack(n, role, other) => {
                let resume = model.at(n).and_then(|known| known.resume);
                let claim = resume.map(|Resume { alias, series }| Resume {
                    alias,
                    series: series ^ u64::from(other),
                });
                model.open(&mut cast, role, true, claim);
            }
            Op::Forge(number) => {
                let alias = Alias::from_wire(number);
                let claim = Some(Resume { alias, series: 0 });
                model.open(&mut cast, Role::Client, true, claim);
            }
            Op::Close(n) => {
                if let Some(session) = model.at(n).map(|known| known.session) {
                    cast.close(session);
                    model.close(session);
                }
            }
            Op::Signal(n, m, kind) => {
                if let (Some(from), Some(to)) = (model.at(n), model.at(m)) {
                    let signal = WebRtcMessage {
                        r#type: kind,
                        from_alias: 1,
                        to_alias: to.alias,
                        from_role: Role::CommunicationServerHub.into(),
                        data: Bytes::from_static(b"{}"),
                    };
                    let pair = (from.alias, to.alias);
                    cast.signal(from.session, &signal);
                    if kind == i32::from(MessageType::Connect) {
                        model.contacts.insert(pair);
                    }
                }
            }
            Op::Connect(n, m) => {
                if let (Some(from), Some(to)) = (model.at(n), model.at(m)) {
                    let pair = (from.alias, to.alias);
                    cast.signal(from.session, &connect(to.alias));
                    model.contacts.insert(pair);
                }
            }
            Op::Garbage(n, bytes) => {
                if let Some(from) = model.at(n) {
                    cast.bytes(from.session, bytes);
                }
            }
            Op::Pass(ms) => cast.pass(Duration::from_millis(ms.into())),
        }
        read_all(&mut cast, &model);
    }
}

fn read_all(cast: &mut Cast, model: &Model) {
    let sessions = model.known.iter().map(|known| known.session);
    for session in sessions.collect::<Vec<_>>() {
        while cast.unread(session) > 0 {
            let bytes = cast.next_bytes(session);
            let header = MessageHeader::decode(bytes.clone()).expect("a message");
            match header.r#type() {
                MessageType::Connect => {
                    let connect = ConnectMessage::decode(bytes).expect("a CONNECT");
                    model.check(session, connect.from_alias, connect.from_role);
                }
                MessageType::WebrtcOffer
                | MessageType::WebrtcAnswer
                | MessageType::WebrtcIceCandidate => {
                    let signal = WebRtcMessage::decode(bytes).expect("a signal");
                    model.check(session, signal.from_alias, signal.from_role);
                }
                MessageType::ConnectionRefused
                | MessageType::Servers
                | MessageType::Error
                | MessageType::Replaced => {}
                MessageType::PeerGone => {
                    let gone = PeerGoneMessage::decode(bytes).expect("a PEER_GONE");
                    model.check_gone(session, gone.alias);
                }
                other => panic!("{other:?} is not the coordinator's to send"),
            }
        }
    }
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_rules(ops in prop::collection::vec(op(), 0..120)) {
        run(ops);
    }

    #[test]
    fn any_bytes_are_answered_by_silence(bytes: Vec<u8>) {
        let mut cast = Cast::new();
        let (server, _) = cast.server();
        let (client, _) = cast.client();
        cast.bytes(client, bytes.clone());
        cast.bytes(server, bytes);
        prop_assert_eq!(cast.closed.len(), 0);
        // At most each gets an ERROR about a CONNECT to nobody.
        prop_assert!(cast.unread(client) <= 1 && cast.unread(server) <= 1);
    }
}
