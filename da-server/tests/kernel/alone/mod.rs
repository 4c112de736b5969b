//! Tests that compare times, or count what the whole host shares: each has the machine to itself.
//! `cargo xtask test` runs them after all others, one by one.

mod accepted;
mod blocking;
mod bounds;
mod budget;
mod call_bounds;
mod causes;
mod clients;
mod cost;
mod crowd;
mod everyone;
mod heartbeat;
mod incomplete_calls;
mod injected;
mod judged;
mod leave;
mod many_calls;
mod processes;
mod run_queue;
mod slow_network;
