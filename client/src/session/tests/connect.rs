//! From nothing to Connected, and everything that can stand in the way.

use super::*;
use proto::{ConnectionRefusedMessage, ConnectionRefusedReason};

#[test]
fn from_welcome_to_connected() {
    let config = Config {
        token: TokenSource::Fixed(Secret::new("token")),
        ..Config::default()
    };
    let mut script = Script::with(config);
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7, 8]));
    assert_eq!(script.take_connect(), 7);
    assert_eq!(script.session.state(), State::Connecting { server: 7 });

    script.signal(offer(7));
    let peer = script.peer();
    assert_eq!(script.take(), Output::OpenPeer { peer });
    let (kind, data) = (SignalKind::Offer, Bytes::from_static(b"{offer}"));
    assert_eq!(script.take(), Output::RemoteSignal { peer, kind, data });

    let data = Bytes::from_static(b"{answer}");
    script.input(Input::LocalSignal {
        peer,
        kind: SignalKind::Answer,
        data: data.clone(),
    });
    let Output::Signal { bytes, .. } = script.take() else {
        panic!("expected an answer")
    };
    let answer = WebRtcMessage::decode(bytes).expect("an answer");
    assert_eq!(answer.r#type, i32::from(MessageType::WebrtcAnswer));
    assert_eq!((answer.to_alias, answer.data), (7, data));

    script.open_lanes();
    let auth = AuthMessage::decode(script.take_sent(MessageType::Auth)).expect("an AUTH");
    assert_eq!(auth.role, i32::from(Role::Client));
    assert_eq!(auth.body, "token");
    assert!(auth.capabilities.contains(&Capability::ForwardTopic.into()));
    script.assert_quiet();

    script.packet(ready(ALIAS + 1, 9_000));
    assert_eq!(
        script.take_event(),
        Event::Connected {
            alias: ALIAS + 1,
            server: 7
        }
    );
    script.take_sent(MessageType::Ping);
    script.assert_quiet();
    assert_eq!(script.session.packet_bytes_max(), 9_000);
    let alias = ALIAS + 1;
    assert_eq!(
        script.session.state(),
        State::Connected { alias, server: 7 }
    );
}

#[test]
fn the_token_of_an_earlier_client_is_shown_at_the_first_dial() {
    for (given, shown) in [("t0ken", true), ("not a token", false), ("", false)] {
        let script = &mut Script::with(Config {
            resume: Some(Secret::new(given)),
            ..Config::default()
        });
        let expected = shown.then(|| Secret::new(given));
        assert_eq!(script.session.resume_token(), expected.as_ref());
        let Output::Dial { resume, .. } = script.take() else {
            panic!("expected Dial");
        };
        assert_eq!(resume, expected, "{given:?}");
    }
}

#[test]
fn candidates_pass_both_ways() {
    let mut script = Script::new();
    script.reach_server(&[7]);
    script.outputs.clear();
    let (peer, data) = (script.peer(), Bytes::from_static(b"{candidate}"));
    let candidate = WebRtcMessage {
        r#type: MessageType::WebrtcIceCandidate.into(),
        from_alias: 7,
        data: data.clone(),
        ..Default::default()
    };
    script.signal(candidate.clone());
    let kind = SignalKind::Candidate;
    assert_eq!(
        script.take(),
        Output::RemoteSignal {
            peer,
            kind,
            data: data.clone()
        }
    );
    script.signal(WebRtcMessage {
        from_alias: 9,
        ..candidate
    });
    script.assert_quiet();
    assert_eq!(script.session.stats().dropped.unexpected, 1);
    script.input(Input::LocalSignal { peer, kind, data });
    let Output::Signal { bytes, .. } = script.take() else {
        panic!("expected a candidate")
    };
    assert_eq!(
        WebRtcMessage::decode(bytes).expect("a candidate").to_alias,
        7
    );
}

