//! What a setting may be: read from a word, and shown as TOML.

use std::{
    net::{IpAddr, SocketAddr},
    ops::{Bound, RangeBounds},
    path::PathBuf,
    time::Duration,
};

/// A kind of setting.
pub trait Value: Sized {
    /// From the text of a flag, a variable or a TOML value; an error says what was expected.
    fn parse(text: &str) -> Result<Self, String>;

    /// As TOML.
    fn show(&self) -> String;
}

macro_rules! plain {
    ($expected:literal: $($kind:ty)+) => {$(
        impl Value for $kind {
            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| $expected.into())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

macro_rules! quoted {
    ($expected:literal: $($kind:ty)+) => {$(
        impl Value for $kind {
            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| $expected.into())
            }

            fn show(&self) -> String {
                quote(&self.to_string())
            }
        }
    )+};
}

plain!("a whole number": u8 u16 u32 u64 usize);
plain!("a number": f64);
plain!("true or false": bool);
quoted!("an address with a port, such as 127.0.0.1:9090": SocketAddr);
quoted!("an IP address": IpAddr);

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn show(&self) -> String {
        quote(self)
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a path".into());
        }
        Ok(text.into())
    }

    fn show(&self) -> String {
        quote(&self.display().to_string())
    }
}

/// `250ms`, `15s`, `2m`, `1h`; at most a year, so that it can be added to any time.
impl Value for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || "a duration, such as 250ms, 15s or 2m".to_string();
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(digits.ok_or_else(expected)?);
        let number: u64 = number.parse().map_err(|_| expected())?;
        let ms = match unit.trim_start() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(expected()),
        };
        number
            .checked_mul(ms)
            .map(Self::from_millis)
            .filter(|duration| *duration <= DURATION_MAX)
            .ok_or_else(expected)
    }

    fn show(&self) -> String {
        let ms = self.as_millis();
        let shown = match ms {
            0 => "0s".into(),
            ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
            ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
            ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
            ms => format!("{ms}ms"),
        };
        quote(&shown)
    }
}

/// In a file an array, elsewhere separated by commas.
impl<T: Value> Value for Vec<T> {
    fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim);
        items
            .filter(|item| !item.is_empty())
            .map(T::parse)
            .collect()
    }

    fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(T::show).collect();
        format!("[{}]", items.join(", "))
    }
}

/// For something that can be switched off: `none`.
impl<T: Value> Value for Option<T> {
    fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == NONE {
            return Ok(None);
        }
        let parsed = T::parse(text).map(Some);
        parsed.map_err(|expected| format!("{expected}, or {NONE}"))
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| quote(NONE), T::show)
    }
}

/// `1 to 10`, `at least 1`, `above 0 and at most 1`.
pub(crate) fn show_range<T: Value>(range: &impl RangeBounds<T>) -> String {
    let (start, end) = (range.start_bound(), range.end_bound());
    if let (Bound::Included(low), Bound::Included(high)) = (start, end) {
        return format!("{} to {}", low.show(), high.show());
    }
    let low = match start {
        Bound::Included(low) => Some(format!("at least {}", low.show())),
        Bound::Excluded(low) => Some(format!("above {}", low.show())),
        Bound::Unbounded => None,
    };
    let high = match end {
        Bound::Included(high) => Some(format!("at most {}", high.show())),
        Bound::Excluded(high) => Some(format!("below {}", high.show())),
        Bound::Unbounded => None,
    };
    let bounds: Vec<String> = low.into_iter().chain(high).collect();
    bounds.join(" and ")
}

/// `a, b or c`.
pub(crate) fn show_choices<T>(choices: &[(&str, T)]) -> String {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    match names.split_last() {
        Some((last, [])) => (*last).into(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// As a TOML string.
pub(crate) fn quote(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

const NONE: &str = "none";

const DURATION_MAX: Duration = Duration::from_hours(365 * 24);
