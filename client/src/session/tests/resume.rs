//! Coming back under the same alias, and being told that somebody else did.

use super::*;
use proto::{PeerGoneMessage, ReplacedMessage};

fn welcome_with(alias: u64, servers: &[u64], resume_token: &str) -> WelcomeMessage {
    WelcomeMessage {
        resume_token: resume_token.into(),
        ..welcome(alias, servers)
    }
}

fn replaced() -> ReplacedMessage {
    ReplacedMessage {
        r#type: MessageType::Replaced.into(),
    }
}

fn peer_gone(alias: u64) -> PeerGoneMessage {
    PeerGoneMessage {
        r#type: MessageType::PeerGone.into(),
        alias,
    }
}

/// What the next dial shows.
fn take_dial_showing(script: &mut Script) -> Option<String> {
    match script.take() {
        Output::Dial { socket, resume, .. } => {
            script.input(Input::SignallingOpened { socket });
            resume.map(|token| String::from_utf8(token.expose().to_vec()).expect("text"))
        }
        other => panic!("expected Dial, got {other:?}"),
    }
}

/// Connected to server 7 under [`ALIAS`], for long enough, with a token.
fn connected_with_token() -> Script {
    let mut script = Script::new();
    assert_eq!(take_dial_showing(&mut script), None);
    script.signal(welcome_with(ALIAS, &[7, 8], "t0ken"));
    script.take_connect();
    script.signal(offer(7));
    script.open_lanes();
    script.packet(ready(ALIAS, 0));
    script.advance(Duration::from_secs(60));
    script.outputs.clear();
    script
}

fn cut_signalling(script: &mut Script) {
    let socket = SocketId(script.session.stats().dials);
    let reason = None;
    script.input(Input::SignallingClosed { socket, reason });
}

#[test]
fn a_resume_token_is_shown_at_every_later_dial() {
    let mut script = connected_with_token();
    for _ in 0..2 {
        cut_signalling(&mut script);
        script.sleep_until_dial();
        assert_eq!(take_dial_showing(&mut script).as_deref(), Some("t0ken"));
    }
    script.signal(welcome_with(ALIAS, &[7, 8], "newer"));
    cut_signalling(&mut script);
    script.sleep_until_dial();
    assert_eq!(take_dial_showing(&mut script).as_deref(), Some("newer"));
    // The last WELCOME counts, also when it gives none.
    script.signal(welcome(ALIAS, &[7, 8]));
    cut_signalling(&mut script);
    script.sleep_until_dial();
    assert_eq!(take_dial_showing(&mut script), None);
}

#[test]
fn a_resume_token_that_fits_into_no_header_is_not_shown() {
    let longest = "x".repeat(4_096);
    let too_long = "x".repeat(4_097);
    for (token, shown) in [
        ("a.B-c_1", true),
        ("a b", false),
        ("a,b", false),
        ("a\r\nb", false),
        ("ä", false),
        (&longest, true),
        (&too_long, false),
    ] {
        let mut script = Script::new();
        take_dial_showing(&mut script);
        script.signal(welcome_with(ALIAS, &[7], token));
        script.outputs.clear();
        cut_signalling(&mut script);
        script.sleep_until_dial();
        let expected = shown.then_some(token);
        assert_eq!(take_dial_showing(&mut script).as_deref(), expected);
        let malformed = script.session.stats().dropped.malformed;
        assert_eq!(malformed, u64::from(!shown), "{token:?}");
    }
}

#[test]
fn a_fresh_alias_while_a_peer_lives_changes_nothing_for_the_peer() {
    let mut script = connected_with_token();
    cut_signalling(&mut script);
    script.sleep_until_dial();
    take_dial_showing(&mut script);
    script.signal(welcome_with(2000, &[8], "other"));
    script.assert_quiet();
    let (alias, server) = (ALIAS, 7);
    let unchanged = State::Connected { alias, server };
    assert_eq!(script.session.state(), unchanged);
    assert_eq!(script.publish(Lane::Reliable, b"x"), Ok(Published::Sent));

    // The next server knows us by the new one.
    script.outputs.clear();
    script.lose_peer();
    script.sleep_until_dial();
    assert_eq!(take_dial_showing(&mut script).as_deref(), Some("other"));
    script.signal(welcome_with(2000, &[8], "other"));
    assert_eq!(script.take_connect(), 8);
    script.signal(offer(8));
    script.open_lanes();
    script.packet(ready(0, 0));
    let (alias, server) = (2000, 8);
    assert_eq!(script.session.state(), State::Connected { alias, server });
}

