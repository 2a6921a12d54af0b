//! What clients send each other through a cluster of real processes, and what they are told when
//! it cannot be delivered.

mod support;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::client::{outcome, send_text};
use support::frames::{BINARY, CONTINUATION, PING, TEXT};
use support::{Client, Cluster, Event, Handshake, PATIENCE, Signal, promised, wait_until};

/// A sender is told the outcome within this, whatever happens to nodes.
const RECEIPT: Duration = Duration::from_secs(20);
/// The other nodes have noticed that a node is dead.
const DETECTED: Duration = Duration::from_secs(5);

/// Asserts that the text has these keys in this order, compact, and none of the others.
#[track_caller]
fn assert_keys(text: &str, keys: &[&str], absent: &[&str]) {
    let mut from = 0;
    for key in keys {
        let key = format!("\"{key}\":");
        let at = text[from..].find(&key);
        from += at.unwrap_or_else(|| panic!("{key} is not there in its place: {text}"));
    }
    assert!(text.starts_with("{\"type\":\""), "{text}");
    let value: Value = serde_json::from_str(text).expect("it is JSON");
    assert_eq!(value.to_string().len(), text.len(), "not compact: {text}");
    for key in absent {
        assert!(value.get(key).is_none(), "{key} is there: {text}");
    }
}

/// A session of the user that this node serves as a guest, or as the owner.
#[track_caller]
fn kept_at(cluster: &Cluster, index: usize, user: &str) -> Client {
    let url = format!("{}&redirect=never", cluster.nodes[index].url(user));
    let mut client = Client::connect(&url).expect("101");
    let welcome = client.expect("welcome");
    assert_eq!(welcome["node"], cluster.nodes[index].id.as_str());
    client
}

#[test]
fn welcome_comes_first_and_says_where_the_client_is() {
    let cluster = Cluster::of(2, &[]);
    let mut client = Client::connect_following(&cluster.nodes[0].url("alice"));
    let text = client.text(PATIENCE).expect("a message");
    let keys = [
        "type",
        "user",
        "session",
        "node",
        "epoch",
        "offset",
        "heartbeat_ms",
        "max_message_bytes",
    ];
    assert_keys(&text, &keys, &["recovered"]);
    let welcome: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(welcome["user"], "alice");
    assert_eq!(welcome["heartbeat_ms"], 25_000);
    assert_eq!(welcome["max_message_bytes"], 65_536);
    let (_, other) = Client::welcomed(&cluster.nodes[1].url("alice"));
    assert!(welcome["session"].is_string(), "{welcome}");
    assert_ne!(welcome["session"], other["session"]);
}

