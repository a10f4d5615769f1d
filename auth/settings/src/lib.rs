//! From settings to authenticators: who is let in at the coordinator and at a commserver is said in
//! the same words at both.
//!
//! Secrets come from files or the environment, and are in no setting, no text and no `Debug`.

mod call_out;
mod jwt;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use auth::{
    AllowAll, Authenticator, Chain, ClusterSecret, Registered, SharedSecret, metrics::Metrics,
    registered::Standing, secret,
};
use call_out::Authorities;
use secrecy::SecretString;
use settings::{Settings, Value};

/// Who is let in.
#[derive(Debug)]
pub struct Doors {
    /// As a client.
    pub clients: Arc<dyn Authenticator>,
    /// As a server, beside those that know the cluster secret.
    pub servers: Option<Arc<dyn Authenticator>>,
    /// What those who are asked over the network count.
    pub metrics: Metrics,
    /// Clients that have registered are among those.
    pub registered: bool,
    /// Everybody is a client who wants to be one.
    pub insecure: bool,
}

/// What the server brings whose settings they are.
pub struct Host<'a> {
    /// Looks up a variable: `std::env::var(name).ok()`.
    pub environment: Environment<'a>,
    /// Under which tokens of registered clients are signed. Where there is none, that is a problem
    /// of its own.
    pub cluster: Option<&'a ClusterSecret>,
    /// Which of those tokens are in force, where that is known: at the coordinator.
    pub standing: Option<Arc<Standing>>,
}

impl std::fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

/// Looks up a variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Takes all that is about authentication out of `settings`. Where something is wrong with it, a
/// stand-in takes the place of what is not there, and `settings` has the problem.
pub fn take(settings: &mut Settings, host: &Host<'_>) -> Doors {
    let environment = host.environment;
    let problems = settings.problem_count();
    let secret = client_secret(settings, environment);
    let insecure = settings.take("insecure", false);
    let (authorities, metrics) = (Authorities::take(settings), Metrics::default());
    let found = Found {
        jwt: jwt::take(settings, environment, &authorities, &metrics),
        call_out: call_out::take(settings, environment, &authorities, &metrics),
        registered: registered(host),
        secret: secret.map(by_secret),
    };
    let kinds: Option<Vec<Kind>> = settings.take_optional("auth.clients");
    let servers: Vec<ServerKind> = settings.take("auth.servers", Vec::new());
    let servers: Vec<_> = servers.iter().map(|kind| kind.0).collect();
    let registered = kinds
        .as_ref()
        .is_some_and(|kinds| kinds.contains(&Kind::Registered));
    // What is missing because it could not be read has been said.
    let said = settings.problem_count() > problems;
    Doors {
        clients: clients(settings, &found, kinds, insecure, said),
        servers: (!servers.is_empty()).then(|| found.chain(settings, "auth.servers", &servers)),
        metrics,
        registered,
        insecure,
    }
}

/// What the settings have all that is needed for.
struct Found {
    jwt: Option<Arc<dyn Authenticator>>,
    registered: Arc<dyn Authenticator>,
    call_out: Option<Arc<dyn Authenticator>>,
    secret: Option<Arc<dyn Authenticator>>,
}

impl Found {
    fn of(&self, kind: Kind) -> Option<&Arc<dyn Authenticator>> {
        match kind {
            Kind::Jwt => self.jwt.as_ref(),
            Kind::Registered => Some(&self.registered),
            Kind::CallOut => self.call_out.as_ref(),
            Kind::Secret => self.secret.as_ref(),
        }
    }

    /// Those of `kinds`, in this order; one that there is nothing for is a problem.
    fn chain(&self, settings: &mut Settings, key: &str, kinds: &[Kind]) -> Arc<dyn Authenticator> {
        let mut links = Vec::new();
        for kind in kinds {
            match self.of(*kind) {
                Some(link) => links.push(Arc::clone(link)),
                None => settings.problem(format!("{key}: {}", kind.needs())),
            }
        }
        match <[_; 1]>::try_from(links) {
            Ok([alone]) => alone,
            Err(links) => Arc::new(Chain::new(links)),
        }
    }
}

