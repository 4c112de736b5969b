//! The language model protocols, request by request.

use da_standin::Plan;
use serde_json::{Value, json};

use crate::support::{Scene, anthropic_body, events, google_body, json_of, openai_body};

fn say(text: &str) -> Plan {
    Plan { text: Some(text.to_owned()), ..Plan::default() }
}

#[tokio::test]
async fn anthropic_streams_its_events_in_order() {
    let scene = Scene::with_plan(say("Zoë waits — here.")).await;
    let response = scene.anthropic().send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    for name in ["request-id", "anthropic-ratelimit-tokens-reset"] {
        assert!(response.headers().contains_key(name), "{name}");
    }
    let limit = &response.headers()["anthropic-ratelimit-requests-limit"];
    assert_eq!(limit, "4000");

    let events = events(&response.text().await.unwrap());
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_deref().unwrap()).collect();
    let deltas = ["content_block_delta"; 4];
    let start = ["message_start", "content_block_start", "ping"];
    let end = ["content_block_stop", "message_delta", "message_stop"];
    assert_eq!(names, [&start[..], &deltas[..], &end[..]].concat());
    assert!(events.iter().all(|(name, data)| data["type"] == name.as_deref().unwrap()));

    let message = &events[0].1["message"];
    assert_eq!((&message["role"], &message["model"]), (&json!("assistant"), &json!("a-model")));
    assert_eq!((&message["content"], &message["stop_reason"]), (&json!([]), &Value::Null));
    assert!(message["usage"]["input_tokens"].as_u64().unwrap() > 0);
    let text: String =
        events.iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
    assert_eq!(text, "Zoë waits — here.");
    let delta = &events[8].1;
    assert_eq!(delta["delta"]["stop_reason"], "end_turn");
    assert_eq!(delta["usage"]["output_tokens"], 4);
}

#[tokio::test]
async fn anthropic_answers_whole_when_no_stream_is_asked_for() {
    let scene = Scene::with_plan(say("Two words")).await;
    let message = json_of(scene.anthropic_body(&anthropic_body(false)).send().await.unwrap()).await;
    assert_eq!(message["type"], "message");
    assert_eq!(message["content"], json!([{"type": "text", "text": "Two words"}]));
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(message["usage"]["output_tokens"], 2);
}

#[tokio::test]
async fn max_tokens_ends_an_answer() {
    let scene = Scene::with_plan(say("one two three four")).await;
    let mut body = anthropic_body(false);
    body["max_tokens"] = json!(3);
    let message = json_of(scene.anthropic_body(&body).send().await.unwrap()).await;
    assert_eq!(message["stop_reason"], "max_tokens");
    assert_eq!(message["content"][0]["text"], "one two three ");

    let mut body = openai_body(false);
    body["max_completion_tokens"] = json!(1);
    let completion = json_of(scene.openai_body(&body).send().await.unwrap()).await;
    assert_eq!(completion["choices"][0]["finish_reason"], "length");

    let mut body = google_body();
    body["generationConfig"] = json!({"maxOutputTokens": 2});
    let content =
        json_of(scene.google_method("generateContent", &body).send().await.unwrap()).await;
    assert_eq!(content["candidates"][0]["finishReason"], "MAX_TOKENS");
    assert_eq!(content["candidates"][0]["content"]["parts"][0]["text"], "one two ");
}

