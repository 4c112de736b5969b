//! What providers and their imitators really send, from public bug reports: what the player gets of it,
//! how the attempt is counted, and how often it is tried again.

mod google;
mod row;
mod whole;

use std::time::Duration;

use da_server::llm::LlmProtocol::{self, Anthropic, OpenAi};
use da_server::llm::StopReason;
use da_server::provider::ErrorKind;
use da_testkit::raw::{Answer, Ending, Raw};
use serde_json::{Value, json};

use crate::bench::{Bench, Llm, prompt};
use row::{AHOY, PAUSE, Quirk, SSE, data, quirk};

const DONE: &str = "data: [DONE]\n\n";

fn openai(name: &'static str, body: impl AsRef<[u8]>) -> Quirk {
    quirk(name, OpenAi, body)
}

fn anthropic(name: &'static str, body: impl AsRef<[u8]>) -> Quirk {
    quirk(name, Anthropic, body)
}

fn delta(delta: &Value) -> String {
    data(&json!({"choices": [{"index": 0, "delta": delta}]}))
}

fn says(text: &str) -> String {
    delta(&json!({"content": text}))
}

fn finish(reason: &Value) -> String {
    data(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

/// Text of which each piece comes with a reason to stop.
fn reasons(texts: &[&str]) -> String {
    let chunk = |text: &&str| {
        data(&json!({"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}))
    };
    texts.iter().map(chunk).collect()
}

fn stop() -> String {
    finish(&json!("stop"))
}

fn whole(before: &str) -> String {
    format!("{before}{}{}{DONE}", says(AHOY), stop())
}

fn text_delta(text: &str) -> String {
    data(&json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "text_delta", "text": text}}))
}

fn message_delta() -> String {
    data(&json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 2}}))
}

const MESSAGE_STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

fn ends_of_streams() -> Vec<Quirk> {
    let said = says(AHOY);
    let other = Ok(StopReason::Other);
    vec![
        openai("no [DONE] (perplexityai/api-discussion#209)", said.clone() + &stop()),
        openai("no [DONE], no blank line", (said.clone() + &stop()).trim_end()),
        openai("[DONE] without its blank line (llama.cpp#9459)", whole("").trim_end()),
        openai("[DONE] and no reason (OpenAI proxies of Gemini)", said.clone() + DONE).ends(other),
        openai("neither (opencode#43882)", said.clone()).ends(Err(ErrorKind::Interrupted)),
        openai("cut after the reason", said.clone() + &stop()).ending(Ending::Cut),
        openai("reset after the reason", said.clone() + &stop()).ending(Ending::Reset),
        openai("silent after the reason", said.clone() + &stop()).ending(Ending::Silence),
        openai("silent after [DONE]", whole("")).ending(Ending::Silence),
        openai("cut before the reason", said.clone())
            .ending(Ending::Cut)
            .ends(Err(ErrorKind::Interrupted)),
        openai("reset before the reason", said.clone())
            .ending(Ending::Reset)
            .ends(Err(ErrorKind::Interrupted)),
        openai("reset before a word", ": hi\n\n")
            .ending(Ending::Reset)
            .fails(ErrorKind::Interrupted),
        openai("torn in the last event", said.clone() + "data: {\"choices\":[{\"del")
            .ends(Err(ErrorKind::Interrupted)),
        openai(
            "finish_reason \"\" in every chunk (sgl-project/sglang#3912, ollama/ollama#4357)",
            data(&json!({"choices": [{"delta": {"content": "Ah"}, "finish_reason": ""}]}))
                + &says("oy")
                + &stop()
                + DONE,
        ),
        openai(
            "finish_reason \"\" to the end (qualcomm/GenieX#1243)",
            said.clone() + &finish(&json!("")) + DONE,
        )
        .ends(other),
        openai(
            "text with the reason (vllm-project/vllm#36944)",
            data(&json!({"choices": [{"delta": {"content": AHOY}, "finish_reason": "length"}]})),
        )
        .ends(Ok(StopReason::MaxTokens)),
        openai("a reason with every chunk, with pauses (one-api#1408)", reasons(&["Ah", "oy"]))
            .an_event_each(PAUSE),
        openai(
            "a reason with every chunk, and an empty one between",
            reasons(&["Ah"]) + &says("") + &reasons(&["oy"]) + DONE,
        )
        .an_event_each(PAUSE),
        openai(
            "a reason with every chunk, then one alone, then silence",
            reasons(&["Ah", "oy", ""]),
        )
        .ending(Ending::Silence),
        openai("a reason with every chunk, then silence", reasons(&["Ah", "oy"]))
            .ending(Ending::Silence),
        anthropic(
            "no message_stop (tombii/better-ccflare#307)",
            text_delta(AHOY) + &message_delta(),
        ),
        anthropic(
            "no message_stop, and only pings after (tombii/better-ccflare#307)",
            text_delta(AHOY) + &message_delta() + ": ping\n\n",
        )
        .ending(Ending::Silence),
        anthropic(
            "an error after the end (rynfar/meridian#185)",
            text_delta(AHOY)
                + &message_delta()
                + &data(&json!({"type": "error", "error": {"type": "rate_limit_error"}})),
        ),
        anthropic(
            "a later null stop_reason (anthropics/anthropic-sdk-typescript#1204)",
            text_delta(AHOY)
                + &message_delta()
                + &data(&json!({"type": "message_delta", "delta": {"stop_reason": null}}))
                + MESSAGE_STOP,
        ),
        anthropic("cut before the reason", text_delta(AHOY)).ends(Err(ErrorKind::Interrupted)),
    ]
}

