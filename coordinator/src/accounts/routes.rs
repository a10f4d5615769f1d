//! `/v1/auth/…`: register, unregister and log in, over HTTP with JSON.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use proto::revocation::Target;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Accounts, Key, Refused, Registration,
    metrics::{Outcome, Request},
};
use crate::{Shared, admin, token};

/// Adds the paths, where there are registered clients.
pub(crate) fn add(router: Router<Arc<Shared>>, accounts: Option<&Accounts>) -> Router<Arc<Shared>> {
    if accounts.is_none() {
        return router;
    }
    let paths = Router::new()
        .route(REGISTER, post(register))
        .route(UNREGISTER, post(unregister))
        .route(LOGIN, post(login))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    router.merge(paths)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Register {
    #[serde(rename = "clientID")]
    client: String,
    auth_key: String,
    publish: Option<Vec<String>>,
    subscribe: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unregister {
    #[serde(rename = "clientID")]
    client: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Login {
    #[serde(rename = "clientID")]
    client: String,
    auth_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(rename = "clientID", skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bearer_token: Option<&'a str>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    code: String,
}

async fn register(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let register = async |accounts: &Accounts| {
        let asked: Register = read(&body)?;
        let operator = admin::shows_secret(&shared, &headers);
        let shown = token::bearer(&headers).is_some();
        // What is shown and is wrong is no request of somebody who shows nothing.
        if !operator && (shown || !accounts.0.config.self_registration) {
            return Err(Problem::Unauthenticated);
        }
        if !operator && (asked.publish.is_some() || asked.subscribe.is_some()) {
            return Err(Problem::Forbidden(
                "only the operator says what somebody may",
            ));
        }
        let client = asked.client.clone();
        let new = Registration {
            client: asked.client,
            key: Key(asked.auth_key),
            publish: asked.publish,
            subscribe: asked.subscribe,
        };
        accounts.register(new).await?;
        let answer = Answer {
            client: Some(&client),
            ..Answer::with(StatusCode::CREATED)
        };
        Ok((StatusCode::CREATED, Json(answer)).into_response())
    };
    finish(&shared, Request::Register, register).await
}

async fn unregister(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let unregister = async |accounts: &Accounts| {
        let asked: Unregister = read(&body)?;
        if !admin::shows_secret(&shared, &headers) {
            let itself = accounts.of_token(&token::bearer(&headers).unwrap_or_default());
            let itself = itself.ok_or(Problem::Unauthenticated)?;
            if itself != asked.client.as_bytes() {
                return Err(Problem::Forbidden("a client may unregister itself alone"));
            }
        }
        let client = asked.client.clone();
        let token_id = accounts.unregister(asked.client).await?;
        close(&shared, accounts, client, token_id).await;
        Ok(Json(Answer::with(StatusCode::OK)).into_response())
    };
    finish(&shared, Request::Unregister, unregister).await
}

/// Ends what a client that has gone has open here and at the servers: by its name those that are
/// there, and by the name of its token those that cannot be told just now.
async fn close(shared: &Shared, accounts: &Accounts, client: String, token_id: Option<Arc<str>>) {
    let name = Target::Identity(client.into_bytes().into());
    let token = token_id.map(|id| (Target::Token(id), accounts.0.config.token_lifetime));
    for (target, lasts) in [(name, GONE)].into_iter().chain(token) {
        if let Err(error) = shared.revocations.revoke(shared, target, lasts).await {
            tracing::warn!(%error, "a client has gone, and what it has open may stay");
        }
    }
}

async fn login(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let login = async |accounts: &Accounts| {
        let asked: Login = read(&body)?;
        let login = accounts.login(asked.client, Key(asked.auth_key)).await?;
        let answer = Answer {
            bearer_token: Some(&login.token),
            expires: Some(login.until.0),
            ..Answer::with(StatusCode::OK)
        };
        let headers = [(header::CACHE_CONTROL, "no-store")];
        Ok((headers, Json(answer)).into_response())
    };
    finish(&shared, Request::Login, login).await
}

async fn finish(
    shared: &Shared,
    request: Request,
    job: impl AsyncFnOnce(&Accounts) -> Result<Response, Problem>,
) -> Response {
    let Some(accounts) = &shared.accounts else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (response, outcome) = match job(accounts).await {
        Ok(response) => (response, Outcome::Done),
        Err(problem) => {
            if let Problem::Refused(Refused::Store(error)) = &problem {
                tracing::error!(%error, "the store of registered clients does not work");
            }
            let outcome = problem.outcome();
            (problem.into_response(), outcome)
        }
    };
    accounts.note(request, outcome);
    response
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // What serde says may quote what it read.
    serde_json::from_slice(body).map_err(|_| Problem::Body)
}

/// Why a request is refused.
enum Problem {
    Body,
    Unauthenticated,
    Forbidden(&'static str),
    Refused(Refused),
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Problem {
    const fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(Refused::Busy) => Outcome::Busy,
            Self::Refused(Refused::Store(_)) => Outcome::Failed,
            _ => Outcome::Refused,
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Body => StatusCode::BAD_REQUEST,
            Self::Unauthenticated | Self::Refused(Refused::Wrong) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Refused(refused) => match refused {
                Refused::Taken => StatusCode::CONFLICT,
                Refused::Unknown => StatusCode::NOT_FOUND,
                Refused::Full => StatusCode::INSUFFICIENT_STORAGE,
                Refused::Busy => StatusCode::TOO_MANY_REQUESTS,
                Refused::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::BAD_REQUEST,
            },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let error = match self {
            Self::Body => {
                "expected a JSON object with the fields of this request, and no others".into()
            }
            Self::Unauthenticated => "expected Authorization: Bearer, with what allows this".into(),
            Self::Forbidden(why) => why.into(),
            // The file's own trouble is the operator's.
            Self::Refused(Refused::Store(_)) => "not just now".into(),
            Self::Refused(refused) => refused.to_string(),
        };
        let answer = Answer {
            error: Some(error),
            ..Answer::with(status)
        };
        let mut response = (status, Json(answer)).into_response();
        let header = match status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, "5")),
            _ => None,
        };
        if let Some((name, value)) = header {
            let value = header::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl Answer<'_> {
    fn with(status: StatusCode) -> Self {
        Self {
            client: None,
            bearer_token: None,
            expires: None,
            error: None,
            code: status.as_u16().to_string(),
        }
    }
}

pub(crate) const REGISTER: &str = "/v1/auth/register";
pub(crate) const UNREGISTER: &str = "/v1/auth/unregister";
pub(crate) const LOGIN: &str = "/v1/auth/login";

/// A name, a key, and more filters than fit into a token.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Time for every server to read it. Then the name may be somebody else's.
const GONE: Duration = Duration::from_secs(10);
