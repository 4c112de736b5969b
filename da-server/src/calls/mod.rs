//! Every call to a provider with its time accounted for: the application's timings, joined with what the
//! kernel saw of the socket, and split into phases that sum to the call's duration.
//!
//! [`Call`] is one call with its [`Attempt`]s, [`Phases`] where an attempt's time went, [`Socket`]
//! what the kernel says of it and [`Join`] how both were brought together. [`CallHistory`] keeps the
//! latest and the slowest; a [`CallQuery`] chooses among them, and `file_writer` writes them down where the operator
//! wishes, for [`read_calls`]. No prompt, answer, key or audio ever comes here.
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
mod file;
mod file_writer;
mod history;
mod join;
mod kept;
mod last_work;
mod matching;
mod metrics;
mod observed;
mod phase;
mod phase_split;
mod query;
mod slow;
mod socket;
mod sockets;
mod thread;
mod update;

pub use attempt::{Attempt, Read, Reuse};
pub use call::{Call, CallKind, Process};
pub use config::CallsConfig;
pub use ended::Ended;
pub use file::FileError;
pub use file_writer::CallFileError;
pub use history::{Bounds, CallHistory, MAX_LISTED};
pub use join::Join;
pub use kept::{number_anew, read_calls};
pub use last_work::finish;
pub use phase::{Phase, PhaseSplitter, Phases};
pub use query::{CallQuery, Ending, Order, Whose};
pub use socket::{Gap, Socket, Wait};
pub use thread::{Calls, KernelView, Observed, StartError, observe};
pub use update::Update;

#[cfg(test)]
pub(crate) use call::tests::call as sample_call;
