//! What tests need of the machine: whether it is here, and what is said and done where it is not.

use da_testkit::alertmanager::Alertmanager;
use da_testkit::programs::skip;
use da_testkit::prometheus::Prometheus;

/// Whether there is a Prometheus to test with; says so where there is none, and fails in CI.
pub fn prometheus_is_here() -> bool {
    let is_here = Prometheus::is_installed();
    if !is_here {
        skip("prometheus is not installed: `cargo xtask setup` does it");
    }
    is_here
}

/// Whether there is an Alertmanager to test with; says so where there is none, and fails in CI.
pub fn alertmanager_is_here() -> bool {
    let is_here = Alertmanager::is_installed();
    if !is_here {
        skip("prometheus-alertmanager is not installed: `cargo xtask setup` does it");
    }
    is_here
}

/// Whether a live server can be watched, which takes Prometheus and Alertmanager, and root for the kernel view.
pub fn live_is_possible() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("the kernel view takes root");
    }
    is_root && prometheus_is_here() && alertmanager_is_here()
}