#[test]
fn full_servers_are_skipped_then_waited_for() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7, 8]));
    assert_eq!(script.take_connect(), 7);
    let refused = |server| ConnectionRefusedMessage {
        r#type: MessageType::ConnectionRefused.into(),
        from_alias: server,
        reason: ConnectionRefusedReason::ServerFull.into(),
        ..Default::default()
    };
    script.signal(refused(8));
    script.assert_quiet();
    script.signal(refused(7));
    // At once.
    assert_eq!(script.take_connect(), 8);
    script.signal(refused(8));
    assert_eq!(script.take(), Output::HangUp { socket });
    let Event::Retrying {
        reason: Reason::ServerFull,
        after,
    } = script.take_event()
    else {
        panic!("expected Retrying");
    };
    assert!(after <= BackoffConfig::default().first);
    assert_eq!(script.sleep(), after);
    assert_ne!(script.take_dial(), socket);
    assert_eq!(script.session.stats().attempts_failed, 2);
}

#[test]
fn when_all_are_full_the_shortest_of_their_waits_counts() {
    let full = |retry_after_ms| ErrorMessage {
        retry_after_ms,
        ..error(Reason::ServerFull, 0)
    };
    for (waits_ms, least_ms) in [
        ([9_000, 4_000], 4_000),
        ([4_000, 9_000], 4_000),
        ([0, 4_000], 4_000),
        ([0, 0], 0),
    ] {
        let mut script = Script::new();
        script.reach_server(&[7, 8]);
        script.outputs.clear();
        script.packet(full(waits_ms[0]));
        assert!(matches!(script.take(), Output::ClosePeer { .. }));
        assert_eq!(script.take_connect(), 8);
        script.signal(offer(8));
        script.open_lanes();
        script.outputs.clear();
        script.packet(full(waits_ms[1]));
        let slept = script.sleep();
        let least = Duration::from_millis(least_ms);
        assert!(slept > least, "{slept:?} of {waits_ms:?}");
        assert!(
            slept <= least + BackoffConfig::default().first,
            "{slept:?} of {waits_ms:?}"
        );
    }
}

#[test]
fn a_refusal_for_good_ends_it() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7, 8]));
    script.take_connect();
    script.signal(ConnectionRefusedMessage {
        r#type: MessageType::ConnectionRefused.into(),
        from_alias: 7,
        reason: ConnectionRefusedReason::AuthFailed.into(),
        ..Default::default()
    });
    assert_eq!(script.take(), Output::HangUp { socket });
    assert_eq!(
        script.take_event(),
        Event::Stopped {
            reason: Reason::Unauthenticated
        }
    );
}

#[test]
fn an_unreachable_server_goes_to_the_next() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7, 8]));
    script.take_connect();
    let gone = |alias| ErrorMessage {
        alias,
        ..error(Reason::PeerUnavailable, 0)
    };
    script.signal(gone(8));
    script.assert_quiet();
    script.signal(gone(7));
    assert_eq!(script.take_connect(), 8);
}

#[test]
fn an_attempt_that_takes_too_long_is_abandoned_for_a_fresh_peer() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7, 8]));
    script.take_connect();
    script.advance(Config::default().offer_timeout - Duration::from_millis(1));
    script.signal(offer(7));
    script.outputs.clear();
    let first = script.peer();
    assert_eq!(script.sleep(), Config::default().connect_timeout);
    assert_eq!(script.take(), Output::ClosePeer { peer: first });
    assert_eq!(script.take_connect(), 8);
    script.signal(offer(8));
    let second = script.peer();
    assert_ne!(first, second);
    assert_eq!(script.take(), Output::OpenPeer { peer: second });
    // What the first one still says is nobody's business.
    script.input(Input::LaneOpened {
        peer: first,
        lane: Lane::Reliable,
    });
    script.input(Input::PeerClosed {
        peer: first,
        reason: Reason::TransportClosed,
    });
    assert_eq!(script.session.state(), State::Connecting { server: 8 });
    assert_eq!(script.session.stats().dropped.stale, 2);
}

#[test]
fn a_server_that_makes_no_offer_is_passed_over() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7, 8]));
    assert_eq!(script.take_connect(), 7);
    assert_eq!(script.sleep(), Config::default().offer_timeout);
    assert_eq!(script.take_connect(), 8);
    // What the first one still offers is nobody's business.
    script.signal(offer(7));
    script.assert_quiet();
    script.signal(offer(8));
    let peer = script.peer();
    assert_eq!(script.take(), Output::OpenPeer { peer });
}

