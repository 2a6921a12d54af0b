//! Client libraries that know nothing of Ringpost, pointed at any node, end up at the owner.
//!
//! `RINGPOST_PYTHON` names the interpreter that has them; `python3` if it is not set.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Cluster, skipped};

/// An interpreter with this module, or nothing, having said why.
fn python_with(module: &str) -> Option<String> {
    let python = std::env::var("RINGPOST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let import = format!("import {module}; print({module}.__version__)");
    match Command::new(&python).args(["-c", &import]).output() {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout);
            println!("{module} {}", version.trim());
            return Some(python);
        }
        Ok(_) => skipped(&format!("{python} has no module {module}")),
        Err(e) => skipped(&format!("{python}: {e}")),
    }
    None
}

/// Runs the script for every pair of a node to start from and an owner.
fn ends_up_at_the_owner(module: &str) {
    let Some(python) = python_with(module) else {
        return;
    };
    let script = format!("tests/clients/with_{module}.py");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let cluster = Cluster::of(3, &[]);
    for start in 0..3 {
        for owner in 0..3 {
            let (from, to) = (cluster.user_of(0, "from+"), cluster.user_of(owner, "to"));
            let node = &cluster.nodes[start];
            let output = Command::new(&python)
                .arg(&script)
                .args([&node.url(&from), &node.url(&to), &to])
                .output()
                .expect("it starts");
            let stdout = String::from_utf8_lossy(&output.stdout);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{stdout}{stderr}");
            let result: Value = serde_json::from_str(&stdout).expect("it is JSON");
            assert_eq!(result["nodes"][0], "n1", "{result}");
            assert_eq!(result["nodes"][1], cluster.nodes[owner].id.as_str());
            assert_eq!(result["message"]["type"], "message", "{result}");
            assert_eq!(result["message"]["from"], from.replace('+', " "));
            assert_eq!(result["message"]["body"], "hi", "{result}");
            assert_eq!(result["receipt"]["status"], "sent", "{result}");
        }
    }
}

#[test]
fn pythons_websockets_ends_up_at_the_owner() {
    ends_up_at_the_owner("websockets");
}

#[test]
fn aiohttp_ends_up_at_the_owner() {
    ends_up_at_the_owner("aiohttp");
}
