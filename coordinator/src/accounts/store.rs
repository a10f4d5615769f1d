//! The file that registered clients are in. What was acknowledged is there after any crash: each
//! change is a transaction, on disk before it is told. When the disk fails it (it is full), the file
//! is closed, for the database does nothing more with it, and opened again by whoever comes next.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use parking_lot::RwLock;

use redb::{
    Builder, Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition, backends::FileBackend,
};
use serde::{Deserialize, Serialize};

use super::key_hash::KeyHash;

/// What is known of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) key: KeyHash,
    /// Filters; `None` is what the configuration says.
    pub(super) publish: Option<Vec<String>>,
    pub(super) subscribe: Option<Vec<String>>,
    /// The one in force.
    pub(super) token: Option<Token>,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) until: u64,
}

/// What became of a new client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    Done,
    /// There is one of that name.
    Taken,
    /// There are as many as there may be.
    Full,
}

#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// None while the file has failed us.
    database: RwLock<Option<Database>>,
}

/// Opens the file, or makes one that nobody else may read.
fn open(path: &Path) -> Result<Database, Error> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let database = Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(FileBackend::new(file).map_err(redb::Error::from)?)
        .map_err(redb::Error::from)?;
    let begun = database.begin_write().map_err(redb::Error::from)?;
    // So that nobody who reads finds that there is none.
    drop(begun.open_table(CLIENTS).map_err(redb::Error::from)?);
    begun.commit().map_err(redb::Error::from)?;
    Ok(database)
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: path.into(),
            database: RwLock::new(Some(open(path)?)),
        })
    }

    /// How many there are; none where it cannot be told.
    pub(super) fn count(&self) -> u64 {
        let count = |database: &Database| -> Result<u64, redb::Error> {
            Ok(database.begin_read()?.open_table(CLIENTS)?.len()?)
        };
        self.with(|database| Ok(count(database)?))
            .unwrap_or_default()
    }

    pub(super) fn find(&self, client: &str) -> Result<Option<Account>, Error> {
        let find = |database: &Database| -> Result<_, redb::Error> {
            let table = database.begin_read()?.open_table(CLIENTS)?;
            Ok(table.get(client)?.map(|found| read(found.value())))
        };
        self.with(|database| find(database)?.transpose())
    }

    pub(super) fn for_each_token(&self, mut f: impl FnMut(&str, &str)) -> Result<(), Error> {
        self.with(|database| {
            let table = database.begin_read().map_err(redb::Error::from)?;
            let table = table.open_table(CLIENTS).map_err(redb::Error::from)?;
            for entry in table.iter().map_err(redb::Error::from)? {
                let (client, account) = entry.map_err(redb::Error::from)?;
                if let Some(token) = read(account.value())?.token {
                    f(client.value(), &token.id);
                }
            }
            Ok(())
        })
    }

    pub(super) fn add(
        &self,
        client: &str,
        account: &Account,
        clients_max: usize,
    ) -> Result<Added, Error> {
        self.change(|clients| {
            if clients.get(client)?.is_some() {
                return Ok(Added::Taken);
            }
            if usize::try_from(clients.len()?).is_ok_and(|count| count >= clients_max) {
                return Ok(Added::Full);
            }
            clients.insert(client, written(account).as_slice())?;
            Ok(Added::Done)
        })
    }

    /// Notes which token is in force. False when the client has gone, or has another key.
    pub(super) fn put_token(
        &self,
        client: &str,
        key: &KeyHash,
        token: Token,
    ) -> Result<bool, Error> {
        self.change(|clients| {
            let found = clients.get(client)?.map(|found| read(found.value()));
            let Some(Ok(account)) = found else {
                return Ok(false);
            };
            if account.key != *key {
                return Ok(false);
            }
            let account = Account {
                token: Some(token),
                ..account
            };
            clients.insert(client, written(&account).as_slice())?;
            Ok(true)
        })
    }

    /// False when there was none of that name.
    pub(super) fn remove(&self, client: &str) -> Result<bool, Error> {
        self.change(|clients| Ok(clients.remove(client)?.is_some()))
    }

    /// All of it, or nothing; on disk when this returns.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut redb::Table<'_, &'static str, &'static [u8]>) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        self.with(|database| {
            let transaction = database.begin_write().map_err(redb::Error::from)?;
            let done = {
                let mut table = transaction.open_table(CLIENTS).map_err(redb::Error::from)?;
                change(&mut table)?
            };
            transaction.commit().map_err(redb::Error::from)?;
            Ok(done)
        })
    }

    fn with<T>(&self, job: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
        if self.database.read().is_none() {
            let mut database = self.database.write();
            if database.is_none() {
                *database = Some(open(&self.path)?);
            }
        }
        let done = match &*self.database.read() {
            Some(database) => job(database),
            // It has failed somebody else since.
            None => Err(Error::Closed),
        };
        if let Err(Error::Database(_)) = done {
            self.database.write().take();
        }
        done
    }
}

fn read(bytes: &[u8]) -> Result<Account, Error> {
    serde_json::from_slice(bytes).map_err(Error::Account)
}

fn written(account: &Account) -> Vec<u8> {
    // Strings and numbers always serialise.
    serde_json::to_vec(account).unwrap_or_default()
}

/// What can be wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Database(#[from] Box<redb::Error>),
    #[error("the file has failed, and is opened again")]
    Closed,
    #[error("the system has no thread for keys: {0}")]
    Thread(#[source] io::Error),
    #[error("an account cannot be read: {0}")]
    Account(#[source] serde_json::Error),
}

impl From<redb::Error> for Error {
    /// Boxed: it is large, and everything that may fail would be.
    fn from(error: redb::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

const CLIENTS: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("clients");

/// Some ten thousand accounts; the rest is read when it is asked for.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
