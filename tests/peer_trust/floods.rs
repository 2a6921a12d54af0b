//! Floods of frames and of connections against the peer address and the admin address.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;

use crate::files::{give_secrets, secret};
use crate::peer;
use crate::support::{Cluster, Node, PATIENCE, http, wait_until, within};

/// How much more memory an attack may cost a node, in KiB: HTTP/2 windows and a few buffers.
const MEMORY_KIB: usize = 64 * 1024;
/// How much of a flood is sent at most.
const FLOOD_BYTES: usize = 32 * 1024 * 1024;
/// How long a flood lasts at most, where nobody ends it.
const FLOOD_TIME: Duration = Duration::from_secs(3);
/// Others are answered within this meanwhile.
const SOON: Duration = PATIENCE;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
/// `END_STREAM` and `END_HEADERS`.
const WHOLE: u8 = 0x5;
/// `POST http://a/`, by the static table of HPACK.
const REQUEST: &[u8] = &[0x83, 0x86, 0x84, 0x41, 0x01, b'a'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A flood: its name, and its next bytes by their number.
type Flood = (&'static str, fn(u32) -> Vec<u8>);

const FLOODS: [Flood; 5] = [
    ("streams that are reset", |number| {
        let stream = 2 * number + 1;
        let mut frames = frame(HEADERS, WHOLE, stream, REQUEST);
        frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        frames
    }),
    ("streams that wait", |number| {
        frame(HEADERS, 0x4, 2 * number + 1, REQUEST)
    }),
    ("pings", |number| {
        frame(PING, 0, 0, &u64::from(number).to_be_bytes())
    }),
    ("settings", |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
    ("a header without an end", |number| {
        // A literal field without indexing: a name of one byte, and a value of 8,000.
        let mut field = vec![0, 1, b'x', 0x7f, 0xc1, 0x3d];
        field.resize(6 + 8000, b'y');
        match number {
            0 => frame(HEADERS, 0, 1, REQUEST),
            _ => frame(CONTINUATION, 0, 1, &field),
        }
    }),
];

/// Sends the flood until the other side ends the connection; whether it did, before so much was sent or
/// within this time after it.
fn flood(address: SocketAddr, next: fn(u32) -> Vec<u8>, patience: Duration) -> bool {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a time-out");
    stream.set_read_timeout(Some(patience)).expect("a time-out");
    let mut chunk = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    chunk.extend(frame(SETTINGS, 0, 0, &[]));
    let (began, mut sent, mut number) = (Instant::now(), 0, 0);
    let mut ended = false;
    while sent < FLOOD_BYTES && began.elapsed() < FLOOD_TIME && !ended {
        while chunk.len() < 64 * 1024 {
            chunk.extend(next(number));
            number += 1;
        }
        ended = match stream.write_all(&chunk) {
            Ok(()) => false,
            // It does not read any more: that bounds it as well.
            Err(error) => !is_timeout(&error),
        };
        sent += chunk.len();
        chunk.clear();
    }
    ended || {
        let mut rest = Vec::new();
        let end = stream.read_to_end(&mut rest);
        end.map_or_else(|error| !is_timeout(&error), |_| true)
    }
}

/// Whether a node must end the connection of this flood.
fn must_end(name: &str) -> bool {
    matches!(name, "streams that are reset" | "a header without an end")
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut)
}

/// Floods an address from four connections at once; meanwhile the node answers, sees its peer, and does not grow.
/// Returns how many of the four it ended.
#[track_caller]
fn attack(node: &Node, address: SocketAddr, (name, next): Flood) -> usize {
    let before = node.resident_kib();
    let patience = if must_end(name) {
        PATIENCE
    } else {
        Duration::from_millis(100)
    };
    let attackers: Vec<_> = (0..4)
        .map(|_| thread::spawn(move || flood(address, next, patience)))
        .collect();
    while attackers.iter().any(|attacker| !attacker.is_finished()) {
        let began = Instant::now();
        let response = http::get(node.admin, "/readyz").expect("it answers");
        assert_eq!(response.status, 200, "{name}");
        assert!(
            began.elapsed() < SOON,
            "{name}: an answer took {:?}",
            began.elapsed()
        );
        let view = node.view().expect("it answers");
        // Four busy loops beside it may well make it late for a probe.
        assert_ne!(view.state("n2"), "down", "{name}");
        let grown = node.resident_kib().saturating_sub(before);
        assert!(grown < MEMORY_KIB, "{name}: {grown} KiB more");
    }
    let ended = attackers
        .into_iter()
        .map(|attacker| attacker.join().expect("it ends"));
    ended.filter(|ended| *ended).count()
}

#[test]
fn floods_of_frames_end_the_connection_or_stand_still_and_the_node_goes_on() {
    let cluster = Cluster::of(2, &["--suspicion-timeout", "20s"]);
    let node = &cluster.nodes[0];
    for (at, address) in [("peer", node.peer), ("admin", node.admin)] {
        for flood in FLOODS {
            let ended = attack(node, address, flood);
            println!("{at}: {}: {ended} of 4 ended", flood.0);
            if must_end(flood.0) {
                assert_eq!(ended, 4, "{at}: {}", flood.0);
            }
        }
    }
    cluster.wait_agreed(PATIENCE);
}

/// Connections from an address of their own that say nothing.
async fn silent(count: usize, node: SocketAddr) -> Vec<tokio::net::TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(([127, 66, 6, 7], 0).into())
            .expect("it is loopback");
        open.extend(socket.connect(node).await);
    }
    open
}

