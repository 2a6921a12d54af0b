//! The Dockerfile, and what it and the published package are made of.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::{Variables, checked, ports, read, support};

/// The instructions of the Dockerfile, each in one line.
pub fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile");
    let text: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let text = text.join("\n").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let instructions = lines.map(|line| {
        let (name, rest) = line.split_once(' ').unwrap();
        (
            name.to_owned(),
            rest.split_whitespace().collect::<Vec<_>>().join(" "),
        )
    });
    instructions.collect()
}

/// The last instruction of this name.
pub fn instruction(name: &str) -> String {
    let all = instructions().into_iter();
    let mut named = all.filter(|(it, _)| it == name);
    let (_, rest) = named.next_back().unwrap_or_else(|| panic!("no {name}"));
    rest
}

/// What the image sets.
pub fn variables() -> Variables {
    let text = instruction("ENV");
    let pairs = text.split(' ').map(|pair| pair.split_once('=').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_image_exposes_what_it_listens_on_and_asks_the_node_how_it_is() {
    let mut variables = variables();
    for (name, value) in [
        ("RINGPOST_ID", "n1"),
        ("RINGPOST_ADVERTISE_URL", "ws://n1:7001"),
        ("RINGPOST_ADVERTISE_PEER", "n1:7101"),
        ("RINGPOST_INSECURE_PEERS", "true"),
        ("RINGPOST_INSECURE_USERS", "true"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    let command: Vec<String> = serde_json::from_str(&instruction("CMD")).unwrap();
    let command: Vec<_> = command.iter().map(String::as_str).collect();
    let ports = ports(&checked(&command, &variables));
    let exposed: Vec<u16> = instruction("EXPOSE")
        .split(' ')
        .map(|port| port.parse().unwrap())
        .collect();
    assert_eq!(exposed, ports);

    let health = instruction("HEALTHCHECK");
    let (_, command) = health.split_once("CMD ").unwrap();
    let command: Vec<String> = serde_json::from_str(command).unwrap();
    let entrypoint: Vec<String> = serde_json::from_str(&instruction("ENTRYPOINT")).unwrap();
    assert_eq!(command, [&entrypoint[0], "health"]);
    let (help, ok) = support::node::run(&["health", "--help"]);
    let default = format!("[default: http://127.0.0.1:{}]", ports[2]);
    assert!(ok && help.contains(&default), "{help}");
}

#[test]
fn the_image_is_of_this_version_stops_by_sigterm_and_is_nobody() {
    let version = env!("CARGO_PKG_VERSION");
    let labels = instruction("LABEL");
    let label = format!("org.opencontainers.image.version=\"{version}\"");
    assert!(labels.contains(&label), "{labels}");
    for path in ["deploy/compose.yaml", "deploy/kubernetes/statefulset.yaml"] {
        let image = format!("image: ringpost:{version}\n");
        assert!(read(path).contains(&image), "{path}");
    }
    assert_eq!(instruction("STOPSIGNAL"), "SIGTERM");
    let user = instruction("USER");
    let (user, group) = user.split_once(':').unwrap();
    for number in [user, group] {
        assert!(number.parse::<u32>().unwrap() > 0, "{number}");
    }
}

/// Files outside of src that the program is compiled from.
const COMPILED: [&str; 3] = [
    "include_str!(\"",
    "include_bytes!(\"",
    // The folder, at least, where a macro makes the name.
    "include_str!(concat!(\"",
];

/// Documents whose Rust is compiled by `cargo test --doc`, and nowhere else.
const DOCUMENTS: &str = "#[doc = include_str!(\"";

/// Files outside of src that stand behind one of these in it.
fn included(macros: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut directories = vec![root.join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            if path.extension().is_none_or(|it| it != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for macro_name in macros {
                for rest in text.split(macro_name).skip(1) {
                    let file = directory.join(rest.split('"').next().unwrap());
                    found.push(normal(&file));
                }
            }
        }
    }
    let outside = |path: PathBuf| Some(path.strip_prefix(root).ok()?.to_owned());
    let outside = found.into_iter().filter_map(outside);
    outside.filter(|path| !path.starts_with("src")).collect()
}

/// Without `..` in it.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[test]
fn image_and_package_have_all_that_the_program_is_compiled_from() {
    let ignored = read(".dockerignore");
    let copied: Vec<_> = ignored
        .lines()
        .filter_map(|l| l.strip_prefix('!'))
        .collect();
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let packed = manifest["package"]["include"].as_array().unwrap();
    let packed: Vec<_> = packed
        .iter()
        .map(|path| path.as_str().unwrap().trim_start_matches('/'))
        .collect();
    // Cargo wants the files of all targets that the manifest names, whichever is built. Those that are not
    // packed it strips from the manifest.
    for kind in ["test", "bench", "example"] {
        let targets = manifest.get(kind).and_then(|it| it.as_array());
        for target in targets.into_iter().flatten() {
            let name = target["name"].as_str().unwrap();
            let folder = if kind == "bench" {
                "benches".to_owned()
            } else {
                format!("{kind}s")
            };
            let path = format!("{folder}/{name}.rs");
            let there = copied.iter().any(|it| Path::new(&path).starts_with(it));
            assert!(there, "{path} is not among {copied:?}");
        }
    }
    let needed = ["src", "proto", "build.rs", "README.md"].map(PathBuf::from);
    let documents = included(&[DOCUMENTS]);
    for path in needed.into_iter().chain(included(&COMPILED)) {
        // The image is not made to test documents.
        let lists = if documents.contains(&path) {
            vec![&packed]
        } else {
            vec![&copied, &packed]
        };
        for list in lists {
            let there = list.iter().any(|it| path.starts_with(it));
            assert!(there, "{} is not among {list:?}", path.display());
        }
    }
    for path in copied.iter().chain(&packed) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        assert!(path.exists(), "{}", path.display());
    }
}
