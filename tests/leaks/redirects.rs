//! Redirects: nobody is sent to an address that is no member's, and no header can be split.

use crate::support::client::KEY;
use crate::support::http::{Response, exchange};
use crate::support::{Cluster, Node};

/// A handshake with this request line's target and these fields; what is needed besides is there.
fn ask(node: &Node, target: &str, fields: &str) -> Option<Response> {
    let host = format!("Host: {}\r\n", node.listen);
    let host = if fields.starts_with("Host:") {
        ""
    } else {
        &host
    };
    let request = format!(
        "GET {target} HTTP/1.1\r\n{host}{fields}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    exchange(node.listen, request.as_bytes()).ok()
}

/// The answer is a refusal, or leads to the owner; nothing of it is the client's invention.
#[track_caller]
fn assert_leads_home(response: &Response, owner: &Node, what: &str) {
    let said = format!("{:?} {}", response.headers, response.text());
    assert!(!said.contains("evil"), "{what}: {said}");
    let known = [
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "date",
        "location",
    ];
    match response.status {
        307 => {
            let location = response.header("location").expect("a Location");
            let start = format!("//{}/ws?", owner.listen);
            assert!(location.starts_with(&start), "{what}: {location}");
            let mut names = response.headers.iter().map(|(name, _)| &**name);
            assert!(names.all(|name| known.contains(&name)), "{what}: {said}");
            assert_eq!(response.header("cache-control"), Some("no-store"), "{what}");
        }
        400..500 => assert_eq!(response.header("location"), None, "{what}: {said}"),
        status => panic!("{what}: {status} {said}"),
    }
}

#[test]
fn a_client_is_sent_to_the_owner_whatever_host_it_names() {
    let cluster = Cluster::of(2, &[]);
    let user = cluster.user_of(1, "u");
    let (node, owner) = (&cluster.nodes[0], &cluster.nodes[1]);
    let plain = format!("/ws?user={user}&redirect=http");
    for fields in [
        "Host: evil.example\r\n",
        "Host: evil.example:80\r\n",
        "Host: evil.example@127.0.0.1\r\n",
        "Host: evil.example\r\nHost: 127.0.0.1\r\n",
        "X-Forwarded-Host: evil.example\r\n",
        "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 666\r\n",
        "X-Forwarded-For: evil.example\r\nX-Real-Ip: evil.example\r\n",
        "X-Original-Url: http://evil.example/\r\nX-Rewrite-Url: //evil.example/\r\n",
        "Forwarded: host=evil.example;proto=https\r\n",
        "Referer: http://evil.example/\r\n",
    ] {
        let response = ask(node, &plain, fields).expect("an answer");
        assert_leads_home(&response, owner, fields);
    }
    for target in [
        "http://evil.example/ws",
        "https://evil.example:666/ws",
        "ws://evil.example/ws",
        "//evil.example/ws",
        "///evil.example/ws",
        "/\\evil.example/ws",
        "\\\\evil.example/ws",
        "/ws/../\\evil.example/ws",
        "/ws/%2f%2fevil.example",
        "/evil.example/ws",
        "evil.example/ws",
        "http://evil.example@127.0.0.1/ws",
        "http:/evil.example/ws",
        "/http://evil.example/ws",
    ] {
        let target = format!("{target}?user={user}&redirect=http");
        // What is no request at all may end without an answer.
        if let Some(response) = ask(node, &target, "") {
            assert_leads_home(&response, owner, &target);
        }
    }
    // In a query, where it goes on as it is, it is still the query.
    let target = format!("{plain}&next=//e-v-i-l/&url=http://e-v-i-l@x/#@e-v-i-l");
    let response = ask(node, &target, "").expect("an answer");
    assert_leads_home(&response, owner, &target);
}

#[test]
fn no_line_of_an_answer_is_the_clients() {
    let cluster = Cluster::of(2, &[]);
    let user = cluster.user_of(1, "u");
    let (node, owner) = (&cluster.nodes[0], &cluster.nodes[1]);
    for text in [
        "%0d%0aSet-Cookie:%20evil=1",
        "%0aSet-Cookie:%20evil=1",
        "%0d%0a%0d%0a%3Cscript%3Eevil%3C/script%3E",
        "%E5%98%8A%E5%98%8DSet-Cookie:evil",
        "%250d%250aSet-Cookie:evil",
        "%00evil",
    ] {
        // Where it goes on it is as it was, in one line; the word is looked for in what is not that.
        for target in [
            format!("/ws?user={user}&redirect=http&x={text}"),
            format!("/ws?user={user}&redirect=http&{text}=x"),
        ] {
            let response = ask(node, &target, "").expect("an answer");
            assert_eq!(response.status, 307, "{response:?}");
            let location = response.header("location").expect("a Location");
            assert!(
                location.starts_with(&format!("//{}/ws?", owner.listen)),
                "{location}"
            );
            assert!(location.contains(text), "{location}");
            assert_eq!(response.header("set-cookie"), None, "{response:?}");
            assert_eq!(response.json()["url"], format!("ws:{location}"));
        }
        for target in [
            format!("/ws?user={text}&redirect=http"),
            format!("/ws?user={user}&redirect={text}"),
            format!("/ws?user={user}&epoch={text}&offset=1"),
            format!("/locate?user={text}"),
            format!("/{text}"),
        ] {
            let response = ask(node, &target, "").expect("an answer");
            assert_eq!(response.header("set-cookie"), None, "{response:?}");
            for (name, value) in &response.headers {
                let clean = name != "location" && !value.contains("evil");
                assert!(clean || response.status == 307, "{target}: {response:?}");
            }
        }
    }
    // Bare in a field or a target they end it, as in any request; none of it comes back.
    for fields in [
        "Origin: http://evil\r\n\tX: y\r\n",
        "Origin: http://evil\rSet-Cookie: evil=1\r\n",
        "Host: evil\rSet-Cookie: evil=1\r\n",
        "Sec-WebSocket-Protocol: evil\rSet-Cookie: evil=1\r\n",
    ] {
        let target = format!("/ws?user={user}&redirect=http");
        if let Some(response) = ask(node, &target, fields) {
            assert_leads_home(&response, owner, fields);
        }
    }
}
