//! Tokens that the owner is asked for.

use super::*;

fn asking() -> Script {
    Script::with(Config {
        token: TokenSource::Asked,
        ping_interval: None,
        ..Config::default()
    })
}

fn take_question(script: &mut Script) -> TokenRequest {
    match script.take() {
        Output::FetchToken { request } => request,
        other => panic!("expected FetchToken, got {other:?}"),
    }
}

fn answer(script: &mut Script, request: TokenRequest, token: &'static str) {
    let result = Ok(Secret::new(token));
    script.input(Input::Token { request, result });
}

/// The token that the dial shows.
fn take_dial_with(script: &mut Script) -> (SocketId, Option<Secret>) {
    match script.take() {
        Output::Dial { socket, token, .. } => (socket, token),
        other => panic!("expected Dial, got {other:?}"),
    }
}

fn take_auth(script: &mut Script) -> Bytes {
    let auth = AuthMessage::decode(script.take_sent(MessageType::Auth));
    auth.expect("an AUTH").body
}

fn assert_retrying(script: &mut Script) {
    let Event::Retrying { reason, .. } = script.take_event() else {
        panic!("expected Retrying");
    };
    assert_eq!(reason, Reason::AuthUnavailable);
}

/// Lets the coordinator welcome us, and the server that is asked make its offer.
fn reach_lanes(script: &mut Script, socket: SocketId) {
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[7, 8]));
    let server = script.take_connect();
    script.signal(offer(server));
    script.outputs.clear();
}

#[test]
fn a_fixed_token_needs_no_question() {
    let token = || Secret::new("fixed");
    let mut script = Script::with(Config {
        token: TokenSource::Fixed(token()),
        ..Config::default()
    });
    assert_eq!(take_dial_with(&mut script).1, Some(token()));
    let mut script = Script::new();
    assert_eq!(take_dial_with(&mut script).1, None);
}

#[test]
fn the_token_callback_is_asked_before_each_dial() {
    let mut script = asking();
    for token in ["first", "second"] {
        let request = take_question(&mut script);
        script.assert_quiet();
        assert_eq!(script.session.state(), State::Dialing);
        answer(&mut script, request, token);
        let (socket, shown) = take_dial_with(&mut script);
        assert_eq!(shown, Some(Secret::new(token)));
        reach_lanes(&mut script, socket);
        script.open_lanes();
        assert_eq!(take_auth(&mut script), token);
        script.packet(ready(ALIAS, 0));
        script.lose_peer();
        script.sleep();
        script
            .outputs
            .retain(|output| matches!(output, Output::FetchToken { .. }));
    }
    assert_eq!(script.session.stats().tokens_missed, 0);
}

#[test]
fn the_token_callback_is_asked_again_for_an_auth_long_after_the_dial() {
    for (age_ms, asked) in [(29_999, false), (30_000, false), (30_001, true)] {
        let mut script = asking();
        let request = take_question(&mut script);
        answer(&mut script, request, "first");
        let (socket, _) = take_dial_with(&mut script);
        script.input(Input::SignallingOpened { socket });
        script.signal(welcome(ALIAS, &[]));
        // Nobody is there for a while.
        script.advance(Duration::from_millis(age_ms));
        script.signal(servers(1, &[7]));
        script.signal(offer(7));
        script.outputs.clear();
        script.open_lanes();
        if asked {
            let request = take_question(&mut script);
            script.assert_quiet();
            assert_eq!(script.session.state(), State::Connecting { server: 7 });
            answer(&mut script, request, "second");
        }
        let expected = if asked { "second" } else { "first" };
        assert_eq!(take_auth(&mut script), expected);
        script.assert_quiet();
        script.packet(ready(ALIAS, 0));
        assert!(matches!(script.session.state(), State::Connected { .. }));
    }
}

#[test]
fn without_a_token_for_auth_the_next_server_is_asked() {
    let mut script = asking();
    let request = take_question(&mut script);
    answer(&mut script, request, "first");
    let (socket, _) = take_dial_with(&mut script);
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome(ALIAS, &[]));
    script.advance(Duration::from_secs(60));
    script.signal(servers(1, &[7, 8]));
    script.signal(offer(7));
    script.outputs.clear();
    script.open_lanes();
    let request = take_question(&mut script);
    let result = Err(TokenUnavailable);
    script.input(Input::Token { request, result });
    assert!(matches!(script.take(), Output::ClosePeer { .. }));
    assert_eq!(script.take_connect(), 8);
}

