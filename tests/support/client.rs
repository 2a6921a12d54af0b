//! A blocking WebSocket client that follows nothing by itself and shows what it gets as it came.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::frames::{self, BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use super::http::{self, Response};
use super::wait::PATIENCE;

/// The key and the answer to it that RFC 6455 gives as its example.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A handshake about to be sent.
#[derive(Debug, Clone)]
pub struct Handshake {
    url: String,
    headers: Vec<(String, String)>,
}

impl Handshake {
    /// To `ws://host:port/…`, `http://host:port/…` or `//host:port/…`.
    pub fn to(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            headers: Vec::new(),
        }
    }

    /// With one more header. A `Host` replaces the usual one.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends it; any answer but a good 101 is a refusal.
    ///
    /// # Panics
    /// When the connection fails or ends without an answer.
    #[track_caller]
    pub fn connect(&self) -> Result<Client, Response> {
        match self.try_connect() {
            Ok(result) => result,
            Err(e) => panic!("{}: {e}", self.url),
        }
    }

    /// As [`Self::connect`], for nodes that may be dead.
    ///
    /// # Errors
    /// The connection failed or ended without an answer.
    pub fn try_connect(&self) -> io::Result<Result<Client, Response>> {
        let (address, authority, target) = split(&self.url)?;
        let mut request = format!("GET {target} HTTP/1.1\r\n");
        if !self.headers.iter().any(|(name, _)| name == "Host") {
            request += &format!("Host: {authority}\r\n");
        }
        request += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        request += &format!("Sec-WebSocket-Key: {KEY}\r\n");
        for (name, value) in &self.headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let (head, inbound) = http::read_response(&mut stream)?;
        if head.status != 101 {
            return Ok(Err(head));
        }
        assert_eq!(
            head.header("sec-websocket-accept"),
            Some(ACCEPT),
            "{head:?}"
        );
        assert_eq!(head.header("sec-websocket-extensions"), None, "{head:?}");
        Ok(Ok(Client {
            url: self.url.clone(),
            head,
            stream,
            inbound,
            fragments: None,
            aside: VecDeque::new(),
            answers_pings: true,
        }))
    }

    /// Follows 307s by their `Location`, as any client library would, until there is a 101.
    ///
    /// # Panics
    /// When the connection fails, a refusal is no redirect, or there are more than three.
    #[track_caller]
    pub fn connect_following(&self) -> Client {
        let mut handshake = self.clone();
        for _ in 0..4 {
            match handshake.connect() {
                Ok(client) => return client,
                Err(refusal) if refusal.status == 307 => {
                    let location = refusal.header("location").expect("a 307 has a Location");
                    location.clone_into(&mut handshake.url);
                }
                Err(refusal) => panic!("{}: {refusal:?}", handshake.url),
            }
        }
        panic!("more than three redirects from {}", self.url);
    }
}

/// What comes in on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Code, if there is one, and reason.
    Close(Option<u16>, String),
    /// The TCP connection ended (`true`: by a reset).
    End(bool),
}

/// One WebSocket connection. Dropped, it just ends the TCP connection, as a crash would.
#[derive(Debug)]
pub struct Client {
    /// Where it is connected to, redirects followed.
    pub url: String,
    /// The server's 101.
    pub head: Response,
    /// Whether a ping that is read gets its pong; `true` at first.
    pub answers_pings: bool,
    stream: TcpStream,
    inbound: Vec<u8>,
    /// Kind and bytes of a message whose last frame has not come.
    fragments: Option<(u8, Vec<u8>)>,
    /// Texts that were read while another one was looked for.
    aside: VecDeque<String>,
}

impl Client {
    /// As [`Handshake::connect`].
    #[track_caller]
    pub fn connect(url: &str) -> Result<Self, Response> {
        Handshake::to(url).connect()
    }

    /// As [`Handshake::connect_following`].
    #[track_caller]
    pub fn connect_following(url: &str) -> Self {
        Handshake::to(url).connect_following()
    }

    /// Connects, follows, and takes the `welcome` off.
    #[track_caller]
    pub fn welcomed(url: &str) -> (Self, Value) {
        let mut client = Self::connect_following(url);
        let welcome = client.expect("welcome");
        (client, welcome)
    }

