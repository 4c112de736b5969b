//! Every fault, as a client meets it and as the log tells it.

use std::time::Duration;

use da_standin::{CloseReason, Event, Fault, LogEntry, Options, Plan, TlsMode};
use serde_json::{Value, json};

use crate::support::{
    ANTHROPIC, OPENAI, Scene, anthropic_body, body_or_error, connect, connect_any, events,
    exchange, faults, json_of, response_starts, tls_config, wire_request,
};

fn plan(fault: Fault) -> Plan {
    Plan { fault: Some(fault), text: Some("Zoë says — yes".to_owned()), ..Plan::default() }
}

fn closes(log: &[LogEntry]) -> Vec<CloseReason> {
    let reason = |entry: &LogEntry| match entry.event {
        Event::Close { reason, .. } => Some(reason),
        _ => None,
    };
    log.iter().filter_map(reason).collect()
}

#[tokio::test]
async fn rate_limit_comes_with_the_headers_that_are_given_and_no_others() {
    let limited =
        |retry_after, retry_after_ms| plan(Fault::RateLimited { retry_after, retry_after_ms });
    let scene = Scene::with_plan(Plan::default()).await;
    for (seconds, ms) in [(None, None), (Some(7), None), (None, Some(1500)), (Some(2), Some(1900))]
    {
        scene.standin.set_plan(limited(seconds, ms));
        let cases = [
            (scene.anthropic(), "/error/type", "rate_limit_error"),
            (scene.openai(), "/error/code", "rate_limit_exceeded"),
            (scene.google(), "/error/status", "RESOURCE_EXHAUSTED"),
            (scene.speech("x", "pcm_16000"), "/detail/code", "rate_limit_exceeded"),
        ];
        for (request, place, word) in cases {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 429);
            let header = |name: &str| {
                let value = response.headers().get(name)?;
                Some(value.to_str().unwrap().parse::<u64>().unwrap())
            };
            assert_eq!((header("retry-after"), header("retry-after-ms")), (seconds, ms));
            if place == "/error/type" {
                assert_eq!(header("anthropic-ratelimit-requests-remaining"), Some(0));
            }
            assert_eq!(json_of(response).await.pointer(place), Some(&json!(word)));
        }
    }
    assert_eq!(faults(&scene.log().await), ["rate_limited"; 16]);
}

#[tokio::test]
async fn overload_and_server_error_have_each_providers_status() {
    let scene = Scene::with_plan(Plan::default()).await;
    for (fault, statuses) in
        [(Fault::Overloaded, [529, 503, 503, 503]), (Fault::ServerError, [500; 4])]
    {
        scene.standin.set_plan(plan(fault));
        let speech = scene.speech("x", "pcm_16000");
        let requests = [scene.anthropic(), scene.openai(), scene.google(), speech];
        for (request, status) in requests.into_iter().zip(statuses) {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status, "{fault:?}");
            let body = json_of(response).await;
            assert!(body.get("error").or(body.get("detail")).is_some());
        }
    }
}

#[tokio::test]
async fn hang_never_answers_and_ends_with_the_client() {
    let scene = Scene::with_plan(plan(Fault::Hang)).await;
    let request = scene.anthropic().timeout(Duration::from_millis(300));
    assert!(request.send().await.unwrap_err().is_timeout());
    let log = scene.log_with(|event| matches!(event, Event::Close { .. })).await;
    assert_eq!(faults(&log), ["hang"]);
    assert_eq!(closes(&log), [CloseReason::Client]);
    assert!(response_starts(&log).is_empty());
}

