//! The kernel view against the stand-in's log: real programs, real kernel, real TLS sockets.
//!
//! These tests load BPF programs, so they need root (or CAP_BPF and CAP_PERFMON) and a kernel that
//! has the tracepoints. Where that is missing they say SKIPPED; with `CI` or `DA_REQUIRE_KERNEL` set
//! they fail instead. They run one at a time: each measures time on a machine it wants to itself.

mod accuracy;
mod attribution;
mod bounds;
#[allow(dead_code, reason = "tests/game uses other parts")]
#[path = "../game/browser.rs"]
mod browser;
mod budget;
mod call_bounds;
mod call_edges;
mod calls;
mod checking;
mod client;
mod clients;
mod cost;
mod crowd;
mod edges;
mod existing;
mod exposition;
mod families;
mod guest;
mod lab;
mod network;
mod older_hooks;
mod outcomes;
mod ownership;
mod plain;
mod privileges;
mod processes;
#[allow(dead_code, reason = "tests/collector uses other parts")]
#[path = "../collector/program.rs"]
mod program;
#[path = "../collector/promtool.rs"]
mod promtool;
mod reloading;
mod report;
#[allow(dead_code, reason = "tests/game uses other parts")]
#[path = "../game/scrape.rs"]
mod scrape;
mod skipped;
mod streams;
mod syscalls;
mod tcp_info;
mod tickets;
mod unread;
mod upgrades;
mod waits;
