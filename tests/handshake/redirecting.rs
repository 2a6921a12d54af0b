//! Who comes to a node that does not own it is redirected, or served as a guest.

use std::time::Instant;

use serde_json::Value;

use crate::support::http::exchange;
use crate::support::{Client, Cluster, Event, Handshake, PATIENCE, Response};
use crate::{assert_is_owners_url, stranger, upgrade};

/// Checks a 307 and returns where it leads.
#[track_caller]
fn check_redirect(refusal: &Response, cluster: &Cluster, user: &str, owner: usize) -> String {
    assert_eq!(refusal.status, 307, "{refusal:?}");
    let cache = refusal.header("cache-control").unwrap_or_default();
    assert!(cache.contains("no-store"), "{refusal:?}");
    let body = refusal.json();
    let owner = &cluster.nodes[owner];
    assert_eq!(body["node"], owner.id.as_str());
    let url = body["url"].as_str().expect("a URL");
    let location = refusal.header("location").expect("a Location");
    assert_eq!(url, format!("ws:{location}"));
    assert_is_owners_url(url, owner.listen, user);
    location.to_owned()
}

#[test]
fn a_thousand_users_reach_their_owner_through_every_node() {
    // It takes long, and nobody is to be taken for dead meanwhile.
    let cluster = Cluster::of(3, &["--suspicion-timeout", "30s"]);
    let mut per_node = [0; 3];
    for number in 0..1_000 {
        let user = format!("user-{number}");
        let owner = cluster.owner(&user);
        per_node[owner] += 1;
        for (index, node) in cluster.nodes.iter().enumerate() {
            let first = Client::connect(&format!("{}&redirect=http", node.url(&user)));
            let mut client = match first {
                Ok(client) => {
                    assert_eq!(index, owner, "{user} is welcome where it does not belong");
                    client
                }
                Err(refusal) => {
                    assert_ne!(index, owner, "{user} is not welcome at its owner");
                    let location = check_redirect(&refusal, &cluster, &user, owner);
                    Client::connect(&location).expect("the owner takes it")
                }
            };
            let welcome = client.expect("welcome");
            assert_eq!(welcome["node"], cluster.nodes[owner].id.as_str());
            assert_eq!(welcome["user"], user.as_str());
        }
    }
    println!("users per node: {per_node:?}");
    assert!(per_node.iter().all(|&users| users > 200), "{per_node:?}");
}

