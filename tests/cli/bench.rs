//! `bench`: against a cluster that keeps its promises, and against nodes that do not.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench_node::{Act, Node, message, node};
use crate::support::process::{Killed, lines};
use crate::support::{Cluster, PATIENCE, promised, turn, wait_until};
use crate::{output, ringpost};

/// Runs it against all nodes of a cluster of three; its report.
fn report(flags: &str) -> Value {
    report_of(&[], flags)
}

/// The same, of nodes with these flags.
fn report_of(node_flags: &[&str], flags: &str) -> Value {
    let cluster = Cluster::of(3, node_flags);
    let nodes: Vec<_> = cluster
        .nodes
        .iter()
        .map(|node| node.listen.to_string())
        .collect();
    let line = format!("bench --node {} --json {flags}", nodes.join(","));
    let (code, out, error) = output(&mut ringpost(&line));
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    serde_json::from_str(&out).unwrap()
}

/// Runs it for a short time with one sender and one receiver.
fn run_against(node: &Node, duration: &str) -> (i32, Value, String) {
    let Node { address, .. } = node;
    let line = format!(
        "bench --node {address} --senders 1 --receivers 1 --window 1 --warmup 0 \
         --duration {duration} --grace 3s --json"
    );
    let (code, out, error) = output(&mut ringpost(&line));
    (code, serde_json::from_str(&out).unwrap_or_default(), error)
}

fn number(report: &Value, pointer: &str) -> u64 {
    let value = report.pointer(pointer);
    value
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no number at {pointer}: {report}"))
}

/// What holds for every report on messages of a cluster that loses nothing.
fn assert_whole(report: &Value) {
    assert_whole_times(report, 1);
}

/// The same, where each message goes to so many receivers.
fn assert_whole_times(report: &Value, receivers: u64) {
    let total = |name: &str| number(report, &format!("/total/{name}"));
    let measured = |name: &str| number(report, &format!("/measured/{name}"));
    assert_eq!(total("failed"), 0, "{report}");
    assert_eq!(total("unanswered"), 0, "{report}");
    assert_eq!(total("sent"), total("accepted"), "{report}");
    assert_eq!(total("sent") * receivers, total("delivered"), "{report}");
    for never in ["lost", "repeated", "redelivered", "out_of_order", "foreign"] {
        assert_eq!(total(never), 0, "{never}: {report}");
    }
    for some in ["sent", "accepted", "delivered"] {
        assert!(
            measured(some) > 0 && measured(some) < total(some),
            "{report}"
        );
        let rate = report["measured"][format!("{some}_per_s")]
            .as_f64()
            .unwrap();
        let seconds = report["measured"]["seconds"].as_f64().unwrap();
        let product = (rate * seconds).round().to_string();
        assert_eq!(product, measured(some).to_string());
    }
    for latency in ["receipt", "delivery"] {
        let at = |name: &str| number(report, &format!("/latency_us/{latency}/{name}"));
        assert!(at("p50") > 0 && at("p50") <= at("p99") && at("p99") <= at("max"));
        let counts = 1..=total("sent") * receivers;
        assert!(counts.contains(&at("count")), "{report}");
    }
}

#[test]
fn a_closed_loop_loses_nothing_and_its_numbers_add_up() {
    let report =
        report("--qos 0 --senders 5 --receivers 20 --window 4 --warmup 1s --duration 1s --seed 7");
    assert_whole(&report);
    assert_eq!(report["mode"], "closed");
    assert_eq!(number(&report, "/seed"), 7);
    assert_eq!(number(&report, "/connections/opened"), 25);
    let redirects = number(&report, "/connections/redirects");
    assert!((1..25).contains(&redirects), "{report}");
    assert_eq!(number(&report, "/connections/reconnects"), 0);
}

