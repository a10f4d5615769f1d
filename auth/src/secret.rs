//! Secrets that operators bring: read from an environment variable or a file, trimmed, and
//! refused when they are too short to be one.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};

/// A secret from `text`, without the line end that editors and `echo` leave behind it.
pub fn parse(text: &str) -> Result<SecretString, Error> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.len() < BYTES_MIN {
        return Err(Error::TooShort { bytes: text.len() });
    }
    if text.len() > BYTES_MAX {
        return Err(Error::TooLong);
    }
    Ok(text.into())
}

/// A secret from a file.
pub fn read(path: &Path) -> Result<SecretString, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.into(),
        source,
    };
    let mut text = String::new();
    // One byte more than a secret and its line end may have tells one that is too long.
    let limit = u64::try_from(BYTES_MAX + 3).unwrap_or(u64::MAX);
    let file = File::open(path).map_err(unreadable)?;
    file.take(limit)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let text = SecretString::from(text);
    parse(text.expose_secret()).map_err(|problem| Error::InFile {
        path: path.into(),
        problem: Box::new(problem),
    })
}

/// A secret from `file` when one is named, else from the environment variable `variable`, looked
/// up by `environment`. `Ok(None)` when there is neither.
pub fn load(
    file: Option<&Path>,
    variable: &'static str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<SecretString>, Error> {
    if let Some(path) = file {
        return read(path).map(Some);
    }
    let Some(text) = environment(variable).map(SecretString::from) else {
        return Ok(None);
    };
    let secret = parse(text.expose_secret()).map_err(|problem| Error::InVariable {
        variable,
        problem: Box::new(problem),
    })?;
    Ok(Some(secret))
}

/// Why there is no secret. Never holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fewer than [`BYTES_MIN`] bytes.
    #[error("expected a secret of at least {BYTES_MIN} bytes, got {bytes}")]
    TooShort {
        /// How many there were.
        bytes: usize,
    },
    /// More than [`BYTES_MAX`] bytes.
    #[error("expected a secret of at most {BYTES_MAX} bytes, got more")]
    TooLong,
    /// The file could not be read, or is not UTF-8.
    #[error("cannot read the secret file {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What the file holds is no secret.
    #[error("secret file {}: {problem}", path.display())]
    InFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<Self>,
    },
    /// What the variable holds is no secret.
    #[error("environment variable {variable}: {problem}")]
    InVariable {
        /// Which variable.
        variable: &'static str,
        /// What is wrong with it.
        problem: Box<Self>,
    },
}

/// 128 bits, when they are random: `openssl rand -base64 24` makes more than enough.
pub const BYTES_MIN: usize = 16;

/// Nobody types this much; a file that is longer is the wrong file.
pub const BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn in_file(bytes: &[u8]) -> Result<SecretString, Error> {
        let name = format!("auth-secret-{}-{}", std::process::id(), fastrand());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).expect("a temporary file");
        let secret = read(&path);
        fs::remove_file(&path).expect("it was just written");
        secret
    }

    fn fastrand() -> u64 {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    #[test]
    fn line_ends_are_no_part_of_it() {
        for text in [
            "0123456789abcdef",
            "0123456789abcdef\n",
            "0123456789abcdef\r\n",
        ] {
            let secret = in_file(text.as_bytes()).expect("long enough");
            assert_eq!(secret.expose_secret(), "0123456789abcdef");
        }
    }

    #[test]
    fn length_has_its_bounds() {
        let short = parse(&"x".repeat(BYTES_MIN - 1));
        assert!(
            matches!(short, Err(Error::TooShort { bytes: 15 })),
            "{short:?}"
        );
        assert!(parse(&"x".repeat(BYTES_MIN)).is_ok());
        assert!(in_file("x".repeat(BYTES_MAX).as_bytes()).is_ok());
        let long = in_file("x".repeat(BYTES_MAX + 1).as_bytes()).expect_err("too long");
        assert!(long.to_string().contains("at most 4096 bytes"), "{long}");
        let long = in_file("x".repeat(BYTES_MAX * 100).as_bytes()).expect_err("too long");
        assert!(long.to_string().contains("at most 4096 bytes"), "{long}");
    }

    #[test]
    fn problems_name_their_place_and_not_the_secret() {
        let path = Path::new("/nonexistent/secret");
        let missing = read(path).expect_err("no such file").to_string();
        assert!(missing.contains("/nonexistent/secret"), "{missing}");
        let short = load(None, "SOME_SECRET", |_| Some("hunter2".into()));
        let short = format!("{0} {0:?}", short.expect_err("too short"));
        assert!(short.contains("SOME_SECRET"), "{short}");
        assert!(!short.contains("hunter2"), "{short}");
        assert!(in_file(&[0xff; 32]).is_err(), "not UTF-8");
    }

    #[test]
    fn a_named_file_wins_over_the_variable() {
        let nowhere = Some(Path::new("/nonexistent/secret"));
        let both = load(nowhere, "V", |_| Some("x".repeat(20)));
        assert!(matches!(both, Err(Error::Unreadable { .. })), "{both:?}");
        let variable = load(None, "V", |name| (name == "V").then(|| "x".repeat(20)));
        assert!(variable.expect("long enough").is_some());
        assert!(load(None, "V", |_| None).expect("nothing wrong").is_none());
    }
}
