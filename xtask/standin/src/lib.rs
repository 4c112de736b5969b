//! Stand-in providers: real processes that speak the wire protocols of Anthropic Messages, OpenAI
//! chat completions and ElevenLabs text to speech over real TLS, with delays and faults that the
//! caller chooses, and a log of what they did with monotonic timestamps.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use da_standin::{Delay, Options, Plan, Standin};
//!
//! let standin = Standin::start(Options::default()).await?;
//! standin.set_plan(Plan {
//!     first_byte_ms: Delay::Fixed(50.0),
//!     ..Plan::default()
//! });
//! // … a client that trusts `standin.ca_pem()` and resolves api.anthropic.com to
//! // `standin.addr()` asks something …
//! standin.idle().await;
//! for entry in standin.log() {
//!     println!("{} {:?}", entry.t_ns, entry.event);
//! }
//! standin.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! All three protocols are served on every name, by path. A request's plan is the one in its
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
mod http;
mod inject;
mod log;
mod openai;
mod options;
mod plan;
mod plans;
mod protocol;
mod response;
mod server;
mod socket;
mod text;
mod tls;

pub use clock::now_ns;
pub use delay::Delay;
pub use fault::Fault;
pub use log::{CloseReason, Event, LogEntry};
pub use options::{DEFAULT_NAMES, Options, TlsMode};
pub use plan::Plan;
pub use server::Standin;
