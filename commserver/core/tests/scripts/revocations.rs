//! REVOKED: who is not to be here any more.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use commserver_core::{Config, Identity, Input, Limits, PeerId};
use proto::{
    ConnectionRefusedMessage, MessageType, Reason, RevokedEntry, RevokedMessage, Role, frame,
    revocation::Target,
};

use crate::server::{INSTANCE, Server, auth};

const HOUR_S: u64 = 3_600;

fn revoke(server: &mut Server, entries: Vec<RevokedEntry>) {
    server.signal(&RevokedMessage {
        r#type: MessageType::Revoked.into(),
        entries,
    });
}

fn name(name: &'static str) -> Target {
    Target::Identity(Bytes::from_static(name.as_bytes()))
}

fn token(name: &str) -> Target {
    Target::Token(name.into())
}

/// Asks to be let in; the authenticator finds this.
fn come(server: &mut Server, alias: u64, identity: &'static str, token: &str) -> PeerId {
    let peer = server.arrive(alias, Role::Client);
    server.say(peer, &auth(Role::Client, frame::capabilities(false), 0));
    let identity = Identity {
        token_id: Some(Arc::from(token)),
        ..Identity::everything(Bytes::from_static(identity.as_bytes()))
    };
    server.input(Input::Authenticated {
        peer,
        result: Ok(identity),
        proof: Bytes::new(),
    });
    peer
}

#[test]
fn those_who_are_meant_are_closed_and_nobody_else() {
    for (target, meant) in [
        (name("ann"), [true, true, false, false]),
        (token("t2"), [false, true, false, false]),
        (Target::Alias(3), [false, false, true, false]),
        (name(""), [false; 4]),
        (name("t1"), [false; 4]),
        (token("ann"), [false; 4]),
    ] {
        let mut server = Server::welcomed();
        let all = [
            come(&mut server, 1, "ann", "t1"),
            come(&mut server, 2, "ann", "t2"),
            come(&mut server, 3, "ben", "t3"),
            come(&mut server, 4, "", "t4"),
        ];
        for peer in all {
            server.take(peer);
        }
        revoke(&mut server, vec![target.to_entry(HOUR_S)]);
        for (peer, meant) in all.into_iter().zip(meant) {
            let closed = meant.then_some(Reason::Revoked);
            assert_eq!(server.closed(peer), closed, "{target:?} {peer}");
            let told = server.take_errors(peer);
            assert_eq!(told.len(), usize::from(meant), "{target:?} {peer}");
        }
    }
}

#[test]
fn they_do_not_come_back_before_their_time_is_over() {
    let mut server = Server::welcomed();
    let entries = [name("ann"), token("t2"), Target::Alias(3)];
    let entries = entries.map(|target| target.to_entry(HOUR_S));
    revoke(&mut server, entries.to_vec());
    let comers = |server: &mut Server| {
        [(1, "ann", "t1"), (2, "ben", "t2"), (4, "cat", "t4")]
            .map(|(alias, name, token)| come(server, alias, name, token))
    };
    let [ann, ben, cat] = comers(&mut server);
    assert_eq!(server.closed(ann), Some(Reason::Revoked));
    assert_eq!(server.closed(ben), Some(Reason::Revoked));
    assert_eq!(server.closed(cat), None);
    server.connect(3, Role::Client);
    let refused = server.take_signals::<ConnectionRefusedMessage>(MessageType::ConnectionRefused);
    assert_eq!(refused[0].code, u32::from(Reason::Revoked.number()));

    server.pass(Duration::from_secs(HOUR_S));
    for peer in comers(&mut server) {
        assert_eq!(server.closed(peer), None);
    }
    let dog = come(&mut server, 3, "dog", "t3");
    assert_eq!(server.closed(dog), None);
}

#[test]
fn a_lost_coordinator_takes_nothing_back() {
    let mut server = Server::welcomed();
    revoke(&mut server, vec![name("ann").to_entry(HOUR_S)]);
    server.resume(1_000, &[]);
    let ann = come(&mut server, 1, "ann", "t1");
    assert_eq!(server.closed(ann), Some(Reason::Revoked));
    // Its last word counts.
    revoke(&mut server, vec![name("ann").to_entry(0)]);
    let ann = come(&mut server, 1, "ann", "t1");
    assert_eq!(server.closed(ann), None);
}

#[test]
fn one_who_is_on_the_way_in_is_met_at_the_door() {
    let mut server = Server::welcomed();
    let signalling = {
        server.connect(1, Role::Client);
        server.opened[0].0
    };
    let asking = server.arrive(2, Role::Client);
    server.say(asking, &auth(Role::Client, frame::capabilities(false), 0));
    let aliases = [Target::Alias(1), Target::Alias(2)];
    revoke(
        &mut server,
        aliases.map(|alias| alias.to_entry(HOUR_S)).to_vec(),
    );
    assert_eq!(server.closed(signalling), Some(Reason::Revoked));
    assert_eq!(server.closed(asking), Some(Reason::Revoked));
}

#[test]
fn new_credentials_do_not_help_and_may_be_the_revoked_ones() {
    let mut server = Server::welcomed();
    let ann = come(&mut server, 1, "ann", "t1");
    revoke(&mut server, vec![token("t2").to_entry(HOUR_S)]);
    server.pass(Duration::from_secs(1));
    server.say(ann, &auth(Role::Client, frame::capabilities(false), 0));
    let identity = Identity {
        token_id: Some("t2".into()),
        ..Identity::everything(Bytes::from_static(b"ann"))
    };
    server.input(Input::Authenticated {
        peer: ann,
        result: Ok(identity),
        proof: Bytes::new(),
    });
    assert_eq!(server.closed(ann), Some(Reason::Revoked));
}

#[test]
fn a_link_is_not_revoked() {
    let mut server = Server::welcomed();
    let link = server.link(2_000, 8);
    revoke(&mut server, vec![Target::Alias(2_000).to_entry(HOUR_S)]);
    assert_eq!(server.closed(link), None);
    server.connect(2_000, Role::CommunicationServer);
    let refused = server.take_signals::<ConnectionRefusedMessage>(MessageType::ConnectionRefused);
    assert!(refused.is_empty());
}

#[test]
fn memory_is_bounded_and_what_is_forgotten_counted() {
    // 64 bytes for each, and the name.
    for (room, forgotten) in [(3 * 67 - 1, 1), (3 * 67, 0), (3 * 67 + 1, 0)] {
        let mut server = Server::welcomed_with(Config {
            limits: Limits {
                revocations_bytes_max: room,
                ..Limits::default()
            },
            ..Config::new(INSTANCE, 1)
        });
        let entries = [("ann", 30), ("ben", 10), ("cat", 20)];
        let entries = entries.map(|(who, for_s)| name(who).to_entry(for_s));
        revoke(&mut server, entries.to_vec());
        let stats = server.broker.stats();
        assert_eq!(stats.revocations_forgotten, forgotten, "{room}");
        assert_eq!(stats.revocations, 3 - usize::from(forgotten > 0));
        // The first to end.
        let ben = come(&mut server, 1, "ben", "t1");
        assert_eq!(server.closed(ben).is_none(), forgotten > 0);
    }
}

#[test]
fn an_entry_that_names_nobody_means_nobody() {
    let mut server = Server::welcomed();
    let ann = come(&mut server, 1, "ann", "t1");
    let nobody = RevokedEntry {
        for_s: HOUR_S,
        ..RevokedEntry::default()
    };
    revoke(&mut server, vec![nobody]);
    assert_eq!(server.closed(ann), None);
    assert_eq!(server.broker.stats().revocations, 0);
}
