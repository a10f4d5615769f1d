use std::sync::Arc;

use auth::AllowAll;

use super::*;

type Variables = &'static [(&'static str, &'static str)];

const CLUSTER: (&str, &str) = ("BROKER_CLUSTER_SECRET", "a secret of the cluster");
const CLIENTS: (&str, &str) = ("BROKER_CLIENT_SECRET", "a secret of the clients");

/// Enough to start with.
fn good() -> Args {
    Args {
        coordinator: Some("ws://127.0.0.1:9090".into()),
        insecure: true,
        ..Args::default()
    }
}

fn load_with(args: &Args, file: &str, variables: Variables) -> Loaded {
    let environment = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, text)| (*text).to_string())
    };
    let mut settings = Settings::new(environment);
    settings.file_text("x.toml", file);
    take_all(settings, args, &environment)
}

#[test]
fn defaults_suffice_with_a_coordinator_and_secrets() {
    let loaded = load_with(&good(), "", &[CLUSTER]);
    let config = loaded.config.expect("a configuration");
    assert_eq!(config.coordinator, "ws://127.0.0.1:9090");
    assert_eq!(config.rtc_listen.port(), 7000);
    assert!(
        config
            .admin_listen
            .is_some_and(|addr| addr.ip().is_loopback())
    );
    assert!(loaded.insecure);
}

#[test]
fn the_defaults_are_those_of_code() {
    let config = load_with(&good(), "", &[CLUSTER]).config;
    let config = config.expect("a configuration");
    let defaults = Config::new(
        Uri::default(),
        Arc::new(AllowAll),
        ClusterSecret::generate(),
    );
    assert_eq!(config.drain, defaults.drain);
    assert_eq!(config.limits, defaults.limits);
    assert_eq!(config.timings, defaults.timings);
    assert_eq!(config.compat, defaults.compat);
    assert_eq!(config.uplink, defaults.uplink);
    assert_eq!(config.authentication, defaults.authentication);
    assert_eq!(format!("{:?}", config.rtc), format!("{:?}", defaults.rtc));
}

#[test]
fn flags_over_environment_over_file() {
    let args = Args {
        rtc_listen: Some("127.0.0.1:3".into()),
        ..good()
    };
    let file = "rtc_listen = '127.0.0.1:1'\n[limits]\npeers_max = 1\nlinks_max = 1";
    let variables = &[
        CLUSTER,
        ("BROKER_RTC_LISTEN", "127.0.0.1:2"),
        ("BROKER_LIMITS__PEERS_MAX", "2"),
    ];
    let loaded = load_with(&args, file, variables);
    let printed = loaded.effective.to_string();
    for line in [
        "rtc_listen = \"127.0.0.1:3\"  # --rtc-listen\n",
        "limits.peers_max = 2  # BROKER_LIMITS__PEERS_MAX\n",
        "limits.links_max = 1  # x.toml\n",
        "limits.topics_max = 131072  # default\n",
    ] {
        assert!(printed.contains(line), "{line} in {printed}");
    }
    let config = loaded.config.expect("a configuration");
    assert_eq!(config.rtc_listen.port(), 3);
    assert_eq!((config.limits.peers_max, config.limits.links_max), (2, 1));
}

#[test]
fn what_is_printed_can_be_read() {
    let args = Args {
        advertise: vec![
            [10, 0, 0, 1].into(),
            IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ],
        admin_listen: Some("none".into()),
        ..good()
    };
    let printed = load_with(&args, "", &[CLUSTER]).effective.to_string();
    let again = load_with(&Args::default(), &printed, &[CLUSTER]).config;
    let config = again.expect("a configuration");
    assert_eq!(config.advertise.len(), 2);
    assert_eq!(config.admin_listen, None);
}

#[test]
fn what_is_in_force_is_known_without_secrets() {
    let loaded = load_with(&Args::default(), "", &[]);
    assert!(loaded.config.is_err());
    let printed = loaded.effective.to_string();
    assert!(printed.contains("# coordinator is not set\n"), "{printed}");
    assert!(
        printed.contains("insecure = false  # default\n"),
        "{printed}"
    );
}

#[test]
fn secrets_are_not_printed() {
    let args = Args {
        insecure: false,
        ..good()
    };
    let loaded = load_with(&args, "", &[CLUSTER, CLIENTS]);
    let printed = loaded.effective.to_string();
    assert!(!printed.contains("a secret"), "{printed}");
    let config = format!("{:?}", loaded.config.expect("a configuration"));
    assert!(!config.contains("a secret"), "{config}");
}

