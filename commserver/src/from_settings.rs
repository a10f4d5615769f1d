//! From settings to a [`Config`]: every key, with its default and its range, and all that can be
//! wrong with them together.

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use auth::ClusterSecret;
use auth_settings::Host;
use http::Uri;
use proto::region::{REGION_BYTES_MAX, is_region};
use settings::{Effective, Log, Problems, Settings, Value};
use shard::{
    budget,
    outbox::{self, Policy},
};
use tls::{Connector, Pair, Trust};

use crate::{
    AddressLimits, Authentication, Compat, Config, Drain, Limits, Rtc, Timings, Uplink, cli::Args,
};

/// What the settings add up to.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What a server can be bound with, or everything that is wrong.
    pub(crate) config: Result<Config, Problems>,
    /// What is in force, also when something is wrong or missing.
    pub(crate) effective: Effective,
    /// Every client is let in.
    pub(crate) insecure: bool,
    /// What is logged.
    pub(crate) log: Log,
}

/// All layers, lowest first: defaults, the file that `args` names, `environment`, `args`.
pub(crate) fn load(
    args: &Args,
    environment: impl Fn(&str) -> Option<String> + Clone + 'static,
) -> Loaded {
    let mut settings = Settings::new(environment.clone());
    if let Some(path) = &args.config {
        settings.file(path);
    }
    take_all(settings, args, &environment)
}

