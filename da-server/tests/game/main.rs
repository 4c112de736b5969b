//! The whole server over real sockets: players on one side, stand-in providers on the other.

mod binary;
mod browser;
mod calls;
mod calls_back_off;
mod calls_page;
mod calls_terminal;
#[path = "../collector/certificates.rs"]
mod certificates;
mod conversation;
mod failures;
mod formats;
mod guarded;
mod health;
mod limits;
mod nginx;
mod operators;
mod page;
mod play;
mod player;
#[allow(dead_code, reason = "the store's own tests use the rest")]
mod postgres;
#[allow(dead_code, reason = "tests/collector uses other parts")]
#[path = "../collector/program.rs"]
mod program;
#[path = "../collector/promtool.rs"]
mod promtool;
mod relay;
mod replicas;
mod rules;
mod sample_calls;
mod scrape;
mod server;
mod slow_calls;
mod slow_store;
mod stages;
