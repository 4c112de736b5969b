//! What tests need of the machine: whether it is here, and what is said and done where it is not.

use da_testkit::alertmanager::Alertmanager;
use da_testkit::prometheus::Prometheus;

/// Whether there is a Prometheus to test with; says so where there is none, and fails in CI.
pub fn prometheus_is_here() -> bool {
    let is_here = Prometheus::is_installed();
    assert!(is_here || std::env::var_os("CI").is_none(), "prometheus is missing in CI");
    if !is_here {
        eprintln!("SKIPPED: prometheus is not installed (apt-get install prometheus)");
    }
    is_here
}

/// Whether there is an Alertmanager to test with; says so where there is none, and fails in CI.
pub fn alertmanager_is_here() -> bool {
    let is_here = Alertmanager::is_installed();
    assert!(
        is_here || std::env::var_os("CI").is_none(),
        "prometheus-alertmanager is missing in CI"
    );
    if !is_here {
        eprintln!("SKIPPED: apt-get install prometheus-alertmanager");
    }
    is_here
}

/// Whether a live server can be watched, which takes Prometheus and Alertmanager, and root for the kernel view.
pub fn live_is_possible() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let required =
        ["CI", "DA_REQUIRE_KERNEL"].into_iter().any(|name| std::env::var_os(name).is_some());
    assert!(is_root || !required, "this test must run here, but can't: it takes root");
    if !is_root {
        eprintln!("SKIPPED: the kernel view takes root");
    }
    is_root && prometheus_is_here() && alertmanager_is_here()
}
