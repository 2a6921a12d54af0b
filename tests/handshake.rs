//! How a client gets in: welcomed by the owner, redirected in one of three ways, or refused with a
//! status, and what `/locate` says.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::client::KEY;
use support::http::{exchange, get_with};
use support::{Client, Cluster, Event, Handshake, PATIENCE, Response};

/// A node that does not own the user, and one user of another node.
fn stranger(cluster: &Cluster) -> (usize, usize, String) {
    let user = cluster.user_of(1, "u");
    (0, 1, user)
}

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

#[track_caller]
fn assert_is_owners_url(url: &str, owner: SocketAddr, user: &str) {
    let query = url.strip_prefix(&format!("ws://{owner}/ws?"));
    let query = query.unwrap_or_else(|| panic!("{url} does not lead to {owner}"));
    let parameters: Vec<_> = query.split('&').collect();
    assert!(parameters.contains(&"hop=1"), "{url}");
    let user = format!("user={user}");
    assert!(parameters.contains(&user.as_str()), "{url}");
    assert!(!query.contains("redirect="), "{url}");
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

/// A good handshake for alice, as text to be spoiled.
fn upgrade(cluster: &Cluster, at: usize) -> String {
    format!(
        "GET /ws?user=alice&hop=1 HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
        cluster.nodes[at].listen
    )
}

/// Sends it and asserts one of these statuses.
#[track_caller]
fn refused(cluster: &Cluster, name: &str, request: &str, statuses: &[u16]) -> Response {
    let response = exchange(cluster.nodes[0].listen, request.as_bytes())
        .unwrap_or_else(|e| panic!("{name}: a bare disconnect ({e})"));
    assert!(statuses.contains(&response.status), "{name}: {response:?}");
    response
}

/// What is sent under which name, and the statuses that may answer it.
type BadCase = (&'static str, String, &'static [u16]);

/// Spoiled handshakes, each with a name and the statuses that say so: header fields.
fn bad_heads(good: &str, host: &str) -> Vec<BadCase> {
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let with = |more: &str| good.replace("\r\n\r\n", &format!("\r\n{more}\r\n\r\n"));
    vec![
        ("no Host", good.replace(host, ""), &[400]),
        ("two Hosts", good.replace(host, &host.repeat(2)), &[400]),
        ("no key", good.replace(&key, ""), &[400]),
        ("two keys", good.replace(&key, &key.repeat(2)), &[400]),
        ("a short key", good.replace(KEY, "c2hvcnQ="), &[400]),
        (
            "a key that is not base64",
            good.replace(KEY, "dGhlIHNhbXBsZSBub25j!!=="),
            &[400],
        ),
        (
            "a key without padding",
            good.replace(KEY, &KEY[..22]),
            &[400],
        ),
        ("a body", with("Content-Length: 5") + "hello", &[400]),
        (
            "chunks",
            with("Transfer-Encoding: chunked") + "0\r\n\r\n",
            &[400],
        ),
        (
            "both",
            with("Content-Length: 3\r\nTransfer-Encoding: chunked") + "0\r\n\r\n",
            &[400],
        ),
    ]
}

/// The same for all else.
fn bad_requests(good: &str) -> Vec<BadCase> {
    let with = |more: &str| good.replace("\r\n\r\n", &format!("\r\n{more}\r\n\r\n"));
    vec![
        ("POST", good.replacen("GET", "POST", 1), &[405]),
        ("PUT", good.replacen("GET", "PUT", 1), &[405]),
        (
            "HTTP/1.0",
            good.replacen("HTTP/1.1", "HTTP/1.0", 1),
            &[400, 426, 505],
        ),
        (
            "version 12",
            good.replace("Version: 13", "Version: 12"),
            &[426],
        ),
        (
            "no version",
            good.replace("Sec-WebSocket-Version: 13\r\n", ""),
            &[400, 426],
        ),
        (
            "no Upgrade",
            good.replace("Upgrade: websocket\r\n", ""),
            &[426],
        ),
        (
            "another Upgrade",
            good.replace("Upgrade: websocket", "Upgrade: h2c"),
            &[426],
        ),
        (
            "no Connection",
            good.replace("Connection: Upgrade", "Connection: close"),
            &[400, 426],
        ),
        ("another path", good.replace("/ws?", "/nothing?"), &[404]),
        ("a path below", good.replace("/ws?", "/ws/x?"), &[404]),
        ("no HTTP", "\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), &[400]),
        (
            "a long header",
            with(&format!("X-Long: {}", "x".repeat(40_000))),
            &[431],
        ),
        (
            "many headers",
            with(&vec!["X-Many: x"; 200].join("\r\n")),
            &[431],
        ),
        (
            "a long target",
            good.replace("alice", &"a".repeat(40_000)),
            &[400, 414, 431],
        ),
    ]
}

#[test]
fn a_bad_handshake_gets_a_status_and_never_a_bare_disconnect() {
    let cluster = Cluster::of(1, &[]);
    let good = upgrade(&cluster, 0);
    refused(&cluster, "a good one", &good, &[101]);
    let host = format!("Host: {}\r\n", cluster.nodes[0].listen);
    let cases = [bad_heads(&good, &host), bad_requests(&good)].concat();
    for (name, request, statuses) in cases {
        let response = refused(&cluster, name, &request, statuses);
        if response.status == 426 {
            assert_eq!(
                response.header("sec-websocket-version"),
                Some("13"),
                "{name}"
            );
        }
        if response.status == 405 {
            assert!(
                response.header("allow").is_some_and(|a| a.contains("GET")),
                "{name}"
            );
        }
    }
    refused(&cluster, "still serving", &good, &[101]);
}

#[test]
fn a_bad_query_is_400() {
    let cluster = Cluster::of(1, &[]);
    let long = format!("user={}", "a".repeat(257));
    let nobody = upgrade(&cluster, 0).replace("user=alice&hop=1", "");
    refused(&cluster, "no user", &nobody, &[401]);
    for query in [
        "user=",
        "user=a&user=b",
        "user=a&us%65r=a",
        "user=%ff",
        "user=a%0ab",
        &long,
        "user=a&epoch=0",
        "user=a&offset=0",
        "user=a&epoch=0&offset=9007199254740992",
        "user=a&epoch=a.b&offset=0",
        "user=a&redirect=sideways",
        "user=a&redirect=http&redirect=http",
        "user=a&hop=1&hop=1",
    ] {
        let request = upgrade(&cluster, 0).replace("user=alice&hop=1", query);
        refused(&cluster, query, &request, &[400]);
        if !query.contains("redirect") && !query.contains("hop") {
            let response = cluster.nodes[0].get(&format!("/locate?{query}"));
            assert_eq!(response.status, 400, "/locate?{query}");
        }
    }
    for (query, user) in [
        ("user=a+b", "a b"),
        ("user=Zo%C3%AB%20%2B1", "Zoë +1"),
        ("us%65r=alice", "alice"),
        ("colour=red&user=alice&colour=blue", "alice"),
        ("user=%F0%9F%A6%80&", "🦀"),
        (&long[..5 + 256], &long[5..5 + 256]),
    ] {
        let url = format!("ws://{}/ws?{query}", cluster.nodes[0].listen);
        let mut client = Client::connect(&url).expect("101");
        assert_eq!(client.expect("welcome")["user"], user, "{query}");
    }
}

#[test]
fn an_encoded_user_means_the_same_user_on_every_node() {
    let cluster = Cluster::of(3, &[]);
    for (query_user, user) in [("a+b%2Bc%26d", "a b+c&d"), ("Zo%c3%ab", "Zoë")] {
        let owner = cluster.owner(query_user);
        for node in &cluster.nodes {
            let (_, welcome) = Client::welcomed(&node.url(query_user));
            assert_eq!(welcome["user"], user);
            assert_eq!(welcome["node"], cluster.nodes[owner].id.as_str());
        }
    }
}

#[test]
fn only_our_subprotocols_are_named_in_the_answer() {
    let cluster = Cluster::of(1, &[]);
    let ours = "ringpost.v1.json";
    for (offered, named) in [
        (None, None),
        (Some("ringpost.v1.json"), Some(ours)),
        (Some("chat, ringpost.v1.json"), Some(ours)),
        (Some("ringpost.v1.json, ringpost.bearer.abc"), Some(ours)),
        (Some("ringpost.bearer.abc, ringpost.v1.json"), Some(ours)),
        (Some("chat"), None),
        (Some("ringpost.bearer.abc"), None),
    ] {
        let mut handshake = Handshake::to(&cluster.nodes[0].url("alice"));
        if let Some(offered) = offered {
            handshake = handshake.header("Sec-WebSocket-Protocol", offered);
        }
        let mut client = handshake.connect().expect("101");
        assert_eq!(
            client.head.header("sec-websocket-protocol"),
            named,
            "{offered:?}"
        );
        client.expect("welcome");
    }
    let mut client = Handshake::to(&cluster.nodes[0].url("alice"))
        .header("Sec-WebSocket-Extensions", "permessage-deflate")
        .connect()
        .expect("101, and no extension named");
    client.expect("welcome");
}

/// Long for a time of one second, and less than the default.
const DROPPED: Duration = Duration::from_secs(8);

#[test]
fn a_handshake_that_is_not_complete_in_time_is_dropped() {
    let cluster = Cluster::of(1, &["--handshake-timeout", "1s"]);
    let good = upgrade(&cluster, 0);
    for sent in [0, 20, good.len() - 2] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(cluster.nodes[0].listen).expect("it accepts");
        let patience = Some(Duration::from_secs(15));
        stream.set_read_timeout(patience).expect("it can be set");
        stream
            .write_all(&good.as_bytes()[..sent])
            .expect("it is sent");
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        let took = start.elapsed();
        let text = String::from_utf8_lossy(&answer);
        let kind = end.err().map(|e| e.kind());
        assert!(took < DROPPED, "{sent} bytes: {took:?} {kind:?} {text}");
        assert!(took > Duration::from_millis(500), "{sent} bytes: {took:?}");
        assert!(text.is_empty() || text.contains(" 408 "), "{text}");
    }
    // A byte now and then does not buy more time.
    let mut stream = TcpStream::connect(cluster.nodes[0].listen).expect("it accepts");
    let poll = Some(Duration::from_millis(100));
    stream.set_read_timeout(poll).expect("it can be set");
    let start = Instant::now();
    for byte in good.bytes() {
        let ended = stream.write_all(&[byte]).is_err();
        if ended || matches!(stream.read(&mut [0; 512]), Ok(0)) {
            break;
        }
        let elapsed = start.elapsed();
        assert!(elapsed < DROPPED, "not dropped after {elapsed:?}");
    }
    // What has been welcomed stays.
    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url("alice"));
    assert_eq!(client.text(Duration::from_millis(1_500)), None);
    client.assert_quiet_and_alive();
}

