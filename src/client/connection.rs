//! One WebSocket connection: frames in, frames out, and a good end.
//!
//! Everything is polled and nothing is half done between two polls, so a caller may stop waiting at
//! any time.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};

use super::tls::Socket;
use crate::core::frame::{Decoder, Event, FrameLimits, encode};

/// What one read takes at most.
const READ_BYTES: usize = 16 * 1024;
/// Frames are put together for one write up to this.
const WRITE_BYTES: usize = 16 * 1024;
/// Frames of one message, at most.
const FRAGMENTS_MAX: usize = 4096;
/// With so many frames waiting to be written a ping is not answered: they are answer enough.
const PONG_BEHIND_MAX: usize = 64;
/// From our Close to the end of the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Normal closure.
const NORMAL: u16 = 1000;
/// What stands for a Close without a code (RFC 6455, 7.1.5).
const NO_CODE: u16 = 1005;

/// A connection after its handshake.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    decoder: Decoder,
    limits: FrameLimits,
    /// What was read; what of it is not decoded yet is from `start` to `end`.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Frames to be written, not masked yet. Bounded by the requests that may be outstanding.
    outgoing: VecDeque<Bytes>,
    /// The frames that are being written.
    writing: Bytes,
    /// The server has sent its Close, or broken the protocol: what it sends is not decoded.
    deaf: bool,
    /// Our Close is queued or written.
    closing: bool,
}

/// What came in.
#[derive(Debug)]
pub(super) enum Step {
    /// Bytes.
    Heard,
    /// A message.
    Text(String),
    /// The server's Close. [`Connection::finish`] answers it.
    Closed(u16, String),
    /// The end.
    Broken(String),
}

impl Connection {
    /// Over this socket, with what came behind the handshake.
    pub fn new(socket: Socket, read: &[u8], message_bytes_max: usize) -> Self {
        let mut buffer = vec![0; READ_BYTES.max(read.len())].into_boxed_slice();
        buffer[..read.len()].copy_from_slice(read);
        Self {
            socket,
            decoder: Decoder::of_server(),
            limits: FrameLimits {
                message_bytes_max,
                fragments_max: FRAGMENTS_MAX,
            },
            buffer,
            start: 0,
            end: read.len(),
            outgoing: VecDeque::new(),
            writing: Bytes::new(),
            deaf: false,
            closing: false,
        }
    }

    /// Queues a text message.
    pub fn write_text(&mut self, text: &str) {
        self.outgoing.push_back(encode::text(text.as_bytes()));
    }

    /// Queues a pong that nobody asked for.
    pub fn write_pong(&mut self) {
        self.outgoing.push_back(encode::pong(b""));
    }

    /// Writes what is queued and, if `read`, reads, to the next thing that came in.
    pub fn poll(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Step> {
        loop {
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                return Poll::Ready(Step::Broken(error.to_string()));
            }
            if !read {
                return Poll::Pending;
            }
            if self.start == self.end || self.deaf {
                return self.poll_read(cx);
            }
            let input = &mut self.buffer[self.start..self.end];
            match self.decoder.decode(&self.limits, input) {
                Ok((consumed, event)) => {
                    self.start += consumed;
                    if let Some(step) = event.and_then(|event| self.take(event)) {
                        return Poll::Ready(step);
                    }
                }
                Err(violation) => {
                    self.deaf = true;
                    self.close(Some(violation.code.number()), violation.reason);
                    let reason = format!("it broke the WebSocket protocol: {violation}");
                    return Poll::Ready(Step::Broken(reason));
                }
            }
        }
    }

    fn take(&mut self, event: Event) -> Option<Step> {
        match event {
            Event::Text(text) => {
                // The decoder has checked that it is UTF-8.
                let text = String::from_utf8_lossy(&text).into_owned();
                Some(Step::Text(text))
            }
            Event::Ping(payload) => {
                if self.outgoing.len() < PONG_BEHIND_MAX {
                    self.outgoing.push_back(encode::pong(&payload));
                }
                None
            }
            // This subprotocol has no binary messages.
            Event::Binary(_) | Event::Pong(_) => None,
            Event::Close(said) => {
                self.deaf = true;
                let code = said.as_ref().map(|(code, _)| *code);
                self.close(code, "");
                let (code, reason) = said.unwrap_or((NO_CODE, String::new()));
                Some(Step::Closed(code, reason))
            }
        }
    }

    /// Queues the one Close of this side.
    fn close(&mut self, code: Option<u16>, reason: &str) {
        if !std::mem::replace(&mut self.closing, true) {
            self.outgoing.push_back(encode::close(code, reason));
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer));
        self.start = 0;
        self.end = buffer.filled().len();
        Poll::Ready(match read {
            Ok(()) if self.end == 0 => Step::Broken("it ended without a Close".to_owned()),
            Ok(()) => Step::Heard,
            Err(error) => Step::Broken(error.to_string()),
        })
    }

    /// Ready when everything is written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.writing.is_empty() {
                self.writing = self.next_batch();
            }
            if self.writing.is_empty() {
                return Pin::new(&mut self.socket).poll_flush(cx);
            }
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.writing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.writing.advance(written);
        }
    }

    /// Takes one frame, or as many small ones as make a write worth its while.
    fn next_batch(&mut self) -> Bytes {
        let Some(first) = self.outgoing.pop_front() else {
            return Bytes::new();
        };
        let first = encode::masked(&first, rand::random());
        if self.outgoing.is_empty() || first.len() >= WRITE_BYTES {
            return first;
        }
        let mut batch = Vec::from(first);
        while batch.len() < WRITE_BYTES
            && let Some(frame) = self.outgoing.pop_front()
        {
            batch.extend_from_slice(&encode::masked(&frame, rand::random()));
        }
        batch.into()
    }

    /// Writes what is queued, closes as RFC 6455 wants it, and waits for the server to do the same,
    /// for two seconds at most.
    pub async fn finish(mut self) {
        let goodbye = async {
            self.close(Some(NORMAL), "");
            poll_fn(|cx| self.poll_write(cx)).await?;
            loop {
                match poll_fn(|cx| self.poll(cx, true)).await {
                    Step::Heard | Step::Text(_) | Step::Closed(..) => {}
                    Step::Broken(_) => return self.socket.shutdown().await,
                }
            }
        };
        // Past the limit the socket is closed as it is.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
    }
}
