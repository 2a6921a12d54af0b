//! Where the commands of a document run: a directory of its own, nodes with free ports, interpreters.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::support::Cluster;
use super::support::node::BINARY;
use super::support::{insisting, skipped};

/// A directory for the files of a document, and what runs in it.
pub struct Place {
    pub cluster: Cluster,
    directory: PathBuf,
    groups: Vec<u32>,
    outputs: usize,
}

/// A command that runs, or ran.
pub struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    /// What it, and what it has started, has printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }
}

impl Place {
    pub fn new(cluster: Cluster) -> Self {
        let directory = cluster.directory.join("place");
        fs::create_dir_all(directory.join("bin")).expect("it can be written to");
        let link = |target: &Path, name: &str| {
            symlink(target, directory.join(name)).expect("a link can be made");
        };
        link(Path::new(BINARY), "bin/ringpost");
        if let Some(python) = python() {
            // A link would lose the environment that the interpreter is in.
            let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", python.display());
            for name in ["bin/python", "bin/python3"] {
                write_program(&directory.join(name), &script);
            }
        }
        if let Some(modules) = node_modules() {
            link(&modules, "node_modules");
        }
        Self {
            cluster,
            directory,
            groups: Vec::new(),
            outputs: 0,
        }
    }

    /// The text of a document, with the real addresses instead of those that it names.
    pub fn localised(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (index, node) in (1..).zip(&self.cluster.nodes) {
            for (kind, address) in [(0, node.listen), (1, node.peer), (2, node.admin)] {
                let shown = format!("127.0.0.1:{}", 7000 + 100 * kind + index);
                text = text.replace(&shown, &address.to_string());
            }
        }
        text
    }

    /// Writes a file of the document.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.join(name), self.localised(text)).expect("it can be written");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts a command as it stands in a document.
    pub fn start(&mut self, command: &str) -> Running {
        self.outputs += 1;
        let output = self.directory.join(format!("output-{}", self.outputs));
        let file = File::create(&output).expect("it can be written to");
        let mut bash = Command::new("bash");
        bash.args([
            "-c",
            &format!("set -euo pipefail\n{}", self.localised(command)),
        ]);
        bash.current_dir(&self.directory).process_group(0);
        bash.stdin(Stdio::null());
        bash.stdout(file.try_clone().expect("a file can be opened twice"))
            .stderr(file);
        self.set_environment(&mut bash);
        let child = bash.spawn().expect("there is a bash");
        self.groups.push(child.id());
        Running { child, output }
    }

    fn set_environment(&self, command: &mut Command) {
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RINGPOST_")) {
            command.env_remove(name);
        }
        let before = std::env::var("PATH").unwrap_or_default();
        command.env(
            "PATH",
            format!("{}:{before}", self.directory.join("bin").display()),
        );
        // The defaults of the first node; flags beat them.
        if let Some(first) = self.cluster.nodes.first() {
            command.env("RINGPOST_LISTEN", first.listen.to_string());
            command.env("RINGPOST_PEER_LISTEN", first.peer.to_string());
            command.env("RINGPOST_ADMIN_LISTEN", first.admin.to_string());
        }
        command.env("RUST_LOG", "info").env("PYTHONUNBUFFERED", "1");
        // Debian's packages of Go are no modules.
        command
            .env("GO111MODULE", "off")
            .env("GOPATH", "/usr/share/gocode");
        command.env(
            "GOCACHE",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"),
        );
    }

    /// The process of a node that a command has started.
    pub fn pid_of(&self, id: &str) -> Option<u32> {
        let ours = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // Behind the name: state, parent, group.
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let group = rest
                .split_whitespace()
                .nth(2)
                .and_then(|group| group.parse().ok());
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            group.is_some_and(|group| self.groups.contains(&group))
                && line.contains("ringpost\0serve\0")
                && line.contains(&format!("\0--id\0{id}\0"))
        };
        let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.into_iter().find(ours)
    }

    /// Whether a program of the document can run here; says why not.
    pub fn can_run(command: &str) -> bool {
        let words = |name: &str| command.split_whitespace().any(|word| word == name);
        let missing = if words("python") || words("python3") {
            python()
                .is_none()
                .then_some("no Python with websockets and aiohttp (RINGPOST_PYTHON)")
        } else if words("node") {
            node_modules()
                .is_none()
                .then_some("no node with the package ws (RINGPOST_JS_TOOLS)")
        } else if words("go") {
            (!has_go()).then_some("no go with gorilla/websocket")
        } else if words("grpcurl") {
            (!succeeds("grpcurl", &["-version"])).then_some("no grpcurl")
        } else {
            None
        };
        if let Some(missing) = missing {
            // That one has no package that CI could install.
            if insisting() && missing.contains("grpcurl") {
                println!("skipped: {missing}");
            } else {
                skipped(missing);
            }
        }
        missing.is_none()
    }

    /// Ends a command and all that it has started.
    pub fn end(&mut self, mut running: Running) {
        let group = running.child.id();
        end_group(group);
        self.groups.retain(|other| *other != group);
        let _ = running.child.wait();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for group in &self.groups {
            end_group(*group);
        }
    }
}

/// Of a group that this process has made.
fn end_group(group: u32) {
    // It may have ended already.
    let command = format!("kill -KILL -- -{group} 2>/dev/null");
    let _ = Command::new("bash").args(["-c", &command]).status();
}

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).expect("it can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// An interpreter with the libraries that the documents use.
fn python() -> Option<PathBuf> {
    let python = std::env::var("RINGPOST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    succeeds(&python, &["-c", "import websockets, aiohttp"]).then(|| PathBuf::from(python))
}

/// The folder that has `ws`, if there is a `node` for it.
fn node_modules() -> Option<PathBuf> {
    let beside = super::book::root().join("target/js-tools");
    let tools = std::env::var("RINGPOST_JS_TOOLS").map_or(beside, PathBuf::from);
    let modules = tools.join("node_modules");
    (modules.join("ws").is_dir() && succeeds("node", &["--version"])).then_some(modules)
}

fn has_go() -> bool {
    succeeds("go", &["version"])
        && Path::new("/usr/share/gocode/src/github.com/gorilla/websocket").is_dir()
}
