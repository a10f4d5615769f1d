//! From settings to a [`Config`]: every key, with its default and its range, and all that can be
//! wrong with them together.

#[cfg(test)]
mod tests;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use auth::{ClusterSecret, SharedSecret, registered::Standing, secret};
use auth_settings::Host;
use coordinator_core::{Instance, Rate, Selector, Topology};
use proto::filter::Filters;
use settings::{Effective, Log, Problems, Settings};

use crate::{
    Accounts, AddressLimits, Config, Limits, Outbox, Proxies, ProxyHeader, Timeouts,
    cli::Args,
    config::{ADMIN_PORT, LISTEN},
};

/// A configuration that can be run.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) effective: Effective,
    pub(crate) insecure: bool,
    pub(crate) log: Log,
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
    add_flags(&mut settings, args);

    let cluster_secret = cluster_secret(&mut settings, &environment);
    let standing = Arc::default();
    let host = Host {
        environment: &environment,
        cluster: cluster_secret.as_ref(),
        standing: Some(Arc::clone(&standing)),
    };
    let doors = auth_settings::take(&mut settings, &host);
    let accounts = accounts(&mut settings, standing, doors.registered);
    let listen = settings.take("listen", LISTEN);
    let admin_listen = settings.take("admin_listen", Some(admin_listen(listen)));
    let admin_secret = admin_secret(&mut settings, admin_listen, &environment);
    let log = Log::take(&mut settings);
    // Stand-ins are never run: where they stand, there is a problem.
    let defaults = Config::new(
        doors.clients,
        cluster_secret.unwrap_or_else(ClusterSecret::generate),
    );
    let config = Config {
        listen,
        admin_listen,
        admin_secret,
        servers: doors.servers,
        auth_metrics: doors.metrics,
        accounts,
        instance: instance(&mut settings),
        selector: settings.take_choice("selector", defaults.selector, &Selector::ALL),
        topology: settings.take_choice("topology", defaults.topology, &Topology::ALL),
        raw_cluster_secret: settings.take("raw_cluster_secret", defaults.raw_cluster_secret),
        resume_lifetime: resume_lifetime(&mut settings, defaults.resume_lifetime),
        limits: Limits {
            addresses: addresses(&mut settings, &defaults.limits.addresses),
            ..limits(&mut settings, &defaults.limits)
        },
        proxies: proxies(&mut settings, &defaults.proxies),
        tls: tls(&mut settings),
        tls_reload_interval: settings.take_within(
            "tls.reload_interval",
            defaults.tls_reload_interval,
            Duration::from_millis(10)..=Duration::from_hours(24),
        ),
        allowed_origins: settings.take("allowed_origins", defaults.allowed_origins.clone()),
        revocations_file: settings.take_optional("revocations_file"),
        timeouts: timeouts(&mut settings, &defaults.timeouts),
        ..defaults
    };
    Ok(Loaded {
        config,
        insecure: doors.insecure,
        log,
        effective: settings.finish()?,
    })
}

fn add_flags(settings: &mut Settings, args: &Args) {
    settings.flag("listen", "--listen", args.listen.as_ref());
    settings.flag("admin_listen", "--admin-listen", args.admin_listen.as_ref());
    // Only when given: a switch that is not must not overrule the file.
    settings.flag("insecure", "--insecure", args.insecure.then_some(true));
    let files = [
        (
            "cluster_secret_file",
            "--cluster-secret-file",
            &args.cluster_secret_file,
        ),
        (
            "client_secret_file",
            "--client-secret-file",
            &args.client_secret_file,
        ),
        (
            "admin_secret_file",
            "--admin-secret-file",
            &args.admin_secret_file,
        ),
    ];
    for (key, name, given) in files {
        settings.flag(key, name, given.as_deref().map(Path::display));
    }
}

