//! Losing the peer, the signalling socket, or both.

use super::*;

#[test]
fn a_goodbye_is_believed_where_trying_again_is_right() {
    for (code, reason) in [
        (11, Reason::SlowConsumer),
        (26, Reason::TransportClosed),
        (999, Reason::TransportClosed),
        (0, Reason::TransportClosed),
    ] {
        let mut script = Script::connected();
        script.outputs.clear();
        let peer = script.peer();
        script.input(Input::PeerClosed {
            peer,
            reason: told_reason(code),
        });
        assert_eq!(script.take_event(), Event::Disconnected { reason });
    }
}

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
fn reconnect_prefers_another_server() {
    for (named, order) in [
        (&[7, 8, 9][..], [8, 9, 7]),
        (&[8, 7, 9], [8, 9, 7]),
        (&[9, 8, 7], [9, 8, 7]),
    ] {
        let mut script = Script::connected();
        script.lose_peer();
        script.sleep_until_dial();
        let socket = script.take_dial();
        script.input(Input::SignallingOpened { socket });
        script.signal(welcome(ALIAS, named));
        let mut tried = vec![script.take_connect()];
        while tried.len() < order.len() {
            script.sleep();
            tried.push(script.take_connect());
        }
        assert_eq!(tried, order);
    }
}

#[test]
fn the_first_retry_after_the_loss_of_a_working_connection_comes_quickly() {
    for seed in 0..20 {
        let mut script = Script::connected_with(Config {
            seed,
            ping_interval: None,
            ..Config::default()
        });
        // The coordinator stays away for long: the waits have grown.
        let socket = SocketId(script.session.stats().dials);
        let reason = None;
        script.input(Input::SignallingClosed { socket, reason });
        for _ in 0..8 {
            script.sleep();
            let socket = script.take_dial();
            script.input(Input::SignallingClosed { socket, reason });
        }
        let next = script.session.next_deadline().expect("the next dial");
        assert!(next > script.now + Duration::from_secs(5));
        // Now there is more to be gained.
        script.lose_peer();
        let first = script.sleep();
        assert!(first <= Duration::from_millis(500), "{first:?}");
    }
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

/// Ways in which a connected session is told a reason that ends something.
const TELLERS: [fn(&mut Script, Reason); 3] = [
    // The coordinator, by its close code.
    |script, reason| {
        let socket = SocketId(script.session.stats().dials);
        let reason = Some(reason);
        script.input(Input::SignallingClosed { socket, reason });
    },
    // The same; the close code got lost, the ERROR before it did not.
    |script, reason| {
        let socket = SocketId(script.session.stats().dials);
        script.signal(error(reason, 0));
        let reason = None;
        script.input(Input::SignallingClosed { socket, reason });
    },
    // The server.
    |script, reason| script.packet(error(reason, 0)),
];

fn closing_reasons() -> impl Iterator<Item = Reason> {
    let all = Reason::ALL.iter().copied();
    all.filter(|reason| reason.number() < 100)
}

#[test]
fn a_terminal_reason_stops_for_good() {
    for reason in closing_reasons().filter(|reason| !reason.retryable()) {
        for tell in TELLERS {
            let mut script = Script::connected();
            tell(&mut script, reason);
            assert_eq!(script.session.state(), State::Stopped { reason });
            assert_eq!(script.session.next_deadline(), None);
            let last = script.outputs.pop_back();
            assert_eq!(last, Some(Output::Event(Event::Stopped { reason })));
        }
    }
}

#[test]
fn a_retryable_reason_comes_back() {
    for reason in closing_reasons().filter(|reason| reason.retryable()) {
        for tell in TELLERS {
            let mut script = Script::connected();
            script.subscribe(&["a"]);
            script.ack(1);
            tell(&mut script, reason);
            script.sleep_until_dial();
            let socket = script.take_dial();
            script.input(Input::SignallingOpened { socket });
            script.signal(welcome(ALIAS, &[7, 8]));
            if script.session.link.is_none() || !script.outputs.is_empty() {
                let server = script.take_connect();
                script.signal(offer(server));
                script.open_lanes();
                script.outputs.clear();
                script.packet(ready(ALIAS, 0));
                script.take_event();
                assert_eq!(script.take_subscribe().1, ["a"]);
            }
            let state = script.session.state();
            assert!(
                matches!(state, State::Connected { .. }),
                "{reason}: {state:?}"
            );
        }
    }
}

#[test]
fn slow_consumer_is_retryable() {
    let reason = Reason::SlowConsumer;
    let losses: [fn(&mut Script); 2] = [
        // The server says so.
        |script| script.packet(error(Reason::SlowConsumer, 0)),
        // Our own lane does: the server does not read.
        |script| {
            let (peer, reason) = (script.peer(), Reason::SlowConsumer);
            script.input(Input::PeerClosed { peer, reason });
        },
    ];
    for lose in losses {
        let mut script = Script::connected();
        lose(&mut script);
        script
            .outputs
            .retain(|output| matches!(output, Output::Event(_)));
        assert_eq!(script.take_event(), Event::Disconnected { reason });
        assert!(matches!(script.take_event(), Event::Retrying { .. }));
        script.sleep_until_dial();
        script.reach_server(&[8]);
        script.packet(ready(ALIAS, 0));
        assert!(matches!(script.session.state(), State::Connected { .. }));
    }
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
