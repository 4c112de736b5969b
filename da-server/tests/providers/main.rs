//! The LLM and TTS clients against stand-in providers over real sockets and real TLS.

mod bench;
mod breaker;
mod fallbacks;
mod foreign;
mod limits;
mod llm_answers;
mod llm_cancel;
mod llm_failures;
mod llm_metrics;
mod llm_retries;
mod readings;
mod tls;
mod tts;
mod tts_metrics;
