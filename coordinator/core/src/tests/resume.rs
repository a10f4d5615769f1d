//! Sessions that come back.

use std::time::Duration;

use proto::{MessageHeader, PeerGoneMessage, WebRtcMessage};

use super::{cast::connect, *};

fn offer(to_alias: u64) -> WebRtcMessage {
    WebRtcMessage {
        r#type: MessageType::WebrtcOffer.into(),
        to_alias,
        ..Default::default()
    }
}

fn resumes(cast: &Cast) -> Resumes {
    cast.coordinator.stats().resumes
}

#[test]
fn a_session_that_comes_back_keeps_its_alias() {
    let mut cast = Cast::new();
    for role in [
        Role::Client,
        Role::CommunicationServer,
        Role::CommunicationServerHub,
    ] {
        let (before, welcome) = cast.join(role, true);
        let resume = cast.resume(before);
        assert_eq!(resume.alias.number(), welcome.alias);
        cast.close(before);
        let (again, welcome) = cast.come_back(role, resume);
        assert_eq!(welcome.alias, resume.alias.number(), "{role:?}");
        assert_eq!(cast.resume(again), resume, "and may come back again");
        cast.close(again);
    }
    let expected = Resumes {
        kept: 3,
        ..Resumes::default()
    };
    assert_eq!(resumes(&cast), expected);
    assert_eq!(cast.closed.len(), 0);
}

#[test]
fn a_session_of_2019_has_nothing_to_come_back_with() {
    let mut cast = Cast::new();
    let session = cast.open(Role::Client, false);
    let input = Input::SessionOpened {
        session: SessionId(99),
        role: Role::Client,
        ours: false,
        identity: Bytes::new(),
        token_id: None,
        resume: None,
        region: None,
    };
    cast.coordinator.handle_input(cast.now, input);
    let output = cast.coordinator.poll_output();
    assert!(
        matches!(output, Some(Output::Welcome { resume: None, .. })),
        "{output:?}"
    );
    assert!(cast.unread(session) > 0);
}

