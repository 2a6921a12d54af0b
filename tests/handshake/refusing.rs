//! What is no handshake is refused with a status, and what does not end is dropped.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::client::KEY;
use crate::support::http::exchange;
use crate::support::{Client, Cluster, Handshake, Response};
use crate::upgrade;

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
