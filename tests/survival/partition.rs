//! A partition of three nodes under load, in network namespaces; skipped, with the reason, where
//! there can be none. The clients reach all nodes the whole time.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::fleet::Fleet;
use crate::ledger::Promises;
use crate::random::Random;
use crate::rounds;
use crate::support::cluster::log_directory;
use crate::support::namespaces::{NODES, Network, Way};
use crate::support::view::agree;
use crate::support::{PATIENCE, View, promised, skipped, turn, wait_until};

const IDS: [&str; NODES] = ["n1", "n2", "n3"];
/// After a partition has healed, all see all again.
const HEALED: Duration = Duration::from_secs(10);
/// A partition is known to be one: the time for a crash, and connections that have to time out.
const NOTICED: Duration = Duration::from_secs(15);
/// Streams that both sides wrote are merged and copied.
const MERGED: Duration = Duration::from_secs(20);
/// Messages that each side accepts while it is alone, before it is not any more.
const ALONE: u64 = 100;
/// Where the fleet finds its nodes.
const NODES_VARIABLE: &str = "RINGPOST_TEST_FLEET_NODES";
const READY: &str = "the fleet is in";

/// In a split each side keeps its own promises; together they keep that nothing is lost.
const OF_BOTH_SIDES: Promises = Promises {
    ordered: false,
    seamless: false,
};

#[test]
fn everything_that_both_sides_of_a_partition_accepted_arrives() {
    let _turn = turn();
    if let Some(why) = Network::impossible() {
        skipped(&why);
        return;
    }
    let network = Network::new();
    let directory = log_directory();
    let mut nodes = network.nodes(&directory);
    for node in &mut nodes {
        node.start();
    }
    wait_settled(&network, 3 * PATIENCE);
    let mut fleet = FleetProcess::start(&network.hub_runner());
    let one_and_two: Vec<Way> = vec![(0, 1), (1, 0), (0, 2), (2, 0)];
    for round in 0..rounds(1) {
        network.cut(&one_and_two);
        let what = "both sides know that they are split";
        let noticed = wait_until(promised(NOTICED), what, || {
            let down = |by: usize, of: &str| {
                let view = network.view(by);
                view.is_some_and(|view| view.state(of) == "down")
            };
            down(0, "n2") && down(0, "n3") && down(1, "n1") && down(2, "n1")
        });
        let accepted = |index| {
            network
                .metric(index, "ringpost_accepted_total")
                .unwrap_or(0)
        };
        let before = [0, 1, 2].map(accepted);
        wait_until(3 * PATIENCE, "both sides accept messages", || {
            [0, 1, 2]
                .iter()
                .all(|&index| accepted(index) >= before[index] + ALONE)
        });
        assert!(network.dropped() > 0, "nothing was dropped");
        network.heal();
        let healed = wait_until(promised(HEALED), "all nodes see all again", || {
            agree(&network.views(), &IDS)
        });
        let merged = wait_settled(&network, promised(MERGED));
        println!(
            "round {round}: noticed after {noticed:?}, healed in {healed:?}, merged after {merged:?}"
        );
    }
    fleet.finish();
    drop(nodes);
    let _ = std::fs::remove_dir_all(&directory);
}

/// Waits until all nodes see all, and say of all that no stream waits for a copy.
#[track_caller]
fn wait_settled(network: &Network, deadline: Duration) -> Duration {
    let start = Instant::now();
    loop {
        let views = network.views();
        if agree(&views, &IDS) && views.iter().flatten().all(copied) {
            return start.elapsed();
        }
        let late = start.elapsed() >= deadline;
        assert!(!late, "not settled after {deadline:?}: {views:#?}");
    }
}

/// Whether no member waits for a copy.
fn copied(view: &View) -> bool {
    let members = view.0["members"].as_array().expect("a list");
    members.iter().all(|member| member["under_replicated"] == 0)
}

/// A fleet that lives in the bridge's namespace, and so in a process of its own.
struct FleetProcess(Child);

impl FleetProcess {
    #[track_caller]
    fn start(runner: &[String]) -> Self {
        let program = std::env::current_exe().expect("a test is a program");
        let nodes = (1..=NODES).map(|number| format!("10.77.0.{number}:7001"));
        let mut child = Command::new(&runner[0])
            .args(&runner[1..])
            .arg(program)
            .args(["--exact", "partition::fleet", "--ignored", "--nocapture"])
            .env(NODES_VARIABLE, nodes.collect::<Vec<_>>().join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let fleet = Self(child);
        let (sender, ready) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                println!("fleet: {line}");
                if line.ends_with(READY) {
                    let _ = sender.send(());
                }
            }
        });
        ready.recv_timeout(3 * PATIENCE).expect(READY);
        fleet
    }

    #[track_caller]
    fn finish(&mut self) {
        let mut stdin = self.0.stdin.take().expect("standard input is a pipe");
        stdin.write_all(b"finish\n").expect("the fleet listens");
        let status = self.0.wait().expect("a child can be waited for");
        assert!(status.success(), "the fleet found faults: {status}");
    }
}

impl Drop for FleetProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "it is the fleet of the test above, started by it in another namespace"]
fn fleet() {
    let nodes = std::env::var(NODES_VARIABLE).expect("only for the test above");
    let nodes = nodes
        .split(',')
        .map(|node| node.parse::<SocketAddr>().expect("an address"));
    let fleet = Fleet::start(nodes.collect(), &Random::seeded());
    println!("{READY}");
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    assert_eq!(read.ok().zip(Some(line.as_str())), Some((7, "finish\n")));
    fleet.finish(OF_BOTH_SIDES);
}