    /// Sends one frame, whatever it is.
    ///
    /// # Errors
    /// The connection has ended, or does not take it in time.
    pub fn try_send_frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.stream.write_all(&frames::encode(fin, opcode, payload))
    }

    /// Sends one frame, whatever it is.
    #[track_caller]
    pub fn send_frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) {
        if let Err(e) = self.try_send_frame(fin, opcode, payload) {
            panic!("{}: {e}", self.url);
        }
    }

    /// Sends one text message.
    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        self.send_frame(true, TEXT, text.as_bytes());
    }

    /// Sends several text messages, which the other side reads at once.
    #[track_caller]
    pub fn send_texts(&mut self, texts: &[String]) {
        let frames = texts
            .iter()
            .map(|text| frames::encode(true, TEXT, text.as_bytes()));
        let bytes: Vec<u8> = frames.flatten().collect();
        self.stream.write_all(&bytes).expect("it takes them");
    }

    /// Sends one JSON message.
    #[track_caller]
    pub fn send_json(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    /// Sends a qos 0 message to a user; `body` goes out as it is.
    #[track_caller]
    pub fn send_to(&mut self, user: &str, id: &str, body: &str) {
        self.send_text(&send_text(user, id, body));
    }

    /// The next thing that comes in; `None` when nothing does in this time.
    pub fn event(&mut self, timeout: Duration) -> Option<Event> {
        let deadline = Instant::now() + timeout;
        loop {
            while let Some(frame) = frames::decode(&mut self.inbound) {
                if let Some(event) = self.take(frame) {
                    return Some(event);
                }
            }
            let left = deadline
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1));
            if self.stream.set_read_timeout(Some(left)).is_err() {
                return Some(Event::End(true));
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Some(Event::End(false)),
                Ok(count) => self.inbound.extend_from_slice(&buffer[..count]),
                Err(e) if is_timeout(&e) && Instant::now() >= deadline => return None,
                Err(e) if is_timeout(&e) => {}
                Err(_) => return Some(Event::End(true)),
            }
        }
    }

    fn take(&mut self, frame: frames::Frame) -> Option<Event> {
        match frame.opcode {
            PING => {
                if self.answers_pings {
                    let _ = self.try_send_frame(true, PONG, &frame.payload);
                }
                Some(Event::Ping(frame.payload))
            }
            PONG => Some(Event::Pong(frame.payload)),
            CLOSE => {
                let code = frame
                    .payload
                    .first_chunk()
                    .map(|code| u16::from_be_bytes(*code));
                let reason = frame.payload.get(2..).unwrap_or_default();
                let reason = String::from_utf8(reason.to_vec()).expect("a close reason is UTF-8");
                Some(Event::Close(code, reason))
            }
            TEXT | BINARY | CONTINUATION => self.take_data(frame),
            other => panic!("a frame of kind {other}"),
        }
    }

    fn take_data(&mut self, frame: frames::Frame) -> Option<Event> {
        let started = self.fragments.take();
        let (kind, bytes) = match (started, frame.opcode) {
            (Some((kind, mut bytes)), CONTINUATION) => {
                bytes.extend_from_slice(&frame.payload);
                (kind, bytes)
            }
            (None, TEXT | BINARY) => (frame.opcode, frame.payload),
            (started, opcode) => panic!("frame of kind {opcode} after {started:?}"),
        };
        if !frame.fin {
            self.fragments = Some((kind, bytes));
            return None;
        }
        Some(if kind == TEXT {
            Event::Text(String::from_utf8(bytes).expect("a text is UTF-8"))
        } else {
            Event::Binary(bytes)
        })
    }

    /// The next text message, pings and pongs passed over; `None` when none comes in this time.
    ///
    /// # Panics
    /// When the connection is closed instead.
    #[track_caller]
    pub fn text(&mut self, timeout: Duration) -> Option<String> {
        if let Some(text) = self.aside.pop_front() {
            return Some(text);
        }
        self.new_text(timeout)
    }

    #[track_caller]
    fn new_text(&mut self, timeout: Duration) -> Option<String> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.event(deadline.saturating_duration_since(Instant::now()))? {
                Event::Text(text) => return Some(text),
                Event::Ping(_) | Event::Pong(_) => {}
                other => panic!("{}: {other:?} instead of a message", self.url),
            }
        }
    }

    /// The next message as JSON.
    #[track_caller]
    pub fn recv_json(&mut self, timeout: Duration) -> Value {
        let Some(text) = self.text(timeout) else {
            panic!("{}: no message within {timeout:?}", self.url);
        };
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("no JSON ({e}): {text}"))
    }

    /// The next message, which must be of this type.
    #[track_caller]
    pub fn expect(&mut self, kind: &str) -> Value {
        let message = self.recv_json(PATIENCE);
        assert_eq!(message["type"], kind, "{}: {message}", self.url);
        message
    }

    /// The first message that fits; others are kept for later calls.
    #[track_caller]
    pub fn find(&mut self, timeout: Duration, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let fitting = |text: &String| serde_json::from_str(text).ok().filter(|v| fits(v));
        for index in 0..self.aside.len() {
            if let Some(message) = fitting(&self.aside[index]) {
                self.aside.remove(index);
                return Some(message);
            }
        }
        let deadline = Instant::now() + timeout;
        loop {
            let text = self.new_text(deadline.saturating_duration_since(Instant::now()))?;
            match fitting(&text) {
                Some(message) => return Some(message),
                None => self.aside.push_back(text),
            }
        }
    }

    /// The reply that names this request; others are kept for later calls.
    #[track_caller]
    pub fn reply_to(&mut self, id: &str, timeout: Duration) -> Value {
        let reply = self.find(timeout, |m| m["id"] == id && m["type"] != "message");
        reply.unwrap_or_else(|| panic!("{}: no reply to {id} in {timeout:?}", self.url))
    }

    /// Sends to a user and waits for the receipt: `sent`, or the error code.
    #[track_caller]
    pub fn deliver(&mut self, user: &str, id: &str, body: &str) -> String {
        self.send_to(user, id, body);
        outcome(&self.reply_to(id, Duration::from_secs(20)))
    }

    /// Asserts that the connection still works both ways: a ping is the next thing answered.
    #[track_caller]
    pub fn assert_quiet_and_alive(&mut self) {
        self.send_text(r#"{"type":"ping","id":"alive?"}"#);
        let pong = self.expect("pong");
        assert_eq!(pong["id"], "alive?");
    }

    /// Reads until the server closes, answers its Close, and reads to the end of the connection.
    /// Returns the texts that came first, and the code (`None`: it ended without a Close).
    ///
    /// # Panics
    /// When nothing closes in this time, or anything follows the Close.
    #[track_caller]
    pub fn read_to_close(&mut self, timeout: Duration) -> (Vec<String>, Option<u16>) {
        let deadline = Instant::now() + timeout;
        let mut texts = Vec::from(std::mem::take(&mut self.aside));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.event(left) {
                Some(Event::Text(text)) => texts.push(text),
                Some(Event::Binary(_) | Event::Ping(_) | Event::Pong(_)) => {}
                Some(Event::End(_)) => return (texts, None),
                Some(Event::Close(code, _)) => {
                    let payload = code.map(u16::to_be_bytes);
                    let payload = payload.as_ref().map_or(&[][..], |code| code);
                    let _ = self.try_send_frame(true, CLOSE, payload);
                    let after = self.event(PATIENCE);
                    assert!(
                        matches!(after, Some(Event::End(_))),
                        "{after:?} after a Close"
                    );
                    return (texts, Some(code.unwrap_or(1005)));
                }
                None => panic!("{}: not closed within {timeout:?}: {texts:?}", self.url),
            }
        }
    }

    /// Says goodbye with 1000 and waits for the end of the connection.
    #[track_caller]
    pub fn close(mut self) {
        self.send_frame(true, CLOSE, &1000_u16.to_be_bytes());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(Event::End(_)) = self.event(PATIENCE) {
                return;
            }
        }
        panic!("{}: not ended after a Close", self.url);
    }
}

