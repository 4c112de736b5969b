//! The whole server over real sockets: players on one side, stand-in providers on the other.

mod acknowledged;
mod binary;
mod browser;
mod calls;
mod calls_back_off;
mod calls_page;
mod calls_terminal;
#[path = "../collector/certificates.rs"]
mod certificates;
mod closing;
mod conversation;
mod cues;
mod cut;
mod exchanges;
mod failures;
mod firefox;
mod floods;
mod formats;
mod guarded;
mod health;
mod hosts;
mod limits;
mod locked;
mod lost_database;
mod margins;
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
#[allow(dead_code, reason = "tests/providers uses the rest")]
#[path = "../providers/raw.rs"]
mod raw;
mod relay;
mod replicas;
mod returning;
mod rules;
mod sample_calls;
mod scenes;
mod scrape;
mod seen_turn;
mod server;
mod silent_tail;
mod slow_calls;
mod slow_store;
mod stage_causes;
mod stages;
mod standstill;
mod starts;
mod unopened_thought;
mod voices;
