use super::*;
use std::time::Duration;

fn nothing(_name: &str) -> Option<String> {
    None
}

fn secrets(name: &str) -> Option<String> {
    (name == "BROKER_CLUSTER_SECRET").then(|| "a secret of the cluster".into())
}

/// Enough to start with.
fn good() -> Settings {
    let mut settings = Settings::new();
    settings.apply_flag("coordinator", "ws://127.0.0.1:9090");
    settings.apply_flag("insecure", "true");
    settings
}

#[test]
fn defaults_suffice_with_a_coordinator_and_secrets() {
    let config = good().into_config(secrets).expect("a configuration");
    assert_eq!(config.coordinator, "ws://127.0.0.1:9090");
    assert_eq!(config.rtc_listen.port(), 7000);
    assert!(
        config
            .admin_listen
            .is_some_and(|addr| addr.ip().is_loopback())
    );
}

#[test]
fn flags_over_environment_over_file() {
    let mut settings = good();
    settings.apply_file("rtc_listen = '127.0.0.1:1'\n[limits]\npeers_max = 1\nlinks_max = 1");
    settings.apply_environment(|name| match name {
        "BROKER_RTC_LISTEN" => Some("127.0.0.1:2".into()),
        "BROKER_LIMITS__PEERS_MAX" => Some("2".into()),
        _ => None,
    });
    settings.apply_flag("rtc_listen", "127.0.0.1:3");
    let printed = settings.print();
    for line in [
        "rtc_listen = \"127.0.0.1:3\"  # --rtc-listen\n",
        "limits.peers_max = 2  # BROKER_LIMITS__PEERS_MAX\n",
        "limits.links_max = 1  # configuration file\n",
        "limits.topics_max = 131072  # default\n",
    ] {
        assert!(printed.contains(line), "{line} in {printed}");
    }
    let config = settings.into_config(secrets).expect("a configuration");
    assert_eq!(config.rtc_listen.port(), 3);
    assert_eq!((config.limits.peers_max, config.limits.links_max), (2, 1));
}

#[test]
fn what_is_printed_can_be_read() {
    let mut settings = good();
    settings.apply_flag("advertise", "10.0.0.1,::1");
    settings.apply_flag("admin_listen", "none");
    let mut printed = settings.print();
    // Files that are not named have no value to be read.
    printed = printed
        .lines()
        .filter(|line| !line.contains("_file = "))
        .fold(String::new(), |all, line| all + line + "\n");
    let mut again = Settings::new();
    again.apply_file(&printed);
    assert_eq!(again.problems, []);
    let config = again.into_config(secrets).expect("a configuration");
    assert_eq!(config.advertise.len(), 2);
    assert_eq!(config.admin_listen, None);
}

#[test]
fn durations_have_units() {
    let mut settings = good();
    settings.apply_file("[timings]\nauth_timeout = '2m'\ninterest_window = '5ms'");
    let config = settings.into_config(secrets).expect("a configuration");
    assert_eq!(config.timings.auth_timeout, Duration::from_secs(120));
    assert_eq!(config.timings.interest_window, Duration::from_millis(5));
    for wrong in ["15", "s", "0s", "1h", "-1s", "99999999999999999999s", "2d"] {
        let mut settings = good();
        settings.apply_flag("timings.auth_timeout", wrong);
        assert!(settings.into_config(secrets).is_err(), "{wrong}");
    }
}

#[test]
fn all_problems_at_once() {
    let mut settings = Settings::new();
    settings.apply_file("nonsense = 1\n[limits]\npeers_max = 0\ntopics = 1");
    settings.apply_flag("rtc_listen", "here");
    settings.apply_flag("shards", "2");
    let problems = settings.into_config(nothing).expect_err("problems");
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for part in [
        "limits.peers_max (configuration file): expected a whole number above 0, got \"0\"",
        "limits.topics (configuration file): there is no such setting",
        "nonsense (configuration file): there is no such setting",
        "rtc_listen (--rtc-listen): expected an address",
        "shards: this version runs one shard",
        "there is no cluster secret",
        "no client could join",
        "coordinator: it is missing",
    ] {
        assert!(
            text.iter().any(|text| text.contains(part)),
            "{part} in {text:#?}"
        );
    }
    assert_eq!(text.len(), 8, "{text:#?}");
}

#[test]
fn a_file_that_is_not_toml_is_one_problem() {
    let mut settings = good();
    settings.apply_file("rtc_listen = = 1");
    let problems = settings.into_config(secrets).expect_err("a problem");
    assert!(problems[0].to_string().contains("not TOML"), "{problems:?}");
}

#[test]
fn clients_have_a_secret_or_an_open_door_not_both() {
    let with_secret = |name: &str| match name {
        "BROKER_CLIENT_SECRET" => Some("a secret of the clients".into()),
        name => secrets(name),
    };
    assert!(good().into_config(with_secret).is_err());
    let mut settings = Settings::new();
    settings.apply_flag("coordinator", "ws://127.0.0.1:9090");
    let config = settings.into_config(with_secret).expect("a configuration");
    assert!(format!("{:?}", config.clients).contains("SharedSecret"));
}

#[test]
fn only_plain_websocket_urls() {
    for (url, good_url) in [
        ("ws://host", true),
        ("ws://host:1/path", true),
        ("wss://host", false),
        ("http://host", false),
        ("host:9090", false),
        ("/path", false),
    ] {
        let mut settings = good();
        settings.apply_flag("coordinator", url);
        assert_eq!(settings.into_config(secrets).is_ok(), good_url, "{url}");
    }
}