fn odd_chunks() -> Vec<Quirk> {
    vec![
        openai(
            "choices null (pydantic/pydantic-ai#5165)",
            whole(&data(&json!({"choices": null, "usage": {"prompt_tokens": 3}}))),
        ),
        openai(
            "choices empty (Azure)",
            whole(&data(&json!({"choices": [], "prompt_filter_results": []}))),
        ),
        openai("data: null (Kilo-Org/kilocode#3083)", whole("data: null\n\n")),
        openai("delta null", whole(&data(&json!({"choices": [{"delta": null}]})))),
        openai(
            "empty data lines (netease-lcap/wave-agent#1326, doublewordai/control-layer#171)",
            whole("data:\n\ndata: \n\n"),
        ),
        openai(
            "data without the space (openai/openai-python#498, dataelement/Clawith#106)",
            whole("").replace("data: ", "data:"),
        ),
        openai("carriage returns", whole("").replace('\n', "\r\n")).in_chunks_of(1),
        openai(
            "a byte-order mark",
            format!("\u{feff}{}", says("Ah")) + &says("oy") + &stop() + DONE,
        ),
        openai("one byte at a time", whole(": é🐙\n\n")).in_chunks_of(1),
        openai(
            "content as a list (BerriAI/litellm#16272)",
            delta(
                &json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
            ) + &delta(&json!({"content": [{"type": "text", "text": AHOY}]}))
                + &stop()
                + DONE,
        ),
        openai(
            "negative tokens (64bit/async-openai#404)",
            whole(&data(&json!({"choices": [], "usage": {"completion_tokens": -35}}))),
        ),
        openai(
            "null counts (livekit/agents#6596)",
            whole(&data(&json!({"choices": [], "usage": {"completion_tokens": null}}))),
        ),
        openai(
            "usage in parts (theopenco/llmgateway#2861)",
            whole(&data(
                &json!({"choices": [], "usage": {"prompt_tokens_details": {"cached_tokens": 0}}}),
            )),
        ),
        openai("as text/plain (54xzh/FLIT#71, ollama/ollama#8991)", whole(""))
            .typed("text/plain; charset=utf-8"),
        openai("without a type", whole("")).typed(""),
        anthropic(
            "usage null",
            data(&json!({"type": "message_start", "message": {"usage": null}}))
                + &text_delta(AHOY)
                + &data(
                    &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": null}),
                )
                + MESSAGE_STOP,
        ),
        anthropic(
            "message_delta without usage (earendil-works/pi#6567)",
            text_delta(AHOY)
                + &data(&json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}))
                + MESSAGE_STOP,
        ),
        anthropic("[DONE] behind it all", text_delta(AHOY) + &message_delta() + DONE),
    ]
}

