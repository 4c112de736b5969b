//! A panel in the JSON of Grafana's dashboard model, but for its number and place.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::shorthand::{expand, quantile};
use super::source::{Common, Kind, Panel, Query, Stack};

/// The data source, whichever is chosen.
pub fn data_source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

impl Kind {
    /// Its height where the source has none, in units of the grid.
    pub fn usual_height(self) -> u32 {
        match self {
            Self::Stat => 4,
            Self::Timeseries | Self::Heatmap | Self::Table => 8,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Timeseries => "timeseries",
            Self::Heatmap => "heatmap",
            Self::Table => "table",
        }
    }

    /// How Prometheus' answer is to be read.
    fn format(self) -> &'static str {
        match self {
            Self::Stat | Self::Timeseries => "time_series",
            Self::Heatmap => "heatmap",
            Self::Table => "table",
        }
    }

    /// Whether only the latest values are asked for.
    fn is_instant(self) -> bool {
        matches!(self, Self::Stat | Self::Table)
    }
}

/// `panel` as Grafana takes it.
///
/// # Errors
/// If it asks nothing, or a query can't be expanded.
pub fn panel(panel: &Panel, common: &Common) -> Result<Value> {
    ensure!(!panel.query.is_empty(), "it asks nothing");
    let mut json = json!({
        "type": panel.kind.as_str(),
        "title": panel.title,
        "description": panel.description,
        "datasource": data_source(),
        "targets": targets(panel, common)?,
        "options": options(panel),
        "fieldConfig": {"defaults": defaults(panel), "overrides": overrides(panel)},
    });
    if panel.kind == Kind::Table {
        // What counts are the labels; the value is always the same.
        let hidden = json!({"Time": true, "Value": true});
        let organize = json!({"id": "organize", "options": {"excludeByName": hidden}});
        json["transformations"] = json!([organize]);
    }
    Ok(json)
}

fn targets(panel: &Panel, common: &Common) -> Result<Vec<Value>> {
    let mut targets = Vec::new();
    for query in &panel.query {
        for (promql, legend) in asked(query, common)? {
            let letter = char::from(b'A' + u8::try_from(targets.len())?);
            targets.push(json!({
                "refId": letter.to_string(),
                "datasource": data_source(),
                "editorMode": "code",
                "expr": promql,
                "legendFormat": legend,
                "format": panel.kind.format(),
                "instant": panel.kind.is_instant(),
                "range": !panel.kind.is_instant(),
            }));
        }
    }
    Ok(targets)
}

/// What is asked, and what the answers are called: once, or once for each quantile.
fn asked(query: &Query, common: &Common) -> Result<Vec<(String, String)>> {
    if query.quantiles.is_empty() {
        return Ok(vec![(expand(&query.promql, &common.shorthand)?, query.legend.clone())]);
    }
    let once = |value: &f64| {
        let mut shorthand = common.shorthand.clone();
        shorthand.extend(quantile(*value));
        Ok((expand(&query.promql, &shorthand)?, expand(&query.legend, &shorthand)?))
    };
    query.quantiles.iter().map(once).collect()
}

fn options(panel: &Panel) -> Value {
    match panel.kind {
        Kind::Stat => json!({
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "orientation": "auto",
            "textMode": "auto",
            "colorMode": if thresholds(panel).is_some() { "value" } else { "none" },
            "graphMode": "none",
            "justifyMode": "auto",
        }),
        Kind::Timeseries => json!({
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }),
        Kind::Heatmap => json!({
            "calculate": false,
            "cellGap": 1,
            "color": {
                "mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "scale": "exponential",
                "exponent": 0.5, "steps": 64, "reverse": false,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            // What is nobody's is left blank.
            "filterValues": {"le": 1e-9},
            "legend": {"show": true},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "showColorScale": false, "yHistogram": true},
            "yAxis": {"axisPlacement": "left", "reverse": false, "unit": panel.unit},
        }),
        Kind::Table => json!({"cellHeight": "sm", "showHeader": true}),
    }
}

fn defaults(panel: &Panel) -> Value {
    let mut defaults = json!({"unit": panel.unit, "custom": custom(panel)});
    if let Some(steps) = thresholds(panel) {
        defaults["thresholds"] = json!({"mode": "absolute", "steps": steps});
        let by = if panel.kind == Kind::Stat { "thresholds" } else { "palette-classic" };
        defaults["color"] = json!({"mode": by});
    }
    // An axis that does not begin at 0 makes a mountain of every molehill.
    if panel.kind == Kind::Timeseries {
        defaults["min"] = json!(0);
    }
    if let Some(max) = panel.max {
        defaults["max"] = json!(max);
    }
    if !panel.words.is_empty() {
        let words = panel.words.iter().map(|(value, text)| (value.clone(), json!({"text": text})));
        let words: serde_json::Map<_, _> = words.collect();
        defaults["mappings"] = json!([{"type": "value", "options": words}]);
    }
    defaults
}

/// The colours from below upward, where there is a good and a bad.
fn thresholds(panel: &Panel) -> Option<Value> {
    match (panel.limit, panel.floor) {
        (Some(limit), _) => Some(json!([
            {"color": "green", "value": null}, {"color": "red", "value": limit}
        ])),
        (None, Some(floor)) => Some(json!([
            {"color": "red", "value": null}, {"color": "green", "value": floor}
        ])),
        (None, None) => None,
    }
}

fn custom(panel: &Panel) -> Value {
    match panel.kind {
        Kind::Stat => json!({}),
        Kind::Table => json!({"align": "auto", "cellOptions": {"type": "auto"}, "inspect": false}),
        Kind::Heatmap => json!({"scaleDistribution": {"type": "linear"}}),
        Kind::Timeseries => {
            let mode = match panel.stack {
                Some(Stack::Normal) => "normal",
                Some(Stack::Percent) => "percent",
                None => "none",
            };
            let has_limit = panel.limit.or(panel.floor).is_some();
            json!({
                "drawStyle": "line",
                "lineInterpolation": "linear",
                "lineWidth": 1,
                "fillOpacity": if panel.stack.is_some() { 70 } else { 5 },
                "gradientMode": "none",
                "showPoints": "auto",
                "pointSize": 4,
                // A gap in the data is a gap in the line.
                "spanNulls": false,
                "stacking": {"mode": mode, "group": "A"},
                "thresholdsStyle": {"mode": if has_limit { "dashed" } else { "off" }},
            })
        }
    }
}

fn overrides(panel: &Panel) -> Vec<Value> {
    let mut overrides = Vec::new();
    if let Some(line) = &panel.line {
        overrides.push(json!({
            "matcher": {"id": "byName", "options": line},
            "properties": [
                {"id": "custom.stacking", "value": {"mode": "none", "group": "A"}},
                {"id": "custom.fillOpacity", "value": 0},
                {"id": "custom.lineWidth", "value": 2},
                {"id": "color", "value": {"mode": "fixed", "fixedColor": "text"}},
            ],
        }));
    }
    for (label, link) in &panel.link {
        let link = json!({"title": link.title, "url": link.url, "targetBlank": true});
        overrides.push(json!({
            "matcher": {"id": "byName", "options": label},
            "properties": [{"id": "links", "value": [link]}],
        }));
    }
    overrides
}
