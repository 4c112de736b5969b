//! More of everything than there should be.

mod connections;
mod passwords;
mod players;
