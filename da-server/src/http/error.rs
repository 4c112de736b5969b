//! How a request is refused: a status, a code for programs and a sentence for people.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error response: `{"error": {"code": …, "message": …}}`.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    header: Option<(HeaderName, HeaderValue)>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message, header: None }
    }

    /// A refusal that is over in a moment.
    fn busy(code: &'static str, message: &'static str) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
        Self { header: Some((header::RETRY_AFTER, HeaderValue::from_static("1"))), ..error }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no page or API route at this path.")
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "This path does not support this HTTP method.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// `challenges` and `message` say what to send.
    pub(super) fn unauthorized(challenges: Option<HeaderValue>, message: &'static str) -> Self {
        let challenge = challenges.map(|challenges| (header::WWW_AUTHENTICATE, challenges));
        let error = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
        Self { header: challenge, ..error }
    }

    pub(super) fn too_many_passwords() -> Self {
        let message = "Too many login attempts are in progress; try again in a second.";
        Self::busy("too_many_passwords", message)
    }

    pub(super) fn origin_refused() -> Self {
        let message = "Pages of this origin may not connect; the operator can list it in websocket.allowed_origins.";
        Self::new(StatusCode::FORBIDDEN, "origin_refused", message)
    }

    pub(super) fn host_refused() -> Self {
        let message = "This server listens on a loopback address and only answers requests for a name of this \
                       machine, such as localhost. A proxy in front of it must send Host: localhost, and \
                       the requested host in X-Forwarded-Host; any other name must be listed in \
                       websocket.allowed_origins.";
        Self::new(StatusCode::FORBIDDEN, "host_refused", message)
    }

    pub(super) fn not_a_websocket() -> Self {
        let message = "This path takes WebSocket connections only.";
        Self::new(StatusCode::UPGRADE_REQUIRED, "not_a_websocket", message)
    }

    pub(super) fn invalid_query() -> Self {
        let message = "The query parameters are kind (llm, tts, db, other), provider, of (own, \
                       others), process, workload, outcome (success, ok, failed, or an error kind), min_ms, order (latest, \
                       slowest) and limit (1 to 500).";
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", message)
    }

    pub(super) fn call_not_found() -> Self {
        let message = "There is no call with this id, or it is no longer kept.";
        Self::new(StatusCode::NOT_FOUND, "call_not_found", message)
    }

    pub(super) fn too_many_followers() -> Self {
        let message = "Too many clients follow the calls; try again later, or request /api/calls.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_followers", message)
    }

    pub(super) fn too_many_scrapes() -> Self {
        let message = "Too many scrapes are in progress; try again in a second.";
        Self::busy("too_many_scrapes", message)
    }

    pub(super) fn shutting_down() -> Self {
        Self::busy("shutting_down", "This server is shutting down; another one may answer.")
    }

    pub(super) fn internal() -> Self {
        let message = "The server failed to answer; its log has the reason.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().extend(self.header);
        response
    }
}
