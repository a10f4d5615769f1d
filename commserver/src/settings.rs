//! The settings of the binary: every one has a key, a default, and one parser whatever layer its
//! value comes from. Defaults < TOML file < environment < flags. All problems are found at once.

mod table;
#[cfg(test)]
mod tests;
mod value;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use auth::{AllowAll, Authenticator, ClusterSecret, SharedSecret, secret};
use http::Uri;

use crate::Config;

use self::table::SETTINGS;

/// What the layers add up to, before it is known to be usable.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Everything that has a default.
    config: Values,
    origins: BTreeMap<&'static str, Origin>,
    problems: Vec<Problem>,
}

/// The values themselves.
#[derive(Debug, Clone)]
struct Values {
    coordinator: Option<Uri>,
    rtc_listen: SocketAddr,
    advertise: Vec<std::net::IpAddr>,
    admin_listen: Option<SocketAddr>,
    shards: usize,
    cluster_secret_file: Option<PathBuf>,
    client_secret_file: Option<PathBuf>,
    insecure: bool,
    compat: crate::Compat,
    limits: crate::Limits,
    timings: crate::Timings,
    rtc: crate::Rtc,
    uplink: crate::Uplink,
    authentication: crate::Authentication,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            coordinator: None,
            rtc_listen: SocketAddr::from(([0, 0, 0, 0], 7000)),
            advertise: Vec::new(),
            admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            shards: 1,
            cluster_secret_file: None,
            client_secret_file: None,
            insecure: false,
            compat: crate::Compat::default(),
            limits: crate::Limits::default(),
            timings: crate::Timings::default(),
            rtc: crate::Rtc::default(),
            uplink: crate::Uplink::default(),
            authentication: crate::Authentication::default(),
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File,
    /// This variable.
    Environment(String),
    /// This flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("configuration file"),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// Something that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Settings {
    /// The defaults.
    pub(crate) fn new() -> Self {
        Self {
            config: Values::default(),
            origins: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Takes a configuration file's text.
    pub(crate) fn apply_file(&mut self, text: &str) {
        match value::flatten(text) {
            Ok(pairs) => {
                for (key, text) in pairs {
                    self.set(&key, &text, Origin::File);
                }
            }
            Err(error) => self.problem(format!("the configuration file is not TOML: {error}")),
        }
    }

    /// Takes the environment's variables: `BROKER_` and the key in capitals, `__` for a dot.
    /// Others that begin so are other programs'.
    pub(crate) fn apply_environment(&mut self, lookup: impl Fn(&str) -> Option<String>) {
        for setting in SETTINGS {
            let name = variable(setting.key);
            if let Some(text) = lookup(&name) {
                self.set(setting.key, &text, Origin::Environment(name));
            }
        }
    }

    /// Takes one flag.
    pub(crate) fn apply_flag(&mut self, key: &str, text: &str) {
        self.set(key, text, Origin::Flag(key.replace('_', "-")));
    }

    /// Notes that something is wrong.
    pub(crate) fn problem(&mut self, text: String) {
        self.problems.push(Problem(text));
    }

    fn set(&mut self, key: &str, text: &str, origin: Origin) {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            return self.problem(format!("{key} ({origin}): there is no such setting"));
        };
        match (setting.set)(&mut self.config, text) {
            Ok(()) => {
                self.origins.insert(setting.key, origin);
            }
            Err(wanted) => {
                self.problem(format!("{key} ({origin}): expected {wanted}, got {text:?}"));
            }
        }
    }

    /// Every setting as a line: key, value, origin. Secrets are not among them, only their files.
    pub(crate) fn print(&self) -> String {
        let line = |setting: &table::Setting| {
            let value = (setting.show)(&self.config);
            let origin = self.origins.get(setting.key).unwrap_or(&Origin::Default);
            format!("{} = {value}  # {origin}\n", setting.key)
        };
        SETTINGS.iter().map(line).collect()
    }

    /// What a server can be bound with, or everything that is wrong.
    pub(crate) fn into_config(
        mut self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, Vec<Problem>> {
        let values = self.config.clone();
        let cluster_secret = self.cluster_secret(&values, &environment);
        let clients = self.clients(&values, &environment);
        self.check(&values);
        let (Some(coordinator), Some(cluster_secret), Some(clients), true) = (
            values.coordinator,
            cluster_secret,
            clients,
            self.problems.is_empty(),
        ) else {
            return Err(self.problems);
        };
        Ok(Config {
            rtc_listen: values.rtc_listen,
            advertise: values.advertise,
            admin_listen: values.admin_listen,
            compat: values.compat,
            limits: values.limits,
            timings: values.timings,
            rtc: values.rtc,
            uplink: values.uplink,
            authentication: values.authentication,
            ..Config::new(coordinator, clients, cluster_secret)
        })
    }

    fn cluster_secret(
        &mut self,
        values: &Values,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Option<ClusterSecret> {
        match ClusterSecret::load(values.cluster_secret_file.as_deref(), environment) {
            Ok(Some(secret)) => return Some(secret),
            Ok(None) => self.problem(format!(
                "there is no cluster secret: set {} or --cluster-secret-file",
                auth::cluster::VARIABLE
            )),
            Err(error) => self.problem(format!("cluster secret: {error}")),
        }
        None
    }

    fn clients(
        &mut self,
        values: &Values,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Option<Arc<dyn Authenticator>> {
        let file = values.client_secret_file.as_deref();
        match (
            secret::load(file, CLIENT_SECRET_VARIABLE, environment),
            values.insecure,
        ) {
            (Ok(Some(secret)), false) => return Some(Arc::new(SharedSecret::new(&secret))),
            (Ok(None), true) => return Some(Arc::new(AllowAll)),
            (Ok(Some(_)), true) => self.problem(
                "there is a client secret, and --insecure that lets in everybody: use one".into(),
            ),
            (Ok(None), false) => self.problem(format!(
                "no client could join: set {CLIENT_SECRET_VARIABLE} or --client-secret-file, \
                 or let in everybody with --insecure"
            )),
            (Err(error), _) => self.problem(format!("client secret: {error}")),
        }
        None
    }

    /// What no single value can be blamed for.
    fn check(&mut self, values: &Values) {
        match &values.coordinator {
            None => {
                self.problem("coordinator: it is missing, for example ws://127.0.0.1:9090".into())
            }
            Some(uri) if uri.scheme_str() != Some("ws") || uri.host().is_none() => {
                self.problem(format!("coordinator: expected ws://host:port, got {uri}"));
            }
            Some(_) => {}
        }
        if values.shards != 1 {
            self.problem(format!(
                "shards: this version runs one shard a process, got {}: run more processes",
                values.shards
            ));
        }
        if values.rtc.peer.handshake_timeout > values.timings.handshake_timeout {
            self.problem(
                "timings.handshake_timeout: must not be below rtc.handshake_timeout".into(),
            );
        }
        if values.authentication.timeout > values.timings.auth_timeout {
            self.problem("authentication.timeout: must not be above timings.auth_timeout".into());
        }
        if values.limits.packet_bytes_max > proto::limits::CHANNEL_MESSAGE_BYTES_MAX - RELAY_BYTES {
            self.problem(format!(
                "limits.packet_bytes_max: expected at most {}, got {}",
                proto::limits::CHANNEL_MESSAGE_BYTES_MAX - RELAY_BYTES,
                values.limits.packet_bytes_max
            ));
        }
    }
}

fn variable(key: &str) -> String {
    format!("BROKER_{}", key.to_uppercase().replace('.', "__"))
}

/// The environment variable that carries the clients' shared secret.
const CLIENT_SECRET_VARIABLE: &str = "BROKER_CLIENT_SECRET";

/// What a relay may add to a packet: the identity and its publisher's alias and role.
const RELAY_BYTES: usize = 2048;
