//! What is shipped for Prometheus and Grafana, held against the real programs and their rules.

mod dashboards;
mod deploy;
mod files;
mod lists;
mod live;
mod needs;
mod prometheus;
mod promql;
mod rules;
mod scaling;
mod sockets;
