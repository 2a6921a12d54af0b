//! Users who prove who they are: tokens in all places, tickets, expiry, keys that change.

#[path = "../support/mod.rs"]
mod support;

mod issuer;
mod libraries;
mod program;

use std::process::Command;
use std::time::Duration;

use issuer::{Issuer, KeyFile};
use serde_json::json;
use support::Cluster;
use support::client::{Client, Handshake};
use support::http;
use support::node::{BINARY, Node, Signal};
use support::wait::{PATIENCE, wait_until};

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn url(node: &Node, query: &str) -> String {
    format!("ws://{}/ws?{query}", node.listen)
}

fn with_header(url: &str, token: &str) -> Handshake {
    Handshake::to(url).header("Authorization", &bearer(token))
}

/// A cluster that takes tokens of this issuer, without leeway.
fn cluster(count: usize, keys: &KeyFile, args: &[&str]) -> Cluster {
    let ours = ["--jwt-keys", keys.name(), "--jwt-leeway", "0s"];
    Cluster::of(count, &[&ours, args].concat())
}

/// A user that node owns, found through what any node says of it.
fn user_of(cluster: &Cluster, issuer: &Issuer, node: usize) -> String {
    let wanted = &cluster.nodes[node].id;
    let user = |number: usize| format!("user{number}");
    let located = |at: &Node, user: &str| {
        let header = bearer(&issuer.token(user, 60));
        let headers = [("Authorization", &*header)];
        let answer = http::get_with(at.listen, "/locate", &headers);
        answer.expect("an answer")
    };
    // The keys of tickets come over the links, a moment after they are up.
    wait_until(PATIENCE, "every node has the keys of the others", || {
        let is_sent = |at: &Node, number| located(at, &user(number)).status == 200;
        let mut nodes = cluster.nodes.iter();
        nodes.all(|at| (0..30).all(|number| is_sent(at, number)))
    });
    (0..10_000)
        .map(user)
        .find(|user| located(&cluster.nodes[0], user).json()["node"] == wanted.as_str())
        .expect("every node owns somebody")
}

#[test]
fn a_token_in_any_of_the_three_places_lets_its_user_in() {
    let issuer = Issuer::new("k");
    let keys = KeyFile::of(&[&issuer]);
    let cluster = cluster(1, &keys, &[]);
    let node = &cluster.nodes[0];
    let token = issuer.token("alice", 60);
    let offered = format!("ringpost.bearer.{token}, ringpost.v1.json");
    for handshake in [
        with_header(&url(node, "x=1"), &token),
        Handshake::to(&url(node, "")).header("Sec-WebSocket-Protocol", &offered),
        Handshake::to(&url(node, &format!("user=alice&token={token}"))),
    ] {
        let mut client = handshake.connect().expect("it is let in");
        assert_eq!(client.expect("welcome")["user"], "alice");
    }
    let mut request = Handshake::to(&url(node, "")).header("Sec-WebSocket-Protocol", &offered);
    request = request.header("Authorization", &bearer(&issuer.token("bob", 60)));
    let mut client = request.connect().expect("it is let in");
    let user = client.expect("welcome");
    assert_eq!(
        user["user"], "bob",
        "the header counts before the subprotocol"
    );
}

