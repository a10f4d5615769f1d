//! Registered clients: who they are and by which key they log in, kept on disk, and the tokens that
//! they get for it. What such a token is worth is `auth::registered`'s to say.
//!
//! Everything that is slow is done one at a time, on a thread that gives way, at a pace: a flood of
//! logins takes its own time, and nobody else's.

mod gate;
mod key_hash;
mod metrics;
mod routes;
mod store;
#[cfg(test)]
mod tests;
mod worker;

use std::{path::PathBuf, sync::Arc, time::Duration};

use auth::{
    ClusterSecret, Registered,
    jwt::claims::Seconds,
    registered::{Grant, Standing, TOKEN_LIFETIME, token_id},
};
use parking_lot::Mutex;
use proto::filter::{BadFilter, Filters};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::{
    gate::{Gate, Turn},
    key_hash::KeyHash,
    metrics::{Outcome, Request},
    store::{Account, Added, Store, Token},
    worker::Worker,
};
pub(crate) use self::{
    metrics::Metrics,
    routes::{LOGIN, REGISTER, UNREGISTER, add},
    store::Error,
};

/// How registered clients are kept.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that they are in.
    pub store: PathBuf,
    /// Where it is noted, for the authenticator, which token of each is in force.
    pub standing: Arc<Standing>,
    /// Anybody may register, and then do what [`Self::publish`] and [`Self::subscribe`] say.
    pub self_registration: bool,
    /// What somebody may publish to of whom nothing else was said; `None` is everything.
    pub publish: Option<Vec<String>>,
    /// What somebody may subscribe to of whom nothing else was said; `None` is everything.
    pub subscribe: Option<Vec<String>>,
    /// How long a token is good.
    pub token_lifetime: Duration,
    /// How many there may be.
    pub clients_max: usize,
    /// Keys looked at in a second.
    pub keys_per_s: u32,
    /// Requests that wait for their turn.
    pub waiting_max: usize,
}

impl Config {
    /// With defaults for all but the file.
    #[must_use]
    pub fn new(store: PathBuf) -> Self {
        Self {
            store,
            standing: Arc::default(),
            self_registration: false,
            publish: None,
            subscribe: None,
            token_lifetime: TOKEN_LIFETIME,
            clients_max: 100_000,
            keys_per_s: 20,
            waiting_max: 64,
        }
    }
}

/// Somebody who wants to be registered.
#[derive(Debug)]
struct Registration {
    client: String,
    key: Key,
    /// What an operator lets it publish to and subscribe to, if one does.
    publish: Option<Vec<String>>,
    subscribe: Option<Vec<String>>,
}

/// What a client logs in with. Never shown by `Debug`.
struct Key(String);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key([redacted])")
    }
}

/// What somebody gets who has logged in.
#[derive(Debug)]
struct Login {
    token: String,
    until: Seconds,
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("expected a clientID of 1 to {CLIENT_BYTES_MAX} bytes without control characters")]
    Name,
    #[error("expected an authKey of {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes")]
    Key,
    #[error("publish or subscribe: {0}")]
    Filter(#[from] BadFilter),
    #[error("publish and subscribe have too many bytes to fit into a token")]
    TooMuch,
    #[error("there is a client of that name")]
    Taken,
    #[error("there are as many clients as there may be")]
    Full,
    #[error("there is no client of that name")]
    Unknown,
    #[error("the clientID or the authKey is wrong")]
    Wrong,
    #[error("too many requests wait already")]
    Busy,
    #[error("the store of registered clients does not work")]
    Store(#[from] Error),
}

/// All of them. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Accounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    secret: ClusterSecret,
    store: Store,
    /// Held over a change of the store and of what follows from it, so that both are in one order.
    changes: Mutex<()>,
    gate: Gate,
    /// Whoever is not registered takes as long to refuse as whoever is.
    decoy: KeyHash,
    metrics: Metrics,
    tasks: TaskTracker,
    worker: Worker,
}

impl Accounts {
    /// Opens the store, and notes which tokens are in force.
    pub(crate) fn open(
        config: Config,
        secret: ClusterSecret,
        metrics: Metrics,
        tasks: TaskTracker,
    ) -> Result<Self, Error> {
        let store = Store::open(&config.store)?;
        metrics.clients(store.count());
        store.for_each_token(|client, id| {
            config.standing.put(client, id.into());
        })?;
        Ok(Self(Arc::new(Inner {
            gate: Gate::new(config.keys_per_s, config.waiting_max, Instant::now()),
            config,
            secret,
            store,
            changes: Mutex::new(()),
            decoy: KeyHash::decoy(),
            metrics,
            tasks,
            worker: Worker::start().map_err(Error::Thread)?,
        })))
    }

