//! What waits to be written to one session: whole frames, bounded in bytes.
//!
//! An outbox costs nothing while it is empty: no channel, no buffer. When it is full its session
//! reads too slowly: what waits is dropped and the session is closed with 4413.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::core::frame;
use crate::error::CloseCode;

/// Frames taken for one write: more would not go into one `writev`.
const BATCH_FRAMES: usize = 64;

/// The queue of one session.
#[derive(Debug)]
pub struct Outbox {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    frames: VecDeque<Bytes>,
    /// Bytes of the frames that wait or are being written.
    bytes: usize,
    /// Nothing is written before the session is opened, and then its welcome first.
    held: bool,
    /// The close frame is the last one: nothing is queued behind it.
    closing: bool,
    /// The code of that frame, if the node has closed the session.
    close_code: Option<u16>,
    /// Whoever writes, while there is nothing to write.
    writer: Option<Waker>,
}

/// What [`Outbox::poll_take`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Frames to write, and there may be more.
    Frames,
    /// As before, and the last of them is the Close frame.
    Last,
}

impl Outbox {
    /// An empty, held outbox.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                frames: VecDeque::new(),
                bytes: 0,
                held: true,
                closing: false,
                close_code: None,
                writer: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below is complete before it could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame. Says whether it was taken: it is not once the session is closing, which an
    /// overfull queue makes it (`bytes_max`).
    pub fn push(&self, frame: Bytes, bytes_max: usize) -> bool {
        let mut inner = self.lock();
        if inner.closing {
            return false;
        }
        if inner.bytes > 0 && inner.bytes + frame.len() > bytes_max {
            inner.frames.clear();
            inner.held = false;
            inner.close(CloseCode::TooSlow.number(), "reads too slowly");
            inner.wake();
            return false;
        }
        inner.bytes += frame.len();
        inner.frames.push_back(frame);
        inner.wake();
        true
    }

    /// Lets the frames out, `first` before all others.
    pub fn open(&self, first: Option<Bytes>) {
        let mut inner = self.lock();
        if let Some(first) = first {
            inner.bytes += first.len();
            inner.frames.push_front(first);
        }
        inner.held = false;
        inner.wake();
    }

    /// Queues the Close frame behind what waits. Only the first call counts; says whether it was this
    /// one.
    pub fn finish(&self, code: CloseCode, reason: &str) -> bool {
        self.finish_as(code.number(), reason)
    }

    /// As [`Self::finish`], with any code.
    ///
    /// What waits for a welcome that has not come is dropped.
    pub fn finish_as(&self, code: u16, reason: &str) -> bool {
        let mut inner = self.lock();
        let first = !inner.closing;
        inner.forgo();
        inner.close(code, reason);
        inner.wake();
        first
    }

    /// As [`Self::finish`], with `last` before the Close frame.
    pub fn refuse(&self, last: Option<Bytes>, code: CloseCode, reason: &str) {
        let mut inner = self.lock();
        inner.forgo();
        if let Some(last) = last.filter(|_| !inner.closing) {
            inner.bytes += last.len();
            inner.frames.push_back(last);
        }
        inner.close(code.number(), reason);
        inner.wake();
    }

    /// Answers the client's Close frame with its own code, unless one is queued already.
    pub fn answer_close(&self, code: Option<u16>) {
        let mut inner = self.lock();
        inner.forgo();
        if !inner.closing {
            inner.end(code, "");
        }
    }

