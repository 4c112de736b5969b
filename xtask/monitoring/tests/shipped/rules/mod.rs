//! The rules for Prometheus and the routes of Alertmanager.

mod alerts;
mod delivery;
pub mod families;
pub mod files;
mod level;
mod names;
mod placeholder;
mod runbook;
mod tools;
mod webhook;
