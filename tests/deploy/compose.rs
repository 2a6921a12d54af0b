//! Three nodes on one machine.

use serde_yaml_ng::Value;

use crate::{
    Directory, PUBLIC_KEY, SECRET, Variables, assert_fits_into, assert_outlasts_a_drain,
    assert_safe, assert_waits_for_another, checked, image, ports, read, seconds,
};

fn compose() -> Value {
    let mut compose: Value = serde_yaml_ng::from_str(&read("deploy/compose.yaml")).unwrap();
    compose.apply_merge().unwrap();
    compose
}

/// A list of strings.
fn list(value: &Value) -> Vec<String> {
    let items = value.as_sequence().unwrap().iter();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn each_node_can_start_is_where_it_says_and_may_drain() {
    let compose = compose();
    let secrets = compose["secrets"].as_mapping().unwrap();
    let services = compose["services"].as_mapping().unwrap();
    assert_eq!(services.len(), 3);
    let directory = Directory::new();
    for name in secrets.keys().map(|name| name.as_str().unwrap()) {
        let text = if name == "jwt_key" {
            PUBLIC_KEY
        } else {
            SECRET
        };
        directory.write(name, text);
    }
    let mut peers = Vec::new();
    let mut seeds = Vec::new();
    for (name, service) in services {
        let name = name.as_str().unwrap();
        for secret in list(&service["secrets"]) {
            assert!(secrets.contains_key(secret.as_str()), "{secret}");
        }
        let mut variables = image::variables();
        let said = service["environment"].as_mapping().unwrap();
        variables.extend(said.iter().map(|(key, value)| {
            let value = value.as_str().unwrap();
            let value = value.replace("/run/secrets", directory.path());
            (key.as_str().unwrap().to_owned(), value)
        }));
        let settings = checked(&["serve"], &variables);
        assert_safe(&settings);
        assert_eq!(settings["id"].as_str(), Some(name));
        let grace = service["stop_grace_period"].as_str().unwrap();
        assert_outlasts_a_drain(seconds(grace), &settings);
        assert_eq!(service["read_only"].as_bool(), Some(true));
        assert_fits_into(service["mem_limit"].as_str().unwrap(), &settings);
        assert_waits_for_another(&settings);

        // Clients come to the port that they are sent to.
        let [clients, peer, admin] = ports(&settings);
        let url = settings["advertise_url"].as_str().unwrap();
        let port = url.strip_prefix("ws://localhost:").unwrap();
        let published = list(&service["ports"]);
        assert_eq!(published[0], format!("127.0.0.1:{port}:{clients}"));
        assert!(
            published[1].ends_with(&format!(":{admin}")),
            "{published:?}"
        );
        let advertised = settings["advertise_peer"].as_str().unwrap().to_owned();
        assert_eq!(advertised, format!("{name}:{peer}"));
        peers.push(advertised);
        let said = settings["seeds"].as_array().unwrap();
        seeds = said
            .iter()
            .map(|s| s.as_str().unwrap().to_owned())
            .collect();
        let files = open_files(service);
        let connections = settings["max_connections"].as_integer().unwrap();
        assert!(files > connections + 1024, "{files}, {connections}");
    }
    assert_eq!(seeds, peers, "all nodes are seeds");
}

fn open_files(service: &Value) -> i64 {
    service["ulimits"]["nofile"].as_i64().unwrap()
}

#[test]
fn no_secret_of_it_gets_into_the_repository_or_the_image() {
    assert!(
        read("deploy/.gitignore")
            .lines()
            .any(|line| line == "/secrets/")
    );
    for (_, secret) in compose()["secrets"].as_mapping().unwrap() {
        let file = secret["file"].as_str().unwrap();
        assert!(file.starts_with("secrets/"), "{file}");
    }
    let ignored = read(".dockerignore");
    assert!(ignored.lines().any(|line| line == "*"), "{ignored}");
    assert!(!ignored.contains("!deploy"), "{ignored}");
    let variables: Variables = image::variables();
    assert!(variables.keys().all(|name| name.ends_with("LISTEN")));
}
