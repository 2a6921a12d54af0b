//! The `StatefulSet` and what stands around it.

use serde::Deserialize as _;
use serde_yaml_ng::{Deserializer, Value};

use crate::{
    Directory, Variables, assert_fits_into, assert_outlasts_a_drain, assert_safe,
    assert_waits_for_another, checked, image, ports, read, seconds,
};

const FILES: [&str; 7] = [
    "config",
    "disruption",
    "network-policy",
    "outside.example",
    "secret.example",
    "services",
    "statefulset",
];

/// All objects of all files.
fn objects() -> Vec<Value> {
    let text = FILES.map(|name| read(&format!("deploy/kubernetes/{name}.yaml")));
    let documents = text.iter().flat_map(|text| Deserializer::from_str(text));
    let documents = documents.map(|document| Value::deserialize(document).unwrap());
    documents.collect()
}

/// The object of this kind and name.
#[track_caller]
fn object(kind: &str, name: &str) -> Value {
    let mut all = objects().into_iter();
    let found = all.find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn set() -> Value {
    object("StatefulSet", "ringpost")
}

fn pod() -> Value {
    set()["spec"]["template"].clone()
}

fn container() -> Value {
    let containers = pod()["spec"]["containers"].clone();
    assert_eq!(containers.as_sequence().unwrap().len(), 1);
    containers[0].clone()
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value:?}"))
}

fn items(value: &Value) -> &[Value] {
    value
        .as_sequence()
        .unwrap_or_else(|| panic!("no list: {value:?}"))
}

/// What a node of this pod is started with, as the kubelet would.
fn settings(name: &str) -> toml::Table {
    let directory = Directory::new();
    let secret = object("Secret", "ringpost");
    for (key, value) in secret["stringData"].as_mapping().unwrap() {
        directory.write(text(key), text(value));
    }
    let config = object("ConfigMap", "ringpost");
    let config = text(&config["data"]["ringpost.toml"]);
    let config = config.replace("/etc/ringpost/secrets", directory.path());
    directory.write("ringpost.toml", &config);

    let container = container();
    let mut variables = image::variables();
    for variable in items(&container["env"]) {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("metadata.name") => name.to_owned(),
            Some("metadata.namespace") => "chat".to_owned(),
            Some("status.podIP") => "10.1.2.3".to_owned(),
            Some(other) => panic!("{other}"),
            None => variables.iter().fold(
                text(&variable["value"]).to_owned(),
                |value, (name, known)| value.replace(&format!("$({name})"), known),
            ),
        };
        variables.insert(text(&variable["name"]).to_owned(), value);
    }
    let variables: Variables = variables;
    let args = items(&container["args"]).iter();
    let args = args.map(|arg| text(arg).replace("/etc/ringpost", directory.path()));
    let args: Vec<_> = args.collect();
    checked(
        &args.iter().map(String::as_str).collect::<Vec<_>>(),
        &variables,
    )
}

#[test]
fn every_pod_can_start_with_an_id_and_addresses_of_its_own_and_the_same_seeds() {
    let first = settings("ringpost-0");
    let tenth = settings("ringpost-10");
    for (name, settings) in [("ringpost-0", &first), ("ringpost-10", &tenth)] {
        assert_safe(settings);
        assert_eq!(settings["id"].as_str(), Some(name));
        let [clients, peers, _] = ports(settings);
        let service = text(&set()["spec"]["serviceName"]).to_owned();
        let url = format!("ws://{name}.{service}.chat.svc:{clients}");
        assert_eq!(settings["advertise_url"].as_str(), Some(url.as_str()));
        let peer = format!("10.1.2.3:{peers}");
        assert_eq!(settings["advertise_peer"].as_str(), Some(peer.as_str()));
    }
    assert_eq!(first["seeds"], tenth["seeds"]);
}

#[test]
fn the_seed_is_the_headless_service_which_also_names_pods_that_are_not_ready() {
    let settings = settings("ringpost-0");
    let seeds = settings["seeds"].as_array().unwrap();
    let name = text(&set()["spec"]["serviceName"]).to_owned();
    let [_, peers, _] = ports(&settings);
    let seed = toml::Value::from(format!("{name}:{peers}"));
    assert_eq!(seeds, &[seed]);
    let service = object("Service", &name);
    assert_eq!(service["spec"]["clusterIP"], "None");
    assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
    assert_eq!(set()["spec"]["podManagementPolicy"], "Parallel");
}

#[test]
fn a_pod_is_killed_only_after_its_drain_and_one_at_a_time() {
    let grace = pod()["spec"]["terminationGracePeriodSeconds"].as_u64();
    let grace = seconds(&grace.unwrap().to_string());
    assert_outlasts_a_drain(grace, &settings("ringpost-0"));
    let budget = object("PodDisruptionBudget", "ringpost");
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
}

