//! Whether the server has what was published.

use super::*;

fn flush(script: &mut Script) -> RequestId {
    let request = script.session.flush().expect("accepted");
    script.drain();
    request
}

fn take_answer(script: &mut Script) -> (RequestId, Result<(), RequestError>) {
    match script.take_event() {
        Event::Answered { request, result } => (request, result),
        other => panic!("expected an answer, got {other:?}"),
    }
}

/// Connected, with the round trip's own PING answered.
fn connected() -> Script {
    let mut script = Script::new();
    script.reach_server(&[7, 8]);
    script.outputs.clear();
    script.packet(ready(ALIAS, 0));
    script.take_event();
    script.echo();
    script.assert_quiet();
    script
}

#[test]
fn an_echo_behind_it_confirms() {
    let mut script = connected();
    script.publish(Lane::Reliable, b"1").expect("sent");
    let request = flush(&mut script);
    script.take_sent(MessageType::Topic);
    let ping = script.take_sent(MessageType::Ping);
    script.assert_quiet();
    // The round trip goes on being measured beside it.
    script.advance(Duration::from_secs(5));
    let measures = script.take_sent(MessageType::Ping);
    script.now += Duration::from_millis(30);
    script.packet(PingMessage::decode(ping).expect("a PING"));
    assert_eq!(take_answer(&mut script), (request, Ok(())));
    script.packet(PingMessage::decode(measures).expect("a PING"));
    assert_eq!(script.session.rtt(), Some(Duration::from_millis(30)));
    assert_eq!(script.session.stats().dropped.unexpected, 0);
    // Nothing more to confirm.
    let request = flush(&mut script);
    assert_eq!(take_answer(&mut script), (request, Ok(())));
    script.assert_quiet();
}

#[test]
fn what_waits_for_a_server_is_waited_for() {
    let mut script = Script::new();
    script.publish(Lane::Reliable, b"1").expect("queued");
    let request = flush(&mut script);
    script.reach_server(&[7]);
    script.outputs.clear();
    script.packet(ready(ALIAS, 0));
    script.take_event();
    script.take_sent(MessageType::Topic);
    let of_the_flush = script.take_sent(MessageType::Ping);
    script.take_sent(MessageType::Ping);
    script.packet(PingMessage::decode(of_the_flush).expect("a PING"));
    assert_eq!(take_answer(&mut script), (request, Ok(())));
}

#[test]
fn congestion_is_waited_for() {
    let mut script = connected();
    let peer = script.peer();
    script.input(Input::Congested { peer });
    script.publish(Lane::Reliable, b"1").expect("queued");
    let request = flush(&mut script);
    script.assert_quiet();
    script.input(Input::Writable { peer });
    script.take_sent(MessageType::Topic);
    script.echo();
    assert_eq!(take_answer(&mut script), (request, Ok(())));
}

#[test]
fn a_server_lost_before_it_confirmed_leaves_it_open() {
    let mut script = connected();
    script.publish(Lane::Reliable, b"1").expect("sent");
    let asked = flush(&mut script);
    script.outputs.clear();
    script.lose_peer();
    assert_eq!(
        take_answer(&mut script),
        (asked, Err(RequestError::Unconfirmed))
    );
    // Told once.
    script.outputs.clear();
    let later = flush(&mut script);
    assert_eq!(take_answer(&mut script), (later, Ok(())));
}

#[test]
fn a_loss_before_the_flush_is_told_by_it() {
    let mut script = connected();
    script.publish(Lane::Reliable, b"1").expect("sent");
    script.lose_peer();
    script.outputs.clear();
    let request = flush(&mut script);
    assert_eq!(
        take_answer(&mut script),
        (request, Err(RequestError::Unconfirmed))
    );
    let request = flush(&mut script);
    assert_eq!(take_answer(&mut script), (request, Ok(())));
}

#[test]
fn what_was_confirmed_before_the_loss_is_not_lost() {
    let mut script = connected();
    script.publish(Lane::Reliable, b"1").expect("sent");
    flush(&mut script);
    script.take_sent(MessageType::Topic);
    script.echo();
    script.lose_peer();
    script.outputs.clear();
    let request = flush(&mut script);
    assert_eq!(take_answer(&mut script), (request, Ok(())));
}

#[test]
fn what_gave_way_in_the_queue_is_told() {
    let mut script = Script::with(Config {
        offline: Offline::Queue {
            count_max: 1,
            bytes_max: 1_000,
            overflow: Overflow::DropOldest,
        },
        ..Config::default()
    });
    script.publish(Lane::Reliable, b"1").expect("queued");
    script.outputs.clear();
    let waits = flush(&mut script);
    script.publish(Lane::Reliable, b"2").expect("queued");
    assert_eq!(
        take_answer(&mut script),
        (waits, Err(RequestError::Unconfirmed))
    );
    script.publish(Lane::Reliable, b"3").expect("queued");
    let request = flush(&mut script);
    assert_eq!(
        take_answer(&mut script),
        (request, Err(RequestError::Unconfirmed))
    );
}

#[test]
fn unreliable_publications_are_not_waited_for() {
    let mut script = connected();
    script.publish(Lane::Unreliable, b"1").expect("sent");
    script.outputs.clear();
    let request = flush(&mut script);
    assert_eq!(take_answer(&mut script), (request, Ok(())));
}

#[test]
fn flushes_are_limited_and_end_with_the_session() {
    let mut script = Script::with(Config {
        requests_max: 2,
        ..Config::default()
    });
    script.publish(Lane::Reliable, b"1").expect("queued");
    let first = flush(&mut script);
    let second = flush(&mut script);
    assert_eq!(
        script.session.flush(),
        Err(RequestRefused::TooManyRequests(2))
    );
    script.outputs.clear();
    script.session.close(Reason::Closed);
    script.drain();
    let answers: Vec<_> = script
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Event(Event::Answered { request, result }) => Some((*request, result.clone())),
            _ => None,
        })
        .collect();
    let stopped = Err(RequestError::Stopped(Reason::Closed));
    assert_eq!(answers, [(first, stopped.clone()), (second, stopped)]);
    assert!(matches!(
        script.session.flush(),
        Err(RequestRefused::Stopped(_))
    ));
}
