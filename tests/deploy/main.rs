//! What stands in `deploy/` and the Dockerfile fits the program: the settings exist and pass its own check,
//! ports are the same everywhere, and nobody is killed who still drains.
#![allow(clippy::unwrap_used)]

mod compose;
mod image;
mod kubernetes;
#[path = "../support/mod.rs"]
mod support;
mod systemd;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A secret of the cluster or a key of the API; long enough for either.
const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// A public key of Ed25519: the first of the test vectors of RFC 8032.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
                          MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                          -----END PUBLIC KEY-----\n";

/// A file of the repository.
fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A directory of a test, gone when it ends.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("deploy-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Environment variables, by name.
type Variables = BTreeMap<String, String>;

/// What `serve --check` makes of these arguments in this environment, and in no other.
#[track_caller]
fn checked(args: &[&str], variables: &Variables) -> toml::Table {
    let mut command = Command::new(support::node::BINARY);
    command
        .env_clear()
        .envs(variables)
        .args(args)
        .arg("--check");
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?} {variables:#?}: {error}");
    toml::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// A time of ours or of systemd, Docker and Compose, where it is a number of seconds.
#[track_caller]
fn seconds(text: &str) -> Duration {
    let number = text.strip_suffix('s').unwrap_or(text);
    Duration::from_secs(number.parse().unwrap_or_else(|_| panic!("{text}")))
}

fn drain_timeout(settings: &toml::Table) -> Duration {
    seconds(settings["drain_timeout"].as_str().unwrap())
}

/// A kill comes only when a drain has certainly ended.
#[track_caller]
fn assert_outlasts_a_drain(grace: Duration, settings: &toml::Table) {
    let drain = drain_timeout(settings);
    assert!(
        grace >= drain + Duration::from_secs(5),
        "{grace:?}, {drain:?}"
    );
}

/// The ports of the three listeners: clients, peers, operators.
fn ports(settings: &toml::Table) -> [u16; 3] {
    ["listen", "peer_listen", "admin_listen"].map(|key| {
        let address = settings[key].as_str().unwrap();
        let address: std::net::SocketAddr = address.parse().unwrap();
        assert!(address.ip().is_unspecified(), "{key}: {address}");
        address.port()
    })
}

/// What a node may keep is an eighth of its memory at most: a message with a small body takes six times what is
/// counted of it.
#[track_caller]
fn assert_fits_into(memory: &str, settings: &toml::Table) {
    let at = memory.find(|c: char| !c.is_ascii_digit()).unwrap();
    let gib: i64 = memory[..at].parse().unwrap();
    assert!(["g", "G", "Gi"].contains(&&memory[at..]), "{memory}");
    let kept = settings["max_node_inbox_bytes"].as_integer().unwrap();
    assert!(8 * kept <= gib << 30, "{memory}, {kept}");
}

/// A node that finds no other one is not ready; one of three may be away.
#[track_caller]
fn assert_waits_for_another(settings: &toml::Table) {
    assert_eq!(settings["min_members"].as_integer(), Some(2));
}

/// Nobody is believed without having proved anything.
#[track_caller]
fn assert_safe(settings: &toml::Table) {
    assert_eq!(settings["insecure_users"].as_bool(), Some(false));
    assert_eq!(settings["insecure_peers"].as_bool(), Some(false));
    for key in ["cluster_secret_file", "api_keys_file"] {
        assert!(settings.contains_key(key), "{key}");
    }
}

/// Every file that is for whoever runs a node.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![root.join("Dockerfile")];
    let mut directories = vec![root.join("deploy")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name == "secrets") {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

/// The words of a text that are made of these characters.
fn words(text: &str, of: fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |c| !of(c)).filter(|word| !word.is_empty())
}

#[test]
fn every_variable_that_is_named_anywhere_exists() {
    let help = Command::new(support::node::BINARY)
        .args(["serve", "--help"])
        .env_clear()
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let variable = |c: char| c == '_' || c.is_ascii_uppercase();
    let known: BTreeSet<_> = words(&help, variable)
        .filter(|word| word.starts_with("RINGPOST_"))
        .collect();
    assert!(known.contains("RINGPOST_SEEDS"), "{known:?}");
    for path in files() {
        let text = fs::read_to_string(&path).unwrap();
        for word in words(&text, variable).filter(|word| word.starts_with("RINGPOST_")) {
            assert!(known.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn every_command_line_that_is_shown_is_understood() {
    for path in files() {
        let text = fs::read_to_string(&path).unwrap();
        // A command goes on in the next line after a backslash.
        let text = text.replace("\\\n", " ");
        for line in text.lines() {
            let line = line.trim().trim_start_matches("$ ");
            let Some(rest) = line.strip_prefix("ringpost ") else {
                continue;
            };
            let rest = rest.split([';', '|', '>', '#', '&']).next().unwrap();
            let mut args: Vec<_> = rest.split_whitespace().collect();
            args.push("--help");
            let output = Command::new(support::node::BINARY).args(&args).output();
            let output = output.unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "{}: {line}: {error}",
                path.display()
            );
        }
    }
}
