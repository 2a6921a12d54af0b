//! The life of a cluster of real processes: starts, crashes, pauses, stops and restarts, within
//! the times that are promised for the default settings ([`promised`]).

mod support;

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use support::node::run;
use support::{
    Client, Cluster, Node, PATIENCE, Signal, View, holds_for, promised, wait_until, within,
};

/// All see all, after the last one listens.
const CONVERGED: Duration = Duration::from_secs(2);
/// A killed node is down everywhere.
const DETECTED: Duration = Duration::from_secs(5);
/// A node that was asked to stop is off every ring.
const LEFT: Duration = Duration::from_secs(1);
/// A node that came back under its id is known as such.
const RETURNED: Duration = Duration::from_secs(2);

#[test]
fn nodes_started_in_any_order_see_each_other_within_two_seconds() {
    for order in [vec![0, 1, 2], vec![2, 1, 0], vec![1, 4, 0, 3, 2]] {
        let mut cluster = Cluster::reserve(order.len());
        let listening = cluster.start_in_order(&order);
        let left = promised(CONVERGED).saturating_sub(listening.elapsed());
        cluster.wait_agreed(left);
        println!("order {order:?}: agreed after {:?}", listening.elapsed());
    }
}

#[test]
fn nodes_started_one_after_another_see_each_other_within_two_seconds() {
    let mut cluster = Cluster::reserve(3);
    for index in [1, 2, 0] {
        cluster.nodes[index].start();
        let took = cluster.wait_agreed(promised(CONVERGED));
        println!("n{} joined in {took:?}", index + 1);
    }
}

#[test]
fn the_cluster_document_describes_every_member() {
    let cluster = Cluster::of(3, &[]);
    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url("alice"));
    let owner = cluster.owner("alice");
    for node in &cluster.nodes {
        let mut view = None;
        // A busy machine makes a member suspect for a moment.
        wait_until(PATIENCE, "every member is alive", || {
            view = node.view();
            let alive = |view: &View| cluster.nodes.iter().all(|n| view.state(&n.id) == "alive");
            view.as_ref().is_some_and(alive)
        });
        let view = view.expect("it answers");
        assert_eq!(view.0["node"], node.id.as_str());
        let sessions = view.0["sessions"].as_u64().expect("a number");
        assert_eq!(sessions, u64::from(cluster.nodes[owner].id == node.id));
        let mut shares = 0.0;
        for other in &cluster.nodes {
            let member = view.member(&other.id).expect("it is listed");
            assert_eq!(member["state"], "alive", "{member}");
            assert_eq!(member["draining"], false, "{member}");
            assert_eq!(member["url"], format!("ws://{}", other.listen), "{member}");
            assert_eq!(member["peer"], other.peer.to_string(), "{member}");
            assert_eq!(member["weight"], 1, "{member}");
            assert!(
                view.generation(&other.id).is_some_and(|g| g < 1 << 53),
                "{member}"
            );
            let share = member["share"].as_f64().expect("a number");
            assert!((0.25..0.45).contains(&share), "{member}");
            shares += share;
        }
        assert!((shares - 1.0_f64).abs() < 0.01, "shares add up to {shares}");
        assert_eq!(node.get("/healthz").status, 200);
        assert_eq!(node.get_admin("/healthz").status, 200);
        assert_eq!(node.get_admin("/readyz").status, 200);
    }
    client.assert_quiet_and_alive();
}

#[test]
fn a_killed_node_is_down_everywhere_within_five_seconds() {
    let mut cluster = Cluster::of(4, &[]);
    let users = cluster.users_of(1, "u", 20);
    cluster.nodes[1].signal(Signal::Kill);
    let took = cluster.wait_down("n2", promised(DETECTED));
    println!("n2 was down everywhere {took:?} after its kill -9");
    cluster.wait_agreed(promised(Duration::from_secs(1)));
    for node in cluster.running() {
        let view = node.view().expect("it answers");
        assert!(!view.on_ring("n2"), "{view:?}");
    }
    for user in &users {
        let owners: Vec<_> = cluster.running().map(|node| node.locate(user)).collect();
        assert_ne!(owners[0], "n2");
        assert!(owners.iter().all(|o| *o == owners[0]), "{user}: {owners:?}");
    }
}

