//! Whose signals reach whom, and as whose.

use std::time::Duration;

use proto::{ConnectionRefusedMessage, ConnectionRefusedReason, PingMessage, WebRtcMessage};

use super::{cast::connect, *};

const WEBRTC: [MessageType; 3] = [
    MessageType::WebrtcOffer,
    MessageType::WebrtcAnswer,
    MessageType::WebrtcIceCandidate,
];

fn webrtc(kind: MessageType, to_alias: u64) -> WebRtcMessage {
    WebRtcMessage {
        r#type: kind.into(),
        to_alias,
        data: Bytes::from_static(b"{\"sdp\":\"...\"}"),
        ..Default::default()
    }
}

fn refused(to_alias: u64) -> ConnectionRefusedMessage {
    ConnectionRefusedMessage {
        r#type: MessageType::ConnectionRefused.into(),
        to_alias,
        reason: ConnectionRefusedReason::ServerFull.into(),
        data: Bytes::from_static(b"full"),
        code: Reason::ServerFull.number().into(),
        ..Default::default()
    }
}

#[test]
fn a_client_and_a_server_come_to_terms() {
    let mut cast = Cast::new();
    let (server, server_alias) = cast.server();
    let (client, client_alias) = cast.client();

    // Claims about the sender are overwritten.
    let mut forged = connect(server_alias);
    forged.from_alias = 4_711;
    forged.from_role = Role::CommunicationServer.into();
    cast.signal(client, &forged);
    let told = cast.received::<ConnectMessage>(server);
    assert_eq!(told.r#type(), MessageType::Connect);
    assert_eq!(
        (told.from_alias, told.to_alias),
        (client_alias, server_alias)
    );
    assert_eq!(told.from_role(), Role::Client);

    for (from, to, kind) in [
        (server, client, MessageType::WebrtcOffer),
        (client, server, MessageType::WebrtcAnswer),
        (server, client, MessageType::WebrtcIceCandidate),
        (client, server, MessageType::WebrtcIceCandidate),
    ] {
        let (from_alias, to_alias, role) = if from == server {
            (server_alias, client_alias, Role::CommunicationServer)
        } else {
            (client_alias, server_alias, Role::Client)
        };
        let mut sent = webrtc(kind, to_alias);
        sent.from_alias = 4_711;
        sent.from_role = Role::CommunicationServerHub.into();
        cast.signal(from, &sent);
        let told = cast.received::<WebRtcMessage>(to);
        (sent.from_alias, sent.from_role) = (from_alias, role.into());
        assert_eq!(told, sent);
    }

    cast.signal(server, &refused(client_alias));
    let mut expected = refused(client_alias);
    expected.from_alias = server_alias;
    assert_eq!(cast.received::<ConnectionRefusedMessage>(client), expected);
    assert_eq!(cast.coordinator.stats().relayed, 6);
    assert_eq!(cast.dropped(), Dropped::default());
}

#[test]
fn servers_reach_each_other_at_once() {
    let mut cast = Cast::new();
    let (hub, welcome) = cast.join(Role::CommunicationServerHub, false);
    let (server, _) = cast.server();
    let hub_alias = welcome.alias;
    cast.signal(server, &connect(hub_alias));
    let told = cast.received::<ConnectMessage>(hub);
    assert_eq!(told.from_role(), Role::CommunicationServer);
    let server_alias = told.from_alias;
    for kind in WEBRTC {
        cast.signal(hub, &webrtc(kind, server_alias));
        let told = cast.received::<WebRtcMessage>(server);
        assert_eq!(told.from_role(), Role::CommunicationServerHub);
        assert_eq!((told.r#type(), told.from_alias), (kind, hub_alias));
    }
    cast.signal(server, &connect(server_alias));
    assert_eq!(cast.dropped().target_forbidden, 1, "not itself");
}

#[test]
fn a_client_reaches_no_client() {
    let mut cast = Cast::new();
    let (client, _) = cast.client();
    let (other, other_alias) = cast.client();
    cast.signal(client, &connect(other_alias));
    for kind in WEBRTC {
        cast.signal(client, &webrtc(kind, other_alias));
    }
    cast.signal(client, &refused(other_alias));
    assert_eq!(cast.unread(other), 0);
    assert_eq!(cast.dropped().target_forbidden, 5);
}

#[test]
fn a_client_makes_no_offers_and_refuses_nobody() {
    let mut cast = Cast::new();
    let (server, server_alias) = cast.server();
    let (client, _) = cast.client();
    cast.signal(client, &webrtc(MessageType::WebrtcOffer, server_alias));
    cast.signal(client, &refused(server_alias));
    assert_eq!(cast.unread(server), 0);
    assert_eq!(cast.dropped().target_forbidden, 2);
}

#[test]
fn a_server_reaches_a_client_only_when_asked() {
    let mut cast = Cast::new();
    let (server, _) = cast.server();
    let (other, other_alias) = cast.server();
    let (client, client_alias) = cast.client();
    cast.signal(client, &connect(other_alias));
    for kind in WEBRTC {
        cast.signal(server, &webrtc(kind, client_alias));
    }
    cast.signal(server, &refused(client_alias));
    cast.signal(server, &connect(client_alias));
    cast.signal(other, &connect(client_alias));
    assert_eq!(cast.unread(client), 0);
    assert_eq!(cast.dropped().target_forbidden, 6);
    cast.signal(other, &webrtc(MessageType::WebrtcOffer, client_alias));
    assert_eq!(cast.unread(client), 1);
}

#[test]
fn contacts_are_bounded_and_the_oldest_is_forgotten() {
    let mut cast = Cast::with(|config| config.limits.contacts_max = 2);
    let servers: Vec<(SessionId, u64)> = (0..3).map(|_| cast.server()).collect();
    let (client, client_alias) = cast.client();
    let reached = |cast: &mut Cast| {
        servers
            .iter()
            .map(|&(server, _)| {
                cast.forget();
                cast.signal(server, &webrtc(MessageType::WebrtcOffer, client_alias));
                cast.unread(client)
            })
            .collect::<Vec<_>>()
    };
    for at in [0, 1, 1] {
        cast.signal(client, &connect(servers[at].1));
    }
    assert_eq!(
        reached(&mut cast),
        [1, 1, 0],
        "the same server again is no other"
    );
    cast.signal(client, &connect(servers[2].1));
    assert_eq!(reached(&mut cast), [0, 1, 1]);
}

#[test]
fn connect_to_nobody_is_answered_to_ours_alike_for_gone_and_forbidden() {
    let mut cast = Cast::new();
    let (gone, gone_alias) = cast.server();
    let (_, stranger_alias) = cast.client();
    let (client, _) = cast.client();
    cast.close(gone);
    for alias in [gone_alias, stranger_alias, 0, u64::MAX] {
        cast.signal(client, &connect(alias));
        let error = cast.received::<ErrorMessage>(client);
        assert_eq!(error.r#type(), MessageType::Error);
        assert_eq!(error.code, u32::from(Reason::PeerUnavailable.number()));
        assert_eq!(error.alias, alias);
        assert!(error.retryable);
    }
    cast.signal(client, &webrtc(MessageType::WebrtcAnswer, gone_alias));
    assert_eq!(cast.unread(client), 0, "only CONNECT is answered");
    assert_eq!(cast.dropped().target_gone, 4);
    assert_eq!(cast.coordinator.stats().errors, 4);

    let (old, _) = cast.join(Role::Client, false);
    cast.signal(old, &connect(gone_alias));
    assert_eq!(cast.unread(old), 0);
}

#[test]
fn a_closed_session_neither_sends_nor_receives() {
    let mut cast = Cast::new();
    let (server, server_alias) = cast.server();
    let (client, client_alias) = cast.client();
    cast.signal(client, &connect(server_alias));
    cast.close(client);
    cast.close(client);
    cast.forget();
    cast.signal(client, &connect(server_alias));
    cast.signal(server, &webrtc(MessageType::WebrtcOffer, client_alias));
    assert_eq!((cast.unread(client), cast.unread(server)), (0, 0));
    assert_eq!(cast.dropped().session_gone, 1);
    assert_eq!(cast.dropped().target_gone, 1);
}

#[test]
fn what_cannot_be_relayed_is_counted() {
    let mut cast = Cast::new();
    let (_, server_alias) = cast.server();
    let (client, _) = cast.client();
    cast.bytes(client, vec![0xff; 20]);
    cast.bytes(client, vec![0x08]);
    // A CONNECT whose `to_alias` is a string.
    cast.bytes(client, vec![0x08, 2, 0x1a, 1, b'x']);
    assert_eq!(cast.dropped().undecodable, 3);
    cast.bytes(client, vec![0x08, 99]);
    assert_eq!(cast.dropped().unknown_type, 1);
    cast.bytes(client, vec![]);
    let ping = PingMessage {
        r#type: MessageType::Ping.into(),
        time: 1.0,
    };
    cast.signal(client, &ping);
    let welcome = WelcomeMessage {
        r#type: MessageType::Welcome.into(),
        alias: server_alias,
        ..Default::default()
    };
    cast.signal(client, &welcome);
    assert_eq!(cast.dropped().unexpected_type, 3);
    assert_eq!(cast.unread(client), 0);
    assert_eq!(cast.closed.len(), 0);
}

#[test]
fn fields_from_the_future_are_skipped() {
    let mut cast = Cast::new();
    let (server, server_alias) = cast.server();
    let (client, client_alias) = cast.client();
    let mut bytes = connect(server_alias).encode_to_vec();
    // Field 99, a string.
    bytes.extend([0x9a, 0x06, 1, b'x']);
    cast.bytes(client, bytes);
    assert_eq!(
        cast.received::<ConnectMessage>(server).from_alias,
        client_alias
    );
}

#[test]
fn a_signal_has_its_size() {
    let mut cast = Cast::with(|config| config.limits.signal_bytes_max = 100);
    let (server, server_alias) = cast.server();
    let (client, _) = cast.client();
    let mut answer = webrtc(MessageType::WebrtcAnswer, server_alias);
    answer.data = Bytes::new();
    let overhead = answer.encoded_len() + 2;
    for (size, delivered) in [(99, 1), (100, 1), (101, 0)] {
        answer.data = vec![b'x'; size - overhead].into();
        assert_eq!(answer.encoded_len(), size);
        cast.signal(client, &answer);
        assert_eq!(cast.unread(server), delivered, "{size}");
        cast.forget();
    }
    assert_eq!(cast.dropped().too_large, 1);
}

#[test]
fn a_session_has_its_rate_and_the_others_theirs() {
    let mut cast = Cast::with(|config| {
        config.limits.client_rate = Rate {
            per_second: 10,
            burst: 3,
        };
    });
    let (server, server_alias) = cast.server();
    let (flood, _) = cast.client();
    let (calm, _) = cast.client();
    for _ in 0..4 {
        cast.signal(flood, &connect(server_alias));
    }
    assert_eq!(cast.unread(server), 3);
    assert_eq!(cast.dropped().rate_limited, 1);
    cast.signal(calm, &connect(server_alias));
    assert_eq!(cast.unread(server), 4);
    // Garbage costs as much.
    cast.now += Duration::from_millis(100);
    cast.bytes(flood, vec![0xff]);
    cast.signal(flood, &connect(server_alias));
    assert_eq!(cast.unread(server), 4);
    assert_eq!(cast.dropped().rate_limited, 2);
}
