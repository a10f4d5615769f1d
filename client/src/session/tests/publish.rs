//! Publications out, messages in, and the round trip.

use super::*;
use proto::peek::TopicPacket;

#[test]
fn publications_are_counted_per_lane() {
    let mut script = Script::connected();
    for (lane, seq) in [
        (Lane::Reliable, 1),
        (Lane::Unreliable, 1),
        (Lane::Reliable, 2),
    ] {
        assert_eq!(script.publish(lane, b"x"), Ok(Published::Sent));
        let Output::Send {
            lane: sent_on,
            frame,
            ..
        } = script.take()
        else {
            panic!("a packet")
        };
        let packet = TopicPacket::decode(&frame).expect("a TOPIC");
        assert_eq!(
            (sent_on, packet.topic, packet.body, packet.seq),
            (lane, "t", &b"x"[..], seq)
        );
        assert!(!packet.with_identity);
    }
    let identity = script
        .session
        .publish("t", Lane::Reliable, Bytes::new(), true);
    assert_eq!(identity, Ok(Published::Sent));
    script.drain();
    let frame = script.take_sent(MessageType::TopicIdentity);
    assert!(
        TopicPacket::decode(&frame)
            .expect("a TOPIC_IDENTITY")
            .with_identity
    );
    assert_eq!(script.session.stats().published, 4);
}

#[test]
fn the_size_limit_is_of_the_encoded_packet() {
    let mut script = Script::new();
    script.reach_server(&[7]);
    script.packet(ready(ALIAS, 100));
    // type 2, topic 3, body 2 + n, seq 3.
    for (body, fits) in [(89, true), (90, true), (91, false)] {
        let body = Bytes::from(vec![0; body]);
        let result = script.session.publish("t", Lane::Unreliable, body, false);
        let too_large = Err(PublishError::TooLarge {
            bytes: 101,
            bytes_max: 100,
        });
        assert_eq!(result, if fits { Ok(Published::Sent) } else { too_large });
    }
    script.drain();
    // A refused publication takes no number.
    script.outputs.clear();
    script.publish(Lane::Unreliable, b"x").expect("fits");
    let frame = script.take_sent(MessageType::Topic);
    assert_eq!(TopicPacket::decode(&frame).expect("a TOPIC").seq, 3);
}

#[test]
fn no_server_takes_more_than_a_channel_carries() {
    for (said, taken) in [
        (65_535, 65_535),
        (65_536, 65_536),
        (65_537, 65_536),
        (0, 16_384),
    ] {
        let mut script = Script::new();
        script.reach_server(&[7]);
        script.packet(ready(ALIAS, said));
        assert_eq!(script.session.packet_bytes_max(), taken);
    }
}

#[test]
fn bad_topics_are_refused() {
    let mut script = Script::connected();
    for topic in ["", "a b", "$sys"] {
        let result = script
            .session
            .publish(topic, Lane::Reliable, Bytes::new(), false);
        assert!(
            matches!(result, Err(PublishError::BadTopic(_))),
            "{topic:?}"
        );
    }
}

#[test]
fn publications_wait_in_order_while_away() {
    let mut script = Script::new();
    assert_eq!(script.publish(Lane::Reliable, b"1"), Ok(Published::Queued));
    assert_eq!(
        script.publish(Lane::Unreliable, b"-"),
        Ok(Published::Dropped)
    );
    assert_eq!(script.publish(Lane::Reliable, b"2"), Ok(Published::Queued));
    script.subscribe(&["a"]);
    script.reach_server(&[7]);
    assert_eq!(script.publish(Lane::Reliable, b"3"), Ok(Published::Queued));
    script.outputs.clear();
    script.packet(ready(ALIAS, 0));
    assert!(matches!(script.take_event(), Event::Connected { .. }));
    script.take_subscribe();
    for (body, seq) in [(b"1", 1), (b"2", 2), (b"3", 3)] {
        let frame = script.take_sent(MessageType::Topic);
        let packet = TopicPacket::decode(&frame).expect("a TOPIC");
        assert_eq!((packet.body, packet.seq), (&body[..], seq));
    }
    let stats = script.session.stats();
    assert_eq!((stats.queued, stats.published), (3, 3));
    assert_eq!(stats.dropped.unreliable_offline, 1);
}

/// What becomes of three publications where there is room for two: the last one's result, what is
/// sent in the end, and how many gave way.
fn publish_three_while_away(
    offline: Offline,
) -> (Result<Published, PublishError>, Vec<Bytes>, u64) {
    let mut script = Script::with(Config {
        offline,
        ..Config::default()
    });
    let results = [b"1", b"2", b"3"].map(|body| script.publish(Lane::Reliable, body));
    script.reach_server(&[7]);
    script.outputs.clear();
    script.packet(ready(ALIAS, 0));
    let sent = script.outputs.iter().filter_map(|output| match output {
        Output::Send { frame, .. } => {
            TopicPacket::decode(frame).map(|packet| Bytes::copy_from_slice(packet.body))
        }
        _ => None,
    });
    let gave_way = script.session.stats().dropped.queue_overflow;
    (results[2].clone(), sent.collect(), gave_way)
}

const fn room_for_two(overflow: Overflow) -> Offline {
    Offline::Queue {
        count_max: 2,
        bytes_max: 1_000,
        overflow,
    }
}

