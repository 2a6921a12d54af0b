//! Clients that take their time: with their handshake, and with reading answers.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::handshake;
use crate::support::{Client, Cluster, PATIENCE, http, wait_until};

const CLIENTS: usize = 500;

#[test]
fn handshakes_of_a_byte_now_and_then_are_dropped_in_time_and_cost_little() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let cluster = Cluster::of(1, &["--handshake-timeout", "3s"]);
    let node = &cluster.nodes[0];
    let (mut client, _) = Client::welcomed(&node.url("a"));
    let resident = node.resident_kib();
    let start = Instant::now();
    let mut slow: Vec<_> = (0..CLIENTS)
        .map(|_| TcpStream::connect(node.listen).expect("it accepts"))
        .collect();
    let connected = start.elapsed();
    let head = handshake(node, "user=slow");
    let mut bytes = head.bytes();
    let mut grown = 0;
    // Until none of them takes anything.
    while let Some(byte) = bytes.next()
        && !slow.is_empty()
    {
        slow.retain_mut(|stream| stream.write_all(&[byte]).is_ok());
        grown = grown.max(node.resident_kib().saturating_sub(resident));
        let sent = Instant::now();
        client.assert_quiet_and_alive();
        assert!(sent.elapsed() < PATIENCE, "others wait");
        thread::sleep(Duration::from_millis(200));
    }
    let took = start.elapsed();
    assert!(slow.is_empty(), "{} are left", slow.len());
    assert!(took > Duration::from_secs(2), "{took:?}");
    assert!(took < connected + Duration::from_secs(20), "{took:?}");
    println!("{grown} KiB more resident with {CLIENTS} slow handshakes");
    let each = grown / CLIENTS;
    assert!(each < 32, "{each} KiB each");
    let counted = || node.metric("ringpost_handshakes_refused_total");
    wait_until(PATIENCE, "they are counted", || counted() >= CLIENTS as u64);
    client.assert_quiet_and_alive();
}

#[test]
fn who_asks_and_asks_and_reads_no_answer_is_dropped() {
    let flags = ["--handshake-timeout", "1s", "--locate-rate", "1000000"];
    let cluster = Cluster::of(1, &flags);
    let node = &cluster.nodes[0];
    let resident = node.resident_kib();
    let mut stream = TcpStream::connect(node.listen).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let request = format!(
        "GET /locate?user=a HTTP/1.1\r\nHost: {}\r\n\r\n",
        node.listen
    );
    let many = request.repeat(1_000);
    let start = Instant::now();
    // Until nothing is taken any more.
    while stream.write_all(many.as_bytes()).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never ends");
    }
    // It must not be read to find that out.
    stream.set_nonblocking(true).unwrap();
    wait_until(Duration::from_secs(20), "it is dropped", || {
        let taken = stream.write(b"x");
        taken.is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
    });
    let grown = node.resident_kib().saturating_sub(resident);
    assert!(grown < 16 * 1024, "{grown} KiB");
    assert_eq!(node.get("/locate?user=a").status, 200);
}

#[test]
fn a_head_over_its_limits_is_counted() {
    let cluster = Cluster::of(1, &[]);
    let node = &cluster.nodes[0];
    let good = handshake(node, "user=a");
    let with = |more: &str| good.replace("\r\n\r\n", &format!("\r\n{more}\r\n\r\n"));
    for (number, request) in [
        with(&format!("X-Long: {}", "x".repeat(40_000))),
        with(&vec!["X-Many: x"; 200].join("\r\n")),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = http::exchange(node.listen, request.as_bytes()).unwrap();
        assert_eq!(answer.status, 431);
        let counted = || node.metric("ringpost_handshakes_refused_total");
        wait_until(PATIENCE, "it is counted", || counted() == number as u64 + 1);
    }
    assert!(Client::connect(&node.url("a")).is_ok());
}
