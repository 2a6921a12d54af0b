//! Partitions of every shape, one-way loss and heavy loss between three nodes in network
//! namespaces. Skipped, with the reason, where there can be none.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use support::cluster::log_directory;
use support::namespaces::{NODES, Network, Way, all_ways};
use support::view::agree;
use support::{Node, PATIENCE, holds_for, promised, skipped, wait_until};

const IDS: [&str; NODES] = ["n1", "n2", "n3"];
/// After a partition has healed, or heavy loss has ended, all see all again.
const HEALED: Duration = Duration::from_secs(10);
/// A partition is known to be one: the time for a crash, and connections that have to time out.
const NOTICED: Duration = Duration::from_secs(15);

/// One network at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Three nodes in three namespaces, started and agreed. Nodes end before their namespaces.
struct Split {
    nodes: Vec<Node>,
    network: Network,
    directory: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Split {
    fn started() -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = Network::impossible() {
            skipped(&why);
            return None;
        }
        let network = Network::new();
        let directory = log_directory();
        let mut nodes = network.nodes(&directory);
        for node in &mut nodes {
            node.start();
        }
        let split = Self {
            nodes,
            network,
            directory,
            _turn: turn,
        };
        split.wait_agreed(PATIENCE);
        Some(split)
    }

    #[track_caller]
    fn wait_agreed(&self, deadline: Duration) -> Duration {
        let what = "all nodes see all, with equal digests";
        wait_until(deadline, what, || agree(&self.network.views(), &IDS))
    }

    /// Whether this node sees that one as down.
    fn sees_down(&self, (by, of): Way) -> bool {
        let view = self.network.view(by);
        view.is_some_and(|view| view.state(IDS[of]) == "down")
    }
}