#[tokio::test]
async fn reset_before_the_first_token_comes_instead_of_a_response_or_after_its_head() {
    let scene = Scene::with_plan(plan(Fault::ResetBeforeFirstToken { after_head: false })).await;
    let speech = scene.speech("x", "pcm_16000");
    for request in [scene.anthropic(), scene.openai(), scene.google(), speech] {
        let error = request.send().await.unwrap_err();
        assert!(format!("{error:?}").contains("ConnectionReset"), "{error:?}");
    }
    let log = scene.log().await;
    assert_eq!(faults(&log), ["reset_before_first_token"; 4]);
    assert!(response_starts(&log).is_empty());

    scene.standin.set_plan(plan(Fault::ResetBeforeFirstToken { after_head: true }));
    let (body, broken) = body_or_error(scene.anthropic().send().await.unwrap()).await;
    let body = String::from_utf8(body).unwrap();
    assert!(broken && body.contains("event: ping") && !body.contains("text_delta"), "{body}");
    let (body, broken) = body_or_error(scene.openai().send().await.unwrap()).await;
    assert!(broken);
    assert_eq!(events(&String::from_utf8(body).unwrap()).len(), 1, "the role alone");
    let (body, broken) = body_or_error(scene.speech("x", "pcm_16000").send().await.unwrap()).await;
    assert!(broken && body.is_empty());
}

#[tokio::test]
async fn reset_after_the_first_token_sends_as_many_as_planned() {
    for after_chunks in [1, 3] {
        let scene = Scene::with_plan(plan(Fault::ResetAfterFirstToken { after_chunks })).await;
        let (body, broken) = body_or_error(scene.anthropic().send().await.unwrap()).await;
        let body = String::from_utf8(body).unwrap();
        assert!(broken && !body.contains("message_stop"));
        assert_eq!(body.matches("text_delta").count(), after_chunks);
        let (audio, broken) =
            body_or_error(scene.speech("Some text.", "pcm_16000").send().await.unwrap()).await;
        assert!(broken && !audio.is_empty());
        let log = scene.log_with(|event| matches!(event, Event::Close { .. })).await;
        assert!(closes(&log).iter().all(|reason| *reason == CloseReason::Reset));
        let ends = log.iter().filter(|entry| matches!(entry.event, Event::ResponseEnd { .. }));
        assert_eq!(ends.count(), 0);
    }
}

#[tokio::test]
async fn reset_cuts_an_answer_that_is_not_streamed_in_the_middle() {
    let scene = Scene::with_plan(plan(Fault::ResetAfterFirstToken { after_chunks: 1 })).await;
    let response = scene.anthropic_body(&anthropic_body(false)).send().await.unwrap();
    let length = response.content_length().unwrap();
    let (body, broken) = body_or_error(response).await;
    assert!(broken && body.len() as u64 == length / 2);
}

#[tokio::test]
async fn error_event_follows_a_good_status_and_some_tokens() {
    for after_chunks in [0, 2] {
        let scene = Scene::with_plan(plan(Fault::ErrorEventAfter200 { after_chunks })).await;
        let response = scene.anthropic().send().await.unwrap();
        assert_eq!(response.status(), 200);
        let anthropic = events(&response.text().await.unwrap());
        let (name, data) = anthropic.last().unwrap();
        assert_eq!(name.as_deref(), Some("error"));
        assert_eq!(data["error"]["type"], "overloaded_error");
        let deltas = anthropic.iter().filter(|(_, data)| data["delta"]["text"].is_string());
        assert_eq!(deltas.count(), after_chunks);

        let openai = events(&scene.openai().send().await.unwrap().text().await.unwrap());
        assert_eq!(openai.len(), 1 + after_chunks + 1);
        assert!(openai.last().unwrap().1["error"]["message"].is_string());

        let google = events(&scene.google().send().await.unwrap().text().await.unwrap());
        assert_eq!(google.len(), after_chunks + 1);
        assert_eq!(google.last().unwrap().1["error"]["status"], "UNAVAILABLE");
        assert_eq!(faults(&scene.log().await), ["error_event_after_200"; 3]);
    }
}

#[tokio::test]
async fn split_utf8_ends_a_write_inside_a_character() {
    // Long enough for each half to be read before the next one comes.
    let between_chunks_ms = da_standin::Delay::Fixed(500.0);
    let split = Plan { between_chunks_ms, chunks: Some(3), ..plan(Fault::SplitUtf8) };
    let scene = Scene::with_plan(split).await;
    let mut stream = connect_any(&scene.standin).await;
    let seen = exchange(&mut stream, &wire_request("")).await;
    let halves = seen.reads.iter().filter(|(_, read)| std::str::from_utf8(read).is_err()).count();
    assert!(halves >= 4, "both halves of two events come in reads of their own: {halves}");

    let body = scene.anthropic().send().await.unwrap().text().await.unwrap();
    let data = events(&body);
    let text: String = data.iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
    assert_eq!(text, "Zoë says — yes");
}