/// Pauses a node of three for a second, and watches. Returns how long the pause was in truth, and what has not
/// stayed as it was.
fn pause(paused: usize) -> (Duration, Option<&'static str>) {
    let cluster = Cluster::of(3, &[]);
    let before = cluster.nodes[0].view().expect("it answers");
    let id = cluster.nodes[paused].id.clone();
    let unchanged = |node: &Node| {
        node.view().is_some_and(|view| {
            ["n1", "n2", "n3"].iter().all(|id| view.state(id) != "down")
                && view.digest() == before.digest()
                && view.generation(&id) == before.generation(&id)
        })
    };
    // Of its own, so that no slow look makes it longer.
    let pid = cluster.nodes[paused].pid();
    let pause = format!("kill -STOP {pid} && sleep 1; kill -CONT {pid}");
    let pause = thread::spawn(move || {
        let begun = Instant::now();
        let paused = Command::new("sh").args(["-c", &pause]).status();
        assert!(paused.expect("there is a shell").success(), "it was paused");
        begun.elapsed()
    });
    let changed = within(Duration::from_secs(1), || {
        !cluster.running().filter(|n| n.id != id).all(unchanged)
    });
    let took = pause.join().expect("it was paused");
    if changed.is_some() {
        return (took, Some("others keep a paused node"));
    }
    let changed = within(Duration::from_secs(4), || !cluster.running().all(unchanged));
    if changed.is_some() {
        return (took, Some("a pause changes nothing"));
    }
    cluster.wait_agreed(promised(Duration::from_secs(1)));
    (took, None)
}

#[test]
fn a_pause_of_one_second_changes_nothing() {
    for paused in [2, 1] {
        for attempt in 1..=3 {
            let (took, no_longer) = pause(paused);
            // A busy machine makes it longer, and of that nothing is promised.
            if took < Duration::from_millis(1250) || no_longer.is_none() || attempt == 3 {
                assert_eq!(no_longer, None, "after a pause of {took:?}");
                break;
            }
            println!("again, after a pause of {took:?}");
        }
    }
}

#[test]
fn a_node_that_is_asked_to_stop_is_off_the_ring_within_a_second_and_exits_with_0() {
    let mut cluster = Cluster::of(3, &[]);
    cluster.nodes[2].signal(Signal::Terminate);
    let gone = wait_until(promised(LEFT), "n3 is off every other ring", || {
        cluster.nodes[..2]
            .iter()
            .all(|n| n.view().is_some_and(|v| !v.on_ring("n3")))
    });
    println!("n3 was off every ring {gone:?} after SIGTERM");
    // Nobody is connected to it, so there is nothing to wait for.
    let status = cluster.nodes[2].wait_exit(promised(Duration::from_secs(5)));
    assert_eq!(status.code(), Some(0));
    cluster.wait_agreed(promised(LEFT));
}

#[test]
fn a_restart_is_a_new_generation_and_needs_no_wait() {
    let mut cluster = Cluster::of(3, &[]);
    for signal in [Signal::Kill, Signal::Terminate] {
        let before = cluster.nodes[0].view().and_then(|v| v.generation("n2"));
        let node = &mut cluster.nodes[1];
        node.signal(signal);
        if signal == Signal::Terminate {
            node.wait_exit(PATIENCE);
        }
        let ready = node.start();
        let newer = |node: &Node| node.view().and_then(|v| v.generation("n2")) > before;
        let left = promised(RETURNED).saturating_sub(ready.elapsed());
        wait_until(left, "all know n2's new generation", || {
            cluster.nodes.iter().all(newer) && cluster.agreed()
        });
        println!("n2 was back {:?} after {signal:?}", ready.elapsed());
        holds_for(Duration::from_secs(3), "n2 stays", || {
            let view = cluster.nodes[0].view();
            view.is_some_and(|v| v.state("n2") != "down" && v.generation("n2") > before)
        });
    }
}

