//! Nodes that die, and clients that do not read or do not answer.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::outcome;
use crate::support::{Client, Cluster, Event, PATIENCE, Signal, promised, wait_until};
use crate::{DETECTED, RECEIPT, kept_at};

#[test]
fn a_sender_is_never_left_in_silence_when_the_owner_is_killed() {
    let mut cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alices = kept_at(&cluster, 0, "alice");
    let mut bobs = kept_at(&cluster, 1, &bob);
    assert_eq!(alices.deliver(&bob, "before", "1"), "sent");
    bobs.expect("message");
    cluster.nodes[1].signal(Signal::Kill);
    let mut sent = Vec::new();
    let mut number = 0;
    wait_until(
        promised(DETECTED),
        "the other nodes know that n2 is down",
        || {
            let id = format!("gap{number}");
            alices.send_to(&bob, &id, "2");
            sent.push((id, Instant::now()));
            number += 1;
            cluster
                .running()
                .all(|n| n.view().is_some_and(|v| v.state("n2") == "down"))
        },
    );
    let mut outcomes = BTreeSet::new();
    let mut slowest = Duration::ZERO;
    for (id, when) in &sent {
        let left = RECEIPT.saturating_sub(when.elapsed());
        outcomes.insert(outcome(&alices.reply_to(id, left)));
        slowest = slowest.max(when.elapsed());
    }
    println!(
        "{} sends in the gap: {outcomes:?}, slowest {slowest:?}",
        sent.len()
    );
    let allowed = ["offline", "unreachable", "unknown"];
    assert!(
        outcomes.iter().all(|o| allowed.contains(&o.as_str())),
        "{outcomes:?}"
    );
    // The successor serves the user who comes back.
    let (mut bobs, welcome) = Client::welcomed(&cluster.nodes[2].url(&bob));
    assert_ne!(welcome["node"], "n2");
    assert_eq!(alices.deliver(&bob, "after", "3"), "sent");
    assert_eq!(bobs.expect("message")["id"], "after");
}

#[test]
fn a_guest_whose_owner_is_killed_stays_connected_and_can_be_reached_again() {
    let mut cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut bobs = kept_at(&cluster, 0, &bob);
    let mut alices = kept_at(&cluster, 2, "alice");
    assert_eq!(alices.deliver(&bob, "before", "1"), "sent");
    bobs.expect("message");
    cluster.nodes[1].signal(Signal::Kill);
    cluster.wait_down("n2", promised(DETECTED));
    wait_until(PATIENCE, "bob is registered anew", || {
        alices.deliver(&bob, "after", "2") == "sent"
    });
    assert_eq!(bobs.expect("message")["id"], "after");
    bobs.assert_quiet_and_alive();
}

#[test]
fn a_client_that_does_not_read_is_cut_off_with_4413_and_costs_no_memory() {
    let cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(1, "bob");
    let (mut bobs, _) = Client::welcomed(&cluster.nodes[1].url(&bob));
    let carol = cluster.user_of(1, "carol");
    let (mut carols, _) = Client::welcomed(&cluster.nodes[1].url(&carol));
    let mut alices = kept_at(&cluster, 0, "alice");
    let resident = cluster.nodes[1].resident_kib();
    let body = format!("\"{}\"", "x".repeat(48 * 1024));
    let mut sent = 0;
    // The kernel takes several megabytes before the server notices anything.
    while alices.deliver(&bob, &format!("m{sent}"), &body) == "sent" {
        sent += 1;
        assert!(sent < 1_000, "{sent} messages of 48 KiB and never cut off");
    }
    let grown = cluster.nodes[1].resident_kib().saturating_sub(resident);
    println!("cut off after {sent} messages of 48 KiB, {grown} KiB more resident");
    assert!(grown < 24 * 1024, "{grown} KiB");
    let (texts, code) = thread::scope(|scope| {
        // It reads at once: the Close frame does not wait for ever.
        let closed = scope.spawn(|| bobs.read_to_close(PATIENCE));
        assert_eq!(alices.deliver(&carol, "others", "1"), "sent");
        carols.expect("message");
        closed.join().expect("it is closed")
    });
    assert_eq!(code, Some(4413), "after {} messages", texts.len());
}

#[test]
fn a_client_that_stays_silent_is_pinged_and_then_cut_off_with_4408() {
    let flags = ["--heartbeat-interval", "3s", "--heartbeat-timeout", "5s"];
    let cluster = Cluster::of(1, &flags);
    let connect = |user: &str| Client::welcomed(&cluster.nodes[0].url(user));
    let (mut silent, welcome) = connect("silent");
    assert_eq!(welcome["heartbeat_ms"], 3_000);
    silent.answers_pings = false;
    let ping = silent.event(PATIENCE);
    assert!(matches!(ping, Some(Event::Ping(_))), "{ping:?}");
    let (_, code) = silent.read_to_close(2 * PATIENCE);
    assert_eq!(code, Some(4408));
    let (mut answering, mut talking) = (connect("answering").0, connect("talking").0);
    talking.answers_pings = false;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        // Reading answers the pings of one; any message counts as well, from the other.
        assert_eq!(answering.text(Duration::from_millis(100)), None);
        talking.assert_quiet_and_alive();
    }
}
