//! DNS: what the resolvers of real clients ask a real server, slowed down by a known delay, and what the view says of it.

pub mod clients;
mod failures;
pub mod network;