fn thought() -> Vec<Quirk> {
    let thinking = |text: &str| delta(&json!({"reasoning_content": text, "content": null}));
    vec![
        openai(
            "<think> in the content (livekit/agents#2524)",
            says("<think>The player is dull.") + &whole(&says("</think>\n\n")),
        ),
        openai("<think> between chunks", says("<thi") + &says("nk>hm</th") + &whole(&says("ink>"))),
        openai("a <think> that never ends", says("<think>hm") + &stop() + DONE)
            .fails(ErrorKind::EmptyAnswer),
        openai(
            "thought that no tag opens (llama.cpp's templates that end in <think>)",
            says("hm, dull…") + &says("</think>") + &whole(""),
        ),
        openai("[THINK] (Magistral)", says("[THINK]hm[/TH") + &whole(&says("INK]"))),
        openai("<thought> (NousResearch/hermes-agent#6149)", whole(&says("<thought>hm</thought>"))),
        openai(
            "channels (gpt-oss)",
            says("<|channel|>analysis<|message|>hm<|end|><|start|>assistant")
                + &whole(&says("<|channel|>final<|message|>")),
        ),
        openai(
            "channels without messages (gpt-oss)",
            whole(&says("<|channel|>analysis hm<|channel|>final")),
        ),
        openai(
            "<|channel>thought (qwersyk/Newelle#427)",
            whole(&says("<|channel>thought\nhm<channel|>")),
        ),
        openai(
            "</think> alone (deepseek-ai/DeepSeek-R1#506, InternLM/lmdeploy#3321)",
            whole(&says("</think>\n\n")),
        ),
        openai("what is no tag", says("a < b <thin") + &stop() + DONE).says("a < b <thin"),
        openai("reasoning_content (BrokkAi/brokk-app#752)", thinking("hm") + &whole("")),
        openai("nothing but reasoning", thinking("hm") + &stop() + DONE)
            .fails(ErrorKind::EmptyAnswer),
        anthropic(
            "thinking",
            data(&json!({"type": "content_block_delta",
            "delta": {"type": "thinking_delta", "thinking": "hm"}}))
                + &text_delta(AHOY)
                + &message_delta()
                + MESSAGE_STOP,
        ),
        openai("nothing but [DONE] (vllm-project/vllm#40986, mnfst/llm-gateway#2709)", DONE)
            .fails(ErrorKind::EmptyAnswer),
        openai("blanks (home-assistant/core#175637)", says("\n\n") + &stop() + DONE)
            .fails(ErrorKind::EmptyAnswer),
        anthropic(
            "blanks (anthropics/claude-code#23390)",
            text_delta("\n\n") + &message_delta() + MESSAGE_STOP,
        )
        .fails(ErrorKind::EmptyAnswer),
        openai("blanks before the first word", whole(&says("\n\n "))),
    ]
}

/// Who declines to answer would decline again.
fn refusals() -> Vec<Quirk> {
    let filter = || finish(&json!("content_filter"));
    let azure = json!({"error": {"message": "m", "type": null, "param": "prompt",
        "code": "content_filter", "status": 400}});
    vec![
        openai("content_filter before a word (Azure)", filter() + DONE)
            .fails_for_good(ErrorKind::Refusal),
        openai("content_filter and blanks", says("\n") + &filter())
            .fails_for_good(ErrorKind::Refusal),
        openai("content_filter after words", says(AHOY) + &filter() + DONE)
            .ends(Ok(StopReason::Refusal)),
        openai(
            "a refusal in words of its own",
            delta(&json!({"refusal": "I'm sorry", "content": null})) + &stop() + DONE,
        )
        .fails_for_good(ErrorKind::Refusal),
        openai("a filter's error in a stream (Azure)", data(&azure))
            .fails_for_good(ErrorKind::Refusal),
        openai("a filter's error in JSON (Azure)", azure.to_string())
            .typed("application/json")
            .fails_for_good(ErrorKind::Refusal),
        anthropic(
            "refusal before a word",
            data(&json!({"type": "message_delta", "delta": {"stop_reason": "refusal"}}))
                + MESSAGE_STOP,
        )
        .fails_for_good(ErrorKind::Refusal),
    ]
}

fn errors() -> Vec<Quirk> {
    let error = |error: Value| data(&json!({"error": error}));
    vec![
        openai("code 402 (vercel/ai#2698)", error(json!({"message": "m", "code": 402})))
            .fails_for_good(ErrorKind::Quota),
        openai("code 429 (vercel/ai#2698)", error(json!({"message": "m", "code": 429})))
            .fails(ErrorKind::RateLimited),
        openai("code \"401\"", error(json!({"code": "401"})))
            .fails_for_good(ErrorKind::Authentication),
        openai("code 503", error(json!({"code": 503}))).fails(ErrorKind::Overloaded),
        openai("a sentence (Ollama)", error(json!("out of memory"))).fails(ErrorKind::Server),
        openai("an error, then [DONE] (BerriAI/litellm#40578)", error(json!({"code": 500})) + DONE)
            .fails(ErrorKind::Server),
        openai(
            "context too long (ggml-org/llama.cpp#14566)",
            error(json!({"code": 400, "type": "exceed_context_size_error"})),
        )
        .fails_for_good(ErrorKind::InvalidRequest),
        openai(
            "an error without a wrapper (vLLM)",
            data(&json!({"object": "error", "type": "BadRequestError", "code": 400})),
        )
        .fails_for_good(ErrorKind::InvalidRequest),
        openai("an error in JSON with status 200", json!({"error": {"code": 402}}).to_string())
            .typed("application/json")
            .fails_for_good(ErrorKind::Quota),
        openai("JSON that is no error", "{}")
            .typed("application/json")
            .fails_for_good(ErrorKind::Protocol),
        openai("error after words", says(AHOY) + &error(json!({"code": 529})))
            .ends(Err(ErrorKind::Overloaded)),
        anthropic(
            "overloaded",
            data(&json!({"type": "error", "error": {"type": "overloaded_error"}})),
        )
        .fails(ErrorKind::Overloaded),
        anthropic(
            "an error of the future",
            data(&json!({"type": "error", "error": {"type": "tired_error"}})),
        )
        .fails(ErrorKind::Server),
    ]
}