#[test]
fn replaced_means_forget_the_token_and_join_afresh() {
    type Loss = fn(&mut Script);
    let losses: [Loss; 3] = [
        |script| script.signal(replaced()),
        // The message got lost, the close code did not.
        |script| {
            let socket = SocketId(script.session.stats().dials);
            let reason = Some(Reason::Replaced);
            script.input(Input::SignallingClosed { socket, reason });
        },
        // The server has heard it first: the other one has a peer already.
        |script| script.packet(error(Reason::Replaced, 0)),
    ];
    for lose in losses {
        let mut script = connected_with_token();
        script.subscribe(&["a"]);
        let (id, _) = script.take_subscribe();
        script.ack(id);
        script.outputs.clear();
        let peer = script.peer();

        lose(&mut script);
        let reason = Reason::Replaced;
        assert_eq!(script.take(), Output::ClosePeer { peer });
        assert_eq!(script.take_event(), Event::Disconnected { reason });
        assert_eq!(script.publish(Lane::Reliable, b"x"), Ok(Published::Queued));
        script
            .outputs
            .retain(|output| !matches!(output, Output::HangUp { .. }));
        assert!(matches!(script.take_event(), Event::Retrying { .. }));
        script.assert_quiet();

        script.sleep_until_dial();
        assert_eq!(take_dial_showing(&mut script), None);
        script.signal(welcome_with(2000, &[7], "fresh"));
        assert_eq!(script.take_connect(), 7);
        script.signal(offer(7));
        script.open_lanes();
        script.outputs.clear();
        script.packet(ready(2000, 0));
        assert!(matches!(
            script.take_event(),
            Event::Connected { alias: 2000, .. }
        ));
        assert_eq!(script.take_subscribe().1, ["a"]);
        script.take_sent(MessageType::Topic);
    }
}

#[test]
fn replaced_while_connecting_ends_the_attempt() {
    let mut script = Script::new();
    take_dial_showing(&mut script);
    script.signal(welcome_with(ALIAS, &[7, 8], "t0ken"));
    script.signal(offer(7));
    let peer = script.peer();
    script.outputs.clear();
    script.signal(replaced());
    assert_eq!(script.take(), Output::ClosePeer { peer });
    assert!(matches!(script.take(), Output::HangUp { .. }));
    let Event::Retrying { reason, .. } = script.take_event() else {
        panic!("expected Retrying");
    };
    assert_eq!(reason, Reason::Replaced);
    script.sleep_until_dial();
    assert_eq!(take_dial_showing(&mut script), None);
}

#[test]
fn peer_gone_about_us_redials_signalling_and_keeps_the_peer() {
    let mut script = connected_with_token();
    let socket = SocketId(script.session.stats().dials);
    script.packet(peer_gone(ALIAS));
    assert_eq!(script.take(), Output::HangUp { socket });
    // Once is enough.
    script.packet(peer_gone(ALIAS));
    script.assert_quiet();
    assert_eq!(script.publish(Lane::Reliable, b"x"), Ok(Published::Sent));
    script.outputs.clear();

    assert!(script.sleep() <= BackoffConfig::default().first);
    assert_eq!(take_dial_showing(&mut script).as_deref(), Some("t0ken"));
    script.signal(welcome_with(ALIAS, &[8], "t0ken"));
    // That is the news about the session that we have just left.
    script.packet(peer_gone(ALIAS));
    script.assert_quiet();
    let (alias, server) = (ALIAS, 7);
    assert_eq!(script.session.state(), State::Connected { alias, server });
    assert_eq!(script.session.stats().dropped.stale, 2);
}

#[test]
fn peer_gone_about_a_former_session_of_ours_is_ignored() {
    let mut script = connected_with_token();
    cut_signalling(&mut script);
    script.sleep_until_dial();
    take_dial_showing(&mut script);
    script.signal(welcome_with(2000, &[8], "other"));
    script.advance(Duration::from_secs(60));
    script.outputs.clear();
    // The peer lives under the old alias; the session under the new one is well.
    script.packet(peer_gone(ALIAS));
    script.assert_quiet();
    assert_eq!(script.session.stats().dropped.stale, 1);
}

#[test]
fn peer_gone_about_another_is_ignored() {
    let mut script = connected_with_token();
    script.packet(peer_gone(ALIAS + 1));
    script.assert_quiet();
    assert_eq!(script.session.stats().dropped.unexpected, 1);
}

#[test]
fn who_comes_back_does_not_hear_itself() {
    let mut script = connected_with_token();
    script.subscribe(&["t"]);
    script.outputs.clear();
    for (from_alias, heard) in [(ALIAS, false), (ALIAS + 1, true)] {
        script.packet(TopicFwMessage {
            r#type: MessageType::TopicFw.into(),
            from_alias,
            topic: "t".into(),
            ..Default::default()
        });
        assert_eq!(script.outputs.pop_front().is_some(), heard);
    }
    assert_eq!(script.session.stats().dropped.own_echo, 1);
}

#[test]
fn losing_both_takes_the_dial_that_is_under_way() {
    let mut script = connected_with_token();
    cut_signalling(&mut script);
    script.sleep_until_dial();
    let socket = script.take_dial();
    let reason = Reason::IdleTimeout;
    script.lose_peer();
    assert_eq!(script.take_event(), Event::Disconnected { reason });
    script.assert_quiet();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome_with(ALIAS, &[7, 8], "t0ken"));
    assert_eq!(script.take_connect(), 8);
}

#[test]
fn a_token_says_nothing_in_debug() {
    let mut script = connected_with_token();
    cut_signalling(&mut script);
    script.sleep_until_dial();
    let shown = format!("{:?} {:?}", script.session, script.outputs);
    assert!(!shown.contains("t0ken"), "{shown}");
    assert!(shown.contains("Secret(5 bytes)"), "{shown}");
}
