//! A raw WebSocket client over a blocking socket, for tests that must be able to do everything wrong.
//!
//! It checks nothing of what it sends, and of what it receives only that it is frames.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;

/// How long a server may take over anything that is asked of it. Generous: debug builds on a busy
/// machine echo megabytes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The key of RFC 6455, section 1.3, and the answer that goes with it there.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A frame to the server: by default final, masked, and with its length in the shortest form.
#[derive(Debug, Clone)]
pub struct ClientFrame {
    pub fin: bool,
    /// The three bits for extensions, 0 to 7.
    pub rsv: u8,
    /// 0 to 15.
    pub opcode: u8,
    pub length: LengthForm,
    pub mask: Option<[u8; 4]>,
    pub payload: Vec<u8>,
}

/// How a header gives the length.
#[derive(Debug, Clone, Copy)]
pub enum LengthForm {
    /// The payload's, in the shortest form.
    Shortest,
    /// This number in 7 bits, true or not.
    Bits7(u8),
    /// This number in 16 bits, true or not.
    Bits16(u16),
    /// This number in 64 bits, true or not.
    Bits64(u64),
}

impl ClientFrame {
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self {
            fin: true,
            rsv: 0,
            opcode,
            length: LengthForm::Shortest,
            mask: Some([0x37, 0xfa, 0x21, 0x3d]),
            payload: payload.as_ref().to_vec(),
        }
    }

    pub fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::new(TEXT, payload)
    }

    pub fn binary(payload: impl AsRef<[u8]>) -> Self {
        Self::new(BINARY, payload)
    }

    pub fn ping(payload: impl AsRef<[u8]>) -> Self {
        Self::new(PING, payload)
    }

    pub fn pong(payload: impl AsRef<[u8]>) -> Self {
        Self::new(PONG, payload)
    }

    /// The last frame of a fragmented message, or with [`Self::more`] one in the middle.
    pub fn continuation(payload: impl AsRef<[u8]>) -> Self {
        Self::new(CONTINUATION, payload)
    }

    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        Self::new(CLOSE, [&code.to_be_bytes()[..], reason.as_ref()].concat())
    }

    /// Not the last frame of its message.
    pub fn more(mut self) -> Self {
        self.fin = false;
        self
    }

    pub fn rsv(mut self, rsv: u8) -> Self {
        self.rsv = rsv;
        self
    }

    pub fn length(mut self, length: LengthForm) -> Self {
        self.length = length;
        self
    }

    pub fn mask(mut self, mask: Option<[u8; 4]>) -> Self {
        self.mask = mask;
        self
    }

    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let form = match (self.length, self.payload.len()) {
            (LengthForm::Shortest, length @ 0..126) => {
                LengthForm::Bits7(u8::try_from(length).expect("below 126"))
            }
            (LengthForm::Shortest, length @ 126..65536) => {
                LengthForm::Bits16(u16::try_from(length).expect("below 65536"))
            }
            (LengthForm::Shortest, length) => LengthForm::Bits64(length as u64),
            (form, _) => form,
        };
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match form {
            LengthForm::Bits7(length) => bytes.push(masked | length),
            LengthForm::Bits16(length) => {
                bytes.push(masked | 0x7e);
                bytes.extend(length.to_be_bytes());
            }
            LengthForm::Bits64(length) => {
                bytes.push(masked | 0x7f);
                bytes.extend(length.to_be_bytes());
            }
            LengthForm::Shortest => unreachable!("resolved above"),
        }
        let mask = self.mask.unwrap_or_default();
        bytes.extend(&mask[..if self.mask.is_some() { 4 } else { 0 }]);
        bytes.extend(
            self.payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
        bytes
    }
}

/// A frame from the server.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerFrame {
    pub fin: bool,
    pub rsv: u8,
    pub opcode: u8,
    /// A server's frames must not be.
    pub masked: bool,
    /// As on the wire.
    pub payload: Vec<u8>,
}

impl ServerFrame {
    /// The code of a close, if it has one.
    pub fn close_code(&self) -> Option<u16> {
        let code = self.payload.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*code))
    }
}

impl fmt::Debug for ServerFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = &self.payload[..self.payload.len().min(40)];
        write!(
            f,
            "frame fin={} rsv={} opcode={:#x} masked={} of {} bytes \"{}\"",
            self.fin,
            self.rsv,
            self.opcode,
            self.masked,
            self.payload.len(),
            start.escape_ascii(),
        )
    }
}

/// A connection after a handshake that succeeded.
#[derive(Debug)]
pub struct RawWs {
    stream: TcpStream,
    /// Received and not yet read as a frame: `received[read..]`.
    received: Vec<u8>,
    read: usize,
    /// The head of the server's 101, for tests that look at it.
    pub response_head: String,
}

impl RawWs {
    /// Connects to `host:port` and asks for `path`, which includes the query.
    ///
    /// # Errors
    /// What the socket says, or a sentence with the status line if the answer is not a good 101.
    pub fn connect(address: &str, path: &str) -> io::Result<Self> {
        Self::connect_with(address, path, &[])
    }