#[test]
fn durations_are_above_nothing_and_at_most_a_day() {
    let file = "[timings]\nauth_timeout = '2m'\ninterest_window = '5ms'";
    let config = load_with(&good(), file, &[CLUSTER]).config;
    let config = config.expect("a configuration");
    assert_eq!(config.timings.auth_timeout, Duration::from_secs(120));
    assert_eq!(config.timings.interest_window, Duration::from_millis(5));
    for wrong in ["15", "s", "0s", "25h", "-1s", "99999999999999999999s", "2d"] {
        let file = format!("timings.auth_timeout = '{wrong}'");
        assert!(
            load_with(&good(), &file, &[CLUSTER]).config.is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn a_rate_of_nothing_is_no_limit_and_a_burst_has_bounds() {
    let file = "[limits]\nreliable_packets_per_s = 0\nreliable_bytes_per_s = 1\n\
                unreliable_packets_per_s = 2\nunreliable_bytes_per_s = 3\nrate_burst = '1s'";
    let config = load_with(&good(), file, &[CLUSTER]).config;
    let rtc = config.expect("a configuration").rtc;
    let budget = |packets_per_s, bytes_per_s| budget::Config {
        packets_per_s,
        bytes_per_s,
        burst: Duration::from_secs(1),
    };
    assert_eq!(rtc.reliable_budget, budget(0, 1));
    assert_eq!(rtc.unreliable_budget, budget(2, 3));
    for (burst, good_burst) in [
        ("99ms", false),
        ("100ms", true),
        ("1m", true),
        ("61s", false),
    ] {
        let file = format!("limits.rate_burst = '{burst}'");
        let config = load_with(&good(), &file, &[CLUSTER]).config;
        assert_eq!(config.is_ok(), good_burst, "{burst}");
    }
}

#[test]
fn a_drain_may_take_no_time_and_asks_nobody_to_go_after_it() {
    for (file, good_drain) in [
        ("drain.timeout = '0s'", true),
        ("drain.timeout = '5s'", true),
        ("drain.timeout = '4s'", false),
        ("drain.timeout = '4s'\ndrain.within = '0s'", true),
        ("drain.timeout = '25h'", false),
    ] {
        let config = load_with(&good(), file, &[CLUSTER]).config;
        assert_eq!(config.is_ok(), good_drain, "{file}");
    }
}

#[test]
fn all_problems_at_once() {
    let args = Args {
        rtc_listen: Some("here".into()),
        shards: Some("2".into()),
        ..Args::default()
    };
    let file = "nonsense = 1\n[limits]\npeers_max = 0\npacket_bytes_max = 65536\ntopics = 1\n\
                [timings]\nhandshake_timeout = '1s'\nauth_timeout = '1s'";
    let problems = load_with(&args, file, &[]).config.expect_err("problems");
    for part in [
        "limits.peers_max (x.toml): expected at least 1, got \"0\"",
        "limits.packet_bytes_max (x.toml): expected 1 to 63488, got \"65536\"",
        "limits.topics (x.toml): there is no such setting",
        "nonsense (x.toml): there is no such setting",
        "rtc_listen (--rtc-listen): expected an address",
        "shards: this version runs one shard",
        "timings.handshake_timeout: must not be below",
        "authentication.timeout: must not be above",
        "there is no cluster secret",
        "no way to tell which clients",
        "coordinator: it is missing",
    ] {
        assert!(problems.to_string().contains(part), "{part} in {problems}");
    }
    assert_eq!(problems.lines().len(), 11, "{problems}");
}

#[test]
fn clients_have_a_secret_or_an_open_door_not_both() {
    let variables = &[CLUSTER, CLIENTS];
    assert!(load_with(&good(), "", variables).config.is_err());
    let args = Args {
        insecure: false,
        ..good()
    };
    let config = load_with(&args, "", variables).config;
    let config = config.expect("a configuration");
    assert!(format!("{:?}", config.clients).contains("SharedSecret"));
}

#[test]
fn a_server_is_a_hub_when_it_is_told_so() {
    for (role, expected) in [
        (None, Some(false)),
        (Some("server"), Some(false)),
        (Some("hub"), Some(true)),
        (Some("leaf"), None),
    ] {
        let args = Args {
            role: role.map(str::to_owned),
            ..good()
        };
        let loaded = load_with(&args, "", &[CLUSTER]);
        let hub = loaded.config.ok().map(|config| config.hub);
        assert_eq!(hub, expected, "{role:?}");
    }
    let config = load_with(&good(), "role = 'hub'", &[CLUSTER]).config;
    assert!(config.expect("a configuration").hub);
}

#[test]
fn a_region_is_a_plain_name() {
    let longest = "a".repeat(REGION_BYTES_MAX);
    let too_long = "a".repeat(REGION_BYTES_MAX + 1);
    for (region, good_region) in [
        ("eu-west.1_b", true),
        (longest.as_str(), true),
        (too_long.as_str(), false),
        ("", false),
        ("eu west", false),
        ("eu&role=CLIENT", false),
    ] {
        let args = Args {
            region: Some(region.into()),
            ..good()
        };
        let config = load_with(&args, "", &[CLUSTER]).config;
        match config {
            Ok(config) => assert_eq!(
                (config.region.as_deref(), true),
                (Some(region), good_region)
            ),
            Err(problems) => {
                assert!(!good_region, "{region}");
                assert!(
                    problems
                        .to_string()
                        .contains("region (--region): expected 1 to 64"),
                    "{problems}"
                );
            }
        }
    }
    let config = load_with(&good(), "", &[CLUSTER]).config;
    assert_eq!(config.expect("a configuration").region, None);
}

#[test]
fn only_websocket_urls() {
    for (url, good_url) in [
        ("ws://host", true),
        ("ws://host:1/path", true),
        ("wss://host", true),
        ("http://host", false),
        ("host:9090", false),
        ("/path", false),
    ] {
        let args = Args {
            coordinator: Some(url.into()),
            ..good()
        };
        let config = load_with(&args, "", &[CLUSTER]).config;
        assert_eq!(config.is_ok(), good_url, "{url}");
    }
}

#[test]
fn a_certificate_comes_with_its_key_and_both_can_be_read() {
    for (settings, says) in [
        ("tls.cert_file = \"/nonexistent/cert.pem\"", "tls.key_file"),
        (
            "tls.ca_file = \"/nonexistent/ca.pem\"",
            "/nonexistent/ca.pem",
        ),
    ] {
        let problems = load_with(&good(), settings, &[CLUSTER]).config;
        let problems = problems.expect_err("nothing there").to_string();
        assert!(problems.contains(says), "{problems}");
    }
}