#[tokio::test]
async fn anthropic_refuses_what_the_provider_refuses() {
    let scene = Scene::with_plan(Plan::default()).await;
    let path = "/v1/messages";
    let good = anthropic_body(true);
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        scene.anthropic_body(&body)
    };
    let name = crate::support::ANTHROPIC;
    let unversioned = scene.post(name, path, &good).header("x-api-key", "k");
    let keyless = scene.post(name, path, &good).header("anthropic-version", "2023-06-01");
    for (request, status, kind) in [
        (keyless, 401, "authentication_error"),
        (unversioned, 400, "invalid_request_error"),
        (with("model", Value::Null), 400, "invalid_request_error"),
        (with("max_tokens", json!(0)), 400, "invalid_request_error"),
        (with("messages", json!([])), 400, "invalid_request_error"),
        (scene.anthropic().body("{"), 400, "invalid_request_error"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        let id = response.headers()["request-id"].to_str().unwrap().to_owned();
        let body = json_of(response).await;
        assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)));
        assert_eq!(body["request_id"], id);
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn openai_streams_role_content_finish_and_done() {
    let scene = Scene::with_plan(say("Zoë waits here")).await;
    let response = scene.openai().send().await.unwrap();
    assert_eq!(response.status(), 200);
    for name in ["x-request-id", "openai-processing-ms", "x-ratelimit-remaining-tokens"] {
        assert!(response.headers().contains_key(name), "{name}");
    }
    let events = events(&response.text().await.unwrap());
    assert!(events.iter().all(|(name, _)| name.is_none()), "no event: lines");
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done.1, "[DONE]");
    assert_eq!(chunks.len(), 5);
    assert!(chunks.iter().all(|(_, data)| data["object"] == "chat.completion.chunk"));
    assert!(chunks.iter().all(|(_, data)| data["id"] == chunks[0].1["id"]));
    assert!(chunks.iter().all(|(_, data)| data.get("usage").is_none()));
    let choice = |index: usize| &chunks[index].1["choices"][0];
    assert_eq!(choice(0)["delta"], json!({"role": "assistant", "content": "", "refusal": null}));
    let text: String =
        (1..4).map(|index| choice(index)["delta"]["content"].as_str().unwrap()).collect();
    assert_eq!(text, "Zoë waits here");
    assert!((0..4).all(|index| choice(index)["finish_reason"].is_null()));
    assert_eq!((&choice(4)["delta"], &choice(4)["finish_reason"]), (&json!({}), &json!("stop")));
}

#[tokio::test]
async fn openai_counts_usage_in_one_more_chunk_when_asked() {
    let scene = Scene::with_plan(say("three words here")).await;
    let mut body = openai_body(true);
    body["stream_options"] = json!({"include_usage": true});
    let response = scene.openai_body(&body).send().await.unwrap();
    let events = events(&response.text().await.unwrap());
    let [before @ .., usage, done] = &events[..] else { panic!("too few events") };
    assert_eq!(done.1, "[DONE]");
    assert!(before.iter().all(|(_, data)| data.get("usage") == Some(&Value::Null)));
    let usage = &usage.1;
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 3);
    let prompt = usage["usage"]["prompt_tokens"].as_u64().unwrap();
    assert_eq!(usage["usage"]["total_tokens"], prompt + 3);
}

#[tokio::test]
async fn openai_answers_whole_and_refuses_in_its_own_form() {
    let scene = Scene::with_plan(say("Two words")).await;
    let completion = json_of(scene.openai_body(&openai_body(false)).send().await.unwrap()).await;
    assert_eq!(completion["object"], "chat.completion");
    assert_eq!(completion["choices"][0]["message"]["content"], "Two words");
    assert_eq!(completion["usage"]["completion_tokens"], 2);

    let name = crate::support::OPENAI;
    let keyless = scene.post(name, "/v1/chat/completions", &openai_body(true));
    let empty = scene.openai_body(&json!({"model": "m", "messages": []}));
    for (request, status) in [(keyless, 401), (empty, 400)] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        let error = &json_of(response).await["error"];
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error.get("param").is_some() && error.get("code").is_some());
    }
}

