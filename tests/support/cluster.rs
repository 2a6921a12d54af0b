//! A cluster of real `ringpost` processes on a loopback address of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::wait::{PATIENCE, turn, wait_until, within};
use super::{http, process};

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_ringpost");

/// Numbers the clusters of this process, for the names of their log directories.
static CLUSTERS: AtomicUsize = AtomicUsize::new(0);

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
    fn spawn(&mut self) -> mpsc::Receiver<(Instant, String)> {
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
    fn take_ready(&mut self, lines: &mpsc::Receiver<(Instant, String)>) -> Instant {
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

/// One node's answer to `GET /v1/cluster`.
#[derive(Debug, Clone)]
pub struct View(pub Value);

impl View {
    pub fn digest(&self) -> &str {
        self.0["digest"].as_str().expect("the digest is a string")
    }

    pub fn member(&self, id: &str) -> Option<&Value> {
        let members = self.0["members"].as_array().expect("members");
        members.iter().find(|member| member["id"] == id)
    }

    /// `alive`, `suspect` or `down`; also `down` for a node that is not listed.
    pub fn state(&self, id: &str) -> &str {
        self.member(id).map_or("down", |member| {
            member["state"].as_str().expect("a state is a string")
        })
    }

    pub fn generation(&self, id: &str) -> Option<u64> {
        self.member(id)?["generation"].as_u64()
    }

    /// Whether the node takes users: listed, not down, not draining, with a share.
    pub fn on_ring(&self, id: &str) -> bool {
        self.member(id).is_some_and(|member| {
            member["state"] != "down"
                && member["draining"] != true
                && member["share"].as_f64().is_some_and(|share| share > 0.0)
        })
    }

    /// The members that are alive, with their generations.
    fn alive(&self) -> BTreeMap<&str, u64> {
        let members = self.0["members"].as_array().expect("members");
        let alive = members.iter().filter(|member| member["state"] == "alive");
        alive
            .filter_map(|member| Some((member["id"].as_str()?, member["generation"].as_u64()?)))
            .collect()
    }
}

/// Whether all these views are of the same ring and see exactly these nodes alive.
pub fn agree(views: &[Option<View>], ids: &[&str]) -> bool {
    let Some(views) = views.iter().cloned().collect::<Option<Vec<View>>>() else {
        return false;
    };
    let Some(first) = views.first() else {
        return true;
    };
    let expected: BTreeSet<&str> = ids.iter().copied().collect();
    views.iter().all(|view| {
        view.digest() == first.digest()
            && view.alive() == first.alive()
            && view.alive().keys().copied().eq(expected.iter().copied())
    })
}

/// Nodes `n1`, `n2`, … that know each other's addresses, each a process; all end with it.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub directory: PathBuf,
    pub ip: IpAddr,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// This many nodes with free ports on a fresh loopback address, none of them started.
    pub fn reserve(count: usize) -> Self {
        Self::reserve_at(fresh_loopback(), count)
    }

    /// The same at a given address.
    pub fn reserve_at(ip: IpAddr, count: usize) -> Self {
        let turn = turn();
        let directory = log_directory();
        let mut cluster = Self {
            nodes: Vec::new(),
            directory,
            ip,
            _turn: turn,
        };
        for _ in 0..count {
            cluster.add();
        }
        let seeds = cluster.seeds();
        for node in &mut cluster.nodes {
            node.seeds.clone_from(&seeds);
        }
        cluster
    }

    /// Adds flags to every node that is there; for the next start.
    #[must_use]
    pub fn with(mut self, args: &[&str]) -> Self {
        for node in &mut self.nodes {
            node.args.extend(args.iter().map(ToString::to_string));
        }
        self
    }

    /// Starts all nodes at once and waits until they agree and are ready.
    #[must_use]
    #[track_caller]
    pub fn started(mut self) -> Self {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.start_in_order(&all);
        self.wait_settled(3 * PATIENCE);
        self
    }

    /// As many nodes as asked for, started, with flags.
    #[track_caller]
    pub fn of(count: usize, args: &[&str]) -> Self {
        Self::reserve(count).with(args).started()
    }

    /// Starts these nodes without waiting between them; returns when the last one was ready.
    #[track_caller]
    pub fn start_in_order(&mut self, order: &[usize]) -> Instant {
        let ready: Vec<_> = order
            .iter()
            .map(|&index| (index, self.nodes[index].spawn()))
            .collect();
        let times = ready
            .iter()
            .map(|(index, lines)| self.nodes[*index].take_ready(lines));
        times.max().expect("at least one node")
    }

    /// Adds one more node, not started, with the seeds and flags of the first; returns its index.
    pub fn add(&mut self) -> usize {
        let id = format!("n{}", self.nodes.len() + 1);
        let addresses = free_addresses(self.ip);
        let mut node = Node::new(&id, addresses, &self.directory);
        if let Some(first) = self.nodes.first() {
            node.seeds.clone_from(&first.seeds);
            node.args.clone_from(&first.args);
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The peer addresses of all nodes, as `--seeds` takes them.
    pub fn seeds(&self) -> String {
        let peers: Vec<_> = self.nodes.iter().map(|n| n.peer.to_string()).collect();
        peers.join(",")
    }

    /// The nodes whose process has not been ended.
    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_started())
    }

    /// Whether all running nodes see exactly the running nodes alive, and the same ring.
    pub fn agreed(&self) -> bool {
        let ids: Vec<_> = self.running().map(|node| node.id.as_str()).collect();
        let views: Vec<_> = self.running().map(Node::view).collect();
        agree(&views, &ids)
    }

    /// Waits until [`Self::agreed`]; returns how long that took.
    #[track_caller]
    pub fn wait_agreed(&self, deadline: Duration) -> Duration {
        let what = "all nodes see all, with equal digests";
        wait_until(deadline, what, || self.agreed())
    }

    /// Whether every running node is ready and no member waits for a copy, whomever one asks.
    pub fn settled(&self) -> bool {
        self.unsettled().is_none()
    }

    /// What is not as [`Self::settled`] wants it.
    fn unsettled(&self) -> Option<String> {
        if !self.agreed() {
            let views = self.running().map(|node| match node.view() {
                Some(view) => format!("\n{}: {}", node.id, view.0),
                None => format!("\n{} does not answer", node.id),
            });
            return Some(format!("they do not agree:{}", views.collect::<String>()));
        }
        self.running().find_map(|node| {
            let ready = node.get_admin("/readyz");
            if ready.status != 200 {
                return Some(format!("{}: {}", node.id, ready.text()));
            }
            let Some(view) = node.view() else {
                return Some(format!("{} does not answer", node.id));
            };
            let members = view.0["members"].as_array().expect("a list");
            let lacking = members.iter().find(|it| it["under_replicated"] != 0)?;
            Some(format!("{} says: {lacking}", node.id))
        })
    }

    /// Waits until [`Self::settled`]; returns how long that took.
    #[track_caller]
    pub fn wait_settled(&self, deadline: Duration) -> Duration {
        let mut last = None;
        let settled = within(deadline, || {
            last = self.unsettled();
            last.is_none()
        });
        let Some(after) = settled else {
            let last = last.unwrap_or_default();
            panic!(
                "not within {deadline:?}: all nodes are ready and every stream has its copies: {last}"
            );
        };
        after
    }

    /// Waits until every other running node takes this one for down; returns how long that took.
    #[track_caller]
    pub fn wait_down(&self, id: &str, deadline: Duration) -> Duration {
        let what = format!("{id} is down for every other node");
        let others = || self.running().filter(|node| node.id != id);
        wait_until(deadline, &what, || {
            others().all(|node| node.view().is_some_and(|view| view.state(id) == "down"))
        })
    }

    /// The index of the node that owns the user, as the first running node sees it.
    #[track_caller]
    pub fn owner(&self, query_user: &str) -> usize {
        let first = self.running().next().expect("a node runs");
        let id = first.locate(query_user);
        let position = self.nodes.iter().position(|node| node.id == id);
        position.unwrap_or_else(|| panic!("{id} is no node"))
    }

    /// Users whose names start with `prefix` and that this node owns.
    #[track_caller]
    pub fn users_of(&self, index: usize, prefix: &str, count: usize) -> Vec<String> {
        let names = (0..10_000).map(|n| format!("{prefix}{n}"));
        let users: Vec<_> = names
            .filter(|user| self.owner(user) == index)
            .take(count)
            .collect();
        assert_eq!(users.len(), count, "node {index} owns hardly anybody");
        users
    }

    /// One user whose name starts with `prefix` and that this node owns.
    #[track_caller]
    pub fn user_of(&self, index: usize, prefix: &str) -> String {
        self.users_of(index, prefix, 1).remove(0)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.directory);
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

/// A directory for the logs of one cluster, inside the build's own directory.
pub fn log_directory() -> PathBuf {
    let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("cluster-{}-{number}", std::process::id());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("the build's directory can be written to");
    directory
}

/// Where only Linux answers on all of 127/8, others get 127.0.0.1.
fn fresh_loopback() -> IpAddr {
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST.into();
    }
    let [a, b, c, ..] = RandomState::new().hash_one("an address").to_be_bytes();
    Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254)).into()
}

/// Addresses that were given to some node: it may not have started yet.
static GIVEN: Mutex<BTreeSet<(IpAddr, u16)>> = Mutex::new(BTreeSet::new());

/// Three ports that are free, and known before the node that takes them is started. They are below
/// those that systems give to outgoing connections, so that nobody takes them in between.
fn free_addresses(ip: IpAddr) -> [SocketAddr; 3] {
    let free = || {
        let random = RandomState::new().hash_one("a port");
        let port = 10_000 + u16::try_from(random % 20_000).expect("below 20,000");
        let new = GIVEN.lock().expect("nobody panics").insert((ip, port));
        new.then(|| TcpListener::bind((ip, port)).ok()).flatten()
    };
    let listeners = [(); 3].map(|()| {
        let found = (0..100).find_map(|_| free());
        found.expect("a free port")
    });
    listeners.map(|listener| listener.local_addr().expect("it is bound"))
}

/// An address in the ready line, with or without a scheme.
fn address(value: &Value) -> SocketAddr {
    let text = value.as_str().unwrap_or_default();
    let authority = text.rsplit("//").next().unwrap_or_default();
    let address = authority.trim_end_matches('/').parse();
    address.unwrap_or_else(|e| panic!("no address in the ready line ({e}): {value}"))
}
