use std::sync::Arc;

use auth::AllowAll;

use super::*;

const SECRET: &str = "0123456789abcdef";

fn load_with(args: &Args, variables: &'static [(&str, &str)]) -> Result<Loaded, Problems> {
    load(args, |name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, text)| (*text).to_string())
    })
}

#[test]
fn the_defaults_are_those_of_code() {
    let variables = &[
        ("BROKER_CLUSTER_SECRET", SECRET),
        ("BROKER_INSECURE", "true"),
    ];
    let loaded = load_with(&Args::default(), variables).expect("nothing wrong");
    let defaults = Config::new(Arc::new(AllowAll), ClusterSecret::generate());
    assert_eq!(loaded.config.limits, defaults.limits);
    assert_eq!(loaded.config.timeouts, defaults.timeouts);
    assert_eq!(loaded.config.listen, defaults.listen);
    assert_eq!(loaded.config.resume_lifetime, defaults.resume_lifetime);
    assert!(loaded.insecure);
    let shown = loaded.effective.to_string();
    assert!(
        shown.contains("listen = \"127.0.0.1:9090\"  # default\n"),
        "{shown}"
    );
    assert!(
        shown.contains("timeouts.ping_interval = \"30s\"  # default\n"),
        "{shown}"
    );
    assert!(!shown.contains(SECRET), "{shown}");
}

#[test]
fn flags_stand_above_variables() {
    let variables = &[
        ("BROKER_CLUSTER_SECRET", SECRET),
        ("BROKER_CLIENT_SECRET", SECRET),
        ("BROKER_LISTEN", "127.0.0.1:1"),
        ("BROKER_LIMITS__CLIENTS_MAX", "7"),
        ("BROKER_INSTANCE", "63"),
    ];
    let args = Args {
        listen: Some("127.0.0.1:2".into()),
        ..Args::default()
    };
    let config = load_with(&args, variables).expect("nothing wrong").config;
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.limits.core.clients_max, 7);
    assert_eq!(Some(config.instance), Instance::new(63));
    assert_eq!(format!("{:?}", config.clients), "SharedSecret { .. }");
}

#[test]
fn choices_are_told_by_their_names() {
    let variables = &[
        ("BROKER_CLUSTER_SECRET", SECRET),
        ("BROKER_INSECURE", "true"),
        ("BROKER_SELECTOR", "two-choices"),
        ("BROKER_TOPOLOGY", "star"),
        ("BROKER_TIMEOUTS__STALE", "5s"),
        ("BROKER_RESUME_LIFETIME", "1s"),
    ];
    let loaded = load_with(&Args::default(), variables).expect("nothing wrong");
    let config = loaded.config;
    assert_eq!(config.selector, Selector::TwoChoices);
    assert_eq!(config.topology, Topology::Star);
    assert_eq!(config.timeouts.stale, Duration::from_secs(5));
    assert_eq!(config.resume_lifetime, Duration::from_secs(1));
}

#[test]
fn a_lifetime_has_its_bounds() {
    for (text, good) in [
        ("1s", true),
        ("999ms", false),
        ("8760h", true),
        ("8761h", false),
    ] {
        let text = text.to_string();
        let loaded = load(&Args::default(), move |name| match name {
            "BROKER_CLUSTER_SECRET" => Some(SECRET.into()),
            "BROKER_INSECURE" => Some("true".into()),
            "BROKER_RESUME_LIFETIME" => Some(text.clone()),
            _ => None,
        });
        assert_eq!(loaded.is_ok(), good);
    }
}

#[test]
fn secrets_are_asked_for_with_what_to_do() {
    let problems = load_with(&Args::default(), &[]).expect_err("two problems");
    let [cluster, clients] = problems.lines() else {
        panic!("{problems}");
    };
    assert!(clients.contains("--insecure") && clients.contains("--client-secret-file"));
    assert!(cluster.contains("BROKER_CLUSTER_SECRET"));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let variables = &[
        ("BROKER_CLUSTER_SECRET", "short"),
        ("BROKER_CLIENT_SECRET", SECRET),
        ("BROKER_INSECURE", "true"),
        ("BROKER_AUTH__JWT__LEEWAY", "1h"),
        ("BROKER_INSTANCE", "64"),
        ("BROKER_SELECTOR", "astrology"),
        ("BROKER_TOPOLOGY", "ring"),
        ("BROKER_LOG__FORMAT", "xml"),
        ("BROKER_LIMITS__CLIENTS_MAX", "0"),
        ("BROKER_TIMEOUTS__IDLE", "30s"),
        ("BROKER_TIMEOUTS__REQUEST", "10s"),
    ];
    let problems = load_with(&Args::default(), variables).expect_err("problems");
    assert_eq!(problems.lines().len(), 10, "{problems}");
    assert!(!problems.to_string().contains("\"short\""), "{problems}");
}

#[test]
fn the_admin_listener_is_next_to_the_documented_port() {
    for (listen, expected) in [
        ("127.0.0.1:9090", "127.0.0.1:9091"),
        ("0.0.0.0:9090", "127.0.0.1:9091"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:80", "127.0.0.1:0"),
    ] {
        let args = Args {
            listen: Some(listen.into()),
            insecure: true,
            ..Args::default()
        };
        let loaded = load_with(&args, &[("BROKER_CLUSTER_SECRET", SECRET)]);
        let admin = loaded.expect("nothing wrong").config.admin_listen;
        assert_eq!(admin, Some(expected.parse().expect("an address")));
    }
}

#[test]
fn an_admin_listener_for_others_needs_a_secret() {
    let args = |addr: &str| Args {
        admin_listen: Some(addr.into()),
        insecure: true,
        ..Args::default()
    };
    for addr in ["0.0.0.0:9091", "[::]:9091", "203.0.113.9:9091"] {
        let problems = load_with(&args(addr), &[("BROKER_CLUSTER_SECRET", SECRET)]);
        let problems = problems.expect_err("no secret").to_string();
        assert!(problems.contains("--admin-secret-file"), "{problems}");
        let with_secret = &[
            ("BROKER_CLUSTER_SECRET", SECRET),
            ("BROKER_ADMIN_SECRET", SECRET),
        ];
        let loaded = load_with(&args(addr), with_secret).expect("nothing wrong");
        assert!(loaded.config.admin_secret.is_some());
    }
    for addr in ["127.0.0.1:9091", "[::1]:9091", "none"] {
        let loaded = load_with(&args(addr), &[("BROKER_CLUSTER_SECRET", SECRET)]);
        assert!(loaded.is_ok(), "{addr}");
    }
}