impl Drop for Split {
    fn drop(&mut self) {
        self.nodes.clear();
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// A fault: which ways are dead, and who must then take whom for down.
struct Shape {
    name: &'static str,
    dead: Vec<Way>,
    down: Vec<Way>,
}

fn shapes() -> Vec<Shape> {
    let both =
        |ways: &[Way]| -> Vec<Way> { ways.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).collect() };
    vec![
        Shape {
            name: "n1 | n2 n3",
            dead: both(&[(0, 1), (0, 2)]),
            down: both(&[(0, 1), (0, 2)]),
        },
        Shape {
            name: "n1 n2 | n3, and only what n3 says is lost",
            dead: vec![(2, 0), (2, 1)],
            down: vec![(0, 2), (1, 2)],
        },
        Shape {
            name: "n1 n2 | n3, and only what n3 should hear is lost",
            dead: vec![(0, 2), (1, 2)],
            down: vec![(0, 2), (1, 2)],
        },
        Shape {
            name: "n1 | n2 | n3",
            dead: all_ways(),
            down: all_ways(),
        },
    ]
}

#[test]
fn a_partition_of_any_shape_heals_within_ten_seconds() {
    let Some(split) = Split::started() else {
        return;
    };
    for shape in shapes() {
        split.network.cut(&shape.dead);
        let what = format!("{} is noticed", shape.name);
        let noticed = wait_until(promised(NOTICED), &what, || {
            shape.down.iter().all(|&way| split.sees_down(way))
        });
        // For as long again, so that backoffs have grown and connections have given up.
        holds_for(Duration::from_secs(6), "it stays noticed", || {
            split.sees_down(shape.down[0])
        });
        assert!(split.network.dropped() > 0, "nothing was dropped");
        split.network.heal();
        let healed = split.wait_agreed(promised(HEALED));
        println!(
            "{}: noticed after {noticed:?}, healed in {healed:?}",
            shape.name
        );
    }
}

#[test]
fn a_dead_link_between_two_nodes_splits_nobody_off_while_a_third_reaches_both() {
    let Some(split) = Split::started() else {
        return;
    };
    for dead in [vec![(0, 1), (1, 0)], vec![(0, 1)]] {
        split.network.cut(&dead);
        // Indirect probes go through n3: suspicion may come and go, the ring stays.
        holds_for(Duration::from_secs(10), "nobody is down", || {
            all_ways().into_iter().all(|way| !split.sees_down(way))
        });
        assert!(split.network.dropped() > 0, "nothing was dropped");
        split.network.heal();
        let healed = split.wait_agreed(promised(HEALED));
        println!("{dead:?} dead: agreed again after {healed:?}");
    }
}

#[test]
fn views_agree_again_within_ten_seconds_after_heavy_loss() {
    let Some(split) = Split::started() else {
        return;
    };
    let one_way: Vec<Way> = vec![(0, 1), (0, 2)];
    for (percent, ways) in [(20, all_ways()), (50, one_way)] {
        split.network.lose(percent, &ways);
        let start = Instant::now();
        let (mut looks, mut agreed) = (0, 0);
        while start.elapsed() < Duration::from_secs(15) {
            looks += 1;
            agreed += u32::from(agree(&split.network.views(), &IDS));
        }
        let dropped = split.network.dropped();
        assert!(dropped > 0, "nothing was dropped");
        split.network.heal();
        let healed = split.wait_agreed(promised(HEALED));
        println!(
            "{percent} % lost on {ways:?} ({dropped} frames): agreed in {agreed} of {looks} looks, \
             and again {healed:?} after the end"
        );
    }
}

/// The faults themselves, without Ringpost: a connection from one namespace to another.
#[test]
fn the_namespaces_carry_and_cut_what_they_should() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(why) = Network::impossible() {
        skipped(&why);
        return;
    }
    let network = Network::new();
    let runner = network.runner(1);
    // The same test binary, as the server in n2's namespace.
    let program = std::env::current_exe().expect("a test is a program");
    let mut server = Command::new(&runner[0])
        .args(&runner[1..])
        .arg(program)
        .args(["--exact", "echo_server", "--ignored", "--nocapture"])
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let reaches = |from: usize| {
        let runner = network.runner(from);
        let script = "exec 3<>/dev/tcp/10.77.0.2/7 && echo hello >&3 && read -r -u 3 reply";
        let status = Command::new(&runner[0])
            .args(&runner[1..])
            .args(["timeout", "3", "bash", "-c", script])
            .stderr(Stdio::null())
            .status();
        status.expect("it starts").success()
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until(PATIENCE, "n1 reaches n2", || reaches(0));
        wait_until(PATIENCE, "n3 reaches n2", || reaches(2));
        network.cut(&[(0, 1), (1, 0)]);
        assert!(!reaches(0), "n1 is cut off from n2");
        wait_until(PATIENCE, "n3 still reaches n2", || reaches(2));
        assert!(network.dropped() > 0, "the dropped frames are counted");
        network.cut(&[(1, 0)]);
        assert!(!reaches(0), "one dead way is enough");
        network.cut(&[(2, 1)]);
        wait_until(PATIENCE, "n1 reaches n2 again", || reaches(0));
        assert!(!reaches(2), "so is the other");
        network.lose(50, &[(2, 1)]);
        wait_until(PATIENCE, "half of the frames are lost, not all", || {
            reaches(2) && network.dropped() > 0
        });
        network.heal();
        wait_until(PATIENCE, "it heals", || reaches(0) && reaches(2));
    }));
    let _ = server.kill();
    let _ = server.wait();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

#[test]
#[ignore = "it is the server of the test above, started by it, and never ends"]
fn echo_server() {
    let listener = TcpListener::bind("10.77.0.2:7").expect("only inside the namespace");
    for stream in listener.incoming() {
        let mut stream = stream.expect("it accepts");
        let mut line = [0; 6];
        let _ = stream
            .read_exact(&mut line)
            .and_then(|()| stream.write_all(&line));
    }
}
