//! From what a service says to an identity: whatever it says is checked as if a stranger did.

use std::{
    num::NonZeroU64,
    time::{Duration, SystemTime},
};

use proto::filter::{Filters, Grants};

use super::{Answer, generated};
use crate::{
    Authenticated, LaneLimits, Limits, Refusal,
    jwt::{claims::Seconds, is_name},
    remote::Trouble,
};

/// The identity that it says, as of `now`.
pub(super) fn allowed(said: generated::Allowed, now: SystemTime) -> Result<Answer, Trouble> {
    let token_id = Some(said.token_id).filter(|id| !id.is_empty());
    if !is_name(&said.identity) || token_id.as_deref().is_some_and(|id| !is_name(id)) {
        return Err(Trouble::Malformed);
    }
    let expires = (said.expires > 0).then(|| Seconds(said.expires).plus(Duration::ZERO));
    if expires.is_some_and(|expires| expires <= now) {
        return Ok(Err(Refusal::Invalid));
    }
    Ok(Ok(Authenticated {
        identity: said.identity.into(),
        grants: Grants {
            publish: filters(said.publish.as_ref())?,
            subscribe: filters(said.subscribe.as_ref())?,
        },
        limits: said.limits.map_or(Ok(Limits::NONE), limits)?,
        expires,
        token_id: token_id.map(Into::into),
    }))
}

fn filters(said: Option<&generated::Filters>) -> Result<Filters, Trouble> {
    let Some(said) = said else {
        return Ok(Filters::All);
    };
    let texts = said.filters.iter().map(String::as_str);
    Filters::parse(texts).map_err(|_| Trouble::Malformed)
}

fn limits(said: generated::Limits) -> Result<Limits, Trouble> {
    let rate = |said: Option<u64>| match said.map(NonZeroU64::new) {
        None => Ok(None),
        Some(Some(rate)) => Ok(Some(rate)),
        // Nothing at all is what filters are for.
        Some(None) => Err(Trouble::Malformed),
    };
    let count = said.subscriptions_max.map(usize::try_from).transpose();
    Ok(Limits {
        reliable: LaneLimits {
            packets_per_s: rate(said.reliable_packets_per_s)?,
            bytes_per_s: rate(said.reliable_bytes_per_s)?,
        },
        unreliable: LaneLimits {
            packets_per_s: rate(said.unreliable_packets_per_s)?,
            bytes_per_s: rate(said.unreliable_bytes_per_s)?,
        },
        subscriptions_max: count.map_err(|_| Trouble::Malformed)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn ann() -> generated::Allowed {
        generated::Allowed {
            identity: "ann".into(),
            ..generated::Allowed::default()
        }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000)
    }

    #[test]
    fn what_is_said_is_what_counts() {
        let plain = allowed(ann(), now()).expect("an answer").expect("allowed");
        assert_eq!(plain, Authenticated::everything("ann".into()));
        let said = generated::Allowed {
            publish: Some(generated::Filters { filters: vec![] }),
            subscribe: Some(generated::Filters {
                filters: vec!["a/#".into()],
            }),
            limits: Some(generated::Limits {
                reliable_bytes_per_s: Some(7),
                subscriptions_max: Some(0),
                ..generated::Limits::default()
            }),
            expires: 1_001,
            token_id: "t1".into(),
            ..ann()
        };
        let ann = allowed(said, now()).expect("an answer").expect("allowed");
        assert_eq!(ann.grants.publish, Filters::none());
        assert!(ann.grants.subscribe.matches("a/b"));
        assert_eq!(ann.limits.reliable.bytes_per_s, NonZeroU64::new(7));
        assert_eq!(ann.limits.subscriptions_max, Some(0));
        assert_eq!(ann.expires, Some(now() + Duration::from_secs(1)));
        assert_eq!(ann.token_id.as_deref(), Some("t1"));
    }

    #[test]
    fn what_is_over_lets_nobody_in() {
        for (expires, good) in [(999, false), (1_000, false), (1_001, true), (0, true)] {
            let said = generated::Allowed { expires, ..ann() };
            let answer = allowed(said, now()).expect("an answer");
            assert_eq!(answer.is_ok(), good, "{expires}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_no_answer() {
        let filters = |text: &str| {
            Some(generated::Filters {
                filters: vec![text.into()],
            })
        };
        for said in [
            generated::Allowed::default(),
            generated::Allowed {
                identity: "a\nb".into(),
                ..ann()
            },
            generated::Allowed {
                identity: "n".repeat(257),
                ..ann()
            },
            generated::Allowed {
                token_id: "t".repeat(257),
                ..ann()
            },
            generated::Allowed {
                publish: filters("a#"),
                ..ann()
            },
            generated::Allowed {
                subscribe: filters(""),
                ..ann()
            },
            generated::Allowed {
                limits: Some(generated::Limits {
                    unreliable_packets_per_s: Some(0),
                    ..generated::Limits::default()
                }),
                ..ann()
            },
        ] {
            assert_eq!(
                allowed(said.clone(), now()),
                Err(Trouble::Malformed),
                "{said:?}"
            );
        }
    }
}
