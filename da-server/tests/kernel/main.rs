//! The kernel view against the stand-in's log: real programs, real kernel, real TLS sockets.
//!
//! These tests load BPF programs, so they need root (or CAP_BPF and CAP_PERFMON) and a kernel that
//! has the tracepoints. Where that is missing they say SKIPPED; with `CI` set they fail
//! instead. Many run at once, each on a name of its own; see `turns` for those that can't.

mod accuracy;
mod alone;
mod answered;
mod attribution;
mod backlog;
mod brackets;
mod buffered;
mod call_edges;
mod calls;
mod checking;
mod client;
mod client_certificates;
mod clients;
mod dns;
mod edges;
mod existing;
mod exposition;
mod families;
mod foreign_calls;
mod gap_causes;
mod guest;
mod idle;
mod lab;
mod lost;
mod network;
mod older_hooks;
mod outcomes;
mod ownership;
mod plain;
mod privileges;
mod real;
mod recording;
mod reloading;
mod sdks;
mod secrets;
mod silent;
mod skipped;
mod streams;
mod syscalls;
mod tcp_info;
mod tickets;
mod turns;
mod under_way;
mod unread;
mod upgrades;
mod verifier;
mod waits;
mod workload;
