//! Signed tokens (RFC 7519) that somebody else makes: who it is, what it may do and until when
//! stands in the token, and a key says whether to believe it.
//!
//! The algorithm belongs to the key, never to the token. docs/TOKENS.md says what is in a token.

pub mod claims;
pub mod keys;
pub mod published;
pub mod signing;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use jsonwebtoken::{Validation, errors::ErrorKind};
use proto::filter::{BadFilter, Filters};
use serde::Deserialize;

use self::{
    claims::{Claims, Seconds},
    keys::{Algorithm, Key, KeySet},
    published::Published,
};
use crate::{Authenticated, Authenticator, Credentials, Grants, Limits, Refusal, Role};

/// Lets in whoever shows a token that one of its keys has signed, in the role that it names.
#[derive(Debug, Clone)]
pub struct Jwt {
    keys: KeySet,
    published: Vec<Arc<Published>>,
    rules: Rules,
}

/// What is asked of a token beside its signature, and what one means that does not say.
#[derive(Debug, Clone)]
pub struct Rules {
    /// One of these has issued it; empty: anybody.
    pub issuers: Vec<String>,
    /// One of these it is meant for; empty: nobody in particular, so it must not say.
    pub audiences: Vec<String>,
    /// How far the clock of whoever made it may be off.
    pub leeway: Duration,
    /// What somebody may publish to whose token does not say.
    pub publish: Filters,
    /// What somebody may subscribe to whose token does not say.
    pub subscribe: Filters,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: LEEWAY,
            publish: Filters::All,
            subscribe: Filters::All,
        }
    }
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What its holder is.
    pub role: Role,
    /// Who that is, and what it may do.
    pub authenticated: Authenticated,
}

/// What stands in a token, whoever wrote it: to be shown, never to be acted upon.
#[derive(Debug, Clone)]
pub struct Unverified {
    /// The algorithm that its header names.
    pub algorithm: String,
    /// The key that its header names.
    pub key_id: Option<String>,
    /// What it claims.
    pub claims: Claims,
}

impl Unverified {
    /// Reads `token` without checking anything about it.
    pub fn read(token: &str) -> Result<Self, Problem> {
        let header = Header::of(token)?;
        let claims = token.split('.').nth(1).unwrap_or_default();
        let claims = URL_SAFE_NO_PAD.decode(claims);
        let claims = claims.map_err(|_| Problem::Malformed)?;
        Ok(Self {
            algorithm: header.alg,
            key_id: header.kid,
            claims: serde_json::from_slice(&claims)
                .map_err(|error| Problem::Claims(Arc::new(error)))?,
        })
    }
}

impl Jwt {
    /// With these keys.
    #[must_use]
    pub const fn new(keys: KeySet, rules: Rules) -> Self {
        Self {
            keys,
            published: Vec::new(),
            rules,
        }
    }

    /// And with those that an issuer publishes, and changes.
    #[must_use]
    pub fn with_published(mut self, published: Published) -> Self {
        self.published.push(Arc::new(published));
        self
    }

    /// What `token` says at `now`, or why it is not good.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Verified, Problem> {
        let header = Header::of(token)?;
        let claims = header.check(token, &self.keys)?;
        self.rules.judge(&claims, now)
    }

    /// The same by published keys too, which may have to be read first.
    pub async fn examine(&self, token: &str, now: SystemTime) -> Result<Verified, Problem> {
        let header = Header::of(token)?;
        let mut checked = header.check(token, &self.keys);
        let mut unread = false;
        for published in &self.published {
            match &checked {
                Err(problem) if problem.is_of_keys() => {
                    unread |= matches!(problem, Problem::NoKeys);
                    checked = published.check(&header, token).await;
                }
                _ => break,
            }
        }
        match checked {
            // One of the sets that could not be read may have the key.
            Err(problem) if problem.is_of_keys() && unread => Err(Problem::NoKeys),
            checked => self.rules.judge(&checked?, now),
        }
    }
}

#[async_trait]
impl Authenticator for Jwt {
    async fn authenticate(
        &self,
        role: Role,
        credentials: Credentials<'_>,
    ) -> Result<Authenticated, Refusal> {
        let token = shown(&credentials);
        let verified = self.examine(token, SystemTime::now()).await;
        let verified = verified.map_err(|problem| {
            tracing::debug!(%problem, "a token is refused");
            problem.refusal()
        })?;
        if verified.role != role {
            return Err(Refusal::Forbidden);
        }
        Ok(verified.authenticated)
    }
}

