//! Leaving a server for another one, once it has all that was published.

use super::{
    moves::{asking, assert_on, take_move, welcome_back},
    *,
};
use proto::peek::TopicPacket;

/// Another server is found, while a publication is on its way to the old one.
fn leaving() -> (Script, Bytes) {
    let (mut script, socket) = asking();
    assert_eq!(script.publish(Lane::Reliable, b"1"), Ok(Published::Sent));
    script.take_sent(MessageType::Topic);
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome_back(&[7, 8]));
    let ping = script.take_sent(MessageType::Ping);
    script.assert_quiet();
    assert_on(&script, 7);
    (script, ping)
}

fn echo(script: &mut Script, ping: Bytes) {
    script.packet(PingMessage::decode(ping).expect("a PING"));
}

/// What is sent once server 8 has taken us in.
fn sent_to_the_next(script: &mut Script) -> Vec<Bytes> {
    script.signal(offer(8));
    script.open_lanes();
    script.outputs.clear();
    script.packet(ready(ALIAS, 0));
    let bodies = script.outputs.iter().filter_map(|output| match output {
        Output::Send { frame, .. } => TopicPacket::decode(frame).map(|packet| packet.body.to_vec()),
        _ => None,
    });
    bodies.map(Bytes::from).collect()
}

#[test]
fn a_server_is_left_when_it_has_everything() {
    let (mut script, ping) = leaving();
    // Whatever comes after the question would not be covered by the answer.
    assert_eq!(script.publish(Lane::Reliable, b"2"), Ok(Published::Queued));
    assert_eq!(script.publish(Lane::Unreliable, b"-"), Ok(Published::Sent));
    script.outputs.clear();
    let flush = script.session.flush().expect("accepted");
    script.drain();
    script.assert_quiet();
    echo(&mut script, ping);
    take_move(&mut script);
    assert_eq!(sent_to_the_next(&mut script), ["2"]);

    // The flush has waited for both: the first is confirmed, the second is about to be.
    let is_answer = |output: &Output| matches!(output, Output::Event(Event::Answered { .. }));
    assert!(!script.outputs.iter().any(is_answer));
    let pings: Vec<Bytes> = script
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send { frame, .. } if peek::message_type(frame) == Some(MessageType::Ping) => {
                Some(frame.clone())
            }
            _ => None,
        })
        .collect();
    script.outputs.clear();
    for ping in pings {
        echo(&mut script, ping);
    }
    let answer = Event::Answered {
        request: flush,
        result: Ok(()),
    };
    assert_eq!(script.take_event(), answer);
}

#[test]
fn a_flush_is_answered_when_the_server_has_everything() {
    let (mut script, ping) = leaving();
    let request = script.session.flush().expect("accepted");
    script.drain();
    script.take_sent(MessageType::Ping);
    echo(&mut script, ping);
    let result = Ok(());
    assert_eq!(script.take_event(), Event::Answered { request, result });
    take_move(&mut script);
    // And nothing of it counts as lost.
    let request = script.session.flush().expect("accepted");
    script.drain();
    let result = Ok(());
    assert_eq!(script.take_event(), Event::Answered { request, result });
}

#[test]
fn a_server_that_does_not_say_that_it_has_everything_is_left_in_time() {
    let (mut script, _) = leaving();
    assert_eq!(script.sleep(), Duration::from_secs(2));
    take_move(&mut script);
}

#[test]
fn who_loses_the_coordinator_while_leaving_stays() {
    let (mut script, ping) = leaving();
    assert_eq!(script.publish(Lane::Reliable, b"2"), Ok(Published::Queued));
    let socket = SocketId(script.session.stats().dials);
    let reason = None;
    script.input(Input::SignallingClosed { socket, reason });
    let frame = script.take_sent(MessageType::Topic);
    let packet = TopicPacket::decode(&frame).expect("a TOPIC");
    assert_eq!(packet.body, &b"2"[..]);
    assert_on(&script, 7);
    // The answer is about another question now.
    echo(&mut script, ping);
    script.assert_quiet();

    script.sleep();
    let socket = script.take_dial();
    script.input(Input::SignallingOpened { socket });
    script.signal(welcome_back(&[8]));
    script.echo();
    take_move(&mut script);
}

#[test]
fn a_server_that_closes_while_it_is_left_costs_no_dial() {
    let (mut script, _) = leaving();
    let peer = script.peer();
    script.packet(error(Reason::ShuttingDown, 0));
    assert_eq!(script.take(), Output::ClosePeer { peer });
    let reason = Reason::ShuttingDown;
    assert_eq!(script.take_event(), Event::Disconnected { reason });
    assert_eq!(script.take_connect(), 8);
    let stats = script.session.stats();
    assert_eq!((stats.moves, stats.disconnects), (0, 1));
}

#[test]
fn newer_servers_take_the_place_of_those_found_before() {
    let (mut script, ping) = leaving();
    script.signal(servers(1, &[7]));
    script.signal(servers(2, &[9, 7]));
    echo(&mut script, ping);
    assert!(matches!(script.take(), Output::ClosePeer { .. }));
    script.take_event();
    assert_eq!(script.take_connect(), 9);
}
