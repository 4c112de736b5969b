use serde_json::json;

use super::*;

fn kind_and_code(error: Value) -> (Option<ErrorKind>, String) {
    let reported = in_body(json!({"error": error}).to_string().as_bytes());
    let code = reported.code.map(|code| code.as_str().to_owned());
    (reported.kind, code.unwrap_or_default())
}

fn detail(name: &str, mut detail: Value) -> Value {
    detail["@type"] = json!(format!("type.googleapis.com/google.rpc.{name}"));
    detail
}

fn violation(quota: &str) -> Value {
    let violation = json!({"quotaMetric": "generativelanguage.googleapis.com/requests",
        "quotaId": quota, "quotaValue": "250"});
    detail("QuotaFailure", json!({"violations": [violation]}))
}

fn exhausted(message: &str, details: Value) -> Value {
    json!({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": message, "details": details})
}

#[test]
fn the_number_says_what_it_is() {
    for (code, status, kind) in [
        (400, "INVALID_ARGUMENT", ErrorKind::InvalidRequest),
        (400, "FAILED_PRECONDITION", ErrorKind::InvalidRequest),
        (401, "UNAUTHENTICATED", ErrorKind::Authentication),
        (403, "PERMISSION_DENIED", ErrorKind::Authentication),
        (404, "NOT_FOUND", ErrorKind::InvalidRequest),
        (429, "RESOURCE_EXHAUSTED", ErrorKind::RateLimited),
        (500, "INTERNAL", ErrorKind::Server),
        (503, "UNAVAILABLE", ErrorKind::Overloaded),
        (504, "DEADLINE_EXCEEDED", ErrorKind::Server),
    ] {
        let expected = (Some(kind), status.to_lowercase());
        let error = json!({"code": code, "status": status, "message": "private"});
        assert_eq!(kind_and_code(error), expected);
        assert_eq!(
            kind_and_code(json!({"status": status})),
            expected,
            "or the name, without a number"
        );
    }
    assert_eq!(kind_and_code(json!({"status": "A_NAME_OF_THE_FUTURE"})).0, None);
}

#[test]
fn a_refused_key_is_told_from_other_bad_requests() {
    let refused = |message: &str, details: Value| {
        kind_and_code(json!({"code": 400, "status": "INVALID_ARGUMENT", "message": message,
            "details": details}))
    };
    let info =
        detail("ErrorInfo", json!({"reason": "API_KEY_INVALID", "domain": "googleapis.com"}));
    let authentication = Some(ErrorKind::Authentication);
    assert_eq!(refused("", json!([info])), (authentication, "api_key_invalid".to_owned()));
    for message in ["API key not valid. Please pass a valid API key.", "API key expired."] {
        assert_eq!(refused(message, json!([])).0, authentication, "{message}");
    }
    let field = detail("BadRequest", json!({"fieldViolations": [{"field": "contents"}]}));
    assert_eq!(refused("contents", json!([field])).0, Some(ErrorKind::InvalidRequest));
}

#[test]
fn what_is_used_up_is_told_from_a_rate_limit() {
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    let minute = violation("GenerateContentInputTokensPerModelPerMinute-FreeTier");
    let day = violation("GenerateRequestsPerDayPerProjectPerModel-FreeTier");
    let exhausted = |message: &str, details: Value| kind_and_code(exhausted(message, details)).0;
    assert_eq!(exhausted(quota, json!([minute])), Some(ErrorKind::RateLimited));
    assert_eq!(exhausted(quota, json!([minute, day])), Some(ErrorKind::Quota));
    assert_eq!(exhausted(quota, json!(null)), Some(ErrorKind::RateLimited));
    let credits = "Your prepayment credits are depleted. Please go to AI Studio.";
    assert_eq!(exhausted(credits, json!(null)), Some(ErrorKind::Quota));
    let cap = "Your project has exceeded its monthly spending cap.";
    assert_eq!(exhausted(cap, json!(null)), Some(ErrorKind::Quota));
}

#[test]
fn errors_come_alone_or_in_a_list() {
    let error = json!({"error": {"code": 503, "status": "UNAVAILABLE"}});
    let alone = in_body(error.to_string().as_bytes());
    assert_eq!(alone.kind, Some(ErrorKind::Overloaded));
    assert_eq!(in_body(json!([error]).to_string().as_bytes()), alone);
}

#[test]
fn what_is_no_error_of_this_protocol_is_unknown() {
    for body in ["<html>502</html>", "", "null", "[]", "{}", r#"{"error":"busy"}"#] {
        assert_eq!(in_body(body.as_bytes()), ReportedError::UNKNOWN, "{body}");
    }
    for chunk in [json!({"error": null}), json!({"error": ""}), json!({"error": false})] {
        assert_eq!(in_chunk(&chunk), None, "{chunk}");
    }
}
