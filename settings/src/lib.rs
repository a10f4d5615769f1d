//! Settings in layers: defaults < TOML file < environment < flags. Each program takes its own out
//! of them; all problems are reported together, and what is in force can be printed with where it
//! came from.
//!
//! Secrets are not settings: the name of a file that holds one is.
//!
//! ```
//! use settings::Settings;
//! use std::time::Duration;
//!
//! let environment = |name: &str| (name == "BROKER_LIMITS__PEERS_MAX").then(|| "20".to_string());
//! let mut settings = Settings::new(environment);
//! settings.file_text("broker.toml", "limits.peers_max = 10\ntimeouts.idle = \"15s\"");
//! settings.flag("listen", "--listen", None::<String>);
//!
//! assert_eq!(settings.take("limits.peers_max", 5_u32), 20);
//! assert_eq!(settings.take("timeouts.idle", Duration::from_secs(60)), Duration::from_secs(15));
//! assert_eq!(settings.take("listen", 7000_u16), 7000);
//! let effective = settings.finish().unwrap();
//! assert!(effective.to_string().contains("limits.peers_max = 20  # BROKER_LIMITS__PEERS_MAX"));
//! ```

mod value;

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    fs,
    ops::RangeInclusive,
    path::Path,
};

pub use value::Value;

/// The layers, until everything is taken out of them.
pub struct Settings {
    environment: Environment,
    file: BTreeMap<String, String>,
    file_name: String,
    flags: BTreeMap<&'static str, (&'static str, String)>,
    taken: Vec<Taken>,
    problems: Vec<String>,
}

type Environment = Box<dyn Fn(&str) -> Option<String>>;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Default,
    File(String),
    Environment(String),
    Flag(&'static str),
}

#[derive(Debug)]
struct Taken {
    key: &'static str,
    /// As TOML; `None` for one that is not set.
    shown: Option<String>,
    source: Source,
}

impl Settings {
    /// Without a file and flags. `environment` looks up a variable: `std::env::var(name).ok()`.
    #[must_use]
    pub fn new(environment: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self {
            environment: Box::new(environment),
            file: BTreeMap::new(),
            file_name: String::new(),
            flags: BTreeMap::new(),
            taken: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Adds a TOML file.
    pub fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => self.file_text(&name, &text),
            Err(error) => self.problem(format!("cannot read {name}: {error}")),
        }
    }

    /// Adds the text of a TOML file.
    pub fn file_text(&mut self, name: &str, text: &str) {
        self.file_name = name.into();
        match text.parse::<toml::Table>() {
            Ok(table) => self.flatten("", &table),
            Err(error) => self.problem(format!("{name}: {}", error.to_string().trim_end())),
        }
    }

    /// Adds a flag, when it was given; `name` as the user wrote it.
    pub fn flag(&mut self, key: &'static str, name: &'static str, given: Option<impl Display>) {
        if let Some(given) = given {
            self.flags.insert(key, (name, given.to_string()));
        }
    }

    /// The value of `key`, from the highest layer that has one. One that cannot be read is a
    /// problem, and `default` stands in for it.
    pub fn take<T: Value>(&mut self, key: &'static str, default: T) -> T {
        self.take_optional(key).unwrap_or_else(|| {
            self.show_default(key, Some(default.show()));
            default
        })
    }

    /// The value of `key`, which must be within `range`.
    pub fn take_within<T>(&mut self, key: &'static str, default: T, range: RangeInclusive<T>) -> T
    where
        T: Value + PartialOrd,
    {
        let value = self.take(key, default);
        if !range.contains(&value) {
            let (low, high) = (range.start().show(), range.end().show());
            let origin = self.origin(key);
            self.problem(format!(
                "{key}{origin}: expected {low} to {high}, got {}",
                value.show()
            ));
        }
        value
    }

    /// The value of `key`, if any layer has one.
    pub fn take_optional<T: Value>(&mut self, key: &'static str) -> Option<T> {
        let Some((text, source)) = self.find(key) else {
            self.show_default(key, None);
            return None;
        };
        match T::parse(&text) {
            Ok(value) => {
                let shown = Some(value.show());
                self.taken.push(Taken { key, shown, source });
                Some(value)
            }
            Err(expected) => {
                self.problem(format!("{key}{source}: expected {expected}, got {text:?}"));
                None
            }
        }
    }

    /// Adds a problem that the program itself has found.
    pub fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    /// What is in force, once everything is taken; or everything that is wrong, settings that
    /// nobody took included.
    pub fn finish(mut self) -> Result<Effective, Problems> {
        debug_assert!(self.flags.is_empty(), "never taken: {:?}", self.flags);
        for key in self.file.keys() {
            self.problems.push(format!(
                "{key} ({}): there is no such setting",
                self.file_name
            ));
        }
        if self.problems.is_empty() {
            Ok(Effective(self.taken))
        } else {
            Err(Problems(self.problems))
        }
    }

    fn find(&mut self, key: &'static str) -> Option<(String, Source)> {
        // Also below a higher layer it counts as taken.
        let in_file = self.file.remove(key);
        if let Some((name, text)) = self.flags.remove(key) {
            return Some((text, Source::Flag(name)));
        }
        let variable = variable(key);
        if let Some(text) = (self.environment)(&variable) {
            return Some((text, Source::Environment(variable)));
        }
        in_file.map(|text| (text, Source::File(self.file_name.clone())))
    }

    fn show_default(&mut self, key: &'static str, shown: Option<String>) {
        self.taken.retain(|taken| taken.key != key);
        let source = Source::Default;
        self.taken.push(Taken { key, shown, source });
    }

    fn origin(&self, key: &str) -> String {
        let taken = self.taken.iter().find(|taken| taken.key == key);
        taken.map_or(String::new(), |taken| taken.source.to_string())
    }

    fn flatten(&mut self, prefix: &str, table: &toml::Table) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value {
                toml::Value::Table(inner) => self.flatten(&format!("{key}."), inner),
                toml::Value::Array(items) => {
                    let items: Vec<String> = items.iter().map(scalar).collect();
                    self.file.insert(key, items.join(","));
                }
                other => {
                    self.file.insert(key, scalar(other));
                }
            }
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("file", &self.file)
            .field("flags", &self.flags)
            .field("taken", &self.taken)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

/// The environment variable of a setting: `limits.peers_max` is `BROKER_LIMITS__PEERS_MAX`.
#[must_use]
pub fn variable(key: &str) -> String {
    format!("BROKER_{}", key.replace('.', "__").to_uppercase())
}

fn scalar(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::File(name) | Self::Environment(name) => write!(f, " ({name})"),
            Self::Flag(name) => write!(f, " ({name})"),
        }
    }
}

/// What is in force; as text a TOML file that would give the same.
#[derive(Debug)]
pub struct Effective(Vec<Taken>);

impl Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Taken { key, shown, source } in &self.0 {
            match shown {
                Some(shown) => write!(f, "{key} = {shown}")?,
                None => write!(f, "# {key} is not set")?,
            }
            match source {
                Source::Default => writeln!(f)?,
                Source::File(name) | Source::Environment(name) => writeln!(f, "  # {name}")?,
                Source::Flag(name) => writeln!(f, "  # {name}")?,
            }
        }
        Ok(())
    }
}

/// Everything that is wrong, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(Vec<String>);

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

/// The exit status of a program whose configuration is wrong: `EX_USAGE` of sysexits.h.
pub const EXIT_CONFIG: u8 = 64;

#[cfg(test)]
mod tests;
