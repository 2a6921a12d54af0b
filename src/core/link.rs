//! The queue to one peer: what waits, what was sent and is not answered yet, and what becomes of
//! both when the connection breaks or the time is over.
//!
//! A request waits while the connection is down or the window is full. Once sent it is never sent
//! again (qos 0 is at most once): when the connection breaks under it, its outcome is
//! [`Outcome::Unknown`]. What was not yet sent can be routed anew by whoever put it here.
//!
//! *Invariant:* every context that went in by [`Link::push`] comes out exactly once, by
//! [`Link::reply`], [`Link::expire`], [`Link::disconnected`], [`Link::forget_guests`] or
//! [`Link::take_unsent`].

use std::collections::VecDeque;
use std::time::Instant;

use super::peer::{Outcome, Request};

/// Bounds of a [`Link`].
#[derive(Debug, Clone, Copy)]
pub struct LinkLimits {
    /// Requests sent and not yet answered.
    pub window: usize,
    /// Bytes of requests that wait.
    pub queue_bytes_max: usize,
}

/// Requests for one peer; `T` is what the owner of the link needs to use the answer.
#[derive(Debug)]
pub struct Link<T> {
    limits: LinkLimits,
    connected: bool,
    waiting: VecDeque<Waiting<T>>,
    waiting_bytes: usize,
    /// `sent[i]` is the request number `first_seq + i`; `None` once it is answered.
    sent: VecDeque<Option<Sent<T>>>,
    first_seq: u64,
    unanswered: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    request: Request,
    context: Option<T>,
    deadline: Instant,
    bytes: usize,
}

#[derive(Debug)]
struct Sent<T> {
    context: T,
    deadline: Instant,
}

/// The queue's bytes are used up; the request comes back with its context.
#[derive(Debug)]
pub struct Full<T>(pub Box<(Request, Option<T>)>);

impl<T> Link<T> {
    /// An empty link without a connection.
    #[must_use]
    pub fn new(limits: LinkLimits) -> Self {
        Self {
            limits,
            connected: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            sent: VecDeque::new(),
            first_seq: 1,
            unanswered: 0,
        }
    }