#[test]
fn a_node_with_another_cluster_name_is_refused_and_the_log_says_why() {
    let mut cluster = Cluster::reserve(3);
    for (node, name) in cluster.nodes.iter_mut().zip(["blue", "blue", "green"]) {
        node.args = vec!["--cluster".into(), name.into()];
    }
    cluster.start_in_order(&[2, 0, 1]);
    let sees = |node: &Node, count: usize| {
        let members = node.view().map(|v| v.0["members"].clone());
        members.is_some_and(|m| m.as_array().is_some_and(|m| m.len() == count))
    };
    let nodes = &cluster.nodes;
    wait_until(promised(CONVERGED), "the blue nodes see each other", || {
        sees(&nodes[0], 2) && sees(&nodes[1], 2)
    });
    wait_until(PATIENCE, "a log line says why they do not join", || {
        nodes.iter().any(|node| {
            let log = node.log_text();
            let mut lines = log.lines();
            lines.any(|l| l.contains("cluster") && l.contains("green") && l.contains("blue"))
        })
    });
    holds_for(Duration::from_secs(3), "neither side joins", || {
        sees(&nodes[0], 2) && sees(&nodes[1], 2) && sees(&nodes[2], 1)
    });
}

#[test]
fn a_seed_may_be_a_host_name() {
    let mut cluster = Cluster::reserve_at(Ipv4Addr::LOCALHOST.into(), 2);
    let seed = format!("localhost:{}", cluster.nodes[0].peer.port());
    for node in &mut cluster.nodes {
        node.seeds.clone_from(&seed);
    }
    cluster.start_in_order(&[1, 0]);
    cluster.wait_agreed(promised(CONVERGED));
}

#[test]
fn unreachable_seeds_are_retried_and_members_need_not_be_seeds() {
    let mut cluster = Cluster::reserve(3);
    let seed = cluster.nodes[2].peer.to_string();
    for node in &mut cluster.nodes {
        node.seeds.clone_from(&seed);
    }
    cluster.start_in_order(&[0, 1]);
    // Long enough for a backoff to have grown.
    holds_for(Duration::from_secs(6), "a node alone serves", || {
        let views = cluster.running().map(Node::view);
        let alone = views.map(|v| v.is_some_and(|v| v.0["members"][1].is_null()));
        alone.into_iter().all(|alone| alone)
    });
    let listening = cluster.nodes[2].start();
    cluster.wait_agreed(promised(CONVERGED).saturating_sub(listening.elapsed()));
    println!("agreed {:?} after the seed listened", listening.elapsed());
}

#[test]
fn port_0_takes_a_free_port_and_advertises_it() {
    let mut cluster = Cluster::of(1, &[]);
    let index = cluster.add();
    let node = &mut cluster.nodes[index];
    for address in [&mut node.listen, &mut node.peer, &mut node.admin] {
        address.set_port(0);
    }
    node.start();
    let ports = [node.listen, node.peer, node.admin].map(|a| a.port());
    assert!(!ports.contains(&0), "{ports:?}");
    cluster.wait_agreed(promised(CONVERGED));
    let view = cluster.nodes[0].view().expect("it answers");
    let member = view.member("n2").expect("it is listed");
    assert_eq!(
        member["url"],
        format!("ws://{}", cluster.nodes[index].listen)
    );
    assert_eq!(member["peer"], cluster.nodes[index].peer.to_string());
}

#[test]
fn a_draining_node_says_so_and_a_second_signal_ends_it_at_once() {
    let mut cluster = Cluster::of(3, &["--drain-timeout", "30s"]);
    let user = cluster.user_of(1, "u");
    let (mut client, _) = Client::welcomed(&cluster.nodes[1].url(&user));
    cluster.nodes[1].signal(Signal::Terminate);
    wait_until(promised(LEFT), "others see that n2 drains", || {
        [0, 2].iter().all(|&index| {
            let view = cluster.nodes[index].view();
            view.is_some_and(|v| {
                v.member("n2").is_none_or(|m| m["draining"] == true) && !v.on_ring("n2")
            })
        })
    });
    wait_until(promised(LEFT), "a draining node is not ready", || {
        cluster.nodes[1].get_admin("/readyz").status == 503
    });
    assert_eq!(cluster.nodes[1].get_admin("/healthz").status, 200);
    assert_ne!(cluster.nodes[0].locate(&user), "n2");
    let redirect = client.expect("redirect");
    assert_eq!(redirect["reason"], "drain", "{redirect}");
    client.assert_quiet_and_alive();
    let second = Instant::now();
    cluster.nodes[1].signal(Signal::Terminate);
    cluster.nodes[1].wait_exit(promised(Duration::from_secs(1)));
    println!("it exited {:?} after the second signal", second.elapsed());
}

