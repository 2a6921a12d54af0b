//! Guests whose owner loses sight of them, or of what they have not had.

use std::time::Duration;

use crate::session_at;
use crate::support::{Cluster, PATIENCE, Position, Signal, wait_until, within};

#[test]
fn a_guest_gets_everything_after_its_node_was_taken_for_dead() {
    let mut cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    let (mut guest, _) = session_at(&cluster, 2, &bob, "");
    alice.keep_accepted(&bob, "before", "1");
    guest.expect_messages(&["before"]);
    cluster.nodes[2].signal(Signal::Stop);
    wait_until(PATIENCE, "n3 is down for the others", || {
        let views = [0, 1].map(|index| cluster.nodes[index].view());
        views
            .iter()
            .all(|view| view.as_ref().is_some_and(|view| view.state("n3") == "down"))
    });
    alice.keep_accepted(&bob, "meanwhile", "1");
    cluster.nodes[2].signal(Signal::Continue);
    cluster.wait_settled(3 * PATIENCE);
    alice.keep_accepted(&bob, "after", "1");
    guest.expect_messages(&["meanwhile", "after"]);
    guest.assert_quiet_and_alive();
}

#[test]
fn a_guest_that_cannot_get_all_is_sent_back_to_hear_of_it() {
    let flags = ["--replicas", "1", "--max-inbox-messages", "5"];
    let mut cluster = Cluster::of(2, &flags);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 1, "alice", "").0;
    let (mut home, _) = session_at(&cluster, 1, &bob, "");
    let (mut guest, welcome) = session_at(&cluster, 0, &bob, "");
    // While its node stands still another device acks everything, and what is acked does not stay.
    cluster.nodes[0].signal(Signal::Stop);
    let mut last = 0;
    for number in 0..20 {
        alice.keep_accepted(&bob, &format!("m{number}"), "1");
        let message = home.expect("message");
        home.ack(&message);
        home.assert_quiet_and_alive();
        last = Position::of(&message).offset;
    }
    cluster.nodes[0].signal(Signal::Continue);
    // It may notice only when something more comes for it.
    alice.keep_accepted(&bob, "more", "1");
    let (texts, code) = guest.read_to_close(PATIENCE);
    assert_eq!(code, Some(1012), "{texts:?}");
    let mut position = Position::of(&welcome);
    for text in &texts {
        let message = serde_json::from_str(text).expect("it is JSON");
        let next = Position::of(&message);
        assert_eq!(
            next.offset,
            position.offset + 1,
            "nothing is left out: {texts:?}"
        );
        position = next;
    }
    assert!(position.offset < last - 5, "{position:?} of {last}");
    let (mut back, welcome) = session_at(&cluster, 0, &bob, &position.query());
    assert_eq!(welcome["recovered"], false, "{welcome}");
    let next = Position::of(&back.expect("message")).offset;
    assert!(next > position.offset + 1, "{next} after {position:?}");
}

#[test]
fn a_guest_that_reads_slowly_is_not_offered_the_same_again_and_again() {
    // More than all buffers between it and its owner take.
    let flags = [
        "--max-inbox-bytes",
        "16777216",
        "--heartbeat-interval",
        "10m",
    ];
    let cluster = Cluster::of(2, &flags);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 1, "alice", "").0;
    let body = format!("\"{}\"", "x".repeat(60_000));
    let ids: Vec<String> = (0..250).map(|number| format!("m{number}")).collect();
    for id in &ids {
        alice.keep_accepted(&bob, id, &body);
    }
    let (mut guest, _) = session_at(&cluster, 0, &bob, "");
    let deliveries = || cluster.nodes[1].metric("ringpost_deliveries_total");
    let several = 4;
    wait_until(
        3 * PATIENCE,
        "it is offered no more than a few in a while",
        || {
            let before = deliveries();
            within(Duration::from_secs(2), || deliveries() > before + several).is_none()
        },
    );
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    guest.expect_messages(&ids);
}
