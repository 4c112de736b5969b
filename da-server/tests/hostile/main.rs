//! What strangers, providers, disks and signals may do to a server, and that the game goes on.
//!
//! A case is a few lines of data: what is done, to what, and what is to come of it. Each runs against a
//! `da-server` of its own, a process, beside which a healthy player gets a turn, and after each the same is
//! checked of all: [`after`]. Each is a test, so that a red one has a name, and prints a row of the table
//! that `cargo xtask test --hostile` makes of them. `cargo xtask test` runs those that are quick.

/// Makes a test of each case: `name: data;` becomes `play(data)`.
macro_rules! cases {
    ($play:path; $($name:ident: $($case:expr),+;)+) => {
        $(#[test] fn $name() { $play($($case),+) })+
    };
}

mod after;
mod case;
mod floods;
mod http;
mod lines;
mod models;
mod processes;
mod provider;
mod server;
mod stores;
mod tls;
mod voices;
mod websocket;
