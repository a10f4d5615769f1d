//! Those who are not to be here any more.

use std::sync::Arc;

use proto::{PeerGoneMessage, RevokedMessage, revocation::Target};

use super::{
    cast::{Cast, connect, nobody},
    *,
};
use crate::registry::Newcomer;

const HOUR: Duration = Duration::from_hours(1);

fn name(name: &'static str) -> Target {
    Target::Identity(Bytes::from_static(name.as_bytes()))
}

fn token(name: &str) -> Target {
    Target::Token(name.into())
}

fn person(name: &'static str, token: &str) -> Newcomer {
    Newcomer {
        identity: Bytes::from_static(name.as_bytes()),
        token_id: Some(Arc::from(token)),
        ..nobody(Role::Client, true)
    }
}

/// Comes and reads its WELCOME, unless it is shut out.
fn come(cast: &mut Cast, newcomer: Newcomer) -> SessionId {
    let session = cast.arrive(newcomer);
    if !cast.closed.contains_key(&session) {
        cast.received::<WelcomeMessage>(session);
    }
    session
}

fn revoke(cast: &mut Cast, target: Target, lasts: Duration) {
    let until = cast.now + lasts;
    cast.input(Input::Revoke { target, until });
}

/// What a server is told next.
fn told(cast: &mut Cast, server: SessionId) -> Vec<(Target, u64)> {
    let message = cast.received::<RevokedMessage>(server);
    assert_eq!(message.r#type(), MessageType::Revoked);
    let entries = message.entries.iter();
    entries
        .map(|entry| (Target::of_entry(entry).expect("somebody"), entry.for_s))
        .collect()
}

#[test]
fn those_who_are_meant_are_closed_and_nobody_else() {
    for (target, meant) in [
        (name("ann"), [true, true, false, false]),
        (token("t2"), [false, true, false, false]),
        (name("t1"), [false; 4]),
        (token("ann"), [false; 4]),
    ] {
        let mut cast = Cast::new();
        let server = cast.server().0;
        let clients = [("ann", "t1"), ("ann", "t2"), ("ben", "t3"), ("", "t4")];
        let clients = clients.map(|(name, token)| come(&mut cast, person(name, token)));
        revoke(&mut cast, target.clone(), HOUR);
        for (client, meant) in clients.into_iter().zip(meant) {
            let closed = meant.then_some(&Reason::Revoked);
            assert_eq!(cast.closed.get(&client), closed, "{target:?} {client:?}");
        }
        assert_eq!(told(&mut cast, server), [(target, 3_600)]);
        let revoked = meant.into_iter().filter(|meant| *meant).count();
        assert_eq!(cast.coordinator.stats().revoked, count(revoked));
        assert_eq!(cast.coordinator.stats().revocations, 1);
    }
}

#[test]
fn they_are_not_let_in_before_their_time_is_over() {
    let mut cast = Cast::new();
    revoke(&mut cast, name("ann"), HOUR);
    revoke(&mut cast, token("t2"), HOUR);
    let comers = |cast: &mut Cast| {
        [("ann", "t1"), ("ben", "t2"), ("cat", "t3")].map(|(name, token)| {
            let session = come(cast, person(name, token));
            cast.closed.get(&session).copied()
        })
    };
    let out = Some(Reason::Revoked);
    assert_eq!(comers(&mut cast), [out, out, None]);
    assert_eq!(cast.coordinator.stats().refused, 2);
    cast.pass(HOUR - Duration::from_millis(1));
    assert_eq!(comers(&mut cast), [out, out, None]);
    cast.pass(Duration::from_millis(1));
    assert_eq!(comers(&mut cast), [None; 3]);
}

#[test]
fn an_alias_is_shut_out_with_the_token_that_brings_it_back() {
    let mut cast = Cast::new();
    let (server, to) = cast.server();
    let (client, alias) = cast.client();
    let resume = cast.resume(client);
    cast.signal(client, &connect(to));
    cast.forget();
    revoke(&mut cast, Target::Alias(alias), HOUR);
    assert_eq!(cast.closed[&client], Reason::Revoked);
    // The server hears why before it hears that the session is over.
    assert_eq!(told(&mut cast, server), [(Target::Alias(alias), 3_600)]);
    assert_eq!(cast.received::<PeerGoneMessage>(server).alias, alias);

    let back = cast.open_with(Role::Client, true, Some(resume));
    assert_eq!(cast.closed[&back], Reason::Revoked);
    // Without a name and without the token nobody can tell that it is the same one.
    let (fresh, another) = cast.client();
    assert_ne!(another, alias);
    assert_eq!(cast.closed.get(&fresh), None);
}

#[test]
fn a_server_that_comes_is_told_what_holds() {
    let mut cast = Cast::new();
    revoke(&mut cast, name("ann"), HOUR);
    revoke(&mut cast, name("ben"), Duration::from_secs(1));
    revoke(&mut cast, name("cat"), 2 * HOUR);
    revoke(&mut cast, name("cat"), Duration::ZERO);
    cast.pass(Duration::from_millis(1_500));
    for ours in [true, false] {
        let (server, _) = cast.join(Role::CommunicationServer, ours);
        if ours {
            cast.received::<ServersMessage>(server);
            // Rounded up.
            assert_eq!(told(&mut cast, server), [(name("ann"), 3_599)]);
        }
        assert_eq!(cast.unread(server), 0);
    }
    let now = cast.now;
    let listed: Vec<_> = cast.coordinator.revocations(now).collect();
    assert_eq!(listed.len(), 1);
    // That it is taken back is told as well.
    let servers = cast.server().0;
    revoke(&mut cast, name("ann"), Duration::ZERO);
    assert_eq!(told(&mut cast, servers), [(name("ann"), 0)]);
    let ann = come(&mut cast, person("ann", "t1"));
    assert_eq!(cast.closed.get(&ann), None);
}

#[test]
fn a_server_is_not_revoked() {
    let mut cast = Cast::new();
    let (server, alias) = cast.server();
    revoke(&mut cast, Target::Alias(alias), HOUR);
    assert_eq!(cast.closed.get(&server), None);
    let resume = cast.resume(server);
    let back = cast.open_with(Role::CommunicationServer, true, Some(resume));
    assert_eq!(cast.closed.get(&back), None);
}

#[test]
fn what_there_is_no_room_for_is_refused_and_holds_for_nobody() {
    let long = |n: usize| {
        let mut name = n.to_string();
        name.extend(std::iter::repeat_n('x', 1_024 - name.len()));
        Target::Identity(name.into())
    };
    let room = limits::REVOCATIONS_BYTES_MAX / (1_024 + 64);
    let mut cast = Cast::new();
    for n in 0..=room {
        revoke(&mut cast, long(n), HOUR);
        let holds = cast.coordinator.is_revoked(cast.now, &long(n));
        assert_eq!(holds, n < room, "{n}");
    }
    let stats = cast.coordinator.stats();
    assert_eq!(stats.revocations_refused, 1);
    assert_eq!(stats.revocations, count(room));
}
