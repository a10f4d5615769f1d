//! Sessions with the coordinator that break and are continued.

use std::time::Duration;

use commserver_core::{Drop, ResumeToken};
use proto::{MessageType, Reason, RenamedMessage, ReplacedMessage, resume::TOKEN_BYTES_MAX};

use crate::{
    links::{HIGHER, LOWER, dial_link, dials},
    server::{OWN, Server},
};

fn token(server: &Server) -> Option<&str> {
    server.broker.resume_token().map(ResumeToken::expose)
}

#[test]
fn the_token_of_the_last_welcome_is_shown() {
    let mut server = Server::welcomed();
    assert_eq!(token(&server), None, "there was none");
    server.welcome_with_token(OWN, &[], "first");
    server.welcome_with_token(OWN, &[], "second");
    assert_eq!(token(&server), Some("second"));
    let shown = format!("{:?}", server.broker);
    assert!(!shown.contains("second"), "it is a secret");
    server.welcome(OWN, &[]);
    assert_eq!(token(&server), None, "a 2019 coordinator gives none");
}

#[test]
fn a_token_that_would_spoil_the_next_dial_is_not_shown() {
    let longest = "a".repeat(TOKEN_BYTES_MAX);
    for (given, shown) in [
        (longest.as_str(), true),
        (&format!("{longest}a"), false),
        ("two words", false),
        ("line\r\nline", false),
    ] {
        let mut server = Server::welcomed();
        server.welcome_with_token(OWN, &[], "before");
        server.welcome_with_token(OWN, &[], given);
        assert_eq!(token(&server), Some(given).filter(|_| shown));
        let dropped = server.broker.stats().dropped(Drop::Malformed);
        assert_eq!(dropped, u64::from(!shown), "{} bytes", given.len());
    }
}

#[test]
fn the_same_alias_again_costs_no_link_and_no_dial() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER, HIGHER]);
    let links = [dial_link(&mut server, 3), server.link(HIGHER, 9)];
    let client = server.client(1);
    dials(&mut server);
    for link in links {
        server.take(link);
    }
    // The others come back one after the other.
    server.resume(OWN, &[]);
    server.servers(1, &[HIGHER]);
    server.servers(2, &[LOWER, HIGHER]);
    server.pass(Duration::from_secs(60));
    for peer in [links[0], links[1], client] {
        assert_eq!((server.closed(peer), server.take(peer).len()), (None, 0));
    }
    assert_eq!(dials(&mut server), []);
    let stats = server.broker.stats();
    assert_eq!((stats.links, stats.welcomes, stats.renames), (2, 2, 0));
}

#[test]
fn a_dial_of_the_session_before_is_made_again_soon() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    assert_eq!(dials(&mut server), [LOWER]);
    let (lost, ..) = server.opened[0];
    server.resume(OWN, &[LOWER]);
    assert_eq!(server.closed(lost), Some(Reason::Replaced));
    server.pass(Duration::from_secs(1));
    assert_eq!(dials(&mut server), [LOWER]);
}

#[test]
fn a_dial_that_is_through_goes_on() {
    let mut server = Server::welcomed();
    server.servers(1, &[LOWER]);
    let (dialed, ..) = server.opened[0];
    server.input(commserver_core::Input::PeerOpened { peer: dialed });
    server.resume(OWN, &[LOWER]);
    assert_eq!(server.closed(dialed), None);
    dial_link(&mut server, 3);
    assert_eq!(server.broker.stats().links, 1);
}

#[test]
fn who_is_replaced_comes_back_as_another() {
    let mut server = Server::welcomed();
    server.welcome_with_token(OWN, &[], "mine");
    let link = server.link(HIGHER, 9);
    server.take(link);
    server.signal(&ReplacedMessage {
        r#type: MessageType::Replaced.into(),
    });
    assert_eq!(token(&server), None, "it is somebody else's now");
    server.resume(OWN + 10, &[HIGHER]);
    let renamed: Vec<RenamedMessage> = server.take_kind(link, MessageType::Renamed);
    assert_eq!(renamed[0].alias, OWN + 10);
    assert_eq!(server.closed(link), None);
    let stats = server.broker.stats();
    assert_eq!((stats.replaced, stats.renames, stats.links), (1, 1, 1));
}
