//! What a client saw, a line for each thing, written by a crowd and read by the judge. Moments are
//! nanoseconds of the machine's monotonic clock, which all processes share.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::Context as _;

/// A moment on the machine's monotonic clock.
pub(crate) type At = Duration;

/// Now, as every process of this machine has it.
pub(crate) fn now() -> At {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// Which publication: whose, in which life of its process, the how manieth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Publication {
    pub(crate) client: u32,
    pub(crate) life: u64,
    pub(crate) number: u64,
}

impl Publication {
    /// As it travels.
    pub(crate) fn body(self) -> bytes::Bytes {
        let mut body = Vec::with_capacity(BODY_BYTES);
        body.extend_from_slice(&self.client.to_be_bytes());
        body.extend_from_slice(&self.life.to_be_bytes());
        body.extend_from_slice(&self.number.to_be_bytes());
        body.resize(BODY_BYTES, 0);
        body.into()
    }

    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let (client, rest) = body.split_first_chunk()?;
        let (life, rest) = rest.split_first_chunk()?;
        let (number, _) = rest.split_first_chunk()?;
        Some(Self {
            client: u32::from_be_bytes(*client),
            life: u64::from_be_bytes(*life),
            number: u64::from_be_bytes(*number),
        })
    }
}

/// What happened to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It is on a server (by its alias), and its subscription has been confirmed there.
    Subscribed(u64),
    /// It is on none any more.
    Away,
    /// Its process has begun: whatever its predecessor has said last.
    Born,
    /// It has a session at the coordinator, under this alias.
    Welcomed(u64),
    /// It has published this, and was connected.
    Sent(Publication),
    /// It has published this, and it waits.
    Queued(Publication),
    /// This came.
    Got(Publication),
    /// It has given up.
    Stopped,
}

/// A line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: At,
    pub(crate) client: u32,
    pub(crate) what: What,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, client, what } = self;
        write!(f, "{} {client} ", at.as_nanos())?;
        match what {
            What::Subscribed(server) => write!(f, "subscribed {server}"),
            What::Away => write!(f, "away"),
            What::Born => write!(f, "born"),
            What::Welcomed(alias) => write!(f, "welcomed {alias}"),
            What::Stopped => write!(f, "stopped"),
            What::Sent(it) => write!(f, "sent {} {} {}", it.client, it.life, it.number),
            What::Queued(it) => write!(f, "queued {} {} {}", it.client, it.life, it.number),
            What::Got(it) => write!(f, "got {} {} {}", it.client, it.life, it.number),
        }
    }
}

impl FromStr for Line {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut words = text.split(' ');
        let mut word = || words.next().with_context(|| format!("cut short: {text:?}"));
        let at = Duration::from_nanos(word()?.parse()?);
        let client = word()?.parse()?;
        let kind = word()?;
        let what = match kind {
            "subscribed" => What::Subscribed(word()?.parse()?),
            "away" => What::Away,
            "born" => What::Born,
            "welcomed" => What::Welcomed(word()?.parse()?),
            "stopped" => What::Stopped,
            _ => {
                let publication = Publication {
                    client: word()?.parse()?,
                    life: word()?.parse()?,
                    number: word()?.parse()?,
                };
                match kind {
                    "sent" => What::Sent(publication),
                    "queued" => What::Queued(publication),
                    "got" => What::Got(publication),
                    _ => anyhow::bail!("what is {kind:?}?"),
                }
            }
        };
        Ok(Self { at, client, what })
    }
}

const BODY_BYTES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_bodies_are_read_as_they_were_written() {
        let publication = Publication {
            client: 7,
            life: 1 << 50,
            number: 12,
        };
        for what in [
            What::Subscribed(117),
            What::Away,
            What::Born,
            What::Welcomed(118),
            What::Stopped,
            What::Sent(publication),
            What::Queued(publication),
            What::Got(publication),
        ] {
            let line = Line {
                at: now(),
                client: 3,
                what,
            };
            assert_eq!(line.to_string().parse::<Line>().expect("good"), line);
        }
        assert_eq!(Publication::read(&publication.body()), Some(publication));
        for bad in ["", "1", "1 2 sent 3", "1 2 dances", "x 2 away"] {
            assert!(bad.parse::<Line>().is_err(), "{bad:?}");
        }
    }
}