#[test]
fn messages_travel_between_users_of_every_pair_of_nodes() {
    let cluster = Cluster::of(3, &[]);
    let mut users: Vec<_> = (0..3)
        .map(|index| {
            let user = cluster.user_of(index, "u");
            let (client, welcome) = Client::welcomed(&cluster.nodes[2 - index].url(&user));
            assert_eq!(welcome["node"], cluster.nodes[index].id.as_str());
            (user, client)
        })
        .collect();
    for from in 0..3 {
        for to in 0..3 {
            let (recipient, id) = (users[to].0.clone(), format!("m-{from}-{to}"));
            let sender = &mut users[from].1;
            assert_eq!(sender.deliver(&recipient, &id, "[1, 2]"), "sent");
            let name = users[from].0.clone();
            let client = &mut users[to].1;
            let text = client.text(PATIENCE).expect("a message");
            let parsed: Value = serde_json::from_str(&text).expect("it is JSON");
            assert_eq!(parsed["type"], "message");
            assert_eq!(parsed["stream"], "inbox");
            assert_eq!(parsed["id"], id.as_str());
            assert_eq!(parsed["from"], name.as_str());
            assert_eq!(parsed["to"], json!({ "user": recipient }));
            assert!(
                parsed["ts"]
                    .as_u64()
                    .is_some_and(|ts| ts > 1_700_000_000_000)
            );
            let compact = text.replace("[1, 2]", "[1,2]");
            let keys = ["type", "stream", "id", "from", "to", "body", "ts"];
            assert_keys(&compact, &keys, &["epoch", "offset"]);
            assert!(text.contains(r#""body":[1, 2],"#), "{text}");
        }
    }
    for (_, client) in &mut users {
        client.assert_quiet_and_alive();
    }
}

#[test]
fn every_session_of_a_user_gets_the_message_once_wherever_it_is() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut sessions: Vec<_> = [0, 0, 1, 1, 2]
        .map(|index| kept_at(&cluster, index, &bob))
        .into();
    for index in 0..3 {
        let alice = cluster.user_of(index, "alice");
        let mut alice = Client::welcomed(&cluster.nodes[index].url(&alice)).0;
        assert_eq!(alice.deliver(&bob, "m1", "\"hi\""), "sent");
        for session in &mut sessions {
            assert_eq!(session.expect("message")["body"], "hi");
            session.assert_quiet_and_alive();
        }
    }
}

#[test]
fn a_guest_sends_and_gets_messages() {
    let cluster = Cluster::of(3, &[]);
    let (bob, alice) = (cluster.user_of(1, "bob"), cluster.user_of(2, "alice"));
    let mut bobs = kept_at(&cluster, 0, &bob);
    for index in 0..3 {
        let mut alices = kept_at(&cluster, index, &alice);
        assert_eq!(alices.deliver(&bob, "to-bob", "1"), "sent");
        assert_eq!(bobs.expect("message")["from"], alice.as_str());
        assert_eq!(bobs.deliver(&alice, "to-alice", "2"), "sent");
        assert_eq!(alices.expect("message")["from"], bob.as_str());
        alices.close();
    }
}

#[test]
fn messages_of_one_sender_arrive_in_their_order() {
    let cluster = Cluster::of(3, &[]);
    let (alice, bob) = (cluster.user_of(0, "alice"), cluster.user_of(1, "bob"));
    let mut alices = Client::welcomed(&cluster.nodes[0].url(&alice)).0;
    let (mut at_owner, mut guest) = (kept_at(&cluster, 1, &bob), kept_at(&cluster, 2, &bob));
    for number in 0..500 {
        alices.send_to(&bob, &format!("m{number}"), &number.to_string());
    }
    for client in [&mut at_owner, &mut guest] {
        for number in 0..500 {
            assert_eq!(client.expect("message")["body"], number);
        }
    }
    for number in 0..500 {
        let receipt = alices.reply_to(&format!("m{number}"), RECEIPT);
        assert_eq!(outcome(&receipt), "sent");
    }
    alices.assert_quiet_and_alive();
}

#[test]
fn a_body_passes_byte_for_byte() {
    let cluster = Cluster::of(3, &[]);
    let (alice, bob) = (cluster.user_of(0, "alice"), cluster.user_of(1, "bob"));
    let mut alices = Client::welcomed(&cluster.nodes[0].url(&alice)).0;
    let mut sessions = [
        kept_at(&cluster, 1, &bob),
        kept_at(&cluster, 2, &bob),
        kept_at(&cluster, 0, &bob),
    ];
    let deep = "[".repeat(100) + &"]".repeat(100);
    let bodies = [
        "null",
        "true",
        "0",
        "-0",
        "-0.0",
        "1.0",
        "1e400",
        "1E+2",
        "123456789012345678901234567890.10",
        "{ \"a\" : 1.0 ,\t\"b\":[ ],\n\"a\" : 2 }",
        r#""\u0041\/\ud83e\udd80\"\\\n""#,
        r#""\ud800""#,
        "\"🦀 \u{2028} \u{7f}\"",
        "\"\"",
        r#"{"body":"\"body\":1","type":"x"}"#,
        &deep,
    ];
    for body in bodies {
        let messages = [
            send_text(&bob, "m", body),
            format!(
                r#"{{ "body" : {body} , "to" : {{"user":"{bob}"}}, "qos":0, "id":"m", "type":"send" }}"#
            ),
        ];
        for message in messages {
            alices.send_text(&message);
            let receipt = alices.reply_to("m", RECEIPT);
            assert_eq!(outcome(&receipt), "sent", "{body}");
            for session in &mut sessions {
                let text = session.text(PATIENCE).expect("a message");
                let expected = format!("\"body\":{body},\"ts\":");
                assert!(text.contains(&expected), "{body} came as {text}");
            }
        }
    }
}

#[test]
fn every_request_gets_one_reply_that_names_it_and_says_why() {
    let cluster = Cluster::of(2, &[]);
    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url("alice"));
    let to = json!({"user": "alice"});
    let (local, remote) = (cluster.user_of(0, "off"), cluster.user_of(1, "off"));
    let cases = [
        (
            json!({"type":"send","to":{"user":local},"qos":0,"body":1}),
            "offline",
        ),
        (
            json!({"type":"send","to":{"user":remote},"qos":0,"body":1}),
            "offline",
        ),
        (
            json!({"type":"send","to":to,"qos":0,"notify":true,"body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":"everyone","body":1}),
            "not_allowed",
        ),
        (
            json!({"type":"send","to":"everyone","qos":1,"body":1}),
            "bad_request",
        ),
        (json!({"type":"join","room":""}), "bad_request"),
        (json!({"type":"leave"}), "bad_request"),
        (json!({"type":"auth","token":"x"}), "unsupported"),
        (json!({"type":"send","qos":0,"body":1}), "bad_request"),
        (json!({"type":"send","to":to,"qos":0}), "bad_request"),
        (
            json!({"type":"send","to":to,"qos":2,"body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":to,"qos":"0","body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":{"user":""},"qos":0,"body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":{"user":"a\n"},"qos":0,"body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":{"user":7},"qos":0,"body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":"somebody","qos":0,"body":1}),
            "bad_request",
        ),
        (json!({"type":"presence"}), "bad_request"),
        (json!({"type":"presence","users":["a",1]}), "bad_request"),
    ];
    for (number, (mut request, code)) in cases.into_iter().enumerate() {
        let id = format!("r{number}");
        request["id"] = json!(id);
        client.send_json(&request);
        let reply = client.reply_to(&id, RECEIPT);
        assert_eq!(outcome(&reply), code, "{request}: {reply}");
        let retry = code == "offline";
        assert_eq!(reply["error"]["retry"], retry, "{request}: {reply}");
        client.assert_quiet_and_alive();
    }
    let (unnamed, long) = (
        json!({"type":"send","to":to,"qos":0,"body":1}),
        "i".repeat(65),
    );
    for id in [json!(null), json!(7), json!(""), json!(long)] {
        let mut request = unnamed.clone();
        request["id"] = id;
        client.send_json(&request);
        let error = client.expect("error");
        assert_eq!(error["code"], "bad_request", "{request}: {error}");
        assert_eq!(error["retry"], false, "{request}: {error}");
        assert!(error["message"].is_string(), "{request}: {error}");
    }
    let ack = |offset| json!({"type":"ack","stream":"inbox","epoch":"0","offset":offset});
    client.send_json(&ack(json!("1")));
    assert_eq!(client.expect("error")["code"], "bad_request");
    client.send_json(&ack(json!(1)));
    client.assert_quiet_and_alive();
    let mut request = unnamed;
    request["id"] = json!("i".repeat(64));
    request["colour"] = json!("unknown fields are ignored");
    client.send_json(&request);
    client.expect("message");
    assert_eq!(outcome(&client.expect("receipt")), "sent");
}

