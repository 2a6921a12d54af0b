//! What waits for the program, and the two positions: what has arrived, and what was handed over.

use std::collections::VecDeque;

use super::seen::Seen;
use crate::client::event::{Event, Message, Position};

/// Notices (connected, disconnected, …) beyond the bound of messages; past it they are dropped.
const NOTICES_AHEAD: usize = 16;

/// The queue to the program.
#[derive(Debug)]
pub(super) struct Events {
    queue: VecDeque<Queued>,
    ahead_max: usize,
    seen: Seen,
    /// The same for what is neither of the inbox nor of a room that is kept track of.
    seen_elsewhere: Seen,
    arrived: Option<Position>,
    handed: Option<Position>,
    /// `handed` has moved on by a message.
    to_ack: bool,
}

/// An event, and the position that the program has reached once it has it.
#[derive(Debug)]
struct Queued {
    event: Event,
    position: Option<Position>,
    /// Whether the position is one to ack: that of a message, or of a repeat behind it.
    ackable: bool,
}

/// An event that was taken out of the queue.
#[derive(Debug)]
pub(super) struct Taken {
    pub event: Event,
    /// Whether reading can go on.
    pub made_room: bool,
}

impl Events {
    pub fn new(ahead_max: usize, seen_max: usize, resume: Option<Position>) -> Self {
        Self {
            queue: VecDeque::new(),
            ahead_max: ahead_max.max(1),
            seen: Seen::new(seen_max),
            seen_elsewhere: Seen::new(seen_max),
            arrived: resume.clone(),
            handed: resume,
            to_ack: false,
        }
    }

