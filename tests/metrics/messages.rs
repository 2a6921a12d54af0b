//! Messages on all ways that there are, and where they are counted.

use serde_json::{Value, json};

use crate::support::client::outcome;
use crate::support::{Client, Cluster, PATIENCE, Signal, wait_until};
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
    assert!(is(bytes(1, "delivered"), bodies(2)));
    assert!(is(bytes(2, "delivered"), bodies(2)));
    // What is not kept is counted when it is on its way, which its receipt may overtake.
    wait_until(PATIENCE, "what went to other nodes is counted", || {
        // Of the second node that of qos 0.
        is(bytes(0, "forwarded"), bodies(4)) && is(bytes(1, "forwarded"), bodies(1))
    });
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
fn what_is_past_a_limit_is_counted_by_that_limit() {
    let limits = ["--max-presence-users", "2", "--max-rooms-per-session", "2"];
    let cluster = Cluster::of(1, &limits);
    let mut client = session_at(&cluster, 0, "ann");
    let mut ask = |id: &str, request: Value| {
        let mut request = request;
        request["id"] = json!(id);
        client.send_json(&request);
        let reply = client.reply_to(id, PATIENCE);
        outcome(&reply)
    };
    let rooms = ["a", "b", "c"].map(|room| json!({"room": room}));
    let many = json!({"type": "join", "rooms": rooms});
    assert_eq!(ask("many-rooms", many), "too_large");
    let many = json!({"type": "presence", "users": ["a", "b", "c"]});
    assert_eq!(ask("many-users", many), "too_large");
    for (room, expected) in [("a", "joined"), ("b", "joined"), ("c", "not_allowed")] {
        let join = json!({"type": "join", "room": room});
        assert_eq!(ask(room, join), expected);
    }
    let metrics = scrape(&cluster.nodes[0]);
    assert!(is(metrics.value("ringpost_requests_too_large_total"), 2));
    assert!(is(metrics.value("ringpost_rooms_over_limit_total"), 1));
}

#[test]
fn a_handshake_that_is_refused_in_frames_counts_as_one_that_is_refused() {
    let flags = ["--handshake-timeout", "3s", "--suspicion-timeout", "60s"];
    let mut cluster = Cluster::of(2, &flags);
    let user = cluster.user_of(1, "user");
    let refused = |cluster: &Cluster| {
        let name = "ringpost_handshakes_refused_total";
        scrape(&cluster.nodes[0]).value(name)
    };
    let close_of = |url: &str| {
        let mut client = Client::connect(url).expect("101");
        client.read_to_close(PATIENCE).1
    };
    let nobody = format!("ws://{}/ws?redirect=frame", cluster.nodes[0].listen);
    assert_eq!(close_of(&nobody), Some(4501));
    assert!(is(refused(&cluster), 1));
    // A guest whose owner does not answer.
    cluster.nodes[1].signal(Signal::Stop);
    let guest = format!("{}&redirect=never", cluster.nodes[0].url(&user));
    assert_eq!(close_of(&guest), Some(1013));
    assert!(is(refused(&cluster), 2));
    cluster.nodes[1].signal(Signal::Continue);
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
