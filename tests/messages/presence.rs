//! Who is known to be there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, Cluster, PATIENCE, Signal, promised, wait_until};
use crate::{DETECTED, RECEIPT, kept_at};

#[test]
fn presence_knows_users_of_all_nodes() {
    let cluster = Cluster::of(3, &[]);
    let online: Vec<_> = (0..3).map(|index| cluster.user_of(index, "on")).collect();
    let offline: Vec<_> = (0..3).map(|index| cluster.user_of(index, "off")).collect();
    // One of them only as a guest.
    let sessions = [
        kept_at(&cluster, 0, &online[0]),
        kept_at(&cluster, 1, &online[1]),
        kept_at(&cluster, 0, &online[2]),
    ];
    let users = [online.as_slice(), offline.as_slice()].concat();
    let (mut asker, _) = Client::welcomed(&cluster.nodes[0].url("asker"));
    asker.send_json(&json!({"type":"presence","id":"p1","users":users}));
    let reply = asker.reply_to("p1", RECEIPT);
    assert_eq!(reply["type"], "presence", "{reply}");
    for user in &users {
        assert_eq!(
            reply["online"][user],
            online.contains(user),
            "{user}: {reply}"
        );
    }
    for session in sessions {
        session.close();
    }
    wait_until(PATIENCE, "all are offline", || {
        asker.send_json(&json!({"type":"presence","id":"p2","users":users}));
        let reply = asker.reply_to("p2", RECEIPT);
        users.iter().all(|user| reply["online"][user] == false)
    });
}

#[test]
fn a_guest_is_gone_from_its_owner_when_it_disconnects() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alices = kept_at(&cluster, 2, "alice");
    for polite in [true, false] {
        let mut bobs = kept_at(&cluster, 0, &bob);
        assert_eq!(alices.deliver(&bob, "here", "1"), "sent");
        bobs.expect("message");
        if polite {
            bobs.close();
        } else {
            drop(bobs);
        }
        wait_until(PATIENCE, "bob is offline", || {
            alices.deliver(&bob, "gone", "1") == "offline"
        });
    }
}

#[test]
fn a_guest_is_gone_from_its_owner_when_its_node_dies() {
    let mut cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alices = kept_at(&cluster, 2, "alice");
    let mut bobs = kept_at(&cluster, 0, &bob);
    assert_eq!(alices.deliver(&bob, "here", "1"), "sent");
    bobs.expect("message");
    cluster.nodes[0].signal(Signal::Kill);
    let killed = Instant::now();
    let mut outcomes = BTreeSet::new();
    wait_until(promised(DETECTED) + RECEIPT, "bob is offline", || {
        let outcome = alices.deliver(&bob, "gone", "1");
        let offline = outcome == "offline";
        outcomes.insert(outcome);
        offline
    });
    println!(
        "offline {:?} after kill -9, receipts until then {outcomes:?}",
        killed.elapsed()
    );
    let took = killed.elapsed();
    assert!(
        took < promised(DETECTED + Duration::from_secs(1)),
        "{took:?} {outcomes:?}"
    );
    assert!(!outcomes.contains("sent"), "{outcomes:?}");
}

#[test]
fn nobody_who_is_connected_is_called_offline_while_streams_are_taken_over() {
    let mut cluster = Cluster::of(2, &[]);
    let users: Vec<_> = (0..60).map(|n| format!("user{n}")).collect();
    let mut alices = kept_at(&cluster, 1, "alice");
    // There is something to take over.
    for user in &users {
        alices.keep_accepted(user, user, "0");
    }
    let _sessions: Vec<_> = users.iter().map(|u| kept_at(&cluster, 0, u)).collect();
    let third = cluster.add();
    cluster.nodes[third].seeds = cluster.seeds();
    cluster.nodes[third].start();
    let mut told = BTreeSet::new();
    let mut owners = BTreeSet::new();
    wait_until(3 * PATIENCE, "the third node serves its users", || {
        for user in &users {
            told.insert(alices.deliver(user, "passing", "1"));
        }
        cluster.settled()
    });
    owners.extend(users.iter().map(|user| cluster.owner(user)));
    assert!(owners.contains(&third), "it owns nobody");
    assert!(!told.contains("offline"), "{told:?}");
    assert!(told.contains("sent"), "{told:?}");
}
