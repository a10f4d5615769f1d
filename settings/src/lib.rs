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

pub mod log;
pub mod network;
mod outcome;
pub mod panic;
mod value;

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    fs,
    ops::RangeBounds,
    path::Path,
};

use self::outcome::Taken;
pub use self::outcome::{Effective, Problems};
pub use self::{log::Log, network::Network, value::Value};

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
    /// problem, also below a higher layer; what is next below stands in for it.
    pub fn take<T: Value>(&mut self, key: &'static str, default: T) -> T {
        self.take_with(key, default, T::parse, T::show)
    }

    /// The value of `key`, which must be within `range`.
    pub fn take_within<T>(&mut self, key: &'static str, default: T, range: impl RangeBounds<T>) -> T
    where
        T: Value + PartialOrd,
    {
        let parse = |text: &str| {
            let within = T::parse(text).map(|value| range.contains(&value).then_some(value));
            within?.ok_or_else(|| value::show_range(&range))
        };
        self.take_with(key, default, parse, T::show)
    }

    /// The value of `key`, which is one of `choices`, told by its name.
    pub fn take_choice<T>(&mut self, key: &'static str, default: T, choices: &[(&str, T)]) -> T
    where
        T: Copy + PartialEq,
    {
        let parse = |text: &str| {
            let chosen = choices.iter().find(|(name, _)| *name == text.trim());
            chosen
                .map(|(_, value)| *value)
                .ok_or_else(|| value::show_choices(choices))
        };
        let show = |value: &T| {
            let chosen = choices.iter().find(|(_, choice)| choice == value);
            value::quote(chosen.map_or("", |(name, _)| *name))
        };
        self.take_with(key, default, parse, show)
    }

    /// The value of `key`, if any layer has one.
    pub fn take_optional<T: Value>(&mut self, key: &'static str) -> Option<T> {
        let (value, source) = self.read(key, T::parse).unzip();
        self.taken.push(Taken {
            key,
            shown: value.as_ref().map(T::show),
            source: source.unwrap_or_else(|| DEFAULT.into()),
        });
        value
    }

    /// The value of `key`. That no layer has one is a problem, told with an example.
    pub fn take_required<T: Value>(&mut self, key: &'static str, example: &str) -> Option<T> {
        let problems = self.problems.len();
        let value = self.take_optional(key);
        if value.is_none() && self.problems.len() == problems {
            self.problem(format!("{key}: it is missing, for example {example}"));
        }
        value
    }

    /// Adds a problem that the program itself has found.
    pub fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    /// How many problems there are so far.
    #[must_use]
    pub const fn problem_count(&self) -> usize {
        self.problems.len()
    }

    /// What was taken so far, also when something is wrong.
    #[must_use]
    pub fn effective(&self) -> Effective {
        Effective(self.taken.clone())
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

    fn take_with<T>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> T {
        let read = self.read(key, parse);
        let (value, source) = read.unwrap_or_else(|| (default, DEFAULT.into()));
        let shown = Some(show(&value));
        self.taken.push(Taken { key, shown, source });
        value
    }

    /// The highest value that can be read, and where it came from. The others are problems.
    fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<(T, String)> {
        let mut highest = None;
        for (text, source) in self.layers(key).into_iter().flatten() {
            match parse(&text) {
                Ok(value) => highest = Some((value, source)),
                Err(expected) => {
                    self.problem(format!(
                        "{key} ({source}): expected {expected}, got {text:?}"
                    ));
                }
            }
        }
        highest
    }

    /// What each layer says and its name, lowest first.
    fn layers(&mut self, key: &'static str) -> [Option<(String, String)>; 3] {
        let in_file = self.file.remove(key);
        let variable = variable(key);
        [
            in_file.map(|text| (text, self.file_name.clone())),
            (self.environment)(&variable).map(|text| (text, variable)),
            (self.flags.remove(key)).map(|(name, text)| (text, name.into())),
        ]
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

/// The exit status of a program whose configuration is wrong: `EX_USAGE` of sysexits.h.
pub const EXIT_CONFIG: u8 = 64;

/// The name of the lowest layer.
const DEFAULT: &str = "default";

#[cfg(test)]
mod tests;
