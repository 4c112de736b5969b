//! `cargo xtask dashboards`: the Grafana dashboards, as Grafana takes them.

use anyhow::Result;

use crate::command::step;
use crate::workspace::Workspace;

/// Writes `dashboards/*.json`.
///
/// # Errors
/// If their source is not understood.
pub fn dashboards(workspace: &Workspace) -> Result<()> {
    step("write dashboards/*.json");
    da_monitoring::dashboards::write(&workspace.dashboards())
}