fn take_all(
    mut settings: Settings,
    args: &Args,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Loaded {
    add_flags(&mut settings, args);
    let coordinator: Option<CoordinatorUrl> =
        settings.take_required("coordinator", "ws://127.0.0.1:9090");
    let hub = settings.take_choice("role", false, &ROLES);
    let region: Option<Region> = settings.take_optional("region");
    let rtc_listen = settings.take("rtc_listen", RTC_LISTEN);
    let advertise: Vec<IpAddr> = settings.take("advertise", Vec::new());
    let admin_listen = settings.take("admin_listen", Some(ADMIN_LISTEN));
    shards(&mut settings);
    let log = Log::take(&mut settings);
    let cluster_secret = cluster_secret(&mut settings, environment);
    let host = Host {
        environment,
        cluster: cluster_secret.as_ref(),
        standing: None,
    };
    let doors = auth_settings::take(&mut settings, &host);
    // Stand-ins are never run: where they stand, there is a problem.
    let config = Config {
        servers: doors.servers,
        auth_metrics: doors.metrics,
        hub,
        region: region.map(|region| region.0),
        rtc_listen,
        advertise,
        admin_listen,
        trust: trust(&mut settings),
        drain: drain(&mut settings),
        limits: limits(&mut settings),
        timings: timings(&mut settings),
        compat: compat(&mut settings),
        rtc: rtc(&mut settings),
        uplink: uplink(&mut settings),
        authentication: authentication(&mut settings),
        ..Config::new(
            coordinator.map_or_else(Uri::default, |url| url.0),
            doors.clients,
            cluster_secret.unwrap_or_else(ClusterSecret::generate),
        )
    };
    check(&mut settings, &config);
    Loaded {
        effective: settings.effective(),
        config: settings.finish().map(|_| config),
        insecure: doors.insecure,
        log,
    }
}

fn add_flags(settings: &mut Settings, args: &Args) {
    let flags = [
        ("coordinator", "--coordinator", &args.coordinator),
        ("role", "--role", &args.role),
        ("region", "--region", &args.region),
        ("rtc_listen", "--rtc-listen", &args.rtc_listen),
        ("shards", "--shards", &args.shards),
        ("admin_listen", "--admin-listen", &args.admin_listen),
        ("log.format", "--log-format", &args.log_format),
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
    ];
    for (key, name, given) in flags {
        settings.flag(key, name, given.as_ref());
    }
    let addresses: Vec<String> = args.advertise.iter().map(IpAddr::to_string).collect();
    let addresses = (!addresses.is_empty()).then(|| addresses.join(","));
    settings.flag("advertise", "--advertise", addresses);
    // Only when given: a switch that is not must not overrule the file.
    settings.flag("insecure", "--insecure", args.insecure.then_some(true));
}

/// The URL of a coordinator.
struct CoordinatorUrl(Uri);

impl Value for CoordinatorUrl {
    fn parse(text: &str) -> Result<Self, String> {
        let uri: Option<Uri> = text.trim().parse().ok();
        uri.filter(|uri| matches!(uri.scheme_str(), Some("ws" | "wss")) && uri.host().is_some())
            .map(Self)
            .ok_or_else(|| "ws://host:port or wss://host:port".into())
    }

    fn show(&self) -> String {
        self.0.to_string().show()
    }
}

/// The name of a region.
struct Region(String);

impl Value for Region {
    fn parse(text: &str) -> Result<Self, String> {
        is_region(text)
            .then(|| Self(text.into()))
            .ok_or_else(|| format!("1 to {REGION_BYTES_MAX} letters, digits, `-`, `_` or `.`"))
    }

    fn show(&self) -> String {
        self.0.show()
    }
}

fn shards(settings: &mut Settings) {
    let shards = settings.take_within("shards", 1_usize, 1..);
    if shards != 1 {
        settings.problem(format!(
            "shards: this version runs one shard a process, got {shards}: run more processes"
        ));
    }
}

fn cluster_secret(
    settings: &mut Settings,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<ClusterSecret> {
    let file: Option<PathBuf> = settings.take_optional("cluster_secret_file");
    match ClusterSecret::load(file.as_deref(), environment) {
        Ok(Some(secret)) => return Some(secret),
        Ok(None) => settings.problem(format!(
            "there is no cluster secret: set {} or --cluster-secret-file",
            auth::cluster::VARIABLE
        )),
        Err(error) => settings.problem(format!("cluster secret: {error}")),
    }
    None
}

/// Whether the files can be used is found out here, with everything else that is wrong.
fn trust(settings: &mut Settings) -> Trust {
    let ca: Option<PathBuf> = settings.take_optional("tls.ca_file");
    let cert: Option<PathBuf> = settings.take_optional("tls.cert_file");
    let key: Option<PathBuf> = settings.take_optional("tls.key_file");
    if cert.is_some() != key.is_some() {
        settings.problem("tls: expected both tls.cert_file and tls.key_file, or neither");
    }
    let pair = cert.zip(key).map(|(cert, key)| Pair { cert, key });
    let trust = Trust { ca, pair };
    // Without any of them, nothing is read before it is known that TLS is wanted.
    if trust != Trust::default()
        && let Err(error) = Connector::new(trust.clone()).check()
    {
        settings.problem(format!("tls: {error}"));
    }
    trust
}

fn drain(settings: &mut Settings) -> Drain {
    let defaults = Drain::default();
    let drain = Drain {
        timeout: settings.take_within("drain.timeout", defaults.timeout, ..=DAY),
        within: settings.take_within("drain.within", defaults.within, ..=DAY),
    };
    if !drain.timeout.is_zero() && drain.within > drain.timeout {
        settings.problem("drain.within: must not be above drain.timeout");
    }
    drain
}

fn limits(settings: &mut Settings) -> Limits {
    let defaults = Limits::default();
    Limits {
        peers_max: count(settings, "limits.peers_max", defaults.peers_max),
        links_max: count(settings, "limits.links_max", defaults.links_max),
        subscriptions_max: count(
            settings,
            "limits.subscriptions_max",
            defaults.subscriptions_max,
        ),
        topics_max: count(settings, "limits.topics_max", defaults.topics_max),
        link_topics_total_max: count(
            settings,
            "limits.link_topics_total_max",
            defaults.link_topics_total_max,
        ),
        topic_bytes_max: count(settings, "limits.topic_bytes_max", defaults.topic_bytes_max),
        // 0 is no limit.
        topic_changes_per_s: settings
            .take("limits.topic_changes_per_s", defaults.topic_changes_per_s),
        topic_levels_max: count(
            settings,
            "limits.topic_levels_max",
            defaults.topic_levels_max,
        ),
        handshakes_max: count(settings, "limits.handshakes_max", defaults.handshakes_max),
        packet_bytes_max: settings.take_within(
            "limits.packet_bytes_max",
            defaults.packet_bytes_max,
            1..=proto::limits::CHANNEL_MESSAGE_BYTES_MAX - RELAY_BYTES,
        ),
        // As much as a coordinator remembers.
        revocations_bytes_max: defaults.revocations_bytes_max,
        held_packets_max: count(
            settings,
            "limits.held_packets_max",
            defaults.held_packets_max,
        ),
        held_bytes_max: count(settings, "limits.held_bytes_max", defaults.held_bytes_max),
    }
}

fn timings(settings: &mut Settings) -> Timings {
    let defaults = Timings::default();
    let mut time = |key, default| duration(settings, key, default);
    Timings {
        handshake_timeout: time("timings.handshake_timeout", defaults.handshake_timeout),
        auth_timeout: time("timings.auth_timeout", defaults.auth_timeout),
        ready_timeout: time("timings.ready_timeout", defaults.ready_timeout),
        gone_timeout: time("timings.gone_timeout", defaults.gone_timeout),
        refresh_before: time("timings.refresh_before", defaults.refresh_before),
        refresh_timeout: time("timings.refresh_timeout", defaults.refresh_timeout),
        interest_window: time("timings.interest_window", defaults.interest_window),
        redial_min: time("timings.redial_min", defaults.redial_min),
        redial_max: time("timings.redial_max", defaults.redial_max),
    }
}

fn compat(settings: &mut Settings) -> Compat {
    Compat {
        servers_2019: settings.take("compat.servers_2019", false),
        trust_unstamped_servers: settings.take("compat.trust_unstamped_servers", false),
    }
}

fn rtc(settings: &mut Settings) -> Rtc {
    let defaults = Rtc::default();
    let mut rtc = Rtc {
        ice_lite: settings.take("rtc.ice_lite", defaults.ice_lite),
        socket_buffer_bytes: count(
            settings,
            "rtc.socket_buffer_bytes",
            defaults.socket_buffer_bytes,
        ),
        coalesce: settings.take_within("rtc.coalesce", defaults.coalesce, ..=COALESCE_MAX),
        coalesce_idle: settings.take_within(
            "rtc.coalesce_idle",
            defaults.coalesce_idle,
            ..=COALESCE_MAX,
        ),
        commands_max: count(settings, "rtc.commands_max", defaults.commands_max),
        ..defaults
    };
    let peer = &mut rtc.peer;
    peer.handshake_timeout = duration(settings, "rtc.handshake_timeout", peer.handshake_timeout);
    peer.idle_timeout = duration(settings, "rtc.idle_timeout", peer.idle_timeout);
    peer.send_buffer_bytes = count(settings, "rtc.send_buffer_bytes", peer.send_buffer_bytes);
    let reliable = rtc.reliable;
    rtc.reliable = outbox::Config {
        policy: settings.take_choice("outbox.reliable.policy", reliable.policy, &POLICIES),
        bytes_max: count(settings, "outbox.reliable.bytes_max", reliable.bytes_max),
        count_max: count(settings, "outbox.reliable.count_max", reliable.count_max),
        grace: duration(settings, "outbox.reliable.grace", reliable.grace),
    };
    let unreliable = rtc.unreliable;
    rtc.unreliable = outbox::Config {
        policy: settings.take_choice("outbox.unreliable.policy", unreliable.policy, &POLICIES),
        bytes_max: count(
            settings,
            "outbox.unreliable.bytes_max",
            unreliable.bytes_max,
        ),
        count_max: count(
            settings,
            "outbox.unreliable.count_max",
            unreliable.count_max,
        ),
        ..unreliable
    };
    rtc.link_outbox_times = count(settings, "outbox.link_times", rtc.link_outbox_times);
    budgets(settings, &mut rtc);
    addresses(settings, &mut rtc);
    let waiting = &mut rtc.outbox_bytes_total_max;
    *waiting = count(settings, "limits.outbox_bytes_total_max", *waiting);
    let received = &mut rtc.inbox_bytes_total_max;
    *received = count(settings, "limits.inbox_bytes_total_max", *received);
    rtc
}

/// 0 is no limit.
fn budgets(settings: &mut Settings, rtc: &mut Rtc) {
    let (reliable, unreliable) = (rtc.reliable_budget, rtc.unreliable_budget);
    let mut rate = |key, default| settings.take(key, default);
    rtc.reliable_budget = budget::Config {
        packets_per_s: rate("limits.reliable_packets_per_s", reliable.packets_per_s),
        bytes_per_s: rate("limits.reliable_bytes_per_s", reliable.bytes_per_s),
        ..reliable
    };
    rtc.unreliable_budget = budget::Config {
        packets_per_s: rate("limits.unreliable_packets_per_s", unreliable.packets_per_s),
        bytes_per_s: rate("limits.unreliable_bytes_per_s", unreliable.bytes_per_s),
        ..unreliable
    };
    let burst = settings.take_within("limits.rate_burst", reliable.burst, BURSTS);
    rtc.reliable_budget.burst = burst;
    rtc.unreliable_budget.burst = burst;
}

/// 0 is no limit.
fn addresses(settings: &mut Settings, rtc: &mut Rtc) {
    let checks = &mut rtc.unproved_budget.packets_per_s;
    *checks = settings.take("limits.unproved_checks_per_s", *checks);
    let defaults = &rtc.addresses;
    rtc.addresses = AddressLimits {
        peers_max: settings.take("limits.address_peers_max", defaults.peers_max),
        exempt: settings.take("limits.address_exempt", defaults.exempt.clone()),
    };
}

fn uplink(settings: &mut Settings) -> Uplink {
    let defaults = Uplink::default();
    let mut time = |key, default| duration(settings, key, default);
    Uplink {
        redial_min: time("uplink.redial_min", defaults.redial_min),
        redial_max: time("uplink.redial_max", defaults.redial_max),
        dial_timeout: time("uplink.dial_timeout", defaults.dial_timeout),
        write_timeout: time("uplink.write_timeout", defaults.write_timeout),
        ping_interval: time("uplink.ping_interval", defaults.ping_interval),
        idle_timeout: time("uplink.idle_timeout", defaults.idle_timeout),
        load_interval: time("uplink.load_interval", defaults.load_interval),
        queue_max: count(settings, "uplink.queue_max", defaults.queue_max),
    }
}

fn authentication(settings: &mut Settings) -> Authentication {
    let defaults = Authentication::default();
    Authentication {
        calls_max: count(settings, "authentication.calls_max", defaults.calls_max),
        waiting_max: count(settings, "authentication.waiting_max", defaults.waiting_max),
        timeout: duration(settings, "authentication.timeout", defaults.timeout),
    }
}

/// What no single value can be blamed for.
fn check(settings: &mut Settings, config: &Config) {
    if config.rtc.peer.handshake_timeout > config.timings.handshake_timeout {
        settings.problem("timings.handshake_timeout: must not be below rtc.handshake_timeout");
    }
    if config.authentication.timeout > config.timings.auth_timeout {
        settings.problem("authentication.timeout: must not be above timings.auth_timeout");
    }
}

fn count(settings: &mut Settings, key: &'static str, default: usize) -> usize {
    settings.take_within(key, default, 1..)
}

fn duration(settings: &mut Settings, key: &'static str, default: Duration) -> Duration {
    settings.take_within(key, default, DURATIONS)
}

const RTC_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7000);
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// For ever, here.
const DAY: Duration = Duration::from_hours(24);
const DURATIONS: RangeInclusive<Duration> = Duration::from_millis(1)..=DAY;

/// More than a game's frame is a delay that is felt.
const COALESCE_MAX: Duration = Duration::from_millis(20);

/// Shorter ones are below what a busy server's turns take.
const BURSTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);

/// Whether a server of this role is a hub.
const ROLES: [(&str, bool); 2] = [("server", false), ("hub", true)];

const POLICIES: [(&str, Policy); 3] = [
    ("buffered", Policy::Buffered),
    ("fixed-queue", Policy::FixedQueue),
    ("discard", Policy::Discard),
];

/// What a relay may add to a packet: the identity and its publisher's alias and role.
const RELAY_BYTES: usize = 2048;
