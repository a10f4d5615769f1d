//! Who is not to be here any more, as the operator says by the admin API, and what is remembered of
//! it over a restart.

mod store;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use proto::revocation::{TOKEN_ID_BYTES_MAX, Target};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, oneshot};

pub(crate) use self::store::Store;
pub use self::store::StoreError;
use crate::{Shared, hub::Command};

/// A revocation, and until when it holds.
pub(crate) type Entry = (Target, SystemTime);

/// What the HTTP side needs to know.
#[derive(Debug)]
pub(crate) struct Revocations {
    /// One change at a time, so that the file holds the last one.
    store: Mutex<Store>,
    /// Where a request says no time.
    lifetime: Duration,
}

/// Why somebody could not be revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevokeError {
    /// There are as many as there may be.
    #[error("there is no room for another revocation: take some back, or give them less time")]
    Full,
    /// It is going away.
    #[error("the coordinator is going away")]
    Ending,
    /// It holds, and will be forgotten.
    #[error("it holds, but only until the coordinator restarts")]
    NotStored(#[source] StoreError),
}

impl Revocations {
    pub(crate) fn new(store: Store, lifetime: Duration) -> Self {
        Self {
            store: Mutex::new(store),
            lifetime,
        }
    }

    /// From now on, for so long; returns when that is over. It holds at every server that is linked
    /// by the time that they have read what is sent to them, and is stored when this returns.
    pub(crate) async fn revoke(
        &self,
        shared: &Shared,
        target: Target,
        lasts: Duration,
    ) -> Result<SystemTime, RevokeError> {
        let store = self.store.lock().await;
        let until = SystemTime::now() + lasts.min(LASTS_MAX);
        let (answer, answered) = oneshot::channel();
        let command = Command::Revoke {
            target,
            until,
            answer,
        };
        let sent = shared.hub.send(command).await;
        sent.map_err(|_ended| RevokeError::Ending)?;
        let room = answered.await.map_err(|_ended| RevokeError::Ending)?;
        if !room {
            return Err(RevokeError::Full);
        }
        let entries = list(shared).await.ok_or(RevokeError::Ending)?;
        store.save(entries).await.map_err(RevokeError::NotStored)?;
        Ok(until)
    }
}

/// All that hold now.
async fn list(shared: &Shared) -> Option<Vec<Entry>> {
    let (answer, answered) = oneshot::channel();
    let command = Command::Revocations { answer };
    shared.hub.send(command).await.ok()?;
    answered.await.ok()
}

/// `POST /v1/admin/revoke`
pub(crate) async fn post(
    State(shared): State<Arc<Shared>>,
    request: Result<Json<Request>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(rejection) => return refuse(rejection.status(), &rejection.body_text()),
    };
    let target = match request.target() {
        Ok(target) => target,
        Err(wrong) => return refuse(StatusCode::BAD_REQUEST, wrong),
    };
    let revocations = &shared.revocations;
    let lasts = request.for_s.map(Duration::from_secs);
    let lasts = lasts.unwrap_or(revocations.lifetime);
    match revocations.revoke(&shared, target.clone(), lasts).await {
        Ok(until) => {
            tracing::info!(kind = kind(&target), lasts_s = lasts.as_secs(), "revoked");
            Json(Line::of(&target, until)).into_response()
        }
        Err(error) => {
            let status = match &error {
                RevokeError::Full => StatusCode::INSUFFICIENT_STORAGE,
                RevokeError::Ending => StatusCode::SERVICE_UNAVAILABLE,
                RevokeError::NotStored(source) => {
                    tracing::error!(%source, "revocations cannot be stored");
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            };
            refuse(status, &error.to_string())
        }
    }
}

/// `GET /v1/admin/revocations`
pub(crate) async fn get(State(shared): State<Arc<Shared>>) -> Response {
    let Some(entries) = list(&shared).await else {
        let ending = RevokeError::Ending.to_string();
        return refuse(StatusCode::SERVICE_UNAVAILABLE, &ending);
    };
    let entries = entries.iter();
    let revocations = entries.map(|(target, until)| Line::of(target, *until));
    Json(Listed {
        revocations: revocations.collect(),
    })
    .into_response()
}

/// What a request says: one of the first three, and for how long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    subject: Option<String>,
    token_id: Option<String>,
    alias: Option<u64>,
    for_s: Option<u64>,
}

impl Request {
    fn target(&self) -> Result<Target, &'static str> {
        let named = |name: &str, bytes_max: usize| (1..=bytes_max).contains(&name.len());
        match (&self.subject, &self.token_id, self.alias) {
            (Some(name), None, None) if named(name, SUBJECT_BYTES_MAX) => {
                Ok(Target::Identity(Bytes::copy_from_slice(name.as_bytes())))
            }
            (None, Some(name), None) if named(name, TOKEN_ID_BYTES_MAX) => {
                Ok(Target::Token(name.as_str().into()))
            }
            (None, None, Some(alias)) if alias != 0 => Ok(Target::Alias(alias)),
            (Some(_), None, None) => Err("subject: expected 1 to 1024 bytes"),
            (None, Some(_), None) => Err("token_id: expected 1 to 256 bytes"),
            (None, None, Some(_)) => Err("alias: expected a number above 0"),
            _ => Err("expected one of subject, token_id and alias"),
        }
    }
}

#[derive(Serialize)]
struct Listed {
    revocations: Vec<Line>,
}

/// One revocation, as answers and the file have it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alias: Option<u64>,
    /// Seconds since 1970.
    until: u64,
}

impl Line {
    fn of(target: &Target, until: SystemTime) -> Self {
        let until = until.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut line = Self {
            // Rounded up, as on the wire.
            until: until.as_secs() + u64::from(until.subsec_nanos() > 0),
            ..Self::default()
        };
        match target {
            // Names come as text, so what is revoked is text.
            Target::Identity(name) => line.subject = Some(String::from_utf8_lossy(name).into()),
            Target::Token(name) => line.token_id = Some((**name).into()),
            Target::Alias(alias) => line.alias = Some(*alias),
        }
        line
    }

    fn entry(self) -> Result<Entry, &'static str> {
        let until = UNIX_EPOCH.checked_add(Duration::from_secs(self.until));
        let until = until.ok_or("until: not a time")?;
        let request = Request {
            subject: self.subject,
            token_id: self.token_id,
            alias: self.alias,
            for_s: None,
        };
        Ok((request.target()?, until))
    }
}

const fn kind(target: &Target) -> &'static str {
    match target {
        Target::Identity(_) => "subject",
        Target::Token(_) => "token_id",
        Target::Alias(_) => "alias",
    }
}

fn refuse(status: StatusCode, error: &str) -> Response {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'a str,
    }
    (status, Json(Refusal { error })).into_response()
}

/// As long as an identity may be at a commserver.
const SUBJECT_BYTES_MAX: usize = 1_024;

/// Ten years: as good as for ever.
const LASTS_MAX: Duration = Duration::from_hours(10 * 365 * 24);