#[test]
fn a_redirect_keeps_the_query_and_comes_from_nothing_the_client_says() {
    let cluster = Cluster::of(3, &[]);
    let (at, owner, user) = stranger(&cluster);
    let own = "&colour=red&epoch=0&offset=0";
    let url = format!("{}{own}&redirect=http", cluster.nodes[at].url(&user));
    let refusal = Client::connect(&url).expect_err("it is redirected");
    let location = check_redirect(&refusal, &cluster, &user, owner);
    assert!(location.contains(own), "{location}");

    for header in [
        ("Host", "evil.example"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("Forwarded", "host=evil.example;proto=https"),
    ] {
        let handshake = Handshake::to(&url).header(header.0, header.1);
        let refusal = handshake.connect().expect_err("it is redirected");
        check_redirect(&refusal, &cluster, &user, owner);
    }
    let target = format!("GET http://evil.example/ws?user={user}");
    let request = upgrade(&cluster, at).replace("GET /ws?user=alice&hop=1", &target);
    if let Ok(response) = exchange(cluster.nodes[at].listen, request.as_bytes()) {
        let refused = (400..500).contains(&response.status);
        assert!(!response.text().contains("evil"), "{response:?}");
        if !refused {
            check_redirect(&response, &cluster, &user, owner);
        }
    }
}

#[test]
fn a_browser_is_redirected_by_a_message_and_one_close() {
    let cluster = Cluster::of(3, &[]);
    let (at, owner, user) = stranger(&cluster);
    let plain = cluster.nodes[at].url(&user);
    let origin = format!("http://{}:8000", cluster.ip);
    let asked = format!("{plain}&redirect=frame");
    for handshake in [
        Handshake::to(&asked),
        Handshake::to(&plain).header("Origin", &origin),
        Handshake::to(&plain).header("Sec-Fetch-Mode", "websocket"),
    ] {
        let mut client = handshake.connect().expect("101 in this mode");
        let (texts, code) = client.read_to_close(PATIENCE);
        assert_eq!(code, Some(4307));
        let [redirect] = texts.as_slice() else {
            panic!("exactly one message: {texts:?}");
        };
        let start = r#"{"type":"redirect","url":"ws://"#;
        assert!(redirect.starts_with(start), "{redirect}");
        let redirect: Value = serde_json::from_str(redirect).expect("it is JSON");
        assert_eq!(redirect["reason"], "not_owner");
        let url = redirect["url"].as_str().expect("a URL");
        assert_is_owners_url(url, cluster.nodes[owner].listen, &user);
        let mut next = Client::connect(url).expect("the owner takes it");
        assert_eq!(next.expect("welcome")["user"], user.as_str());
    }
    // What is asked for beats who asks.
    let http = Handshake::to(&format!("{plain}&redirect=http")).header("Origin", &origin);
    let refusal = http.connect().expect_err("it is redirected");
    check_redirect(&refusal, &cluster, &user, owner);
    // And at the owner there is nothing to redirect.
    let at_owner = format!("{}&redirect=frame", cluster.nodes[owner].url(&user));
    let mut client = Client::connect(&at_owner).expect("101");
    client.expect("welcome");
}

#[test]
fn a_redirected_browser_that_does_not_answer_the_close_is_cut_off_after_two_seconds() {
    let cluster = Cluster::of(2, &[]);
    let (at, _, user) = stranger(&cluster);
    let url = format!("{}&redirect=frame", cluster.nodes[at].url(&user));
    let mut client = Client::connect(&url).expect("101 in this mode");
    client.expect("redirect");
    let closed = Instant::now();
    assert!(matches!(
        client.event(PATIENCE),
        Some(Event::Close(Some(4307), _))
    ));
    let end = client.event(PATIENCE);
    assert!(matches!(end, Some(Event::End(_))), "{end:?}");
    println!(
        "the connection ended {:?} after its Close",
        closed.elapsed()
    );
}

#[test]
fn a_client_that_may_not_be_redirected_is_served_as_a_guest() {
    let cluster = Cluster::of(3, &[]);
    let (at, _, user) = stranger(&cluster);
    for query in [
        "&redirect=never",
        "&hop=1",
        "&hop=1&redirect=http",
        "&hop=1&redirect=frame",
    ] {
        let url = format!("{}{query}", cluster.nodes[at].url(&user));
        let mut client = Client::connect(&url).expect("101");
        let welcome = client.expect("welcome");
        assert_eq!(welcome["node"], cluster.nodes[at].id.as_str(), "{query}");
        assert_eq!(welcome["user"], user.as_str());
        client.send_text(r#"{"type":"ping","id":"alive?"}"#);
        let mut answer = client.recv_json(PATIENCE);
        // After two seconds it is told to go, if it may be.
        if answer["type"] == "redirect" && !query.contains("never") {
            answer = client.recv_json(PATIENCE);
        }
        assert_eq!(answer["type"], "pong", "{query}: {answer}");
        client.close();
    }
}

/// Whoever sent it there did not know better, and nothing changes any more that would make anybody move.
#[test]
fn a_guest_that_stays_one_is_told_to_go_to_its_owner_unless_it_may_not_be() {
    let cluster = Cluster::of(3, &[]);
    let (at, owner, user) = stranger(&cluster);
    let [mut stays, mut goes] = ["&redirect=never", "&hop=1"].map(|query| {
        let url = format!("{}{query}", cluster.nodes[at].url(&user));
        let mut client = Client::connect(&url).expect("101");
        client.expect("welcome");
        client
    });
    let redirect = goes.expect("redirect");
    assert_eq!(redirect["reason"], "moved");
    let url = redirect["url"].as_str().expect("a URL");
    assert!(
        url.starts_with(&format!("ws://{}/ws?", cluster.nodes[owner].listen)),
        "{url}"
    );
    goes.assert_quiet_and_alive();
    stays.assert_quiet_and_alive();
}
