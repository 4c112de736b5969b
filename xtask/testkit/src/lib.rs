//! What tests, the demo and the benchmarks share: programs that are started and surely end, what they say,
//! and who talks to them.
//!
//! What can't go on without an answer fails with a panic, as a test does.

pub mod alertmanager;
pub mod api;
pub mod browser;
pub mod built;
pub mod certificates;
pub mod changed;
pub mod exposition;
pub mod nginx;
pub mod player;
pub mod postgres;
pub mod program;
pub mod programs;
pub mod prometheus;
pub mod promtool;
pub mod raw;
pub mod recording;
pub mod scenes;
pub mod scrape;
pub mod seen_turn;
pub mod server;
