//! Messages on all ways that there are, and where they are counted.

use serde_json::{Value, json};

use crate::support::client::outcome;
use crate::support::{Client, Cluster, PATIENCE, wait_until};
use crate::{is, scrape};

#[track_caller]
fn session_at(cluster: &Cluster, index: usize, user: &str) -> Client {
    let url = format!("{}&redirect=never", cluster.nodes[index].url(user));
    let mut client = Client::connect(&url).expect("101");
    client.expect("welcome");
    client
}

/// Sends one message that is kept and one that is not, both of which arrive.
#[track_caller]
fn send_both(sender: &mut Client, recipient: &mut Client, user: &str) {
    for (id, qos, expected) in [("kept", 1, "accepted"), ("unkept", 0, "sent")] {
        let id = format!("{id}-{user}");
        let message = json!({
            "type": "send", "id": id, "to": {"user": user}, "qos": qos, "body": "1234",
        });
        sender.send_json(&message);
        let receipt = sender.reply_to(&id, PATIENCE);
        assert_eq!(outcome(&receipt), expected, "{receipt}");
        let came: Value = recipient.expect("message");
        assert_eq!(came["id"], id);
    }
}

#[test]
// They are counts.
#[allow(clippy::float_cmp)]
fn deliveries_receipts_and_copies_are_counted_where_their_time_was_taken() {
    let cluster = Cluster::of(3, &[]);
    let users = [0, 1].map(|index| cluster.user_of(index, &format!("u{index}")));
    let guest_user = cluster.users_of(1, "guest", 1).remove(0);
    let sender_user = cluster.users_of(0, "sender", 1).remove(0);
    let mut sender = session_at(&cluster, 0, &sender_user);
    let mut home = session_at(&cluster, 0, &users[0]);
    let mut away = session_at(&cluster, 1, &users[1]);
    let mut guest = session_at(&cluster, 2, &guest_user);

    send_both(&mut sender, &mut home, &users[0]);
    send_both(&mut sender, &mut away, &users[1]);
    send_both(&mut sender, &mut guest, &guest_user);

    let count = |node: usize, name: &str, labels: &[(&str, &str)]| {
        let name = format!("ringpost_{name}_seconds_count");
        scrape(&cluster.nodes[node]).labelled(&name, labels)
    };
    let delivered = |node, path| count(node, "delivery", &[("path", path)]);
    // The answers of the guest's node may still be on their way.
    wait_until(PATIENCE, "the owner knows what its guest has", || {
        is(delivered(1, "guest"), 2)
    });
    let paths = [0, 1, 2].map(|node| ["local", "hop", "guest"].map(|path| delivered(node, path)));
    let expected = [[2.0, 4.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]];
    assert_eq!(paths, expected, "by node, and by path");
    for (qos, told) in [("0", 3), ("1", 3)] {
        assert!(is(count(0, "receipt", &[("qos", qos)]), told), "{qos}");
        assert!(is(count(1, "receipt", &[("qos", qos)]), 0), "{qos}");
    }
    // One kept message of the first node's user, two of the second's; what became of their acks or
    // of opening the streams is copied, too.
    assert!(count(0, "replication", &[]) >= 1.0);
    assert!(count(1, "replication", &[]) >= 2.0);

    let bytes = |node: usize, name: &str| {
        let name = format!("ringpost_{name}_bytes_total");
        scrape(&cluster.nodes[node]).value(&name)
    };
    // Quotes are a part of the body.
    let bodies = |count: u32| count * 6;
    assert!(is(bytes(0, "received"), bodies(6)));
    assert!(is(bytes(0, "delivered"), bodies(2)));
    assert!(is(bytes(0, "forwarded"), bodies(4)));
    assert!(is(bytes(1, "delivered"), bodies(2)));
    assert!(is(bytes(1, "forwarded"), bodies(1)), "that of qos 0");
    assert!(is(bytes(2, "delivered"), bodies(2)));
}

#[test]
fn what_fails_is_no_delivery_but_a_receipt() {
    let cluster = Cluster::of(1, &[]);
    let mut sender = session_at(&cluster, 0, "alice");
    let message = json!({"type": "send", "id": "m", "to": {"user": "nobody"}, "qos": 0, "body": 1});
    sender.send_json(&message);
    assert_eq!(outcome(&sender.reply_to("m", PATIENCE)), "offline");
    let metrics = scrape(&cluster.nodes[0]);
    let receipts = metrics.labelled("ringpost_receipt_seconds_count", &[("qos", "0")]);
    assert!(is(receipts, 1));
    let delivered = metrics.labelled("ringpost_delivery_seconds_count", &[("path", "local")]);
    assert!(is(delivered, 0));
}

#[test]
fn a_node_that_has_joined_is_ready_and_says_so() {
    let cluster = Cluster::of(2, &[]);
    wait_until(PATIENCE, "both are ready and linked", || {
        cluster.nodes.iter().all(|node| {
            let metrics = scrape(node);
            let value = |name: &str| metrics.value(&format!("ringpost_{name}"));
            is(value("ready"), 1)
                && is(value("members_alive"), 2)
                && is(value("links_connected"), 1)
                && is(value("streams_under_replicated"), 0)
        })
    });
}
