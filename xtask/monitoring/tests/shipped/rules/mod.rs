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

/// Whether there is an Alertmanager to test with; says so where there is none, and fails in CI.
pub fn alertmanager_is_here() -> bool {
    let is_here = da_monitoring::alertmanager::Alertmanager::is_installed();
    assert!(
        is_here || std::env::var_os("CI").is_none(),
        "prometheus-alertmanager is missing in CI"
    );
    if !is_here {
        eprintln!("SKIPPED: apt-get install prometheus-alertmanager");
    }
    is_here
}
