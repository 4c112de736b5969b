//! The dashboards as they are shipped.

mod layout;
mod lint;
mod linter;
mod schema;
mod source;

use std::path::{Path, PathBuf};

use da_monitoring::dashboards::shipped::Dashboard;

/// The folder `dashboards`.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards")
}

/// All dashboards; never none.
pub fn all() -> Vec<Dashboard> {
    let all = Dashboard::read_all(&folder()).expect("the dashboards are read");
    assert!(!all.is_empty(), "there are no dashboards");
    all
}
