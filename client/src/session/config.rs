//! What a session can be told, with the defaults and their reasons.

use std::time::Duration;

use proto::limits;

use super::Secret;

/// Settings of one session. Every field has a default that suits an interactive program.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who we are: shown at the upgrade, and the body of AUTH.
    pub token: TokenSource,
    /// From asking the owner for a token to its answer. 10 s.
    pub token_timeout: Duration,
    /// What [`super::Session::resume_token`] gave in an earlier session, to come back under its
    /// alias.
    pub resume: Option<Secret>,
    /// Source of all jitter: the same seed and inputs give the same outputs.
    pub seed: u64,
    /// From the signalling socket's opening to WELCOME. 10 s.
    pub welcome_timeout: Duration,
    /// From CONNECT to the server's offer; then the next server is asked. 4 s: one that stands still
    /// makes none, and one that is busy makes it in milliseconds.
    pub offer_timeout: Duration,
    /// From the offer to READY; then the peer is abandoned for a fresh one on the next server. 10 s.
    pub connect_timeout: Duration,
    /// From AUTH to READY; a server that has not sent one by then is asked with a PING, and speaks the
    /// 2019 protocol if it echoes that first. 2 s.
    pub ready_timeout: Duration,
    /// From SUBSCRIBE or UNSUBSCRIBE to its answer on a live peer. 10 s.
    pub request_timeout: Duration,
    /// Between two PINGs on the reliable lane; `None` sends none. 5 s.
    pub ping_interval: Option<Duration>,
    /// How long to wait before the next try.
    pub backoff: Backoff,
    /// What becomes of reliable publications made while there is no peer.
    pub offline: Offline,
    /// Topics that may be wanted at a time.
    pub subscriptions_max: usize,
    /// Requests that may wait for an answer at a time.
    pub requests_max: usize,
    /// Topics whose packets are counted by `seq`; packets on further topics carry none. 4,096.
    pub counted_topics_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            token: TokenSource::default(),
            token_timeout: Duration::from_secs(10),
            resume: None,
            seed: 0,
            welcome_timeout: Duration::from_secs(10),
            offer_timeout: Duration::from_secs(4),
            connect_timeout: Duration::from_secs(10),
            ready_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
            ping_interval: Some(Duration::from_secs(5)),
            backoff: Backoff::default(),
            offline: Offline::default(),
            subscriptions_max: limits::SUBSCRIPTIONS_MAX,
            requests_max: 256,
            counted_topics_max: 4_096,
        }
    }
}

/// Where a session's token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// It is the same for as long as the session lasts. Empty: none.
    Fixed(Secret),
    /// The owner is asked, by [`super::Output::FetchToken`]: before each dial, and before an AUTH
    /// that comes more than 30 s after the last answer.
    Asked,
}

impl Default for TokenSource {
    fn default() -> Self {
        Self::Fixed(Secret::default())
    }
}

/// Waits between tries: doubling from `first` to `max`, each drawn from the upper half of its
/// step, so that clients that lost the same server do not return together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Longest first wait. 500 ms.
    pub first: Duration,
    /// Longest wait of all. 15 s.
    pub max: Duration,
    /// The loss of a peer or a socket that lived this long starts the series anew: the first
    /// try comes soon. 5 s.
    pub reset_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            max: Duration::from_secs(15),
            reset_after: Duration::from_secs(5),
        }
    }
}

/// What becomes of reliable publications made while there is no peer. Unreliable ones are always
/// dropped and counted: when a new peer stands they are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offline {
    /// They fail at once.
    Fail,
    /// They wait, in order, and go out when the next peer is ready.
    Queue {
        /// Encoded packets.
        count_max: usize,
        /// Their bytes together.
        bytes_max: usize,
        /// What gives way when either is reached.
        overflow: Overflow,
    },
}

impl Default for Offline {
    fn default() -> Self {
        Self::Queue {
            count_max: 1_024,
            bytes_max: 1024 * 1024,
            overflow: Overflow::RejectNew,
        }
    }
}

/// Which publication gives way when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The new one fails.
    RejectNew,
    /// The oldest are dropped and counted until the new one fits.
    DropOldest,
}
