//! Resume tokens: by one, a session that comes back keeps its alias, also at another coordinator of
//! the cluster, or at the same one after a restart.
//!
//! A token is no credential: whoever shows one is authenticated as always, and the token counts
//! only for the same role and the same identity.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{CLOCK_SKEW_MAX, ClusterSecret, role_claim, seconds};
use crate::Role;

/// What a session takes up where it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The alias that it had.
    pub alias: u64,
    /// Drawn by the coordinator when it first gave the alias, and the same ever since: two that
    /// were given one alias, by coordinators whose clocks were not in order, are told apart by it.
    pub series: u64,
}

/// Who is behind a session, as the authenticator found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder<'a> {
    /// What it may be.
    pub role: Role,
    /// Who it is.
    pub identity: &'a [u8],
}

/// Why a resume token counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotResumed {
    /// No token of this cluster's.
    #[error("expected a resume token of this cluster, got something else")]
    Invalid,
    /// One that was good once.
    #[error("the resume token is over")]
    Expired,
    /// One of somebody else's.
    #[error("the resume token belongs to another identity or role")]
    Foreign,
}

impl ClusterSecret {
    /// A token by which `holder` may take up `resume`, until then. `None` when the holder's
    /// identity is longer than [`IDENTITY_BYTES_MAX`].
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "plain claims always serialise, and HMAC takes any key"
    )]
    pub fn resume_token(
        &self,
        resume: Resume,
        holder: Holder<'_>,
        until: SystemTime,
    ) -> Option<String> {
        if holder.identity.len() > IDENTITY_BYTES_MAX {
            return None;
        }
        let claims = ResumeClaims {
            alias: resume.alias,
            series: resume.series,
            role: role_claim(holder.role).into(),
            identity: URL_SAFE_NO_PAD.encode(holder.identity),
            exp: seconds(until),
        };
        let key = EncodingKey::from_secret(&self.0.resume);
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
            .expect("claims are plain");
        Some(token)
    }

    /// What `holder` may take up by `token` at `now`.
    pub fn verify_resume_token(
        &self,
        token: &str,
        holder: Holder<'_>,
        now: SystemTime,
    ) -> Result<Resume, NotResumed> {
        if token.len() > RESUME_TOKEN_BYTES_MAX {
            return Err(NotResumed::Invalid);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // Against the caller's clock, below.
        validation.validate_exp = false;
        let key = DecodingKey::from_secret(&self.0.resume);
        let decoded = jsonwebtoken::decode::<ResumeClaims>(token, &key, &validation)
            .map_err(|_| NotResumed::Invalid)?;
        let claims = decoded.claims;
        if claims.exp.saturating_add(CLOCK_SKEW_MAX.as_secs()) < seconds(now) {
            return Err(NotResumed::Expired);
        }
        let of_holder = claims.role == role_claim(holder.role)
            && claims.identity == URL_SAFE_NO_PAD.encode(holder.identity);
        if !of_holder {
            return Err(NotResumed::Foreign);
        }
        Ok(Resume {
            alias: claims.alias,
            series: claims.series,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct ResumeClaims {
    alias: u64,
    series: u64,
    role: String,
    /// As base64url.
    identity: String,
    /// Seconds since 1970.
    exp: u64,
}

/// Longest identity that a token has room for.
pub const IDENTITY_BYTES_MAX: usize = 1024;

/// Longest token: a longest identity, as base64 twice, and the rest. It travels in a header.
pub const RESUME_TOKEN_BYTES_MAX: usize = 2560;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    const RESUME: Resume = Resume {
        alias: (1 << 53) - 1,
        series: u64::MAX,
    };
    const ANN: Holder<'_> = Holder {
        role: Role::Client,
        identity: "Ann Äöü".as_bytes(),
    };

    fn secret() -> ClusterSecret {
        ClusterSecret::parse("sixteen bytes or more").expect("long enough")
    }

    fn noon() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn token() -> String {
        secret()
            .resume_token(RESUME, ANN, noon())
            .expect("a short identity")
    }

    #[test]
    fn what_was_signed_comes_back() {
        let resumed = secret().verify_resume_token(&token(), ANN, noon());
        assert_eq!(resumed, Ok(RESUME));
    }

    #[test]
    fn it_may_stand_in_a_subprotocol_list() {
        // RFC 9110 section 5.6.2, of which a token here needs the least.
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        assert!(token().chars().all(fits), "{}", token());
    }

    #[test]
    fn it_ends() {
        let last = noon() + CLOCK_SKEW_MAX;
        for (now, good) in [
            (noon() - Duration::from_hours(24 * 365), true),
            (last - Duration::from_secs(1), true),
            (last, true),
            (last + Duration::from_secs(1), false),
        ] {
            let expected = if good {
                Ok(RESUME)
            } else {
                Err(NotResumed::Expired)
            };
            assert_eq!(secret().verify_resume_token(&token(), ANN, now), expected);
        }
    }

    #[test]
    fn it_is_for_one_identity_one_role_and_one_cluster() {
        let verify = |secret: ClusterSecret, role, identity: &str| {
            let identity = identity.as_bytes();
            secret.verify_resume_token(&token(), Holder { role, identity }, noon())
        };
        for (role, identity) in [
            (Role::Client, ""),
            (Role::Client, "Ann"),
            (Role::Server, "Ann Äöü"),
            (Role::Hub, "Ann Äöü"),
        ] {
            let foreign = verify(secret(), role, identity);
            assert_eq!(foreign, Err(NotResumed::Foreign), "{role:?} {identity}");
        }
        let other = ClusterSecret::parse("another cluster's secret").expect("long enough");
        let elsewhere = verify(other, Role::Client, "Ann Äöü");
        assert_eq!(elsewhere, Err(NotResumed::Invalid));
    }

    #[test]
    fn a_token_of_the_uplink_is_none() {
        let uplink = secret().uplink_token(Role::Server, noon());
        let server = Holder {
            role: Role::Server,
            identity: b"",
        };
        let resumed = secret().verify_resume_token(&uplink, server, noon());
        assert_eq!(resumed, Err(NotResumed::Invalid));
        let resume = secret().resume_token(RESUME, server, noon());
        let resume = resume.expect("a short identity");
        let uplink = secret().verify_uplink_token(&resume, Role::Server, noon());
        assert_eq!(uplink, Err(crate::Refusal::Invalid));
    }

    #[test]
    fn a_changed_token_is_none() {
        let token = token();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            let answer = secret().verify_resume_token(&changed, ANN, noon());
            // The last character of a part has bits that say nothing.
            let spare =
                answer == Ok(RESUME) && token[at + 1..].find('.').is_none_or(|dot| dot == 0);
            assert!(
                answer == Err(NotResumed::Invalid) || spare,
                "{at}: {answer:?}"
            );
        }
    }

    #[test]
    fn identities_have_their_length() {
        for (bytes, fits) in [
            (IDENTITY_BYTES_MAX - 1, true),
            (IDENTITY_BYTES_MAX, true),
            (IDENTITY_BYTES_MAX + 1, false),
        ] {
            let identity = vec![0xff; bytes];
            let holder = Holder {
                role: Role::Server,
                identity: &identity,
            };
            let token = secret().resume_token(RESUME, holder, noon());
            assert_eq!(token.is_some(), fits, "{bytes}");
            let Some(token) = token else { continue };
            let resumed = secret().verify_resume_token(&token, holder, noon());
            assert_eq!(resumed, Ok(RESUME), "{} bytes", token.len());
        }
    }

    #[test]
    fn what_is_longer_than_any_token_is_not_looked_at() {
        let long = "a".repeat(RESUME_TOKEN_BYTES_MAX + 1);
        let answer = secret().verify_resume_token(&long, ANN, noon());
        assert_eq!(answer, Err(NotResumed::Invalid));
    }

    proptest! {
        #[test]
        fn any_token_is_answered(token: String) {
            let answer = secret().verify_resume_token(&token, ANN, noon());
            prop_assert_eq!(answer, Err(NotResumed::Invalid));
        }
    }
}
