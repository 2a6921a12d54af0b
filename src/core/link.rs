//! The queue to one peer: what waits, what was sent and is not answered yet, and what becomes of
//! both when the connection breaks or the time is over.
//!
//! There are two lines. Messages of clients wait while the window is full; what nodes need of each
//! other to answer them (copies, consents, deliveries, registrations) does not count in the window and
//! goes first. Otherwise two nodes whose windows are full of messages would wait for each other's
//! copies for ever.
//!
//! A request waits while the connection is down or, if it is a message, the window is full. Once sent it is never sent
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
    /// Messages sent and not yet answered.
    pub window: usize,
    /// Bytes of requests that wait, for each line.
    pub queue_bytes_max: usize,
}

/// Requests for one peer; `T` is what the owner of the link needs to use the answer.
#[derive(Debug)]
pub struct Link<T> {
    limits: LinkLimits,
    connected: bool,
    messages: Line<T>,
    others: Line<T>,
    /// `sent[i]` is the request number `first_seq + i`; `None` once it is answered.
    sent: VecDeque<Option<Sent<T>>>,
    first_seq: u64,
    /// Messages among them.
    unanswered: usize,
    /// Nobody looks at it any more.
    retired: bool,
}

/// Requests that wait, in their order.
#[derive(Debug)]
struct Line<T> {
    waiting: VecDeque<Waiting<T>>,
    bytes: usize,
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
    is_message: bool,
}

impl<T> Line<T> {
    const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
        }
    }

    fn pop(&mut self) -> Option<Waiting<T>> {
        let next = self.waiting.pop_front()?;
        self.bytes -= next.bytes;
        Some(next)
    }

    /// Takes out what has passed its deadline.
    fn expire(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        if self.waiting.iter().all(|waiting| waiting.deadline > now) {
            return expired;
        }
        let mut bytes = 0;
        self.waiting.retain_mut(|waiting| {
            let late = waiting.deadline <= now;
            if late {
                bytes += waiting.bytes;
                expired.extend(waiting.context.take());
            }
            !late
        });
        self.bytes -= bytes;
        expired
    }
}

/// The queue's bytes are used up, or its peer is gone; the request comes back with its context.
#[derive(Debug)]
pub struct Full<T>(pub Box<(Request, Option<T>)>);

impl<T> Link<T> {
    /// An empty link without a connection.
    #[must_use]
    pub fn new(limits: LinkLimits) -> Self {
        Self {
            limits,
            connected: false,
            messages: Line::new(),
            others: Line::new(),
            sent: VecDeque::new(),
            first_seq: 1,
            unanswered: 0,
            retired: false,
        }
    }

