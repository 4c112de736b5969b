//! Stand-in providers: real processes that speak the wire protocols of Anthropic Messages, OpenAI
//! chat completions and speech, Google Gemini and ElevenLabs text to speech over real TLS, with delays
//! and faults that the caller chooses, and a log of what they did with monotonic timestamps.
//!
//! [`Standin::start`] starts one; [`Standin::set_plan`] says how it answers from then on, and
//! [`Standin::log`] what it did. A client has to trust [`Standin::ca_pem`] and to find the providers' names
//! at [`Standin::addr`]. `tests/standin/support.rs` shows all of it.
//!
//! [`FloodServer`] is for answers that no provider would send.
//!
//! All protocols are served on every name, by path. A request's plan is the one in its
//! `x-standin-plan` header (fields of a [`Plan`] as JSON) over the one of its name over the
//! default. In a stream the head and every chunk are one TLS write each, flushed; the end of the
//! body rides on the last chunk. Only HTTP/1.1 is spoken.

mod anthropic;
mod audio;
mod clock;
mod connection;
mod delay;
mod elevenlabs;
mod exchange;
mod fault;
mod flood;
mod google;
mod http;
mod inject;
mod log;
mod openai;
mod openai_speech;
mod options;
mod plan;
mod plans;
mod protocol;
mod response;
mod server;
mod serving;
mod shared;
mod socket;
mod speech;
mod text;
mod tls;
mod wire;

pub use clock::now_ns;
pub use delay::Delay;
pub use fault::Fault;
pub use flood::{Decoder, Flood, FloodServer};
pub use log::{CloseReason, Event, LogEntry};
pub use options::{DEFAULT_NAMES, Options, TlsMode};
pub use plan::Plan;
pub use server::Standin;
