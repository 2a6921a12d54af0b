//! A cluster that is scaled from three nodes to five and back under load, as Kubernetes does it: all nodes have
//! the same one seed, a host name that stands for all that are there, and two come or go at the same time.
//!
//! The name is in a hosts file of the nodes' own, which is laid over the system's in a mount namespace; skipped,
//! with the reason, where there can be none.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::fleet::Fleet;
use crate::random::Random;
use crate::support::{Cluster, Node, Signal, holds_for, promised, skipped, wait_until};
use crate::{ALL, COPIED, DRAINED, assert_all_were_heard, cluster_flags, rounds};

/// What all nodes have as their seed, before the port.
const NAME: &str = "ringpost-peers";
/// Nodes at first, and again in the end.
const FEW: usize = 3;
/// Nodes in between.
const MANY: usize = 5;
/// A node that finds nobody takes itself for the first of its cluster after this.
const GRACE: Duration = Duration::from_secs(5);

/// A hosts file, and the words before a command that is to run with it.
struct Hosts(PathBuf);

impl Hosts {
    fn runner(&self) -> Vec<String> {
        let script = format!(
            "mount --bind '{}' /etc/hosts && exec \"$0\" \"$@\"",
            self.0.display()
        );
        ["unshare", "--mount", "sh", "-c", &script]
            .map(str::to_owned)
            .to_vec()
    }

    /// From now on the name stands for these; nodes that run see that, too, since it stays the same file.
    fn set<'a>(&self, nodes: impl Iterator<Item = &'a Node>) {
        let names = nodes.map(|node| format!("{} {NAME}\n", node.peer.ip()));
        let lines: Vec<_> = ["127.0.0.1 localhost\n".to_owned()]
            .into_iter()
            .chain(names)
            .collect();
        fs::write(&self.0, lines.concat()).expect("it can be written");
    }

    /// Why a name cannot be made to stand for what we like, if so.
    fn impossible(&self) -> Option<String> {
        self.set(std::iter::empty());
        let runner = self.runner();
        let output = Command::new(&runner[0])
            .args(&runner[1..])
            .arg("true")
            .output();
        match output {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(format!(
                "mount namespaces need root: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
            Err(error) => Some(format!("unshare cannot be run: {error}")),
        }
    }
}

/// Each node gets an address of its own and the ports of the first, as pods have them.
fn like_pods(cluster: &mut Cluster, hosts: &Hosts) {
    let IpAddr::V4(first) = cluster.ip else {
        panic!("{} is not of IPv4", cluster.ip);
    };
    let ports = {
        let node = &cluster.nodes[0];
        [node.listen, node.peer, node.admin].map(|address| address.port())
    };
    let [a, b, c, d] = first.octets();
    for (index, node) in cluster.nodes.iter_mut().enumerate() {
        // Never the last one of the net, however high the first is.
        let last = (usize::from(d) - 1 + index) % 250 + 1;
        let ip = IpAddr::from([a, b, c, u8::try_from(last).expect("at most 250")]);
        let [listen, peer, admin] = ports.map(|port| SocketAddr::new(ip, port));
        (node.listen, node.peer, node.admin) = (listen, peer, admin);
        node.seeds = format!("{NAME}:{}", peer.port());
        node.runner = hosts.runner();
    }
}

#[test]
fn nothing_is_lost_from_three_nodes_to_five_and_back_with_one_name_as_the_only_seed() {
    let random = Random::seeded();
    let mut cluster = Cluster::reserve(MANY).with(&cluster_flags());
    let hosts = Hosts(Path::new(&cluster.directory).join("hosts"));
    if let Some(why) = hosts.impossible() {
        skipped(&why);
        return;
    }
    like_pods(&mut cluster, &hosts);

    // At first the name stands for nobody, as before a Service has its pods: it is looked up again and again.
    cluster.start_in_order(&[0, 1, 2]);
    holds_for(Duration::from_secs(1), "each is alone", || {
        let views: Vec<_> = cluster.running().filter_map(Node::view).collect();
        views.len() == FEW && views.iter().all(|view| view.0["members"][1].is_null())
    });
    hosts.set(cluster.nodes[..FEW].iter());
    cluster.wait_settled(promised(COPIED));
    let nodes = cluster.nodes[..FEW].iter().map(|node| node.listen);
    let fleet = Fleet::start(nodes.collect(), &random);
    for round in 0..rounds(1) {
        // The names of those that come are there before they listen, as with publishNotReadyAddresses.
        hosts.set(cluster.nodes.iter());
        let start = Instant::now();
        cluster.start_in_order(&[3, 4]);
        cluster.wait_settled(promised(COPIED));
        let grown = start.elapsed();

        let start = Instant::now();
        for node in &mut cluster.nodes[FEW..] {
            node.signal(Signal::Terminate);
        }
        for node in &mut cluster.nodes[FEW..] {
            let status = node.wait_exit(promised(DRAINED));
            assert_eq!(status.code(), Some(0), "{}", node.id);
        }
        hosts.set(cluster.nodes[..FEW].iter());
        cluster.wait_settled(promised(COPIED));
        assert_all_were_heard(&cluster);
        println!(
            "round {round}: five nodes after {grown:?}, three again after {:?}",
            start.elapsed()
        );
    }
    fleet.finish(ALL);
}

#[test]
fn a_node_that_reaches_only_itself_by_a_name_of_many_does_not_take_that_for_all() {
    let mut cluster = Cluster::reserve(2).with(&cluster_flags());
    let hosts = Hosts(Path::new(&cluster.directory).join("hosts"));
    if let Some(why) = hosts.impossible() {
        skipped(&why);
        return;
    }
    like_pods(&mut cluster, &hosts);
    // The second is not there yet, or no more.
    hosts.set(cluster.nodes.iter());
    let start = Instant::now();
    cluster.start_in_order(&[0]);
    let alone = &cluster.nodes[0];
    holds_for(Duration::from_secs(1), "it waits for the other one", || {
        let answer = alone.get_admin("/readyz");
        let waits = answer.status == 503
            && String::from_utf8_lossy(&answer.body).contains("no other node has answered");
        // It does not wait for ever, and this machine may be slow.
        waits || start.elapsed() >= GRACE
    });
    wait_until(promised(COPIED), "it is ready in the end", || {
        alone.get_admin("/readyz").status == 200
    });
}

#[test]
fn a_node_finds_the_one_that_lives_behind_many_that_do_not_answer() {
    let mut cluster = Cluster::reserve(10).with(&cluster_flags());
    let hosts = Hosts(Path::new(&cluster.directory).join("hosts"));
    if let Some(why) = hosts.impossible() {
        skipped(&why);
        return;
    }
    like_pods(&mut cluster, &hosts);
    let (joining, live) = (0, 9);
    // They take connections, and say nothing.
    let silent: Vec<TcpListener> = (cluster.nodes[1..live].iter())
        .map(|node| TcpListener::bind(node.peer).expect("the address is free"))
        .collect();
    cluster.start_in_order(&[live]);
    hosts.set(cluster.nodes[1..].iter());
    let found = Duration::from_secs(2);
    let start = cluster.start_in_order(&[joining]);
    wait_until(promised(found), "they have found each other", || {
        cluster.agreed()
    });
    println!("found {:?} after its start", start.elapsed());
    drop(silent);
}
