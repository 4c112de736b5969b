//! The page: a few files that are part of the program.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

/// The page loads only what comes with it, talks only to its own server, plays only audio that it
/// was handed, and can't be put into a frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; media-src blob:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [(&str, &str, &str); 5] = [
    ("/", "text/html; charset=utf-8", include_str!("../../web/index.html")),
    ("/app.js", JAVASCRIPT, include_str!("../../web/app.js")),
    ("/connection.js", JAVASCRIPT, include_str!("../../web/connection.js")),
    ("/voice.js", JAVASCRIPT, include_str!("../../web/voice.js")),
    ("/style.css", "text/css; charset=utf-8", include_str!("../../web/style.css")),
];

/// `/` and what it needs.
pub(super) fn router() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (path, content_type, text)| {
        let tag = entity_tag(text);
        let answer =
            move |headers: HeaderMap| async move { file(&headers, tag, content_type, text) };
        router.route(path, get(answer))
    })
}

fn file(
    headers: &HeaderMap,
    tag: HeaderValue,
    content_type: &'static str,
    text: &'static str,
) -> Response {
    let unchanged = headers.get(header::IF_NONE_MATCH) == Some(&tag);
    let common: [(HeaderName, HeaderValue); 5] = [
        (header::ETAG, tag),
        // Ask each time, and load again only what a new version of the server changed.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    if unchanged {
        (StatusCode::NOT_MODIFIED, common).into_response()
    } else {
        (common, [(header::CONTENT_TYPE, content_type)], text).into_response()
    }
}

fn entity_tag(text: &str) -> HeaderValue {
    let hash = Sha256::digest(text.as_bytes());
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}