    /// Whether there is a connection now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether there is a connection, and at least half of the line for what is no message is free:
    /// the rest is for what clients wait for.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.connected && self.others.bytes < self.limits.queue_bytes_max / 2
    }

    /// Requests that wait to be sent.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.messages.waiting.len() + self.others.waiting.len()
    }

    /// Messages sent and not yet answered.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Whether messages wait because as many as may be are unanswered.
    #[must_use]
    pub fn waits_for_window(&self) -> bool {
        let is_full = self.connected && self.unanswered >= self.limits.window;
        is_full && !self.messages.waiting.is_empty()
    }

    /// Puts a request at the end of its line. Without a context no reply is wanted. A line takes any
    /// request while it is empty, however large.
    ///
    /// # Errors
    /// [`Full`] when the line's bytes are used up, or after [`Self::take_unsent`]; nothing was queued.
    pub fn push(
        &mut self,
        request: Request,
        context: Option<T>,
        deadline: Instant,
    ) -> Result<(), Full<T>> {
        let bytes = request.size();
        let line = if request.is_message() {
            &mut self.messages
        } else {
            &mut self.others
        };
        let full = line.bytes > 0 && line.bytes + bytes > self.limits.queue_bytes_max;
        if full || self.retired {
            return Err(Full(Box::new((request, context))));
        }
        line.bytes += bytes;
        line.waiting.push_back(Waiting {
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
        while self.connected && batch.len() < requests_max && bytes < bytes_max {
            let (next, is_message) = match self.others.pop() {
                Some(next) => (next, false),
                None if self.unanswered >= self.limits.window => break,
                None => match self.messages.pop() {
                    Some(next) => (next, true),
                    None => break,
                },
            };
            bytes += next.bytes;
            let seq = match next.context {
                None => 0,
                Some(context) => {
                    self.sent.push_back(Some(Sent {
                        context,
                        deadline: next.deadline,
                        is_message,
                    }));
                    self.unanswered += usize::from(is_message);
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
        self.unanswered -= usize::from(sent.is_message);
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
        // Requests of different kinds have different times: any may be due before those ahead of it.
        for slot in &mut self.sent {
            if let Some(sent) = slot.take_if(|sent| sent.deadline <= now) {
                self.unanswered -= usize::from(sent.is_message);
                expired.push((sent.context, Outcome::Unknown));
            }
        }
        self.forget_answered();
        for line in [&mut self.others, &mut self.messages] {
            let late = line.expire(now).into_iter();
            expired.extend(late.map(|context| (context, Outcome::Unreachable)));
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

    /// Gives back everything that was never sent, in order, because the peer is no longer a member. From
    /// now on it takes nothing: whoever comes with a view from before would wait for ever.
    pub fn take_unsent(&mut self) -> Vec<(Request, Option<T>)> {
        self.retired = true;
        let mut unsent = Vec::new();
        for line in [&mut self.others, &mut self.messages] {
            while let Some(waiting) = line.pop() {
                unsent.push((waiting.request, waiting.context));
            }
        }
        unsent
    }

    /// Drops what waits and says nothing but which guests there are: on a new connection they are
    /// told anew, from what is true then.
    pub fn forget_guests(&mut self) -> Vec<T> {
        let mut dropped = Vec::new();
        let mut bytes = 0;
        self.others.waiting.retain_mut(|waiting| {
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
        self.others.bytes -= bytes;
        dropped
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::core::peer::{Content, Envelope};
    use crate::id::{StreamKey, UserId};

    const LIMITS: LinkLimits = LinkLimits {
        window: 4,
        queue_bytes_max: 1000,
    };

    fn ask(name: &str) -> Request {
        Request::Online {
            users: vec![UserId::new(name).unwrap()],
        }
    }

    fn message() -> Request {
        let user = UserId::new("u").unwrap();
        Request::Envelope(Envelope {
            to: StreamKey::from(&user),
            from: user,
            id: "m".into(),
            content: Content::Body(Bytes::from_static(b"1")),
            ts_ms: 0,
            hops: 0,
            to_guests: false,
            trace: None,
        })
    }

    fn link_with(count: usize, now: Instant) -> Link<usize> {
        let mut link = Link::new(LIMITS);
        for n in 0..count {
            link.push(message(), Some(n), now + Duration::from_secs(n as u64 + 1))
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
    fn what_is_no_message_goes_first_and_takes_no_place_in_the_window() {
        let now = Instant::now();
        let mut link = link_with(6, now);
        link.connected();
        assert_eq!(link.take_batch(10, 10_000).len(), 4);
        for n in 10..12 {
            link.push(ask("u"), Some(n), now).unwrap();
        }
        let batch = link.take_batch(10, 10_000);
        assert_eq!(batch, [(5, ask("u")), (6, ask("u"))]);
        assert_eq!(link.unanswered(), 4);
        assert_eq!(link.reply(6), Some(11));
        assert!(link.take_batch(10, 10_000).is_empty());
    }

    #[test]
    fn messages_wait_for_the_window_while_it_is_full_and_nothing_else_does() {
        let mut link = Link::new(LIMITS);
        link.connected();
        let late = Instant::now() + Duration::from_secs(9);
        for n in 0..4 {
            link.push(message(), Some(n), late).unwrap();
        }
        assert!(!link.waits_for_window(), "nothing was sent");
        assert_eq!(link.take_batch(10, 10_000).len(), 4);
        link.push(ask("u"), Some(4), late).unwrap();
        assert!(!link.waits_for_window());
        link.push(message(), Some(5), late).unwrap();
        assert!(link.waits_for_window());
        assert_eq!(link.reply(1), Some(0));
        assert!(!link.waits_for_window());
    }

    #[test]
    fn a_request_expires_though_one_before_it_has_more_time() {
        let now = Instant::now();
        let (soon, late) = (now + Duration::from_secs(1), now + Duration::from_secs(9));
        let mut link: Link<u8> = Link::new(LIMITS);
        link.connected();
        link.push(message(), Some(1), late).unwrap();
        link.push(ask("u"), Some(2), late).unwrap();
        link.push(ask("u"), Some(3), soon).unwrap();
        assert_eq!(link.take_batch(2, 10_000).len(), 2);
        link.push(ask("u"), Some(4), soon).unwrap();
        assert_eq!(link.expire(now), []);
        let expired = [(3, Outcome::Unknown), (4, Outcome::Unreachable)];
        assert_eq!(link.expire(soon), expired);
        assert_eq!((link.unanswered(), link.waiting()), (0, 1));
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
        // However large it is: it could never go otherwise.
        link.push(ask("user"), Some(6), Instant::now()).unwrap();
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
        let late = link.push(message(), Some(6), Instant::now());
        assert_eq!(late.expect_err("nobody would take it").0.1, Some(6));
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
