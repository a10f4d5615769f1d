//! How much servers may want of each other, and how much may wait to be told to them, all together.

use commserver_core::{Config, Drop, Limits};
use proto::{AckMessage, MessageType, Reason, TopicMessage};

use crate::{
    links::{HIGHER, interest, interests, snapshot},
    server::{INSTANCE, Server},
};

/// With room for 16 topics of two links together, two of which each has for itself.
fn server() -> Server {
    Server::welcomed_with(Config {
        limits: Limits {
            links_max: 2,
            link_topics_total_max: 16,
            ..Limits::default()
        },
        ..Config::new(INSTANCE, 1)
    })
}

/// So many topics with this before their numbers.
fn topics(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{of}{n}")).collect()
}

fn wants(server: &mut Server, link: commserver_core::PeerId, topics: &[String]) {
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    server.say(link, &snapshot(0, &topics));
}

#[test]
fn what_links_want_together_is_limited_and_each_has_its_share() {
    for (count, left_out) in [(13, 0), (14, 0), (15, 1)] {
        let mut server = server();
        let (greedy, modest) = (server.link(HIGHER, 9), server.link(HIGHER + 1, 10));
        wants(&mut server, greedy, &topics("a", count));
        let stats = server.broker.stats();
        assert_eq!(stats.dropped(Drop::TooManyLinkTopics), left_out, "{count}");
        // What the other has for itself is there, whoever has wanted what before.
        wants(&mut server, modest, &topics("b", 2));
        let stats = server.broker.stats();
        assert_eq!(stats.dropped(Drop::TooManyLinkTopics), left_out, "{count}");
        assert_eq!((stats.topics, stats.links), (count.min(14) + 2, 2));

        let ann = server.client(1);
        for (link, topic) in [(greedy, "a0"), (modest, "b1")] {
            server.take(link);
            server.publish(ann, proto::Lane::Reliable, topic, "x");
            let heard: Vec<TopicMessage> = server.take_kind(link, MessageType::Topic);
            assert_eq!(heard.len(), 1, "{topic}");
        }
        let closed = [greedy, modest].map(|link| server.closed(link));
        assert_eq!(closed, [None, None]);
    }
}

#[test]
fn a_topic_that_a_link_wants_already_takes_no_room() {
    let mut server = server();
    let link = server.link(HIGHER, 9);
    wants(&mut server, link, &topics("a", 14));
    server.say(link, &interest(1, &["a3"], &[]));
    let dropped = |server: &Server| server.broker.stats().dropped(Drop::TooManyLinkTopics);
    assert_eq!(dropped(&server), 0);
    server.say(link, &interest(2, &["more"], &["a3"]));
    assert_eq!(dropped(&server), 0, "what goes makes room for what comes");
    server.say(link, &interest(3, &["another"], &[]));
    assert_eq!(dropped(&server), 1);
    let other = server.link(HIGHER + 1, 10);
    wants(&mut server, other, &topics("b", 3));
    assert_eq!(dropped(&server), 2, "above its share");
    // A new snapshot makes the room of the old one.
    wants(&mut server, link, &topics("c", 12));
    assert_eq!(dropped(&server), 2);
}

#[test]
fn the_link_that_is_furthest_behind_makes_way() {
    let window = Config::new(1, 1).timings.interest_window;
    for (waiting, fits) in [(31, true), (32, true), (33, false)] {
        let mut server = server();
        let (slow, other) = (server.link(HIGHER, 9), server.link(HIGHER + 1, 10));
        let (ann, bob) = (server.client(1), server.client(2));
        let ack = AckMessage {
            r#type: MessageType::Ack.into(),
            id: 0,
        };
        // Eight are sent before the first has to be taken in: the snapshot was one.
        for n in 0..7 {
            server.subscription(ann, &format!("room/{n}"));
            server.pass(window);
            server.say(other, &ack);
        }
        server.say(other, &ack);
        server.take(other);
        let list = topics("plaza/", waiting - 1).join(" ");
        server.subscription(bob, &list);
        // One that the slow one is to be told the end of.
        server.subscription(ann, "");
        server.pass(window);
        let closed = (!fits).then_some(Reason::SlowConsumer);
        assert_eq!(server.closed(slow), closed, "{waiting}");
        let stats = server.broker.stats();
        assert_eq!(stats.links_crowded_out, u64::from(!fits));
        assert_eq!(stats.links, if fits { 2 } else { 1 });
        let told = interests(&mut server, other);
        assert_eq!(told[0].add.len(), waiting - 1, "the other is told");
    }
}
