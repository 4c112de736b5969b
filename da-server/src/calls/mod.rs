//! Every call to a provider with its time accounted for: what the application noted of it, joined
//! with what the kernel saw of the socket it ran on, cut into phases that sum to what it took.
//!
//! [`Call`] is one call with its [`Attempt`]s, [`Phases`] where an attempt's time went, [`Socket`]
//! what the kernel says of it and [`Join`] how both were brought together. [`Recent`] keeps the
//! latest and the slowest. No prompt, answer, key or audio ever comes here.
//!
//! [`Calls`] begins at the `desk`, to which both halves come; the `joiner` brings them together by
//! what `sockets` remembers of the kernel's, and by `candidates` where the application does not know
//! its addresses; `cutting` makes phases of both.

mod attempt;
mod call;
mod candidates;
mod config;
mod cutting;
mod desk;
mod join;
mod joiner;
mod metrics;
mod phase;
mod recent;
mod slow;
mod socket;
mod sockets;

pub use attempt::{Attempt, Read, Reuse};
pub use call::{Call, CallKind};
pub use config::CallsConfig;
pub use desk::{Calls, KernelView, StartError};
pub use join::Join;
pub use phase::{Cut, Phase, Phases};
pub use recent::{Bounds, MAX_LISTED, Recent, Update};
pub use socket::{Socket, Wait};

#[cfg(test)]
pub(crate) use call::tests::call as sample_call;