#[test]
fn handshakes_that_do_not_end_keep_no_node_out() {
    let mut cluster = Cluster::reserve(3);
    for index in 0..3 {
        give_secrets(&mut cluster, index, &[secret("ours")]);
    }
    cluster.start_in_order(&[0, 1]);
    cluster.wait_agreed(PATIENCE);
    let before = cluster.nodes[0].resident_kib();
    let runtime = peer::runtime();
    let open = runtime.block_on(silent(1000, cluster.nodes[0].peer));
    cluster.nodes[2].start();
    cluster.wait_agreed(PATIENCE);
    // It may have been found through the other one, while connections wait to be accepted.
    wait_until(PATIENCE, "most of them were refused", || {
        cluster.nodes[0].metric("ringpost_peers_refused_total") >= 900
    });
    let grown = cluster.nodes[0].resident_kib().saturating_sub(before);
    assert!(grown < MEMORY_KIB, "{grown} KiB more");
    runtime.block_on(async {
        for mut stream in open {
            let ended = tokio::time::timeout(PATIENCE, stream.read(&mut [0])).await;
            assert!(ended.is_ok(), "it is closed after some seconds");
        }
    });
}

#[test]
fn what_is_no_http_2_is_closed_on_the_peer_address() {
    let cluster = Cluster::of(1, &[]);
    let node = &cluster.nodes[0];
    let mut stream = TcpStream::connect(node.peer).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("it reads");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
    assert_eq!(node.metric("ringpost_peers_refused_total"), 1);
}

#[test]
fn the_admin_address_has_so_many_connections_and_is_there_again_afterwards() {
    let cluster = Cluster::of(1, &[]);
    let node = &cluster.nodes[0];
    let mut open: Vec<TcpStream> = (0..1100)
        .map(|_| TcpStream::connect(node.admin).expect("it listens"))
        .collect();
    let last = open.last_mut().expect("one of them");
    // Less than the time for a handshake.
    last.set_read_timeout(Some(Duration::from_secs(9)))
        .expect("a time-out");
    let read = last.read(&mut [0]);
    assert!(read.as_ref().is_ok_and(|count| *count == 0) || read.is_err_and(|e| !is_timeout(&e)));
    drop(open);
    let again = within(PATIENCE, || {
        http::get(node.admin, "/healthz").is_ok_and(|response| response.status == 200)
    });
    assert!(again.is_some());
    // Their places come free one by one: this may be one too many, too.
    wait_until(PATIENCE, "they were counted", || {
        let Ok(metrics) = http::get(node.admin, "/metrics") else {
            return false;
        };
        let name = "ringpost_admin_connections_over_limit_total ";
        let text = metrics.text();
        let count = text.lines().find_map(|line| line.strip_prefix(name));
        count.is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count >= 76))
    });
}
