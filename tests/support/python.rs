//! Client libraries that know nothing of Ringpost, run by the scripts in `tests/clients`.
//!
//! `RINGPOST_PYTHON` names the interpreter that has them; `python3` if it is not set.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::skipped;

/// The script for one library, and an interpreter that has it.
pub struct Script {
    python: String,
    path: PathBuf,
}

impl Script {
    /// That of a module, or nothing, having said why.
    pub fn with(module: &str) -> Option<Self> {
        let python = python_with(module)?;
        let path = format!("tests/clients/with_{module}.py");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        Some(Self { python, path })
    }

    /// Runs it; what it prints is JSON.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(&self.python);
        let output = command.arg(&self.path).args(arguments).output();
        let output = output.expect("it starts");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stdout}{stderr}");
        serde_json::from_str(&stdout).expect("it is JSON")
    }
}

/// An interpreter with this module.
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
