//! Which layer wins, and what is said when something is wrong.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

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
        "a = 1  # x.toml\nb = 2  # BROKER_B\nc = 3  # --c\nd = 0  # default\n"
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
            settings.take("advertise", Vec::<IpAddr>::new()),
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
            "size (BROKER_SIZE): expected 1 to 10, got \"0\"",
            "no secret",
            "idel (x.toml): there is no such setting",
            "limits.deep.x (x.toml): there is no such setting",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let found = problems(with("a = = 1", &[]));
    assert_eq!(found.len(), 1, "{found:?}");
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
fn what_is_wrong_below_a_higher_layer_is_wrong() {
    let mut settings = with("a = 'x'\nb = 11", &[("BROKER_A", "2"), ("BROKER_B", "0")]);
    settings.flag("a", "--a", Some("y"));
    // What is next below stands in, so that everything else can be looked at.
    assert_eq!(settings.take("a", 1_u32), 2);
    assert_eq!(settings.take_within("b", 5_u32, 1..=10), 5);
    let effective = settings.effective().to_string();
    assert_eq!(effective, "a = 2  # BROKER_A\nb = 5  # default\n");
    assert_eq!(
        problems(settings),
        [
            "a (x.toml): expected a whole number, got \"x\"",
            "a (--a): expected a whole number, got \"y\"",
            "b (x.toml): expected 1 to 10, got \"11\"",
            "b (BROKER_B): expected 1 to 10, got \"0\"",
        ]
    );
}

#[test]
fn a_choice_has_a_name() {
    let take = |settings: &mut Settings| {
        settings.take_choice("c", 'x', &[("an-x", 'x'), ("a-y", 'y'), ("a-z", 'z')])
    };
    for (file, choice, shown) in [
        ("", 'x', "c = \"an-x\"  # default\n"),
        ("c = 'a-z'", 'z', "c = \"a-z\"  # x.toml\n"),
    ] {
        let mut settings = with(file, &[]);
        assert_eq!(take(&mut settings), choice);
        assert_eq!(settings.finish().expect("nothing wrong").to_string(), shown);
    }
    let mut settings = with("c = 'z'", &[]);
    take(&mut settings);
    assert_eq!(
        problems(settings),
        ["c (x.toml): expected an-x, a-y or a-z, got \"z\""]
    );
}

#[test]
fn what_is_required_is_missed_once() {
    let mut settings = with("b = 'x'\nc = 1", &[]);
    let taken = ["a", "b", "c"].map(|key| settings.take_required::<u16>(key, "7"));
    assert_eq!(taken, [None, None, Some(1)]);
    assert_eq!(
        problems(settings),
        [
            "a: it is missing, for example 7",
            "b (x.toml): expected a whole number, got \"x\""
        ]
    );
}

#[test]
fn what_can_be_switched_off_is_none_then() {
    let mut settings = with("a = 'none'\nb = '1.2.3.4'\nc = 'off'", &[]);
    let default = Some(IpAddr::from([1, 1, 1, 1]));
    assert_eq!(settings.take("a", default), None);
    assert_eq!(settings.take("b", None), Some(IpAddr::from([1, 2, 3, 4])));
    assert_eq!(settings.take("c", default), default);
    let shown = settings.effective().to_string();
    assert!(shown.starts_with("a = \"none\"  # x.toml\n"), "{shown}");
    assert_eq!(
        problems(settings),
        ["c (x.toml): expected an IP address, or none, got \"off\""]
    );
}

#[test]
fn ranges_are_told_in_words() {
    assert_eq!(value::show_range(&(1..=10_u32)), "1 to 10");
    assert_eq!(value::show_range(&(1_u32..)), "at least 1");
    assert_eq!(value::show_range(&(..=10_u32)), "at most 10");
    assert_eq!(value::show_range(&(1..10_u32)), "at least 1 and below 10");
    let above = (std::ops::Bound::Excluded(0.0), std::ops::Bound::Unbounded);
    assert_eq!(value::show_range::<f64>(&above), "above 0");
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
