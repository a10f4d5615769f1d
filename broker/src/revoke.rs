//! `broker revoke`: tells a coordinator that somebody is not to be here any more.

use std::{
    fmt::{self, Display},
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use auth::secret;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use settings::Value as _;
use tls::{Connector, Trust};
use tokio::time::timeout;
use url::Url;

use crate::{
    access::BadUsage,
    http::{self, Answer},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Whoever is meant is closed at the coordinator and at every server that is linked with it, and is not \
let in again before the time is over. Exit status: 0 when the coordinator has stored it and passed it \
on; 1 when it has not; 64 for bad usage. Several coordinators: tell each.")]
pub(crate) struct Args {
    #[command(flatten)]
    who: Who,
    /// For how long, e.g. 1h; at least as long as the tokens last that were given out. Without it:
    /// the coordinator's resume_lifetime.
    #[arg(long = "for", value_name = "D", value_parser = parse_duration)]
    lasts: Option<Duration>,
    /// Take back what was said before.
    #[arg(long, conflicts_with = "lasts")]
    take_back: bool,
    /// The coordinator's admin listener.
    #[arg(
        long,
        value_name = "URL",
        env = "BROKER_ADMIN",
        default_value = "http://127.0.0.1:9091"
    )]
    admin: Url,
    /// File with the admin secret; else BROKER_ADMIN_SECRET holds it, where there is one.
    #[arg(long, value_name = "FILE", env = "BROKER_ADMIN_SECRET_FILE")]
    admin_secret_file: Option<PathBuf>,
    /// PEM file with the authority that signs the certificate of a proxy there, for https; without
    /// it, those that the system trusts.
    #[arg(long, value_name = "FILE", env = "BROKER_TLS__CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// One of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// Everybody whom the authenticators call so.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// One token, by its name (jti).
    #[arg(long, value_name = "ID")]
    token_id: Option<String>,
    /// The one client under this alias.
    #[arg(long, value_name = "N")]
    alias: Option<u64>,
}

/// Tells the coordinator, and says until when it holds.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let secure = match args.admin.scheme() {
        "http" => false,
        "https" => true,
        other => bail!(bad_usage(format_args!(
            "--admin: expected http:// or https://, got {other}://"
        ))),
    };
    let environment = |name: &str| std::env::var(name).ok();
    let secret = secret::load(args.admin_secret_file.as_deref(), VARIABLE, environment);
    let secret = secret.map_err(|error| bad_usage(format_args!("admin secret: {error}")))?;
    let request = args.request(secret.as_ref())?;
    let host = args.admin.host_str();
    let host = host.ok_or_else(|| bad_usage("--admin: expected a host"))?;
    let port = args.admin.port_or_known_default().unwrap_or(80);
    let connector = Connector::new(Trust {
        ca: args.ca_file.clone(),
        pair: None,
    });
    let exchange = async {
        let stream = connector.dial(host, port, secure).await;
        let stream = stream.map_err(|error| match tls::trouble(&error) {
            Some(trouble) => {
                let what = format!("{trouble}: {}", trouble.advice());
                anyhow::Error::new(error).context(what)
            }
            None => error.into(),
        })?;
        http::exchange(stream, request).await
    };
    let answer = timeout(ANSWER_TIMEOUT, exchange).await;
    let answer = answer.with_context(|| format!("no answer within {ANSWER_TIMEOUT:?}"));
    let answer = answer
        .and_then(|answer| answer)
        .with_context(|| args.admin.to_string())?;
    args.judge(&answer)
}

impl Args {
    fn request(&self, secret: Option<&SecretString>) -> anyhow::Result<Request<Full<Bytes>>> {
        let lasts = if self.take_back {
            Some(Duration::ZERO)
        } else {
            self.lasts
        };
        let Who {
            subject,
            token_id,
            alias,
        } = &self.who;
        let mut body = json!({"subject": subject, "token_id": token_id, "alias": alias});
        if let (Some(body), Some(lasts)) = (body.as_object_mut(), lasts) {
            body.insert("for_s".to_owned(), lasts.as_secs().into());
        }
        let url = &self.admin;
        let path = format!("{}/v1/admin/revoke", url.path().trim_end_matches('/'));
        let mut request = Request::post(path)
            .header(HOST, url.authority())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))?;
        if let Some(secret) = secret {
            let bearer = HeaderValue::try_from(format!("Bearer {}", secret.expose_secret()));
            let mut bearer =
                bearer.map_err(|_| bad_usage("admin secret: expected what a header can hold"))?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        Ok(request)
    }

    fn judge(&self, answer: &Answer) -> anyhow::Result<ExitCode> {
        #[derive(Deserialize)]
        struct Revoked {
            until: u64,
        }
        let advice = match answer.status {
            StatusCode::OK => {
                let revoked: Revoked = serde_json::from_str(&answer.body)
                    .context("an answer that no coordinator gives")?;
                let until = UNIX_EPOCH + Duration::from_secs(revoked.until);
                let who = &self.who;
                let said = if self.take_back {
                    writeln!(io::stdout(), "{who} may come again")
                } else {
                    let until = httpdate::fmt_http_date(until);
                    writeln!(io::stdout(), "{who} is revoked until {until}")
                };
                said.context("standard output")?;
                return Ok(ExitCode::SUCCESS);
            }
            StatusCode::UNAUTHORIZED => ": it wants another admin secret",
            StatusCode::FORBIDDEN => {
                ": without an admin secret, only who is on its machine is answered"
            }
            StatusCode::NOT_FOUND => ": that is no admin listener of a coordinator",
            _ => "",
        };
        bail!("refused: {}{advice}; {}", answer.status, answer.body)
    }
}

impl Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.subject, &self.token_id, self.alias) {
            (Some(name), ..) => write!(f, "subject {name}"),
            (_, Some(name), _) => write!(f, "token {name}"),
            (.., alias) => write!(f, "alias {}", alias.unwrap_or_default()),
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    Duration::parse(text).map_err(|expected| format!("expected {expected}"))
}

fn bad_usage(text: impl Display) -> anyhow::Error {
    BadUsage(text.to_string()).into()
}

pub(crate) const COMMAND: &str = "revoke";

const VARIABLE: &str = "BROKER_ADMIN_SECRET";

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
