//! What several files say of the same thing.

use std::collections::BTreeSet;

use da_monitoring::rules;

use super::kubernetes::with_kernel_view;
use crate::files::{document, documents, root, text, texts};

const COMPOSE: &str = "deploy/docker-compose.yml";
const COLLECTOR: &str = "deploy/kubernetes/collector/daemonset.yaml";
const PROVISIONING: &str = "deploy/grafana/provisioning";

#[test]
fn the_operators_rules_are_those_of_prometheus() {
    let deploy = root().join("deploy");
    let made = rules::resource(&deploy).expect("made");
    let kept = std::fs::read_to_string(rules::place(&deploy)).expect("kept");
    assert!(made == kept, "deploy/prometheus/rules has changed: run `cargo xtask rules`");

    let kept = document("deploy/kubernetes/monitoring/rules.yaml");
    let mut groups = Vec::new();
    let files = crate::files::yaml_files("deploy/prometheus/rules").into_iter();
    for file in files.filter(|file| !file.ends_with(rules::OF_MONITORS)) {
        groups.extend(document(&file)["groups"].as_array().expect("groups").clone());
    }
    assert_eq!(kept["spec"]["groups"].as_array(), Some(&groups), "read as they are written");
}

#[test]
fn every_way_to_run_it_gives_the_same_capabilities() {
    let unprefixed = |name: &str| name.to_uppercase().trim_start_matches("CAP_").to_owned();
    let dockerfile = text("deploy/Dockerfile");
    let (_, marked) = dockerfile.split_once("setcap ").expect("the file's");
    let (marked, _) = marked.split_once("=p ").expect("permitted, and no more");
    let marked: BTreeSet<_> = marked.split(',').map(unprefixed).collect();
    assert_eq!(marked.len(), 2);

    let compose = document(COMPOSE);
    let services = &compose["services"];
    let kubernetes = "/spec/template/spec/containers/0/securityContext/capabilities/add";
    let added = [
        services["da-server"]["cap_add"].clone(),
        services["da-collector"]["cap_add"].clone(),
        document(COLLECTOR).pointer(kubernetes).expect("a list").clone(),
        with_kernel_view().pointer(kubernetes).expect("a list").clone(),
    ];
    for added in added {
        let added: BTreeSet<_> = texts(&added).into_iter().map(unprefixed).collect();
        assert_eq!(added, marked);
    }

    for unit in ["digital-actors", "digital-actors-collector"] {
        let unit = text(&format!("deploy/systemd/{unit}.service"));
        for set in ["AmbientCapabilities=", "CapabilityBoundingSet="] {
            let names = unit.lines().find_map(|line| line.strip_prefix(set)).expect("a set");
            assert_eq!(names.split(' ').map(unprefixed).collect::<BTreeSet<_>>(), marked);
        }
    }
}

#[test]
fn grafana_finds_what_it_is_told_of() {
    let compose = document(COMPOSE);
    let volumes = texts(&compose["services"]["grafana"]["volumes"]);
    let provider = document(&format!("{PROVISIONING}/dashboards/digital-actors.yml"));
    let path = provider["providers"][0]["options"]["path"].as_str().expect("a path");
    assert!(volumes.contains(&format!("../dashboards:{path}:ro").as_str()), "{volumes:?}");
    let provisioning = "./grafana/provisioning:/etc/grafana/provisioning:ro";
    assert!(volumes.contains(&provisioning), "{volumes:?}");

    let sources = document(&format!("{PROVISIONING}/datasources/prometheus.yml"));
    let source = &sources["datasources"][0];
    assert_eq!(source["url"], "http://prometheus:9090");
    assert!(compose["services"].get("prometheus").is_some());
    let scraped = document("deploy/prometheus/prometheus.yml")["global"]["scrape_interval"].clone();
    assert_eq!(source["jsonData"]["timeInterval"], scraped);
}

#[test]
fn prometheus_finds_whom_it_scrapes_and_tells() {
    let compose = document(COMPOSE);
    let services = compose["services"].as_object().expect("services");
    for (file, first) in
        [("prometheus.yml", "da-server:8888"), ("prometheus-collector.yml", "da-collector:8888")]
    {
        let configuration = document(&format!("deploy/prometheus/{file}"));
        let tells = configuration["alerting"]["alertmanagers"].as_array().expect("a list");
        let scrapes = configuration["scrape_configs"].as_array().expect("a list");
        let found: Vec<_> = scrapes
            .iter()
            .chain(tells)
            .flat_map(|one| texts(&one["static_configs"][0]["targets"]))
            .collect();
        for target in &found {
            let (host, _) = target.rsplit_once(':').expect("a port");
            assert!(host == "localhost" || services.contains_key(host), "{file}: {target}");
        }
        assert_eq!(found[0], first);
    }
}

#[test]
fn for_a_collector_alone_prometheus_differs_in_whom_it_scrapes() {
    let mut whole = document("deploy/prometheus/prometheus.yml");
    let alone = document("deploy/prometheus/prometheus-collector.yml");
    let first = &alone["scrape_configs"][0];
    let job = first["job_name"].as_str().expect("a name");
    assert!(text("deploy/prometheus/prometheus.yml").contains(&format!("job_name: {job}\n")));
    whole["scrape_configs"][0] = first.clone();
    assert_eq!(whole, alone);
}

#[test]
fn the_operator_scrapes_each_port_by_a_job_that_the_rules_know() {
    let monitors = documents("deploy/kubernetes/monitoring/podmonitors.yaml");
    let configuration = text("deploy/prometheus/prometheus.yml");
    for (monitor, folder) in monitors.iter().zip(["game/deployment", "collector/daemonset"]) {
        let workload = document(&format!("deploy/kubernetes/{folder}.yaml"));
        let labels = &workload["spec"]["template"]["metadata"]["labels"];
        assert_eq!(&monitor["spec"]["selector"]["matchLabels"], labels);
        let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
        let ports = workload["spec"]["template"]["spec"]["containers"][0]["ports"].clone();
        let ports = ports.as_array().expect("ports");
        assert!(ports.iter().any(|port| port["name"] == endpoint["port"]));
        let relabelings = endpoint["relabelings"].as_array().expect("a list");
        let job = relabelings.iter().find(|one| one["targetLabel"] == "job").expect("a job");
        let job = job["replacement"].as_str().expect("a name");
        assert!(configuration.contains(&format!("job_name: {job}\n")), "{job}");
        assert_eq!(monitor["metadata"]["name"], job);
    }
}