#[tokio::test]
async fn google_streams_parts_and_ends_with_the_last_of_them() {
    let plan = Plan { cache_read_tokens: 40, reasoning_tokens: 7, ..say("Zoë waits here") };
    let scene = Scene::with_plan(plan).await;
    let response = scene.google().send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let events = events(&response.text().await.unwrap());
    assert!(events.iter().all(|(name, _)| name.is_none()), "no event: lines");
    let candidates: Vec<_> = events.iter().map(|(_, data)| &data["candidates"][0]).collect();
    let text: String = candidates
        .iter()
        .map(|candidate| candidate["content"]["parts"][0]["text"].as_str().unwrap())
        .collect();
    assert_eq!((text.as_str(), events.len()), ("Zoë waits here", 3));
    let reasons: Vec<_> = candidates.iter().map(|candidate| &candidate["finishReason"]).collect();
    assert_eq!(reasons, [&Value::Null, &Value::Null, &json!("STOP")]);
    let usage = |event: usize| &events[event].1["usageMetadata"];
    assert_eq!(
        (&usage(0)["candidatesTokenCount"], &usage(2)["candidatesTokenCount"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(usage(2)["thoughtsTokenCount"], 7);
    assert_eq!(usage(2)["cachedContentTokenCount"], 40);
    let prompt = usage(2)["promptTokenCount"].as_u64().unwrap();
    assert!(prompt > 40);
    assert_eq!(usage(2)["totalTokenCount"], prompt + 3 + 7);
}

#[tokio::test]
async fn google_answers_as_a_list_or_whole_and_refuses_what_the_provider_refuses() {
    let scene = Scene::with_plan(say("Two words")).await;
    let method = |method: &str| scene.google_method(method, &google_body()).send();
    let list = json_of(method("streamGenerateContent").await.unwrap()).await;
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    let whole = json_of(method("generateContent").await.unwrap()).await;
    assert_eq!(whole["candidates"][0]["content"]["parts"], json!([{"text": "Two words"}]));
    assert_eq!(whole["candidates"][0]["finishReason"], "STOP");

    let path = "/v1/models/m:streamGenerateContent?alt=sse";
    let keyless = scene.post(crate::support::GOOGLE, path, &google_body());
    let with =
        |contents: Value| scene.google_method("generateContent", &json!({"contents": contents}));
    let model = json!([{"role": "model", "parts": [{"text": "x"}]}]);
    for (request, status, name) in [
        (keyless, 403, "PERMISSION_DENIED"),
        (with(json!([])), 400, "INVALID_ARGUMENT"),
        (with(model), 400, "INVALID_ARGUMENT"),
        (with(json!([{"parts": []}])), 400, "INVALID_ARGUMENT"),
        (scene.google().body("{"), 400, "INVALID_ARGUMENT"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        let error = &json_of(response).await["error"];
        assert_eq!((&error["code"], &error["status"]), (&json!(status), &json!(name)));
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn every_name_speaks_every_protocol_and_other_paths_are_not_found() {
    let scene = Scene::with_plan(Plan::default()).await;
    let name = crate::support::ELEVENLABS;
    let request = scene.post(name, "/v1/chat/completions", &openai_body(true)).bearer_auth("k");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let response = scene.post(name, "/v2/anything", &json!({})).send().await.unwrap();
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn plan_sets_the_number_of_deltas_exactly() {
    let scene = Scene::with_plan(Plan { chunks: Some(37), ..Plan::default() }).await;
    let body = scene.anthropic().send().await.unwrap().text().await.unwrap();
    assert_eq!(body.matches("event: content_block_delta").count(), 37);
    let body = scene.openai().send().await.unwrap().text().await.unwrap();
    assert_eq!(events(&body).len(), 37 + 3);
    let body = scene.google().send().await.unwrap().text().await.unwrap();
    assert_eq!(events(&body).len(), 37);
}

#[tokio::test]
async fn seed_and_order_decide_the_answers() {
    async fn lines(seed: u64) -> Vec<String> {
        let options = da_standin::Options { seed, ..Default::default() };
        let scene = Scene::start(options).await;
        let mut lines = Vec::new();
        for _ in 0..6 {
            let response = scene.anthropic_body(&anthropic_body(false)).send().await.unwrap();
            lines.push(json_of(response).await["content"][0]["text"].to_string());
        }
        lines
    }
    let first = lines(1).await;
    assert_eq!(first, lines(1).await);
    assert_ne!(first, lines(2).await);
}