/// Next to the sessions' port where that is the one of the documentation. Otherwise the system
/// picks one: whoever chooses ports chooses this one too, if it matters.
fn admin_listen(listen: SocketAddr) -> SocketAddr {
    let port = if listen.port() == LISTEN.port() {
        ADMIN_PORT
    } else {
        0
    };
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn admin_secret(
    settings: &mut Settings,
    listen: Option<SocketAddr>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<SharedSecret> {
    let file: Option<PathBuf> = settings.take_optional("admin_secret_file");
    match secret::load(file.as_deref(), ADMIN_SECRET, environment) {
        Ok(Some(secret)) => return Some(SharedSecret::new(&secret)),
        Ok(None) => {
            if let Some(addr) = listen.filter(|addr| !addr.ip().is_loopback()) {
                settings.problem(format!(
                    "admin_listen: others than this machine reach {addr}, so the admin API needs a \
                     secret: set {ADMIN_SECRET} or --admin-secret-file, or listen on 127.0.0.1"
                ));
            }
        }
        Err(error) => settings.problem(format!("admin secret: {error}")),
    }
    None
}

fn accounts(settings: &mut Settings, standing: Arc<Standing>, asked: bool) -> Option<Accounts> {
    let store: Option<PathBuf> = settings.take_optional("auth.registered.store");
    let defaults = Accounts::new(PathBuf::new());
    let (low, high) = (Duration::from_mins(1), Duration::from_hours(365 * 24));
    let accounts = Accounts {
        store: store.clone().unwrap_or_default(),
        standing,
        self_registration: settings.take("auth.registered.self_registration", false),
        publish: filters(settings, "auth.registered.publish"),
        subscribe: filters(settings, "auth.registered.subscribe"),
        token_lifetime: settings.take_within(
            "auth.registered.token_lifetime",
            defaults.token_lifetime,
            low..=high,
        ),
        clients_max: settings.take_within(
            "auth.registered.clients_max",
            defaults.clients_max,
            1..=1_000_000,
        ),
        keys_per_s: settings.take_within(
            "auth.registered.keys_per_s",
            defaults.keys_per_s,
            1..=10_000,
        ),
        waiting_max: settings.take_within(
            "auth.registered.waiting_max",
            defaults.waiting_max,
            0..=10_000,
        ),
    };
    match (store, asked) {
        (Some(_), true) => return Some(accounts),
        (None, false) => {}
        (None, true) => settings.problem(
            "auth.registered.store: it is missing: name the file that registered clients are \
             kept in",
        ),
        (Some(_), false) => settings.problem(
            "auth.registered.store: it is of no use: auth.clients does not have registered",
        ),
    }
    None
}

/// Filters that are said, and are some.
fn filters(settings: &mut Settings, key: &'static str) -> Option<Vec<String>> {
    let texts: Option<Vec<String>> = settings.take_optional(key);
    if let Err(error) = Filters::parse(texts.iter().flatten().map(String::as_str)) {
        settings.problem(format!("{key}: {error}"));
    }
    texts
}

fn cluster_secret(
    settings: &mut Settings,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<ClusterSecret> {
    let file: Option<PathBuf> = settings.take_optional("cluster_secret_file");
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
    let outbox_bytes_total_max = settings.take_within(
        "limits.outbox_bytes_total_max",
        defaults.outbox_bytes_total_max,
        1..,
    );
    let mut limit = |key, default: usize| settings.take_within(key, default, count.clone());
    let limits = Limits {
        outbox_bytes_total_max,
        core: coordinator_core::Limits {
            clients_max: limit("limits.clients_max", core.clients_max),
            servers_max: limit("limits.servers_max", core.servers_max),
            signal_bytes_max: limit("limits.signal_bytes_max", core.signal_bytes_max),
            contacts_max: limit("limits.contacts_max", core.contacts_max),
            ..core.clone()
        },
        addresses: defaults.addresses.clone(),
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

/// 0 is no limit.
fn addresses(settings: &mut Settings, defaults: &AddressLimits) -> AddressLimits {
    AddressLimits {
        connections_per_s: settings.take(
            "limits.address_connections_per_s",
            defaults.connections_per_s,
        ),
        connections_burst: settings.take_within(
            "limits.address_connections_burst",
            defaults.connections_burst,
            1..=10_000_000,
        ),
        requests_max: settings.take("limits.address_requests_max", defaults.requests_max),
        sessions_max: settings.take("limits.address_sessions_max", defaults.sessions_max),
        exempt: settings.take("limits.address_exempt", defaults.exempt.clone()),
    }
}

fn proxies(settings: &mut Settings, defaults: &Proxies) -> Proxies {
    Proxies {
        addresses: settings.take("proxies.addresses", defaults.addresses.clone()),
        header: settings.take_choice("proxies.header", defaults.header, &ProxyHeader::ALL),
    }
}

/// Whether the files can be used is found out here, with everything else that is wrong.
fn tls(settings: &mut Settings) -> Option<tls::Files> {
    let cert: Option<PathBuf> = settings.take_optional("tls.cert_file");
    let key: Option<PathBuf> = settings.take_optional("tls.key_file");
    let client_ca: Option<PathBuf> = settings.take_optional("tls.client_ca_file");
    let (cert, key) = match (cert, key) {
        (Some(cert), Some(key)) => (cert, key),
        (None, None) if client_ca.is_none() => return None,
        _ => {
            settings.problem("tls: expected both tls.cert_file and tls.key_file, got one");
            return None;
        }
    };
    let files = tls::Files {
        pair: tls::Pair { cert, key },
        client_ca,
    };
    if let Err(error) = tls::Acceptor::load(files.clone()) {
        settings.problem(format!("tls: {error}"));
    }
    Some(files)
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
        expiry_min: timeout("timeouts.expiry_min", defaults.expiry_min),
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

/// The environment variable that carries the admin API's secret.
const ADMIN_SECRET: &str = "BROKER_ADMIN_SECRET";
