//! Losing the peer, the signalling socket, or both.

use super::*;

#[test]
fn a_lost_peer_is_replaced_and_told_everything() {
    let mut script = Script::connected();
    script.subscribe(&["a", "b"]);
    let (id, _) = script.take_subscribe();
    script.ack(id);
    script.outputs.clear();
    let socket = SocketId(script.session.stats().dials);

    script.lose_peer();
    assert_eq!(
        script.take_event(),
        Event::Disconnected {
            reason: Reason::IdleTimeout
        }
    );
    assert_eq!(script.take(), Output::HangUp { socket });
    assert!(matches!(script.take_event(), Event::Retrying { .. }));
    script.assert_quiet();
    script.sleep();

    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    // The coordinator has not noticed yet: the server that failed is not tried first.
    script.signal(welcome(2000, &[7, 8]));
    assert_eq!(script.take_connect(), 8);
    script.signal(offer(8));
    script.open_lanes();
    script.outputs.clear();
    script.packet(ready(2000, 0));
    assert_eq!(
        script.take_event(),
        Event::Connected {
            alias: 2000,
            server: 8
        }
    );
    assert_eq!(script.take_subscribe().1, ["a", "b"]);
    assert_eq!(script.session.stats().connects, 2);
    assert_eq!(script.session.stats().disconnects, 1);
}

#[test]
fn the_only_server_is_tried_again_though_it_failed() {
    let mut script = Script::connected();
    script.lose_peer();
    script.sleep();
    script
        .outputs
        .retain(|output| matches!(output, Output::Dial { .. }));
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7]));
    assert_eq!(script.take_connect(), 7);
}

#[test]
fn a_lost_signalling_socket_leaves_the_peer_alone() {
    let mut script = Script::connected();
    let socket = SocketId(script.session.stats().dials);
    script.input(Input::SignallingClosed {
        socket,
        reason: None,
    });
    script.assert_quiet();
    assert_eq!(
        script.session.state(),
        State::Connected {
            alias: ALIAS,
            server: 7
        }
    );
    assert_eq!(script.publish(Lane::Reliable, b"x"), Ok(Published::Sent));
    script.outputs.clear();

    script.sleep();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(2000, &[8]));
    script.assert_quiet();
    // The server knows us by the old alias.
    assert_eq!(
        script.session.state(),
        State::Connected {
            alias: ALIAS,
            server: 7
        }
    );

    script.lose_peer();
    script.sleep();
    script
        .outputs
        .retain(|output| matches!(output, Output::Dial { .. }));
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(3000, &[8]));
    assert_eq!(script.take_connect(), 8);
}

#[test]
fn without_an_offer_a_lost_signalling_socket_ends_the_attempt() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7, 8]));
    script.take_connect();
    script.input(Input::SignallingClosed {
        socket,
        reason: None,
    });
    assert!(matches!(script.take_event(), Event::Retrying { .. }));
    assert_eq!(script.session.state(), State::Dialing);
    script.sleep();
    script.take_dial();
}

#[test]
fn with_an_offer_the_peer_may_still_come_up() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7]));
    script.signal(offer(7));
    script.outputs.clear();
    script.input(Input::SignallingClosed {
        socket,
        reason: None,
    });
    script.assert_quiet();
    script.open_lanes();
    script.packet(ready(0, 0));
    let connected = Event::Connected {
        alias: ALIAS,
        server: 7,
    };
    assert!(script.outputs.contains(&Output::Event(connected)));
}

#[test]
fn a_new_alias_makes_an_unfinished_peer_void() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7]));
    script.signal(offer(7));
    let peer = script.peer();
    script.input(Input::SignallingClosed {
        socket,
        reason: None,
    });
    script.sleep();
    script
        .outputs
        .retain(|output| matches!(output, Output::Dial { .. }));
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(2000, &[7]));
    assert_eq!(script.take(), Output::ClosePeer { peer });
    assert_eq!(script.take_connect(), 7);
}

#[test]
fn reasons_for_good_end_it_wherever_they_come_from() {
    let reason = Reason::Forbidden;
    let mut by_close = Script::connected();
    let socket = SocketId(by_close.session.stats().dials);
    by_close.input(Input::SignallingClosed {
        socket,
        reason: Some(reason),
    });
    assert_eq!(by_close.session.state(), State::Stopped { reason });

    // The close code got lost, the ERROR before it did not.
    let mut by_error = Script::new();
    let socket = by_error.take_dial();
    by_error.input(Input::SignallingOpened { socket });
    by_error.signal(error(reason, 0));
    by_error.input(Input::SignallingClosed {
        socket,
        reason: None,
    });
    assert_eq!(by_error.session.state(), State::Stopped { reason });

    let mut by_packet = Script::connected();
    by_packet.packet(error(reason, 0));
    assert_eq!(by_packet.session.state(), State::Stopped { reason });
}

