//! The settings of signed tokens.

use std::{fs::File, io::Read as _, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use auth::{
    Authenticator, Jwt,
    jwt::{
        LEEWAY, Rules,
        keys::{Algorithm, Key, KeySet},
        published::{AtAddress, InFile, Published, REFRESH},
    },
    metrics::Metrics,
    remote::Address,
    secret,
};
use proto::filter::Filters;
use settings::Settings;

use crate::{Environment, call_out::Authorities, loaded};

/// The authenticator of signed tokens, when there is a key.
pub(crate) fn take(
    settings: &mut Settings,
    environment: Environment<'_>,
    authorities: &Authorities,
    metrics: &Metrics,
) -> Option<Arc<dyn Authenticator>> {
    let rules = rules(settings);
    let mut keys = Vec::new();
    keys.extend(shared(settings, environment));
    keys.extend(from_files(settings));
    let published = published(settings, authorities, metrics);
    if keys.is_empty() && published.is_empty() {
        return None;
    }
    let keys = KeySet::new(keys).unwrap_or_else(|error| {
        settings.problem(format!("keys for tokens: {error}"));
        KeySet::default()
    });
    let jwt = Jwt::new(keys, rules);
    Some(Arc::new(
        published.into_iter().fold(jwt, Jwt::with_published),
    ))
}

fn rules(settings: &mut Settings) -> Rules {
    let names = |names: Option<Vec<String>>| names.unwrap_or_default();
    Rules {
        issuers: names(settings.take_optional("auth.jwt.issuer")),
        audiences: names(settings.take_optional("auth.jwt.audience")),
        leeway: settings.take_within("auth.jwt.leeway", LEEWAY, ..=LEEWAY_MAX),
        publish: filters(settings, "auth.jwt.publish"),
        subscribe: filters(settings, "auth.jwt.subscribe"),
    }
}

/// What a token may that does not say: everything, unless there is a list.
fn filters(settings: &mut Settings, key: &'static str) -> Filters {
    let Some(texts) = settings.take_optional::<Vec<String>>(key) else {
        return Filters::All;
    };
    Filters::parse(texts.iter().map(String::as_str)).unwrap_or_else(|error| {
        settings.problem(format!("{key}: {error}"));
        Filters::none()
    })
}

fn shared(settings: &mut Settings, environment: Environment<'_>) -> Option<Key> {
    let algorithm = settings.take_choice(
        "auth.jwt.secret_algorithm",
        Algorithm::Hs256,
        &Algorithm::HMAC,
    );
    let file: Option<PathBuf> = settings.take_optional("auth.jwt.secret_file");
    let secret = secret::load(file.as_deref(), VARIABLE, environment);
    let secret = loaded(settings, "secret for tokens", secret)?;
    Some(Key::secret(algorithm, &secret))
}

fn from_files(settings: &mut Settings) -> Vec<Key> {
    let files: Vec<PathBuf> = settings.take("auth.jwt.key_files", Vec::new());
    let keys = files.iter().filter_map(|path| {
        let key = text(path).and_then(|text| Key::pem(&text).map_err(|error| error.to_string()));
        key.map_err(|error| settings.problem(format!("key file {}: {error}", path.display())))
            .ok()
    });
    keys.collect()
}

/// Key sets, which are read again from time to time.
fn published(
    settings: &mut Settings,
    authorities: &Authorities,
    metrics: &Metrics,
) -> Vec<Published> {
    let refresh = settings.take_within("auth.jwt.refresh", REFRESH, REFRESHES);
    let file: Option<PathBuf> = settings.take_optional("auth.jwt.jwks_file");
    let url: Option<String> = settings.take_optional("auth.jwt.jwks_url");
    let mut found = Vec::new();
    if let Some(path) = file {
        let set = text(&path);
        let set = set.and_then(|text| KeySet::jwks(&text).map_err(|error| error.to_string()));
        match set {
            Ok((set, _unused)) => {
                let publisher = Arc::new(InFile(path));
                found.push(Published::new(
                    publisher,
                    Some(set),
                    refresh,
                    metrics.clone(),
                ));
            }
            Err(error) => settings.problem(format!("key set {}: {error}", path.display())),
        }
    }
    if let Some(url) = url {
        match Address::parse(&url, ["http", "https"]) {
            Ok(address) => {
                let encrypted = url.trim_start().starts_with("https");
                found.extend(authorities.trust(settings, encrypted).map(|trust| {
                    let publisher = Arc::new(AtAddress::new(address, &trust));
                    Published::new(publisher, None, refresh, metrics.clone())
                }));
            }
            Err(error) => {
                settings.problem(format!("auth.jwt.jwks_url: expected {error}, got {url:?}"));
            }
        }
    }
    found
}

fn text(path: &PathBuf) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    Ok(text)
}

/// The environment variable that carries the secret of signed tokens.
pub(crate) const VARIABLE: &str = "BROKER_JWT_SECRET";

pub(crate) const NEEDS: &str =
    "jwt needs a key: BROKER_JWT_SECRET, or one of the settings under auth.jwt that name one";

/// With more, a token that is over is as good as one that is not.
const LEEWAY_MAX: Duration = Duration::from_mins(10);

/// Some hundred keys.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// More often than by unknown keys makes no sense.
const REFRESHES: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(24);
