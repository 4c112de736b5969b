//! What OpenAI's protocols have in common, for language and for speech.
//!
//! Errors as OpenAI and its imitators word them: an object with type and code, where the code may be
//! an HTTP status; only a sentence; or all of it at the top. The sentence is left unread on purpose:
//! it may quote the key.

use reqwest::{StatusCode, Url};
use serde_json::Value;

use super::{ErrorCode, ErrorKind, ReportedError};

/// Whether the models at `base_url` are OpenAI's own: at its service, in whatever region, or at
/// Azure's.
pub(crate) fn is_original(base_url: &str) -> bool {
    let url = Url::parse(base_url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    host == "api.openai.com"
        || [".api.openai.com", ".openai.azure.com"].iter().any(|end| host.ends_with(end))
}

/// The error that a chunk of a stream reports, if it does.
pub(crate) fn in_chunk(chunk: &Value) -> Option<ReportedError> {
    match &chunk["error"] {
        Value::Object(_) => Some(read(&chunk["error"])),
        Value::Null | Value::Bool(false) if chunk["object"] != "error" => None,
        Value::String(text) if text.is_empty() => None,
        _ => Some(read(chunk)),
    }
}

/// What the body of an answer other than HTTP 200 says; at least one server puts it into a list.
pub(crate) fn in_body(body: &[u8]) -> ReportedError {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return ReportedError::UNKNOWN };
    let body = if body.is_array() { &body[0] } else { &body };
    in_chunk(body).unwrap_or(ReportedError::UNKNOWN)
}

fn read(error: &Value) -> ReportedError {
    let class = error["type"].as_str();
    let status_code = status(&error["code"]);
    let code = error["code"].as_str().filter(|_| status_code.is_none()).or(class);
    let status = status_code.or_else(|| status(&error["status"]));
    let kind = match (code, class) {
        // Comes as HTTP 429, but waiting does not help.
        (Some("insufficient_quota"), _) | (_, Some("insufficient_quota")) => Some(ErrorKind::Quota),
        // Azure's filter adds the status, and OpenAI's own comes as `invalid_request_error`.
        (Some("content_filter" | "content_policy_violation"), _) => Some(ErrorKind::Refusal),
        (Some("invalid_api_key"), _) => Some(ErrorKind::Authentication),
        (Some("rate_limit_exceeded"), _) => Some(ErrorKind::RateLimited),
        _ if status.is_some() => status.map(ErrorKind::from_status),
        (_, Some("invalid_request_error")) => Some(ErrorKind::InvalidRequest),
        (_, Some("authentication_error" | "permission_error")) => Some(ErrorKind::Authentication),
        (_, Some("rate_limit_error")) => Some(ErrorKind::RateLimited),
        (_, Some("overloaded_error")) => Some(ErrorKind::Overloaded),
        (_, Some("server_error")) => Some(ErrorKind::Server),
        _ => None,
    };
    let status = status.map(|status| status.as_str().to_owned());
    ReportedError { kind, code: code.or(status.as_deref()).and_then(ErrorCode::new) }
}

/// An HTTP status of an error, as a number or in a string.
fn status(code: &Value) -> Option<StatusCode> {
    let number = match code {
        Value::String(text) => text.parse().ok()?,
        code => u16::try_from(code.as_u64()?).ok()?,
    };
    let is_error = (400..600).contains(&number);
    StatusCode::from_u16(number).ok().filter(|_| is_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_are_openais_own_in_each_of_its_regions() {
        for url in [
            "https://api.openai.com/v1",
            "https://eu.api.openai.com/v1/",
            "https://mine.openai.azure.com/openai/v1",
        ] {
            assert!(is_original(url), "{url}");
        }
        for url in ["http://localhost:11434/v1", "https://openai.example.com/v1", "nonsense"] {
            assert!(!is_original(url), "{url}");
        }
    }
}