#[test]
fn an_open_loop_holds_its_rate() {
    let report = report(
        "--mode open --rate 500 --qos 0 --senders 5 --receivers 5 --warmup 1s --duration 1s",
    );
    assert_whole(&report);
    assert_eq!(number(&report, "/rate"), 500);
    // 2 s; the last ones may be due too late to be sent before the end.
    let (sent, not_sent) = (
        number(&report, "/total/sent"),
        number(&report, "/total/not_sent"),
    );
    assert_eq!(sent + not_sent, 1000, "{report}");
    let late = Duration::from_millis(2) * u32::try_from(not_sent).unwrap();
    assert!(late < promised(Duration::from_millis(200)), "{report}");
    assert!(number(&report, "/latency_us/send_lag/count") > 0);
}

#[test]
fn what_goes_to_rooms_comes_to_each_member_on_whichever_node() {
    let report = report(
        "--rooms 3 --receivers 24 --senders 4 --window 2 --warmup 1s --duration 1s --seed 7",
    );
    assert_whole_times(&report, 8);
    assert_eq!(number(&report, "/rooms"), 3);
    assert_eq!(number(&report, "/connections/opened"), 28);
}

#[test]
fn rooms_are_loaded_at_a_rate_with_messages_that_are_not_kept() {
    let report = report(
        "--rooms 1 --receivers 10 --senders 2 --mode open --rate 100 --qos 0 --warmup 1s \
         --duration 1s",
    );
    assert_whole_times(&report, 10);
    let (sent, not_sent) = (
        number(&report, "/total/sent"),
        number(&report, "/total/not_sent"),
    );
    assert_eq!(sent + not_sent, 200, "{report}");
}

#[test]
fn what_goes_to_everyone_comes_to_each_receiver() {
    let report = report_of(
        &["--clients-may-broadcast"],
        "--everyone --qos 0 --receivers 10 --senders 2 --window 1 --warmup 1s --duration 1s",
    );
    assert_whole_times(&report, 10);
    assert_eq!(report["everyone"], true);
}

#[test]
fn a_message_that_not_all_of_a_room_got_is_lost_for_the_others() {
    let _turn = turn();
    let node = node(|request| match request["type"].as_str() {
        Some("join") => Act::Join,
        _ => Act::Deliver(vec![message(request)]),
    });
    let Node { address, .. } = &node;
    let line = format!(
        "bench --node {address} --rooms 1 --senders 1 --receivers 2 --window 1 --warmup 0 \
         --duration 2s --grace 3s --json"
    );
    let (code, out, error) = output(&mut ringpost(&line));
    assert!(
        code == 1 && error.contains("deliveries were lost"),
        "{error}"
    );
    let report: Value = serde_json::from_str(&out).unwrap();
    let total = |name: &str| number(&report, &format!("/total/{name}"));
    assert_eq!(total("lost"), total("accepted"), "{report}");
    assert_eq!(total("delivered"), total("accepted"), "{report}");
}

#[test]
fn idle_connections_are_held_to_the_end() {
    let report = report("--mode idle --connections 100 --connect-rate 500 --duration 1s");
    for name in ["tried", "opened", "held"] {
        assert_eq!(number(&report, &format!("/{name}")), 100, "{report}");
    }
    assert_eq!(number(&report, "/failed"), 0);
    assert!(
        (1..100).contains(&number(&report, "/redirects")),
        "{report}"
    );
    assert!(
        report["opening_seconds"].as_f64().unwrap() >= 0.19,
        "{report}"
    );
}

#[test]
fn a_storm_measures_every_handshake() {
    let report = report("--mode storm --connections 200 --connect-concurrency 20");
    for name in ["tried", "opened", "held", "handshake_us/count"] {
        assert_eq!(number(&report, &format!("/{name}")), 200, "{report}");
    }
    assert!(number(&report, "/handshake_us/p50") > 0);
    assert!(
        (1..200).contains(&number(&report, "/redirects")),
        "{report}"
    );
}