#[test]
fn the_newest_offer_counts_until_the_lane_is_open() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7]));
    script.take_connect();
    script.signal(offer(7));
    let first = script.peer();
    script.outputs.clear();
    script.signal(offer(7));
    assert_eq!(script.take(), Output::ClosePeer { peer: first });
    let second = script.peer();
    assert_eq!(script.take(), Output::OpenPeer { peer: second });
    script.open_lanes();
    script.outputs.clear();
    script.signal(offer(7));
    script.assert_quiet();
    assert_eq!(script.session.stats().dropped.unexpected, 1);
}

#[test]
fn without_servers_it_waits_for_one() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[]));
    script.assert_quiet();
    assert_eq!(script.session.state(), State::WaitingForServer);
    assert_eq!(script.session.next_deadline(), None);
    let mut full = servers(1, &[9]);
    full.entries[0].state = ServerState::Full.into();
    script.signal(full);
    script.assert_quiet();
    script.signal(servers(2, &[9]));
    assert_eq!(script.take_connect(), 9);
    // More of them change nothing.
    script.signal(servers(3, &[9, 10]));
    script.assert_quiet();
}

#[test]
fn older_servers_are_ignored() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[]));
    script.signal(servers(5, &[]));
    script.signal(servers(4, &[9]));
    script.assert_quiet();
    assert_eq!(script.session.stats().dropped.stale, 1);
    script.signal(servers(5, &[10]));
    assert_eq!(script.take_connect(), 10);
    // Another coordinator counts anew.
    let reason = None;
    script.input(Input::SignallingClosed { socket, reason });
    script.sleep_until_dial();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[]));
    script.signal(servers(1, &[11]));
    assert_eq!(script.take_connect(), 11);
}

#[test]
fn a_coordinator_of_2019_is_asked_again() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(WelcomeMessage {
        capabilities: Vec::new(),
        ..welcome(ALIAS, &[])
    });
    assert_eq!(script.take(), Output::HangUp { socket });
    assert!(matches!(script.take_event(), Event::Retrying { .. }));
    script.sleep();
    script.take_dial();
}

#[test]
fn no_welcome_is_no_session() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    assert_eq!(script.sleep(), Config::default().welcome_timeout);
    assert_eq!(script.take(), Output::HangUp { socket });
    assert!(matches!(script.take_event(), Event::Retrying { .. }));
    script.sleep();
    script.take_dial();
}

#[test]
fn at_most_four_servers_are_tried() {
    let mut script = Script::new();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[1, 1, 2, 3, 4, 5, 6]));
    let mut tried = vec![script.take_connect()];
    while let Output::Signal { bytes, .. } = {
        script.sleep();
        script.take()
    } {
        tried.push(ConnectMessage::decode(bytes).expect("a CONNECT").to_alias);
    }
    // The list is cut at four entries, then freed of repetition.
    assert_eq!(tried, [1, 2, 3]);
}

#[test]
fn works_against_a_2019_server() {
    let mut script = Script::new();
    let early = script.subscribe(&["b", "a"]);
    script.reach_server(&[7]);
    script.outputs.clear();
    assert_eq!(script.sleep(), Config::default().ready_timeout);
    script.echo();
    assert_eq!(
        script.take_event(),
        Event::Connected {
            alias: ALIAS,
            server: 7
        }
    );
    let list = SubscriptionMessage::decode(script.take_sent(MessageType::Subscription));
    assert_eq!(list.expect("a SUBSCRIPTION").topics, "a b");
    assert_eq!(
        script.take_event(),
        Event::Answered {
            request: early,
            result: Ok(())
        }
    );
    script.take_sent(MessageType::Ping);
    script.assert_quiet();
    assert_eq!(script.session.packet_bytes_max(), 5_120);

    let late = script.unsubscribe(&["a"]);
    let list = SubscriptionMessage::decode(script.take_sent(MessageType::Subscription));
    assert_eq!(list.expect("a SUBSCRIPTION").topics, "b");
    assert_eq!(
        script.take_event(),
        Event::Answered {
            request: late,
            result: Ok(())
        }
    );
}

