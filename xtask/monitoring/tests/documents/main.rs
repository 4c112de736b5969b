//! The documents: what they link to is there, what they tell to type works, and their queries run.

mod commands;
mod links;
mod page;
mod stage;
