//! A server in front of the cluster that answers a few requests as it was told, and none after them.

use std::io::{self, BufRead, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// As a node answers to a ticket that was used, or is of a process that has ended.
pub const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\n";

/// Opens one at that address. Each answer is for one connection, which ends behind it; an empty one is for a
/// connection that only ends.
pub fn open(ip: IpAddr, answers: &[&str]) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).expect("a free port");
    let at = listener.local_addr().expect("it is bound");
    let answers: Vec<_> = answers.iter().map(ToString::to_string).collect();
    thread::spawn(move || {
        for (stream, text) in listener.incoming().map_while(Result::ok).zip(answers) {
            // A client that goes away is no failure.
            let _ = answer(stream, &text);
        }
    });
    at
}

fn answer(mut stream: TcpStream, text: &str) -> io::Result<()> {
    for line in BufReader::new(&stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    if text.is_empty() {
        return Ok(());
    }
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text.trim_end(), ""));
    let length = body.len();
    let head = format!("{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())
}