#[test]
fn a_node_is_not_ready_before_so_many_members_have_been_there() {
    let mut cluster = Cluster::reserve(2).with(&["--min-members", "2"]);
    cluster.start_in_order(&[0]);
    let says = |node: &Node, status: u16, what: &str| {
        let answer = node.get_admin("/readyz");
        answer.status == status && String::from_utf8_lossy(&answer.body).contains(what)
    };
    wait_until(PATIENCE, "it has given up looking for others", || {
        says(&cluster.nodes[0], 503, "--min-members")
    });
    cluster.start_in_order(&[1]);
    cluster.wait_settled(3 * PATIENCE);
    cluster.nodes[1].signal(Signal::Kill);
    cluster.wait_down("n2", promised(DETECTED));
    assert!(says(&cluster.nodes[0], 200, ""), "it was ready before");
}

#[test]
fn what_cannot_work_is_refused_at_start_with_a_sentence() {
    let cluster = Cluster::reserve(1);
    let node = &cluster.nodes[0];
    let refused = |command: &mut Command, naming: &[&str]| {
        let output = command.output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{command:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        for name in naming {
            assert!(stderr.contains(name), "{name} is not in: {stderr}");
        }
    };
    let mut secure = Command::new(support::node::BINARY);
    refused(
        secure.args(["serve", "--id", "n1", "--listen", "127.0.0.1:0"]),
        &["insecure-users"],
    );
    refused(
        node.command().args(["--advertise-url", "http://x"]),
        &["advertise-url"],
    );
    refused(node.command().arg("--no-such-flag"), &["--no-such-flag"]);
    let mut wildcard = Command::new(support::node::BINARY);
    wildcard.args(["serve", "--id", "n1", "--insecure-users"]);
    wildcard.args([
        "--peer-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    refused(wildcard.args(["--listen", "0.0.0.0:0"]), &["advertise-url"]);

    let file = cluster.directory.join("config.toml");
    let mut config = std::fs::File::create(&file).expect("it can be written");
    writeln!(config, "no_such_key = 1").expect("it can be written");
    refused(node.command().arg("--config").arg(&file), &["no_such_key"]);
    let check = node.command().arg("--check").output();
    let check = check.expect("the program starts");
    assert!(check.status.success(), "{check:?}");
}

#[test]
fn the_commands_answer_from_a_running_cluster() {
    let cluster = Cluster::of(2, &[]);
    let user = cluster.user_of(1, "u");
    let clients = format!("http://{}", cluster.nodes[0].listen);
    let (text, ok) = run(&["locate", "--node", &clients, &user]);
    assert!(ok && text.contains(&user) && text.contains("n2"), "{text}");

    let admin = format!("http://{}", cluster.nodes[0].admin);
    let (text, ok) = run(&["status", "--node", &admin]);
    assert!(ok && text.contains("n1") && text.contains("n2"), "{text}");
    let (text, ok) = run(&["status", "--json", "--node", &admin]);
    assert!(ok, "{text}");
    let status: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let view = cluster.nodes[0].view().expect("it answers");
    assert_eq!(status["digest"], view.digest());

    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url(&user));
    let send = [
        "send", "--node", &clients, "--from", "carol", "--to", &user, "hello",
    ];
    let (text, ok) = run(&send);
    assert!(ok && text.contains("accepted"), "{text}");
    let message = client.expect("message");
    assert_eq!(
        (&message["from"], &message["body"]),
        (&"carol".into(), &"hello".into())
    );
    client.close();
    let (text, ok) = run(&[&send[..], &["--qos", "0"]].concat());
    assert!(!ok && text.contains("offline"), "{text}");
}
