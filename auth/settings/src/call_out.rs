//! The settings of those who are asked over the network.

use std::{path::PathBuf, sync::Arc, time::Duration};

use auth::{
    Authenticator,
    call_out::{CallOut, Config, OnOutage, Service},
    metrics::Metrics,
    remote::Trust,
    secret,
};
use settings::Settings;

use crate::{Environment, loaded};

/// Whom to believe: the authorities in the file, or else the system's.
pub(crate) struct Authorities(Option<PathBuf>);

impl Authorities {
    pub(crate) fn take(settings: &mut Settings) -> Self {
        Self(settings.take_optional("auth.ca_file"))
    }

    /// For connections that are encrypted, or for those that are not.
    pub(crate) fn trust(&self, settings: &mut Settings, encrypted: bool) -> Option<Trust> {
        let trust = match &self.0 {
            Some(path) => Trust::file(path),
            None if encrypted => Trust::system(),
            None => Trust::none(),
        };
        trust
            .map_err(|error| settings.problem(format!("auth.ca_file: {error}")))
            .ok()
    }
}

/// The service that is asked about each token, when there is one.
pub(crate) fn take(
    settings: &mut Settings,
    environment: Environment<'_>,
    authorities: &Authorities,
    metrics: &Metrics,
) -> Option<Arc<dyn Authenticator>> {
    let url: Option<String> = settings.take_optional("auth.call_out.url");
    let file: Option<PathBuf> = settings.take_optional("auth.call_out.secret_file");
    let config = config(settings);
    let url = url?;
    let secret = secret::load(file.as_deref(), VARIABLE, environment);
    let secret = loaded(settings, "secret of the authentication service", secret);
    let encrypted = url.trim_start().starts_with("https") || url.trim_start().starts_with("grpcs");
    let trust = authorities.trust(settings, encrypted)?;
    match Service::at(&url, &trust, secret) {
        Ok(service) => Some(Arc::new(CallOut::new(service, config, metrics.clone()))),
        Err(error) => {
            settings.problem(format!(
                "auth.call_out.url: expected {error} (or grpcs and grpc), got {url:?}"
            ));
            None
        }
    }
}

fn config(settings: &mut Settings) -> Config {
    let defaults = Config::default();
    let last_known = settings.take_choice("auth.call_out.on_outage", false, &OUTAGES);
    let last_known_for = settings.take_within(
        "auth.call_out.last_known",
        LAST_KNOWN,
        Duration::from_secs(1)..=DAY,
    );
    Config {
        timeout: settings.take_within(
            "auth.call_out.timeout",
            defaults.timeout,
            Duration::from_millis(1)..=Duration::from_mins(1),
        ),
        calls_max: settings.take_within("auth.call_out.calls_max", defaults.calls_max, 1..=10_000),
        remember: settings.take_within("auth.call_out.remember", defaults.remember, ..=DAY),
        on_outage: if last_known {
            OnOutage::LastKnown(last_known_for)
        } else {
            OnOutage::Deny
        },
        remembered_max: settings.take_within(
            "auth.call_out.remembered_max",
            defaults.remembered_max,
            0..=1_000_000,
        ),
    }
}

/// The environment variable that carries the secret by which the service knows us.
const VARIABLE: &str = "BROKER_CALL_OUT_SECRET";

pub(crate) const NEEDS: &str = "call-out needs auth.call_out.url";

/// Whether those who are known are let in.
const OUTAGES: [(&str, bool); 2] = [("deny", false), ("last-known", true)];

const LAST_KNOWN: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
