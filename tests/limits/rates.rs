//! Handshakes of one address in a time, and lookups of all.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::Instant;

use crate::support::{Client, Cluster, Node, PATIENCE, http, wait_until};
use crate::{
    BOUNDED, ask_from, assert_says_when, assert_served_elsewhere, handshake, is_told_in_frames,
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What so many handshakes in a row are answered; 0: with nothing.
fn statuses(node: &Node, count: usize) -> Vec<u16> {
    let ask = |_| ask_from(HERE, node, &handshake(node, "user=a"));
    let status = |asked: Option<(_, http::Response)>| asked.map_or(0, |(_, answer)| answer.status);
    (0..count).map(ask).map(status).collect()
}

#[test]
fn an_address_makes_a_burst_of_handshakes_and_then_so_many_a_second() {
    let flags = ["--handshake-rate", "1", "--handshake-burst", "5"];
    let cluster = Cluster::of(1, &[&flags, &BOUNDED[..]].concat());
    let node = &cluster.nodes[0];
    let start = Instant::now();
    let before: Vec<_> = statuses(node, 30);
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
    let of = |status| before.iter().filter(|it| **it == status).count();
    assert_eq!(before[..5], [101; 5], "{before:?}");
    assert!(of(101) <= 5 + seconds, "{before:?}");
    assert!(of(429) >= 3, "{before:?}");
    // Who makes twice as many gets no answer.
    assert!(of(0) > 0, "{before:?}");
    assert_eq!(of(101) + of(429) + of(0), 30, "{before:?}");
    let over = node.metric("ringpost_handshakes_over_rate_total");
    assert_eq!(usize::try_from(over).unwrap(), of(429) + of(0));
    assert_served_elsewhere(node);
    wait_until(PATIENCE, "a second later one more passes", || {
        statuses(node, 1) == [101]
    });
}

#[test]
fn a_handshake_over_the_rate_is_told_when_to_come_again() {
    let flags = ["--handshake-rate", "1", "--handshake-burst", "20"];
    let cluster = Cluster::of(1, &[&flags, &BOUNDED[..]].concat());
    let node = &cluster.nodes[0];
    // On one connection, which counts once.
    let mut stream = TcpStream::connect(node.listen).unwrap();
    let request = format!(
        "GET /locate?user=a HTTP/1.1\r\nHost: {}\r\n\r\n",
        node.listen
    );
    let mut answered = 0;
    let refusal = loop {
        stream.write_all(request.as_bytes()).unwrap();
        let (answer, _) = http::read_response(&mut stream).unwrap();
        if answer.status != 200 {
            break answer;
        }
        answered += 1;
        assert!(answered < 40, "every lookup counts");
    };
    assert!(answered >= 20, "a burst passes, but {answered} did");
    assert_says_when(&refusal, 429);
    assert_eq!(refusal.header("cache-control"), Some("no-store"));
    // One may have been allowed again meanwhile.
    let refusal = (0..5).find_map(|_| Client::connect(&node.url("a")).err());
    let refusal = refusal.expect("it is over the rate");
    assert_says_when(&refusal, 429);
    let told = (0..5).any(|_| is_told_in_frames(node, "rate_limited"));
    assert!(told, "it is over the rate");
    assert_served_elsewhere(node);
}

#[test]
fn a_node_answers_so_many_lookups_a_second() {
    let cluster = Cluster::of(1, &["--locate-rate", "5"]);
    let node = &cluster.nodes[0];
    let answers: Vec<_> = (0..50).map(|_| node.get("/locate?user=a")).collect();
    assert!(answers[..5].iter().all(|answer| answer.status == 200));
    let refused: Vec<_> = answers.iter().filter(|it| it.status == 429).collect();
    assert!(!refused.is_empty());
    assert_eq!(refused[0].header("retry-after"), Some("1"));
    let counted = node.metric("ringpost_locates_over_rate_total");
    assert_eq!(usize::try_from(counted).unwrap(), refused.len());
    // Who does not look anything up is served.
    Client::welcomed(&node.url("a")).0.assert_quiet_and_alive();
}

#[test]
fn addresses_that_stand_for_many_are_not_bounded() {
    let flags = [
        "--handshake-rate",
        "1",
        "--handshake-burst",
        "1",
        "--max-connections-per-address",
        "1",
    ];
    let cluster = Cluster::of(1, &flags);
    let node = &cluster.nodes[0];
    let clients: Vec<_> = (0..10)
        .map(|number| Client::welcomed(&node.url(&format!("user{number}"))))
        .collect();
    assert_eq!(clients.len(), 10);
}
