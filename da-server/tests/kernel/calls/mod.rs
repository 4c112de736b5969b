//! Calls through the real clients over real TLS to stand-ins, joined with what the real programs saw.

pub mod desk;
pub mod differences;
pub mod line;
mod own;
mod page;
pub mod provider;
mod proxy;
mod reused;
pub mod served;
mod shared;
mod two_servers;
mod window;
