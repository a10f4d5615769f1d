//! The demo page and the browser client, embedded: what `web/dist` held when this was built.

use bytes::Bytes;
use coordinator::Page;

/// Everything that the page needs, by path.
pub(crate) fn plaza() -> Vec<Page> {
    FILES.iter().map(page).collect()
}

struct File {
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

fn page(file: &File) -> Page {
    Page {
        path: file.path.into(),
        content_type: file.content_type.into(),
        body: Bytes::from_static(file.body),
    }
}

const FILES: [File; 4] = [
    File {
        path: "/",
        content_type: "text/html; charset=utf-8",
        body: include_bytes!("../../web/dist/demo/index.html"),
    },
    File {
        path: "/demo.js",
        content_type: "text/javascript; charset=utf-8",
        body: include_bytes!("../../web/dist/demo/demo.js"),
    },
    File {
        path: "/demo.css",
        content_type: "text/css; charset=utf-8",
        body: include_bytes!("../../web/dist/demo/demo.css"),
    },
    File {
        path: "/broker-client.js",
        content_type: "text/javascript; charset=utf-8",
        body: include_bytes!("../../web/dist/broker-client.js"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_refers_to_nothing_that_is_missing() {
        let html = std::str::from_utf8(FILES[0].body).expect("UTF-8");
        for attribute in html.split(['"', ' ', '>']).collect::<Vec<_>>().windows(2) {
            if attribute[0] == "src=" || attribute[0] == "href=" {
                let local = attribute[1];
                let known = local.starts_with('#')
                    || local.starts_with("data:")
                    || FILES
                        .iter()
                        .any(|file| file.path.trim_start_matches('/') == local);
                assert!(known, "{local} is not embedded");
            }
        }
        assert!(html.contains("demo.js") && html.contains("demo.css"));
    }
}
