//! Requests and their answers.

use super::*;

#[test]
fn a_request_is_answered_by_ack() {
    let mut script = Script::connected();
    let request = script.subscribe(&["b", "a"]);
    let (id, topics) = script.take_subscribe();
    assert_eq!(topics, ["b", "a"]);
    script.assert_quiet();
    script.ack(id + 1);
    script.assert_quiet();
    script.ack(id);
    assert_eq!(
        script.take_event(),
        Event::Answered {
            request,
            result: Ok(())
        }
    );

    let request = script.unsubscribe(&["a"]);
    let frame = script.take_sent(MessageType::Unsubscribe);
    let sent = UnsubscribeMessage::decode(frame).expect("an UNSUBSCRIBE");
    assert_eq!(sent.entries[0].topic, "a");
    script.ack(sent.id);
    assert_eq!(
        script.take_event(),
        Event::Answered {
            request,
            result: Ok(())
        }
    );
    assert_eq!(
        script.session.subscriptions.topics().collect::<Vec<_>>(),
        ["b"]
    );
}

#[test]
fn a_refused_topic_is_not_wanted_any_more() {
    let mut script = Script::connected();
    script.subscribe(&["a"]);
    let (id, _) = script.take_subscribe();
    script.ack(id);
    script.take_event();
    let request = script.subscribe(&["a", "b"]);
    let (id, _) = script.take_subscribe();
    script.packet(error(Reason::TooManySubscriptions, id));
    let Event::Answered {
        request: answered,
        result: Err(RequestError::Refused(error)),
    } = script.take_event()
    else {
        panic!("expected a refusal");
    };
    assert_eq!(answered, request);
    assert_eq!(error.reason, Some(Reason::TooManySubscriptions));
    // The server applies what it can of a refused list: that is taken back.
    let frame = script.take_sent(MessageType::Unsubscribe);
    let withdrawn = UnsubscribeMessage::decode(frame).expect("an UNSUBSCRIBE");
    assert_eq!(withdrawn.entries.len(), 1);
    assert_eq!(withdrawn.entries[0].topic, "b");
    script.ack(withdrawn.id);
    script.assert_quiet();
    // What the server had agreed to before stays.
    assert_eq!(
        script.session.subscriptions.topics().collect::<Vec<_>>(),
        ["a"]
    );
}

#[test]
fn of_two_requests_for_a_topic_the_later_one_decides() {
    let mut script = Script::connected();
    script.subscribe(&["a", "b"]);
    script.subscribe(&["a"]);
    let (refused, _) = script.take_subscribe();
    let (agreed, _) = script.take_subscribe();
    script.packet(error(Reason::TooManySubscriptions, refused));
    script.ack(agreed);
    assert_eq!(
        script.session.subscriptions.topics().collect::<Vec<_>>(),
        ["a"]
    );
}

#[test]
fn a_large_request_goes_out_in_packets_that_fit() {
    let mut script = Script::new();
    script.reach_server(&[7]);
    script.packet(ready(ALIAS, 1_000));
    script.outputs.clear();
    let topics: Vec<String> = (0..100).map(|n| format!("{n:0>100}")).collect();
    let request = script.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>());
    let mut ids = Vec::new();
    let mut seen = Vec::new();
    while !script.outputs.is_empty() {
        let Some(Output::Send { frame, .. }) = script.outputs.front() else {
            panic!("a packet")
        };
        assert!(frame.len() <= 1_000, "{} bytes", frame.len());
        let (id, topics) = script.take_subscribe();
        ids.push(id);
        seen.extend(topics);
    }
    assert_eq!(seen, topics);
    assert!(
        ids.len() <= 12,
        "{} packets are more than needed",
        ids.len()
    );
    let (last, rest) = ids.split_last().expect("some");
    for id in rest {
        script.ack(*id);
        script.assert_quiet();
    }
    script.ack(*last);
    assert_eq!(
        script.take_event(),
        Event::Answered {
            request,
            result: Ok(())
        }
    );
}

#[test]
fn the_longest_topics_just_fit() {
    for (length, count_per_packet) in [(256, 3), (257 - 8, 3)] {
        let mut script = Script::new();
        script.reach_server(&[7]);
        script.packet(ready(ALIAS, 8 + 3 * (256 + 6)));
        script.outputs.clear();
        let topics: Vec<String> = (0..6).map(|n| format!("{n:0>length$}")).collect();
        script.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(script.take_subscribe().1.len(), count_per_packet);
    }
}

