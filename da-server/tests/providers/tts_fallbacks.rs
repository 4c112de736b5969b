//! Who speaks when the first voice fails, and who is told of it.

use std::time::Duration;

use da_server::provider::{ApiKey, ErrorKind};
use da_server::tts::{TtsConfig, TtsProtocol};
use da_standin::{Delay, Event, Fault, Plan};

use crate::bench::{Bench, Tts, VOICES, count, voice};
use crate::tts::{hear, speech};

const HOSTS: [&str; 2] = ["api.elevenlabs.io", "api.openai.com"];

/// How the first voice's audio is told, and the other's.
const MIMES: [&str; 2] = ["audio/mpeg", "audio/pcm;rate=24000;channels=1"];

/// A first voice, which `spoil` has made fail, and the other one behind it.
fn tts(bench: &Bench, spoil: impl FnOnce(&mut TtsConfig)) -> Tts {
    bench.tts_with(VOICES[0], |config| {
        config.retry.max_retries = 0;
        config.timeouts.total = Duration::from_secs(10);
        config.fallback = vec![other()];
        spoil(config);
    })
}

fn other() -> TtsConfig {
    let mut other = voice(VOICES[1]);
    other.output_format = Some("pcm_24000".to_owned());
    other.api_key = ApiKey::new("another-key");
    other.retry.max_retries = 0;
    other
}

fn failing(bench: &Bench, host: usize, fault: Fault) {
    let plan = Plan { fault: Some(fault), ..Plan::default() };
    bench.standin.set_plan_for(HOSTS[host], plan);
}

/// The other one has spoken, and everything is counted where it happened.
async fn assert_mended(tts: &Tts, reason: ErrorKind) {
    let (audio, mime) = hear(tts).await.unwrap_or_else(|error| panic!("{reason:?}: {error}"));
    assert!(!audio.is_empty());
    assert_eq!(mime, MIMES[1], "the format is that of who speaks");
    let readings = &tts.readings;
    let reason = reason.as_str();
    let [from, to] = VOICES.map(TtsProtocol::provider_name);
    let labels = [
        ("provider", from),
        ("model", "eleven_flash_v2_5"),
        ("to_provider", to),
        ("to_model", "gpt-4o-mini-tts"),
        ("reason", reason),
    ];
    assert_eq!(readings.counter("tts_fallbacks_total", &labels), 1.0, "{reason}");
    assert_eq!(readings.counter("tts_fallbacks_total", &[]), 1.0, "{reason}");
    let attempts = |provider, outcome| {
        let labels = [("provider", provider), ("outcome", outcome)];
        readings.samples("tts_attempt_seconds", &labels)
    };
    assert_eq!((attempts(from, reason), attempts(to, "success")), (1, 1), "{reason}");
    assert_eq!(readings.samples("tts_attempt_seconds", &[]), 2, "{reason}");
    assert_eq!(readings.samples("tts_latency_seconds", &[("outcome", "success")]), 1);
    assert_eq!(readings.samples("tts_latency_seconds", &[]), 1, "it is one call");
    let characters = speech().text.chars().count() as f64;
    for (provider, spoke) in [(from, false), (to, true)] {
        let of = [("provider", provider)];
        for family in [
            "tts_time_to_first_byte_seconds",
            "tts_time_to_first_audio_seconds",
            "tts_real_time_factor",
        ] {
            assert_eq!(readings.samples(family, &of), u64::from(spoke), "{family} of {provider}");
        }
        let counted = readings.counter("tts_characters_total", &of);
        assert_eq!(counted, if spoke { characters } else { 0.0 }, "characters of {provider}");
        assert_eq!(readings.counter("tts_audio_seconds_total", &of) > 0.0, spoke, "{provider}");
    }
}

