//! What comes of reading settings: what is in force, or what is wrong.

use std::fmt::{self, Display};

/// What is in force; as text a TOML file that would give the same.
#[derive(Debug)]
pub struct Effective(pub(crate) Vec<Taken>);

#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) key: &'static str,
    /// As TOML; `None` for one that is not set.
    pub(crate) shown: Option<String>,
    /// The name of the layer that it came from.
    pub(crate) source: String,
}

impl Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Taken { key, shown, source } in &self.0 {
            match shown {
                Some(shown) => writeln!(f, "{key} = {shown}  # {source}")?,
                None => writeln!(f, "# {key} is not set")?,
            }
        }
        Ok(())
    }
}

/// Everything that is wrong, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub(crate) Vec<String>);

impl Problems {
    /// One line each.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}
