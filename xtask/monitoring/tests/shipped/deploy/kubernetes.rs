//! The manifests: what may be said of them beyond their grammar.

use serde_json::Value;

use crate::files::{document, documents, root, text, texts, yaml_files};

const COLLECTOR: &str = "deploy/kubernetes/collector/daemonset.yaml";
const GAME: &str = "deploy/kubernetes/game/deployment.yaml";

/// The game's Deployment with the patch that gives it a kernel view, as kustomize lays it over.
pub fn with_kernel_view() -> Value {
    let mut game = document(GAME);
    lay_over(&mut game, document("deploy/kubernetes/game-kernel-view/deployment.yaml"));
    game
}

/// Strategic merge of what these patches have: objects by key, lists of things with a name by that,
/// other lists whole.
fn lay_over(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                lay_over(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(base), Value::Array(patch))
            if patch.iter().all(|one| one["name"].is_string()) =>
        {
            for one in patch {
                match base.iter_mut().find(|other| other["name"] == one["name"]) {
                    Some(other) => lay_over(other, one),
                    None => base.push(one),
                }
            }
        }
        (base, patch) => *base = patch,
    }
}

fn container(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]["containers"][0]
}

fn port(workload: &Value, name: &str) -> u64 {
    let ports = container(workload)["ports"].as_array().expect("ports");
    let named = ports.iter().find(|port| port["name"] == name).expect("a port of that name");
    named["containerPort"].as_u64().expect("a number")
}

