//! `broker token create`.

use std::{
    io::{self, Write as _},
    num::NonZeroU64,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use auth::jwt::{
    Rules,
    claims::{Claims, LimitClaims, OneOrMany, Seconds},
};

use super::{bad_usage, keys::KeyArgs};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --publish the token does not say what may be published, and the servers' auth.jwt.publish \
does: everything, unless the operator says otherwise. --publish '' is nothing. The same goes for \
--subscribe. docs/TOKENS.md has the claims, and how programs make tokens.")]
pub(crate) struct Args {
    #[command(flatten)]
    key: KeyArgs,
    /// Who it is for: the identity that others see.
    #[arg(long, value_name = "NAME")]
    sub: String,
    /// client, server or hub [default: client].
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Filter of topics that may be published to; may be repeated.
    #[arg(long, value_name = "FILTER")]
    publish: Option<Vec<String>>,
    /// Filter of topics that may be subscribed to; may be repeated.
    #[arg(long, value_name = "FILTER")]
    subscribe: Option<Vec<String>>,
    /// How long it is good, e.g. 90s, 15m, 12h.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    ttl: Duration,
    /// How long it is not good yet.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    not_before: Option<Duration>,
    /// What it is called, to be revoked by [default: a random name].
    #[arg(long, value_name = "NAME")]
    jti: Option<String>,
    /// Who made it, where the servers ask.
    #[arg(long, value_name = "NAME")]
    iss: Option<String>,
    /// Whom it is meant for, where the servers ask; may be repeated.
    #[arg(long, value_name = "NAME")]
    aud: Vec<String>,
    /// What the key is called in the servers' key set.
    #[arg(long, value_name = "NAME")]
    kid: Option<String>,
    /// At most so many packets per second on the reliable lane.
    #[arg(long, value_name = "N")]
    reliable_packets_per_s: Option<NonZeroU64>,
    /// At most so many bytes per second on it.
    #[arg(long, value_name = "N")]
    reliable_bytes_per_s: Option<NonZeroU64>,
    /// At most so many packets per second on the unreliable lane.
    #[arg(long, value_name = "N")]
    unreliable_packets_per_s: Option<NonZeroU64>,
    /// At most so many bytes per second on it.
    #[arg(long, value_name = "N")]
    unreliable_bytes_per_s: Option<NonZeroU64>,
    /// At most so many subscriptions.
    #[arg(long, value_name = "N")]
    subscriptions_max: Option<usize>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let key = args.key.signing()?.named(args.kid.clone());
    let now = SystemTime::now();
    let claims = args.claims(now);
    // What a server would refuse is not made: its rules, except for those that only it knows.
    let rules = Rules {
        audiences: claims.aud.0.clone(),
        leeway: args.not_before.unwrap_or_default(),
        ..Rules::default()
    };
    rules.judge(&claims, now).map_err(bad_usage)?;
    let token = key.sign(&claims).map_err(bad_usage)?;
    if token.len() > auth::jwt::TOKEN_BYTES_MAX {
        return Err(bad_usage(auth::jwt::Problem::TooLong));
    }
    writeln!(io::stdout(), "{token}").context("standard output")?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn claims(&self, now: SystemTime) -> Claims {
        let filters = |given: &Option<Vec<String>>| {
            let given = given.as_ref()?.iter();
            Some(given.filter(|filter| !filter.is_empty()).cloned().collect())
        };
        let limits = LimitClaims {
            reliable_packets_per_s: self.reliable_packets_per_s,
            reliable_bytes_per_s: self.reliable_bytes_per_s,
            unreliable_packets_per_s: self.unreliable_packets_per_s,
            unreliable_bytes_per_s: self.unreliable_bytes_per_s,
            subscriptions_max: self.subscriptions_max,
        };
        let random = || format!("{:032x}", rand::random::<u128>());
        Claims {
            iss: OneOrMany(self.iss.iter().cloned().collect()),
            sub: Some(self.sub.clone()),
            aud: OneOrMany(self.aud.clone()),
            exp: Some(Seconds::of(now + self.ttl)),
            nbf: self.not_before.map(|wait| Seconds::of(now + wait)),
            iat: Some(Seconds::of(now)),
            jti: Some(self.jti.clone().unwrap_or_else(random)),
            role: self.role.clone(),
            publish: filters(&self.publish),
            subscribe: filters(&self.subscribe),
            limits: (limits != LimitClaims::default()).then_some(limits),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = <Duration as settings::Value>::parse(text);
    parsed.map_err(|expected| format!("expected {expected}"))
}