#[tokio::test]
async fn what_another_may_mend_is_asked_of_the_next() {
    let limited = Fault::RateLimited { retry_after: Some(60), retry_after_ms: None };
    for (fault, reason) in [
        (Fault::Overloaded, ErrorKind::Overloaded),
        (Fault::ServerError, ErrorKind::Server),
        (limited, ErrorKind::RateLimited),
        (Fault::ResetBeforeFirstToken { after_head: false }, ErrorKind::Interrupted),
        (Fault::Hang, ErrorKind::Timeout),
        (Fault::BadHandshake, ErrorKind::Tls),
        (Fault::NonAudio200, ErrorKind::NotAudio),
    ] {
        let bench = Bench::start().await;
        failing(&bench, 0, fault);
        let tts = tts(&bench, |config| {
            if reason == ErrorKind::Timeout {
                config.timeouts.first_content = Duration::from_millis(500);
            }
        });
        assert_mended(&tts, reason).await;
    }
}

#[tokio::test]
async fn so_are_a_refused_key_and_a_closed_port() {
    let bench = Bench::start().await;
    let port = bench.standin.addr().port();
    let keyless = tts(&bench, |config| {
        config.api_key = None;
        config.base_url = Some(format!("https://localhost:{port}"));
    });
    assert_mended(&keyless, ErrorKind::Authentication).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let closed = tts(&bench, |config| {
        config.base_url = Some(format!("https://localhost:{port}"));
    });
    assert_mended(&closed, ErrorKind::Connect).await;
}

#[tokio::test]
async fn the_latency_is_that_of_the_whole_call() {
    let bench = Bench::start().await;
    failing(&bench, 0, Fault::Hang);
    let waited = Duration::from_millis(600);
    let tts = tts(&bench, |config| config.timeouts.first_content = waited);
    assert_mended(&tts, ErrorKind::Timeout).await;
    let latency = tts.readings.seconds("tts_latency_seconds", &[]);
    assert!(latency >= waited.as_secs_f64(), "{latency} s, of which it waited {waited:?}");
    let first_byte = tts.readings.seconds("tts_time_to_first_byte_seconds", &[]);
    assert!(first_byte < latency - waited.as_secs_f64(), "{first_byte} s is of one attempt");
}

#[tokio::test]
async fn an_open_breaker_sends_calls_on_at_once() {
    let bench = Bench::start().await;
    failing(&bench, 0, Fault::ServerError);
    let tts = tts(&bench, |config| {
        config.breaker.failures = 1;
        config.breaker.cool_down = Duration::from_secs(3600);
    });
    for _ in 0..3 {
        hear(&tts).await.expect("audio");
    }
    assert_eq!(bench.requests().await, 4, "the first provider was asked once");
    let reason = |reason| tts.readings.counter("tts_fallbacks_total", &[("reason", reason)]);
    assert_eq!((reason("server"), reason("circuit_open")), (1.0, 2.0));
}

#[tokio::test]
async fn audio_that_has_begun_is_not_asked_for_again() {
    let bench = Bench::start().await;
    bench.standin.set_plan_for(
        HOSTS[0],
        Plan {
            fault: Some(Fault::ResetAfterFirstToken { after_chunks: 1 }),
            between_chunks_ms: Delay::Fixed(50.0),
            ..Plan::default()
        },
    );
    let begun = tts(&bench, |_| {});
    let error = hear(&begun).await.expect_err("it breaks off");
    assert_eq!((error.kind, &*error.provider), (ErrorKind::Interrupted, "elevenlabs"));
    assert_eq!(begun.readings.counter("tts_fallbacks_total", &[]), 0.0);
    assert_eq!(begun.readings.samples("tts_attempt_seconds", &[("provider", "openai")]), 0);
    assert_eq!(begun.readings.samples("tts_latency_seconds", &[("outcome", "error")]), 1);
}

#[tokio::test]
async fn when_all_fail_the_last_error_is_told() {
    let bench = Bench::start().await;
    failing(&bench, 0, Fault::Overloaded);
    failing(&bench, 1, Fault::ServerError);
    let tts = tts(&bench, |_| {});
    let error = hear(&tts).await.expect_err("both fail");
    assert_eq!((error.kind, &*error.provider), (ErrorKind::Server, "openai"));
    let log = bench.log().await;
    assert_eq!(count(&log, |event| matches!(event, Event::Fault { .. })), 2);
    assert_eq!(tts.readings.counter("tts_fallbacks_total", &[]), 1.0);
    assert_eq!(tts.readings.samples("tts_latency_seconds", &[("outcome", "error")]), 1);
    assert_eq!(tts.readings.samples("tts_latency_seconds", &[]), 1);
}