#[test]
fn the_queue_overflows_as_chosen_reject_new() {
    let three = publish_three_while_away(room_for_two(Overflow::RejectNew));
    let sent = vec![Bytes::from_static(b"1"), Bytes::from_static(b"2")];
    assert_eq!(three, (Err(PublishError::QueueFull), sent, 0));
}

#[test]
fn the_queue_overflows_as_chosen_drop_oldest() {
    let three = publish_three_while_away(room_for_two(Overflow::DropOldest));
    let sent = vec![Bytes::from_static(b"2"), Bytes::from_static(b"3")];
    assert_eq!(three, (Ok(Published::Queued), sent, 1));
}

#[test]
fn the_queue_overflows_as_chosen_fail() {
    let three = publish_three_while_away(Offline::Fail);
    assert_eq!(three, (Err(PublishError::Offline), Vec::new(), 0));
}

#[test]
fn what_waited_and_does_not_fit_is_reported() {
    let mut script = Script::new();
    let body = Bytes::from(vec![0; 10_000]);
    let queued = script.session.publish("t", Lane::Reliable, body, false);
    assert_eq!(queued, Ok(Published::Queued));
    script.publish(Lane::Reliable, b"small").expect("queued");
    script.reach_server(&[7]);
    script.outputs.clear();
    script.packet(ready(ALIAS, 5_000));
    script.take_event();
    let Event::Error(error) = script.take_event() else {
        panic!("expected an error")
    };
    assert_eq!(error.reason, Some(Reason::PacketTooLarge));
    script.take_sent(MessageType::Topic);
    assert_eq!(script.session.stats().dropped.queue_too_large, 1);
}

#[test]
fn a_congested_lane_makes_them_wait() {
    let mut script = Script::connected();
    let peer = script.peer();
    script.input(Input::Congested { peer });
    assert_eq!(script.publish(Lane::Reliable, b"1"), Ok(Published::Queued));
    assert_eq!(script.publish(Lane::Unreliable, b"-"), Ok(Published::Sent));
    script.outputs.clear();
    script.input(Input::Writable { peer });
    script.take_sent(MessageType::Topic);
    assert_eq!(script.publish(Lane::Reliable, b"2"), Ok(Published::Sent));
}

#[test]
fn queued_ones_are_counted_when_it_ends() {
    let mut script = Script::new();
    script.publish(Lane::Reliable, b"1").expect("queued");
    script.session.close(Reason::Closed);
    assert_eq!(script.session.stats().dropped.queue_stopped, 1);
}

#[test]
fn messages_come_with_all_that_is_known() {
    let mut script = Script::connected();
    script.subscribe(&["t"]);
    script.outputs.clear();
    let forward = TopicFwMessage {
        r#type: MessageType::TopicFw.into(),
        from_alias: 55,
        body: Bytes::from_static(b"hello"),
        topic: "t".into(),
        seq: 4,
    };
    script.packet_on(Lane::Unreliable, forward.clone());
    let expected = Message {
        from_alias: 55,
        topic: Some("t".into()),
        seq: 4,
        lane: Lane::Unreliable,
        body: Bytes::from_static(b"hello"),
        identity: None,
    };
    assert_eq!(script.take_event(), Event::Message(expected.clone()));

    script.packet(TopicFwMessage {
        topic: String::new(),
        seq: 0,
        ..forward.clone()
    });
    let of_2019 = Message {
        topic: None,
        seq: 0,
        lane: Lane::Reliable,
        ..expected
    };
    assert_eq!(script.take_event(), Event::Message(of_2019.clone()));

    script.packet(proto::TopicIdentityFwMessage {
        r#type: MessageType::TopicIdentityFw.into(),
        from_alias: 55,
        identity: Bytes::from_static(b"ann"),
        role: 1,
        body: Bytes::from_static(b"hello"),
        topic: String::new(),
        seq: 0,
    });
    let identity = Some(Identity {
        bytes: Bytes::from_static(b"ann"),
        role: 1,
    });
    assert_eq!(
        script.take_event(),
        Event::Message(Message {
            identity,
            ..of_2019
        })
    );

    script.packet(TopicFwMessage {
        topic: "other".into(),
        ..forward
    });
    script.assert_quiet();
    let stats = script.session.stats();
    assert_eq!((stats.delivered, stats.dropped.unwanted), (3, 1));
}

#[test]
fn the_round_trip_is_measured() {
    let mut script = Script::new();
    script.reach_server(&[7]);
    script.outputs.clear();
    script.packet(ready(ALIAS, 0));
    script.take_event();
    let ping = PingMessage::decode(script.take_sent(MessageType::Ping)).expect("a PING");
    assert_eq!(script.session.rtt(), None);
    script.now += Duration::from_millis(30);
    script.packet(PingMessage {
        time: ping.time + 1.0,
        ..ping
    });
    assert_eq!(script.session.rtt(), None, "that is no echo of ours");
    script.packet(ping);
    assert_eq!(script.session.rtt(), Some(Duration::from_millis(30)));

    // The next one goes out after the interval; unanswered, it stays the only one.
    for _ in 0..4 {
        script.advance(Duration::from_secs(5));
    }
    script.take_sent(MessageType::Ping);
    script.assert_quiet();
}
