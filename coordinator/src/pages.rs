//! Static pages: in memory, given at the start, with headers that keep others out of them.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Router,
    http::{HeaderName, header},
    routing::get,
};

use crate::{BindError, Page, Shared, routes::ENDPOINTS};

/// Each page has a path of its own. The paths are taken literally: none may look like a pattern.
pub(crate) fn check(pages: &[Page]) -> Result<(), BindError> {
    let mut taken: BTreeSet<&str> = ENDPOINTS.into();
    for Page { path, .. } in pages {
        let literal = path.starts_with('/') && !path.contains(['{', '}', '?', '#']);
        if !literal || !taken.insert(path) {
            let path = path.clone();
            return Err(BindError::PagePath { path });
        }
    }
    Ok(())
}

pub(crate) fn route(router: Router<Arc<Shared>>, page: Page) -> Router<Arc<Shared>> {
    let headers = [
        (header::CONTENT_TYPE, page.content_type),
        (header::X_FRAME_OPTIONS, "DENY".into()),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin".into(),
        ),
        (header::CONTENT_SECURITY_POLICY, POLICY.into()),
        (header::REFERRER_POLICY, "no-referrer".into()),
        (header::CACHE_CONTROL, "no-cache".into()),
    ];
    let body = page.body;
    router.route(
        &page.path,
        get(async move || (headers.clone(), body.clone())),
    )
}

/// Scripts from here alone; WebSockets anywhere, because a page may be pointed at another
/// coordinator.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: blob:; \
                      style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str) -> Page {
        Page {
            path: path.into(),
            content_type: "text/plain".into(),
            body: "hi".into(),
        }
    }

    #[test]
    fn paths_are_their_own() {
        assert!(check(&[page("/"), page("/app.js"), page("/a/b")]).is_ok());
        for paths in [&["/connect"][..], &["/", "/"], &["a"], &["/{a}"], &[""]] {
            let pages: Vec<Page> = paths.iter().map(|path| page(path)).collect();
            assert!(check(&pages).is_err(), "{paths:?}");
        }
    }
}
