//! Any sequence of inputs, against a simple model of who is there.

mod model;

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use proto::{MessageHeader, PeerGoneMessage, WebRtcMessage};

use self::model::Model;
use super::{cast::nobody, *};

#[derive(Debug, Clone)]
enum Op {
    Open(Role, bool, Option<Region>),
    /// What the n-th of all sessions ever opened had, as of this role; true: by a token of another
    /// that was given the same alias.
    ComeBack(usize, Role, bool),
    /// With an alias that may be anything.
    Forge(u64),
    /// The n-th of all sessions ever opened.
    Close(usize),
    /// From the n-th session to the m-th, of a type that may be anything.
    Signal(usize, usize, i32),
    Garbage(usize, Vec<u8>),
    /// The n-th session says how it is doing: state, peers, peers_max, CPU.
    Load(usize, i32, [u32; 3]),
    Pass(u16),
}

#[derive(Debug, Clone)]
struct Ground {
    topology: Topology,
    selector: Selector,
}

fn ground() -> impl Strategy<Value = Ground> {
    let topology = prop_oneof![Just(Topology::Mesh), Just(Topology::Star)];
    let selector = prop::sample::select(Selector::ALL.to_vec());
    (topology, selector).prop_map(|(topology, (_, selector))| Ground { topology, selector })
}

fn region() -> impl Strategy<Value = Option<Region>> {
    prop::sample::select(vec!["", "eu", "us"]).prop_map(Region::parse)
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
        3 => (role(), any::<bool>(), region())
            .prop_map(|(role, ours, region)| Op::Open(role, ours, region)),
        2 => (any::<usize>(), role(), prop::bool::weighted(0.2))
            .prop_map(|(n, role, other)| Op::ComeBack(n, role, other)),
        1 => prop_oneof![any::<u64>(), 0..1_u64 << 53].prop_map(Op::Forge),
        1 => any::<usize>().prop_map(Op::Close),
        4 => (any::<usize>(), any::<usize>(), -2..40).prop_map(|(n, m, t)| Op::Signal(n, m, t)),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(n, m)| Op::Signal(n, m, CONNECT)),
        1 => (any::<usize>(), prop::collection::vec(any::<u8>(), 0..64))
            .prop_map(|(n, bytes)| Op::Garbage(n, bytes)),
        3 => (any::<usize>(), -1..5, [numbers(), numbers(), numbers()])
            .prop_map(|(n, state, numbers)| Op::Load(n, state, numbers)),
        1 => any::<u16>().prop_map(Op::Pass),
    ]
}

fn numbers() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0_u32..5, 1 => any::<u32>()]
}

fn run(ground: Ground, ops: Vec<Op>) {
    let mut cast = Cast::with(|config| {
        config.limits.clients_max = 6;
        config.limits.servers_max = 4;
        config.topology = ground.topology;
        config.selector = ground.selector;
    });
    let mut model = Model {
        ground,
        known: Vec::new(),
        contacts: BTreeSet::new(),
    };
    for op in ops {
        model.apply(&mut cast, op);
        read_all(&mut cast, &model);
    }
}

impl Model {
    fn apply(&mut self, cast: &mut Cast, op: Op) {
        match op {
            Op::Open(role, ours, region) => {
                let newcomer = Newcomer {
                    region,
                    ..nobody(role, ours)
                };
                self.open(cast, newcomer);
            }
            Op::ComeBack(n, role, other) => {
                let resume = self.at(n).and_then(|known| known.resume);
                let claim = resume.map(|Resume { alias, series }| Resume {
                    alias,
                    series: series ^ u64::from(other),
                });
                self.open(cast, claiming(role, claim));
            }
            Op::Forge(number) => {
                let alias = Alias::from_wire(number);
                let claim = Some(Resume { alias, series: 0 });
                self.open(cast, claiming(Role::Client, claim));
            }
            Op::Close(n) => {
                if let Some(session) = self.at(n).map(|known| known.session) {
                    cast.close(session);
                    self.close(session);
                }
            }
            Op::Signal(n, m, kind) => self.signal(cast, n, m, kind),
            Op::Garbage(n, bytes) => {
                if let Some(from) = self.at(n) {
                    cast.bytes(from.session, bytes);
                }
            }
            Op::Load(n, state, numbers) => self.load(cast, n, state, numbers),
            Op::Pass(ms) => cast.pass(Duration::from_millis(ms.into())),
        }
    }

    fn signal(&mut self, cast: &mut Cast, from: usize, to: usize, kind: i32) {
        let (Some(from), Some(to)) = (self.at(from), self.at(to)) else {
            return;
        };
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
            self.contacts.insert(pair);
        }
    }

    fn load(&mut self, cast: &mut Cast, from: usize, state: i32, numbers: [u32; 3]) {
        let Some(session) = self.at(from).map(|known| known.session) else {
            return;
        };
        let [peers, peers_max, cpu_permille] = numbers;
        let load = LoadMessage {
            r#type: MessageType::Load.into(),
            state,
            peers,
            peers_max,
            packets_per_s: 1,
            cpu_permille,
        };
        let before = cast.coordinator.stats().loads;
        cast.signal(session, &load);
        let taken = cast.coordinator.stats().loads > before;
        self.hear(session, load, cast.now, taken);
    }
}

fn claiming(role: Role, resume: Option<Resume>) -> Newcomer {
    Newcomer {
        resume,
        ..nobody(role, true)
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
                MessageType::Servers => {
                    let list = ServersMessage::decode(bytes).expect("a list");
                    let aliases: Vec<u64> = list.entries.iter().map(|entry| entry.alias).collect();
                    model.check_list(session, &aliases, cast.now);
                }
                MessageType::ConnectionRefused | MessageType::Error | MessageType::Replaced => {}
                MessageType::PeerGone => {
                    let gone = PeerGoneMessage::decode(bytes).expect("a PEER_GONE");
                    model.check_gone(session, gone.alias);
                }
                other => panic!("{other:?} is not the coordinator's to send"),
            }
        }
    }
}

/// The type of CONNECT, which has the same first fields as the other signals.
const CONNECT: i32 = 2;

proptest! {
    #[test]
    fn any_sequence_keeps_the_rules(
        ground in ground(),
        ops in prop::collection::vec(op(), 0..120),
    ) {
        run(ground, ops);
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
