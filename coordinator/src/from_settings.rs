//! From settings to a [`Config`]: every key, with its default and its range, and all that can be
//! wrong with them together.

use std::{sync::Arc, time::Duration};

use auth::{AllowAll, Authenticator, ClusterSecret, SharedSecret, secret};
use coordinator_core::{Instance, Rate, Selector, Topology};
use settings::{Effective, Problems, Settings};
use tracing_subscriber::EnvFilter;

use crate::{Config, Limits, Outbox, Timeouts, cli::Args};

/// A configuration that can be run.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) effective: Effective,
    pub(crate) insecure: bool,
    pub(crate) log_filter: EnvFilter,
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Pretty,
    Json,
}

/// All layers, lowest first: defaults, the file that `args` names, `environment`, `args`.
pub(crate) fn load(
    args: &Args,
    environment: impl Fn(&str) -> Option<String> + Clone + 'static,
) -> Result<Loaded, Problems> {
    let mut settings = Settings::new(environment.clone());
    if let Some(path) = &args.config {
        settings.file(path);
    }
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|p| p.display().to_string());
    settings.flag("listen", "--listen", args.listen.as_ref());
    settings.flag("insecure", "--insecure", args.insecure.then_some(true));
    let cluster_secret_file = path(&args.cluster_secret_file);
    settings.flag(
        "cluster_secret_file",
        "--cluster-secret-file",
        cluster_secret_file,
    );
    let client_secret_file = path(&args.client_secret_file);
    settings.flag(
        "client_secret_file",
        "--client-secret-file",
        client_secret_file,
    );

    let insecure = settings.take("insecure", false);
    let clients = clients(&mut settings, insecure, &environment);
    let cluster_secret = cluster_secret(&mut settings, &environment);
    let log_filter = log_filter(&mut settings);
    let log_format = log_format(&mut settings);
    // Stand-ins are never run: where they stand, there is a problem.
    let defaults = Config::new(
        clients.unwrap_or_else(|| Arc::new(AllowAll)),
        cluster_secret.unwrap_or_else(ClusterSecret::generate),
    );
    let config = Config {
        listen: settings.take("listen", defaults.listen),
        instance: instance(&mut settings),
        selector: settings.take_choice("selector", defaults.selector, &Selector::ALL),
        topology: settings.take_choice("topology", defaults.topology, &Topology::ALL),
        raw_cluster_secret: settings.take("raw_cluster_secret", defaults.raw_cluster_secret),
        resume_lifetime: resume_lifetime(&mut settings, defaults.resume_lifetime),
        limits: limits(&mut settings, &defaults.limits),
        timeouts: timeouts(&mut settings, &defaults.timeouts),
        ..defaults
    };
    Ok(Loaded {
        config,
        insecure,
        log_filter,
        log_format,
        effective: settings.finish()?,
    })
}