/// A qos 0 `send` with a body that goes out as it is.
pub fn send_text(user: &str, id: &str, body: &str) -> String {
    let (user, id) = (json!(user), json!(id));
    format!(r#"{{"type":"send","id":{id},"to":{{"user":{user}}},"qos":0,"body":{body}}}"#)
}

/// A receipt's status, or its error code if it failed. Checks the receipt's shape.
#[track_caller]
pub fn outcome(receipt: &Value) -> String {
    assert_eq!(receipt["type"], "receipt", "{receipt}");
    let status = receipt["status"].as_str();
    if status == Some("failed") {
        let error = &receipt["error"];
        assert!(error["message"].is_string(), "{receipt}");
        assert!(error["retry"].is_boolean(), "{receipt}");
        return error["code"].as_str().expect("a code").to_owned();
    }
    assert!(receipt.get("error").is_none(), "{receipt}");
    status.expect("a status").to_owned()
}

/// A URL's address, its authority as written, and its path with the query.
fn split(url: &str) -> io::Result<(SocketAddr, &str, &str)> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("bad URL {url:?}"));
    let after_scheme = url.strip_prefix("ws:").or(url.strip_prefix("http:"));
    let rest = after_scheme.unwrap_or(url);
    let rest = rest.strip_prefix("//").ok_or_else(invalid)?;
    let slash = rest.find('/').ok_or_else(invalid)?;
    let (authority, target) = rest.split_at(slash);
    let mut addresses = authority.to_socket_addrs()?;
    Ok((addresses.next().ok_or_else(invalid)?, authority, target))
}

pub fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