#[test]
fn locate_names_the_owner_and_how_to_get_there() {
    let cluster = Cluster::of(3, &[]);
    let (_, owner, user) = stranger(&cluster);
    for node in &cluster.nodes {
        let response = node.get(&format!("/locate?user={user}"));
        assert_eq!(response.status, 200, "{response:?}");
        let cache = response.header("cache-control").unwrap_or_default();
        assert!(cache.contains("no-store"), "{response:?}");
        let answer = response.json();
        assert_eq!(answer["user"], user.as_str());
        assert_eq!(answer["node"], cluster.nodes[owner].id.as_str());
        assert_eq!(answer["ttl_ms"], 30_000);
        let view = node.view().expect("it answers");
        assert_eq!(answer["digest"], view.digest());
        let url = answer["url"].as_str().expect("a URL");
        assert_is_owners_url(url, cluster.nodes[owner].listen, &user);
        let mut client = Client::connect(url).expect("101");
        client.expect("welcome");
        assert_eq!(node.get("/nothing").status, 404);
    }
}

/// A CORS request to `/locate`: the answer, and the origin that it lets in.
fn cors(cluster: &Cluster, method: &str, origin: &str) -> (Response, Option<String>) {
    let address = cluster.nodes[0].listen;
    let request = format!(
        "{method} /locate?user=alice HTTP/1.1\r\nHost: {address}\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: GET\r\n\
         Access-Control-Request-Headers: authorization\r\nConnection: close\r\n\r\n"
    );
    let response = exchange(address, request.as_bytes()).expect("an answer");
    let allowed = response.header("access-control-allow-origin");
    let allowed = allowed.map(str::to_owned);
    (response, allowed)
}

