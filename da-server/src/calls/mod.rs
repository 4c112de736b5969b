//! Every call to a provider with its time accounted for: the application's timings, joined with what the
//! kernel saw of the socket, and split into phases that sum to the call's duration.
//!
//! [`Call`] is one call with its [`Attempt`]s, [`Phases`] where an attempt's time went, [`Socket`]
//! what the kernel says of it and [`Join`] how both were brought together. [`CallHistory`] keeps the
//! latest and the slowest. No prompt, answer, key or audio ever comes here.
//!
//! [`Calls`] starts the correlator's `thread`, which receives both sides. The `correlator` joins them by the
//! addresses of the `sockets` that the kernel saw, and by `matching` where the application does not know its
//! addresses; `phase_split` makes phases of both. Of other processes' calls the kernel view alone tells: these are
//! `observed`, and all that a collector has.

mod attempt;
mod call;
mod config;
mod correlator;
mod ended;
mod history;
mod join;
mod matching;
mod metrics;
mod observed;
mod phase;
mod phase_split;
mod slow;
mod socket;
mod sockets;
mod thread;

pub use attempt::{Attempt, Read, Reuse};
pub use call::{Call, CallKind, Process};
pub use config::CallsConfig;
pub use ended::Ended;
pub use history::{Bounds, CallHistory, MAX_LISTED, Update};
pub use join::Join;
pub use phase::{Phase, PhaseSplitter, Phases};
pub use socket::{Gap, Socket, Wait};
pub use thread::{Calls, KernelView, StartError, observe};

#[cfg(test)]
pub(crate) use call::tests::call as sample_call;
