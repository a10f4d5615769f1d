//! Anything may come in, in any order.

use super::*;
use proptest::prelude::*;
use proto::{MigrateMessage, PeerGoneMessage, ReplacedMessage};

#[derive(Debug, Clone)]
enum Step {
    Signal(Vec<u8>),
    Packet(Lane, Vec<u8>),
    Opened,
    Closed(Option<u16>),
    /// An answer to the question with this number, or none.
    Token(u64, bool),
    Lane(Lane),
    PeerClosed,
    Congested(bool),
    Local(u8),
    Wait(u16),
    Subscribe(String),
    Unsubscribe(String),
    Publish(Lane, String, Vec<u8>),
}

fn lane() -> impl Strategy<Value = Lane> {
    prop_oneof![Just(Lane::Reliable), Just(Lane::Unreliable)]
}

/// Bytes that are often a message, and sometimes nothing at all.
fn signal_bytes() -> impl Strategy<Value = Vec<u8>> {
    let server = 1..3_u64;
    prop_oneof![
        (
            proptest::collection::vec(server.clone(), 0..3),
            "[a-z ]{0,3}"
        )
            .prop_map(|(servers, token)| WelcomeMessage {
                resume_token: token,
                ..welcome(ALIAS, &servers)
            }
            .encode_to_vec()),
        Just(
            ReplacedMessage {
                r#type: MessageType::Replaced.into()
            }
            .encode_to_vec()
        ),
        server
            .clone()
            .prop_map(|server| offer(server).encode_to_vec()),
        proptest::collection::vec(server, 0..3)
            .prop_map(|aliases| servers(1, &aliases).encode_to_vec()),
        (0..110_u32).prop_map(|code| {
            ErrorMessage {
                code,
                ..error(Reason::Malformed, 0)
            }
            .encode_to_vec()
        }),
        typed_noise(),
    ]
}

fn packet_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..3_000_u32).prop_map(|limit| ready(ALIAS, limit).encode_to_vec()),
        (0..3_u64).prop_map(|other| {
            let r#type = MessageType::PeerGone.into();
            PeerGoneMessage {
                r#type,
                alias: ALIAS + other,
            }
            .encode_to_vec()
        }),
        (0..9_000_u32).prop_map(|within_ms| {
            let r#type = MessageType::Migrate.into();
            MigrateMessage { r#type, within_ms }.encode_to_vec()
        }),
        (0..9_u32).prop_map(|id| AckMessage { r#type: 36, id }.encode_to_vec()),
        ((100..110_u32), (0..9_u32)).prop_map(|(code, id)| {
            ErrorMessage {
                code,
                ..error(Reason::Malformed, id)
            }
            .encode_to_vec()
        }),
        typed_noise(),
    ]
}

fn typed_noise() -> impl Strategy<Value = Vec<u8>> {
    (0..48_u8, any::<Vec<u8>>()).prop_map(|(kind, noise)| {
        let mut bytes = vec![0x08, kind];
        bytes.extend(noise);
        bytes
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => signal_bytes().prop_map(Step::Signal),
        4 => (lane(), packet_bytes()).prop_map(|(lane, bytes)| Step::Packet(lane, bytes)),
        3 => Just(Step::Opened),
        1 => proptest::option::of(0..30_u16).prop_map(Step::Closed),
        2 => (1..4_u64, any::<bool>()).prop_map(|(number, there)| Step::Token(number, there)),
        3 => lane().prop_map(Step::Lane),
        1 => Just(Step::PeerClosed),
        1 => any::<bool>().prop_map(Step::Congested),
        1 => any::<u8>().prop_map(Step::Local),
        3 => any::<u16>().prop_map(Step::Wait),
        2 => "[a-d ]{0,3}".prop_map(Step::Subscribe),
        1 => "[a-d]{1,2}".prop_map(Step::Unsubscribe),
        2 => (lane(), "[a-d]{0,2}", any::<Vec<u8>>())
            .prop_map(|(lane, topic, body)| Step::Publish(lane, topic, body)),
    ]
}

fn config(asked: bool) -> Config {
    Config {
        token: if asked {
            TokenSource::Asked
        } else {
            TokenSource::default()
        },
        subscriptions_max: 4,
        requests_max: 3,
        counted_topics_max: 3,
        offline: Offline::Queue {
            count_max: 4,
            bytes_max: 300,
            overflow: Overflow::DropOldest,
        },
        ..Config::default()
    }
}

fn take_step(script: &mut Script, step: Step) {
    let socket = SocketId(script.session.stats().dials);
    let peer = script.peer();
    match step {
        Step::Signal(bytes) => script.input(Input::Signal {
            socket,
            bytes: bytes.into(),
        }),
        Step::Packet(lane, bytes) => {
            script.input(Input::Packet {
                peer,
                lane,
                bytes: bytes.into(),
            });
        }
        Step::Opened => script.input(Input::SignallingOpened { socket }),
        Step::Closed(number) => {
            let reason = number.and_then(|number| Reason::from_number(number.into()));
            script.input(Input::SignallingClosed { socket, reason });
        }
        Step::Token(number, there) => {
            let token = Secret::new("token");
            script.input(Input::Token {
                request: TokenRequest(number),
                result: there.then_some(token).ok_or(TokenUnavailable),
            });
        }
        Step::Lane(lane) => script.input(Input::LaneOpened { peer, lane }),
        Step::PeerClosed => {
            script.input(Input::PeerClosed {
                peer,
                reason: Reason::TransportClosed,
            });
        }
        Step::Congested(true) => script.input(Input::Congested { peer }),
        Step::Congested(false) => script.input(Input::Writable { peer }),
        Step::Local(kind) => {
            let kind = match kind % 3 {
                0 => SignalKind::Offer,
                1 => SignalKind::Answer,
                _ => SignalKind::Candidate,
            };
            script.input(Input::LocalSignal {
                peer,
                kind,
                data: Bytes::new(),
            });
        }
        Step::Wait(ms) => script.advance(Duration::from_millis(ms.into())),
        Step::Subscribe(topics) => {
            let topics: Vec<&str> = topics.split(' ').collect();
            let _request = script.session.subscribe(script.now, &topics);
        }
        Step::Unsubscribe(topic) => {
            let _request = script.session.unsubscribe(script.now, &[&topic]);
        }
        Step::Publish(lane, topic, body) => {
            let _published = script.session.publish(&topic, lane, body.into(), false);
        }
    }
    script.drain();
}

proptest! {
    #[test]
    fn whatever_comes_the_session_is_in_order(
        asked in any::<bool>(),
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        let mut script = Script::with(config(asked));
        for step in steps {
            script.outputs.clear();
            take_step(&mut script, step);
            // Queue, requests, resubscription and a few events: bounded by the limits.
            prop_assert!(script.outputs.len() <= 24, "{:?}", script.outputs);
        }
        // Nothing that a peer says keeps a session from being closed.
        script.session.close(Reason::Closed);
        script.drain();
        let stopped = matches!(script.session.state(), State::Stopped { .. });
        prop_assert!(stopped);
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(steps in proptest::collection::vec(step(), 0..40)) {
        let mut first = Script::with(config(true));
        let mut second = Script::with(config(true));
        second.now = first.now;
        second.session = Session::new(first.now, config(true));
        second.outputs.clear();
        second.drain();
        for step in steps {
            take_step(&mut first, step.clone());
            take_step(&mut second, step);
        }
        prop_assert_eq!(first.outputs, second.outputs);
    }
}
