//! The pages: a few files that are part of the program.

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

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// Path, media type and text.
type File = (&'static str, &'static str, &'static str);

const GAME: [File; 7] = [
    ("/", HTML, include_str!("../../web/index.html")),
    ("/app.js", JAVASCRIPT, include_str!("../../web/app.js")),
    ("/clip.js", JAVASCRIPT, include_str!("../../web/clip.js")),
    ("/connection.js", JAVASCRIPT, include_str!("../../web/connection.js")),
    ("/mp3.js", JAVASCRIPT, include_str!("../../web/mp3.js")),
    ("/voice.js", JAVASCRIPT, include_str!("../../web/voice.js")),
    ("/style.css", CSS, include_str!("../../web/style.css")),
];

const CALLS: [File; 14] = [
    ("/calls", HTML, include_str!("../../web/calls/list.html")),
    ("/calls/{id}", HTML, include_str!("../../web/calls/call.html")),
    ("/calls/api.js", JAVASCRIPT, include_str!("../../web/calls/api.js")),
    ("/calls/call.js", JAVASCRIPT, include_str!("../../web/calls/call.js")),
    ("/calls/dom.js", JAVASCRIPT, include_str!("../../web/calls/dom.js")),
    ("/calls/entry.js", JAVASCRIPT, include_str!("../../web/calls/entry.js")),
    ("/calls/facts.js", JAVASCRIPT, include_str!("../../web/calls/facts.js")),
    ("/calls/format.js", JAVASCRIPT, include_str!("../../web/calls/format.js")),
    ("/calls/list.js", JAVASCRIPT, include_str!("../../web/calls/list.js")),
    ("/calls/phases.js", JAVASCRIPT, include_str!("../../web/calls/phases.js")),
    ("/calls/table.js", JAVASCRIPT, include_str!("../../web/calls/table.js")),
    ("/calls/under_way.js", JAVASCRIPT, include_str!("../../web/calls/under_way.js")),
    ("/calls/waterfall.js", JAVASCRIPT, include_str!("../../web/calls/waterfall.js")),
    ("/calls/style.css", CSS, include_str!("../../web/calls/style.css")),
];

/// `/` and what it needs.
pub(super) fn game() -> Router {
    router(&GAME)
}

/// `/calls`, one call's page, and what they need. There is nothing of any call in them.
pub(super) fn calls() -> Router {
    router(&CALLS)
}

fn router(files: &[File]) -> Router {
    files.iter().fold(Router::new(), |router, &(path, content_type, text)| {
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