#[test]
fn a_target_off_this_machine_is_refused_without_yes() {
    let line = "bench --node 127.0.0.1:1,192.0.2.1:7001";
    let (code, out, error) = output(&mut ringpost(line));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        error.contains("192.0.2.1:7001 is not on this machine") && error.contains("--yes"),
        "{error}"
    );
}

#[test]
fn a_dead_target_is_a_sentence_and_exit_code_1() {
    // Below all ports that anybody is given.
    let free = "127.0.0.1:1";
    for flags in ["", "--mode storm --connections 3 --json"] {
        let (code, out, error) = output(&mut ringpost(&format!("bench --node {free} {flags}")));
        assert_eq!(code, 1, "{out}");
        assert!(
            error.contains(&format!("cannot connect to {free}")),
            "{error}"
        );
        if flags.contains("storm") {
            let report: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(number(&report, "/failures/refused"), 3);
        }
    }
}

#[test]
fn a_cluster_without_qos_1_is_told_from_one_that_fails() {
    let _turn = turn();
    let (code, report, error) = run_against(&node(|_| Act::Fail("unsupported")), "1s");
    assert_eq!((code, report), (1, Value::Null));
    assert!(error.contains("does not know qos 1"), "{error}");
    let (code, report, error) = run_against(&node(|_| Act::Fail("inbox_full")), "1s");
    assert!(code == 1 && error.contains("inbox_full"), "{error}");
    let failed = number(&report, "/total/failed");
    assert_eq!(failed, number(&report, "/failures/inbox_full"));
    // It does not spin: there is a pause after a failure.
    assert!((1..=101).contains(&failed), "{report}");
}

#[test]
fn a_message_that_was_accepted_and_never_came_is_lost() {
    let _turn = turn();
    let every_second = |send: &Value| {
        let odd = send["body"]["n"].as_u64().unwrap() % 2 == 1;
        Act::Deliver(if odd { vec![] } else { vec![message(send)] })
    };
    let (code, report, error) = run_against(&node(every_second), "2s");
    assert!(code == 1 && error.contains("messages were lost"), "{error}");
    let total = |name: &str| number(&report, &format!("/total/{name}"));
    assert!(total("lost") > 0, "{report}");
    assert_eq!(total("lost") + total("delivered"), total("accepted"));
}

#[test]
fn repeats_and_wrong_order_are_found() {
    let _turn = turn();
    let twice = |send: &Value| Act::Deliver(vec![message(send), message(send)]);
    let (code, report, _) = run_against(&node(twice), "2s");
    let repeated = number(&report, "/total/repeated");
    assert!(code == 1 && repeated > 0, "{report}");
    assert_eq!(repeated, number(&report, "/total/delivered"));
    assert_eq!(number(&report, "/total/lost"), 0);

    let mut kept = None;
    let swapped = move |send: &Value| {
        let before = kept.take();
        if before.is_none() {
            kept = Some(message(send));
        }
        Act::Deliver(before.map_or(vec![], |before| vec![message(send), before]))
    };
    let (code, report, _) = run_against(&node(swapped), "2s");
    assert!(
        code == 1 && number(&report, "/total/out_of_order") > 0,
        "{report}"
    );
    assert_eq!(number(&report, "/total/repeated"), 0);
}

#[test]
fn what_has_no_receipt_when_a_connection_breaks_is_sent_again_under_its_id() {
    let _turn = turn();
    let sends = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sends);
    let broken_once = move |send: &Value| {
        let mut seen = seen.lock().unwrap();
        seen.push(send.clone());
        if seen.len() == 3 {
            Act::Break
        } else {
            Act::Deliver(vec![message(send)])
        }
    };
    let (code, report, error) = run_against(&node(broken_once), "4s");
    assert_eq!(code, 0, "{error}");
    assert_eq!(number(&report, "/connections/reconnects"), 1);
    assert_eq!(number(&report, "/total/lost"), 0);
    let sends = sends.lock().unwrap();
    assert!(sends.len() > 4, "{sends:?}");
    assert_eq!(sends[2], sends[3]);
    let mut numbers: Vec<_> = sends.iter().map(|send| &send["body"]["n"]).collect();
    numbers.remove(2);
    assert!((0..numbers.len()).all(|n| *numbers[n] == n), "{numbers:?}");
}

