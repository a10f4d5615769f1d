//! Which layer wins, and what is said when something is wrong.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::*;

fn with(file: &str, variables: &'static [(&str, &str)]) -> Settings {
    let environment = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, text)| (*text).to_string())
    };
    let mut settings = Settings::new(environment);
    settings.file_text("x.toml", file);
    settings
}

fn problems(settings: Settings) -> Vec<String> {
    settings.finish().expect_err("problems").lines().to_vec()
}

#[test]
fn the_highest_layer_wins() {
    let file = "a = 1\nb = 1\nc = 1";
    let mut settings = with(file, &[("BROKER_B", "2"), ("BROKER_C", "2")]);
    settings.flag("c", "--c", Some(3));
    let all = ["a", "b", "c", "d"].map(|key| settings.take(key, 0_u32));
    assert_eq!(all, [1, 2, 3, 0]);
    let shown = settings.finish().expect("nothing wrong").to_string();
    assert_eq!(
        shown,
        "a = 1  # x.toml\nb = 2  # BROKER_B\nc = 3  # --c\nd = 0\n"
    );
}

#[test]
fn what_is_shown_gives_the_same_again() {
    let take = |settings: &mut Settings| {
        let listen: SocketAddr = ([127, 0, 0, 1], 9090).into();
        (
            settings.take("listen", listen),
            settings.take("log.filter", "a \"b\"\\".to_string()),
            settings.take("t.idle", Duration::from_millis(90_000)),
            settings.take("t.short", Duration::from_millis(1_500)),
            settings.take("advertise", Vec::<std::net::IpAddr>::new()),
            settings.take_optional::<PathBuf>("path"),
        )
    };
    let file = "listen = '[::1]:1'\nadvertise = ['1.2.3.4', '::2']\npath = '/a b'\nt.idle = '2m'";
    let mut first = with(file, &[]);
    let values = take(&mut first);
    assert_eq!(values.2, Duration::from_secs(120));
    assert_eq!(values.4.len(), 2);
    let shown = first.finish().expect("nothing wrong").to_string();
    let mut second = with(&shown, &[]);
    assert_eq!(take(&mut second), values, "{shown}");
    assert!(second.finish().is_ok());
}

#[test]
fn all_problems_come_together() {
    let file = "listen = 'here'\nlimits.peers_max = -1\nidel = '1s'\n[limits.deep]\nx = 1";
    let mut settings = with(file, &[("BROKER_IDLE", "15"), ("BROKER_SIZE", "0")]);
    settings.take::<SocketAddr>("listen", ([127, 0, 0, 1], 1).into());
    settings.take("limits.peers_max", 1_usize);
    settings.take("idle", Duration::from_secs(1));
    settings.take_within("size", 5_u32, 1..=10);
    settings.problem("no secret");
    let found = problems(settings);
    assert_eq!(
        found,
        [
            "listen (x.toml): expected an address with a port, such as 127.0.0.1:9090, \
             got \"here\"",
            "limits.peers_max (x.toml): expected a whole number, got \"-1\"",
            "idle (BROKER_IDLE): expected a duration, such as 250ms, 15s or 2m, got \"15\"",
            "size (BROKER_SIZE): expected 1 to 10, got 0",
            "no secret",
            "idel (x.toml): there is no such setting",
            "limits.deep.x (x.toml): there is no such setting",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let found = problems(with("a = = 1", &[]));
    assert!(found[0].starts_with("x.toml: "), "{found:?}");
    let mut settings = with("", &[]);
    settings.file(Path::new("/nonexistent/x.toml"));
    let found = problems(settings);
    assert!(
        found[0].starts_with("cannot read /nonexistent/x.toml: "),
        "{found:?}"
    );
}

#[test]
fn a_setting_below_a_higher_layer_is_known() {
    let mut settings = with("insecure = false", &[]);
    settings.flag("insecure", "--insecure", Some(true));
    assert!(settings.take("insecure", false));
    assert!(settings.finish().is_ok());
}

#[test]
fn numbers_have_their_range() {
    for (text, good) in [("0", false), ("1", true), ("10", true), ("11", false)] {
        let mut settings = with(&format!("n = {text}"), &[]);
        settings.take_within("n", 5_u32, 1..=10);
        assert_eq!(settings.finish().is_ok(), good, "{text}");
    }
}

#[test]
fn durations_have_units() {
    for (text, ms) in [
        ("250ms", 250),
        ("15s", 15_000),
        ("2 m", 120_000),
        ("8760h", 31_536_000_000),
    ] {
        assert_eq!(Duration::parse(text), Ok(Duration::from_millis(ms)));
    }
    for text in [
        "",
        "s",
        "15",
        "1.5s",
        "-1s",
        "15S",
        "99999999999999999999s",
        "8761h",
    ] {
        assert!(Duration::parse(text).is_err(), "{text}");
    }
}
