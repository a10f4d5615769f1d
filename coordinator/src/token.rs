//! Where tokens may stand in the request for a WebSocket.

use axum::{
    extract::Query,
    http::{HeaderMap, Uri, header},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proto::{RESUME_SUBPROTOCOL_PREFIX, SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX};

/// The token that says who it is: from `Authorization: Bearer`, else from the subprotocol list, else from `?token=`.
pub(crate) fn find(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    bearer(headers)
        .or_else(|| in_subprotocols(headers))
        .or_else(|| query(uri, "token"))
}

/// The token of the session before, from the subprotocol list.
pub(crate) fn resume(headers: &HeaderMap) -> Option<&str> {
    subprotocols(headers).find_map(|entry| entry.strip_prefix(RESUME_SUBPROTOCOL_PREFIX))
}

/// The first value of a query parameter.
pub(crate) fn query(uri: &Uri, name: &str) -> Option<String> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    let mut pairs = pairs.into_iter();
    pairs.find_map(|(key, value)| (key == name).then_some(value))
}

/// Whether the subprotocol of ours was offered.
pub(crate) fn offers_ours(headers: &HeaderMap) -> bool {
    subprotocols(headers).any(|entry| entry == SUBPROTOCOL)
}

/// What stands in `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().into())
}

fn in_subprotocols(headers: &HeaderMap) -> Option<String> {
    let encoded =
        subprotocols(headers).find_map(|entry| entry.strip_prefix(TOKEN_SUBPROTOCOL_PREFIX))?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok()
}

fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        let parse = |value: &str| value.parse().expect("a header value");
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), parse(value)))
            .collect()
    }

    fn found(path: &'static str, pairs: &[(header::HeaderName, &str)]) -> Option<String> {
        find(&Uri::from_static(path), &headers(pairs))
    }

    #[test]
    fn each_place_is_looked_at_in_order() {
        let in_header = (header::AUTHORIZATION, "bearer  one");
        // base64url of `t?>wo`, which has a character of each kind that base64 writes differently.
        let in_list = (
            header::SEC_WEBSOCKET_PROTOCOL,
            "webrtc-broker.1, token.dD8-d28",
        );
        let path = "/connect?x=1&token=thr%20ee&token=four";
        let all = [in_header, in_list.clone()];
        assert_eq!(found(path, &all).as_deref(), Some("one"));
        assert_eq!(found(path, &[in_list]).as_deref(), Some("t?>wo"));
        assert_eq!(found(path, &[]).as_deref(), Some("thr ee"));
        assert_eq!(found("/connect", &[]), None);
    }

    #[test]
    fn what_cannot_be_read_is_no_token() {
        for list in ["token.", "token.***", "token._w", "tokens.YQ"] {
            let list = [(header::SEC_WEBSOCKET_PROTOCOL, list)];
            let token = found("/connect", &list);
            assert!(token.is_none_or(|token| token.is_empty()), "{list:?}");
        }
        let basic = [(header::AUTHORIZATION, "Basic YTpi")];
        assert_eq!(found("/connect", &basic), None);
        assert_eq!(found("/connect?token", &[]).as_deref(), Some(""));
        assert!(found("/connect?token=%ff%zz&&=", &[]).is_some());
    }

    #[test]
    fn the_token_of_the_session_before_stands_in_the_list() {
        for (list, expected) in [
            ("webrtc-broker.1, resume.a.b-c._d", Some("a.b-c._d")),
            ("resume., webrtc-broker.1", Some("")),
            ("webrtc-broker.1, token.resume.x, resumed.x", None),
        ] {
            let headers = headers(&[(header::SEC_WEBSOCKET_PROTOCOL, list)]);
            assert_eq!(resume(&headers), expected, "{list}");
        }
    }

    #[test]
    fn the_subprotocol_is_found_in_any_place_of_the_list() {
        for (list, ours) in [
            ("webrtc-broker.1", true),
            ("token.YQ,webrtc-broker.1", true),
            ("webrtc-broker.10", false),
            ("", false),
        ] {
            let headers = headers(&[(header::SEC_WEBSOCKET_PROTOCOL, list)]);
            assert_eq!(offers_ours(&headers), ours, "{list}");
        }
        assert!(!offers_ours(&HeaderMap::new()));
    }
}
