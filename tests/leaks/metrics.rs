//! Metrics: how many series there are depends on the program alone.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Client, Cluster, Node, http};

/// The series, with their labels, without values.
fn series(node: &Node) -> BTreeSet<String> {
    let text = node.get_admin("/metrics").text();
    let samples = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    samples
        .map(|line| line.rsplit_once(' ').expect("a value").0.to_owned())
        .collect()
}

/// Who may be named in a label: what the program itself counts over.
fn labels(series: &BTreeSet<String>) -> BTreeSet<String> {
    let inner = |line: &String| Some(line.split_once('{')?.1.trim_end_matches('}').to_owned());
    let pairs: Vec<String> = series.iter().filter_map(inner).collect();
    let names = pairs
        .iter()
        .flat_map(|pairs| pairs.split(','))
        .filter_map(|pair| pair.split_once('='));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn no_user_room_or_path_makes_a_series_of_its_own() {
    const USERS: usize = 500;
    // Sessions that are not read answer no ping.
    let cluster = Cluster::of(1, &["--heartbeat-interval", "10m"]);
    let node = &cluster.nodes[0];
    let before = series(node);
    assert!(before.len() > 20, "{before:?}");
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..USERS {
        let (mut client, _) = Client::welcomed(&node.url(&format!("user-{number}")));
        let room = format!("room-{number}");
        client.send_json(&json!({"type": "join", "id": "j", "room": room}));
        client.send_json(&json!({"type": "send", "id": "m", "to": {"room": room}, "body": 1}));
        client.send_json(&json!({"type": format!("kind-{number}"), "id": "k"}));
        client.reply_to("k", crate::support::PATIENCE);
        clients.push(client);
    }
    for number in 0..50 {
        for address in [node.listen, node.admin] {
            http::get(address, &format!("/path-{number}?user=a-{number}")).expect("an answer");
        }
        node.get_admin(&format!("/v1/users/user-{number}"));
        node.get_admin(&format!("/v1/rooms/room-{number}"));
    }
    assert_eq!(node.metric("ringpost_sessions"), 500);
    assert_eq!(series(node), before);
    let labels = labels(&before);
    // The program's version, the bounds of histograms, and what they are told apart by.
    let known = ["le", "path", "qos", "version"].map(str::to_owned);
    assert_eq!(
        labels,
        BTreeSet::from(known),
        "a label needs a reason, and a place in this test"
    );
}
