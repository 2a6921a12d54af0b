//! Who is connected, as backends are told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Cluster, PATIENCE, Signal, wait_until};
use crate::{call, look_up, message, send, session_at};

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.expect("it is after 1970");
    u64::try_from(since.as_millis()).expect("and not much after")
}

/// (node, session) of each, without its times.
fn places(user: &Value) -> Vec<(String, String)> {
    let sessions = user["sessions"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let place = |session: &Value| (text(&session["node"]), text(&session["session"]));
    sessions.iter().map(place).collect()
}

/// The successors of the user's owner, which have to be the two other nodes.
fn others(user: &Value) -> Value {
    let successors = user["successors"].as_array().expect("a list").clone();
    let mut sorted: Vec<_> = successors.iter().filter_map(Value::as_str).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, ["n1", "n3"], "{user}");
    json!(successors)
}

#[test]
fn an_inbox_tells_how_far_it_is() {
    let cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(1, "bob");
    assert_eq!(look_up(&cluster.nodes[0], &bob).get("inbox"), None);
    for number in 0..3 {
        let body = message("shop", &bob, &format!("m{number}"), &json!(number));
        assert_eq!(send(&cluster.nodes[0], &body).0, 200);
    }
    for node in &cluster.nodes {
        let inbox = &look_up(node, &bob)["inbox"];
        assert_eq!(
            (&inbox["offset"], &inbox["acked"], &inbox["waiting"]),
            (&json!(3), &json!(0), &json!(3))
        );
    }
    let (mut client, _) = session_at(&cluster, 1, &bob);
    let last = (0..3)
        .map(|_| client.expect("message"))
        .last()
        .expect("three");
    let ack = json!({"type": "ack", "stream": "inbox", "epoch": last["epoch"], "offset": 3});
    client.send_json(&ack);
    wait_until(PATIENCE, "everything is acked", || {
        let inbox = &look_up(&cluster.nodes[0], &bob)["inbox"];
        (&inbox["epoch"], &inbox["acked"], &inbox["waiting"])
            == (&last["epoch"], &json!(3), &json!(0))
    });
}

#[test]
fn every_node_tells_all_sessions_of_a_user_guests_included() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let owner = json!({"owner": cluster.nodes[1].id, "successors": others(&look_up(&cluster.nodes[0], &bob))});
    let nobody = json!({
        "user": bob, "online": false, "sessions": [], "owner": owner["owner"],
        "successors": owner["successors"],
    });
    let before = now_ms();
    for node in &cluster.nodes {
        assert_eq!(look_up(node, &bob), nobody);
    }
    let opened = [0, 1, 1, 2].map(|index| session_at(&cluster, index, &bob));
    let mut expected: Vec<_> = (opened.iter())
        .map(|(_, welcome)| {
            let text = |name: &str| welcome[name].as_str().expect("a string").to_owned();
            (text("node"), text("session"))
        })
        .collect();
    expected.sort();
    for node in &cluster.nodes {
        let user = look_up(node, &bob);
        assert_eq!(
            (&user["user"], &user["online"]),
            (&json!(bob), &json!(true))
        );
        assert_eq!(places(&user), expected, "{user}");
        for session in user["sessions"].as_array().expect("a list") {
            let since = session["since"].as_u64().expect("a number");
            assert!((before..=now_ms()).contains(&since), "{session}");
        }
    }
    for (client, _) in opened {
        client.close();
    }
    for node in &cluster.nodes {
        wait_until(PATIENCE, "bob is offline", || look_up(node, &bob) == nobody);
    }
}

#[test]
fn the_sessions_of_a_dead_node_are_gone_and_those_of_others_stay() {
    let mut cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let (_guest, welcome) = session_at(&cluster, 0, &bob);
    let _home = session_at(&cluster, 1, &bob);
    let since = look_up(&cluster.nodes[0], &bob)["sessions"][0]["since"].clone();
    // It takes the owner and one of the sessions; the guest is made known to the next owner.
    cluster.nodes[1].signal(Signal::Kill);
    let only = vec![(
        "n1".to_owned(),
        welcome["session"].as_str().expect("a string").to_owned(),
    )];
    for node in [0, 2] {
        let node = &cluster.nodes[node];
        wait_until(PATIENCE, "the guest is all that is left", || {
            let user = look_up(node, &bob);
            places(&user) == only && user["sessions"][0]["since"] == since
        });
    }
}

#[test]
fn a_user_id_in_a_path_is_percent_encoded() {
    let cluster = Cluster::of(2, &[]);
    let _session = session_at(&cluster, 0, "a%2Fb%20%F0%9F%A6%80");
    let user = look_up(&cluster.nodes[1], "a%2Fb%20%F0%9F%A6%80");
    assert_eq!(
        (&user["user"], &user["online"]),
        (&json!("a/b 🦀"), &json!(true))
    );
}

#[test]
fn an_owner_that_does_not_answer_is_said_with_503() {
    // Nor is it taken for dead meanwhile.
    let patient = ["--request-timeout", "500ms", "--suspicion-timeout", "20s"];
    let mut cluster = Cluster::of(2, &patient);
    let bob = cluster.user_of(1, "bob");
    cluster.nodes[1].signal(Signal::Stop);
    let response = call(&cluster.nodes[0], "GET", &format!("/v1/users/{bob}"), "");
    cluster.nodes[1].signal(Signal::Continue);
    assert_eq!(response.status, 503, "{response:?}");
    let error = &response.json()["error"];
    assert_eq!(
        (&error["code"], &error["retry"]),
        (&json!("unreachable"), &json!(true))
    );
    wait_until(Duration::from_secs(10), "the owner answers again", || {
        call(&cluster.nodes[0], "GET", &format!("/v1/users/{bob}"), "").status == 200
    });
}