    /// Bytes that wait or are being written.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Whether nothing is written yet: the session was neither let in nor sent away.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.lock().held
    }

    /// Whether a Close frame is queued or written.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// The code with which the node has closed the session: that of the Close frame that is queued or
    /// written, unless it answers the client's.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        self.lock().close_code
    }

    /// Whether a Close frame is queued or written, and how many bytes wait or are being written.
    /// The caller is woken when something is queued.
    pub fn poll_state(&self, cx: &Context<'_>) -> (bool, usize) {
        let mut inner = self.lock();
        inner.remember(cx.waker());
        (inner.closing, inner.bytes)
    }

    /// Moves the next frames to write into `batch`, or wakes the caller when there are some.
    pub fn poll_take(&self, cx: &Context<'_>, batch: &mut VecDeque<Bytes>) -> Poll<Taken> {
        let mut inner = self.lock();
        if inner.held || inner.frames.is_empty() {
            inner.remember(cx.waker());
            return Poll::Pending;
        }
        let count = inner.frames.len().min(BATCH_FRAMES);
        batch.extend(inner.frames.drain(..count));
        if inner.frames.is_empty() {
            // An idle session keeps no buffer.
            inner.frames = VecDeque::new();
            if inner.closing {
                return Poll::Ready(Taken::Last);
            }
        }
        Poll::Ready(Taken::Frames)
    }

    /// That many bytes of what was taken are written; says how many are left.
    pub fn written(&self, bytes: usize) -> usize {
        let mut inner = self.lock();
        inner.bytes = inner.bytes.saturating_sub(bytes);
        inner.bytes
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    fn remember(&mut self, writer: &Waker) {
        match &mut self.writer {
            Some(waker) => waker.clone_from(writer),
            none => *none = Some(writer.clone()),
        }
    }

    /// It is opened without a welcome: nothing that waits for that is written.
    fn forgo(&mut self) {
        if self.held {
            self.held = false;
            self.frames.clear();
            self.bytes = 0;
        }
    }

    /// The node closes the session, if that is not ending already.
    fn close(&mut self, code: u16, reason: &str) {
        if !self.closing {
            self.close_code = Some(code);
            self.end(Some(code), reason);
        }
    }

    fn end(&mut self, code: Option<u16>, reason: &str) {
        self.closing = true;
        let frame = frame::encode::close(code, reason);
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    fn wake(&mut self) {
        if !self.held
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(outbox: &Outbox) -> (Poll<Taken>, Vec<Bytes>) {
        let mut batch = VecDeque::new();
        let taken = outbox.poll_take(&Context::from_waker(Waker::noop()), &mut batch);
        (taken, batch.into())
    }

    #[test]
    fn nothing_goes_out_before_the_welcome_and_that_goes_first() {
        let outbox = Outbox::new();
        assert!(outbox.push(Bytes::from("message"), 100));
        assert_eq!(take(&outbox).0, Poll::Pending);
        outbox.open(Some(Bytes::from("welcome")));
        assert_eq!(take(&outbox).1, ["welcome", "message"]);
    }

    #[test]
    fn who_is_sent_away_before_the_welcome_gets_nothing_that_waits_for_it() {
        let outbox = Outbox::new();
        outbox.push(Bytes::from("message"), 100);
        assert!(outbox.is_held());
        outbox.refuse(
            Some(Bytes::from("error")),
            CloseCode::TooManySessions,
            "full",
        );
        assert!(!outbox.is_held() && outbox.is_closing());
        let frames = take(&outbox).1;
        assert_eq!((&frames[0][..], frames.len()), (&b"error"[..], 2));
        let outbox = Outbox::new();
        outbox.push(Bytes::from("message"), 100);
        assert!(outbox.finish(CloseCode::Replaced, "replaced"));
        outbox.refuse(Some(Bytes::from("error")), CloseCode::TooManySessions, "");
        assert_eq!(take(&outbox).1.len(), 1, "the Close frame of the first");
        // One that was welcomed has the rest first.
        let outbox = Outbox::new();
        outbox.open(Some(Bytes::from("welcome")));
        outbox.push(Bytes::from("message"), 100);
        outbox.refuse(None, CloseCode::TooManySessions, "full");
        assert_eq!(take(&outbox).1[..2], ["welcome", "message"]);
    }

    #[test]
    fn an_overfull_outbox_keeps_nothing_but_a_close_frame() {
        let outbox = Outbox::new();
        outbox.open(None);
        assert!(outbox.push(Bytes::from(vec![0; 60]), 100));
        assert!(!outbox.push(Bytes::from(vec![0; 60]), 100));
        assert!(!outbox.push(Bytes::from("later"), 100));
        let (taken, frames) = take(&outbox);
        assert_eq!(taken, Poll::Ready(Taken::Last));
        assert_eq!(frames.len(), 1);
    }

    #[test]
    fn one_frame_may_be_larger_than_the_bound_if_nothing_else_waits() {
        let outbox = Outbox::new();
        outbox.open(None);
        assert!(outbox.push(Bytes::from(vec![0; 200]), 100));
        assert_eq!(take(&outbox).0, Poll::Ready(Taken::Frames));
        outbox.written(200);
        assert!(outbox.push(Bytes::from(vec![0; 200]), 100));
    }

    #[test]
    fn nothing_is_queued_behind_a_close_frame() {
        let outbox = Outbox::new();
        outbox.open(None);
        assert!(outbox.finish(CloseCode::GoingAway, "bye"));
        assert!(!outbox.finish(CloseCode::TooSlow, "no"));
        assert!(!outbox.push(Bytes::from("x"), 100));
        assert_eq!(take(&outbox).0, Poll::Ready(Taken::Last));
    }
}
