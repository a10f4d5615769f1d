//! A fault, whom it strikes and when, and how a person writes that: `kill server 1 at 20s for 5s`.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::{Context as _, bail, ensure};

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Coordinator,
    /// A commserver.
    Server(usize),
    /// Some of the clients.
    Crowd(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("coordinator"),
            Self::Server(index) => write!(f, "server {index}"),
            Self::Crowd(index) => write!(f, "crowd {index}"),
        }
    }
}

/// What a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    Process(Place),
    /// The cable between two processes: the one that dials, and the one that is dialed.
    Path(Place, Place),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(place) => write!(f, "{place}"),
            Self::Path(from, to) => write!(f, "{from} - {to}"),
        }
    }
}

/// Which way of a path is struck, as seen from the first of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    There,
    Back,
    Both,
}

impl Way {
    pub(crate) const fn there(self) -> bool {
        matches!(self, Self::There | Self::Both)
    }

    pub(crate) const fn back(self) -> bool {
        matches!(self, Self::Back | Self::Both)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Back => "back",
            Self::Both => "both",
        }
    }
}

/// How it is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9`, and started again.
    Kill,
    /// SIGSTOP, and SIGCONT.
    Stop,
    Cut(Way),
    Delay(Way, Duration),
    /// So many datagrams of a hundred. A TCP connection waits instead.
    Lose(Way, u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("kill"),
            Self::Stop => f.write_str("stop"),
            Self::Cut(way) => write!(f, "cut {}", way.name()),
            Self::Delay(way, by) => write!(f, "delay {} {}", Span(*by), way.name()),
            Self::Lose(way, of_hundred) => write!(f, "lose {of_hundred}% {}", way.name()),
        }
    }
}

/// A fault, from a moment after the beginning on, for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blow {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) target: Target,
    pub(crate) fault: Fault,
}

impl Blow {
    /// When it is over.
    pub(crate) fn end(&self) -> Duration {
        self.at + self.lasts
    }
}

/// As it is read.
impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (Span(self.at), Span(self.lasts));
        write!(f, "{} {} at {at} for {lasts}", self.fault, self.target)
    }
}

impl FromStr for Blow {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        read(text).with_context(|| format!("{text:?}: expected {GRAMMAR}"))
    }
}

fn read(text: &str) -> anyhow::Result<Blow> {
    let mut words = Words(text.split_whitespace().peekable());
    let fault = words.fault()?;
    let place = words.place()?;
    let target = if words.skip("-") {
        Target::Path(place, words.place()?)
    } else {
        Target::Process(place)
    };
    ensure!(words.skip("at"), "at");
    let at = words.span()?;
    ensure!(words.skip("for"), "for");
    let lasts = words.span()?;
    ensure!(words.0.next().is_none(), "there is more");
    ensure!(
        matches!(fault, Fault::Kill | Fault::Stop) == matches!(target, Target::Process(_)),
        "processes are killed and stopped, paths are cut, delayed and lossy"
    );
    if let Target::Path(from, to) = target {
        let laid = matches!(
            (from, to),
            (Place::Crowd(_) | Place::Server(_), Place::Server(_))
                | (Place::Crowd(_) | Place::Server(_), Place::Coordinator)
        );
        ensure!(laid && from != to, "a path leads from who dials to another");
    }
    Ok(Blow {
        at,
        lasts,
        target,
        fault,
    })
}

/// What is left of a line.
struct Words<'a>(std::iter::Peekable<std::str::SplitWhitespace<'a>>);

impl<'a> Words<'a> {
    fn word(&mut self) -> anyhow::Result<&'a str> {
        self.0.next().context("cut short")
    }

    fn skip(&mut self, word: &str) -> bool {
        self.0.next_if_eq(&word).is_some()
    }

    fn fault(&mut self) -> anyhow::Result<Fault> {
        Ok(match self.word()? {
            "kill" => Fault::Kill,
            "stop" => Fault::Stop,
            "cut" => Fault::Cut(self.way()),
            "delay" => {
                let by = self.span()?;
                Fault::Delay(self.way(), by)
            }
            "lose" => {
                let of_hundred = self.word()?.strip_suffix('%').context("per cent")?;
                let of_hundred = of_hundred.parse()?;
                ensure!(of_hundred <= 100, "{of_hundred} of a hundred");
                Fault::Lose(self.way(), of_hundred)
            }
            other => bail!("what is {other:?}?"),
        })
    }

    /// Both, unless it is said.
    fn way(&mut self) -> Way {
        let all = [Way::There, Way::Back, Way::Both];
        let said = all.into_iter().find(|way| self.skip(way.name()));
        said.unwrap_or(Way::Both)
    }

    fn place(&mut self) -> anyhow::Result<Place> {
        Ok(match self.word()? {
            "coordinator" => Place::Coordinator,
            "server" => Place::Server(self.word()?.parse()?),
            "crowd" => Place::Crowd(self.word()?.parse()?),
            other => bail!("who is {other:?}?"),
        })
    }

    fn span(&mut self) -> anyhow::Result<Duration> {
        Ok(self.word()?.parse::<Span>()?.0)
    }
}

/// A length of time as it is written: `200ms`, `1.5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        if ms.is_multiple_of(1_000) {
            write!(f, "{}s", ms / 1_000)
        } else {
            write!(f, "{ms}ms")
        }
    }
}

impl FromStr for Span {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (number, unit) = match text.strip_suffix("ms") {
            Some(number) => (number, 0.001),
            None => (text.strip_suffix('s').context("s or ms")?, 1.0),
        };
        let seconds = number.parse::<f64>()? * unit;
        Ok(Self(Duration::try_from_secs_f64(seconds)?))
    }
}

const GRAMMAR: &str = "kill|stop PLACE at TIME for TIME, or cut|delay TIME|lose N% \
    [there|back|both] PLACE - PLACE at TIME for TIME, where a PLACE is coordinator, server N or \
    crowd N";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blow_is_read_as_it_is_written() {
        for line in [
            "kill server 1 at 20s for 5s",
            "stop crowd 0 at 1500ms for 250ms",
            "kill coordinator at 0s for 30s",
            "cut both crowd 3 - server 0 at 1s for 1s",
            "cut there server 0 - server 1 at 1s for 1s",
            "delay 200ms back server 2 - coordinator at 1s for 1s",
            "lose 5% both crowd 1 - coordinator at 1s for 1s",
        ] {
            let blow: Blow = line.parse().expect("good");
            assert_eq!(blow.to_string(), line);
        }
        let short: Blow = "cut crowd 3 - server 0 at 1.5s for 1s"
            .parse()
            .expect("good");
        assert_eq!(short.fault, Fault::Cut(Way::Both));
        assert_eq!(short.end(), Duration::from_millis(2_500));
    }

    #[test]
    fn what_is_none_is_refused() {
        for line in [
            "",
            "kill server 1",
            "kill server at 20s for 5s",
            "kill server 1 at 20 for 5s",
            "kill server 1 at -20s for 5s",
            "kill server 1 at 20s for 5s now",
            "kill crowd 0 - server 1 at 1s for 1s",
            "cut server 1 at 1s for 1s",
            "cut server 1 - crowd 0 at 1s for 1s",
            "cut server 1 - server 1 at 1s for 1s",
            "lose 101% server 0 - server 1 at 1s for 1s",
            "dance server 1 at 1s for 1s",
        ] {
            assert!(line.parse::<Blow>().is_err(), "{line:?}");
        }
    }
}
