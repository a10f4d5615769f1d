//! Refusals that a page can see: a page is never told the HTTP status of a refused upgrade, so
//! those that negotiated the subprotocol are upgraded first, and told then.

use auth::Refusal;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use proto::Reason;
use serde::Serialize;

/// What the authenticator's answer is on the wire.
pub(crate) const fn reason(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::Missing | Refusal::Invalid => Reason::Unauthenticated,
        Refusal::Forbidden => Reason::Forbidden,
        Refusal::Unavailable => Reason::AuthUnavailable,
    }
}

/// A refusal without an upgrade.
pub(crate) fn response(reason: Reason) -> Response {
    let status = match reason {
        Reason::UnknownRole => StatusCode::BAD_REQUEST,
        Reason::Unauthenticated => StatusCode::UNAUTHORIZED,
        Reason::Forbidden | Reason::OriginForbidden => StatusCode::FORBIDDEN,
        Reason::TooManyFromAddress => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = Body {
        code: reason.number(),
        name: reason.name(),
        text: reason.text(),
        retryable: reason.retryable(),
    };
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

#[derive(Serialize)]
struct Body {
    code: u16,
    name: &'static str,
    text: &'static str,
    retryable: bool,
}
