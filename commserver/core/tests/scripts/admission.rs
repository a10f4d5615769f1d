//! From CONNECT to READY, and the many ways not to get there.

use std::time::Duration;

use bytes::Bytes;
use commserver_core::{Config, Drop, Identity, Input, Limits, SignalKind};
use proto::{
    ConnectionRefusedMessage, ConnectionRefusedReason, Lane, MessageType, PingMessage,
    ReadyMessage, Reason, Role, WebRtcMessage, frame,
};

use crate::server::{INSTANCE, OWN, Server, auth};

fn limited(limits: Limits) -> Server {
    Server::welcomed_with(Config {
        limits,
        ..Config::new(INSTANCE, 1)
    })
}

fn ping() -> PingMessage {
    PingMessage {
        r#type: MessageType::Ping.into(),
        time: 1.0,
    }
}

#[test]
fn a_client_comes_in() {
    let mut server = Server::welcomed_with(Config {
        unix_time_ms: 5_000,
        ..Config::new(INSTANCE, 1)
    });
    server.connect(5, Role::Client);
    let (peer, alias, dial) = server.opened[0];
    assert_eq!((alias, dial), (5, false), "the acceptor makes the offer");

    let data = Bytes::from_static(b"{\"type\":\"offer\"}");
    let kind = SignalKind::Offer;
    server.input(Input::LocalSignal { peer, kind, data });
    let offers: Vec<WebRtcMessage> = server.take_signals(MessageType::WebrtcOffer);
    assert_eq!((offers[0].from_alias, offers[0].to_alias), (OWN, 5));
    assert_eq!(offers[0].data, "{\"type\":\"offer\"}");

    for (kind, number) in [
        (SignalKind::Answer, MessageType::WebrtcAnswer),
        (SignalKind::Candidate, MessageType::WebrtcIceCandidate),
    ] {
        server.signal(&WebRtcMessage {
            r#type: number.into(),
            from_alias: 5,
            to_alias: OWN,
            data: "{}".into(),
            from_role: Role::Client.into(),
        });
        assert_eq!(server.remote_signals.pop(), Some((peer, kind, "{}".into())));
    }

    server.pass(Duration::from_secs(1));
    server.input(Input::PeerOpened { peer });
    server.say(peer, &auth(Role::Client, frame::capabilities(false), 0));
    let (asked, role, body, pair) = server.asked[0].clone();
    assert_eq!(
        (asked, role, &body[..]),
        (peer, Role::Client, &b"who I am"[..])
    );
    assert_eq!((pair.dialer, pair.acceptor), (5, OWN));
    server.verdict(peer, Ok("ann"));
    let ready: Vec<ReadyMessage> = server.take_kind(peer, MessageType::Ready);
    assert_eq!((ready[0].alias, ready[0].packet_limit), (5, 16_384));
    assert_eq!(ready[0].server_time_ms, 6_000);
    assert_eq!(
        (ready[0].instance, ready[0].proof.len()),
        (0, 0),
        "those are for servers"
    );
    assert_eq!(
        server.broker.next_deadline(),
        None,
        "nothing is due for a ready peer"
    );
}

#[test]
fn a_2019_client_gets_no_ready() {
    let mut server = Server::welcomed();
    let peer = server.arrive(5, Role::UnknownRole);
    server.say(peer, &auth(Role::Client, Vec::new(), 0));
    server.verdict(peer, Ok(""));
    assert_eq!(server.take(peer), []);
    server.say(peer, &ping());
    assert_eq!(server.take(peer).len(), 1, "but it is in");
}

#[test]
fn packets_wait_for_the_verdict_in_order() {
    let mut server = Server::welcomed();
    let reader = server.client(4);
    server.subscription(reader, "a");
    let peer = server.arrive(5, Role::Client);
    server.say(peer, &auth(Role::Client, frame::capabilities(false), 0));
    server.subscription(peer, "b");
    server.publish(peer, Lane::Reliable, "a", "first");
    server.publish(peer, Lane::Reliable, "a", "second");
    server.publish(peer, Lane::Unreliable, "a", "too early");
    assert_eq!(server.take(reader), []);
    server.verdict(peer, Ok(""));
    let got: Vec<proto::TopicFwMessage> = server.take_kind(reader, MessageType::TopicFw);
    let bodies: Vec<_> = got.iter().map(|packet| &packet.body[..]).collect();
    assert_eq!(bodies, [&b"first"[..], b"second"]);
    assert_eq!(server.broker.stats().dropped(Drop::NotAuthenticated), 1);
    server.publish(reader, Lane::Reliable, "b", "x");
    assert_eq!(
        server
            .take_kind::<proto::TopicFwMessage>(peer, MessageType::TopicFw)
            .len(),
        1
    );
}

#[test]
fn held_packets_are_bounded() {
    for (count, fits) in [(2, true), (3, true), (4, false)] {
        let mut server = limited(Limits {
            held_packets_max: 3,
            ..Limits::default()
        });
        let peer = server.arrive(5, Role::Client);
        server.say(peer, &auth(Role::Client, Vec::new(), 0));
        for _ in 0..count {
            server.say(peer, &ping());
        }
        let closed = (!fits).then_some(Reason::HeldOverflow);
        assert_eq!(server.closed(peer), closed, "{count} packets");
        server.verdict(peer, Ok(""));
        let expected = if fits { count } else { 1 };
        assert_eq!(server.take(peer).len(), expected, "echoes, or the ERROR");
    }
}