    /// The same with header fields added to the request.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_with(address: &str, path: &str, fields: &[(&str, &str)]) -> io::Result<Self> {
        let to = address
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| other("the address does not resolve"))?;
        let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self {
            stream,
            received: Vec::new(),
            read: 0,
            response_head: String::new(),
        };
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
        );
        for (name, value) in fields {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        client.send_raw(request.as_bytes())?;
        client.read_response_head()?;
        Ok(client)
    }

    fn read_response_head(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let end = loop {
            if let Some(at) = self
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                break at + 4;
            }
            if !self.receive(deadline)? {
                return Err(other("the connection ended inside the handshake"));
            }
        };
        self.read = end;
        self.response_head = String::from_utf8_lossy(&self.received[..end]).into_owned();
        let status = self.response_head.lines().next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 101 ") {
            return Err(other(&format!("the handshake was answered {status:?}")));
        }
        if self.response_field("sec-websocket-accept") != Some(ACCEPT) {
            return Err(other("Sec-WebSocket-Accept is missing or wrong"));
        }
        Ok(())
    }

    /// A header field of the 101, by its name in lower case.
    pub fn response_field(&self, name: &str) -> Option<&str> {
        self.response_head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field
                .eq_ignore_ascii_case(name)
                .then_some(value.trim_matches([' ', '\t']))
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// What the socket says, [`ErrorKind::BrokenPipe`] or [`ErrorKind::ConnectionReset`] when the
    /// server has closed.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes in pieces of `size`, each a packet of its own as far as TCP lets one say so.
    ///
    /// # Errors
    /// As [`Self::send_raw`].
    pub fn send_chopped(&mut self, bytes: &[u8], size: usize) -> io::Result<()> {
        bytes
            .chunks(size)
            .try_for_each(|piece| self.send_raw(piece))
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// As [`Self::send_raw`].
    pub fn send(&mut self, frame: &ClientFrame) -> io::Result<()> {
        self.send_raw(&frame.encode())
    }

    /// Ends this side's half of the connection.
    ///
    /// # Errors
    /// What the socket says.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// The next frame of the server, within [`PATIENCE`]; `None`: it closed the connection.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], [`ErrorKind::UnexpectedEof`] inside a frame, or what the socket says.
    pub fn read_frame(&mut self) -> io::Result<Option<ServerFrame>> {
        self.read_frame_within(PATIENCE)
    }

    /// The same within a time of the caller's.
    ///
    /// # Errors
    /// As [`Self::read_frame`].
    pub fn read_frame_within(&mut self, time: Duration) -> io::Result<Option<ServerFrame>> {
        let deadline = Instant::now() + time;
        loop {
            if let Some((frame, length)) = parse(&self.received[self.read..]) {
                self.read += length;
                return Ok(Some(frame));
            }
            self.received.drain(..self.read);
            self.read = 0;
            if !self.receive(deadline)? {
                if self.received.is_empty() {
                    return Ok(None);
                }
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads the close that has to be the next frame, answers nothing, and waits for the end of the
    /// connection, which has to follow. The code, if there was one.
    ///
    /// # Errors
    /// A sentence that says what came instead.
    pub fn read_close(&mut self) -> io::Result<Option<u16>> {
        let code = self.read_close_frame()?;
        self.read_end()?;
        Ok(code)
    }

    /// Reads the close that has to be the next frame. The code, if there was one.
    ///
    /// # Errors
    /// A sentence that says what came instead.
    pub fn read_close_frame(&mut self) -> io::Result<Option<u16>> {
        match self.read_frame()? {
            Some(frame) if frame.opcode == CLOSE => Ok(frame.close_code()),
            Some(frame) => Err(other(&format!("wanted a close, got a {frame:?}"))),
            None => Err(other("the connection ended without a close")),
        }
    }

    /// Waits for the end of the connection, which has to be next. A reset counts: a server that
    /// closes while bytes of the client are unread causes one.
    ///
    /// # Errors
    /// A sentence that says what came instead.
    pub fn read_end(&mut self) -> io::Result<()> {
        match self.read_frame() {
            Ok(None) => Ok(()),
            Ok(Some(frame)) => Err(other(&format!("wanted the end, got a {frame:?}"))),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Receives more; false at the end of the stream.
    fn receive(&mut self, deadline: Instant) -> io::Result<bool> {
        let mut buffer = [0; 8192];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    self.received.extend_from_slice(&buffer[..length]);
                    return Ok(true);
                }
                // A read that timed out is `WouldBlock` on Unix; the loop finds the time is up.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The frame at the front of `bytes` and its length on the wire, if it is all there.
fn parse(bytes: &[u8]) -> Option<(ServerFrame, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            let length = usize::try_from(u64::from_be_bytes(*length));
            (length.expect("a server's frame fits into memory"), rest)
        }
        short => (usize::from(short), rest),
    };
    let masked = second & 0x80 != 0;
    let rest = if masked { rest.get(4..)? } else { rest };
    let payload = rest.get(..length)?.to_vec();
    let frame = ServerFrame {
        fin: first & 0x80 != 0,
        rsv: (first >> 4) & 7,
        opcode: first & 0xf,
        masked,
        payload,
    };
    Some((frame, bytes.len() - rest.len() + length))
}

fn other(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}
