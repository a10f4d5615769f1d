//! Keys that an issuer publishes, and changes: read when they are first needed, again after a time,
//! and when a token is signed with one that is not known. While there is nothing new to be had, the
//! last good ones stay.
//!
//! Nobody who shows a known key waits for a reading. An unknown one starts one, but not too often: a
//! token costs nothing to invent.

use std::{fmt::Debug, fs, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{Header, Problem, claims::Claims, keys::KeySet};
use crate::{
    metrics::{KeySets, Metrics},
    remote::{Address, Http, Trouble, Trust},
};

/// Where an issuer publishes its keys, as a JSON Web Key Set.
#[async_trait]
pub trait Publisher: Send + Sync + Debug {
    /// The set as it is now.
    async fn read(&self) -> Result<String, Trouble>;
}

/// A file that somebody replaces.
#[derive(Debug)]
pub struct InFile(pub PathBuf);

#[async_trait]
impl Publisher for InFile {
    async fn read(&self) -> Result<String, Trouble> {
        // A small file, once in minutes.
        fs::read_to_string(&self.0).map_err(Trouble::from)
    }
}

/// An address.
#[derive(Debug)]
pub struct AtAddress {
    address: Address,
    http: Http,
}

impl AtAddress {
    /// Asked with this trust.
    #[must_use]
    pub fn new(address: Address, trust: &Trust) -> Self {
        let http = Http::new(trust, READING_TIMEOUT, SET_BYTES_MAX);
        Self { address, http }
    }
}

#[async_trait]
impl Publisher for AtAddress {
    async fn read(&self) -> Result<String, Trouble> {
        let bytes = self.http.read(&self.address).await?;
        String::from_utf8(bytes.into()).map_err(|_| Trouble::Malformed)
    }
}

/// The keys of a publisher.
#[derive(Debug)]
pub struct Published {
    shared: Arc<Shared>,
    /// A reading ends with this value.
    readings: Mutex<JoinSet<()>>,
    refresh: Duration,
}

#[derive(Debug)]
struct Shared {
    publisher: Arc<dyn Publisher>,
    state: Mutex<State>,
    /// How many readings have ended.
    ended: watch::Sender<u64>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<KeySet>,
    /// When the last reading began.
    begun: Option<Instant>,
    reading: bool,
    /// The last reading brought nothing.
    failing: bool,
}

impl Published {
    /// Read anew after `refresh`. With what is known already, if anything is.
    #[must_use]
    pub fn new(
        publisher: Arc<dyn Publisher>,
        known: Option<KeySet>,
        refresh: Duration,
        metrics: Metrics,
    ) -> Self {
        let state = State {
            keys: known,
            ..State::default()
        };
        Self {
            shared: Arc::new(Shared {
                publisher,
                state: Mutex::new(state),
                ended: watch::Sender::new(0),
                metrics,
            }),
            readings: Mutex::default(),
            refresh,
        }
    }

    /// The claims, when one of its keys has signed them.
    pub(super) async fn check(&self, header: &Header, token: &str) -> Result<Claims, Problem> {
        self.refresh_when_due();
        let mut ended = self.shared.ended.subscribe();
        let checked = self.by_known(header, token);
        match &checked {
            Err(problem) if problem.is_of_keys() => {}
            _ => return checked,
        }
        if self.read_anew() {
            // It may have ended between the look at the keys and here: then this is at once.
            let next = ended.changed();
            if timeout(READING_TIMEOUT, next).await.is_err() {
                return Err(Problem::NoKeys);
            }
        }
        let checked = self.by_known(header, token);
        match checked {
            // It may be a good one, of a key that cannot be read just now.
            Err(problem) if problem.is_of_keys() && self.shared.state.lock().failing => {
                Err(Problem::NoKeys)
            }
            checked => checked,
        }
    }

    fn by_known(&self, header: &Header, token: &str) -> Result<Claims, Problem> {
        let keys = self.shared.state.lock().keys.clone();
        match keys {
            Some(keys) => header.check(token, &keys),
            None => Err(Problem::NoKeys),
        }
    }

    fn refresh_when_due(&self) {
        let mut state = self.shared.state.lock();
        let now = Instant::now();
        // What was known at the start is as old as this.
        let begun = *state.begun.get_or_insert(now);
        if state.keys.is_some() && now.saturating_duration_since(begun) >= self.refresh {
            self.begin(&mut state, now);
        }
    }

    /// Whether a reading is under way that began for this, or before.
    fn read_anew(&self) -> bool {
        let mut state = self.shared.state.lock();
        if state.reading {
            return true;
        }
        let now = Instant::now();
        let too_soon = |begun| now.saturating_duration_since(begun) < PAUSE;
        let first = state.keys.is_none() && !state.failing;
        if !first && state.begun.is_some_and(too_soon) {
            self.shared.metrics.key_set(KeySets::TooSoon);
            return false;
        }
        self.begin(&mut state, now);
        true
    }

    fn begin(&self, state: &mut State, now: Instant) {
        if state.reading {
            return;
        }
        state.reading = true;
        state.begun = Some(now);
        let shared = Arc::clone(&self.shared);
        let mut readings = self.readings.lock();
        while readings.try_join_next().is_some() {}
        readings.spawn(async move { shared.read().await });
    }
}

impl Shared {
    async fn read(&self) {
        let read = timeout(READING_TIMEOUT, self.publisher.read()).await;
        let read = read.unwrap_or(Err(Trouble::Timeout));
        let keys = read.map_err(|trouble| trouble.to_string());
        let keys = keys.and_then(|text| KeySet::jwks(&text).map_err(|error| error.to_string()));
        let mut state = self.state.lock();
        state.reading = false;
        match keys {
            Ok((keys, unused)) => {
                if unused > 0 {
                    tracing::debug!(unused, "a key set has keys that are of no use here");
                }
                state.keys = Some(keys);
                state.failing = false;
                self.metrics.key_set(KeySets::Read);
            }
            Err(why) => {
                // At most once in a pause.
                tracing::warn!(%why, publisher = ?self.publisher, "cannot read the keys of tokens");
                state.failing = true;
                self.metrics.key_set(KeySets::Failed);
            }
        }
        drop(state);
        self.ended.send_modify(|ended| *ended += 1);
    }
}

/// For a reading.
const READING_TIMEOUT: Duration = Duration::from_secs(5);

/// Between the beginnings of two readings for keys that are not known.
pub const PAUSE: Duration = Duration::from_secs(10);

/// How old keys get unless the operator says otherwise.
pub const REFRESH: Duration = Duration::from_mins(5);

/// Some hundred keys.
const SET_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests;