#[tokio::test]
async fn non_audio_is_json_with_a_good_status_for_speech_only() {
    let scene = Scene::with_plan(plan(Fault::NonAudio200)).await;
    for request in [scene.speech("x", "mp3_44100_128"), scene.openai_speech("x", "mp3")] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(json_of(response).await.is_object());
    }
    let response = scene.anthropic().send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    response.bytes().await.unwrap();
    assert_eq!(faults(&scene.log().await), ["non_audio_200"; 2], "logged only where it was done");
}

#[tokio::test]
async fn bad_handshake_is_an_alert_and_counts_connections() {
    let fault = Plan { fault_count: Some(1), ..plan(Fault::BadHandshake) };
    for tls in [TlsMode::V12, TlsMode::V13] {
        let options = Options { plan: fault.clone(), tls, ..Options::default() };
        let scene = Scene::start(options).await;
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let config = tls_config(&scene.standin, &versions);
        let error = connect(&scene.standin, ANTHROPIC, config.clone()).await.unwrap_err();
        assert!(format!("{error:?}").contains("HandshakeFailure"), "{error:?}");
        let mut stream = connect(&scene.standin, ANTHROPIC, config).await.unwrap();
        exchange(&mut stream, &wire_request("")).await;
        let log = scene.log_with(|event| matches!(event, Event::Close { .. })).await;
        assert_eq!(faults(&log), ["bad_handshake"]);
        assert_eq!(closes(&log), [CloseReason::BadHandshake]);
    }
}

#[tokio::test]
async fn fault_count_and_probability_choose_which_requests_fail() {
    let scene = Scene::with_plan(Plan { fault_count: Some(2), ..plan(Fault::ServerError) }).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(scene.openai().send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [500, 500, 200, 200]);

    scene.standin.set_plan(Plan { fault_probability: 0.5, ..plan(Fault::ServerError) });
    let mut failed = 0;
    for _ in 0..60 {
        failed += usize::from(scene.openai().send().await.unwrap().status() == 500);
    }
    assert!((15..45).contains(&failed), "{failed} of 60");
}

#[tokio::test]
async fn plans_differ_by_name_and_by_request() {
    let scene = Scene::with_plan(Plan::default()).await;
    scene.standin.set_plan_for(OPENAI, plan(Fault::ServerError));
    assert_eq!(scene.openai().send().await.unwrap().status(), 500);
    assert_eq!(scene.anthropic().send().await.unwrap().status(), 200);

    let overloaded = json!({"fault": {"kind": "overloaded"}}).to_string();
    let once = scene.anthropic().header("x-standin-plan", &overloaded);
    assert_eq!(once.send().await.unwrap().status(), 529);
    assert_eq!(scene.anthropic().send().await.unwrap().status(), 200, "for that request alone");
    let healed = scene.openai().header("x-standin-plan", json!({"fault": null}).to_string());
    assert_eq!(healed.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_plan_that_is_none_is_refused_with_the_reason() {
    let scene = Scene::with_plan(Plan::default()).await;
    let request = scene.anthropic().header("x-standin-plan", r#"{"first_bite_ms":1}"#);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 400);
    let body: Value = json_of(response).await;
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("first_bite_ms") && message.contains("first_byte_ms"), "{message}");
}

#[tokio::test]
async fn a_request_that_is_refused_anyway_meets_no_fault() {
    let scene = Scene::with_plan(plan(Fault::ServerError)).await;
    let request = scene.post(ANTHROPIC, "/v1/messages", &anthropic_body(true));
    assert_eq!(request.send().await.unwrap().status(), 401);
    assert!(faults(&scene.log().await).is_empty());
}
