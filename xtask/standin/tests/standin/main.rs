//! Black box: clients on real sockets against a running stand-in.
// clippy.toml allows it in test functions; their helpers outside of them fail tests just as well.
#![allow(clippy::unwrap_used)]

mod binary;
mod connections;
mod delays;
mod faults;
mod http;
mod language_models;
mod log;
mod speech;
mod support;
mod tls;
