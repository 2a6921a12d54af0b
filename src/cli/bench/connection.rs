//! An open WebSocket of the load test, which reads and writes in batches, and why it ended.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::OpCode;
use ringpost::client::Socket;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::timeout;

use super::frames;

/// What one read takes at most.
const READ_BYTES: usize = 64 * 1024;
/// A connection with more room than this keeps it while nothing comes.
const KEPT_BYTES_MIN: usize = 4096;

thread_local! {
    /// What all connections of a thread read into: those that only wait need no room.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// How long a close may take.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a connection could not be opened, or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it is counted under: `refused`, `http_503`, `close_1012`, …
    pub code: String,
    /// One sentence.
    pub sentence: String,
    /// Whether the other side said that it is of no use to try again.
    pub is_final: bool,
}

impl Failure {
    pub fn new(code: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            sentence: sentence.into(),
            is_final: false,
        }
    }

    fn closed(payload: &[u8]) -> Self {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return Self::new("close", "the node closed the connection");
        };
        let code = u16::from_be_bytes(*code);
        let reason = String::from_utf8_lossy(reason);
        Self {
            code: format!("close_{code}"),
            sentence: format!("the node closed the connection with {code} {reason}"),
            is_final: matches!(code, 1000 | 1002 | 1007 | 1009 | 4500..=4999),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(io_code(&error), format!("the connection broke: {error}"))
    }
}

/// What an error is counted under.
pub fn io_code(error: &io::Error) -> &'static str {
    // EMFILE has no kind of its own.
    if cfg!(unix) && error.raw_os_error() == Some(24) {
        return "too_many_open_files";
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset",
        io::ErrorKind::TimedOut => "timeout",
        io::ErrorKind::AddrNotAvailable => "no_free_port",
        _ => "io",
    }
}

/// An open WebSocket.
pub struct Connection {
    stream: Socket,
    /// Read and not yet a whole frame.
    input: Vec<u8>,
    /// Frames to be written, from `written` on. The owner bounds it.
    output: Vec<u8>,
    written: usize,
}

impl Connection {
    /// A connection whose handshake is done, with what was read behind its end.
    pub fn new(stream: Socket, read: &Bytes) -> Self {
        Self {
            stream,
            input: read.to_vec(),
            output: Vec::new(),
            written: 0,
        }
    }

    /// Frames to be written; to be appended to only.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Writes what the socket takes without waiting.
    pub fn flush(&mut self) -> Result<(), Failure> {
        // Whoever waits for more asks again, in `turn`.
        match self.poll_flush(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(flushed) => flushed.map_err(Failure::from),
            Poll::Pending => Ok(()),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let rest = &self.output[self.written..];
            let bytes = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += bytes;
        }
        self.output.clear();
        self.written = 0;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ready with the number of bytes that were read.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            self.input.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    }

    /// Writes what there is to write, and waits until something was read or all is written.
    /// May be dropped at any point.
    pub async fn turn(&mut self) -> Result<(), Failure> {
        self.flush()?;
        let waits = !self.output.is_empty();
        let read = poll_fn(|cx| match self.poll_flush(cx) {
            Poll::Ready(Ok(())) if waits => Poll::Ready(Ok(None)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => self.poll_read(cx).map_ok(Some),
        });
        match read.await? {
            Some(0) => Err(Failure::new("eof", "the node ended the connection")),
            Some(_) | None => Ok(()),
        }
    }

    /// Gives every whole text message, with the output for answers, until `take` returns false.
    /// Answers pings. A close is a failure, after the messages before it.
    pub fn each_text(
        &mut self,
        mut take: impl FnMut(&[u8], &mut Vec<u8>) -> bool,
    ) -> Result<(), Failure> {
        let bad = |reason| Failure::new("protocol", format!("the node sent {reason}"));
        let mut at = 0;
        while let Some(frame) = frames::first(&self.input[at..]).map_err(bad)? {
            at += frame.bytes;
            let payload = frame.payload;
            match frame.opcode {
                OpCode::Text => {
                    if !take(payload, &mut self.output) {
                        break;
                    }
                }
                OpCode::Ping => append(&mut self.output, OpCode::Pong, payload),
                OpCode::Close => return Err(Failure::closed(payload)),
                OpCode::Pong | OpCode::Binary | OpCode::Continuation => {}
            }
        }
        if at == self.input.len() && self.input.capacity() < KEPT_BYTES_MIN {
            // Many connections that say little keep no memory.
            self.input = Vec::new();
        } else {
            self.input.drain(..at);
        }
        Ok(())
    }

    /// Puts a close behind what there is to write. Nothing may be added after it.
    pub fn begin_close(&mut self) {
        append(&mut self.output, OpCode::Close, &1000_u16.to_be_bytes());
    }

    /// Closes, and waits a little for the other side's end.
    pub async fn close(mut self) {
        self.begin_close();
        let ended = async {
            while self.turn().await.is_ok() {
                self.input.clear();
            }
        };
        // Whoever does not answer a close is left alone.
        let _ = timeout(CLOSE_TIMEOUT, ended).await;
    }
}

fn append(output: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    frames::append(output, opcode, rand::random(), payload.len(), |output| {
        output.extend_from_slice(payload);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_says_whether_to_come_back() {
        for (payload, code, is_final) in [
            (&b""[..], "close", false),
            (b"\x03\xe8bye", "close_1000", true),
            (b"\x03\xf4", "close_1012", false),
            (b"\x10\xd3", "close_4307", false),
            (b"\x11\x95", "close_4501", true),
        ] {
            let failure = Failure::closed(payload);
            assert_eq!((failure.code.as_str(), failure.is_final), (code, is_final));
        }
    }
}
