//! docker-compose.yml: what may be said of it beyond its grammar.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::files::{document, root, text, texts};

const COMPOSE: &str = "deploy/docker-compose.yml";

fn services() -> BTreeMap<String, Value> {
    let services = document(COMPOSE)["services"].clone();
    serde_json::from_value(services).expect("services")
}

/// Variables that the file asks for, with what stands for them where they are not set: none where the
/// variable is then handed on as it is, or its absence refused.
fn asked_for() -> BTreeMap<String, Option<String>> {
    let mut variables = BTreeMap::new();
    let lines = text(COMPOSE);
    let lines = lines.lines().filter(|line| !line.trim_start().starts_with('#'));
    for inside in lines.flat_map(|line| line.split("${").skip(1).map(str::to_owned)) {
        let (inside, _) = inside.split_once('}').expect("closed");
        let name_ends = inside.find([':', '-', '?']).expect("a default, or why there is none");
        let (name, rest) = inside.split_at(name_ends);
        variables.insert(name.to_owned(), rest.strip_prefix(":-").map(str::to_owned));
    }
    for service in services().values() {
        for (name, value) in service["environment"].as_object().into_iter().flatten() {
            if value.is_null() {
                variables.insert(name.clone(), None);
            }
        }
    }
    variables
}

#[test]
fn the_example_has_every_variable_with_its_default() {
    let example = text("deploy/.env.example");
    let mut variables = BTreeMap::new();
    for line in example.lines().filter(|line| !line.starts_with("# ") && !line.is_empty()) {
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{line:?}"));
        let (name, is_default) = match name.strip_prefix('#') {
            Some(name) => (name, !value.is_empty() && !value.contains("PASSWORD")),
            None => (name, false),
        };
        variables.insert(name.to_owned(), is_default.then(|| value.to_owned()));
    }
    // Compose's own.
    assert!(variables.remove("COMPOSE_PROFILES").is_some());
    assert_eq!(variables, asked_for());
}

#[test]
fn no_secret_is_shipped_and_grafana_refuses_to_start_without_one() {
    let password = &services()["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"];
    assert!(
        password.as_str().is_some_and(|text| text.starts_with("${GF_SECURITY_ADMIN_PASSWORD:?"))
    );
    for line in text("deploy/.env.example").lines() {
        let Some((name, value)) = line.trim_start_matches('#').split_once('=') else { continue };
        let is_secret = ["PASSWORD", "KEY"].iter().any(|word| name.ends_with(word));
        assert!(!is_secret || value.is_empty(), "{line}");
    }
}

#[test]
fn grafana_asks_nobody_outside() {
    let environment = services()["grafana"]["environment"].clone();
    for (setting, value) in [
        ("ANALYTICS_REPORTING_ENABLED", "false"),
        ("ANALYTICS_CHECK_FOR_UPDATES", "false"),
        ("ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "false"),
        ("PLUGINS_PREINSTALL_DISABLED", "true"),
    ] {
        assert_eq!(environment[format!("GF_{setting}")], value, "{setting}");
    }
}

#[test]
fn each_service_has_the_rights_that_it_needs_and_no_others() {
    for (name, service) in services() {
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert!(service.get("privileged").is_none(), "{name}");
        let host_pids = service.get("pid").is_some();
        assert_eq!(host_pids, name == "da-collector", "{name}");
        let has_kernel_view = name.starts_with("da-");
        let added = texts(&service["cap_add"]);
        assert_eq!(added.is_empty(), !has_kernel_view, "{name} adds {added:?}");
        // With it the file's capabilities would mean nothing.
        let locked = texts(&service["security_opt"]).contains(&"no-new-privileges:true");
        assert_eq!(locked, !has_kernel_view, "{name}");
        for volume in texts(&service["volumes"]) {
            assert!(!volume.contains("docker.sock"), "{name}: {volume}");
        }
    }
}

#[test]
fn ports_are_on_loopback_alone() {
    let mut ports = 0;
    for (name, service) in services() {
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
            ports += 1;
        }
        assert!(service.get("network_mode").is_none(), "{name}");
    }
    assert!(ports >= 5, "the game or the collector, and three to look at");
}

#[test]
fn the_health_of_each_service_is_asked_for() {
    assert!(text("deploy/Dockerfile").contains("HEALTHCHECK "), "of our own image");
    for (name, service) in services() {
        let is_ours = service.get("build").is_some();
        let asks = !texts(&service["healthcheck"]["test"]).is_empty();
        assert!(asks != is_ours, "{name}");
    }
}

#[test]
fn what_is_mounted_is_there() {
    let compose = document(COMPOSE);
    let named = compose["volumes"].as_object().expect("volumes");
    let mut used = Vec::new();
    for (name, service) in services() {
        for volume in texts(&service["volumes"]) {
            let (from, rest) = volume.split_once(':').expect("from and to");
            if from.starts_with('.') {
                assert!(root().join("deploy").join(from).exists(), "{name}: {volume}");
                assert!(rest.ends_with(":ro"), "{name} may write to {volume}");
            } else {
                assert!(named.contains_key(from), "{name}: {volume}");
                used.push(from.to_owned());
            }
        }
    }
    used.sort();
    assert_eq!(used, named.keys().cloned().collect::<Vec<_>>(), "each by one service");
}

#[test]
fn profiles_choose_what_is_watched() {
    let profiles = |name: &str| services()[name]["profiles"].clone();
    assert_eq!(texts(&profiles("da-server")), ["game"]);
    assert_eq!(texts(&profiles("da-collector")), ["collector"]);
    assert_eq!(texts(&profiles("postgres")), ["postgres"]);
    for always in ["prometheus", "alertmanager", "grafana"] {
        assert!(profiles(always).is_null(), "{always}");
    }
    // Both at once would have one name and one port.
    assert_eq!(services()["da-server"]["ports"], services()["da-collector"]["ports"]);
}