fn client(bench: &Bench, provider: LlmProtocol, raw: &Raw) -> Llm {
    let url = format!("http://{}", raw.address);
    bench.llm_with(provider, |config| config.base_url = Some(url))
}

#[tokio::test]
async fn each_quirk_has_its_outcome() {
    let bench = Bench::start().await;
    let mut wrong = 0;
    let quirks = [
        ends_of_streams(),
        odd_chunks(),
        thought(),
        refusals(),
        errors(),
        whole::quirks(),
        google::quirks(),
    ];
    for quirk in quirks.into_iter().flatten() {
        let falls_silent = quirk.answer.ending == Ending::Silence;
        let raw = Raw::serve(quirk.answer).await;
        let url = format!("http://{}", raw.address);
        let llm = bench.llm_with(quirk.provider, |config| {
            config.base_url = Some(url);
            if falls_silent {
                config.timeouts.idle = PAUSE * 2;
            }
        });
        let (text, end) = match llm.ask().await {
            Ok((text, completion)) => (text, Ok(completion.stop_reason)),
            Err((text, error)) => (text, Err(error.kind)),
        };
        let retries = raw.requests() - 1;
        let outcome = end.map_or_else(ErrorKind::as_str, |_| "success");
        let counted = llm.readings.samples("llm_attempt_seconds", &[("outcome", outcome)]);
        let right = (text.as_str(), end, retries) == (quirk.text, quirk.end, quirk.retries)
            && counted == raw.requests() as u64;
        wrong += usize::from(!right);
        let mark = if right { " " } else { "!" };
        println!(
            "{mark} {:<11} {:<75} {text:?} {outcome} {retries}",
            quirk.provider.provider_name(),
            quirk.name
        );
    }
    assert_eq!(wrong, 0, "rows with a ! are not as expected");
}

#[tokio::test]
async fn who_thinks_for_longer_than_a_first_word_may_take_is_waited_for() {
    let thinking = delta(&json!({"reasoning_content": "hm"})).into_bytes();
    let mut chunks = vec![thinking; 12];
    chunks.push(whole("").into_bytes());
    let pause = Duration::from_millis(100);
    let answer = Answer { media_type: SSE, chunks, pause, ending: Ending::Clean };
    let raw = Raw::serve(answer).await;
    let url = format!("http://{}", raw.address);
    let llm = Bench::start().await.llm_with(OpenAi, |config| {
        config.base_url = Some(url);
        config.timeouts.first_content = pause * 8;
    });
    let (text, _) = llm.ask().await.expect("an answer");
    assert_eq!((text.as_str(), raw.requests()), (AHOY, 1));
    let first = llm.readings.seconds("llm_time_to_first_token_seconds", &[]);
    assert!(first >= (pause * 12).as_secs_f64(), "thought is no token: {first}");
}

#[tokio::test]
async fn who_begins_in_thought_is_known_after_the_first_answer_or_by_the_configuration() {
    let body = says("hm, dull…") + &says("</think>\n") + &whole("");
    let chunks = vec![body.into_bytes()];
    let answer = Answer { media_type: SSE, chunks, pause: Duration::ZERO, ending: Ending::Clean };
    let raw = Raw::serve(answer).await;
    let bench = Bench::start().await;
    for told in [false, true] {
        let llm = bench.llm_with(OpenAi, |config| {
            config.base_url = Some(format!("http://{}", raw.address));
            config.begins_in_thought = told;
        });
        for answer in 0..3 {
            let mut shown = String::new();
            let asked = llm.ask_noting(prompt(), |text| shown.push_str(text)).await;
            assert_eq!(asked.expect("an answer").0, AHOY);
            let expected = if told || answer > 0 { AHOY } else { "hm, dull…Ahoy" };
            assert_eq!(shown, expected, "answer {answer}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_bounds_is_not_shown_whole_and_no_success() {
    let flood = says(&"Ahoy ".repeat(1000)).into_bytes();
    let chunks = vec![flood; 3000];
    let answer = Answer { media_type: SSE, chunks, pause: Duration::ZERO, ending: Ending::Clean };
    let raw = Raw::serve(answer).await;
    let (text, error) =
        client(&Bench::start().await, OpenAi, &raw).ask().await.expect_err("no end");
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert_eq!(text.len(), 800 * 16 + 4096, "in proportion to max_tokens");
}
