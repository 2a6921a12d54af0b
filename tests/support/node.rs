//! One `ringpost` process of a cluster.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::view::View;
use super::wait::{PATIENCE, wait_until};
use super::{http, process};

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_ringpost");

/// What is sent to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Kill,
    Stop,
    Continue,
    Terminate,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
            Self::Terminate => "TERM",
        }
    }
}

/// One node: where it listens, how it is started, and its process while it runs.
#[derive(Debug)]
pub struct Node {
    pub id: String,
    pub listen: SocketAddr,
    pub peer: SocketAddr,
    pub admin: SocketAddr,
    /// Seeds, and whatever else the test wants; used at the next start.
    pub seeds: String,
    pub args: Vec<String>,
    /// A program that runs the node, with its arguments (`ip netns exec …`).
    pub runner: Vec<String>,
    pub log: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// A node that listens at these three addresses and logs to a file in this directory.
    pub fn new(id: &str, addresses: [SocketAddr; 3], directory: &Path) -> Self {
        let [listen, peer, admin] = addresses;
        Self {
            id: id.to_owned(),
            listen,
            peer,
            admin,
            seeds: String::new(),
            args: Vec::new(),
            runner: Vec::new(),
            log: directory.join(format!("{id}.log")),
            child: None,
        }
    }

    /// The command line, `ringpost serve` and all flags.
    pub fn command(&self) -> Command {
        let mut words = self.runner.iter().map(String::as_str).chain([BINARY]);
        let mut command = Command::new(words.next().expect("there is a program"));
        command.args(words).args(["serve", "--id", &self.id]);
        command.args(["--listen", &self.listen.to_string()]);
        command.args(["--peer-listen", &self.peer.to_string()]);
        command.args(["--admin-listen", &self.admin.to_string()]);
        command.args(["--seeds", &self.seeds]);
        if !self.args.iter().any(|arg| arg.starts_with("--jwt")) {
            command.arg("--insecure-users");
        }
        command.args(&self.args);
        clean_environment(&mut command);
        // Tests send as fast as they can; a flag beats these.
        command.env("RINGPOST_MESSAGE_RATE", "1000000");
        command.env("RINGPOST_MESSAGE_BURST", "1000000");
        command
    }

    /// Starts the process and waits for its ready line. Returns when that line came.
    ///
    /// # Panics
    /// When it ends, or says something else, or nothing within [`PATIENCE`].
    #[track_caller]
    pub fn start(&mut self) -> Instant {
        let ready = self.spawn();
        self.take_ready(&ready)
    }

    /// Starts the process; its ready line will come through the channel.
    pub(super) fn spawn(&mut self) -> mpsc::Receiver<(Instant, String)> {
        assert!(self.child.is_none(), "{} runs already", self.id);
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.expect("the log can be opened");
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(log).spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("standard output is a pipe");
        self.child = Some(child);
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send((Instant::now(), line));
            }
        });
        receiver
    }

    #[track_caller]
    pub(super) fn take_ready(&mut self, lines: &mpsc::Receiver<(Instant, String)>) -> Instant {
        let Ok((when, line)) = lines.recv_timeout(PATIENCE) else {
            panic!("{} printed no ready line:\n{}", self.id, self.log_text());
        };
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|e| panic!("{}: no ready line ({e}): {line}", self.id));
        assert_eq!(ready["ready"], true, "{line}");
        assert_eq!(ready["id"], self.id.as_str(), "{line}");
        self.listen = address(&ready["url"]);
        self.peer = address(&ready["peer"]);
        self.admin = address(&ready["admin"]);
        when
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").id()
    }

    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Sends a signal to this process and no other. [`Signal::Kill`] also waits for its end.
    pub fn signal(&mut self, signal: Signal) {
        let command = format!("kill -{} {}", signal.name(), self.pid());
        let status = Command::new("sh").args(["-c", &command]).status();
        assert!(status.expect("there is a shell").success(), "{command}");
        if signal == Signal::Kill {
            let mut child = self.child.take().expect("the node runs");
            child.wait().expect("a child can be waited for");
        }
        if signal == Signal::Stop {
            let pid = self.pid();
            wait_until(PATIENCE, "all its threads have stopped", || {
                process::has_stopped(pid)
            });
        }
    }

    /// Waits for the process to end by itself and says how.
    #[track_caller]
    pub fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let child = self.child.as_mut().expect("the node runs");
        let mut status = None;
        wait_until(deadline, &format!("{} has exited", self.id), || {
            status = child.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        self.child = None;
        status.expect("it has just been seen")
    }

    /// Where a client starts that wants to be this user (the id goes in as it is).
    pub fn url(&self, query_user: &str) -> String {
        format!("ws://{}/ws?user={query_user}", self.listen)
    }

    /// `GET` on the client address.
    #[track_caller]
    pub fn get(&self, target: &str) -> http::Response {
        let response = http::get(self.listen, target);
        response.unwrap_or_else(|e| panic!("{} {target}: {e}", self.id))
    }

    /// `GET` on the admin address.
    #[track_caller]
    pub fn get_admin(&self, target: &str) -> http::Response {
        let response = http::get(self.admin, target);
        response.unwrap_or_else(|e| panic!("{} {target}: {e}", self.id))
    }

    /// Who owns the user, as this node sees it (the user goes into the query as it is).
    #[track_caller]
    pub fn locate(&self, query_user: &str) -> String {
        let response = self.get(&format!("/locate?user={query_user}"));
        assert_eq!(response.status, 200, "{response:?}");
        let answer = response.json();
        answer["node"].as_str().expect("a node id").to_owned()
    }

    /// How the node sees the cluster; `None` when it does not answer.
    pub fn view(&self) -> Option<View> {
        let response = http::get(self.admin, "/v1/cluster").ok()?;
        (response.status == 200).then(|| View(response.json()))
    }

    /// The value of a metric, by its whole name.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.get_admin("/metrics").text();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("{}: no {name} in {text}", self.id));
        value.parse().expect("a whole number")
    }

    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Resident memory of the process, in KiB.
    pub fn resident_kib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the process lives");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let number = line.and_then(|l| l.split_whitespace().next());
        number.and_then(|n| n.parse().ok()).expect("a number")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let log = self.log_text();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            eprintln!("--- the end of {}'s log\n{}", self.id, last.join("\n"));
        }
    }
}

/// Runs the program with these arguments, to its end; standard output and success.
pub fn run(args: &[&str]) -> (String, bool) {
    let mut command = Command::new(BINARY);
    clean_environment(command.args(args));
    let output = command.output().expect("the program starts");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    (stdout, output.status.success())
}

/// Keeps the settings of whoever runs the tests away from the nodes.
fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RINGPOST_")) {
        command.env_remove(name);
    }
    let log = std::env::var("RINGPOST_TEST_LOG").unwrap_or_else(|_| "info".to_owned());
    command.env("RUST_LOG", log);
}

/// An address in the ready line, with or without a scheme.
fn address(value: &Value) -> SocketAddr {
    let text = value.as_str().unwrap_or_default();
    let authority = text.rsplit("//").next().unwrap_or_default();
    let address = authority.trim_end_matches('/').parse();
    address.unwrap_or_else(|e| panic!("no address in the ready line ({e}): {value}"))
}
