//! What tests need of the machine: whether it is here, and what is said and done where it is not.

use std::process::Command;

use da_testkit::alertmanager::Alertmanager;
use da_testkit::built;
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

/// What `da-server check` exits with where nothing can be measured.
const NOTHING: i32 = 2;

/// Whether a live server can be watched, which takes Prometheus and Alertmanager, and a kernel view.
pub fn live_is_possible() -> bool {
    let mut check = Command::new(built::program("da-server").expect("built"));
    let checked = check.arg("check").env_clear().output().expect("runs");
    let has_view = checked.status.code() != Some(NOTHING);
    if !has_view {
        skip(&format!("no kernel view: {}", String::from_utf8_lossy(&checked.stdout)));
    }
    has_view && prometheus_is_here() && alertmanager_is_here()
}
