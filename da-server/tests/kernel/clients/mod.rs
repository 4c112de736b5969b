//! HTTP clients of several makes, and the servers that they ask.

pub mod cell;
mod early_data;
pub mod job;
pub mod nginx;
pub mod program;
pub mod relay;
mod rust;
pub mod seen;
pub mod servers;
pub mod table;
