//! One session's socket: bytes in, events out; queued frames out; heartbeats.
//!
//! An idle session keeps no buffer. Reads go into one scratch buffer a thread, from which the
//! decoder takes what it needs within the same poll; a frame that is not complete is kept by the
//! decoder. So a session costs its task, its socket and its entry in the directory.

mod program;
mod rate;
mod requests;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Server;
use super::heartbeat::{Beat, Heartbeat, Looks};
use super::{close, scratch};
use crate::core::frame::{self, Decoder, Event, FrameLimits, Violation};
use crate::core::protocol::{Encoding, Reply};
use crate::core::stream::Position;
use crate::dispatch::{FEED_BYTES, Session, Taken};
use crate::error::{CloseCode, ErrorCode};
use crate::handler::{Connection, Message};

/// While more than this waits to be written to a client, nothing is read from it.
const BACKPRESSURE_BYTES: usize = 64 * 1024;
/// How long a Close frame may wait behind what the client does not read.
const CLOSE_WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// After so many messages in a row that are not the protocol's, the session is closed.
const STRANGE_MAX: u8 = 10;

/// Runs a session until its connection is over. `already_read` came behind the handshake.
pub(super) async fn run<S>(
    server: &Server,
    (session, remote): (&Arc<Session>, SocketAddr),
    socket: S,
    already_read: Bytes,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut pump = Pump::new(server, session, socket);
    pump.connection = program::connection(server, session, remote);
    let end = pump.serve(already_read).await;
    tracing::debug!(?end, "session ended");
    pump.end(end).await;
    // Others know before the handler does, which may take its time.
    session.outbox().answer_close(None);
    server.dispatch.close(session);
    if pump.stage != Stage::Waiting && pump.connection.is_some() {
        Box::pin(pump.tell_close()).await;
    }
}

/// Frames that one write takes at most.
const WRITE_FRAMES: usize = 64;

/// What is made of a client's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The session was not let in yet: they wait.
    Waiting,
    /// They are read.
    Open,
    /// The client broke the WebSocket protocol: nothing more can be made of them.
    Broken,
}

struct Pump<'a, S> {
    server: &'a Server,
    session: &'a Arc<Session>,
    socket: S,
    decoder: Decoder,
    stage: Stage,
    /// Taken from the outbox and not yet written as a whole.
    writing: VecDeque<Bytes>,
    /// The Close frame is in `writing` or written.
    last_taken: bool,
    /// By when a queued Close frame must be written.
    close_by: Option<Instant>,
    heartbeat: Heartbeat,
    strange: u8,
    /// It is not read, for the receipts that it waits for.
    paused: bool,
    /// The furthest ack of what was read. Acks are cumulative, and free: only one of many is passed on.
    ack: Option<Position>,
    sent: rate::Sent,
    /// What waits is written the next time round.
    put_off: bool,
    /// The session as the program's handler sees it.
    connection: Option<Connection>,
}

/// Why a session's loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The socket is gone.
    Gone,
    /// The client sent its Close frame first, with this code.
    ClosedByClient(Option<u16>),
    /// Our Close frame is written and the client has not answered it yet.
    ClosedByUs,
}

enum Step {
    /// The session was let in, or is sent away.
    Opened,
    Events(Vec<Event>),
    Violation(Vec<Event>, Violation),
    Deadline,
    End(End),
}

