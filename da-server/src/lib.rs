//! The game server.

pub mod kernel;