#[test]
fn limits_of_the_session_are_inclusive() {
    let config = Config {
        subscriptions_max: 3,
        requests_max: 2,
        ..Config::default()
    };
    let mut script = Script::with(config);
    script.subscribe(&["a", "b"]);
    let refused = script.session.subscribe(script.now, &["c", "d"]);
    assert_eq!(refused, Err(RequestRefused::TooManySubscriptions(3)));
    script.subscribe(&["a", "c"]);
    let refused = script.session.subscribe(script.now, &["a"]);
    assert_eq!(refused, Err(RequestRefused::TooManyRequests(2)));
    script.drain();
}

#[test]
fn bad_topics_ask_for_nothing() {
    let mut script = Script::connected();
    let refused = script.session.subscribe(script.now, &["good", "not good"]);
    assert!(matches!(refused, Err(RequestRefused::BadTopic { topic, .. }) if topic == "not good"));
    script.drain();
    script.assert_quiet();
    assert_eq!(script.session.subscriptions.topics().len(), 0);
}

#[test]
fn nothing_asked_is_answered_at_once() {
    let mut script = Script::connected();
    let request = script.subscribe(&[]);
    assert_eq!(
        script.take_event(),
        Event::Answered {
            request,
            result: Ok(())
        }
    );
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    let mut script = Script::connected_with(Config {
        ping_interval: None,
        ..Config::default()
    });
    let request = script.subscribe(&["a"]);
    let (id, _) = script.take_subscribe();
    script.advance(Config::default().request_timeout - Duration::from_millis(1));
    script.assert_quiet();
    script.advance(Duration::from_millis(1));
    let result = Err(RequestError::TimedOut);
    assert_eq!(script.take_event(), Event::Answered { request, result });
    script.ack(id);
    script.assert_quiet();
}

#[test]
fn what_is_unanswered_is_asked_of_the_next_server() {
    let mut script = Script::connected();
    script.subscribe(&["a"]);
    let (id, _) = script.take_subscribe();
    script.ack(id);
    script.take_event();
    let pending = script.subscribe(&["b"]);
    let leaving = script.unsubscribe(&["a"]);
    script.outputs.clear();
    script.lose_peer();
    // A server that is gone sends nothing.
    let answered = Event::Answered {
        request: leaving,
        result: Ok(()),
    };
    assert!(script.outputs.contains(&Output::Event(answered)));
    script.sleep();
    script
        .outputs
        .retain(|output| matches!(output, Output::Dial { .. }));
    script.reach_server(&[8]);
    script.outputs.clear();
    script.packet(ready(ALIAS, 0));
    script.take_event();
    let (id, topics) = script.take_subscribe();
    assert_eq!(topics, ["b"]);
    script.take_sent(MessageType::Ping);
    script.ack(id);
    assert_eq!(
        script.take_event(),
        Event::Answered {
            request: pending,
            result: Ok(())
        }
    );
}

#[test]
fn wishes_made_and_withdrawn_offline_ask_for_nothing() {
    let mut script = Script::new();
    let wish = script.subscribe(&["a"]);
    let withdrawn = script.unsubscribe(&["a"]);
    script.take_dial();
    for request in [withdrawn, wish] {
        assert_eq!(
            script.take_event(),
            Event::Answered {
                request,
                result: Ok(())
            }
        );
    }
    script.assert_quiet();
}

#[test]
fn a_subscription_that_the_next_server_refuses_is_reported() {
    let mut script = Script::connected();
    script.subscribe(&["a"]);
    let (id, _) = script.take_subscribe();
    script.ack(id);
    script.lose_peer();
    script.sleep();
    script
        .outputs
        .retain(|output| matches!(output, Output::Dial { .. }));
    script.reach_server(&[8]);
    script.outputs.clear();
    script.packet(ready(ALIAS, 0));
    script.take_event();
    let (id, _) = script.take_subscribe();
    script.take_sent(MessageType::Ping);
    script.packet(error(Reason::TooManyTopics, id));
    let Event::Error(error) = script.take_event() else {
        panic!("expected an error")
    };
    assert_eq!(error.reason, Some(Reason::TooManyTopics));
}

#[test]
fn errors_that_answer_nothing_are_told() {
    let mut script = Script::connected();
    script.packet(ErrorMessage {
        topic: "t".into(),
        ..error(Reason::PacketTooLarge, 0)
    });
    let Event::Error(told) = script.take_event() else {
        panic!("expected an error")
    };
    assert_eq!(
        (told.reason, told.topic.as_str()),
        (Some(Reason::PacketTooLarge), "t")
    );
    // A number that this version does not know.
    script.packet(ErrorMessage {
        code: 999,
        ..error(Reason::PacketTooLarge, 0)
    });
    let Event::Error(told) = script.take_event() else {
        panic!("expected an error")
    };
    assert_eq!((told.code, told.reason), (999, None));
    assert!(matches!(script.session.state(), State::Connected { .. }));
}
