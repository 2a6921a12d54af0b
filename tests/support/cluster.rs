//! A cluster of real `ringpost` processes on a loopback address of its own.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::node::Node;
use super::view::agree;
use super::wait::{PATIENCE, turn, wait_until, within};

/// Numbers the clusters of this process, for the names of their log directories.
static CLUSTERS: AtomicUsize = AtomicUsize::new(0);

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
