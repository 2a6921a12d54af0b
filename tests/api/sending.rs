//! What backends send, and what they are told of it.

use serde_json::{Value, json};

use crate::support::{Cluster, PATIENCE, Signal, wait_until};
use crate::{call, message, send, session_at};

#[test]
fn every_node_takes_messages_for_users_of_every_node() {
    let cluster = Cluster::of(3, &[]);
    for owner in 0..3 {
        let bob = cluster.user_of(owner, "bob");
        let mut home = session_at(&cluster, owner, &bob).0;
        let mut guest = session_at(&cluster, (owner + 1) % 3, &bob).0;
        for (index, node) in cluster.nodes.iter().enumerate() {
            let kept = format!("kept-{owner}-{index}");
            let (status, receipt) = send(node, &message("shop", &bob, &kept, &json!([1, "é"])));
            let accepted = json!({"type":"receipt","id":kept,"status":"accepted","copies":2});
            assert_eq!((status, receipt), (200, accepted));
            let unkept = format!("unkept-{owner}-{index}");
            let mut now = message("shop", &bob, &unkept, &json!(index));
            now["qos"] = json!(0);
            let sent = json!({"type":"receipt","id":unkept,"status":"sent"});
            assert_eq!(send(node, &now), (200, sent));
            for session in [&mut home, &mut guest] {
                let first = session.find(PATIENCE, |m| m["id"] == kept.as_str());
                let first = first.expect("the kept message");
                assert_eq!(first["from"], "shop", "{first}");
                assert_eq!(first["body"], json!([1, "é"]), "{first}");
                assert!(first["offset"].is_u64(), "{first}");
                let second = session.find(PATIENCE, |m| m["id"] == unkept.as_str());
                let second = second.expect("the message that is not kept");
                assert_eq!(second["body"], index, "{second}");
            }
        }
    }
}

#[test]
fn a_body_passes_byte_for_byte() {
    let cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut session = session_at(&cluster, 1, &bob).0;
    let body = r#"{ "a" : 1e400, "\u0061":[ -0.0 ] }"#;
    let text = format!(r#"{{"body": {body} ,"id":"1","to":{{"user":"{bob}"}},"from":"shop"}}"#);
    let response = call(&cluster.nodes[0], "POST", "/v1/send", &text);
    assert_eq!(response.status, 200, "{response:?}");
    let text = session.text(PATIENCE).expect("a message");
    assert!(text.contains(&format!("\"body\":{body},")), "{text}");
}

#[test]
fn an_absent_user_finds_what_was_kept() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(2, "bob");
    let (status, receipt) = send(&cluster.nodes[0], &message("shop", &bob, "o1", &json!(1)));
    assert_eq!((status, &receipt["status"]), (200, &json!("accepted")));
    let mut session = session_at(&cluster, 1, &bob).0;
    session.expect_messages(&["o1"]);

    let carol = cluster.user_of(2, "carol");
    let mut now = message("shop", &carol, "o2", &json!(1));
    now["qos"] = json!(0);
    for node in &cluster.nodes {
        let (status, receipt) = send(node, &now);
        assert_eq!((status, &receipt["status"]), (404, &json!("failed")));
        assert_eq!(receipt["error"]["code"], "offline", "{receipt}");
        assert_eq!(receipt["error"]["retry"], true, "{receipt}");
    }
}

#[test]
fn a_repeat_is_recognised_by_its_id_at_any_node() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut session = session_at(&cluster, 1, &bob).0;
    let order = message("shop", &bob, "o1", &json!("paid"));
    let (_, first) = send(&cluster.nodes[0], &order);
    assert_eq!(first.get("duplicate"), None, "{first}");
    for node in &cluster.nodes {
        let (status, again) = send(node, &order);
        assert_eq!(
            (status, &again["duplicate"]),
            (200, &json!(true)),
            "{again}"
        );
    }
    // Another sender's is another message, and a client's of the same user is the same.
    let (_, other) = send(&cluster.nodes[0], &message("bank", &bob, "o1", &json!(1)));
    assert_eq!(other.get("duplicate"), None, "{other}");
    let mut shop = session_at(&cluster, 2, "shop").0;
    assert_eq!(shop.keep(&bob, "o1", "1")["duplicate"], true);
    session.expect_messages(&["o1", "o1"]);
    session.assert_quiet_and_alive();
}

#[test]
fn an_id_that_was_used_for_somebody_else_is_refused() {
    let cluster = Cluster::of(2, &[]);
    let node = &cluster.nodes[0];
    assert_eq!(send(node, &message("shop", "bob", "o1", &json!(1))).0, 200);
    let (status, receipt) = send(node, &message("shop", "carol", "o1", &json!(1)));
    assert_eq!(
        (status, &receipt["error"]["code"]),
        (409, &json!("id_reused"))
    );
    assert_eq!(send(node, &message("shop", "bob", "o1", &json!(1))).0, 200);
}

