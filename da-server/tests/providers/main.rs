//! The LLM and TTS clients against stand-in providers over real sockets and real TLS.

mod asking;
mod bench;
mod breaker;
mod clocks;
mod fallbacks;
mod foreign;
mod google_refusals;
mod late_refusals;
mod limits;
mod llm_answers;
mod llm_cancel;
mod llm_failures;
mod llm_metrics;
mod llm_retries;
mod quirks;
mod readings;
mod sdks;
mod tls;
mod tts;
mod tts_fallbacks;
mod tts_metrics;
mod tts_quirks;
