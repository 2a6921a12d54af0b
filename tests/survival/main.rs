//! What was accepted is never lost, doubled or put out of order, whatever happens to nodes: crashes,
//! restarts, joins and partitions of real processes, under the load of a fleet of clients.
//!
//! `RINGPOST_CHAOS_ROUNDS=N` makes every scenario take N rounds, `RINGPOST_CHAOS_SEED=N` makes it
//! choose as it did before.

mod fleet;
mod ledger;
mod partition;
mod random;
mod scaling;
#[path = "../support/mod.rs"]
mod support;
mod user;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use fleet::{Fleet, PROBES};
use ledger::Promises;
use random::Random;
use support::{Client, Cluster, PATIENCE, Signal, promised, wait_until};

/// After a crash, messages to the dead node's users are accepted again. A debug build under this load may
/// starve.
const TAKEN_OVER: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 5 });
/// Every stream has all its copies again.
const COPIED: Duration = Duration::from_secs(20);
/// A node that was asked to stop has ended.
const DRAINED: Duration = Duration::from_secs(10);

const ALL: Promises = Promises {
    ordered: true,
    seamless: true,
};

/// How often a scenario is repeated on one cluster.
fn rounds(usual: usize) -> usize {
    let rounds = std::env::var("RINGPOST_CHAOS_ROUNDS");
    rounds.map_or(usual, |rounds| {
        rounds.parse().expect("RINGPOST_CHAOS_ROUNDS is a number")
    })
}

/// So many nodes, whose inboxes are never full, however many rounds it takes, and that do not wait
/// long for clients that cannot be told to move.
fn cluster_of(nodes: usize) -> Cluster {
    Cluster::of(nodes, &cluster_flags())
}

fn cluster_flags() -> [&'static str; 4] {
    ["--max-inbox-messages", "100000", "--drain-timeout", "4s"]
}

fn fleet_of(cluster: &Cluster, random: &Random) -> Fleet {
    let nodes = cluster.nodes.iter().map(|node| node.listen).collect();
    Fleet::start(nodes, random)
}

/// Nobody goes on without having asked whoever lives: only a member that is half dead is passed over, or one
/// of a debug build that starves.
#[track_caller]
fn assert_all_were_heard(cluster: &Cluster) {
    for node in cluster.running() {
        let passed_over = node.metric("ringpost_members_passed_over_total");
        if cfg!(debug_assertions) && passed_over > 0 {
            println!("{} passed over {passed_over}", node.id);
            continue;
        }
        assert_eq!(passed_over, 0, "{}: {}", node.id, node.log_text());
    }
}

/// A sender at another node than this one, and a user of this one that it can write to.
struct Probe {
    sender: Client,
    user: String,
}

impl Probe {
    #[track_caller]
    fn beside(cluster: &Cluster, index: usize) -> Self {
        let number = PROBES.fetch_add(1, Ordering::Relaxed);
        let user = cluster.user_of(index, &format!("probe{number}-"));
        let elsewhere = (index + 1) % cluster.nodes.len();
        let url = cluster.nodes[elsewhere].url("prober") + "&redirect=never";
        let mut sender = Client::connect(&url).expect("101");
        sender.expect("welcome");
        sender.keep_accepted(&user, "before", "1");
        Self { sender, user }
    }

    /// Sends a message and returns how long its receipt took.
    #[track_caller]
    fn taken_over(mut self) -> Duration {
        let start = Instant::now();
        self.sender.keep_accepted(&self.user, "after", "2");
        start.elapsed()
    }
}

fn survives_kills(nodes: usize, usual: usize) {
    let mut random = Random::seeded();
    let mut cluster = cluster_of(nodes);
    let fleet = fleet_of(&cluster, &random);
    for round in 0..rounds(usual) {
        let index = random.below(nodes);
        let dead = cluster.nodes[index].id.clone();
        let probe = Probe::beside(&cluster, index);
        cluster.nodes[index].signal(Signal::Kill);
        let probe = thread::spawn(|| probe.taken_over());
        let killed = Instant::now();
        // In turn: when all miss it, at once, and when the first begins to miss it.
        let miss = |node: &&support::Node, state: &dyn Fn(&str) -> bool| {
            node.view().is_some_and(|view| state(view.state(&dead)))
        };
        let others = || cluster.nodes.iter().filter(|node| node.id != dead);
        match round % 3 {
            0 => drop(wait_until(PATIENCE, "all miss the node", || {
                others().all(|node| miss(&node, &|state| state == "down"))
            })),
            1 => {}
            _ => drop(wait_until(PATIENCE, "a node is missed", || {
                others().any(|node| miss(&node, &|state| state != "alive"))
            })),
        }
        let pause = killed.elapsed();
        cluster.nodes[index].start();
        let copied = cluster.wait_settled(promised(COPIED));
        let taken_over = probe.join().expect("the message is accepted");
        println!(
            "round {round}: n{} killed and its users taken over in {taken_over:?}; started {pause:?} \
             after its end, all copied in {copied:?}",
            index + 1
        );
        assert!(taken_over < TAKEN_OVER, "{taken_over:?}");
        assert_all_were_heard(&cluster);
    }
    fleet.finish(ALL);
}

#[test]
fn nothing_is_lost_when_one_node_of_three_is_killed_after_another() {
    survives_kills(3, 2);
}

#[test]
fn nothing_is_lost_when_one_node_of_five_is_killed_after_another() {
    survives_kills(5, 1);
}

#[test]
fn a_rolling_restart_is_seen_by_nobody() {
    let random = Random::seeded();
    let mut cluster = cluster_of(3);
    let fleet = fleet_of(&cluster, &random);
    for round in 0..rounds(1) {
        for index in 0..cluster.nodes.len() {
            let start = Instant::now();
            cluster.nodes[index].signal(Signal::Terminate);
            let status = cluster.nodes[index].wait_exit(promised(DRAINED));
            assert_eq!(status.code(), Some(0));
            let drained = start.elapsed();
            cluster.nodes[index].start();
            let copied = cluster.wait_settled(promised(COPIED));
            assert_all_were_heard(&cluster);
            println!(
                "round {round}: n{} drained in {drained:?}, back in {copied:?}",
                index + 1
            );
        }
    }
    fleet.finish(ALL);
}

#[test]
fn nodes_join_and_leave_under_load() {
    let random = Random::seeded();
    let mut cluster = cluster_of(2);
    let fleet = fleet_of(&cluster, &random);
    let joining = cluster.add();
    for round in 0..rounds(1) {
        cluster.nodes[joining].start();
        let joined = cluster.wait_settled(promised(COPIED));
        let owned = Fleet::steady().filter(|user| cluster.owner(user) == joining);
        let owned = owned.count() as u64;
        let what = "the users that it owns have come to it";
        let moved = wait_until(promised(COPIED), what, || {
            let view = cluster.nodes[joining].view().expect("it answers").0;
            view["sessions"]
                .as_u64()
                .is_some_and(|sessions| sessions >= owned)
        });
        cluster.nodes[joining].signal(Signal::Terminate);
        cluster.nodes[joining].wait_exit(promised(DRAINED));
        let left = cluster.wait_settled(promised(COPIED));
        assert_all_were_heard(&cluster);
        println!(
            "round {round}: joined in {joined:?}, {owned} users moved in {moved:?}, left in {left:?}"
        );
    }
    fleet.finish(ALL);
}
