//! What is shipped for Prometheus and Grafana, held against the real programs and their rules.

mod dashboards;
mod deploy;
mod lists;
mod live;
mod prometheus;
mod promql;
mod rules;
mod scaling;
mod sockets;

/// Whether there is a Prometheus to test with; says so where there is none, and fails in CI.
fn prometheus_is_here() -> bool {
    let is_here = da_monitoring::prometheus::Prometheus::is_installed();
    assert!(is_here || std::env::var_os("CI").is_none(), "prometheus is missing in CI");
    if !is_here {
        eprintln!("SKIPPED: prometheus is not installed (apt-get install prometheus)");
    }
    is_here
}
