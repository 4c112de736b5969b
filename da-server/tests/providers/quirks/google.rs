//! What Gemini and the gateways that speak its protocol really send.

use da_server::llm::LlmProtocol::Google;
use da_server::llm::StopReason;
use da_server::provider::ErrorKind;
use da_testkit::raw::Ending;
use serde_json::{Value, json};

use super::row::{AHOY, PAUSE, Quirk, data, quirk};

fn google(name: &'static str, body: impl AsRef<[u8]>) -> Quirk {
    quirk(name, Google, body)
}

fn candidate(parts: &Value, reason: Option<&str>) -> Value {
    let content = json!({"role": "model", "parts": parts});
    let mut candidate = json!({"content": content, "index": 0});
    if let Some(reason) = reason {
        candidate["finishReason"] = json!(reason);
    }
    json!({"candidates": [candidate]})
}

fn says(text: &str) -> String {
    data(&candidate(&json!([{"text": text}]), None))
}

/// A last part with text, as Gemini mostly sends it.
fn ends(text: &str, reason: &str) -> String {
    data(&candidate(&json!([{"text": text}]), Some(reason)))
}

/// A last part without any, as it sometimes does.
fn finish(reason: &str) -> String {
    data(&json!({"candidates": [{"finishReason": reason, "index": 0}]}))
}

fn thinks() -> String {
    data(&candidate(&json!([{"thought": true, "text": "**The player is dull**"}]), None))
}

fn error(code: u16, status: &str) -> Value {
    json!({"error": {"code": code, "message": "m", "status": status}})
}

pub fn quirks() -> Vec<Quirk> {
    [ends_of_streams(), odd_chunks(), refusals(), errors()].into_iter().flatten().collect()
}

fn ends_of_streams() -> Vec<Quirk> {
    vec![
        google("text with STOP (simonw/llm-gemini#97)", says("Ah") + &ends("oy", "STOP")),
        google("STOP without content (agentjido/req_llm#638)", says(AHOY) + &finish("STOP")),
        google(
            "STOP with every chunk (songquanpeng/one-api#1408)",
            ends("A", "STOP") + &ends("ho", "STOP") + &ends("y", "STOP"),
        ),
        google(
            "STOP with every chunk, with pauses (songquanpeng/one-api#1408)",
            ends("A", "STOP") + &ends("ho", "STOP") + &ends("y", "STOP"),
        )
        .an_event_each(PAUSE),
        google(
            "STOP with every chunk, and empty ones between",
            ends("A", "STOP") + &data(&json!({"candidates": []})) + &ends("hoy", "STOP"),
        )
        .an_event_each(PAUSE),
        google(
            "STOP before the first word (Chevey339/kelivo#1003)",
            ends("", "STOP") + &finish("STOP") + &says(AHOY) + &finish("STOP"),
        ),
        google("[DONE] behind it all", ends(AHOY, "STOP") + "data: [DONE]\n\n"),
        google("silent after STOP", ends(AHOY, "STOP")).ending(Ending::Silence),
        google("cut after STOP", ends(AHOY, "STOP")).ending(Ending::Cut),
        google("cut before a reason", says(AHOY))
            .ending(Ending::Cut)
            .ends(Err(ErrorKind::Interrupted)),
        google("no reason (google-gemini/gemini-cli#8073)", says(AHOY))
            .ends(Err(ErrorKind::Interrupted)),
        google("MAX_TOKENS", ends(AHOY, "MAX_TOKENS")).ends(Ok(StopReason::MaxTokens)),
        google("a reason of the future", ends(AHOY, "BORED")).ends(Ok(StopReason::Other)),
        google("nothing but STOP (pydantic/pydantic-ai#2631)", finish("STOP"))
            .fails(ErrorKind::EmptyAnswer),
    ]
}

