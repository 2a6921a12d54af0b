//! Connections of a node, and of one address.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::{Client, Cluster, Handshake, PATIENCE, http, wait_until};
use crate::{
    BOUNDED, ELSEWHERE, ask_from, assert_says_when, assert_served_elsewhere, assert_told_in_frames,
    ends_within, handshake,
};

#[test]
fn one_connection_too_many_of_a_node_is_told_so_until_there_is_room_again() {
    let cluster = Cluster::of(1, &["--max-connections", "3"]);
    let node = &cluster.nodes[0];
    let mut clients: Vec<_> = ["a", "b", "c"]
        .map(|user| Client::welcomed(&node.url(user)).0)
        .into();
    let refusal = Client::connect(&node.url("d")).expect_err("it is full");
    assert_says_when(&refusal, 503);
    assert_told_in_frames(node, "unreachable");
    assert_says_when(&node.get("/locate?user=a"), 503);
    assert_eq!(node.get("/healthz").status, 200);
    assert_eq!(node.metric("ringpost_connections_over_limit_total"), 3);
    for client in &mut clients {
        client.assert_quiet_and_alive();
    }
    clients.pop().expect("there are three").close();
    wait_until(PATIENCE, "there is room for another one", || {
        Client::connect(&node.url("d")).is_ok()
    });
}

#[test]
fn nobody_keeps_a_connection_by_asking_for_something_else() {
    let cluster = Cluster::of(1, &["--handshake-timeout", "1s"]);
    let node = &cluster.nodes[0];
    let mut stream = TcpStream::connect(node.listen).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let asks = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut answers = 0;
    wait_until(2 * PATIENCE, "it is closed", || {
        let mut answer = [0; 4096];
        let read = stream
            .write_all(asks)
            .and_then(|()| stream.read(&mut answer));
        let is_open = read.is_ok_and(|bytes| bytes > 0);
        answers += usize::from(is_open);
        !is_open
    });
    assert!(answers > 10, "{answers}: it was served before");
}

#[test]
fn when_too_many_want_to_be_told_so_more_are_dropped_at_once() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let flags = ["--max-connections", "1", "--handshake-timeout", "60s"];
    let cluster = Cluster::of(1, &flags);
    let node = &cluster.nodes[0];
    let (mut client, _) = Client::welcomed(&node.url("a"));
    let connect = || TcpStream::connect(node.listen).expect("it accepts");
    let silent: Vec<_> = (0..1_000).map(|_| connect()).collect();
    let accepted = || node.metric("ringpost_connections_total");
    wait_until(PATIENCE, "all are accepted", || accepted() >= 1_001);
    let before = node.metric("ringpost_connections_over_limit_total");
    assert_eq!(before, 0, "nobody has asked anything");
    assert!(ends_within(&mut connect(), PATIENCE));
    assert!(node.metric("ringpost_connections_over_limit_total") > before);
    client.assert_quiet_and_alive();
    drop(silent);
    wait_until(PATIENCE, "the next one gets its answer", || {
        let answered = Handshake::to(&node.url("d")).try_connect();
        answered.is_ok_and(|answer| answer.is_err_and(|refusal| refusal.status == 503))
    });
    client.assert_quiet_and_alive();
}

#[test]
fn one_connection_too_many_of_an_address_is_told_so_and_others_are_served() {
    let flags = [&["--max-connections-per-address", "2"], &BOUNDED[..]].concat();
    let cluster = Cluster::of(1, &flags);
    let node = &cluster.nodes[0];
    let (mut first, _) = Client::welcomed(&node.url("a"));
    let (second, _) = Client::welcomed(&node.url("b"));
    let refusal = Client::connect(&node.url("c")).expect_err("there are two");
    assert_says_when(&refusal, 429);
    assert_says_when(&node.get("/locate?user=a"), 429);
    assert_told_in_frames(node, "rate_limited");
    assert_eq!(
        node.metric("ringpost_connections_over_address_limit_total"),
        3
    );
    assert_served_elsewhere(node);
    first.assert_quiet_and_alive();
    second.close();
    wait_until(PATIENCE, "there is room for another one", || {
        Client::connect(&node.url("c")).is_ok()
    });
}

#[test]
fn a_connection_counts_from_its_first_byte_to_its_end_whatever_it_becomes() {
    let flags = [
        &[
            "--max-connections-per-address",
            "1",
            "--handshake-timeout",
            "6s",
        ],
        &BOUNDED[..],
    ];
    let cluster = Cluster::of(1, &flags.concat());
    let node = &cluster.nodes[0];
    let full = || node.get("/locate?user=a").status == 429;
    // A connection that says nothing, and one that asks and is kept open.
    let mut silent = TcpStream::connect(node.listen).unwrap();
    wait_until(PATIENCE, "it counts", full);
    assert!(ends_within(&mut silent, 2 * PATIENCE));
    wait_until(PATIENCE, "its end is seen", || !full());
    let asking = || TcpStream::connect(node.listen).unwrap();
    let request = format!(
        "GET /locate?user=a HTTP/1.1\r\nHost: {}\r\n\r\n",
        node.listen
    );
    let mut asked = None;
    wait_until(PATIENCE, "it is answered", || {
        let mut stream = asking();
        stream.write_all(request.as_bytes()).unwrap();
        let answered = http::read_response(&mut stream).unwrap().0.status == 200;
        asked = Some(stream);
        answered
    });
    assert!(full());
    drop(asked);
    wait_until(PATIENCE, "its end is seen", || !full());
    // A handshake that was redirected away or refused leaves nothing behind.
    let is_answered = |query: &str, status: u16| {
        let asked = ask_from(ELSEWHERE, node, &handshake(node, query));
        asked.is_some_and(|(_, answer)| answer.status == status)
    };
    for _ in 0..5 {
        wait_until(PATIENCE, "the one before has ended", || {
            is_answered("user=", 400)
        });
    }
    wait_until(PATIENCE, "they have ended", || is_answered("user=a", 101));
}
