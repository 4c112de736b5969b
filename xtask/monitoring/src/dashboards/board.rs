//! A dashboard in the JSON of Grafana's dashboard model.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::layout::Layout;
use super::panel::{data_source, panel};
use super::shorthand::expand;
use super::source::{Annotation, Board, Common, Variable};

/// The version of that model: of Grafana 11.6. Newer ones bring it up to theirs.
const SCHEMA_VERSION: u32 = 41;

/// `board` as Grafana takes it.
///
/// # Errors
/// If it names a variable that there is not, or a panel can't be made: which one.
pub fn board(board: &Board, common: &Common) -> Result<Value> {
    let mut variables = vec![data_source_variable()];
    for name in &board.variables {
        let found = common.variable.iter().find(|variable| variable.name == *name);
        let found = found.with_context(|| format!("there is no variable {name}"))?;
        variables.push(query_variable(found, board.one_of.contains(name), common)?);
    }
    let unknown = board.one_of.iter().find(|name| !board.variables.contains(name));
    ensure!(unknown.is_none(), "one_of names {unknown:?}, which is no variable of it");
    let mut annotations = vec![built_in_annotation()];
    for written in &common.annotation {
        annotations.push(annotation(written, common)?);
    }
    Ok(json!({
        "uid": board.uid,
        "title": format!("{} / {}", common.prefix, board.title),
        "description": board.description,
        "tags": [common.tag],
        "editable": false,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": common.from, "to": "now"},
        "refresh": common.refresh,
        "schemaVersion": SCHEMA_VERSION,
        "links": [{
            "title": common.prefix,
            "type": "dashboards",
            "tags": [common.tag],
            "asDropdown": false,
            "includeVars": true,
            "keepTime": true,
            "targetBlank": false,
            "icon": "external link",
            "tooltip": "",
            "url": "",
        }],
        "templating": {"list": variables},
        "annotations": {"list": annotations},
        "panels": panels(board, common)?,
    }))
}

/// Headings and panels, each with a number of its own.
fn panels(board: &Board, common: &Common) -> Result<Vec<Value>> {
    let mut layout = Layout::default();
    let mut panels = Vec::new();
    for row in &board.row {
        panels.push(json!({
            "id": panels.len() + 1,
            "type": "row",
            "title": row.title,
            "collapsed": false,
            "gridPos": layout.place_heading(),
            "panels": [],
        }));
        for written in &row.panel {
            let place = |layout: &mut Layout| {
                let height = written.height.unwrap_or(written.kind.usual_height());
                let mut panel = panel(written, common)?;
                panel["id"] = json!(panels.len() + 1);
                panel["gridPos"] = layout.place(written.width, height)?;
                anyhow::Ok(panel)
            };
            let panel = place(&mut layout).with_context(|| format!("panel {}", written.title))?;
            panels.push(panel);
        }
    }
    Ok(panels)
}

fn data_source_variable() -> Value {
    json!({
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "hide": 0,
        "multi": false,
        "includeAll": false,
        "options": [],
    })
}

/// A choice: of one value, or of any number of them, all at first.
fn query_variable(variable: &Variable, is_one: bool, common: &Common) -> Result<Value> {
    let query = expand(&variable.query, &common.shorthand)?;
    let mut made = json!({
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": data_source(),
        "query": {"query": query, "refId": "StandardVariableQuery"},
        // Whenever the time range changes.
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "hide": 0,
        "multi": !is_one,
        "includeAll": !is_one,
        "options": [],
    });
    // Of one value, Grafana chooses the first that there is.
    made["current"] = json!({});
    if !is_one {
        made["allValue"] = json!(".+");
        made["current"] = json!({"selected": true, "text": ["All"], "value": ["$__all"]});
    }
    Ok(made)
}

fn annotation(annotation: &Annotation, common: &Common) -> Result<Value> {
    Ok(json!({
        "name": annotation.name,
        "datasource": data_source(),
        "enable": true,
        "hide": false,
        "iconColor": annotation.color,
        "expr": expand(&annotation.promql, &common.shorthand)?,
        "titleFormat": annotation.name,
        "textFormat": annotation.text,
        "step": "30s",
        "useValueForTime": if annotation.value_is_time { "on" } else { "" },
    }))
}

/// What Grafana's own annotations come from: every dashboard has it.
fn built_in_annotation() -> Value {
    json!({
        "name": "Annotations & Alerts",
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "builtIn": 1,
        "enable": true,
        "hide": true,
        "iconColor": "rgba(0, 211, 255, 1)",
        "type": "dashboard",
    })
}
