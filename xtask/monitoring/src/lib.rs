//! What is shipped for Prometheus and Grafana that is made from something else: dashboards and rules.
//! The tests hold all that is shipped against the real parts.

pub mod dashboards;
pub mod rules;
