//! The token that may be asked for before metrics and calls are shown.

use std::fmt;

use anyhow::{Context, ensure};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::ApiError;
use crate::config::MetricsConfig;

/// `routes`, for whoever has the token; for everyone where there is none.
pub(super) fn protect(routes: Router, token: Option<BearerToken>) -> Router {
    match token {
        None => routes,
        Some(token) => routes.route_layer(from_fn_with_state(token, admit)),
    }
}

async fn admit(State(token): State<BearerToken>, request: Request, next: Next) -> Response {
    if token.admits(request.headers()) {
        next.run(request).await
    } else {
        ApiError::unauthorized().into_response()
    }
}

/// What `Authorization: Bearer` must carry. Never shown, not even by `Debug`.
#[derive(Clone)]
pub(super) struct BearerToken(String);

impl BearerToken {
    /// The token in the configured file, `None` where no file is configured.
    ///
    /// # Errors
    /// The file can't be read, or holds nothing: an empty token must not open the door.
    pub(super) fn configured(config: &MetricsConfig) -> anyhow::Result<Option<Self>> {
        let Some(path) = &config.bearer_token_file else { return Ok(None) };
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("can't read metrics.bearer_token_file {shown}"))?;
        let token = text.trim();
        ensure!(!token.is_empty(), "metrics.bearer_token_file {shown} is empty");
        Ok(Some(Self(token.to_owned())))
    }

    /// Compares in constant time, so that the time of a refusal says nothing about the token.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let Some((scheme, sent)) = value.and_then(|value| value.split_at_checked(7)) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"bearer ") && self.0.as_bytes().ct_eq(sent).into()
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_admitted() {
        let token = BearerToken("s3cret".to_owned());
        let admits = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().expect("header"));
            token.admits(&headers)
        };
        assert!(admits("Bearer s3cret") && admits("bearer s3cret"));
        for wrong in ["Bearer s3cre", "Bearer s3crets", "Bearer ", "Basic s3cret", "s3cret", ""] {
            assert!(!admits(wrong), "{wrong:?}");
        }
        assert!(!token.admits(&HeaderMap::new()));
    }
}