impl<'a, S> Pump<'a, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn new(server: &'a Server, session: &'a Arc<Session>, socket: S) -> Self {
        Self {
            server,
            session,
            socket,
            decoder: Decoder::new(),
            stage: Stage::Waiting,
            writing: VecDeque::new(),
            last_taken: false,
            close_by: None,
            heartbeat: Heartbeat::new(server, session),
            strange: 0,
            paused: false,
            ack: None,
            sent: rate::Sent::default(),
            put_off: false,
            connection: None,
        }
    }

    async fn serve(&mut self, mut already_read: Bytes) -> End {
        let mut timer = pin!(sleep_until(self.heartbeat.deadline()));
        loop {
            let step = poll_fn(|cx| self.poll_step(cx, timer.as_mut())).await;
            let end = match step {
                Step::Opened => self.open(std::mem::take(&mut already_read)).await,
                Step::Events(events) => self.take_events(events).await,
                Step::Violation(events, violation) => {
                    let end = self.take_events(events).await;
                    self.break_off(violation);
                    end
                }
                Step::Deadline => self.on_deadline(),
                Step::End(end) => Some(end),
            };
            let deadline = self.heartbeat.deadline();
            if self.close_by.is_none() && (deadline < timer.deadline() || timer.is_elapsed()) {
                timer.as_mut().reset(deadline);
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Begins with a session that was let in. What handlers need is boxed: a session without one should
    /// not carry it along.
    async fn open(&mut self, already_read: Bytes) -> Option<End> {
        if self.session.outbox().is_closing() {
            // It was not let in: the handler never hears of it.
            self.connection = None;
        } else if self.connection.is_some() {
            Box::pin(self.tell_open()).await;
        }
        if already_read.is_empty() {
            return None;
        }
        let mut first = already_read.to_vec();
        Box::pin(self.take_bytes(&mut first)).await
    }

    fn poll_step(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<Step> {
        let (closing, queued) = self.session.outbox().poll_state(cx);
        if self.stage == Stage::Waiting && !self.session.outbox().is_held() {
            self.stage = Stage::Open;
            return Poll::Ready(Step::Opened);
        }
        if closing && self.close_by.is_none() {
            let close_by = Instant::now() + CLOSE_WRITE_TIMEOUT;
            self.close_by = Some(close_by);
            timer.as_mut().reset(close_by);
        }
        if queued > 0 && self.writing.is_empty() && !self.put_off {
            // Those who are about to run may have more for it: one write takes all of that.
            self.put_off = true;
            cx.waker().wake_by_ref();
        } else {
            self.put_off = false;
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Step::End(End::ClosedByUs)),
                Poll::Ready(Err(_)) => return Poll::Ready(Step::End(End::Gone)),
                Poll::Pending => {}
            }
        }
        let pending_max = self.server.config.limits.pending_sends_max;
        // A receipt is written to the outbox, and so wakes this up.
        let waits = self.session.pending() >= pending_max;
        if waits {
            // It is not read, and so cannot be heard.
            self.heartbeat.alive();
            if !self.paused {
                self.server.dispatch.counters().sends_paused.add();
            }
        }
        self.paused = waits;
        // What has just been written does not count: nothing would wake this up to read.
        let full = waits
            || queued > BACKPRESSURE_BYTES && self.session.outbox().bytes() > BACKPRESSURE_BYTES;
        if self.stage != Stage::Waiting && !full && !self.last_taken {
            match self.poll_read(cx) {
                Poll::Ready(Ok(step)) => return Poll::Ready(step),
                Poll::Ready(Err(_)) => return Poll::Ready(Step::End(End::Gone)),
                Poll::Pending => {}
            }
        }
        timer.poll(cx).map(|()| Step::Deadline)
    }

    /// Writes what is queued; ready only when the Close frame is written, or on an error.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.writing.is_empty() {
                if self.last_taken {
                    return Pin::new(&mut self.socket).poll_flush(cx);
                }
                // An idle session keeps no buffer.
                self.writing = VecDeque::new();
                match self.session.outbox().poll_take(cx, &mut self.writing) {
                    Poll::Ready(taken) => self.last_taken = taken == Taken::Last,
                    Poll::Pending => {
                        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
                        return Poll::Pending;
                    }
                }
            }
            let mut slices = [IoSlice::new(&[]); WRITE_FRAMES];
            for (slice, frame) in slices.iter_mut().zip(&self.writing) {
                *slice = IoSlice::new(frame);
            }
            let count = self.writing.len().min(WRITE_FRAMES);
            let socket = Pin::new(&mut self.socket);
            let written = ready!(socket.poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote(written);
        }
    }

    fn wrote(&mut self, mut written: usize) {
        let queued = self.session.outbox().written(written);
        if queued <= FEED_BYTES / 2 && self.session.take_hungry() {
            self.server.dispatch.feed_session(self.session);
        }
        if queued > BACKPRESSURE_BYTES {
            // Nothing is read now; but only a client that reads lets us write on.
            self.heartbeat.alive();
        }
        while written > 0
            && let Some(front) = self.writing.front_mut()
        {
            let part = written.min(front.len());
            front.advance(part);
            written -= part;
            if front.is_empty() {
                self.writing.pop_front();
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        scratch::poll_read(&mut self.socket, cx, |read| {
            if read.is_empty() {
                return Step::End(End::Gone);
            }
            self.heartbeat.alive();
            decode(&mut self.decoder, &self.server.frames, read)
        })
    }

    async fn take_bytes(&mut self, bytes: &mut [u8]) -> Option<End> {
        match decode(&mut self.decoder, &self.server.frames, bytes) {
            Step::Events(events) => self.take_events(events).await,
            Step::Violation(events, violation) => {
                let end = self.take_events(events).await;
                self.break_off(violation);
                end
            }
            Step::Opened | Step::Deadline | Step::End(_) => None,
        }
    }

    async fn take_events(&mut self, events: Vec<Event>) -> Option<End> {
        let end = self.take_each(events).await;
        if let Some(position) = self.ack.take() {
            self.server.dispatch.ack(self.session, position);
        }
        end
    }

    async fn take_each(&mut self, events: Vec<Event>) -> Option<End> {
        for event in events {
            match event {
                Event::Text(_) | Event::Binary(_) if self.session.outbox().is_closing() => {}
                Event::Text(_) | Event::Binary(_) if !self.may_hand_over() => {}
                Event::Text(text) if self.connection.is_some() => {
                    Box::pin(self.hand_over(Message::Text(text))).await;
                }
                Event::Text(text) => self.take(Encoding::Json, &text),
                Event::Binary(bytes) if self.connection.is_some() => {
                    Box::pin(self.hand_over(Message::Binary(bytes))).await;
                }
                Event::Binary(bytes) => self.take(Encoding::Proto, &bytes),
                Event::Ping(payload) => {
                    self.session.push(frame::encode::pong(&payload));
                }
                Event::Pong(_) => {}
                Event::Close(reason) => {
                    return Some(End::ClosedByClient(reason.map(|(code, _)| code)));
                }
            }
        }
        None
    }

    fn break_off(&mut self, violation: Violation) {
        self.stage = Stage::Broken;
        self.server.dispatch.counters().protocol_errors.add();
        self.session
            .outbox()
            .finish(violation.code, violation.reason);
    }

    fn on_deadline(&mut self) -> Option<End> {
        let now = Instant::now();
        if let Some(close_by) = self.close_by {
            // The Close frame could not be written in time.
            return (now >= close_by).then_some(End::Gone);
        }
        let expires_at = self.session.expires_at();
        let unix_ms = self.server.dispatch.unix_ms();
        let tokens = self.server.tokens.as_ref();
        let looks = Looks {
            limits: &self.server.config.limits,
            welcomed: self.session.is_welcomed(),
            token_left_ms: expires_at.map(|at| at.saturating_sub(unix_ms)),
            warning_ms: tokens.map_or(0, |tokens| tokens.warning_ms),
        };
        match self.heartbeat.beat(now, &looks) {
            Beat::Idle => {}
            Beat::TokenExpiring(in_ms) => {
                self.session.tell(&Reply::TokenExpiring { in_ms });
            }
            Beat::TokenExpired => {
                self.server.dispatch.counters().tokens_expired.add();
                let (code, close) = (ErrorCode::NotAllowed, CloseCode::Unauthorized);
                self.session.refuse(code, "the token has expired", close);
            }
            Beat::NotWelcome => {
                self.server.dispatch.counters().handshakes_refused.add();
                let message = "the user's node cannot be reached";
                let code = ErrorCode::Unreachable;
                self.session.refuse(code, message, CloseCode::TryLater);
            }
            Beat::Ping => {
                self.session.push(frame::encode::ping(b""));
            }
            Beat::Missed => {
                self.server.dispatch.counters().heartbeats_missed.add();
                let reason = "nothing heard in the heartbeat time";
                self.session
                    .outbox()
                    .finish(CloseCode::HeartbeatMissed, reason);
            }
        }
        None
    }

    /// Ends the connection as RFC 6455 wants it: Close frames both ways, then TCP.
    async fn end(&mut self, end: End) {
        let outbox = self.session.outbox();
        let goodbye = async {
            match end {
                End::Gone => return Ok(()),
                End::ClosedByClient(code) => {
                    outbox.answer_close(code);
                    poll_fn(|cx| self.poll_write(cx)).await?;
                    self.socket.shutdown().await?;
                }
                End::ClosedByUs if self.stage == Stage::Broken => self.socket.shutdown().await?,
                End::ClosedByUs => {}
            }
            if self.stage == Stage::Broken {
                close::wait_for_end(&mut self.socket).await
            } else {
                let frames = &self.server.frames;
                close::wait_for_close(&mut self.socket, &mut self.decoder, frames).await
            }
        };
        // Past the limit the socket is closed as it is.
        let _ = tokio::time::timeout(close::TIMEOUT, goodbye).await;
        if outbox.close_code() == Some(CloseCode::TooSlow.number()) {
            self.server.dispatch.counters().slow_readers.add();
        }
        let _ = tokio::time::timeout(close::TIMEOUT, self.socket.shutdown()).await;
    }
}

fn decode(decoder: &mut Decoder, limits: &FrameLimits, mut input: &mut [u8]) -> Step {
    let mut events = Vec::new();
    while !input.is_empty() {
        match decoder.decode(limits, input) {
            // What follows a Close frame means nothing.
            Ok((_, Some(close @ Event::Close(_)))) => {
                events.push(close);
                break;
            }
            Ok((consumed, event)) => {
                events.extend(event);
                input = &mut input[consumed..];
            }
            Err(violation) => return Step::Violation(events, violation),
        }
    }
    Step::Events(events)
}
