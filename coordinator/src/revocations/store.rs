//! The file of revocations: whole, or as it was before.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{Entry, Line};

/// Where revocations are kept over a restart; without a file, nowhere.
#[derive(Debug)]
pub(crate) struct Store {
    path: Option<PathBuf>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system does not let us.
    #[error("cannot use the file of revocations {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is not one of ours.
    #[error("{path} is not a file of revocations: {problem}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The task that writes it ended.
    #[error("the writing of revocations ended by itself")]
    Writer,
}

impl Store {
    /// In this file, which is made with the first entry.
    pub(crate) const fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// What was saved last.
    pub(crate) fn load(&self) -> Result<Vec<Entry>, StoreError> {
        let Some(path) = &self.path else {
            return Ok(Vec::new());
        };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(StoreError::File {
                    path: path.clone(),
                    source,
                });
            }
        };
        let wrong = |problem: String| StoreError::Content {
            path: path.clone(),
            problem,
        };
        let lines: Vec<Line> =
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        let entries = lines.into_iter().map(Line::entry);
        let entries: Result<Vec<Entry>, &str> = entries.collect();
        entries.map_err(|problem| wrong(problem.into()))
    }

    /// Takes the place of what was saved before; a crash leaves one or the other.
    pub(crate) async fn save(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        let Some(path) = self.path.clone() else {
            return Ok(());
        };
        let writing = tokio::task::spawn_blocking(move || {
            let entries = entries.iter();
            let lines: Vec<Line> = entries.map(|(who, until)| Line::of(who, *until)).collect();
            let written = serde_json::to_vec_pretty(&lines)
                .map_err(io::Error::other)
                .and_then(|text| replace(&path, &text));
            written.map_err(|source| StoreError::File { path, source })
        });
        writing.await.map_err(|_ended| StoreError::Writer)?
    }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = File::create(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The name, too, is there after a crash.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::revocation::Target;
    use std::time::{Duration, UNIX_EPOCH};

    /// One of a test's own, for as long as it runs.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }

        fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("removed");
        }
    }

    fn entries() -> Vec<Entry> {
        let until = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        vec![
            (Target::Identity("Änn".into()), until),
            (Target::Token("t1".into()), until),
            (Target::Alias((1 << 53) - 1), until),
        ]
    }

    #[tokio::test]
    async fn what_was_saved_last_is_loaded() {
        let folder = Folder::new("revocations-saved");
        let store = Store::new(Some(folder.path().join("revocations.json")));
        assert_eq!(store.load().expect("no file is no mistake"), []);
        store.save(entries()).await.expect("saved");
        assert_eq!(store.load().expect("loaded"), entries());
        store.save(Vec::new()).await.expect("saved");
        assert_eq!(store.load().expect("loaded"), []);
        let files = fs::read_dir(folder.path()).expect("files");
        assert_eq!(files.count(), 1, "nothing is left lying about");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_a_problem() {
        let folder = Folder::new("revocations-bad");
        let path = folder.path().join("revocations.json");
        for text in [
            "",
            "{}",
            "[{\"until\": 1}]",
            "[{\"alias\": 0, \"until\": 1}]",
        ] {
            fs::write(&path, text).expect("written");
            let loaded = Store::new(Some(path.clone())).load();
            assert!(matches!(loaded, Err(StoreError::Content { .. })), "{text}");
        }
        let folder_instead = Store::new(Some(folder.path().into()));
        assert!(matches!(
            folder_instead.load(),
            Err(StoreError::File { .. })
        ));
        assert!(folder_instead.save(entries()).await.is_err());
    }

    #[tokio::test]
    async fn without_a_file_nothing_is_kept() {
        let store = Store::new(None);
        store.save(entries()).await.expect("nothing to do");
        assert_eq!(store.load().expect("nothing to read"), []);
    }
}
