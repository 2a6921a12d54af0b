//! What a node does past the limits of its client port: each is gone past, the answer and the counter are
//! looked at, and somebody else is still served.

// Helpers outside of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod connections;
mod files;
mod messages;
mod rates;
mod slow;
#[path = "../support/mod.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use support::client::KEY;
use support::http::{self, Response};
use support::{Client, Node, PATIENCE};

/// Bounds loopback addresses as all others: without it they stand for many clients.
const BOUNDED: [&str; 2] = ["--exempt-networks", "192.0.2.0/24"];

/// Another address than the one that connections have by themselves.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 9, 9, 9));

/// A connection that comes from this address.
fn connect_from(from: IpAddr, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = socket.connect(to).await.unwrap().into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    })
}

/// The head of a good handshake.
fn handshake(node: &Node, query: &str) -> String {
    format!(
        "GET /ws?{query} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
        node.listen
    )
}

/// What this request gets on a connection from an address; `None`: its end.
fn ask_from(from: IpAddr, node: &Node, request: &str) -> Option<(TcpStream, Response)> {
    let mut stream = connect_from(from, node.listen);
    let _ = stream.write_all(request.as_bytes());
    let (response, _) = http::read_response(&mut stream).ok()?;
    Some((stream, response))
}

/// Asserts that a client from another address is served.
#[track_caller]
fn assert_served_elsewhere(node: &Node) {
    let asked = ask_from(ELSEWHERE, node, &handshake(node, "user=elsewhere"));
    assert_eq!(asked.expect("an answer").1.status, 101);
}

/// Asserts that this refusal says when to come again.
#[track_caller]
fn assert_says_when(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("retry-after"), Some("1"), "{response:?}");
    assert_eq!(response.header("connection"), Some("close"), "{response:?}");
}

/// Asserts that a client that is told in frames gets this error and then 1013.
#[track_caller]
fn assert_told_in_frames(node: &Node, code: &str) {
    assert!(is_told_in_frames(node, code), "it is let in");
}

/// Whether a client that is told in frames is not let in; then it gets this error and 1013.
#[track_caller]
fn is_told_in_frames(node: &Node, code: &str) -> bool {
    let url = format!("{}&redirect=frame", node.url("told"));
    let mut client = Client::connect(&url).expect("101");
    let error = client.recv_json(PATIENCE);
    if error["type"] == "welcome" {
        return false;
    }
    let (texts, close) = client.read_to_close(PATIENCE);
    assert_eq!((texts.len(), close), (0, Some(1013)), "{error} {texts:?}");
    assert_eq!(error["type"], "error", "{error}");
    assert_eq!(error["code"], code, "{error}");
    assert_eq!(error["retry"], true, "{error}");
    true
}

/// Whether a connection ends, rather than be silent for so long. What comes before is passed over.
fn ends_within(stream: &mut TcpStream, time: Duration) -> bool {
    stream.set_read_timeout(Some(time)).unwrap();
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !support::client::is_timeout(&error),
        }
    }
}
