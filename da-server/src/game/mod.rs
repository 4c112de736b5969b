//! The game.

mod config;
pub mod queue;
pub mod scene;
pub mod world;

pub use config::GameConfig;
