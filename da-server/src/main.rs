//! The game server.
fn main() {}