fn clients(
    settings: &mut Settings,
    found: &Found,
    kinds: Option<Vec<Kind>>,
    insecure: bool,
    said: bool,
) -> Arc<dyn Authenticator> {
    let ready = Kind::ALL
        .into_iter()
        .filter(|(_, kind)| found.of(*kind).is_some() && *kind != Kind::Registered);
    let ready: Vec<Kind> = ready.map(|(_, kind)| kind).collect();
    if insecure {
        if !ready.is_empty() || kinds.is_some() {
            let named: Vec<&str> = kinds
                .unwrap_or(ready)
                .iter()
                .map(|kind| kind.name())
                .collect();
            settings.problem(format!(
                "there is --insecure, which lets everybody in, and {}: leave out one of them",
                named.join(", ")
            ));
        }
        return Arc::new(AllowAll);
    }
    let kinds = kinds.unwrap_or(ready);
    if kinds.is_empty() && !said {
        settings.problem(format!(
            "no way to tell which clients to let in: set {} or {CLIENT_SECRET} (or name a file \
             that holds it: --client-secret-file), see the settings under `auth`; or let every \
             client in with --insecure",
            jwt::VARIABLE
        ));
    }
    found.chain(settings, "auth.clients", &kinds)
}

fn client_secret(settings: &mut Settings, environment: Environment<'_>) -> Option<SecretString> {
    let file: Option<PathBuf> = settings.take_optional("client_secret_file");
    loaded(
        settings,
        "client secret",
        secret::load(file.as_deref(), CLIENT_SECRET, environment),
    )
}

fn registered(host: &Host<'_>) -> Arc<dyn Authenticator> {
    let secret = host.cluster.cloned();
    // A stand-in is never run: there is a problem.
    let registered = Registered::new(&secret.unwrap_or_else(ClusterSecret::generate));
    Arc::new(match &host.standing {
        Some(standing) => registered.with_standing(Arc::clone(standing)),
        None => registered,
    })
}

fn by_secret(secret: SecretString) -> Arc<dyn Authenticator> {
    Arc::new(SharedSecret::new(&secret))
}

/// What was read, or a problem.
fn loaded<T>(
    settings: &mut Settings,
    what: &str,
    read: Result<Option<T>, secret::Error>,
) -> Option<T> {
    read.unwrap_or_else(|error| {
        settings.problem(format!("{what}: {error}"));
        None
    })
}

/// A kind of authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Jwt,
    Registered,
    CallOut,
    Secret,
}

impl Kind {
    /// In the order in which they are asked unless the operator says otherwise.
    const ALL: [(&str, Self); 4] = [
        ("jwt", Self::Jwt),
        ("registered", Self::Registered),
        ("call-out", Self::CallOut),
        ("secret", Self::Secret),
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Registered => "registered",
            Self::CallOut => "call-out",
            Self::Secret => "secret",
        }
    }

    /// What is missing where it is missing.
    const fn needs(self) -> &'static str {
        match self {
            Self::Jwt => jwt::NEEDS,
            Self::Registered => "registered needs the cluster secret",
            Self::CallOut => call_out::NEEDS,
            Self::Secret => "secret needs BROKER_CLIENT_SECRET or client_secret_file",
        }
    }
}

impl Value for Kind {
    fn parse(text: &str) -> Result<Self, String> {
        named(text, &Self::ALL)
    }

    fn show(&self) -> String {
        self.name().to_string().show()
    }
}

/// A kind that can tell servers.
struct ServerKind(Kind);

impl Value for ServerKind {
    fn parse(text: &str) -> Result<Self, String> {
        let kinds = Kind::ALL
            .into_iter()
            .filter(|(_, kind)| matches!(kind, Kind::Jwt | Kind::CallOut));
        named(text, &kinds.collect::<Vec<_>>()).map(Self)
    }

    fn show(&self) -> String {
        self.0.show()
    }
}

fn named(text: &str, kinds: &[(&str, Kind)]) -> Result<Kind, String> {
    let found = kinds.iter().find(|(name, _)| *name == text.trim());
    found.map(|(_, kind)| *kind).ok_or_else(|| {
        let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
        format!("a list of {}", names.join(", "))
    })
}

/// The environment variable that carries the clients' shared secret.
pub const CLIENT_SECRET: &str = "BROKER_CLIENT_SECRET";