#[test]
fn auth_comes_first() {
    let claims_nothing = auth(Role::UnknownRole, Vec::new(), 0);
    for first in [
        proto::Message::encode_to_vec(&ping()),
        proto::Message::encode_to_vec(&claims_nothing),
        vec![0x08, 0x08, 0xff],
        Vec::new(),
    ] {
        let mut server = Server::welcomed();
        let peer = server.arrive(5, Role::Client);
        server.packet(peer, Lane::Reliable, first);
        assert_eq!(server.closed(peer), Some(Reason::AuthExpected));
        assert_eq!(
            server.take_errors(peer),
            [(Reason::AuthExpected, String::new())]
        );
        assert_eq!(server.asked, []);
    }
}

#[test]
fn auth_comes_in_time() {
    let limit = Config::new(1, 1).timings.auth_timeout;
    for (wait, closed) in [
        (limit - Duration::from_millis(1), None),
        (limit, Some(Reason::AuthTimeout)),
    ] {
        let mut server = Server::welcomed();
        let peer = server.arrive(5, Role::Client);
        server.pass(wait);
        assert_eq!(server.closed(peer), closed, "{wait:?}");
    }
}

#[test]
fn lanes_open_in_time() {
    let limit = Config::new(1, 1).timings.handshake_timeout;
    let mut server = Server::welcomed();
    server.connect(5, Role::Client);
    let (peer, ..) = server.opened[0];
    server.pass(limit - Duration::from_millis(1));
    assert_eq!(server.closed(peer), None);
    server.pass(Duration::from_millis(1));
    assert_eq!(server.closed(peer), Some(Reason::HandshakeTimeout));
    assert_eq!(server.broker.stats().clients, 0);
}

#[test]
fn who_is_not_let_in_is_told() {
    let mut server = Server::welcomed();
    let peer = server.arrive(5, Role::Client);
    server.say(peer, &auth(Role::Client, frame::capabilities(false), 0));
    server.verdict(peer, Err(Reason::Unauthenticated));
    assert_eq!(
        server.take_errors(peer),
        [(Reason::Unauthenticated, String::new())]
    );
    assert_eq!(server.closed(peer), Some(Reason::Unauthenticated));
    assert_eq!(
        server.broker.stats().peers_closed[&Reason::Unauthenticated],
        1
    );
}

#[test]
fn an_identity_is_no_document() {
    for (length, fits) in [(1_023, true), (1_024, true), (1_025, false)] {
        let mut server = Server::welcomed();
        let peer = server.arrive(5, Role::Client);
        server.say(peer, &auth(Role::Client, frame::capabilities(false), 0));
        server.input(Input::Authenticated {
            peer,
            result: Ok(Identity::everything(vec![b'x'; length].into())),
            proof: Bytes::new(),
        });
        let closed = (!fits).then_some(Reason::AuthUnavailable);
        assert_eq!(server.closed(peer), closed, "{length} bytes");
    }
}

#[test]
fn a_client_is_no_server_because_it_says_so() {
    for (stamp, trust, asked) in [
        (Role::Client, false, false),
        (Role::Client, true, false),
        (Role::UnknownRole, false, false),
        (Role::UnknownRole, true, true),
        (Role::CommunicationServer, false, true),
    ] {
        let mut server = Server::welcomed_with(Config {
            trust_unstamped_servers: trust,
            ..Config::new(INSTANCE, 1)
        });
        let peer = server.arrive(5, stamp);
        let auth = auth(Role::CommunicationServer, frame::capabilities(true), 9);
        server.say(peer, &auth);
        assert_eq!(
            server.asked.len() == 1,
            asked,
            "{stamp:?}, trusted: {trust}"
        );
        assert_eq!(server.closed(peer), (!asked).then_some(Reason::Forbidden));
    }
}

#[test]
fn unstamped_links_are_limited_when_they_show_what_they_are() {
    for (links, fits) in [(1, true), (2, true), (3, false)] {
        let mut server = Server::welcomed_with(Config {
            trust_unstamped_servers: true,
            limits: Limits {
                links_max: 2,
                ..Limits::default()
            },
            ..Config::new(INSTANCE, 1)
        });
        let mut last = None;
        for n in 0..links {
            let peer = server.arrive(2_000 + n, Role::UnknownRole);
            let capabilities = frame::capabilities(true);
            server.say(peer, &auth(Role::CommunicationServer, capabilities, 20 + n));
            server.verdict(peer, Ok(""));
            last = server.closed(peer);
        }
        assert_eq!(last, (!fits).then_some(Reason::ServerFull), "{links} links");
        assert_eq!(server.broker.stats().clients, 0);
    }
}

