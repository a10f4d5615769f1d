//! What a token says.

use std::{
    num::NonZeroU64,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{LaneLimits, Limits};

/// The claims that are looked at. All others are skipped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub iss: OneOrMany,
    /// Who it is about: the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Who may take it.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub aud: OneOrMany,
    /// Until when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<Seconds>,
    /// From when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Seconds>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<Seconds>,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// `client` (also when it is absent), `server` or `hub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Filters of the topics that may be published to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Vec<String>>,
    /// Filters of the topics that may be subscribed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Vec<String>>,
    /// What lowers the server's limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitClaims>,
}

/// Limits that can only lower the server's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitClaims {
    /// Packets per second on the reliable lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reliable_packets_per_s: Option<NonZeroU64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reliable_bytes_per_s: Option<NonZeroU64>,
    /// Packets per second on the unreliable lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreliable_packets_per_s: Option<NonZeroU64>,
    /// Their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreliable_bytes_per_s: Option<NonZeroU64>,
    /// Topics that it may be subscribed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscriptions_max: Option<usize>,
}

impl From<LimitClaims> for Limits {
    fn from(claims: LimitClaims) -> Self {
        Self {
            reliable: LaneLimits {
                packets_per_s: claims.reliable_packets_per_s,
                bytes_per_s: claims.reliable_bytes_per_s,
            },
            unreliable: LaneLimits {
                packets_per_s: claims.unreliable_packets_per_s,
                bytes_per_s: claims.unreliable_bytes_per_s,
            },
            subscriptions_max: claims.subscriptions_max,
        }
    }
}

/// Seconds since 1970. Some libraries write them with a fraction, which is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Seconds(pub u64);

impl Seconds {
    /// Of a time; before 1970 is 1970.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_secs()))
    }

    /// That time and `leeway`; what no clock reaches is the last that this one does.
    #[must_use]
    pub fn plus(self, leeway: Duration) -> SystemTime {
        let seconds = self.0.min(SECONDS_MAX).saturating_add(leeway.as_secs());
        UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within bounds that are checked"
    )]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        if let Some(whole) = number.as_u64() {
            return Ok(Self(whole));
        }
        let fraction = number
            .as_f64()
            .filter(|seconds| (0.0..1e15).contains(seconds));
        fraction
            .map(|seconds| Self(seconds as u64))
            .ok_or_else(|| serde::de::Error::custom("expected seconds since 1970"))
    }
}

/// One string, or several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OneOrMany(pub Vec<String>);

impl OneOrMany {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of `accepted` is among them.
    #[must_use]
    pub fn any_of(&self, accepted: &[String]) -> bool {
        self.0.iter().any(|one| accepted.contains(one))
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a string, or an array of strings")]
        enum Either {
            One(String),
            Many(Vec<String>),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::One(one) => vec![one],
            Either::Many(many) => many,
        }))
    }
}

/// Far beyond any token, and within what every clock can be asked.
const SECONDS_MAX: u64 = 1 << 40;
