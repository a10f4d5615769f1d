//! MIGRATE: going to another server because the present one asks for it.

use super::*;
use proto::MigrateMessage;

const WITHIN: Duration = Duration::from_secs(4);

pub(super) fn migrate() -> MigrateMessage {
    MigrateMessage {
        r#type: MessageType::Migrate.into(),
        within_ms: u32::try_from(WITHIN.as_millis()).expect("small"),
    }
}

pub(super) fn welcome_back(servers: &[u64]) -> WelcomeMessage {
    WelcomeMessage {
        resume_token: "t0ken".into(),
        ..welcome(ALIAS, servers)
    }
}

/// Connected to server 7 for a minute, subscribed to `a`, with a token and without PINGs, so that
/// the next deadline is the one that a test is about.
pub(super) fn settled(seed: u64) -> Script {
    let mut script = Script::with(Config {
        seed,
        ping_interval: None,
        ..Config::default()
    });
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome_back(&[7, 8]));
    script.take_connect();
    script.signal(offer(7));
    script.open_lanes();
    script.packet(ready(ALIAS, 0));
    script.subscribe(&["a"]);
    script.outputs.clear();
    script.ack(1);
    script.advance(Duration::from_secs(60));
    script.outputs.clear();
    script
}

/// Asked to go, waited, and on the way to the coordinator; yields the new socket.
pub(super) fn asking() -> (Script, SocketId) {
    let mut script = settled(1);
    script.packet(migrate());
    script.assert_quiet();
    script.sleep();
    assert!(matches!(script.take(), Output::HangUp { .. }));
    let socket = script.take_dial();
    script.assert_quiet();
    (script, socket)
}

pub(super) fn assert_on(script: &Script, server: u64) {
    let alias = ALIAS;
    assert_eq!(script.session.state(), State::Connected { alias, server });
}

/// The old peer is left, and server 8 is asked.
pub(super) fn take_move(script: &mut Script) {
    assert!(matches!(script.take(), Output::ClosePeer { .. }));
    let reason = Reason::ShuttingDown;
    assert_eq!(script.take_event(), Event::Disconnected { reason });
    assert_eq!(script.take_connect(), 8);
    script.assert_quiet();
}

#[test]
fn migrate_waits_a_random_part_then_moves_with_alias_and_subscriptions() {
    let waits: Vec<Duration> = (0..20)
        .map(|seed| {
            let mut script = settled(seed);
            script.packet(migrate());
            script.sleep()
        })
        .collect();
    assert!(waits.iter().all(|wait| *wait <= WITHIN), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait < WITHIN / 4), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait > WITHIN * 3 / 4), "{waits:?}");

    let mut script = settled(1);
    script.packet(migrate());
    script.sleep();
    assert!(matches!(script.take(), Output::HangUp { .. }));
    let Output::Dial { socket, resume, .. } = script.take() else {
        panic!("expected Dial");
    };
    assert_eq!(resume, Some(Secret::new("t0ken")));
    // The peer serves on while the coordinator is asked.
    assert_on(&script, 7);
    assert_eq!(script.publish(Lane::Reliable, b"1"), Ok(Published::Sent));
    script.outputs.clear();

    script.input(Input::SignallingOpened { socket });
    script.signal(welcome_back(&[7, 8]));
    script.echo();
    take_move(&mut script);
    assert_eq!(script.publish(Lane::Reliable, b"2"), Ok(Published::Queued));
    script.signal(offer(8));
    script.open_lanes();
    script.outputs.clear();
    script.packet(ready(ALIAS, 0));
    let (alias, server) = (ALIAS, 8);
    assert_eq!(script.take_event(), Event::Connected { alias, server });
    assert_eq!(script.take_subscribe().1, ["a"]);
    script.take_sent(MessageType::Topic);
    script.assert_quiet();
    let stats = script.session.stats();
    assert_eq!((stats.moves, stats.disconnects, stats.connects), (1, 0, 2));
}

#[test]
fn migrate_with_nowhere_to_go_stays() {
    for named in [&[][..], &[7]] {
        let (mut script, socket) = asking();
        script.input(Input::SignallingOpened { socket });
        script.signal(welcome_back(named));
        script.assert_quiet();
        assert_on(&script, 7);
        assert_eq!(script.session.next_deadline(), None);
        // As soon as there is another one, it goes there.
        script.signal(servers(1, &[7]));
        script.assert_quiet();
        script.signal(servers(2, &[7, 8]));
        take_move(&mut script);
    }
}