#[test]
fn a_slow_consumer_is_closed_and_forgotten() {
    let mut server = Server::welcomed();
    let (slow, other) = (server.client(1), server.client(2));
    server.subscription(slow, "a");
    server.input(Input::SlowConsumer { peer: slow });
    assert_eq!(server.closed(slow), Some(Reason::SlowConsumer));
    assert_eq!(server.broker.stats().peers_closed[&Reason::SlowConsumer], 1);
    server.take(slow);
    server.publish(other, Lane::Reliable, "a", "x");
    assert_eq!(server.take(slow), []);
    assert_eq!(server.broker.stats().topics, 0);
}

#[test]
fn a_server_does_not_pass_for_a_client() {
    let mut server = Server::welcomed();
    let peer = server.arrive(5, Role::CommunicationServer);
    server.say(peer, &auth(Role::Client, frame::capabilities(false), 0));
    assert_eq!(server.closed(peer), Some(Reason::Forbidden));
}

#[test]
fn clients_are_limited_links_are_not_counted() {
    let mut server = limited(Limits {
        peers_max: 2,
        ..Limits::default()
    });
    server.link(2_000, 9);
    server.client(1);
    let second = server.client(2);
    server.connect(3, Role::Client);
    let refused: Vec<ConnectionRefusedMessage> =
        server.take_signals(MessageType::ConnectionRefused);
    assert_eq!((refused[0].from_alias, refused[0].to_alias), (OWN, 3));
    assert_eq!(refused[0].reason(), ConnectionRefusedReason::ServerFull);
    assert_eq!(refused[0].code, u32::from(Reason::ServerFull.number()));
    assert_eq!(server.broker.stats().refusals[&Reason::ServerFull], 1);

    let again = server.client(2);
    assert_eq!(
        server.closed(second),
        Some(Reason::Replaced),
        "its own place it may take"
    );
    server.link(2_001, 10);
    server.input(Input::PeerClosed {
        peer: again,
        reason: Reason::TransportClosed,
    });
    server.client(3);
    assert_eq!(server.broker.stats().clients, 2);
}

#[test]
fn a_server_that_we_dial_has_no_clients_place() {
    let mut server = limited(Limits {
        peers_max: 1,
        ..Limits::default()
    });
    server.client(1);
    server.servers(1, &[OWN - 1, OWN + 1]);
    server.pass(Duration::from_secs(3));
    let dialed = server.opened.iter().filter(|(_, _, dial)| *dial).count();
    assert_eq!(dialed, 2);
    // Its coordinator stamps nothing, so this is a client as far as we know.
    server.connect(OWN + 1, Role::UnknownRole);
    let refused: Vec<ConnectionRefusedMessage> =
        server.take_signals(MessageType::ConnectionRefused);
    assert_eq!(refused[0].to_alias, OWN + 1);
    assert_eq!(server.broker.stats().clients, 1);
}

#[test]
fn the_shell_may_have_no_room_either() {
    let mut server = Server::welcomed();
    server.connect(5, Role::Client);
    let (peer, ..) = server.opened[0];
    server.input(Input::PeerClosed {
        peer,
        reason: Reason::ServerFull,
    });
    let refused: Vec<ConnectionRefusedMessage> =
        server.take_signals(MessageType::ConnectionRefused);
    assert_eq!(refused.len(), 1);
}

#[test]
fn a_second_connect_replaces_the_first() {
    let mut server = Server::welcomed();
    server.connect(5, Role::Client);
    server.connect(5, Role::Client);
    let (first, second) = (server.opened[0].0, server.opened[1].0);
    assert_eq!(server.closed(first), Some(Reason::Replaced));
    server.input(Input::PeerOpened { peer: first });
    server.input(Input::PeerOpened { peer: second });
    server.say(second, &auth(Role::Client, frame::capabilities(false), 0));
    assert_eq!(server.asked.len(), 1);
    assert_eq!(server.broker.stats().dropped(Drop::StalePeer), 1);
}

#[test]
fn a_peer_stays_until_its_successor_is_in() {
    let mut server = Server::welcomed();
    let first = server.client(5);
    let second = server.arrive(5, Role::Client);
    server.say(first, &ping());
    assert_eq!(server.take(first).len(), 1);
    server.say(second, &auth(Role::Client, frame::capabilities(false), 0));
    server.verdict(second, Ok(""));
    assert_eq!(server.closed(first), Some(Reason::Replaced));
    server.take(first);
    server.say(first, &ping());
    assert_eq!(server.take(first), [], "it is deaf now");
}

#[test]
fn shutdown_tells_everybody_and_lets_nobody_in() {
    let mut server = Server::welcomed();
    let (ready, early) = (server.client(5), server.arrive(6, Role::Client));
    server.input(Input::Shutdown);
    for peer in [ready, early] {
        assert_eq!(
            server.take_errors(peer),
            [(Reason::ShuttingDown, String::new())]
        );
        assert_eq!(server.closed(peer), Some(Reason::ShuttingDown));
    }
    server.connect(7, Role::Client);
    let refused: Vec<ConnectionRefusedMessage> =
        server.take_signals(MessageType::ConnectionRefused);
    assert_eq!(refused[0].code, u32::from(Reason::ShuttingDown.number()));
    assert_eq!(server.broker.next_deadline(), None);
}
