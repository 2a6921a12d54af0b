//! One HTTP exchange over a TCP connection of its own, byte for byte as the test wants it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// No answer for so long is a failure.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// In their order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without chunk framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header that must not be there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }
}

/// `GET` on a connection of its own.
///
/// # Errors
/// The connection failed, or ended before the answer did.
pub fn get(address: SocketAddr, target: &str) -> io::Result<Response> {
    get_with(address, target, &[])
}

/// `GET` with more headers.
///
/// # Errors
/// The connection failed, or ended before the answer did.
pub fn get_with(
    address: SocketAddr,
    target: &str,
    headers: &[(&str, &str)],
) -> io::Result<Response> {
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    exchange(address, request.as_bytes())
}

/// Any method, with a body, on a connection of its own.
///
/// # Errors
/// The connection failed, or ended before the answer did.
pub fn call(
    address: SocketAddr,
    (method, target): (&str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n");
    request += &format!("Connection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    exchange(address, &[request.as_bytes(), body].concat())
}

/// Sends these very bytes and reads one answer.
///
/// # Errors
/// The connection failed, or ended before the answer did.
pub fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    // A server may answer and close before it has read all: the answer is what counts.
    let _ = stream.write_all(request);
    read_response(&mut stream).map(|(response, _)| response)
}

/// Reads one answer; what came after it is returned too (after a 101, WebSocket frames). Of one that has no end
/// (server-sent events) only the head is read.
///
/// # Errors
/// The connection failed, or ended before the answer did.
pub fn read_response(stream: &mut TcpStream) -> io::Result<(Response, Vec<u8>)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end;
        }
        read_more(stream, &mut bytes)?;
    };
    let mut rest = bytes.split_off(head_end + 4);
    let mut response = parse_head(&String::from_utf8_lossy(&bytes))?;
    let chunked = response.header("transfer-encoding") == Some("chunked");
    let length = response.header("content-length").map(str::parse::<usize>);
    let is_endless = response.header("content-type") == Some("text/event-stream");
    if is_endless || matches!(response.status, 100..200 | 204 | 304) {
        return Ok((response, rest));
    }
    if chunked {
        response.body = read_chunks(stream, &mut rest)?;
    } else if let Some(length) = length {
        let length = length.map_err(|_| invalid("content-length is no number"))?;
        while rest.len() < length {
            read_more(stream, &mut rest)?;
        }
        let after = rest.split_off(length);
        response.body = std::mem::replace(&mut rest, after);
    } else {
        stream.read_to_end(&mut rest)?;
        response.body = std::mem::take(&mut rest);
    }
    Ok((response, rest))
}

fn parse_head(head: &str) -> io::Result<Response> {
    let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| invalid(&format!("no status line: {status_line:?}")))?;
    let headers = lines
        .map(|line| {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| invalid(&format!("no header: {line:?}")))?;
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<io::Result<_>>()?;
    Ok(Response {
        status,
        headers,
        body: Vec::new(),
    })
}

fn read_chunks(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = loop {
            if let Some(end) = find(bytes, b"\r\n") {
                break end;
            }
            read_more(stream, bytes)?;
        };
        let size = std::str::from_utf8(&bytes[..line_end])
            .ok()
            .and_then(|line| usize::from_str_radix(line.trim(), 16).ok())
            .ok_or_else(|| invalid("no chunk size"))?;
        while bytes.len() < line_end + 2 + size + 2 {
            read_more(stream, bytes)?;
        }
        body.extend_from_slice(&bytes[line_end + 2..line_end + 2 + size]);
        bytes.drain(..line_end + 2 + size + 2);
        if size == 0 {
            return Ok(body);
        }
    }
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer)? {
        0 => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!(
                "the connection ended after {:?}",
                String::from_utf8_lossy(bytes)
            ),
        )),
        count => {
            bytes.extend_from_slice(&buffer[..count]);
            Ok(())
        }
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|w| w == pattern)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
