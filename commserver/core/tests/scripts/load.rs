//! LOAD: what the coordinator is told, and when.

use std::time::Duration;

use commserver_core::{Config, Input, Limits, PeerId};
use proto::{Lane, LoadMessage, MessageType, Reason, Role, ServerState};

use crate::server::{INSTANCE, Server};

const INTERVAL: Duration = Duration::from_secs(2);
const MOMENT: Duration = Duration::from_millis(1);

fn reporting(peers_max: usize) -> Server {
    let mut server = Server::new(Config {
        load_interval: INTERVAL,
        limits: Limits {
            peers_max,
            ..Limits::default()
        },
        ..Config::new(INSTANCE, 1)
    });
    server.input(Input::UplinkOpened);
    server.welcome_to_report();
    server
}

fn reports(server: &mut Server) -> Vec<LoadMessage> {
    server.take_signals(MessageType::Load)
}

fn states(server: &mut Server) -> Vec<ServerState> {
    let reports = reports(server);
    reports.iter().map(LoadMessage::state).collect()
}

fn leaves(server: &mut Server, peer: PeerId) {
    let reason = Reason::TransportClosed;
    server.input(Input::PeerClosed { peer, reason });
}

#[test]
fn at_once_and_then_regularly() {
    let mut server = reporting(10);
    let first = reports(&mut server);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].state(), ServerState::Live);
    assert_eq!((first[0].peers, first[0].peers_max), (0, 10));
    server.pass(INTERVAL - MOMENT);
    assert_eq!(reports(&mut server), []);
    server.pass(MOMENT);
    assert_eq!(reports(&mut server).len(), 1);
    server.pass(INTERVAL * 5);
    assert_eq!(reports(&mut server).len(), 5);
    assert_eq!(server.broker.stats().load_reports, 7);
}

#[test]
fn full_and_live_again_are_told_at_once() {
    let mut server = reporting(2);
    server.pass(Duration::from_secs(1));
    server.link(2_000, 9);
    server.client(1);
    states(&mut server);
    server.pass(Duration::from_millis(500));
    // It has its place from its first signal on.
    let second = server.arrive(2, Role::Client);
    assert_eq!(states(&mut server), [ServerState::Full]);
    server.pass(Duration::from_millis(500));
    leaves(&mut server, second);
    assert_eq!(states(&mut server), [ServerState::Live]);
    server.pass(INTERVAL);
    let regular = reports(&mut server);
    assert_eq!(
        (regular.len(), regular[0].peers),
        (1, 1),
        "links are no peers"
    );
}

#[test]
fn coming_and_going_at_the_limit_is_told_ten_times_a_second_at_most() {
    let mut server = reporting(1);
    server.pass(Duration::from_secs(1));
    reports(&mut server);
    for _ in 0..500 {
        let peer = server.arrive(1, Role::Client);
        server.pass(MOMENT);
        leaves(&mut server, peer);
        server.pass(MOMENT);
    }
    let told = reports(&mut server).len();
    assert!((9..=11).contains(&told), "{told} in a second");
    server.pass(Duration::from_millis(100));
    let peer = server.arrive(1, Role::Client);
    assert_eq!(states(&mut server).last(), Some(&ServerState::Full));
    leaves(&mut server, peer);
    server.pass(Duration::from_millis(100));
    assert_eq!(
        states(&mut server),
        [ServerState::Live],
        "the last word holds"
    );
}

#[test]
fn averages_are_since_the_report_before() {
    let mut server = reporting(10);
    let (ann, ben) = (server.client(1), server.client(2));
    server.subscription(ben, "a");
    server.pass(INTERVAL);
    reports(&mut server);

    for _ in 0..50 {
        server.publish(ann, Lane::Unreliable, "a", "x");
    }
    server.cpu = Some(Duration::from_secs(10));
    server.pass(INTERVAL);
    let report = &reports(&mut server)[0];
    assert_eq!(report.packets_per_s, 50, "50 in and 50 out, in two seconds");
    assert_eq!(report.cpu_permille, 0, "nothing to compare it with yet");

    server.cpu = Some(Duration::from_millis(11_500));
    server.pass(INTERVAL);
    let report = &reports(&mut server)[0];
    assert_eq!((report.packets_per_s, report.cpu_permille), (0, 750));

    server.cpu = None;
    server.pass(INTERVAL);
    assert_eq!(reports(&mut server)[0].cpu_permille, 0, "it is not known");
}

#[test]
fn only_who_takes_reports_gets_them() {
    let mut server = Server::welcomed();
    server.pass(INTERVAL * 3);
    assert_eq!(reports(&mut server), [], "a 2019 coordinator");

    let mut server = reporting(1);
    reports(&mut server);
    server.input(Input::UplinkClosed);
    server.arrive(1, Role::Client);
    server.pass(INTERVAL * 3);
    assert_eq!(reports(&mut server), [], "there is none");
    server.input(Input::UplinkOpened);
    assert_eq!(reports(&mut server), [], "not before WELCOME");
    server.welcome_to_report();
    assert_eq!(states(&mut server), [ServerState::Full]);
}
