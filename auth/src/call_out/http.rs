//! Asking by JSON over HTTP.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Answer, Question, answer, generated};
use crate::{
    Refusal,
    cluster::role_claim,
    jwt::claims::LimitClaims,
    remote::{Address, Http, Trouble, Trust},
};

/// A service at an address.
#[derive(Debug, Clone)]
pub struct Json {
    address: Address,
    secret: Option<Arc<SecretString>>,
    http: Http,
}

#[derive(Serialize)]
struct Asked<'a> {
    role: &'static str,
    place: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    /// Where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<u64>,
}

#[derive(Deserialize)]
struct Said {
    allow: bool,
    #[serde(default)]
    identity: String,
    publish: Option<Vec<String>>,
    subscribe: Option<Vec<String>>,
    limits: Option<LimitClaims>,
    #[serde(default)]
    expires: u64,
    #[serde(default)]
    token_id: String,
    /// Of a refusal: `forbidden`, or anything else.
    reason: Option<String>,
}

impl Json {
    pub(super) fn new(address: Address, trust: &Trust, secret: Option<Arc<SecretString>>) -> Self {
        // Whoever asks has a shorter deadline.
        let http = Http::new(trust, LIMIT, ANSWER_BYTES_MAX);
        Self {
            address,
            secret,
            http,
        }
    }

    pub(super) async fn ask(&self, question: &Question<'_>) -> Result<Answer, Trouble> {
        let text = str::from_utf8(question.token).ok();
        let asked = Asked {
            role: role_claim(question.role),
            place: question.alias.map_or("coordinator", |_| "commserver"),
            token: text,
            token_base64: text.is_none().then(|| STANDARD.encode(question.token)),
            alias: question.alias,
        };
        let body = serde_json::to_vec(&asked).map_err(|_| Trouble::Malformed)?;
        let secret = self.secret.as_deref();
        let (status, body) = self.http.post(&self.address, secret, body).await?;
        match status {
            StatusCode::OK => {
                let said = serde_json::from_slice(&body).map_err(|_| Trouble::Malformed)?;
                understood(said)
            }
            StatusCode::FORBIDDEN => Ok(Err(Refusal::Forbidden)),
            // 401 would also say that our own secret is wrong: nobody must be turned away for that.
            status => Err(Trouble::Status(status)),
        }
    }
}

fn understood(said: Said) -> Result<Answer, Trouble> {
    if !said.allow {
        return Ok(Err(match said.reason.as_deref() {
            Some("forbidden") => Refusal::Forbidden,
            _ => Refusal::Invalid,
        }));
    }
    let filters = |texts: Option<Vec<String>>| texts.map(|filters| generated::Filters { filters });
    let limits = said.limits.map(|limits| generated::Limits {
        reliable_packets_per_s: limits.reliable_packets_per_s.map(Into::into),
        reliable_bytes_per_s: limits.reliable_bytes_per_s.map(Into::into),
        unreliable_packets_per_s: limits.unreliable_packets_per_s.map(Into::into),
        unreliable_bytes_per_s: limits.unreliable_bytes_per_s.map(Into::into),
        subscriptions_max: limits
            .subscriptions_max
            .map(|count| u64::try_from(count).unwrap_or(u64::MAX)),
    });
    let said = generated::Allowed {
        identity: said.identity,
        publish: filters(said.publish),
        subscribe: filters(said.subscribe),
        limits,
        expires: said.expires,
        token_id: said.token_id,
    };
    answer::allowed(said, SystemTime::now())
}

/// Beyond it a call that nobody waits for is given up.
const LIMIT: Duration = Duration::from_secs(60);

/// Two longest lists of filters.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
