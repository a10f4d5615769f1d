//! `broker token inspect`.

use std::{
    io::{self, Read as _, Write as _},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use auth::jwt::{
    Jwt, Problem, Rules, Unverified,
    claims::{Claims, LimitClaims},
};

use super::{bad_usage, keys::KeyArgs};
use crate::access::FAILED;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 when the token is good, as far as it was checked; 1 when it is not, 64 for bad usage.")]
pub(crate) struct Args {
    /// The token, or - to read it from standard input. Other users of this machine see arguments.
    #[arg(value_name = "TOKEN", env = "BROKER_TOKEN", hide_env_values = true)]
    token: String,
    #[command(flatten)]
    key: KeyArgs,
    /// Issuer that is accepted, as auth.jwt.issuer of the servers; may be repeated.
    #[arg(long, value_name = "NAME")]
    iss: Vec<String>,
    /// Audience that is accepted, as auth.jwt.audience of the servers; may be repeated.
    #[arg(long, value_name = "NAME")]
    aud: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let token = args.token()?;
    let token = token.trim();
    let now = SystemTime::now();
    let mut out = io::stdout().lock();
    let unverified = match Unverified::read(token) {
        Ok(unverified) => unverified,
        Err(problem) => {
            writeln!(out, "refused   {problem}").context("standard output")?;
            return Ok(ExitCode::from(FAILED));
        }
    };
    out.write_all(describe(&unverified, now).as_bytes())
        .context("standard output")?;
    let rules = Rules {
        issuers: args.iss.clone(),
        audiences: args.aud.clone(),
        ..Rules::default()
    };
    let (signature, verdict) = match args.key.checking()? {
        None => (
            "not checked: name a key with --key or --secret-file, or set BROKER_JWT_SECRET".into(),
            rules.judge(&unverified.claims, now).map(drop),
        ),
        Some((keys, name)) => {
            let verdict = Jwt::new(keys, rules).verify(token, now).map(drop);
            let signature = match &verdict {
                Err(problem) if problem.is_of_keys() => format!("not by {name}"),
                Err(Problem::Algorithm | Problem::Critical) => "not checked".into(),
                _ => format!("good, by {name}"),
            };
            (signature, verdict)
        }
    };
    let good = verdict.is_ok();
    let verdict = match verdict {
        Ok(()) => "good      a server with this key and these rules takes it".to_owned(),
        Err(problem) => format!("refused   {problem}{}", advice(&problem)),
    };
    writeln!(out, "signature {signature}\n{verdict}").context("standard output")?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

impl Args {
    fn token(&self) -> Result<String> {
        if self.token != "-" {
            return Ok(self.token.clone());
        }
        let mut token = String::new();
        let read = io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut token);
        read.map_err(|error| bad_usage(format_args!("standard input: {error}")))?;
        Ok(token)
    }
}

/// What it says, a line each.
fn describe(token: &Unverified, now: SystemTime) -> String {
    let claims = &token.claims;
    let mut lines = Vec::new();
    let mut line = |name: &str, text: Option<String>| {
        if let Some(text) = text {
            lines.push(format!("{name:<9} {text}\n"));
        }
    };
    let key = token.key_id.as_ref();
    let key = key.map_or_else(String::new, |key| format!(", key {key:?}"));
    line("algorithm", Some(format!("{}{key}", token.algorithm)));
    line("subject", claims.sub.clone());
    line(
        "role",
        Some(claims.role.clone().unwrap_or_else(|| "client".into())),
    );
    line(
        "publish",
        Some(allowed(claims.publish.as_deref(), "publish")),
    );
    line(
        "subscribe",
        Some(allowed(claims.subscribe.as_deref(), "subscribe")),
    );
    line("limits", claims.limits.as_ref().and_then(limited));
    line(
        "issuer",
        (!claims.iss.is_empty()).then(|| claims.iss.0.join(", ")),
    );
    line(
        "audience",
        (!claims.aud.is_empty()).then(|| claims.aud.0.join(", ")),
    );
    line("name", claims.jti.clone());
    times(claims, now, line);
    // Whoever wrote it may not move the reader's cursor.
    let shown = lines.concat();
    shown.replace(|c: char| c.is_control() && c != '\n', "?")
}

fn times(claims: &Claims, now: SystemTime, mut line: impl FnMut(&str, Option<String>)) {
    let at = |seconds: auth::jwt::claims::Seconds| {
        let time = seconds.plus(Duration::ZERO);
        let far = match time.duration_since(now) {
            Ok(ahead) => format!("in {}", rounded(ahead)),
            Err(past) => format!("{} ago", rounded(past.duration())),
        };
        // Its years have four digits.
        if seconds.0 > YEAR_9999 {
            return far;
        }
        format!("{}, {far}", httpdate::fmt_http_date(time))
    };
    line("made", claims.iat.map(at));
    line("begins", claims.nbf.map(at));
    line("ends", claims.exp.map(at));
}

fn allowed(filters: Option<&[String]>, which: &str) -> String {
    match filters {
        None => format!("what the servers' auth.jwt.{which} says; everything, by default"),
        Some([]) => "nothing".into(),
        Some(filters) => filters.join("  "),
    }
}

fn limited(limits: &LimitClaims) -> Option<String> {
    let limits = serde_json::to_value(limits).ok()?;
    let limits = limits.as_object()?.iter();
    let limits: Vec<String> = limits
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    (!limits.is_empty()).then(|| limits.join("  "))
}

/// What to do about it, where that is not plain.
const fn advice(problem: &Problem) -> &'static str {
    match problem {
        Problem::Signature => {
            "\n          is it the same key, and is a secret's line end or base64 handled alike at both?"
        }
        Problem::NoKeyFor(_) => {
            "\n          the algorithm belongs to the key: a secret is for --algorithm (auth.jwt.secret_algorithm)"
        }
        Problem::Issuer => "\n          --iss here, auth.jwt.issuer at the servers",
        Problem::Audience => "\n          --aud here, auth.jwt.audience at the servers",
        _ => "",
    }
}

/// In the largest unit of which there are two.
fn rounded(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

const YEAR_9999: u64 = 253_370_764_800;
/// Eight longest tokens.
const INPUT_BYTES_MAX: u64 = 64 * 1024;