fn odd_chunks() -> Vec<Quirk> {
    let usage = |usage: Value| data(&json!({"usageMetadata": usage}));
    let part = |parts: Value| data(&candidate(&parts, None));
    vec![
        google("thought (bug-ops/zeph#1594)", thinks() + &ends(AHOY, "STOP")),
        google(
            "thought and text in one chunk",
            part(json!([{"thought": true, "text": "hm"}, {"text": AHOY}])) + &finish("STOP"),
        ),
        google(
            "a signature with STOP (GeneralBots/gb)",
            says(AHOY)
                + &data(&candidate(
                    &json!([{"text": "", "thoughtSignature": "AY89a18i"}]),
                    Some("STOP"),
                )),
        ),
        google(
            "nothing but thought, to the limit (googleapis/python-genai#2062)",
            thinks() + &finish("MAX_TOKENS"),
        )
        .fails(ErrorKind::EmptyAnswer),
        google(
            "carriage returns, one byte at a time",
            (says("Ah") + &ends("oy", "STOP")).replace('\n', "\r\n"),
        )
        .in_chunks_of(1),
        google(
            "usage without counts (GeneralBots/gb)",
            usage(json!({"trafficType": "ON_DEMAND"})) + &ends(AHOY, "STOP"),
        ),
        google("usage null", data(&json!({"usageMetadata": null})) + &ends(AHOY, "STOP")),
        google(
            "usage behind the reason",
            ends(AHOY, "STOP") + &usage(json!({"candidatesTokenCount": 2})),
        ),
        google(
            "a call of a tool beside the text",
            part(json!([{"text": AHOY}, {"functionCall": {"name": "dive"}}])) + &finish("STOP"),
        ),
    ]
}

fn refusals() -> Vec<Quirk> {
    let blocked = |reason: &str| data(&json!({"promptFeedback": {"blockReason": reason}}));
    vec![
        google("a refused prompt (ankit373/hydra#855)", blocked("PROHIBITED_CONTENT"))
            .fails_for_good(ErrorKind::Refusal),
        google("SAFETY after words", says(AHOY) + &finish("SAFETY")).ends(Ok(StopReason::Refusal)),
        google("SAFETY before a word (maximhq/bifrost#1985)", finish("SAFETY"))
            .fails_for_good(ErrorKind::Refusal),
        google("SAFETY after thought", thinks() + &finish("SAFETY"))
            .fails_for_good(ErrorKind::Refusal),
        google("a tool that nobody has", finish("MALFORMED_FUNCTION_CALL"))
            .fails(ErrorKind::EmptyAnswer),
    ]
}

fn errors() -> Vec<Quirk> {
    let unavailable = || data(&error(503, "UNAVAILABLE"));
    let pretty = |error: &Value| serde_json::to_string_pretty(error).expect("JSON");
    let bare = || "\n".to_owned() + &pretty(&error(503, "UNAVAILABLE")) + "\n";
    let json = |name, body: &Value| google(name, body.to_string()).typed("application/json");
    vec![
        google("an error as a chunk (diegosouzapw/OmniRoute#4177)", unavailable())
            .fails(ErrorKind::Overloaded),
        google("an error after words", says(AHOY) + &unavailable())
            .ends(Err(ErrorKind::Overloaded)),
        google("an error after the end", ends(AHOY, "STOP") + &unavailable()),
        google("a bare error after the end (vercel/ai#5217)", ends(AHOY, "STOP") + &bare()),
        google("a bare error after words", says(AHOY) + &bare()).ends(Err(ErrorKind::Interrupted)),
        google("an error of the future", data(&error(599, "TIRED"))).fails(ErrorKind::Server),
        json("an error in JSON with status 200", &error(429, "RESOURCE_EXHAUSTED"))
            .fails(ErrorKind::RateLimited),
        json(
            "an error in a list (google-gemini/gemini-cli#14831)",
            &json!([error(403, "PERMISSION_DENIED")]),
        )
        .fails_for_good(ErrorKind::Authentication),
        json(
            "a list in place of events (ankit373/hydra#855)",
            &json!([
                candidate(&json!([{"text": "Ah"}]), None),
                candidate(&json!([{"text": "oy"}]), Some("STOP"))
            ]),
        ),
        json("a whole answer", &candidate(&json!([{"text": AHOY}]), Some("STOP"))),
        json(
            "a list that ends without a reason",
            &json!([candidate(&json!([{"text": AHOY}]), None)]),
        )
        .ends(Err(ErrorKind::Interrupted)),
    ]
}
