//! Messages of one session in a time.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Client, Cluster, PATIENCE, wait_until};

const FLAGS: [&str; 4] = ["--message-rate", "1", "--message-burst", "20"];

fn receipt(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_client_sends_a_burst_and_then_is_refused_what_is_more_and_it_is_never_delivered() {
    let cluster = Cluster::of(2, &["--message-rate", "10", "--message-burst", "20"]);
    let bob = cluster.user_of(1, "bob");
    let (mut bobs, _) = Client::welcomed(&cluster.nodes[1].url(&bob));
    let alice = cluster.user_of(0, "alice");
    let (mut alices, _) = Client::welcomed(&cluster.nodes[0].url(&alice));
    let send = |id: usize| {
        json!({"type": "send", "id": format!("m{id}"), "to": {"user": bob}, "body": id}).to_string()
    };
    let start = Instant::now();
    for id in 0..40 {
        alices.send_text(&send(id));
    }
    let mut accepted = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let receipt = alices.expect("receipt");
        let id = receipt["id"].as_str().unwrap().to_owned();
        if receipt["status"] == "accepted" {
            accepted.push(id);
        } else {
            assert_eq!(receipt["error"]["code"], "rate_limited", "{receipt}");
            assert_eq!(receipt["error"]["retry"], true, "{receipt}");
            refused += 1;
        }
    }
    let tenths = usize::try_from(start.elapsed().as_millis()).unwrap() / 100;
    assert!((20..=21 + tenths).contains(&accepted.len()), "{accepted:?}");
    let node = &cluster.nodes[0];
    assert_eq!(node.metric("ringpost_rate_limited_total"), refused);
    assert_eq!(node.metric("ringpost_sessions_over_rate_total"), 0);
    // What was refused is not delivered, and what was accepted is, in its order.
    for id in &accepted {
        assert_eq!(bobs.expect("message")["id"], id.as_str());
    }
    bobs.assert_quiet_and_alive();
    // Pings and acks pass, and other sessions are not concerned.
    for _ in 0..50 {
        alices.assert_quiet_and_alive();
        alices.send_text(r#"{"type":"ack","stream":"inbox","epoch":"x","offset":1}"#);
    }
    let (mut others, _) = Client::welcomed(&cluster.nodes[0].url(&alice));
    assert_eq!(others.deliver(&bob, "another", "1"), "sent");
    bobs.expect("message");
    // The same id may be sent again.
    wait_until(PATIENCE, "it may send again", || {
        alices.deliver(&bob, "m39", "39") == "sent"
    });
    assert_eq!(bobs.expect("message")["id"], "m39");
}

#[test]
fn all_but_acks_and_pings_counts_and_what_has_no_id_gets_an_error() {
    let cluster = Cluster::of(1, &FLAGS);
    let node = &cluster.nodes[0];
    for (message, kind) in [
        (r#"{"type":"join","id":"x","room":"r"}"#, "receipt"),
        (r#"{"type":"leave","id":"x","room":"r"}"#, "receipt"),
        (r#"{"type":"presence","id":"x","users":["a"]}"#, "receipt"),
        (r#"{"type":"no such type","id":"x"}"#, "receipt"),
        (r#"{"type":"send"}"#, "error"),
    ] {
        let (mut client, _) = Client::welcomed(&node.url("a"));
        for _ in 0..30 {
            client.send_text(message);
        }
        let answers: Vec<_> = (0..30).map(|_| client.recv_json(PATIENCE)).collect();
        let last = &answers[29];
        assert_eq!(last["type"], kind, "{message}: {last}");
        let error = last.get("error").unwrap_or(last);
        assert_eq!(error["code"], "rate_limited", "{message}: {last}");
        if kind == "receipt" {
            assert_eq!(last["id"], "x", "{message}: {last}");
        }
        client.assert_quiet_and_alive();
    }
}

#[test]
fn a_client_that_goes_on_is_closed_with_4429_and_others_are_served() {
    let cluster = Cluster::of(1, &FLAGS);
    let node = &cluster.nodes[0];
    let (mut other, _) = Client::welcomed(&node.url("b"));
    let (mut client, _) = Client::welcomed(&node.url("a"));
    for id in 0..200 {
        let send = json!({"type": "send", "id": format!("m{id}"), "qos": 0, "to": {"user": "b"}, "body": 1});
        if client
            .try_send_frame(true, 1, send.to_string().as_bytes())
            .is_err()
        {
            break;
        }
    }
    let (texts, code) = client.read_to_close(PATIENCE);
    assert_eq!(code, Some(4429), "{texts:?}");
    let failed = texts
        .iter()
        .filter(|text| receipt(text)["status"] == "failed");
    let failed = failed.count();
    assert!((39..60).contains(&failed), "{failed}: {texts:?}");
    let sent = texts.len() - failed;
    for _ in 0..sent {
        other.expect("message");
    }
    other.assert_quiet_and_alive();
    assert_eq!(node.metric("ringpost_sessions_over_rate_total"), 1);
    // It may come again, and begins anew.
    let (mut client, _) = Client::welcomed(&node.url("a"));
    assert_eq!(client.deliver("b", "again", "1"), "sent");
    other.expect("message");
}
