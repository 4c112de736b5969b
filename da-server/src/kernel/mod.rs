//! The kernel view: what the sockets to the configured endpoints did.

pub mod config;

pub use config::{EndpointConfig, EndpointKind, KernelConfig, Unlisted};