#[test]
fn ports_and_labels_are_the_same_everywhere() {
    let pod = pod();
    let container = container();
    let named: Vec<_> = items(&container["ports"])
        .iter()
        .map(|port| {
            (
                text(&port["name"]).to_owned(),
                port["containerPort"].as_u64().unwrap(),
            )
        })
        .collect();
    let numbers: Vec<_> = named.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, ports(&settings("ringpost-0")).map(u64::from));
    let is_named = |port: &Value| named.iter().any(|(name, _)| port == name.as_str());

    for (probe, path) in [
        ("startupProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/healthz"),
    ] {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert_eq!(container[probe]["httpGet"]["port"], "admin");
    }
    let labels = &pod["metadata"]["labels"];
    let name = &labels["app.kubernetes.io/name"];
    assert!(name.is_string());
    let selects = |selector: &Value| &selector["app.kubernetes.io/name"] == name;
    assert!(selects(&set()["spec"]["selector"]["matchLabels"]));
    let budget = object("PodDisruptionBudget", "ringpost");
    assert!(selects(&budget["spec"]["selector"]["matchLabels"]));
    let policy = object("NetworkPolicy", "ringpost");
    assert!(selects(&policy["spec"]["podSelector"]["matchLabels"]));
    for rule in items(&policy["spec"]["ingress"]) {
        assert!(is_named(&rule["ports"][0]["port"]), "{rule:?}");
    }
    for spread in items(&pod["spec"]["topologySpreadConstraints"]) {
        assert!(selects(&spread["labelSelector"]["matchLabels"]));
    }
    for service in objects().iter().filter(|it| it["kind"] == "Service") {
        let spec = &service["spec"];
        let of_a_pod = spec["selector"]["statefulset.kubernetes.io/pod-name"].is_string();
        assert!(of_a_pod || selects(&spec["selector"]), "{service:?}");
        for port in items(&spec["ports"]) {
            let number = (
                text(&port["name"]).to_owned(),
                port["port"].as_u64().unwrap(),
            );
            assert!(named.contains(&number), "{port:?}");
            let target = &port["targetPort"];
            assert!(target.is_null() || is_named(target), "{port:?}");
        }
    }
}

#[test]
fn pods_run_as_nobody_and_have_nothing_that_they_do_not_need() {
    let spec = pod()["spec"].clone();
    assert_eq!(spec["automountServiceAccountToken"], false);
    let security = &spec["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    let user = format!(
        "{}:{}",
        security["runAsUser"].as_u64().unwrap(),
        security["runAsGroup"].as_u64().unwrap()
    );
    assert_eq!(image::instruction("USER"), user);
    // Else it could not read its secrets.
    assert_eq!(security["fsGroup"], security["runAsGroup"]);
    let container = container();
    let security = &container["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"]["drop"][0], "ALL");
}

#[test]
fn what_a_node_keeps_fits_into_its_memory_and_it_is_not_ready_alone() {
    let settings = settings("ringpost-0");
    let memory = container()["resources"]["limits"]["memory"].clone();
    assert_fits_into(text(&memory), &settings);
    assert_waits_for_another(&settings);
}

#[test]
fn the_file_says_nothing_that_the_environment_overrules() {
    let config = object("ConfigMap", "ringpost");
    let file: toml::Table = toml::from_str(text(&config["data"]["ringpost.toml"])).unwrap();
    for name in image::variables().into_keys() {
        let key = name.trim_start_matches("RINGPOST_").to_lowercase();
        assert!(!file.contains_key(&key), "{key}");
    }
}

#[test]
fn every_node_of_the_scaled_set_has_a_name_outside() {
    let guide = read("deploy/README.md");
    let (_, scaled) = guide.split_once("--replicas ").unwrap();
    let nodes: usize = scaled.lines().next().unwrap().parse().unwrap();
    assert!(nodes as u64 >= set()["spec"]["replicas"].as_u64().unwrap());
    let rules = object("Ingress", "ringpost")["spec"]["rules"].clone();
    for name in (0..nodes).map(|number| format!("ringpost-{number}")) {
        let service = object("Service", &name);
        let pod = &service["spec"]["selector"]["statefulset.kubernetes.io/pod-name"];
        assert_eq!(pod, name.as_str());
        let host = format!("{name}.ws.example.com");
        let rule = items(&rules)
            .iter()
            .find(|rule| rule["host"] == host.as_str());
        let path = &rule.unwrap_or_else(|| panic!("no {host}"))["http"]["paths"][0];
        assert_eq!(path["backend"]["service"]["name"], name.as_str());
    }
}

#[test]
fn kustomize_takes_all_but_the_examples() {
    let all: Value =
        serde_yaml_ng::from_str(&read("deploy/kubernetes/kustomization.yaml")).unwrap();
    let mut listed: Vec<_> = items(&all["resources"]).iter().map(text).collect();
    listed.sort_unstable();
    let files = FILES.iter().filter(|name| !name.ends_with(".example"));
    let files: Vec<_> = files.map(|name| format!("{name}.yaml")).collect();
    assert_eq!(listed, files);
}