#[test]
fn locate_answers_pages_of_allowed_origins_only() {
    let cluster = Cluster::of(1, &[]);
    let ours = format!("http://{}:8000", cluster.ip);
    let (preflight, allowed) = cors(&cluster, "OPTIONS", &ours);
    assert!(matches!(preflight.status, 200 | 204), "{preflight:?}");
    assert_eq!(allowed.as_ref(), Some(&ours), "{preflight:?}");
    let methods = preflight.header("access-control-allow-methods");
    assert!(methods.is_some_and(|m| m.contains("GET")), "{preflight:?}");
    let headers = preflight.header("access-control-allow-headers");
    let headers = headers.unwrap_or_default().to_ascii_lowercase();
    assert!(headers.contains("authorization"), "{preflight:?}");
    let (answer, allowed) = cors(&cluster, "GET", &ours);
    assert_eq!((answer.status, allowed), (200, Some(ours)), "{answer:?}");

    for method in ["OPTIONS", "GET"] {
        let (answer, allowed) = cors(&cluster, method, "https://evil.example");
        assert_eq!(allowed, None, "{answer:?}");
        assert_eq!(answer.status, 403, "{answer:?}");
    }
}

#[test]
fn a_page_of_a_foreign_origin_is_refused() {
    let cluster = Cluster::of(1, &[]);
    let url = format!("{}&redirect=http", cluster.nodes[0].url("alice"));
    for origin in ["https://evil.example", "null", "http://"] {
        let refusal = Handshake::to(&url).header("Origin", origin).connect();
        let refusal = refusal.expect_err("it is refused");
        assert_eq!(refusal.status, 403, "{origin}: {refusal:?}");
    }
    // A page that asks to be told in band cannot see a status: it gets an error and a Close.
    let url = format!("{}&redirect=frame", cluster.nodes[0].url("alice"));
    let browser = Handshake::to(&url).header("Origin", "https://evil.example");
    let mut client = browser.connect().expect("101 in this mode");
    let (texts, code) = client.read_to_close(PATIENCE);
    assert_eq!(code, Some(4503), "{texts:?}");
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(
        texts[0].starts_with(r#"{"type":"error","code":"not_allowed""#),
        "{texts:?}"
    );
}

#[test]
fn listed_origins_match_exactly() {
    let cluster = Cluster::of(1, &["--allowed-origins", "https://app.example"]);
    let url = format!("{}&redirect=http", cluster.nodes[0].url("alice"));
    let connect = |origin: &str| Handshake::to(&url).header("Origin", origin).connect();
    connect("https://app.example").expect("it is on the list");
    let own = format!("http://{}", cluster.nodes[0].listen);
    for origin in [
        "http://app.example",
        "https://app.example:8443",
        "https://x.app.example",
        &own,
    ] {
        assert_eq!(
            connect(origin).expect_err("refused").status,
            403,
            "{origin}"
        );
    }
    let none = get_with(cluster.nodes[0].listen, "/locate?user=alice", &[]);
    assert_eq!(none.expect("an answer").status, 200, "no origin, no page");
}
