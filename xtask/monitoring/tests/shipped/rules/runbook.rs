//! That the runbook leads somewhere: to sections, pages and metrics that exist.

use std::collections::BTreeSet;

use super::files::{RUNBOOK, alerts};
use super::names::Known;
use crate::files::{root, text};

/// The anchors of a page's headings, as code hosts make them of ours, which have letters, digits,
/// spaces, hyphens, and signs that are left out.
pub fn anchors(page: &str) -> BTreeSet<String> {
    let markdown = text(page);
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|sign| sign.is_alphanumeric() || "-_".contains(*sign)).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn it_has_no_section_for_an_alert_that_is_not() {
    let alerts: BTreeSet<_> = alerts().iter().map(|alert| alert.alert.to_lowercase()).collect();
    for anchor in anchors(RUNBOOK).iter().filter(|name| name.starts_with("digitalactors")) {
        assert!(alerts.contains(anchor), "{anchor}");
    }
}

#[test]
fn its_links_lead_somewhere() {
    let runbook = text(RUNBOOK);
    let links: Vec<_> =
        runbook.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 40, "{} links", links.len());
    for link in links {
        let (page, anchor) = link.split_once('#').unwrap_or((link, ""));
        let page = if page.is_empty() { "RUNBOOK.md" } else { page };
        let page = format!("docs/{page}");
        assert!(root().join(&page).exists(), "{link}");
        assert!(anchor.is_empty() || anchors(&page).contains(anchor), "{link}");
    }
}

#[test]
fn its_queries_read_what_is_exported_or_recorded() {
    let known = Known::new();
    let runbook = text(RUNBOOK);
    let queries = runbook.split("```promql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let queries: Vec<_> = queries.collect();
    assert!(queries.len() > 20, "{} queries", queries.len());
    for query in queries {
        known.check("RUNBOOK.md", query);
    }
}