#[test]
fn a_list_is_sent_in_its_order_and_answered_in_it() {
    let cluster = Cluster::of(3, &[]);
    let users = [0, 1, 2].map(|index| cluster.user_of(index, "u"));
    let mut sessions = [0, 1, 2].map(|index| session_at(&cluster, index, &users[index]).0);
    let mut list: Vec<Value> = (0..300)
        .map(|n| message("shop", &users[n % 3], &format!("m{n}"), &json!(n)))
        .collect();
    list[30] = json!({"from": "shop", "to": {"room": ""}, "id": "room", "body": 1});
    list[31] = json!(7);
    let (status, receipts) = send(&cluster.nodes[0], &Value::Array(list));
    assert_eq!(status, 200);
    let receipts = receipts.as_array().expect("a list");
    assert_eq!(receipts.len(), 300);
    for (number, receipt) in receipts.iter().enumerate() {
        match number {
            30 => assert_eq!(
                (&receipt["id"], &receipt["error"]["code"]),
                (&json!("room"), &json!("bad_request"))
            ),
            31 => assert_eq!(
                (receipt.get("id"), &receipt["error"]["code"]),
                (None, &json!("bad_request"))
            ),
            _ => {
                assert_eq!(receipt["id"], format!("m{number}"), "{receipt}");
                assert_eq!(receipt["status"], "accepted", "{receipt}");
            }
        }
    }
    for number in (0..300).filter(|number| ![30, 31].contains(number)) {
        let next = sessions[number % 3].expect("message");
        assert_eq!(next["body"], number, "{next}");
    }
    let none = send(&cluster.nodes[0], &json!([]));
    assert_eq!(none, (200, json!([])));
}

#[test]
fn a_sender_hears_of_a_delivery_in_its_sessions() {
    let cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut shop = session_at(&cluster, 0, "shop").0;
    let mut order = message("shop", &bob, "o1", &json!(1));
    order["notify"] = json!(true);
    assert_eq!(send(&cluster.nodes[0], &order).0, 200);
    let mut session = session_at(&cluster, 1, &bob).0;
    let got = session.expect("message");
    session.ack(&got);
    assert_eq!(shop.expect("delivered")["id"], "o1");
}

#[test]
fn a_full_inbox_is_said_with_507() {
    let cluster = Cluster::of(2, &["--max-inbox-messages", "2"]);
    let bob = cluster.user_of(1, "bob");
    let node = &cluster.nodes[0];
    for id in ["1", "2"] {
        assert_eq!(send(node, &message("shop", &bob, id, &json!(1))).0, 200);
    }
    let (status, receipt) = send(node, &message("shop", &bob, "3", &json!(1)));
    assert_eq!(
        (status, &receipt["error"]["code"]),
        (507, &json!("inbox_full"))
    );
    // It was not kept, and its id is free.
    let carol = cluster.user_of(0, "carol");
    assert_eq!(send(node, &message("shop", &carol, "3", &json!(1))).0, 200);
}

#[test]
fn what_nobody_can_take_in_time_is_said_with_503_or_504() {
    let timeouts = ["--request-timeout", "1s"];
    let alone = Cluster::of(1, &[&timeouts[..], &["--min-copies", "2"]].concat());
    let response = call(
        &alone.nodes[0],
        "POST",
        "/v1/send",
        &message("shop", "bob", "o1", &json!(1)).to_string(),
    );
    assert_eq!(response.status, 503, "{response:?}");
    assert_eq!(response.header("retry-after"), Some("1"), "{response:?}");
    assert_eq!(response.json()["error"]["code"], "unreachable");
    drop(alone);

    // Nor is it taken for dead meanwhile.
    let patient = [&timeouts[..], &["--suspicion-timeout", "20s"]].concat();
    let mut cluster = Cluster::of(2, &patient);
    let bob = cluster.user_of(1, "bob");
    cluster.nodes[1].signal(Signal::Stop);
    let order = message("shop", &bob, "o1", &json!(1));
    let (status, receipt) = send(&cluster.nodes[0], &order);
    cluster.nodes[1].signal(Signal::Continue);
    assert_eq!(
        (status, &receipt["error"]["code"]),
        (504, &json!("unknown"))
    );
    cluster.wait_settled(3 * PATIENCE);
    // A second is not long for one that has just been stopped.
    wait_until(PATIENCE, "the same id is taken again", || {
        send(&cluster.nodes[0], &order).0 == 200
    });
}