/// The token among `credentials`; a body that is no text is none.
pub(crate) fn shown<'a>(credentials: &Credentials<'a>) -> &'a str {
    match credentials {
        Credentials::Upgrade(request) => request.token.unwrap_or(""),
        Credentials::Packet { body, .. } => str::from_utf8(body).unwrap_or("\0"),
    }
}

/// What is read of a token before anything is believed: by which key to check it.
#[derive(Debug, Deserialize)]
pub(crate) struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood. There are none that are.
    crit: Option<serde_json::Value>,
}

impl Header {
    pub(crate) fn of(token: &str) -> Result<Self, Problem> {
        if token.is_empty() {
            return Err(Problem::Missing);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Problem::TooLong);
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, _claims, _signature] = parts.as_slice() else {
            return Err(Problem::Malformed);
        };
        let bytes = URL_SAFE_NO_PAD.decode(header);
        let header = bytes
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        header.ok_or(Problem::Malformed)
    }

    /// The claims, when one of `keys` has signed them.
    pub(crate) fn check(&self, token: &str, keys: &KeySet) -> Result<Claims, Problem> {
        if self.crit.is_some() {
            return Err(Problem::Critical);
        }
        let algorithm = Algorithm::named(&self.alg).ok_or(Problem::Algorithm)?;
        let mut tried = false;
        for key in keys.iter().filter(|key| self.may_be(key, algorithm)) {
            tried = true;
            match signed_by(token, key) {
                Err(Problem::Signature) => {}
                answer => return answer,
            }
        }
        if tried {
            return Err(Problem::Signature);
        }
        if !keys.iter().any(|key| key.algorithm == algorithm) {
            return Err(Problem::NoKeyFor(algorithm));
        }
        Err(Problem::UnknownKey)
    }

    fn may_be(&self, key: &Key, algorithm: Algorithm) -> bool {
        let named = match (&self.kid, &key.id) {
            (Some(asked), Some(known)) => asked == known,
            _ => true,
        };
        named && key.algorithm == algorithm
    }
}

fn signed_by(token: &str, key: &Key) -> Result<Claims, Problem> {
    let mut validation = Validation::new(key.algorithm.library());
    // All claims are looked at by `Rules`, against the caller's clock.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation);
    decoded
        .map(|token| token.claims)
        .map_err(|error| match error.kind() {
            // The signature was good: what is wrong is said by whoever made it.
            ErrorKind::Json(error) => Problem::Claims(Arc::clone(error)),
            ErrorKind::Base64(_) | ErrorKind::Utf8(_) => Problem::Malformed,
            _ => Problem::Signature,
        })
}

impl Rules {
    /// What `claims`, whose signature is good, are worth at `now`.
    pub fn judge(&self, claims: &Claims, now: SystemTime) -> Result<Verified, Problem> {
        let expires = claims.exp.ok_or(Problem::NoExpiry)?.plus(self.leeway);
        if expires < now {
            return Err(Problem::Expired(
                now.duration_since(expires).unwrap_or_default(),
            ));
        }
        let begins = claims.nbf.unwrap_or(Seconds(0)).plus(Duration::ZERO);
        if begins > now + self.leeway {
            return Err(Problem::NotYet(
                begins.duration_since(now).unwrap_or_default(),
            ));
        }
        if !self.issuers.is_empty() && !claims.iss.any_of(&self.issuers) {
            return Err(Problem::Issuer);
        }
        let meant = if self.audiences.is_empty() {
            claims.aud.is_empty()
        } else {
            claims.aud.any_of(&self.audiences)
        };
        if !meant {
            return Err(Problem::Audience);
        }
        let subject = claims.sub.as_deref().unwrap_or("");
        if !is_name(subject) {
            return Err(Problem::Subject);
        }
        let token_id = claims.jti.as_deref();
        if token_id.is_some_and(|id| !is_name(id)) {
            return Err(Problem::TokenId);
        }
        let filters = |claim: &'static str, given: &Option<Vec<String>>, default: &Filters| {
            let Some(texts) = given else {
                return Ok(default.clone());
            };
            let parsed = Filters::parse(texts.iter().map(String::as_str));
            parsed.map_err(|why| Problem::Filter { claim, why })
        };
        Ok(Verified {
            role: role(claims.role.as_deref())?,
            authenticated: Authenticated {
                identity: Bytes::copy_from_slice(subject.as_bytes()),
                grants: Grants {
                    publish: filters("publish", &claims.publish, &self.publish)?,
                    subscribe: filters("subscribe", &claims.subscribe, &self.subscribe)?,
                },
                limits: claims.limits.map_or(Limits::NONE, Limits::from),
                expires: Some(expires),
                token_id: token_id.map(Into::into),
            },
        })
    }
}

