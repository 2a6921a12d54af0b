//! Three nodes, each in a network namespace of its own, on a bridge whose frames can be dropped.
//!
//! Needs root, `ip` and `nft`. Everything is made inside namespaces, named after this process, and
//! goes away with them: the machine's own network is not touched.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::node::{BINARY, Node};
use super::view::View;

/// How many nodes, and namespaces besides the one with the bridge.
pub const NODES: usize = 3;

/// A bridge in a namespace, and three namespaces with one cable to it each.
#[derive(Debug)]
pub struct Network {
    /// What the namespaces' names start with.
    name: String,
}

/// The frames from one node to another, by their indices.
pub type Way = (usize, usize);

impl Network {
    /// Why there can be no namespaces here, if so.
    pub fn impossible() -> Option<String> {
        for (program, argument) in [("ip", "-Version"), ("nft", "--version")] {
            if Command::new(program).arg(argument).output().is_err() {
                return Some(format!("there is no {program}"));
            }
        }
        let probe = format!("rp{}-probe", std::process::id());
        if let Err(why) = try_run(&["ip", "netns", "add", &probe]) {
            return Some(format!("network namespaces need root: {why}"));
        }
        let _ = try_run(&["ip", "netns", "del", &probe]);
        None
    }

    /// Makes the namespaces, the bridge and the cables; every node reaches every other.
    ///
    /// # Panics
    /// When any step fails.
    pub fn new() -> Self {
        remove_left_overs();
        let network = Self {
            name: format!("rp{}", std::process::id()),
        };
        let hub = network.hub();
        run(&["ip", "netns", "add", &hub]);
        run(&["ip", "-n", &hub, "link", "add", "br0", "type", "bridge"]);
        run(&["ip", "-n", &hub, "link", "set", "br0", "up"]);
        for index in 0..NODES {
            let (space, port) = (network.space(index), port(index));
            run(&["ip", "netns", "add", &space]);
            run(&[
                "ip", "-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0",
                "netns", &space,
            ]);
            run(&[
                "ip", "-n", &hub, "link", "set", &port, "master", "br0", "up",
            ]);
            let address = format!("{}/24", ip(index));
            run(&[
                "ip", "-n", &space, "address", "add", &address, "dev", "eth0",
            ]);
            run(&["ip", "-n", &space, "link", "set", "eth0", "up"]);
            run(&["ip", "-n", &space, "link", "set", "lo", "up"]);
        }
        network.nft("add table bridge faults");
        network.nft(
            "add chain bridge faults forward { type filter hook forward priority 0; policy accept; }",
        );
        network
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    /// Lets programs in the bridge's own namespace reach every node, whatever is cut between the
    /// nodes. Returns the words before a command that is to run there.
    pub fn hub_runner(&self) -> Vec<String> {
        let hub = self.hub();
        let address = "10.77.0.254/24";
        run(&["ip", "-n", &hub, "address", "add", address, "dev", "br0"]);
        run(&["ip", "-n", &hub, "link", "set", "lo", "up"]);
        ["ip", "netns", "exec", &hub].map(str::to_owned).to_vec()
    }

    /// The name of a node's namespace.
    pub fn space(&self, index: usize) -> String {
        format!("{}-n{}", self.name, index + 1)
    }

    /// The words before a command that is to run in a node's namespace.
    pub fn runner(&self, index: usize) -> Vec<String> {
        let words = ["ip", "netns", "exec", &self.space(index)];
        words.map(str::to_owned).to_vec()
    }

    /// Drops all frames on these ways, and no others.
    pub fn cut(&self, ways: &[Way]) {
        self.heal();
        for way in ways {
            self.drop_on(*way, "");
        }
    }

    /// Drops this share of the frames on these ways, at random, and no others.
    pub fn lose(&self, percent: u32, ways: &[Way]) {
        self.heal();
        for way in ways {
            self.drop_on(*way, &format!("numgen random mod 100 < {percent}"));
        }
    }

    fn drop_on(&self, (from, to): Way, condition: &str) {
        let (from, to) = (port(from), port(to));
        self.nft(&format!(
            "add rule bridge faults forward iifname {from} oifname {to} {condition} counter drop"
        ));
    }

    /// How many frames have been dropped since the last change.
    pub fn dropped(&self) -> u64 {
        let rules = self.nft("-j list chain bridge faults forward");
        let rules: Value = serde_json::from_str(&rules).expect("nft prints JSON");
        let rules = rules["nftables"].as_array().expect("a list").iter();
        let parts = rules.filter_map(|rule| rule["rule"]["expr"].as_array());
        let packets = parts
            .flatten()
            .filter_map(|part| part["counter"]["packets"].as_u64());
        packets.sum()
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.nft("flush chain bridge faults forward");
    }

    fn nft(&self, command: &str) -> String {
        let mut words = vec!["ip", "netns", "exec"];
        let hub = self.hub();
        words.extend([hub.as_str(), "nft"]);
        words.extend(command.split(' ').filter(|word| !word.is_empty()));
        run(&words)
    }

    /// The nodes, one in each namespace, not started.
    pub fn nodes(&self, directory: &Path) -> Vec<Node> {
        let seeds: Vec<_> = (0..NODES).map(|i| format!("{}:7101", ip(i))).collect();
        let node = |index| {
            let at = |port| SocketAddr::new(ip(index).parse().expect("an address"), port);
            let addresses = [at(7001), at(7101), at(7201)];
            let mut node = Node::new(&format!("n{}", index + 1), addresses, directory);
            node.seeds = seeds.join(",");
            node.args = vec!["--insecure-peers".to_owned()];
            node.runner = self.runner(index);
            // The admin interface is asked from inside the namespace only.
            node.admin = SocketAddr::new([127, 0, 0, 1].into(), 7201);
            node
        };
        (0..NODES).map(node).collect()
    }

    /// How this node sees the cluster, asked from inside its namespace.
    pub fn view(&self, index: usize) -> Option<View> {
        let url = "http://127.0.0.1:7201";
        let space = self.space(index);
        let words = [
            "ip", "netns", "exec", &space, BINARY, "status", "--json", "--node", url,
        ];
        let text = try_run(&words).ok()?;
        serde_json::from_str(&text).ok().map(View)
    }

    /// The value of one of this node's metrics, asked for as [`Self::view`] is.
    pub fn metric(&self, index: usize, name: &str) -> Option<u64> {
        let space = self.space(index);
        let script = "exec 3<>/dev/tcp/127.0.0.1/7201 && \
                      printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3";
        let text = try_run(&["ip", "netns", "exec", &space, "bash", "-c", script]).ok()?;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.trim().parse().ok()
    }

    /// How all nodes see the cluster.
    pub fn views(&self) -> Vec<Option<View>> {
        (0..NODES).map(|index| self.view(index)).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for index in 0..NODES {
            let _ = try_run(&["ip", "netns", "del", &self.space(index)]);
        }
        let _ = try_run(&["ip", "netns", "del", &self.hub()]);
    }
}

/// Every way between two different nodes.
pub fn all_ways() -> Vec<Way> {
    let pairs = (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to)));
    pairs.filter(|(from, to)| from != to).collect()
}

/// A node's address on the bridge.
fn ip(index: usize) -> String {
    format!("10.77.0.{}", index + 1)
}

/// The bridge's end of a node's cable.
fn port(index: usize) -> String {
    format!("port{}", index + 1)
}

/// Deletes what tests have left that were killed: namespaces of processes that are no more.
fn remove_left_overs() {
    let list = try_run(&["ip", "netns", "list"]).unwrap_or_default();
    for name in list.lines().filter_map(|l| l.split_whitespace().next()) {
        let pid = name
            .strip_prefix("rp")
            .and_then(|rest| rest.split_once('-'));
        let pid = pid.and_then(|(pid, _)| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = try_run(&["ip", "netns", "del", name]);
        }
    }
}

/// Runs a command that must succeed; returns what it printed.
#[track_caller]
fn run(words: &[&str]) -> String {
    try_run(words).unwrap_or_else(|why| panic!("{}: {why}", words.join(" ")))
}

fn try_run(words: &[&str]) -> Result<String, String> {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
