//! The dashboard's files, embedded in the program: nothing to install beside it, and no request to another host.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// Every file, by its name below `/assets/`.
const ASSETS: [Asset; 7] = [
    Asset {
        name: "dashboard.css",
        media_type: "text/css; charset=utf-8",
        body: include_bytes!("../../assets/dashboard.css"),
    },
    Asset {
        name: "dashboard.js",
        media_type: "text/javascript; charset=utf-8",
        body: include_bytes!("../../assets/dashboard.js"),
    },
    Asset {
        name: "favicon.svg",
        media_type: "image/svg+xml",
        body: include_bytes!("../../assets/favicon.svg"),
    },
    Asset {
        name: "vendor/htmx.min.js",
        media_type: "text/javascript; charset=utf-8",
        body: include_bytes!("../../assets/vendor/htmx.min.js"),
    },
    Asset {
        name: "vendor/htmx-sse.min.js",
        media_type: "text/javascript; charset=utf-8",
        body: include_bytes!("../../assets/vendor/htmx-sse.min.js"),
    },
    Asset {
        name: "vendor/uplot.min.css",
        media_type: "text/css; charset=utf-8",
        body: include_bytes!("../../assets/vendor/uplot.min.css"),
    },
    Asset {
        name: "vendor/uplot.min.js",
        media_type: "text/javascript; charset=utf-8",
        body: include_bytes!("../../assets/vendor/uplot.min.js"),
    },
];

/// Their entity tags in the same order: hashed once, because the files cannot change while the program runs.
static TAGS: LazyLock<[String; ASSETS.len()]> = LazyLock::new(|| ASSETS.map(|asset| asset.tag()));

#[derive(Clone, Copy)]
struct Asset {
    name: &'static str,
    media_type: &'static str,
    body: &'static [u8],
}

/// `GET /assets/{*name}`.
pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(place) = ASSETS.iter().position(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (asset, tag) = (&ASSETS[place], &TAGS[place]);
    // The names do not change from version to version, so a browser may keep a file but has to ask.
    let kept = [(header::ETAG, tag.as_str()), (header::CACHE_CONTROL, "no-cache")];
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    (kept, [(header::CONTENT_TYPE, asset.media_type)], asset.body).into_response()
}

impl Asset {
    fn tag(self) -> String {
        let hash = Sha256::digest(self.body);
        let digits: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("\"{digits}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_sent_once() {
        let first = asset(Path("dashboard.css".into()), HeaderMap::new()).await;
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], "text/css; charset=utf-8");

        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        let second = asset(Path("dashboard.css".into()), headers).await;
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    }

    #[tokio::test]
    async fn no_other_file_is_sent() {
        for name in ["", "vendor", "../Cargo.toml", "vendor/../dashboard.css"] {
            let answer = asset(Path(name.into()), HeaderMap::new()).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{name}");
        }
    }
}