#[test]
fn a_server_that_says_goodbye_is_left_at_once_and_for_as_long_as_it_asks() {
    let mut script = Script::connected();
    let peer = script.peer();
    let goodbye = ErrorMessage {
        retry_after_ms: 7_000,
        ..error(Reason::ShuttingDown, 0)
    };
    script.packet(goodbye);
    assert_eq!(script.take(), Output::ClosePeer { peer });
    assert_eq!(
        script.take_event(),
        Event::Disconnected {
            reason: Reason::ShuttingDown
        }
    );
    let slept = script.sleep();
    // And not all at the same moment.
    assert!(
        slept > Duration::from_secs(7) && slept <= Duration::from_millis(7_500),
        "{slept:?}"
    );
}

#[test]
fn a_coordinator_without_room_says_when_to_come_back() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    let full = |retry_after_ms| ErrorMessage {
        retry_after_ms,
        ..error(Reason::Overloaded, 0)
    };
    script.signal(full(3_000));
    let reason = Some(Reason::Overloaded);
    script.input(Input::SignallingClosed { socket, reason });
    assert!(script.sleep() > Duration::from_secs(3));
    // Within reason.
    script
        .outputs
        .retain(|output| matches!(output, Output::Dial { .. }));
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(full(u32::MAX));
    script.input(Input::SignallingClosed { socket, reason });
    assert!(script.sleep() < Duration::from_secs(5 * 60 + 15));
}

#[test]
fn waits_grow_until_a_peer_has_lived() {
    let mut script = Script::new();
    let fail = |script: &mut Script| {
        let socket = script.take_dial();
        script.input(Input::SignallingClosed {
            socket,
            reason: None,
        });
        assert!(matches!(script.take_event(), Event::Retrying { .. }));
        script.sleep()
    };
    let first = fail(&mut script);
    let waits: Vec<Duration> = (0..8).map(|_| fail(&mut script)).collect();
    assert!(
        waits.iter().all(|wait| *wait > first),
        "{first:?}, then {waits:?}"
    );
    assert!(waits[7] <= BackoffConfig::default().max);

    script.reach_server(&[7]);
    script.packet(ready(ALIAS, 0));
    script.advance(BackoffConfig::default().reset_after);
    script.lose_peer();
    script.outputs.clear();
    assert!(script.sleep() <= BackoffConfig::default().first);
}

#[test]
fn a_peer_that_dies_young_does_not_reset_the_wait() {
    let mut script = Script::connected();
    let mut waits = Vec::new();
    for _ in 0..6 {
        script.lose_peer();
        waits.push(script.sleep());
        script
            .outputs
            .retain(|output| matches!(output, Output::Dial { .. }));
        script.reach_server(&[7]);
        script.packet(ready(ALIAS, 0));
    }
    assert!(waits[5] > 4 * waits[0], "{waits:?}");
}

#[test]
fn what_an_old_peer_says_is_ignored() {
    let mut script = Script::connected();
    script.lose_peer();
    script.sleep();
    script
        .outputs
        .retain(|output| matches!(output, Output::Dial { .. }));
    let old = script.peer();
    script.reach_server(&[8]);
    let bytes: Bytes = ready(ALIAS, 0).encode_to_vec().into();
    let lane = Lane::Reliable;
    script.input(Input::Packet {
        peer: old,
        lane,
        bytes,
    });
    script.input(Input::Congested { peer: old });
    assert_eq!(script.session.state(), State::Connecting { server: 8 });
    assert_eq!(script.session.stats().dropped.stale, 2);
}

#[test]
fn what_an_old_socket_says_is_ignored() {
    let mut script = Script::connected();
    let old = SocketId(0);
    script.input(Input::SignallingClosed {
        socket: old,
        reason: Some(Reason::Forbidden),
    });
    script.input(Input::SignallingOpened { socket: old });
    let bytes = welcome(1, &[1]).encode_to_vec().into();
    script.input(Input::Signal { socket: old, bytes });
    script.assert_quiet();
    assert_eq!(script.session.stats().dropped.stale, 3);
    assert!(matches!(script.session.state(), State::Connected { .. }));
}

#[test]
fn closing_is_polite_and_final() {
    let mut script = Script::connected();
    let peer = script.peer();
    script.session.close(Reason::Closed);
    script.drain();
    assert_eq!(script.take(), Output::ClosePeer { peer });
    assert!(matches!(script.take(), Output::HangUp { .. }));
    assert_eq!(
        script.take_event(),
        Event::Stopped {
            reason: Reason::Closed
        }
    );
    script.session.close(Reason::Closed);
    script.input(Input::Tick);
    script.assert_quiet();
}