fn clients(
    settings: &mut Settings,
    insecure: bool,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<Arc<dyn Authenticator>> {
    let file: Option<std::path::PathBuf> = settings.take_optional("client_secret_file");
    let secret = match secret::load(file.as_deref(), CLIENT_SECRET, environment) {
        Ok(secret) => secret,
        Err(error) => {
            settings.problem(format!("client secret: {error}"));
            return None;
        }
    };
    match (secret, insecure) {
        (Some(secret), false) => Some(Arc::new(SharedSecret::new(&secret))),
        (None, true) => Some(Arc::new(AllowAll)),
        (Some(_), true) => {
            settings.problem("both --insecure and a client secret: leave out one of them");
            None
        }
        (None, false) => {
            settings.problem(format!(
                "no way to tell which clients to let in: name a file that holds their secret with \
                 --client-secret-file, or set {CLIENT_SECRET}; or let every client in with \
                 --insecure"
            ));
            None
        }
    }
}

fn cluster_secret(
    settings: &mut Settings,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<ClusterSecret> {
    let file: Option<std::path::PathBuf> = settings.take_optional("cluster_secret_file");
    match ClusterSecret::load(file.as_deref(), environment) {
        Ok(Some(secret)) => Some(secret),
        Ok(None) => {
            settings.problem(format!(
                "no cluster secret: set {}, or name a file that holds it with \
                 --cluster-secret-file (`openssl rand -base64 24` makes one; all servers of the \
                 cluster have the same)",
                auth::cluster::VARIABLE
            ));
            None
        }
        Err(error) => {
            settings.problem(format!("cluster secret: {error}"));
            None
        }
    }
}

fn log_filter(settings: &mut Settings) -> EnvFilter {
    let text = settings.take("log.filter", "info".to_string());
    EnvFilter::try_new(&text).unwrap_or_else(|error| {
        settings.problem(format!("log.filter: {error}"));
        EnvFilter::default()
    })
}

fn log_format(settings: &mut Settings) -> LogFormat {
    let choices = [("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
    settings.take_choice("log.format", LogFormat::Pretty, &choices)
}

fn instance(settings: &mut Settings) -> Instance {
    let number = settings.take_within("instance", 0_u8, 0..=63);
    Instance::new(number).unwrap_or_default()
}

fn resume_lifetime(settings: &mut Settings, default: Duration) -> Duration {
    let range = Duration::from_secs(1)..=Duration::from_hours(365 * 24);
    settings.take_within("resume_lifetime", default, range)
}

fn limits(settings: &mut Settings, defaults: &Limits) -> Limits {
    let core = &defaults.core;
    let count = 1..=10_000_000;
    let mut limit = |key, default: usize| settings.take_within(key, default, count.clone());
    let limits = Limits {
        core: coordinator_core::Limits {
            clients_max: limit("limits.clients_max", core.clients_max),
            servers_max: limit("limits.servers_max", core.servers_max),
            signal_bytes_max: limit("limits.signal_bytes_max", core.signal_bytes_max),
            contacts_max: limit("limits.contacts_max", core.contacts_max),
            ..core.clone()
        },
        requests_max: limit("limits.requests_max", defaults.requests_max),
        refused_max: limit("limits.refused_max", defaults.refused_max),
        client_outbox: Outbox {
            count_max: limit(
                "limits.client_outbox_count_max",
                defaults.client_outbox.count_max,
            ),
            bytes_max: limit(
                "limits.client_outbox_bytes_max",
                defaults.client_outbox.bytes_max,
            ),
        },
        server_outbox: Outbox {
            count_max: limit(
                "limits.server_outbox_count_max",
                defaults.server_outbox.count_max,
            ),
            bytes_max: limit(
                "limits.server_outbox_bytes_max",
                defaults.server_outbox.bytes_max,
            ),
        },
    };
    let mut rate = |per_second, burst, default: Rate| Rate {
        per_second: settings.take_within(per_second, default.per_second, 1..=10_000_000),
        burst: settings.take_within(burst, default.burst, 1..=10_000_000),
    };
    let (client, server) = (core.client_rate, core.server_rate);
    Limits {
        core: coordinator_core::Limits {
            client_rate: rate(
                "limits.client_signals_per_s",
                "limits.client_signals_burst",
                client,
            ),
            server_rate: rate(
                "limits.server_signals_per_s",
                "limits.server_signals_burst",
                server,
            ),
            ..limits.core
        },
        ..limits
    }
}

fn timeouts(settings: &mut Settings, defaults: &Timeouts) -> Timeouts {
    let (low, high) = (Duration::from_millis(1), Duration::from_hours(24));
    let mut timeout = |key, default| settings.take_within(key, default, low..=high);
    let timeouts = Timeouts {
        ping_interval: timeout("timeouts.ping_interval", defaults.ping_interval),
        idle: timeout("timeouts.idle", defaults.idle),
        write: timeout("timeouts.write", defaults.write),
        auth: timeout("timeouts.auth", defaults.auth),
        header: timeout("timeouts.header", defaults.header),
        request: timeout("timeouts.request", defaults.request),
        stale: timeout("timeouts.stale", defaults.stale),
        close: timeout("timeouts.close", defaults.close),
        drain: timeout("timeouts.drain", defaults.drain),
    };
    if timeouts.idle <= timeouts.ping_interval {
        settings.problem("timeouts.idle: expected more than timeouts.ping_interval: a session that only answers pings would be closed");
    }
    if timeouts.request <= timeouts.auth {
        settings
            .problem("timeouts.request: expected more than timeouts.auth, which is a part of it");
    }
    timeouts
}

/// The environment variable that carries the clients' secret.
const CLIENT_SECRET: &str = "BROKER_CLIENT_SECRET";

#[cfg(test)]
mod tests {
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
        let [clients, cluster] = problems.lines() else {
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
            ("BROKER_INSTANCE", "64"),
            ("BROKER_SELECTOR", "astrology"),
            ("BROKER_TOPOLOGY", "ring"),
            ("BROKER_LOG__FORMAT", "xml"),
            ("BROKER_LIMITS__CLIENTS_MAX", "0"),
            ("BROKER_TIMEOUTS__IDLE", "30s"),
            ("BROKER_TIMEOUTS__REQUEST", "10s"),
        ];
        let problems = load_with(&Args::default(), variables).expect_err("problems");
        assert_eq!(problems.lines().len(), 9, "{problems}");
        assert!(!problems.to_string().contains("\"short\""), "{problems}");
    }
}
