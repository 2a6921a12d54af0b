//! Answers that are for one client, now: no cache may keep them.

use crate::support::client::KEY;
use crate::support::http::{Response, call, exchange};
use crate::support::{Cluster, Node};

fn handshake(node: &Node, query: &str, fields: &str) -> Response {
    let request = format!(
        "GET /ws?{query} HTTP/1.1\r\nHost: {}\r\n{fields}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
        node.listen
    );
    exchange(node.listen, request.as_bytes()).expect("an answer")
}

#[track_caller]
fn assert_not_kept(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(
        response.header("cache-control"),
        Some("no-store"),
        "{response:?}"
    );
}

#[test]
fn what_is_for_one_client_is_kept_by_no_cache() {
    let cluster = Cluster::of(2, &[]);
    let node = &cluster.nodes[0];
    let user = cluster.user_of(1, "u");
    assert_not_kept(
        &handshake(node, &format!("user={user}&redirect=http"), ""),
        307,
    );
    assert_not_kept(&handshake(node, "redirect=http", ""), 401);
    assert_not_kept(&handshake(node, "user=%00&redirect=http", ""), 400);
    let foreign = "Origin: https://evil.example\r\n";
    assert_not_kept(&handshake(node, "user=a&redirect=http", foreign), 403);

    let locate = |query: &str| node.get(&format!("/locate?{query}"));
    assert_not_kept(&locate(&format!("user={user}")), 200);
    assert_not_kept(&locate(""), 401);
    assert_not_kept(&locate("user=%00"), 400);
    assert_not_kept(&locate("user=a&user=b"), 400);
    let post = call(node.listen, ("POST", "/locate?user=a"), &[], b"").expect("an answer");
    assert_not_kept(&post, 405);
    let origin = format!("http://{}", node.listen);
    for (origin, status) in [(&*origin, 204), ("null", 403)] {
        let fields = [("Origin", origin)];
        let preflight = call(node.listen, ("OPTIONS", "/locate"), &fields, b"");
        assert_not_kept(&preflight.expect("an answer"), status);
    }
}

#[test]
fn a_lookup_too_many_is_kept_by_no_cache_either() {
    let cluster = Cluster::of(1, &["--locate-rate", "1"]);
    let answers: Vec<Response> = (0..20)
        .map(|_| cluster.nodes[0].get("/locate?user=a"))
        .collect();
    let refused = answers.iter().find(|answer| answer.status == 429);
    assert_not_kept(refused.expect("one is too many"), 429);
}
