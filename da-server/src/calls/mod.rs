//! Every call to a provider with its time accounted for: what the application noted of it, joined
//! with what the kernel saw of the socket it ran on, cut into phases that sum to what it took.
//!
//! [`Call`] is one call with its [`Attempt`]s, [`Phases`] where an attempt's time went, [`Socket`]
//! what the kernel says of it and [`Join`] how both were brought together. [`Recent`] keeps the
//! latest and the slowest. No prompt, answer, key or audio ever comes here.

mod attempt;
mod call;
mod join;
mod phase;
mod recent;
mod socket;

pub use attempt::{Attempt, Read, Reuse};
pub use call::{Call, CallKind};
pub use join::Join;
pub use phase::{Cut, Phase, Phases};
pub use recent::{Bounds, Recent};
pub use socket::{Socket, Wait};