#[test]
fn a_live_session_is_told_that_it_is_replaced_and_then_closed() {
    let mut cast = Cast::new();
    let (first, alias) = cast.client();
    let resume = cast.resume(first);
    let (second, welcome) = cast.come_back(Role::Client, resume);
    assert_eq!(welcome.alias, alias);
    let told = cast.received::<MessageHeader>(first);
    assert_eq!(told.r#type(), MessageType::Replaced);
    assert_eq!(cast.unread(first), 0);
    assert_eq!(cast.closed.get(&first), Some(&Reason::Replaced));
    assert_eq!(cast.coordinator.stats().clients, 1);
    assert_eq!(resumes(&cast).replaced, 1);

    // Its socket ends only now: its successor is not hurt.
    cast.close(first);
    let (server, server_alias) = cast.server();
    cast.signal(second, &connect(server_alias));
    assert_eq!(cast.received::<ConnectMessage>(server).from_alias, alias);
}

#[test]
fn servers_may_still_signal_to_the_successor_of_a_client() {
    let mut cast = Cast::new();
    let (server, server_alias) = cast.server();
    let (stranger, _) = cast.server();
    let (first, alias) = cast.client();
    cast.signal(first, &connect(server_alias));
    let resume = cast.resume(first);
    let (second, _) = cast.come_back(Role::Client, resume);
    cast.signal(server, &offer(alias));
    assert_eq!(cast.unread(second), 1);
    cast.signal(stranger, &offer(alias));
    assert_eq!(cast.unread(second), 1, "contacts, and nobody else");
}

#[test]
fn the_end_of_a_client_is_told_to_the_servers_that_it_contacted() {
    let mut cast = Cast::new();
    let servers = [(); 3].map(|()| cast.server());
    let (old, old_welcome) = cast.join(Role::CommunicationServer, false);
    cast.forget();
    for ours in [true, false] {
        let (client, welcome) = cast.join(Role::Client, ours);
        for alias in [servers[0].1, servers[1].1, servers[0].1, old_welcome.alias] {
            cast.signal(client, &connect(alias));
        }
        cast.close(servers[1].0);
        cast.forget();
        cast.close(client);
        let gone = cast.received::<PeerGoneMessage>(servers[0].0);
        assert_eq!(
            (gone.r#type(), gone.alias),
            (MessageType::PeerGone, welcome.alias)
        );
        for (session, _) in servers {
            assert_eq!(cast.unread(session), 0, "once, and only to contacts");
        }
        assert_eq!(cast.unread(old), 0, "a 2019 server would not understand");
    }
    assert_eq!(cast.coordinator.stats().peers_gone, 2);
}

#[test]
fn contacts_are_told_when_the_last_of_a_line_ends() {
    let mut cast = Cast::new();
    let (server, server_alias) = cast.server();
    let (mut client, alias) = cast.client();
    cast.signal(client, &connect(server_alias));
    cast.forget();
    for _ in 0..2 {
        let before = client;
        let resume = cast.resume(before);
        (client, _) = cast.come_back(Role::Client, resume);
        cast.close(before);
        assert_eq!(cast.unread(server), 0, "it has a successor");
    }
    // The server comes back as well: it is the same to the client.
    let resume = cast.resume(server);
    let (server, _) = cast.come_back(Role::CommunicationServer, resume);
    cast.forget();
    cast.close(client);
    assert_eq!(cast.received::<PeerGoneMessage>(server).alias, alias);
}

#[test]
fn forgotten_contacts_are_not_told() {
    for (contacts, told) in [(1, true), (2, true), (3, false)] {
        let mut cast = Cast::with(|config| config.limits.contacts_max = 2);
        let servers: Vec<(SessionId, u64)> = (0..contacts).map(|_| cast.server()).collect();
        let (client, _) = cast.client();
        for &(_, alias) in &servers {
            cast.signal(client, &connect(alias));
        }
        cast.forget();
        cast.close(client);
        assert_eq!(cast.unread(servers[0].0) == 1, told, "{contacts}");
        let count = u64::try_from(contacts).expect("few").min(2);
        assert_eq!(cast.coordinator.stats().peers_gone, count);
    }
}

#[test]
fn at_the_end_of_all_nobody_is_told() {
    let mut cast = Cast::new();
    let (server, server_alias) = cast.server();
    let (other, _) = cast.server();
    let (client, _) = cast.client();
    cast.signal(client, &connect(server_alias));
    cast.forget();
    cast.input(Input::ShuttingDown);
    for session in [client, other] {
        cast.close(session);
    }
    assert_eq!(cast.unread(server), 0);
}

#[test]
fn contacts_end_with_a_session_that_was_over() {
    let mut cast = Cast::new();
    let (server, server_alias) = cast.server();
    let (first, alias) = cast.client();
    cast.signal(first, &connect(server_alias));
    let resume = cast.resume(first);
    cast.close(first);
    let (second, _) = cast.come_back(Role::Client, resume);
    cast.signal(server, &offer(alias));
    assert_eq!(cast.unread(second), 0);
}

#[test]
fn a_server_that_takes_its_own_place_is_no_news() {
    let mut cast = Cast::new();
    let (first, alias) = cast.server();
    let (other, other_alias) = cast.server();
    let (client, _) = cast.client();
    cast.forget();
    let resume = cast.resume(first);
    let (second, welcome) = cast.come_back(Role::CommunicationServer, resume);
    assert_eq!(welcome.alias, alias);
    assert_eq!(welcome.available_servers, [other_alias]);
    let list = cast.received::<ServersMessage>(second);
    assert_eq!(list.entries.len(), 1, "in full after WELCOME");
    assert_eq!(list.entries[0].alias, other_alias);
    assert_eq!((cast.unread(other), cast.unread(client)), (0, 0));
    cast.close(first);
    assert_eq!((cast.unread(other), cast.unread(second)), (0, 0));

    // The next change is one version on.
    cast.pass(Duration::from_secs(1));
    cast.join(Role::CommunicationServer, false);
    let version = list.version;
    assert_eq!(cast.received::<ServersMessage>(second).version, version + 1);
}

#[test]
fn the_successor_of_a_client_that_waits_waits_alone() {
    let mut cast = Cast::new();
    let (first, _) = cast.client();
    let resume = cast.resume(first);
    let (second, _) = cast.come_back(Role::Client, resume);
    cast.forget();
    assert_eq!(cast.coordinator.stats().waiting, 1);
    cast.server();
    assert_eq!(cast.coordinator.stats().waiting, 0);
    assert_eq!(cast.unread(first), 0);
    cast.close(second);
}

#[test]
fn a_restarted_coordinator_gives_old_aliases_back_and_none_twice() {
    let mut before = Cast::new();
    let held: Vec<Resume> = (0..4)
        .map(|_| {
            let (session, _) = before.client();
            before.resume(session)
        })
        .collect();
    // Started later, or with a clock that was set back.
    for started in [2_000, 10] {
        let mut cast = Cast::with(|config| config.started = Duration::from_secs(started));
        let (_, fresh) = cast.client();
        let mut aliases = vec![fresh];
        for at in [3, 0, 2, 1] {
            let (_, welcome) = cast.come_back(Role::Client, held[at]);
            assert_eq!(welcome.alias, held[at].alias.number());
            aliases.extend([welcome.alias, cast.client().1]);
        }
        let count = aliases.len();
        aliases.sort_unstable();
        aliases.dedup();
        assert_eq!(aliases.len(), count, "{aliases:?}");
        assert_eq!(resumes(&cast).kept, 4);
    }
}

#[test]
fn two_that_were_given_one_alias_do_not_replace_each_other() {
    let mut before = Cast::new();
    let (theirs, _) = before.client();
    let theirs = before.resume(theirs);
    // The clock was set back to the very start.
    let mut cast = Cast::with(|config| config.seed = 8);
    let (ours, alias) = cast.client();
    assert_eq!(theirs.alias.number(), alias);
    let (_, welcome) = cast.come_back(Role::Client, theirs);
    assert_ne!(welcome.alias, alias);
    assert!(!cast.closed.contains_key(&ours));
    assert_eq!(resumes(&cast).in_use, 1);
}

#[test]
fn one_role_does_not_take_the_place_of_another() {
    let mut cast = Cast::new();
    let (client, alias) = cast.client();
    let resume = cast.resume(client);
    let (_, welcome) = cast.come_back(Role::CommunicationServer, resume);
    assert_ne!(welcome.alias, alias);
    assert!(cast.closed.is_empty());
    assert_eq!(resumes(&cast).in_use, 1);
}

#[test]
fn absurd_aliases_are_ignored() {
    let mut cast = Cast::new();
    for (count, number) in [(1, 0), (2, 63), (3, (1 << 53) - 1), (4, u64::MAX)] {
        let resume = Resume {
            alias: Alias::from_wire(number),
            series: 1,
        };
        let (_, welcome) = cast.come_back(Role::Client, resume);
        assert_ne!(welcome.alias, number);
        assert_eq!(resumes(&cast).absurd, count);
    }
    let (_, alias) = cast.client();
    assert_eq!(alias, ((1_000 << 16) + 5) << 6, "they moved nothing");
}

#[test]
fn who_replaces_itself_needs_no_other_place() {
    let mut cast = Cast::with(|config| {
        config.limits.clients_max = 1;
        config.limits.servers_max = 1;
    });
    for role in [Role::Client, Role::CommunicationServer] {
        let (first, _) = cast.join(role, true);
        let resume = cast.resume(first);
        let (_, welcome) = cast.come_back(role, resume);
        assert_eq!(welcome.alias, resume.alias.number());
        let refused = cast.open(role, true);
        assert_eq!(cast.closed.get(&refused), Some(&Reason::Overloaded));
    }
}
