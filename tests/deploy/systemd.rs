//! The unit, its settings, and its environment.

use crate::{
    Directory, PUBLIC_KEY, SECRET, Variables, assert_fits_into, assert_outlasts_a_drain,
    assert_safe, assert_waits_for_another, checked, ports, read, seconds,
};

const UNIT: &str = "deploy/systemd/ringpost@.service";

/// All values of a key of the unit.
fn values(key: &str) -> Vec<String> {
    let text = read(UNIT);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

/// The only value of a key.
#[track_caller]
fn value(key: &str) -> String {
    let mut all = values(key);
    assert_eq!(all.len(), 1, "{key}: {all:?}");
    all.remove(0)
}

#[test]
fn the_unit_starts_a_node_that_may_drain_and_has_files_enough() {
    let directory = Directory::new();
    let mut loaded = Vec::new();
    for credential in values("LoadCredential") {
        let (name, _) = credential.split_once(':').unwrap();
        let text = if name.starts_with("jwt-key") {
            PUBLIC_KEY
        } else {
            SECRET
        };
        directory.write(name, text);
        loaded.push(name.to_owned());
    }
    let mut variables = Variables::new();
    let common = values("Environment").into_iter();
    let own = read("deploy/systemd/node.env");
    let own = own
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned);
    for pair in common.chain(own) {
        let (name, value) = pair.split_once('=').unwrap();
        if let Some(name) = value.strip_prefix("%d/") {
            assert!(loaded.iter().any(|it| it == name), "{name}: {loaded:?}");
        }
        let value = value.replace("%i", "n1").replace("%d", directory.path());
        variables.insert(name.to_owned(), value);
    }
    directory.write("ringpost.toml", &read("deploy/systemd/ringpost.toml"));
    let start = value("ExecStart");
    let start = start.strip_prefix("/usr/bin/ringpost ").unwrap();
    let start = start.replace("/etc/ringpost", directory.path());
    let args: Vec<_> = start.split(' ').collect();
    let settings = checked(&args, &variables);
    assert_safe(&settings);
    assert_eq!(settings["id"].as_str(), Some("n1"));
    assert_eq!(ports(&settings), [7001, 7101, 7201]);
    assert_outlasts_a_drain(seconds(&value("TimeoutStopSec")), &settings);

    // It says that it is ready, and a configuration that was refused is not tried again.
    assert_eq!(value("Type"), "notify");
    assert_eq!(value("RestartPreventExitStatus"), "2");
    let files: i64 = value("LimitNOFILE").parse().unwrap();
    let connections = settings["max_connections"].as_integer().unwrap();
    assert!(files > connections + 1024, "{files}, {connections}");
    let memory = value("MemoryMax");
    assert_fits_into(&memory, &settings);
    assert_waits_for_another(&settings);
}