#[test]
fn who_is_not_asked_to_go_stays_whatever_is_named() {
    let mut script = settled(1);
    script.signal(servers(1, &[8]));
    script.assert_quiet();
    assert_on(&script, 7);
}

#[test]
fn migrate_twice_moves_once() {
    let mut script = settled(1);
    script.packet(migrate());
    let deadline = script.session.next_deadline();
    script.packet(migrate());
    assert_eq!(script.session.next_deadline(), deadline);
    script.sleep();
    script.outputs.clear();
    // Now the coordinator is being asked.
    script.packet(migrate());
    let socket = SocketId(script.session.stats().dials);
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome_back(&[8]));
    take_move(&mut script);
    script.signal(offer(8));
    script.open_lanes();
    script.packet(ready(ALIAS, 0));
    assert_on(&script, 8);
    assert_eq!(
        script.session.next_deadline(),
        script.session.subscriptions.next_deadline()
    );
    let stats = script.session.stats();
    assert_eq!((stats.moves, stats.dropped.repeated), (1, 2));
}

#[test]
fn a_server_that_asks_again_later_is_heard_again() {
    let (mut script, socket) = asking();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome_back(&[7]));
    script.advance(Duration::from_millis(4_999));
    script.packet(migrate());
    assert_eq!(script.session.next_deadline(), None);
    script.advance(Duration::from_millis(1));
    script.packet(migrate());
    script.sleep();
    assert_eq!(script.take(), Output::HangUp { socket });
    script.take_dial();
}

#[test]
fn a_server_that_closes_during_the_move_is_left_at_once() {
    let (mut script, socket) = asking();
    let peer = script.peer();
    // It asks everybody to come back in a while; that is not about the others.
    script.packet(ErrorMessage {
        retry_after_ms: 7_000,
        ..error(Reason::ShuttingDown, 0)
    });
    assert_eq!(script.take(), Output::ClosePeer { peer });
    let reason = Reason::ShuttingDown;
    assert_eq!(script.take_event(), Event::Disconnected { reason });
    script.assert_quiet();
    // The dial under way is not given up for another.
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome_back(&[7, 8]));
    assert_eq!(script.take_connect(), 8);
}

#[test]
fn a_server_that_closes_before_it_is_left_is_a_lost_one() {
    let mut script = settled(1);
    script.packet(migrate());
    script.lose_peer();
    let timers_left = script.session.next_deadline().expect("the next dial");
    assert!(timers_left <= script.now + BackoffConfig::default().first);
    script.sleep_until_dial();
    script.reach_server(&[8]);
    script.packet(ready(ALIAS, 0));
    assert_on(&script, 8);
    assert_eq!(script.session.stats().moves, 0);
}

#[test]
fn migrate_while_signalling_is_down_moves_when_it_is_back() {
    let mut script = settled(1);
    let socket = SocketId(script.session.stats().dials);
    let reason = None;
    script.input(Input::SignallingClosed { socket, reason });
    script.packet(migrate());
    // Whichever comes first, the dial or the end of the wait: it is dialed once.
    script.sleep();
    script.sleep();
    let socket = script.take_dial();
    script.assert_quiet();
    assert_on(&script, 7);
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome_back(&[8, 7]));
    take_move(&mut script);
}

#[test]
fn a_dial_that_fails_during_the_move_is_tried_again() {
    let (mut script, socket) = asking();
    let reason = None;
    script.input(Input::SignallingClosed { socket, reason });
    script.assert_quiet();
    assert_on(&script, 7);
    script.sleep();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome_back(&[8]));
    take_move(&mut script);
}

#[test]
fn a_move_that_fails_goes_on_to_find_a_server() {
    let (mut script, socket) = asking();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome_back(&[8, 9, 7]));
    take_move(&mut script);
    script.sleep();
    assert_eq!(script.take_connect(), 9);
    script.sleep();
    // The old one is not asked again without the coordinator's word.
    assert!(matches!(script.take(), Output::HangUp { .. }));
    assert!(matches!(script.take_event(), Event::Retrying { .. }));
    script.sleep();
    script.reach_server(&[7]);
    script.packet(ready(ALIAS, 0));
    assert_on(&script, 7);
}