#[test]
fn an_unknown_type_gets_an_error_and_the_connection_stays_open() {
    let cluster = Cluster::of(1, &[]);
    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url("alice"));
    for _ in 0..20 {
        client.send_text(r#"{"type":"dance"}"#);
        let error = client.expect("error");
        assert!(
            error["code"].is_string() && error["message"].is_string(),
            "{error}"
        );
        client.send_text(r#"{"type":"dance","id":"d1"}"#);
        let reply = client.recv_json(PATIENCE);
        assert_eq!(reply["id"], "d1", "{reply}");
    }
    client.assert_quiet_and_alive();
}

#[test]
fn ping_is_answered_with_pong() {
    let cluster = Cluster::of(1, &[]);
    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url("alice"));
    client.send_text(r#"{"type":"ping","id":"x"}"#);
    assert_eq!(
        client.text(PATIENCE).as_deref(),
        Some(r#"{"type":"pong","id":"x"}"#)
    );
    client.send_text(r#" { "type" : "ping" } "#);
    assert_eq!(client.text(PATIENCE).as_deref(), Some(r#"{"type":"pong"}"#));
    client.send_frame(true, PING, b"protocol");
    assert_eq!(
        client.event(PATIENCE),
        Some(Event::Pong(b"protocol".to_vec()))
    );
}

#[test]
fn ten_messages_in_a_row_that_are_not_the_protocols_close_with_4500() {
    let cluster = Cluster::of(1, &[]);
    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url("alice"));
    let wrong = [
        (TEXT, "not JSON"),
        (TEXT, "[1]"),
        (TEXT, "{\"type\":"),
        (BINARY, "{}"),
    ];
    let mut wrong = wrong.iter().cycle();
    // Nine, and a good one between, do not.
    for _ in 0..3 {
        for (opcode, payload) in wrong.by_ref().take(9) {
            client.send_frame(true, *opcode, payload.as_bytes());
            client.expect("error");
        }
        client.assert_quiet_and_alive();
    }
    for (opcode, payload) in wrong.take(10) {
        client.send_frame(true, *opcode, payload.as_bytes());
    }
    let (texts, code) = client.read_to_close(PATIENCE);
    assert_eq!(code, Some(4500), "{texts:?}");
    assert!((9..=10).contains(&texts.len()), "{texts:?}");
}

/// A `send` whose text is exactly this long.
fn send_of(bytes: usize, user: &str) -> String {
    let empty = send_text(user, "big", "\"\"").len();
    send_text(user, "big", &format!("\"{}\"", "x".repeat(bytes - empty)))
}

#[test]
fn a_message_of_the_limit_passes_and_one_byte_more_is_1009() {
    let cluster = Cluster::of(2, &[]);
    let (alice, bob) = (cluster.user_of(0, "alice"), cluster.user_of(1, "bob"));
    let (mut bobs, welcome) = Client::welcomed(&cluster.nodes[1].url(&bob));
    let limit = welcome["max_message_bytes"].as_u64().expect("a number");
    let limit = usize::try_from(limit).expect("it fits");
    let (passes, fails) = (send_of(limit, &bob), send_of(limit + 1, &bob));
    for pieces in [1, 3] {
        let mut alices = Client::welcomed(&cluster.nodes[0].url(&alice)).0;
        send_in_pieces(&mut alices, &passes, pieces);
        assert_eq!(outcome(&alices.expect("receipt")), "sent");
        let message = bobs.expect("message");
        assert!(
            message["body"]
                .as_str()
                .is_some_and(|b| b.len() > limit - 200)
        );
        send_in_pieces(&mut alices, &fails, pieces);
        let (texts, code) = alices.read_to_close(PATIENCE);
        assert_eq!((texts.len(), code), (0, Some(1009)), "{texts:?}");
    }
    bobs.assert_quiet_and_alive();
}

fn send_in_pieces(client: &mut Client, text: &str, count: usize) {
    let pieces: Vec<_> = text.as_bytes().chunks(text.len().div_ceil(count)).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let opcode = if index == 0 { TEXT } else { CONTINUATION };
        // The server may have heard enough.
        let _ = client.try_send_frame(index + 1 == pieces.len(), opcode, piece);
    }
}

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

#[test]
fn sessions_whose_owner_changed_are_told_to_move_and_lose_nothing_meanwhile() {
    let mut cluster = Cluster::of(2, &["--rebalance-rate", "100"]);
    let users: Vec<_> = (0..30).map(|n| format!("user{n}")).collect();
    let mut clients: Vec<_> = users
        .iter()
        .map(|user| Client::welcomed(&cluster.nodes[0].url(user)).0)
        .collect();
    let staying = &users[0];
    let mut guest = kept_at(&cluster, 1 - cluster.owner(staying), staying);
    let mut alices = kept_at(&cluster, 0, "alice");
    let third = cluster.add();
    cluster.nodes[third].seeds = cluster.seeds();
    cluster.nodes[third].start();
    cluster.wait_agreed(PATIENCE);
    for (number, user) in users.iter().enumerate() {
        let id = format!("m{number}");
        wait_until(PATIENCE, "the session is known", || {
            alices.deliver(user, &id, "1") == "sent"
        });
    }
    let mut moved = 0;
    for (user, client) in users.iter().zip(&mut clients) {
        let owner = cluster.owner(user);
        let message = client.find(PATIENCE, |m| m["type"] == "message");
        assert!(message.is_some(), "{user} got nothing");
        if owner != third {
            client.assert_quiet_and_alive();
            continue;
        }
        moved += 1;
        let redirect = client.find(PATIENCE, |m| m["type"] == "redirect");
        let redirect = redirect.unwrap_or_else(|| panic!("{user} is not told to move"));
        assert_eq!(redirect["reason"], "moved", "{redirect}");
        assert!(redirect["after_ms"].is_u64(), "{redirect}");
        client.assert_quiet_and_alive();
        let url = redirect["url"].as_str().expect("a URL");
        let mut next = Client::connect(url).expect("the new owner takes it");
        assert_eq!(
            next.expect("welcome")["node"],
            cluster.nodes[third].id.as_str()
        );
        assert_eq!(alices.deliver(user, "both", "2"), "sent");
        next.expect("message");
        client.expect("message");
    }
    println!("{moved} of {} users moved", users.len());
    assert!((2..=20).contains(&moved), "{moved} users moved");
    guest.expect("message");
    while let Some(text) = guest.text(Duration::from_millis(500)) {
        assert!(!text.contains("redirect"), "a never-guest is told {text}");
    }
}

#[test]
fn a_drain_sends_clients_away_and_closes_those_that_stay() {
    // At such a pace those that stay are served for ten seconds.
    let flags = ["--drain-timeout", "12s", "--rebalance-rate", "2"];
    let mut cluster = Cluster::of(3, &flags);
    let users = cluster.users_of(0, "u", 10);
    let mut clients: Vec<_> = users
        .iter()
        .map(|user| Client::welcomed(&cluster.nodes[0].url(user)).0)
        .collect();
    let other = cluster.user_of(1, "guest");
    let mut guest = kept_at(&cluster, 0, &other);
    let mut alices = kept_at(&cluster, 2, "alice");
    cluster.nodes[0].signal(Signal::Terminate);
    let asked = Instant::now();
    for (user, client) in users.iter().zip(&mut clients) {
        let redirect = client.find(Duration::from_secs(12), |m| m["type"] == "redirect");
        let redirect = redirect.unwrap_or_else(|| panic!("{user} is not told to leave"));
        assert_eq!(redirect["reason"], "drain", "{redirect}");
        assert!(redirect["after_ms"].is_u64(), "{redirect}");
        let url = redirect["url"].as_str().expect("a URL");
        let away = cluster.nodes[1..]
            .iter()
            .any(|n| url.contains(&n.listen.to_string()));
        assert!(away, "{redirect}");
        assert!(
            asked.elapsed() < Duration::from_secs(12),
            "{:?}",
            asked.elapsed()
        );
    }
    // The first leaves; the others stay, and are served until the end.
    clients.remove(0).close();
    wait_until(PATIENCE, "the last user is still served", || {
        alices.deliver(&users[9], "late", "1") == "sent"
    });
    clients[8].expect("message");
    for client in &mut clients {
        let (_, code) = client.read_to_close(2 * PATIENCE);
        assert_eq!(code, Some(4307));
    }
    assert_eq!(guest.read_to_close(2 * PATIENCE).1, Some(1012));
    let status = cluster.nodes[0].wait_exit(Duration::from_secs(12));
    println!("the drain took {:?}", asked.elapsed());
    assert_eq!(status.code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(24),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn a_drain_ends_early_when_all_clients_have_left() {
    let mut cluster = Cluster::of(2, &["--drain-timeout", "30s"]);
    let user = cluster.user_of(0, "u");
    let url = cluster.nodes[0].url(&user) + "&colour=red&epoch=0&offset=0";
    let (mut client, _) = Client::welcomed(&url);
    cluster.nodes[0].signal(Signal::Terminate);
    let redirect = client.expect("redirect");
    let url = redirect["url"].as_str().expect("a URL");
    // The rest of the query comes along; the position is the client's to give, it has moved on.
    assert!(url.contains("&colour=red&"), "{url}");
    assert!(!url.contains("epoch") && !url.contains("offset"), "{url}");
    let mut next = Handshake::to(url)
        .connect()
        .expect("the other node takes it");
    assert_eq!(next.expect("welcome")["node"], "n2");
    client.close();
    let status = cluster.nodes[0].wait_exit(promised(Duration::from_secs(5)));
    assert_eq!(status.code(), Some(0));
    next.assert_quiet_and_alive();
}
