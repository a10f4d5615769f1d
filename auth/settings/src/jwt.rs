//! The settings of signed tokens.

use std::{fs::File, io::Read as _, path::PathBuf, sync::Arc, time::Duration};

use auth::{
    Authenticator, Jwt,
    jwt::{
        LEEWAY, Rules,
        keys::{Algorithm, Key, KeySet},
    },
    secret,
};
use proto::filter::Filters;
use settings::Settings;

use crate::{Environment, loaded};

/// The authenticator of signed tokens, when there is a key.
pub(crate) fn take(
    settings: &mut Settings,
    environment: Environment<'_>,
) -> Option<Arc<dyn Authenticator>> {
    let rules = rules(settings);
    let mut keys = Vec::new();
    keys.extend(shared(settings, environment));
    keys.extend(from_files(settings));
    keys.extend(from_set(settings));
    if keys.is_empty() {
        return None;
    }
    match KeySet::new(keys) {
        Ok(keys) => Some(Arc::new(Jwt::new(keys, rules))),
        Err(error) => {
            settings.problem(format!("keys for tokens: {error}"));
            None
        }
    }
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

fn from_set(settings: &mut Settings) -> Vec<Key> {
    let Some(path) = settings.take_optional::<PathBuf>("auth.jwt.jwks_file") else {
        return Vec::new();
    };
    let set = text(&path).and_then(|text| KeySet::jwks(&text).map_err(|error| error.to_string()));
    match set {
        Ok((set, _unused)) => set.iter().cloned().collect(),
        Err(error) => {
            settings.problem(format!("key set {}: {error}", path.display()));
            Vec::new()
        }
    }
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