#[test]
fn who_cannot_prove_it_is_refused_with_a_status_or_a_close() {
    let issuer = Issuer::new("k");
    let keys = KeyFile::of(&[&issuer]);
    let cluster = cluster(1, &keys, &["--jwt-audience", "chat"]);
    let node = &cluster.nodes[0];
    let far = issuer::now() + 60;
    let good = issuer.sign(&json!({"sub": "alice", "aud": "chat", "exp": far}));
    assert!(with_header(&url(node, ""), &good).connect().is_ok());
    let stranger = Issuer::new("k");
    let bad = [
        ("", "no token"),
        ("x.y.z", "not a token"),
        (
            &stranger.sign(&json!({"sub": "alice", "aud": "chat"})),
            "signature",
        ),
        (
            &issuer.sign(&json!({"sub": "alice", "aud": "chat", "exp": far - 61})),
            "expired",
        ),
        (&issuer.sign(&json!({"sub": "alice"})), "aud"),
        (&issuer.sign(&json!({"aud": "chat"})), "sub"),
    ];
    for (token, word) in bad {
        let query = format!("token={token}");
        let query = if token.is_empty() {
            "user=alice"
        } else {
            &query
        };
        for target in ["/ws", "/locate"] {
            let refused = if target == "/ws" {
                Handshake::to(&url(node, query)).connect().err().unwrap()
            } else {
                node.get(&format!("{target}?{query}"))
            };
            assert_eq!(refused.status, 401, "{word}: {refused:?}");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
            assert_eq!(refused.header("cache-control"), Some("no-store"));
            assert!(refused.text().contains(word), "{refused:?}");
            let shown = format!("{refused:?}");
            assert!(token.is_empty() || !shown.contains(token), "{shown}");
        }
        let framed = url(node, &format!("{query}&redirect=frame"));
        let mut client = Client::connect(&framed).unwrap_or_else(|r| panic!("{r:?}"));
        let (texts, code) = client.read_to_close(PATIENCE);
        assert_eq!(code, Some(4501), "{word}");
        assert!(texts[0].contains(r#""type":"error","code":"not_allowed""#));
    }
    let other = with_header(&url(node, "user=bob"), &good).connect();
    assert_eq!(other.err().unwrap().status, 403);
    let framed = url(node, "user=bob&redirect=frame");
    let mut client = with_header(&framed, &good).connect().unwrap();
    assert_eq!(client.read_to_close(PATIENCE).1, Some(4503));
    // Each kind three times, two more for the other user.
    assert_eq!(node.metric("ringpost_unauthorized_total"), 3 * 6 + 2);
}

#[test]
fn a_redirect_carries_a_ticket_that_is_good_once_at_its_node_for_its_user() {
    let issuer = Issuer::new("k");
    let keys = KeyFile::of(&[&issuer]);
    let cluster = cluster(3, &keys, &[]);
    let (start, owner, third) = (&cluster.nodes[0], &cluster.nodes[1], &cluster.nodes[2]);
    let user = user_of(&cluster, &issuer, 1);
    let token = issuer.token(&user, 60);
    let redirected = || {
        let asked = url(start, &format!("a=b&token={token}"));
        let response = Handshake::to(&asked).connect().expect_err("a 307");
        assert_eq!(response.status, 307, "{response:?}");
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let location = response.header("location").expect("a place").to_owned();
        let shown = format!("{location}{}", response.text());
        assert!(
            !shown.contains(&token) && !shown.contains("token="),
            "{shown}"
        );
        format!("ws:{location}")
    };
    let to = redirected();
    assert!(to.starts_with(&format!("ws://{}/ws?a=b&hop=1&ticket=", owner.listen)));
    let mut client = Client::connect(&to).expect("the ticket is good");
    assert_eq!(client.expect("welcome")["user"], user.as_str());
    let again = Client::connect(&to).expect_err("it is spent");
    assert_eq!(again.status, 401, "{again:?}");
    let elsewhere = redirected().replace(&owner.listen.to_string(), &third.listen.to_string());
    assert_eq!(Client::connect(&elsewhere).err().unwrap().status, 401);
    let another_user = format!("{}&user=mallory", redirected());
    assert_eq!(Client::connect(&another_user).err().unwrap().status, 403);
    let mut forged = redirected();
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    forged.push(last);
    assert_eq!(Client::connect(&forged).err().unwrap().status, 401);
    // A token still works, and counts less than a ticket.
    let both = with_header(&to, &token).connect();
    assert_eq!(both.err().unwrap().status, 401);
    assert!(with_header(&url(owner, ""), &token).connect().is_ok());
}

#[test]
fn a_node_that_cannot_serve_spends_no_ticket() {
    let issuer = Issuer::new("k");
    let keys = KeyFile::of(&[&issuer]);
    let mut cluster = cluster(2, &keys, &[]);
    let user = user_of(&cluster, &issuer, 1);
    let token = issuer.token(&user, 60);
    let asked = url(&cluster.nodes[0], &format!("token={token}"));
    let redirect = Handshake::to(&asked).connect().expect_err("a 307");
    let to = format!("ws:{}", redirect.header("location").expect("a place"));
    // Somebody who does not go holds up its end.
    let stays = url(&cluster.nodes[1], "redirect=never");
    let mut stays = with_header(&stays, &token).connect().expect("101");
    stays.expect("welcome");
    cluster.nodes[1].signal(support::Signal::Terminate);
    wait_until(PATIENCE, "it drains", || {
        cluster.nodes[1].get_admin("/readyz").status == 503
    });
    for _ in 0..2 {
        let refusal = Client::connect(&to).expect_err("it does not serve");
        assert_eq!(refusal.status, 503, "{refusal:?}");
    }
}

#[test]
fn a_page_gets_a_ticket_from_locate_or_from_the_redirect_message() {
    let issuer = Issuer::new("k");
    let keys = KeyFile::of(&[&issuer]);
    let cluster = cluster(2, &keys, &[]);
    let (start, owner) = (&cluster.nodes[0], &cluster.nodes[1]);
    for (node, at) in [(start, 0), (owner, 1)] {
        let user = user_of(&cluster, &issuer, at);
        let header = bearer(&issuer.token(&user, 60));
        let answer = http::get_with(start.listen, "/locate", &[("Authorization", &header)]);
        let answer = answer.expect("an answer").json();
        assert_eq!(answer["node"], node.id.as_str());
        let to = answer["url"].as_str().expect("a URL");
        assert!(Client::connect(to).is_ok(), "{to}");
        assert_eq!(Client::connect(to).err().unwrap().status, 401);
    }
    let user = user_of(&cluster, &issuer, 1);
    let offered = format!("ringpost.bearer.{}", issuer.token(&user, 60));
    let mut page = Handshake::to(&url(start, "redirect=frame"))
        .header("Sec-WebSocket-Protocol", &offered)
        .connect()
        .expect("101");
    let redirect = page.expect("redirect");
    let to = redirect["url"].as_str().expect("a URL");
    assert!(to.contains("&ticket="), "{to}");
    assert_eq!(page.read_to_close(PATIENCE).1, Some(4307));
    let (_client, welcome) = Client::welcomed(to);
    assert_eq!(welcome["user"], user.as_str());
}

#[test]
fn a_client_that_is_told_to_move_gets_a_ticket() {
    let issuer = Issuer::new("k");
    let keys = KeyFile::of(&[&issuer]);
    let mut cluster = cluster(2, &keys, &[]);
    let user = user_of(&cluster, &issuer, 1);
    let token = issuer.token(&user, 3600);
    let mut client = with_header(&url(&cluster.nodes[1], ""), &token)
        .connect()
        .expect("it is let in");
    client.expect("welcome");
    cluster.nodes[1].signal(Signal::Terminate);
    let redirect = client.expect("redirect");
    assert_eq!(redirect["reason"], "drain");
    let (_moved, welcome) = Client::welcomed(redirect["url"].as_str().expect("a URL"));
    assert_eq!(welcome["user"], user.as_str());
    assert_eq!(welcome["node"], "n1");
}

#[test]
fn a_token_that_expires_is_announced_and_then_ends_the_session() {
    let issuer = Issuer::new("k");
    let keys = KeyFile::of(&[&issuer]);
    let cluster = cluster(1, &keys, &["--token-warning", "1h"]);
    let node = &cluster.nodes[0];
    let mut client = with_header(&url(node, ""), &issuer.token("alice", 8))
        .connect()
        .expect("it is let in");
    client.expect("welcome");
    let warning = client.expect("token_expiring");
    let left = warning["in_ms"].as_u64().expect("a number");
    assert!((1..=8000).contains(&left), "{warning}");
    let (texts, code) = client.read_to_close(2 * PATIENCE);
    assert_eq!(code, Some(4501));
    assert_eq!(texts.len(), 1, "it is told once: {texts:?}");
    assert!(texts[0].contains("expired"), "{texts:?}");
    assert_eq!(node.metric("ringpost_tokens_expired_total"), 1);
}

#[test]
fn a_fresh_token_on_an_open_connection_keeps_it_open() {
    let issuer = Issuer::new("k");
    let keys = KeyFile::of(&[&issuer]);
    let cluster = cluster(1, &keys, &["--token-warning", "1h"]);
    let node = &cluster.nodes[0];
    let mut client = with_header(&url(node, ""), &issuer.token("alice", 8))
        .connect()
        .expect("it is let in");
    client.expect("welcome");
    client.expect("token_expiring");
    let ask = |client: &mut Client, id: &str, token: &str| {
        client.send_json(&json!({"type": "auth", "id": id, "token": token}));
        client.reply_to(id, PATIENCE)
    };
    let bad = [
        issuer.token("bob", 60),
        issuer.token("alice", -1),
        Issuer::new("k").token("alice", 60),
        "x".to_owned(),
    ];
    for (number, token) in bad.iter().enumerate() {
        let receipt = ask(&mut client, &format!("bad{number}"), token);
        assert_eq!(receipt["error"]["code"], "not_allowed", "{receipt}");
    }
    let receipt = ask(&mut client, "good", &issuer.token("alice", 16));
    assert_eq!(
        receipt,
        json!({"type": "receipt", "id": "good", "status": "accepted"})
    );
    // The new one is announced in its turn, when the first would have ended the session.
    let warning = client.expect("token_expiring");
    assert!(warning["in_ms"].as_u64() > Some(8000), "{warning}");
    let (_, code) = client.read_to_close(Duration::from_secs(30));
    assert_eq!(code, Some(4501));
}

#[test]
fn keys_are_read_again_when_they_change_and_kept_when_they_are_broken() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let keys = KeyFile::of(&[&old]);
    let cluster = cluster(1, &keys, &[]);
    let node = &cluster.nodes[0];
    let is_taken = |issuer: &Issuer| {
        with_header(&url(node, ""), &issuer.token("alice", 60))
            .connect()
            .is_ok()
    };
    assert!(is_taken(&old) && !is_taken(&new));
    keys.write(&[&old, &new]);
    wait_until(PATIENCE, "the new key is taken", || is_taken(&new));
    assert!(is_taken(&old));
    keys.write_text("{\"keys\":[]}");
    let errors = || node.metric("ringpost_key_reload_errors_total");
    wait_until(PATIENCE, "the broken file is counted", || errors() == 1);
    assert!(is_taken(&old) && is_taken(&new));
    keys.write(&[&new]);
    wait_until(PATIENCE, "the old key is refused", || !is_taken(&old));
    assert!(is_taken(&new));
    // They are taken before that is counted.
    wait_until(PATIENCE, "both changes are counted", || {
        node.metric("ringpost_key_reloads_total") == 2
    });
}

#[test]
fn the_command_sends_and_locates_with_a_token_from_the_environment() {
    let issuer = Issuer::new("k");
    let keys = KeyFile::of(&[&issuer]);
    let cluster = cluster(2, &keys, &[]);
    let user = user_of(&cluster, &issuer, 1);
    let token = issuer.token(&user, 3600);
    let node = cluster.nodes[0].listen.to_string();
    let run = |words: &[&str], token: Option<&str>| {
        let mut command = Command::new(BINARY);
        command.args(words).args(["--node", &node]);
        command.env_remove("RINGPOST_TOKEN");
        command.envs(token.map(|token| ("RINGPOST_TOKEN", token)));
        let output = command.output().expect("it starts");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (sent, text) = run(
        &["send", "--from", &user, "--to", "bob", "hi"],
        Some(&token),
    );
    assert!(
        sent && text.contains(r#""status":"accepted","copies":2"#),
        "{text}"
    );
    let (located, text) = run(&["locate", &user], Some(&token));
    assert!(located && text.contains("n2"), "{text}");
    let (sent, text) = run(&["send", "--from", &user, "--to", "bob", "hi"], None);
    assert!(!sent && text.contains("no token"), "{text}");
    let (_, help) = run(&["send", "--help"], Some(&token));
    assert!(!help.contains(&token), "{help}");
}

#[test]
fn a_node_that_believes_everybody_takes_no_tokens() {
    let cluster = Cluster::of(1, &[]);
    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url("alice"));
    client.send_json(&json!({"type": "auth", "id": "a", "token": "x"}));
    let receipt = client.reply_to("a", PATIENCE);
    assert_eq!(receipt["error"]["code"], "unsupported", "{receipt}");
}
