//! The `ringpost` command as a user runs it: help, configuration, refusals, exit codes.
#![allow(clippy::unwrap_used)]

mod bench;
mod bench_node;
mod checking;
mod clients;
mod configuration;
mod packages;
mod serving;
#[path = "../support/mod.rs"]
mod support;

use std::process::{Command, Output, Stdio};

/// The command with none of the environment's own settings.
fn ringpost(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringpost"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RINGPOST_")) {
        command.env_remove(name);
    }
    command
        .args(line.split_whitespace())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}