fn settings(file: &str) -> toml::Table {
    text(file).parse().unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn without_a_kernel_view_a_pod_is_restricted() {
    let game = document(GAME);
    let (pod, container) = (&game["spec"]["template"]["spec"], container(&game));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let rights = &container["securityContext"];
    assert_eq!(rights["allowPrivilegeEscalation"], false);
    assert_eq!(texts(&rights["capabilities"]["drop"]), ["ALL"]);
    assert!(rights["capabilities"].get("add").is_none());
    let namespace = document("deploy/kubernetes/game/namespace.yaml");
    let enforced = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(enforced, "restricted");
}

#[test]
fn with_one_it_may_raise_what_its_file_carries() {
    for workload in [document(COLLECTOR), with_kernel_view()] {
        let rights = &container(&workload)["securityContext"];
        assert_eq!(rights["allowPrivilegeEscalation"], true);
        assert_eq!(rights["readOnlyRootFilesystem"], true);
        assert!(rights.get("privileged").is_none());
        let pod = &workload["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert!(pod.get("hostNetwork").is_none(), "sockets of all namespaces are seen without");
    }
}

#[test]
fn ports_are_those_that_the_configuration_opens() {
    let listens = |file: &str, section: Option<&str>| {
        let settings = settings(file);
        let table = section.map_or(&settings, |name| settings[name].as_table().expect("a table"));
        let listen = table["listen"].as_str().expect("an address").to_owned();
        let port = listen.strip_prefix("0.0.0.0:").expect("every address").parse::<u64>();
        port.expect("a port")
    };
    let (game, file) = (document(GAME), "deploy/kubernetes/game/da-server.toml");
    assert_eq!(port(&game, "game"), listens(file, None));
    assert_eq!(port(&game, "metrics"), listens(file, Some("metrics")));
    let collector = document(COLLECTOR);
    let file = "deploy/kubernetes/collector/collector.toml";
    assert_eq!(port(&collector, "metrics"), listens(file, None));
}

/// The environment wins over the file, so this is what the program does.
#[test]
fn ports_are_those_that_the_image_and_the_manifest_open() {
    let dockerfile = text("deploy/Dockerfile");
    let of_image = dockerfile.lines().find_map(|line| line.strip_prefix("ENV DA_LISTEN="));
    for (workload, name) in
        [(document(GAME), "game"), (with_kernel_view(), "game"), (document(COLLECTOR), "metrics")]
    {
        let variables = container(&workload)["env"].as_array().cloned().unwrap_or_default();
        let own = variables.iter().find(|variable| variable["name"] == "DA_LISTEN");
        let listen = own.map_or(of_image, |variable| variable["value"].as_str());
        let expected = format!("0.0.0.0:{}", port(&workload, name));
        assert_eq!(listen, Some(expected.as_str()), "{}", workload["metadata"]["name"]);
    }
}

#[test]
fn a_full_node_has_room_for_its_collector() {
    let class = document("deploy/kubernetes/collector/priorityclass.yaml");
    let pod = document(COLLECTOR)["spec"]["template"]["spec"].clone();
    assert_eq!(pod["priorityClassName"], class["metadata"]["name"]);
    // What has no class has 0, and what is above is the system's own.
    let value = class["value"].as_i64().expect("a number");
    assert!((1..1_000_000_000).contains(&value), "{value}");
    assert_eq!(class["globalDefault"], false, "of no other pod");
}

#[test]
fn no_service_leads_to_the_metrics() {
    let service = document("deploy/kubernetes/game/service.yaml");
    let targets: Vec<_> = service["spec"]["ports"].as_array().expect("ports").iter().collect();
    let [only] = targets[..] else { panic!("{targets:?}") };
    assert_eq!(only["targetPort"], "game");
    let idle = service["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].as_u64();
    assert_eq!(idle, Some(900), "websocket.idle_seconds");
}

#[test]
fn a_pod_has_the_time_that_the_game_takes_to_end() {
    let game = document(GAME);
    let pod = &game["spec"]["template"]["spec"];
    let grace = settings("deploy/kubernetes/game/da-server.toml")["grace_seconds"].as_integer();
    let stopped = texts(&container(&game)["lifecycle"]["preStop"]["exec"]["command"]);
    let ["sleep", before] = stopped[..] else { panic!("{stopped:?}") };
    let before: i64 = before.parse().expect("seconds");
    // What sessions may take to say goodbye: LAST_WORDS in da-server/src/http/mod.rs.
    let needed = before + grace.expect("seconds") + 5;
    let given = pod["terminationGracePeriodSeconds"].as_i64().expect("seconds");
    assert!((needed..needed + 30).contains(&given), "{given} s for {needed}");
}

#[test]
fn labels_lead_to_the_pods() {
    let name = "app.kubernetes.io/name";
    for folder in ["collector", "game"] {
        let mut pods = Vec::new();
        let mut selected = Vec::new();
        for file in yaml_files(&format!("deploy/kubernetes/{folder}")) {
            for document in documents(&file) {
                let spec = &document["spec"];
                pods.extend(
                    spec["template"]["metadata"]["labels"][name].as_str().map(str::to_owned),
                );
                for place in ["/selector/matchLabels", "/podSelector/matchLabels", "/selector"] {
                    let label = spec.pointer(place).and_then(|labels| labels[name].as_str());
                    selected.extend(label.map(str::to_owned));
                }
            }
        }
        let [pod] = &pods[..] else { panic!("{folder}: {pods:?}") };
        assert!(selected.len() >= 2, "{folder}: {selected:?}");
        assert!(selected.iter().all(|label| label == pod), "{folder}: {selected:?}, {pod}");
    }
}

#[test]
fn kustomizations_name_every_file_beside_them() {
    for file in yaml_files("deploy/kubernetes") {
        let Some(folder) = file.strip_suffix("/kustomization.yaml") else { continue };
        let whole = document(&file);
        let mut named = texts(&whole["resources"]);
        let patches = whole["patches"].as_array().into_iter().flatten();
        named.extend(patches.map(|patch| patch["path"].as_str().expect("a path")));
        for name in &named {
            assert!(root().join(folder).join(name).exists(), "{file}: {name}");
        }
        for beside in yaml_files(folder) {
            let name = beside.rsplit('/').next().expect("a name");
            let is_meant = ["kustomization.yaml", "secret.example.yaml"].contains(&name);
            assert!(is_meant || named.contains(&name), "{beside} is not in {file}");
        }
    }
}

#[test]
fn the_example_of_a_secret_holds_none() {
    let secret = document("deploy/kubernetes/game/secret.example.yaml");
    let values = secret["stringData"].as_object().expect("values");
    let environment = container(&document(GAME))["env"].clone();
    let mut asked: Vec<_> = environment
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variable| variable.pointer("/valueFrom/secretKeyRef/key")?.as_str())
        .collect();
    asked.sort_unstable();
    assert_eq!(values.keys().map(String::as_str).collect::<Vec<_>>(), asked);
    assert!(values.values().all(|value| value == ""), "{values:?}");
}