    /// The client whose token this is, as long as it is in force.
    fn of_token(&self, token: &str) -> Option<bytes::Bytes> {
        let standing = Arc::clone(&self.0.config.standing);
        let registered = Registered::new(&self.0.secret).with_standing(standing);
        let verified = registered.verify(token, std::time::SystemTime::now());
        Some(verified.ok()?.authenticated.identity)
    }

    fn note(&self, request: Request, outcome: Outcome) {
        self.0.metrics.request(request, outcome);
        self.0.metrics.clients(self.0.store.count());
    }

    async fn register(&self, new: Registration) -> Result<(), Refused> {
        new.check(&self.0.secret)?;
        self.in_turn(move |inner| {
            let account = Account {
                key: KeyHash::of(&new.key.0),
                publish: new.publish,
                subscribe: new.subscribe,
                token: None,
            };
            let _order = inner.changes.lock();
            match inner
                .store
                .add(&new.client, &account, inner.config.clients_max)?
            {
                Added::Done => Ok(()),
                Added::Taken => Err(Refused::Taken),
                Added::Full => Err(Refused::Full),
            }
        })
        .await
    }

    /// A token for somebody who has the key; the one before is not in force any more. It is not
    /// revoked: a client that renews its token would lose what it has open by the one before.
    async fn login(&self, client: String, key: Key) -> Result<Login, Refused> {
        if !is_client(&client) || !is_key(&key.0) {
            return Err(Refused::Wrong);
        }
        self.in_turn(move |inner| inner.login(&client, &key)).await
    }

    /// Yields the name of the token that was in force.
    async fn unregister(&self, client: String) -> Result<Option<Arc<str>>, Refused> {
        self.in_turn(move |inner| {
            let _order = inner.changes.lock();
            if !inner.store.remove(&client)? {
                return Err(Refused::Unknown);
            }
            Ok(inner.config.standing.remove(&client))
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Inner) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let turn: Turn = self.0.gate.enter().await.ok_or(Refused::Busy)?;
        let inner = Arc::clone(&self.0);
        let task = self.0.tasks.token();
        let done = self.0.worker.run(move || {
            let done = job(&inner);
            // Not before it is done, whether or not somebody still waits for it.
            drop((turn, task));
            done
        });
        done.await.unwrap_or(Err(Refused::Busy))
    }
}

impl Inner {
    fn login(&self, client: &str, key: &Key) -> Result<Login, Refused> {
        let account = self.store.find(client)?;
        let hash = account.as_ref().map_or(&self.decoy, |account| &account.key);
        let matches = hash.matches(&key.0);
        let account = account.filter(|_| matches).ok_or(Refused::Wrong)?;
        let token_id = token_id();
        let until = std::time::SystemTime::now() + self.config.token_lifetime;
        let grant = Grant {
            client,
            token_id: &token_id,
            publish: account.publish.or_else(|| self.config.publish.clone()),
            subscribe: account.subscribe.or_else(|| self.config.subscribe.clone()),
            until,
        };
        let token = self.secret.client_token(grant).ok_or(Refused::TooMuch)?;
        let until = Seconds::of(until);
        let record = Token {
            id: (*token_id).into(),
            until: until.0,
        };
        let _order = self.changes.lock();
        // Somebody else may be registered under that name by now.
        if !self.store.put_token(client, &account.key, record)? {
            return Err(Refused::Wrong);
        }
        self.config.standing.put(client, token_id);
        Ok(Login { token, until })
    }
}

impl Registration {
    fn check(&self, secret: &ClusterSecret) -> Result<(), Refused> {
        if !is_client(&self.client) {
            return Err(Refused::Name);
        }
        if !is_key(&self.key.0) {
            return Err(Refused::Key);
        }
        for filters in [&self.publish, &self.subscribe].into_iter().flatten() {
            Filters::parse(filters.iter().map(String::as_str))?;
        }
        let longest = Grant {
            client: &self.client,
            token_id: &token_id(),
            publish: self.publish.clone(),
            subscribe: self.subscribe.clone(),
            until: std::time::SystemTime::now() + Duration::from_hours(24 * 365),
        };
        secret
            .client_token(longest)
            .map(drop)
            .ok_or(Refused::TooMuch)
    }
}

fn is_client(name: &str) -> bool {
    (1..=CLIENT_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn is_key(key: &str) -> bool {
    (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len())
}

/// Longest name: it is the subject of the client's tokens.
const CLIENT_BYTES_MAX: usize = auth::jwt::NAME_BYTES_MAX;

/// Made by a program, and out of reach of guesses.
const KEY_BYTES_MIN: usize = 32;
const KEY_BYTES_MAX: usize = 256;
