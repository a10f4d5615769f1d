//! Where a session says that it is.

use std::fmt;

/// The name of a region: 1 to 64 bytes of letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region(Box<str>);

impl Region {
    /// `None` when it is no such name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = !name.is_empty() && name.len() <= BYTES_MAX && name.chars().all(is_fit);
        fits.then(|| Self(name.into()))
    }

    /// As it was written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_length() {
        for (length, fits) in [(0, false), (1, true), (63, true), (64, true), (65, false)] {
            let name = "x".repeat(length);
            assert_eq!(Region::parse(&name).is_some(), fits, "{length}");
        }
    }

    #[test]
    fn names_have_their_letters() {
        for name in ["eu-west-1", "EU_west.1", "-", "0"] {
            assert_eq!(Region::parse(name).expect("a name").name(), name);
        }
        for name in ["eu west", "eu/west", "é", "a\0", "a\n", "eu,us", "%41"] {
            assert_eq!(Region::parse(name), None, "{name:?}");
        }
    }
}