#[test]
fn a_sender_that_is_told_to_move_does_and_loses_nothing() {
    let _turn = turn();
    let mut sends = 0;
    let moving = move |send: &Value| {
        sends += 1;
        if sends == 3 {
            Act::MoveSender
        } else {
            Act::Deliver(vec![message(send)])
        }
    };
    let node = node(moving);
    let (code, report, error) = run_against(&node, "4s");
    assert_eq!(code, 0, "{error}");
    for name in ["moves", "reconnects"] {
        assert_eq!(number(&report, &format!("/connections/{name}")), 1);
    }
    assert!(number(&report, "/total/delivered") > 3, "{report}");
    let handshakes = node.handshakes.lock().unwrap();
    assert_eq!(handshakes.len(), 3);
    assert_eq!(handshakes[2], "GET /ws?user=u-s0&hop=1 HTTP/1.1");
}

#[test]
fn a_receiver_acknowledges_and_comes_again_with_its_position() {
    let _turn = turn();
    let acks = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&acks);
    let (mut offset, mut moved) = (0, false);
    let positioned = move |request: &Value| {
        if request["type"] == "ack" {
            seen.lock().unwrap().push(request.clone());
            return Act::Ignore;
        }
        if offset == 70 && !moved {
            moved = true;
            return Act::MoveReceiver;
        }
        offset += 1;
        let mut message = message(request);
        message["epoch"] = json!("e-1");
        message["offset"] = json!(offset);
        Act::Deliver(vec![message])
    };
    let node = node(positioned);
    let (code, report, error) = run_against(&node, "5s");
    assert_eq!(code, 0, "{error} {report}");
    let acks = acks.lock().unwrap();
    let mut acked = 0;
    for ack in acks.iter() {
        let offset = ack["offset"].as_u64().expect("an offset");
        let expected = json!({"type": "ack", "stream": "inbox", "epoch": "e-1", "offset": offset});
        assert_eq!(ack, &expected);
        // After 64 messages of a session, or sooner, when time has passed.
        assert!((acked + 1..=acked + 2 * 64).contains(&offset), "{acks:?}");
        acked = offset;
    }
    assert!(acked > 70, "{report}");
    let handshakes = node.handshakes.lock().unwrap();
    assert_eq!(
        handshakes[2],
        "GET /ws?user=u-r0&hop=1&epoch=e-1&offset=70 HTTP/1.1"
    );
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_with_a_report_of_what_there_is() {
    let _turn = turn();
    let Node { address, .. } = node(|send| Act::Deliver(vec![message(send)]));
    let line = format!(
        "bench --node {address} --senders 1 --receivers 1 --warmup 0 --duration 1h --progress \
         --json"
    );
    let mut command = ringpost(&line);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut bench = Killed(command.spawn().unwrap());
    let mut said = lines(bench.0.stderr.take().unwrap());
    let report = lines(bench.0.stdout.take().unwrap());
    // A busy machine may not get far in the first second.
    let progress = said.find(|line| !line.contains(" 0 delivered/s")).unwrap();
    assert!(progress.contains("delivered/s"), "{progress}");
    let id = bench.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let mut status = None;
    wait_until(3 * PATIENCE, "it has ended", || {
        status = bench.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
    let report: Value = serde_json::from_str(&report.collect::<String>()).unwrap();
    assert_eq!(report["interrupted"], true);
    assert!(number(&report, "/measured/delivered") > 0);
    assert!(report["measured"]["seconds"].as_f64().unwrap() < 600.0);
}
