//! `cargo xtask rules`: the rules, as the Prometheus operator takes them.

use anyhow::Result;

use crate::command::step;
use crate::workspace::Workspace;

/// Writes `deploy/kubernetes/monitoring/rules.yaml`.
///
/// # Errors
/// If the rules are not understood.
pub fn rules(workspace: &Workspace) -> Result<()> {
    step("write deploy/kubernetes/monitoring/rules.yaml");
    da_monitoring::rules::write(&workspace.deploy())
}