    /// Whether another message may be read.
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.ahead_max
    }

    /// Where a new connection has to go on. What waits in the queue is not needed again.
    pub fn arrived(&self) -> Option<&Position> {
        self.arrived.as_ref()
    }

    /// What the program has been given.
    pub fn handed(&self) -> Option<&Position> {
        self.handed.as_ref()
    }

    /// The inbox stands here: everything before it has arrived.
    pub fn adopt(&mut self, position: Position) {
        let arrived = match self.arrived.take() {
            Some(arrived) => arrived.or_further(position),
            None => position,
        };
        self.arrived = Some(arrived.clone());
        match self.queue.back_mut() {
            Some(last) => last.position = Some(arrived),
            None => self.handed = Some(arrived),
        }
    }

    /// What is to be acked, if that has changed since it was last asked for.
    pub fn take_to_ack(&mut self) -> Option<Position> {
        let handed = self.handed.as_ref()?;
        std::mem::take(&mut self.to_ack).then(|| handed.clone())
    }

    /// A message of the inbox; `false` if it had been seen. Its position counts in any case.
    pub fn message(&mut self, message: Message) -> bool {
        let position = message.position.clone();
        let new = self.seen.insert(&message.from, &message.id);
        if new {
            self.push(Event::Message(message));
        }
        if let Some(position) = position {
            self.adopt(position);
            match self.queue.back_mut() {
                Some(last) => last.ackable = true,
                None => self.to_ack = true,
            }
        }
        new
    }

    /// A message of a stream whose positions are not kept; `false` if it had been seen.
    pub fn other_message(&mut self, message: Message) -> bool {
        // No two streams and ids become the same, since an id has at most 64 bytes.
        let id = format!("{:>64}{}", message.id, message.stream);
        let new = self.seen_elsewhere.insert(&message.from, &id);
        if new {
            self.push(Event::Message(message));
        }
        new
    }

    /// Something that no program may miss, as it is said once.
    pub fn tell(&mut self, event: Event) {
        self.push(event);
    }

    /// Drops the messages of a room that wait. What they say of the inbox counts. Says whether
    /// reading can go on.
    pub fn forget_room(&mut self, room: &str) -> bool {
        let was_full = !self.has_room();
        for queued in std::mem::take(&mut self.queue) {
            let of_room = matches!(&queued.event, Event::Message(m) if m.room() == Some(room));
            if !of_room {
                self.queue.push_back(queued);
            } else if let Some(before) = self.queue.back_mut() {
                before.position = queued.position.or(before.position.take());
                before.ackable |= queued.ackable;
            } else {
                self.handed = queued.position.or(self.handed.take());
                self.to_ack |= queued.ackable;
            }
        }
        was_full && self.has_room()
    }

    /// Anything but a message. A program that takes no events misses notices, never messages.
    pub fn notice(&mut self, event: Event) {
        if self.queue.len() < self.ahead_max + NOTICES_AHEAD {
            self.push(event);
        }
    }

    /// The last event, whatever waits.
    pub fn last(&mut self, event: Event) {
        self.push(event);
    }

    fn push(&mut self, event: Event) {
        let position = self.arrived.clone();
        self.queue.push_back(Queued {
            event,
            position,
            ackable: false,
        });
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Hands the next event over.
    pub fn take(&mut self) -> Option<Taken> {
        let was_full = !self.has_room();
        let queued = self.queue.pop_front()?;
        self.handed = queued.position.or(self.handed.take());
        self.to_ack |= queued.ackable;
        Some(Taken {
            event: queued.event,
            made_room: was_full && self.has_room(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::event::Recipient;

    fn message(id: &str, offset: Option<u64>) -> Message {
        Message {
            stream: "inbox".to_owned(),
            from: "a".to_owned(),
            id: id.to_owned(),
            to: Recipient::user("b"),
            body: "1".to_owned(),
            ts: 0,
            position: offset.map(|offset| Position::new("e", offset)),
        }
    }

    fn at(offset: u64) -> Position {
        Position::new("e", offset)
    }

    #[test]
    fn what_arrived_runs_ahead_of_what_was_handed_over() {
        let mut events = Events::new(8, 8, None);
        assert!(events.message(message("1", Some(1))));
        assert!(events.message(message("2", None)));
        assert!(events.message(message("3", Some(2))));
        assert_eq!((events.arrived(), events.handed()), (Some(&at(2)), None));
        events.take();
        assert_eq!(events.handed(), Some(&at(1)));
        events.take();
        assert_eq!(events.handed(), Some(&at(1)));
        events.take();
        assert_eq!(events.handed(), Some(&at(2)));
    }

    #[test]
    fn the_position_of_a_repeat_counts_once_all_before_it_were_handed_over() {
        let mut events = Events::new(8, 8, None);
        events.message(message("1", Some(1)));
        assert!(!events.message(message("1", Some(7))));
        assert_eq!((events.arrived(), events.handed()), (Some(&at(7)), None));
        events.take();
        assert_eq!(events.handed(), Some(&at(7)));
        assert!(!events.message(message("1", Some(8))));
        assert_eq!(events.handed(), Some(&at(8)));
    }

    #[test]
    fn what_is_forgotten_of_a_room_leaves_what_it_says_of_the_inbox() {
        let of_room = |id: &str| Message {
            stream: "room:r".to_owned(),
            ..message(id, Some(9))
        };
        let mut events = Events::new(3, 8, None);
        events.tell(Event::Message(of_room("1")));
        events.message(message("2", Some(1)));
        events.tell(Event::Message(of_room("3")));
        // A repeat: with what waits before it, the program has everything up to there.
        events.message(message("2", Some(2)));
        assert!(events.forget_room("r"));
        assert_eq!((events.arrived(), events.handed()), (Some(&at(2)), None));
        let taken = events.take().map(|taken| taken.event);
        assert_eq!(taken, Some(Event::Message(message("2", Some(1)))));
        assert_eq!((events.is_empty(), events.handed()), (true, Some(&at(2))));
        assert_eq!(events.take_to_ack(), Some(at(2)));
    }

    #[test]
    fn positions_do_not_go_back_within_an_epoch_but_follow_into_another() {
        let mut events = Events::new(8, 8, Some(at(5)));
        events.adopt(at(3));
        assert_eq!(events.arrived(), Some(&at(5)));
        events.adopt(Position::new("f", 2));
        assert_eq!(events.arrived(), Some(&Position::new("f", 2)));
    }

    #[test]
    fn a_full_queue_drops_notices_and_takes_the_last_event() {
        let mut events = Events::new(1, 8, None);
        events.message(message("1", None));
        assert!(!events.has_room());
        for _ in 0..100 {
            events.notice(Event::Other(String::new()));
        }
        events.last(Event::Other("last".to_owned()));
        let mut taken = Vec::new();
        while let Some(next) = events.take() {
            taken.push(next.event);
        }
        assert_eq!(taken.len(), 1 + NOTICES_AHEAD + 1);
        assert_eq!(taken.last(), Some(&Event::Other("last".to_owned())));
    }
}
