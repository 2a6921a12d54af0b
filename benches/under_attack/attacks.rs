//! What somebody may do to a node. Each goes on until its process is ended.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::socket::{TEXT, connect, frame, handshake, open};

/// Where they come from; the other clients come from elsewhere.
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// An attack.
pub struct Attack {
    pub name: &'static str,
    /// What the node may grow by, in MiB: what its limits let the attackers keep, and something for the
    /// allocator.
    pub memory_mib: f64,
    /// The counter that shows that the node has met it.
    pub counter: &'static str,
    /// Against its clients' address or its peers'.
    pub at_peers: bool,
    threads: usize,
    run: fn(SocketAddr, usize) -> io::Result<()>,
}

pub const ATTACKS: [Attack; 9] = [
    Attack {
        name: "messages without pause",
        memory_mib: 32.0,
        counter: "sessions_over_rate",
        at_peers: false,
        threads: 8,
        run: messages,
    },
    Attack {
        name: "inboxes filled",
        memory_mib: 96.0,
        counter: "messages_inbox_full",
        at_peers: false,
        threads: 8,
        run: inboxes,
    },
    Attack {
        name: "fragments without an end",
        memory_mib: 64.0,
        counter: "",
        at_peers: false,
        threads: 4,
        run: fragments,
    },
    Attack {
        name: "clients that do not read",
        memory_mib: 96.0,
        counter: "messages_inbox_full",
        at_peers: false,
        threads: 8,
        run: deaf,
    },
    Attack {
        name: "handshakes without pause",
        memory_mib: 32.0,
        counter: "handshakes_over_rate",
        at_peers: false,
        threads: 4,
        run: handshakes,
    },
    Attack {
        name: "handshakes that do not end",
        memory_mib: 96.0,
        counter: "",
        at_peers: false,
        threads: 4,
        run: slow_handshakes,
    },
    Attack {
        name: "lookups without pause",
        memory_mib: 32.0,
        counter: "handshakes_over_rate",
        at_peers: false,
        threads: 4,
        run: lookups,
    },
    Attack {
        name: "garbage on the peer address",
        memory_mib: 32.0,
        counter: "peers_refused",
        at_peers: true,
        threads: 4,
        run: garbage,
    },
    Attack {
        name: "resets of HTTP/2 streams",
        memory_mib: 32.0,
        counter: "",
        at_peers: true,
        threads: 4,
        run: resets,
    },
];

impl Attack {
    /// Attacks for ever, again and again where the node ends it.
    pub fn run(&self, to: SocketAddr) {
        thread::scope(|scope| {
            for number in 0..self.threads {
                scope.spawn(move || {
                    loop {
                        if (self.run)(to, number).is_err() {
                            thread::sleep(Duration::from_millis(1));
                        }
                    }
                });
            }
        });
    }
}

fn send(to: &str, id: usize, bytes: usize) -> Vec<u8> {
    let body = "x".repeat(bytes);
    let text =
        format!(r#"{{"type":"send","id":"{id}","to":{{"user":"{to}"}},"qos":1,"body":"{body}"}}"#);
    frame(true, TEXT, text.as_bytes())
}

/// Reads what comes, so that nothing waits for that.
fn drain(stream: &TcpStream) -> io::Result<()> {
    let mut stream = stream.try_clone()?;
    thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    Ok(())
}

fn messages(to: SocketAddr, number: usize) -> io::Result<()> {
    let mut stream = open(FROM, to, &format!("talker{number}"))?;
    drain(&stream)?;
    for id in 0.. {
        stream.write_all(&send("nobody", id, 100))?;
    }
    Ok(())
}

/// At the rate that is allowed.
fn inboxes(to: SocketAddr, number: usize) -> io::Result<()> {
    let mut stream = open(FROM, to, &format!("filler{number}"))?;
    drain(&stream)?;
    for id in 0.. {
        stream.write_all(&send(&format!("absent{}", id % 4), id, 60_000))?;
        thread::sleep(Duration::from_millis(6));
    }
    Ok(())
}

fn fragments(to: SocketAddr, number: usize) -> io::Result<()> {
    let mut all = Vec::new();
    for count in 0..200 {
        let mut stream = open(FROM, to, &format!("fragment{number}x{count}"))?;
        stream.write_all(&frame(false, TEXT, &vec![b' '; 60_000]))?;
        all.push(stream);
    }
    // Nothing more comes, and they are closed for that.
    for stream in &mut all {
        while stream.read(&mut [0; 1024])? > 0 {}
    }
    Ok(())
}

/// Ten who do not read, and one who writes to them.
fn deaf(to: SocketAddr, number: usize) -> io::Result<()> {
    let deaf: Vec<String> = (0..10).map(|it| format!("deaf{number}x{it}")).collect();
    let sessions: Result<Vec<_>, _> = deaf.iter().map(|user| open(FROM, to, user)).collect();
    let sessions = sessions?;
    let mut stream = open(FROM, to, &format!("writer{number}"))?;
    drain(&stream)?;
    for id in 0..2000 {
        stream.write_all(&send(&deaf[id % deaf.len()], id, 30_000))?;
        thread::sleep(Duration::from_millis(6));
    }
    drop(sessions);
    Ok(())
}

fn handshakes(to: SocketAddr, number: usize) -> io::Result<()> {
    let mut stream = connect(FROM, to)?;
    stream.write_all(handshake(to, &format!("user=knocker{number}")).as_bytes())?;
    stream.read_exact(&mut [0; 12])
}

fn slow_handshakes(to: SocketAddr, _: usize) -> io::Result<()> {
    let mut all = Vec::new();
    for _ in 0..1500 {
        let mut stream = connect(FROM, to)?;
        stream.write_all(b"GET /ws")?;
        all.push(stream);
    }
    loop {
        thread::sleep(Duration::from_secs(1));
        all.retain_mut(|stream| stream.write_all(b"?").is_ok());
        if all.is_empty() {
            return Ok(());
        }
    }
}

fn lookups(to: SocketAddr, number: usize) -> io::Result<()> {
    let mut stream = connect(FROM, to)?;
    drain(&stream)?;
    let request = format!("GET /locate?user=asker{number} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    loop {
        stream.write_all(request.as_bytes())?;
    }
}

fn garbage(to: SocketAddr, _: usize) -> io::Result<()> {
    let mut stream = connect(FROM, to)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    while stream.read(&mut [0; 1024])? > 0 {}
    Ok(())
}

fn resets(to: SocketAddr, _: usize) -> io::Result<()> {
    let http2 = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap_or_default();
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    };
    let mut stream = connect(FROM, to)?;
    let mut chunk = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    chunk.extend(http2(4, 0, 0, &[]));
    for number in 0..10_000 {
        let id = 2 * number + 1;
        // `POST http://a/`, and that it is not wanted any more.
        chunk.extend(http2(1, 5, id, &[0x83, 0x86, 0x84, 0x41, 0x01, b'a']));
        chunk.extend(http2(3, 0, id, &8_u32.to_be_bytes()));
        stream.write_all(&chunk)?;
        chunk.clear();
    }
    Ok(())
}