#[test]
fn a_failing_token_callback_is_retried() {
    let mut script = asking();
    let mut waits = Vec::new();
    for _ in 0..4 {
        let request = take_question(&mut script);
        let result = Err(TokenUnavailable);
        script.input(Input::Token { request, result });
        assert_retrying(&mut script);
        waits.push(script.sleep());
    }
    assert!(waits[3] > 2 * waits[0], "{waits:?}");
    let request = take_question(&mut script);
    answer(&mut script, request, "at last");
    take_dial_with(&mut script);
    assert_eq!(script.session.stats().tokens_missed, 4);
}

#[test]
fn a_slow_token_callback_times_out() {
    let mut script = asking();
    let late = take_question(&mut script);
    assert_eq!(script.sleep(), Duration::from_secs(10));
    assert_retrying(&mut script);
    // Its answer comes after all, to a question that is none any more.
    answer(&mut script, late, "late");
    script.assert_quiet();
    assert_eq!(script.session.stats().dropped.stale, 1);
    script.sleep();
    let request = take_question(&mut script);
    assert_ne!(request, late);
    answer(&mut script, late, "late");
    script.assert_quiet();
    answer(&mut script, request, "in time");
    let (_, shown) = take_dial_with(&mut script);
    assert_eq!(shown, Some(Secret::new("in time")));
}

#[test]
fn a_peer_that_stands_needs_no_token() {
    let mut script = asking();
    let request = take_question(&mut script);
    answer(&mut script, request, "first");
    let (socket, _) = take_dial_with(&mut script);
    reach_lanes(&mut script, socket);
    script.open_lanes();
    script.packet(ready(ALIAS, 0));
    script.outputs.clear();
    let reason = None;
    script.input(Input::SignallingClosed { socket, reason });
    script.sleep();
    for _ in 0..3 {
        let request = take_question(&mut script);
        let result = Err(TokenUnavailable);
        script.input(Input::Token { request, result });
        script.assert_quiet();
        assert!(matches!(script.session.state(), State::Connected { .. }));
        assert_eq!(script.publish(Lane::Reliable, b"x"), Ok(Published::Sent));
        script.outputs.clear();
        script.sleep();
    }
    // The peer is lost while a token is awaited: the answer serves for what is next.
    let request = take_question(&mut script);
    script.lose_peer();
    assert!(matches!(script.take_event(), Event::Disconnected { .. }));
    script.assert_quiet();
    answer(&mut script, request, "second");
    take_dial_with(&mut script);
}

#[test]
fn closing_does_not_wait_for_a_token() {
    let mut script = asking();
    let request = take_question(&mut script);
    script.session.close(Reason::Closed);
    script.drain();
    assert!(matches!(script.take_event(), Event::Stopped { .. }));
    answer(&mut script, request, "late");
    script.assert_quiet();
}

/// Connected by the token `first`.
fn connected(token: TokenSource) -> Script {
    let asks = matches!(token, TokenSource::Asked);
    let mut script = Script::with(Config {
        token,
        ping_interval: None,
        ..Config::default()
    });
    if asks {
        let request = take_question(&mut script);
        answer(&mut script, request, "first");
    }
    let (socket, _) = take_dial_with(&mut script);
    reach_lanes(&mut script, socket);
    script.open_lanes();
    script.packet(ready(ALIAS, 0));
    script.outputs.clear();
    script
}

fn refresh(script: &mut Script) {
    script.packet(RefreshMessage {
        r#type: MessageType::Refresh.into(),
        within_ms: 60_000,
    });
}

