//! Pages of which sites may come here. A browser says of which site a page is (`Origin`), and no
//! page can change that; programs say nothing, and are not asked.
//!
//! No cookie is looked at anywhere, so a page of a strange site can do nothing without a token that
//! its visitor gave to it. That is why every site may come unless the operator lists some.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use settings::Value;

use crate::Shared;

/// Whose pages may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(Vec<Origin>);

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Any,
    /// `https://app.example`, as browsers write it; or `null`, which they write for files.
    One(String),
}

impl Origins {
    /// Every site's.
    #[must_use]
    pub fn any() -> Self {
        Self(vec![Origin::Any])
    }

    /// Whether a request may come. Pages that this coordinator serves always may.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        headers
            .get(header::ORIGIN)
            .is_none_or(|origin| self.lists(origin) || is_own(origin, headers))
    }

    fn lists(&self, origin: &HeaderValue) -> bool {
        self.0.iter().any(|entry| match entry {
            Origin::Any => true,
            Origin::One(listed) => origin.as_bytes().eq_ignore_ascii_case(listed.as_bytes()),
        })
    }
}

/// Whether the page came from where the request goes.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin.to_str().ok();
    let authority = origin.and_then(|origin| origin.split_once("://"));
    let host = headers.get(header::HOST);
    authority.is_some_and(|(_, authority)| host.is_some_and(|host| host == authority))
}

impl Value for Origins {
    fn parse(text: &str) -> Result<Self, String> {
        Vec::<Origin>::parse(text).map(Self)
    }

    fn show(&self) -> String {
        self.0.show()
    }
}

impl Value for Origin {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "*" => Ok(Self::Any),
            text if text == "null" || is_origin(text) => Ok(Self::One(text.to_ascii_lowercase())),
            _ => Err("origins such as https://app.example, without a path; or *".into()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Any => "*".to_string().show(),
            Self::One(origin) => origin.show(),
        }
    }
}

fn is_origin(text: &str) -> bool {
    let uri: Option<axum::http::Uri> = text.parse().ok();
    uri.is_some_and(|uri| {
        let scheme = uri.scheme_str().unwrap_or_default();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let whole = format!("{scheme}://{authority}");
        !authority.is_empty() && !authority.contains('@') && whole.eq_ignore_ascii_case(text)
    })
}

/// Tells browsers which pages may read what is answered (CORS), and answers when they ask first.
pub(crate) async fn cors(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let allowed = origin.filter(|_| shared.origins.allow(request.headers()));
    let asks_first = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks_first {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if asks_first {
            for (name, value) in PREFLIGHT {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
    }
    response
}

/// What a page may ask with. Cookies are not among it.
const PREFLIGHT: [(header::HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "authorization, content-type",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&'static str>) -> HeaderMap {
        let host = (
            header::HOST,
            HeaderValue::from_static("broker.example:9090"),
        );
        let origin = origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin)));
        std::iter::once(host).chain(origin).collect()
    }

    #[test]
    fn pages_come_from_where_they_may() {
        let listed = Origins::parse("https://app.example, http://localhost:3000").expect("a list");
        for (origin, allowed) in [
            (None, true),
            (Some("https://app.example"), true),
            (Some("HTTPS://app.example"), true),
            (Some("http://localhost:3000"), true),
            (Some("https://broker.example:9090"), true),
            (Some("http://app.example"), false),
            (Some("https://app.example:8443"), false),
            (Some("https://app.example.evil"), false),
            (Some("https://broker.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            let headers = headers(origin);
            assert_eq!(listed.allow(&headers), allowed, "{origin:?}");
            assert!(Origins::any().allow(&headers), "{origin:?}");
        }
        let none = Origins::parse("").expect("an empty list");
        assert!(!none.allow(&headers(Some("https://app.example"))));
        assert!(none.allow(&headers(Some("https://broker.example:9090"))));
    }

    #[test]
    fn an_origin_has_its_form() {
        for good in [
            "*",
            "null",
            "https://app.example",
            "http://[::1]:80",
            "capacitor://localhost",
        ] {
            assert!(Origin::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "app.example",
            "https://app.example/",
            "https://a/b",
            "https://*.a b",
            "//a",
            "https://u@a",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Origins::any().show(), "[\"*\"]");
    }
}
