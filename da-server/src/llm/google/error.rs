//! Errors as Google reports them (`google.rpc.Status`): a number, a name and a sentence, with details
//! that have types of their own; and prompts that are refused with HTTP 200 and no answer.
//!
//! The sentence is searched, and not kept: it may quote the prompt or the key.

use reqwest::StatusCode;
use serde_json::Value;

use crate::provider::{ErrorCode, ErrorKind, ReportedError};

/// What the body of an answer other than HTTP 200 says.
pub(super) fn in_body(body: &[u8]) -> ReportedError {
    let Ok(body) = serde_json::from_slice(body) else { return ReportedError::UNKNOWN };
    in_chunk(&body).unwrap_or(ReportedError::UNKNOWN)
}

/// The error that a part of a response reports, or the refusal of the prompt, if there is either.
pub(super) fn in_chunk(chunk: &Value) -> Option<ReportedError> {
    // Errors of streams come in a list.
    let chunk = if chunk.is_array() { &chunk[0] } else { chunk };
    match &chunk["error"] {
        Value::Null | Value::Bool(false) => refused_prompt(chunk),
        Value::String(text) if text.is_empty() => refused_prompt(chunk),
        error => Some(read(error)),
    }
}

/// The same prompt will be refused again, so this is no answer that is only empty.
fn refused_prompt(chunk: &Value) -> Option<ReportedError> {
    let reason = chunk["promptFeedback"]["blockReason"].as_str()?;
    let candidates = chunk["candidates"].as_array().map_or(0, Vec::len);
    (candidates == 0).then(|| ReportedError { kind: Some(ErrorKind::Refusal), code: code(reason) })
}

fn read(error: &Value) -> ReportedError {
    let status = error["status"].as_str().unwrap_or_default();
    let reason = details(error).find_map(|detail| detail["reason"].as_str());
    let kind = if is_about_the_key(error, reason) {
        Some(ErrorKind::Authentication)
    } else if is_used_up(error, reason) {
        Some(ErrorKind::Quota)
    } else {
        http_status(error).map(ErrorKind::from_status).or_else(|| kind(status))
    };
    ReportedError { kind, code: reason.and_then(code).or_else(|| code(status)) }
}

/// Comes as HTTP 400, like everything else about a request that is not right.
fn is_about_the_key(error: &Value, reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| reason.starts_with("API_KEY_"))
        || ["API key not valid", "API key expired"].iter().any(|words| says(error, words))
}

/// Comes as HTTP 429, like a rate limit, but waiting does not help: what is paid for, or the day's
/// share, is gone.
fn is_used_up(error: &Value, reason: Option<&str>) -> bool {
    let mut violations =
        details(error).filter_map(|detail| detail["violations"].as_array()).flatten();
    reason == Some("QUOTA_EXHAUSTED")
        || violations.any(|of| of["quotaId"].as_str().is_some_and(|id| id.contains("PerDay")))
        || ["credits are depleted", "spending cap"].iter().any(|words| says(error, words))
}

fn says(error: &Value, words: &str) -> bool {
    error["message"].as_str().is_some_and(|message| message.contains(words))
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    error["details"].as_array().into_iter().flatten()
}

fn http_status(error: &Value) -> Option<StatusCode> {
    let number = u16::try_from(error["code"].as_u64()?).ok()?;
    let is_error = (400..600).contains(&number);
    StatusCode::from_u16(number).ok().filter(|_| is_error)
}

/// The names of `google.rpc.Code`, for those who leave the number out.
fn kind(status: &str) -> Option<ErrorKind> {
    Some(match status {
        "INVALID_ARGUMENT"
        | "FAILED_PRECONDITION"
        | "OUT_OF_RANGE"
        | "NOT_FOUND"
        | "ALREADY_EXISTS"
        | "UNIMPLEMENTED" => ErrorKind::InvalidRequest,
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => ErrorKind::Authentication,
        "RESOURCE_EXHAUSTED" => ErrorKind::RateLimited,
        "UNAVAILABLE" => ErrorKind::Overloaded,
        "INTERNAL" | "UNKNOWN" | "ABORTED" | "CANCELLED" | "DATA_LOSS" | "DEADLINE_EXCEEDED" => {
            ErrorKind::Server
        }
        _ => return None,
    })
}

/// Our codes are in lower case.
fn code(name: &str) -> Option<ErrorCode> {
    ErrorCode::new(&name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
