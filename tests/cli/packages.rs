//! What packages and supervisors use: completions, manual pages, `health`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::serving::Serving;
use crate::support::{PATIENCE, skipped, wait_until};
use crate::{output, ringpost};

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "powershell", "elvish"];

/// What stands in the help under "Commands:".
fn commands() -> Vec<String> {
    let (code, help, _) = output(&mut ringpost("--help"));
    assert_eq!(code, 0);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let names = list.lines().filter_map(|line| {
        // A description that goes on stands deeper.
        let line = line.strip_prefix("  ").filter(|l| !l.starts_with(' '))?;
        line.split_whitespace().next()
    });
    let names = names.filter(|name| *name != "help").map(str::to_owned);
    let names: Vec<_> = names.collect();
    for name in ["serve", "health", "completions", "man"] {
        assert!(names.iter().any(|it| it == name), "{name}: {names:?}");
    }
    names
}

/// The long flags of a command, by its help.
fn flags(command: &str) -> BTreeSet<String> {
    let (code, help, _) = output(&mut ringpost(&format!("{command} --help")));
    assert_eq!(code, 0, "{command}");
    let flags = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("-h, ").unwrap_or(line);
        let flag = line.strip_prefix("--")?;
        let end = flag.find(|c: char| c != '-' && !c.is_ascii_alphanumeric());
        Some(flag[..end.unwrap_or(flag.len())].to_owned())
    });
    let flags: BTreeSet<_> = flags.collect();
    assert!(flags.contains("help"), "{command}: {flags:?}");
    flags
}

#[test]
fn completions_know_every_command_and_every_flag_in_every_shell() {
    for shell in SHELLS {
        let (code, script, _) = output(&mut ringpost(&format!("completions {shell}")));
        assert_eq!(code, 0, "{shell}");
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
            for flag in flags(&command) {
                let written = match shell {
                    "fish" => format!("-l {flag} "),
                    _ => format!("--{flag}"),
                };
                let there = script.contains(&written);
                assert!(there, "{shell}: {command} {written}");
            }
        }
    }
}

#[test]
fn bash_takes_its_completions_and_completes_with_them() {
    if Command::new("bash").arg("--version").output().is_err() {
        skipped("there is no bash");
        return;
    }
    let (_, script, _) = output(&mut ringpost("completions bash"));
    let test = format!(
        "{script}\nCOMP_WORDS=(ringpost serve --peer-l); COMP_CWORD=2; \
         _ringpost ringpost --peer-l serve; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let mut child = Command::new("bash")
        .args(["--norc", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(test.as_bytes()));
    let done = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && error.is_empty(), "{error}");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "--peer-listen\n");
}

#[test]
fn manual_pages_tell_of_every_flag_and_its_variable() {
    let name = format!("man-{}", std::process::id());
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = ringpost("man --out");
    // Neither what is set here nor where it ran is in a page.
    command
        .arg(&directory)
        .env("RINGPOST_ID", "of-this-machine");
    let (code, paths, error) = output(&mut command);
    assert_eq!(code, 0, "{error}");
    let page = |name: &str| {
        let path = directory.join(format!("{name}.1"));
        assert!(paths.lines().any(|line| line == path.to_str().unwrap()));
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("of-this-machine"), "{text}");
        text.replace("\\-", "-")
    };
    let whole = page("ringpost");
    for command in commands() {
        assert!(
            whole.contains(&format!("ringpost-{command}(1)")),
            "{command}"
        );
        let text = page(&format!("ringpost-{command}"));
        for flag in flags(&command) {
            assert!(text.contains(&format!("--{flag}")), "{command} --{flag}");
        }
    }
    let serve = page("ringpost-serve");
    for word in [
        "the \\fBRINGPOST_PEER_LISTEN\\fR environment variable",
        "FAILURE DETECTOR",
        ".nf\nEvery flag",
    ] {
        assert!(serve.contains(word), "{word}");
    }
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_directory_that_cannot_be_made_is_a_sentence() {
    let (code, out, error) = output(&mut ringpost("man --out /dev/null/man"));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.contains("/dev/null/man cannot be written"), "{error}");
}

#[cfg(unix)]
#[test]
fn health_tells_by_its_exit_code_whether_a_node_lives_and_is_ready() {
    let node = Serving::start("--drain-timeout 1s");
    let health = |more: &str| {
        let admin = node.ready["admin"].as_str().unwrap();
        let line = format!("health --timeout 10s --node {admin} {more}");
        output(&mut ringpost(&line))
    };
    assert_eq!(health(""), (0, "ok\n".to_owned(), String::new()));
    wait_until(PATIENCE, "it is ready", || health("--ready").0 == 0);

    // The address for clients is not the one that it takes.
    let url = node.ready["url"].as_str().unwrap();
    let (code, out, error) = output(&mut ringpost(&format!("health --ready --node {url}")));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.contains("--admin-listen"), "{error}");
}

#[test]
fn health_fails_where_nobody_answers_or_a_node_is_not_ready() {
    // The backlog of this listener takes a connection that nobody reads from.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let (code, _, error) = output(&mut ringpost(&format!(
        "health --timeout 200ms --node {address}"
    )));
    assert_eq!(code, 1);
    assert!(error.contains("no answer of"), "{error}");
    drop(silent);
    let (code, _, error) = output(&mut ringpost(&format!("health --node {address}")));
    assert_eq!(code, 1, "{error}");

    // A seed that does not answer: for some seconds the node has not found its cluster.
    let seed = TcpListener::bind("127.0.0.1:0").unwrap();
    let seed = seed.local_addr().unwrap();
    for attempt in 1..=3 {
        let begun = Instant::now();
        let node = Serving::start(&format!("--drain-timeout 1s --seeds {seed}"));
        let admin = node.ready["admin"].as_str().unwrap();
        let health = format!("health --timeout 10s --node {admin}");
        let (code, _, error) = output(&mut ringpost(&format!("{health} --ready")));
        // On a busy machine it may be too late: then it counts as the first of a cluster.
        if begun.elapsed() < Duration::from_secs(5) || attempt == 3 {
            assert_eq!(code, 1);
            assert!(error.contains("no other node has answered yet"), "{error}");
            let (code, _, _) = output(&mut ringpost(&health));
            assert_eq!(code, 0, "it lives");
            return;
        }
    }
}
