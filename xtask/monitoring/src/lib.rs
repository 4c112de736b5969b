//! Holds what is shipped for Prometheus and Grafana against the real parts: its tests start them,
//! in folders and on ports of their own, and ask them.

pub mod alertmanager;
pub mod api;
pub mod built;
pub mod changed;
pub mod dashboards;
pub mod program;
pub mod programs;
pub mod prometheus;
pub mod rules;