#[test]
fn a_new_token_is_shown_when_the_server_asks_for_it() {
    let mut script = connected(TokenSource::Asked);
    for (round, token) in (1..).zip(["second", "third"]) {
        refresh(&mut script);
        let request = take_question(&mut script);
        script.assert_quiet();
        answer(&mut script, request, token);
        assert_eq!(take_auth(&mut script), token);
        // It is connected all the while.
        assert_eq!(script.publish(Lane::Reliable, b"x"), Ok(Published::Sent));
        script.outputs.clear();
        script.packet(ready(ALIAS, 0));
        script.assert_quiet();
        assert_eq!(script.session.stats().renewals, round);
    }
    assert_eq!(script.session.stats().connects, 1);
    assert_eq!(script.session.stats().dropped.unexpected, 0);
    script.packet(ready(ALIAS, 0));
    assert_eq!(script.session.stats().dropped.unexpected, 1);
}

#[test]
fn without_a_new_token_the_callback_is_asked_again() {
    let mut script = connected(TokenSource::Asked);
    refresh(&mut script);
    for _ in 0..3 {
        let request = take_question(&mut script);
        let result = Err(TokenUnavailable);
        script.input(Input::Token { request, result });
        script.assert_quiet();
        assert!(matches!(script.session.state(), State::Connected { .. }));
        assert_eq!(script.sleep(), Duration::from_secs(5));
    }
    let request = take_question(&mut script);
    answer(&mut script, request, "at last");
    assert_eq!(take_auth(&mut script), "at last");
}

#[test]
fn a_fixed_token_has_nothing_newer_to_show() {
    let mut script = connected(TokenSource::Fixed(Secret::new("fixed")));
    refresh(&mut script);
    script.assert_quiet();
    assert!(matches!(script.session.state(), State::Connected { .. }));
}

#[test]
fn a_peer_whose_token_has_ended_comes_back_with_a_new_one() {
    let mut script = connected(TokenSource::Asked);
    refresh(&mut script);
    let late = take_question(&mut script);
    script.packet(error(Reason::TokenExpired, 0));
    assert!(matches!(script.take(), Output::ClosePeer { .. }));
    let Event::Disconnected { reason } = script.take_event() else {
        panic!("expected Disconnected");
    };
    assert_eq!(reason, Reason::TokenExpired);
    script.outputs.clear();
    answer(&mut script, late, "late");
    script.assert_quiet();
    script.sleep();
    let request = take_question(&mut script);
    answer(&mut script, request, "second");
    assert_eq!(take_dial_with(&mut script).1, Some(Secret::new("second")));
}

#[test]
fn a_session_whose_token_has_ended_comes_back_with_a_new_one() {
    let mut script = connected(TokenSource::Asked);
    let socket = SocketId(script.session.stats().dials);
    let reason = Some(Reason::TokenExpired);
    script.input(Input::SignallingClosed { socket, reason });
    script.sleep();
    let request = take_question(&mut script);
    answer(&mut script, request, "second");
    assert_eq!(take_dial_with(&mut script).1, Some(Secret::new("second")));
    assert!(matches!(script.session.state(), State::Connected { .. }));
}

#[test]
fn who_is_revoked_stops() {
    let mut script = connected(TokenSource::Asked);
    script.packet(error(Reason::Revoked, 0));
    let stopped = State::Stopped {
        reason: Reason::Revoked,
    };
    assert_eq!(script.session.state(), stopped);
    // The coordinator's word is as good, also while a peer stands.
    let mut script = connected(TokenSource::Asked);
    let socket = SocketId(script.session.stats().dials);
    let reason = Some(Reason::Revoked);
    script.input(Input::SignallingClosed { socket, reason });
    assert_eq!(script.session.state(), stopped);
}

#[test]
fn a_subscription_that_a_new_token_does_not_allow_is_over() {
    let mut script = connected(TokenSource::Asked);
    script
        .session
        .subscribe(script.now, &["a", "b"])
        .expect("room");
    script.drain();
    script.outputs.clear();
    script.packet(ErrorMessage {
        topic: "a".into(),
        ..error(Reason::SubscriptionEnded, 0)
    });
    let Event::Error(told) = script.take_event() else {
        panic!("expected Error");
    };
    assert_eq!(told.topic, "a");
    // What may not be published ends no subscription.
    script.packet(ErrorMessage {
        topic: "b".into(),
        ..error(Reason::TopicForbidden, 0)
    });
    assert!(matches!(script.take_event(), Event::Error(_)));
    let topics: Vec<&str> = script.session.subscriptions.topics().collect();
    assert_eq!(topics, ["b"]);
}