    /// Whether there is a connection now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether at least half of the queue is free: the rest is for what clients wait for.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.connected && self.waiting_bytes < self.limits.queue_bytes_max / 2
    }

    /// Requests that wait to be sent.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Requests sent and not yet answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Puts a request at the end of the queue. Without a context no reply is wanted.
    ///
    /// # Errors
    /// [`Full`] when the queue's bytes are used up; nothing was queued.
    pub fn push(
        &mut self,
        request: Request,
        context: Option<T>,
        deadline: Instant,
    ) -> Result<(), Full<T>> {
        let bytes = request.size();
        if self.waiting_bytes + bytes > self.limits.queue_bytes_max {
            return Err(Full(Box::new((request, context))));
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back(Waiting {
            request,
            context,
            deadline,
            bytes,
        });
        Ok(())
    }

    /// A connection is there. Numbers start from 1 again.
    pub fn connected(&mut self) {
        assert!(self.sent.is_empty(), "a link has one connection at a time");
        self.connected = true;
        self.first_seq = 1;
    }

    /// Takes what may be sent now, at most `requests_max` requests and about `bytes_max` bytes, each
    /// with its number (0: no reply wanted).
    pub fn take_batch(&mut self, requests_max: usize, bytes_max: usize) -> Vec<(u64, Request)> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while self.connected
            && batch.len() < requests_max
            && bytes < bytes_max
            && self.unanswered < self.limits.window
        {
            let Some(next) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_bytes -= next.bytes;
            bytes += next.bytes;
            let seq = match next.context {
                None => 0,
                Some(context) => {
                    self.sent.push_back(Some(Sent {
                        context,
                        deadline: next.deadline,
                    }));
                    self.unanswered += 1;
                    self.first_seq + self.sent.len() as u64 - 1
                }
            };
            batch.push((seq, next.request));
        }
        batch
    }

    /// The context of the request that this reply answers; `None` for one that was answered already
    /// or never asked.
    pub fn reply(&mut self, seq: u64) -> Option<T> {
        let index = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        let sent = self.sent.get_mut(index)?.take()?;
        self.unanswered -= 1;
        self.forget_answered();
        Some(sent.context)
    }

    fn forget_answered(&mut self) {
        while let Some(None) = self.sent.front() {
            self.sent.pop_front();
            self.first_seq += 1;
        }
    }

    /// Gives up what has passed its deadline: [`Outcome::Unknown`] if it was sent, else
    /// [`Outcome::Unreachable`].
    pub fn expire(&mut self, now: Instant) -> Vec<(T, Outcome)> {
        let mut expired = Vec::new();
        // Both queues are in the order of arrival, and so nearly in that of their deadlines: what
        // stands behind a younger one goes with it, a moment late.
        while let Some(front) = self.sent.front_mut() {
            match front.take_if(|sent| sent.deadline <= now) {
                Some(sent) => {
                    self.unanswered -= 1;
                    expired.push((sent.context, Outcome::Unknown));
                    self.forget_answered();
                }
                None => break,
            }
        }
        while self.waiting.front().is_some_and(|w| w.deadline <= now) {
            let late = self.waiting.pop_front();
            if let Some(late) = late {
                self.waiting_bytes -= late.bytes;
                expired.extend(late.context.map(|context| (context, Outcome::Unreachable)));
            }
        }
        expired
    }

    /// The connection broke: gives back the contexts of what was sent and not answered, whose
    /// outcome nobody knows. What waits goes on waiting.
    pub fn disconnected(&mut self) -> Vec<T> {
        self.connected = false;
        self.unanswered = 0;
        self.first_seq = 1;
        self.sent.drain(..).flatten().map(|s| s.context).collect()
    }

    /// Gives back everything that was never sent, in order, because the peer is no longer a member.
    pub fn take_unsent(&mut self) -> Vec<(Request, Option<T>)> {
        self.waiting_bytes = 0;
        self.waiting
            .drain(..)
            .map(|waiting| (waiting.request, waiting.context))
            .collect()
    }

    /// Drops what waits and says nothing but which guests there are: on a new connection they are
    /// told anew, from what is true then.
    pub fn forget_guests(&mut self) -> Vec<T> {
        let mut dropped = Vec::new();
        let mut bytes = 0;
        self.waiting.retain_mut(|waiting| {
            let guests = matches!(
                waiting.request,
                Request::Register { .. } | Request::Unregister { .. }
            );
            if guests {
                bytes += waiting.bytes;
                dropped.extend(waiting.context.take());
            }
            !guests
        });
        self.waiting_bytes -= bytes;
        dropped
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::UserId;

    const LIMITS: LinkLimits = LinkLimits {
        window: 4,
        queue_bytes_max: 1000,
    };

    fn ask(name: &str) -> Request {
        Request::Presence {
            users: vec![UserId::new(name).unwrap()],
        }
    }

    fn link_with(count: usize, now: Instant) -> Link<usize> {
        let mut link = Link::new(LIMITS);
        for n in 0..count {
            link.push(ask("u"), Some(n), now + Duration::from_secs(n as u64 + 1))
                .unwrap();
        }
        link
    }

    #[test]
    fn nothing_is_sent_before_there_is_a_connection() {
        let mut link = link_with(2, Instant::now());
        assert!(link.take_batch(10, 1000).is_empty());
        link.connected();
        let seqs: Vec<u64> = link.take_batch(10, 1000).iter().map(|b| b.0).collect();
        assert_eq!(seqs, [1, 2]);
    }

    #[test]
    fn the_window_bounds_what_is_unanswered() {
        let mut link = link_with(6, Instant::now());
        link.connected();
        assert_eq!(link.take_batch(10, 1000).len(), 4);
        assert!(link.take_batch(10, 1000).is_empty());
        assert_eq!(link.reply(3), Some(2));
        assert_eq!(link.take_batch(10, 1000)[0].0, 5);
    }

    #[test]
    fn replies_come_in_any_order_and_count_once() {
        let mut link = link_with(3, Instant::now());
        link.connected();
        link.take_batch(10, 1000);
        assert_eq!(link.reply(2), Some(1));
        assert_eq!(link.reply(2), None);
        assert_eq!(link.reply(1), Some(0));
        assert_eq!(link.reply(99), None);
        assert_eq!(link.reply(0), None);
        assert_eq!(link.reply(3), Some(2));
        assert_eq!(link.unanswered(), 0);
    }

    #[test]
    fn a_full_queue_gives_the_request_back() {
        let mut link: Link<u8> = Link::new(LinkLimits {
            window: 1,
            queue_bytes_max: 10,
        });
        let full = link.push(ask("u"), Some(7), Instant::now()).unwrap_err();
        assert_eq!(*full.0, (ask("u"), Some(7)));
    }

    #[test]
    fn a_break_gives_back_the_sent_and_keeps_the_waiting() {
        let mut link = link_with(6, Instant::now());
        link.connected();
        link.take_batch(2, 1000);
        assert_eq!(link.disconnected(), [0, 1]);
        link.connected();
        assert_eq!(link.take_batch(1, 1000)[0].0, 1);
        assert_eq!(link.reply(1), Some(2));
        let unsent: Vec<_> = link.take_unsent().into_iter().map(|u| u.1).collect();
        assert_eq!(unsent, [Some(3), Some(4), Some(5)]);
    }

    #[test]
    fn deadlines_tell_the_sent_from_the_unsent() {
        let now = Instant::now();
        let mut link = link_with(6, now);
        link.connected();
        link.take_batch(2, 1000);
        let late = link.expire(now + Duration::from_secs(3));
        assert_eq!(
            late,
            [
                (0, Outcome::Unknown),
                (1, Outcome::Unknown),
                (2, Outcome::Unreachable)
            ]
        );
        assert_eq!((link.unanswered(), link.waiting()), (0, 3));
    }

    #[test]
    fn a_request_without_a_context_takes_no_place_in_the_window() {
        let mut link: Link<u8> = Link::new(LIMITS);
        link.push(ask("u"), None, Instant::now()).unwrap();
        link.connected();
        assert_eq!(link.take_batch(10, 1000)[0].0, 0);
        assert_eq!(link.unanswered(), 0);
    }
}