#[test]
fn a_server_that_is_slow_to_decide_is_not_flooded() {
    let mut script = Script::new();
    script.subscribe(&["a"]);
    script.reach_server(&[7]);
    script.outputs.clear();
    script.sleep();
    let ping = script.take_sent(MessageType::Ping);
    // More than a server holds; it would close the peer for good.
    for _ in 0..100 {
        let published = script.publish(Lane::Reliable, b"x");
        assert_eq!(published, Ok(Published::Queued));
    }
    script.assert_quiet();

    script.packet(ready(ALIAS, 12_000));
    assert!(matches!(script.take_event(), Event::Connected { .. }));
    assert_eq!(script.session.packet_bytes_max(), 12_000);
    assert_eq!(script.take_subscribe().1, ["a"]);
    for _ in 0..100 {
        script.take_sent(MessageType::Topic);
    }
    // The echo comes behind READY, and is nothing but a round trip.
    let dropped = script.session.stats().dropped.unexpected;
    script.packet(PingMessage::decode(ping).expect("a PING"));
    assert_eq!(script.session.stats().dropped.unexpected, dropped);
    assert!(script.session.rtt().is_some());
}

#[test]
fn long_lists_for_2019_are_gzipped_and_too_long_ones_reported() {
    let mut script = Script::new();
    let topics: Vec<String> = (0..600).map(|n| format!("topic/{n}")).collect();
    script.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    script.reach_server(&[7]);
    script.outputs.clear();
    script.sleep();
    script.echo();
    let sent = script.outputs.iter().find_map(|output| match output {
        Output::Send { frame, .. }
            if peek::message_type(frame) == Some(MessageType::Subscription) =>
        {
            Some(frame.clone())
        }
        _ => None,
    });
    let list = SubscriptionMessage::decode(sent.expect("a SUBSCRIPTION")).expect("decodes");
    assert_eq!(list.format, i32::from(proto::Format::Gzip));
    let read = proto::topic_list::decode(list.format, &list.topics, 100_000).expect("a list");
    assert_eq!(read.topics().count(), 600);
    assert_eq!(script.session.stats().dropped.topic_list_too_large, 0);

    // Random names do not compress: 300 of 40 characters are more than 5,120 bytes.
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{seed:016x}")
    };
    let topics: Vec<String> = (0..400).map(|_| random() + &random()).collect();
    script.outputs.clear();
    script.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    let Event::Error(error) = script.take_event() else {
        panic!("expected an error")
    };
    assert_eq!(error.reason, Some(Reason::BadTopicList));
    assert_eq!(script.session.stats().dropped.topic_list_too_large, 1);
}

#[test]
fn a_wrong_token_ends_it() {
    let mut script = Script::new();
    let pending = script.subscribe(&["a"]);
    script.reach_server(&[7, 8]);
    script.outputs.clear();
    script.packet(error(Reason::Unauthenticated, 0));
    let peer = script.peer();
    assert_eq!(script.take(), Output::ClosePeer { peer });
    assert!(matches!(script.take(), Output::HangUp { .. }));
    let reason = Reason::Unauthenticated;
    let result = Err(RequestError::Stopped(reason));
    assert_eq!(
        script.take_event(),
        Event::Answered {
            request: pending,
            result
        }
    );
    assert_eq!(script.take_event(), Event::Stopped { reason });
    assert_eq!(script.session.state(), State::Stopped { reason });
    assert_eq!(script.session.next_deadline(), None);
    assert!(script.session.subscribe(script.now, &["b"]).is_err());
    let refused = Err(PublishError::Stopped(reason));
    assert_eq!(script.publish(Lane::Reliable, b"x"), refused);
}

#[test]
fn a_server_that_cannot_check_is_left_for_the_next() {
    let mut script = Script::new();
    script.reach_server(&[7, 8]);
    script.outputs.clear();
    script.packet(error(Reason::AuthUnavailable, 0));
    let peer = script.peer();
    assert_eq!(script.take(), Output::ClosePeer { peer });
    assert_eq!(script.take_connect(), 8);
}
