//! Where the panels stand.

use std::collections::BTreeSet;

use da_monitoring::dashboards::shipped::{list, text};
use serde_json::Value;

/// The corners of a panel: left, top, right, bottom.
fn corners(panel: &Value) -> [u64; 4] {
    let of = |name: &str| panel["gridPos"][name].as_u64().expect("a place on the grid");
    [of("x"), of("y"), of("x") + of("w"), of("y") + of("h")]
}

#[test]
fn no_panel_covers_another_or_leaves_the_grid() {
    for board in super::all() {
        let panels = list(&board.json["panels"]);
        for (at, panel) in panels.iter().enumerate() {
            let title = text(&panel["title"]);
            let [left, top, right, bottom] = corners(panel);
            assert!(right <= 24, "{}: {title} ends beyond the grid", board.file);
            let fits = (3..=12).contains(&(bottom - top)) && (4..=24).contains(&(right - left));
            assert!(fits || panel["type"] == "row", "{}: {title} can't be read", board.file);
            for other in &panels[at + 1..] {
                let [l, t, r, b] = corners(other);
                let apart = right <= l || r <= left || bottom <= t || b <= top;
                assert!(apart, "{}: {title} covers {}", board.file, other["title"]);
            }
        }
    }
}

#[test]
fn every_line_of_panels_is_full() {
    for board in super::all() {
        let panels = list(&board.json["panels"]);
        let lines: BTreeSet<u64> = panels.iter().map(|panel| corners(panel)[1]).collect();
        for line in lines {
            let crossing =
                panels.iter().map(corners).filter(|[_, t, _, b]| (*t..*b).contains(&line));
            let width: u64 = crossing.map(|[l, _, r, _]| r - l).sum();
            assert_eq!(width, 24, "{}: the line at {line} has a gap", board.file);
        }
    }
}

#[test]
fn titles_are_short_and_numbers_and_addresses_unique() {
    let mut addresses = BTreeSet::new();
    for board in super::all() {
        let uid = text(&board.json["uid"]).to_owned();
        assert!(
            !uid.is_empty() && uid.len() <= 40,
            "{}: Grafana takes 1 to 40 letters",
            board.file
        );
        assert!(addresses.insert(uid), "{}: another dashboard has its uid", board.file);
        let mut ids = BTreeSet::new();
        for panel in list(&board.json["panels"]) {
            let title = text(&panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}: {title}'s id", board.file);
            let heading = panel["type"] == "row";
            assert!(heading || title.chars().count() <= 30, "{}: {title} is long", board.file);
        }
    }
}