fn role(claim: Option<&str>) -> Result<Role, Problem> {
    match claim {
        None | Some("client") => Ok(Role::Client),
        Some("server") => Ok(Role::Server),
        Some("hub") => Ok(Role::Hub),
        Some(_) => Err(Problem::Role),
    }
}

/// Something printable of reasonable length: it is shown to others, and stands in logs.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Why a token is not good. Shows nothing of it but claims whose signature was.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Problem {
    /// There is none.
    Missing,
    /// Longer than [`TOKEN_BYTES_MAX`].
    TooLong,
    /// No three parts of base64url, or no JSON in them.
    Malformed,
    /// `none`, or one that is not taken.
    Algorithm,
    /// It wants extensions to be understood.
    Critical,
    /// No key is for that algorithm.
    NoKeyFor(Algorithm),
    /// It names a key that is not known.
    UnknownKey,
    /// The keys that it may be signed with cannot be read just now.
    NoKeys,
    /// Signed by somebody else, or changed since.
    Signature,
    /// A claim is of another kind than it must be.
    Claims(Arc<serde_json::Error>),
    /// It would be good for ever.
    NoExpiry,
    /// It was good until so long ago.
    Expired(Duration),
    /// It is good in so much time.
    NotYet(Duration),
    /// Another issuer's.
    Issuer,
    /// Meant for somebody else.
    Audience,
    /// It does not say who it is about, or says it with too many bytes or control characters.
    Subject,
    /// Its name has too many bytes or control characters.
    TokenId,
    /// Another token has taken its place.
    Superseded,
    /// A role that there is not.
    Role,
    /// A list of filters with something else in it.
    Filter {
        /// Which claim.
        claim: &'static str,
        /// What is wrong with it.
        why: BadFilter,
    },
}

impl Problem {
    /// What is answered.
    #[must_use]
    pub const fn refusal(&self) -> Refusal {
        match self {
            Self::Missing => Refusal::Missing,
            Self::NoKeys => Refusal::Unavailable,
            _ => Refusal::Invalid,
        }
    }

    /// Whether another set of keys may know better.
    pub const fn is_of_keys(&self) -> bool {
        matches!(
            self,
            Self::NoKeyFor(_) | Self::UnknownKey | Self::Signature | Self::NoKeys
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no token"),
            Self::TooLong => write!(f, "the token has more than {TOKEN_BYTES_MAX} bytes"),
            Self::Malformed => {
                f.write_str("it is no signed token: expected header.claims.signature")
            }
            Self::Algorithm => {
                let names: Vec<&str> = Algorithm::ALL.iter().map(|(name, _)| *name).collect();
                write!(f, "expected an algorithm among {}", names.join(", "))
            }
            Self::Critical => f.write_str("its header wants extensions (crit), and there are none"),
            Self::NoKeyFor(algorithm) => {
                write!(f, "it is signed with {algorithm}, and no key is for that")
            }
            Self::NoKeys => f.write_str("the keys cannot be read just now"),
            Self::UnknownKey => f.write_str("it names a key (kid) that is not known"),
            Self::Signature => f.write_str("the signature is not by this key, or it was changed"),
            Self::Claims(error) => write!(f, "a claim is not what it must be: {error}"),
            Self::NoExpiry => f.write_str("it has no expiry (exp)"),
            Self::Expired(ago) => write!(f, "it was good until {} s ago (exp)", ago.as_secs()),
            Self::NotYet(wait) => write!(f, "it is good in {} s only (nbf)", wait.as_secs()),
            Self::Issuer => f.write_str("it has another issuer (iss) than those accepted"),
            Self::Audience => f.write_str("it is meant for another audience (aud)"),
            Self::Subject => write!(
                f,
                "expected a subject (sub) of 1 to {NAME_BYTES_MAX} bytes without control characters"
            ),
            Self::TokenId => write!(
                f,
                "expected a name (jti) of 1 to {NAME_BYTES_MAX} bytes without control characters"
            ),
            Self::Superseded => f.write_str("another token has taken its place"),
            Self::Role => f.write_str("expected a role among client, server and hub"),
            Self::Filter { claim, why } => write!(f, "{claim}: {why}"),
        }
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Filter { why, .. } => Some(why),
            _ => None,
        }
    }
}

/// Longest token, in bytes: some hundred filters, and well below what a proxy lets pass in a header.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Longest subject and longest name of a token, in bytes of UTF-8: it travels beside every
/// TOPIC_IDENTITY packet.
pub const NAME_BYTES_MAX: usize = 256;

/// How far clocks may be off unless the operator says otherwise.
pub const LEEWAY: Duration = Duration::from_secs(30);

#[cfg(test)]
pub(crate) mod tests;
