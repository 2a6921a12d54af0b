//! A message as its sender gave it, in one piece of memory.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::ids::MessageKey;
use crate::id::{InvalidId, UserId};

/// Text of messages in one block, unless a single one has more.
const BLOCK_BYTES: usize = 16 * 1024;

/// What is kept of a message, on its way, in the log and in its copies. To clone it copies nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The sender, the sender's id for the message and its body, one after the other.
    text: Bytes,
    id_at: usize,
    body_at: usize,
    /// Milliseconds since the Unix epoch, set by the node that took it from its sender.
    pub ts_ms: u64,
    /// The sender wants to hear when it is acked.
    pub notify: bool,
}

impl Message {
    /// A message with this id, 1 to 64 bytes, and this body, JSON text that is passed on byte for
    /// byte.
    #[must_use]
    pub fn new(from: &UserId, id: &str, body: &str, ts_ms: u64, notify: bool) -> Self {
        Self::joined(from.as_str(), id, body, ts_ms, notify)
    }

    /// As [`Self::new`], of a sender who was not looked at.
    ///
    /// # Errors
    /// The sender's name is none.
    pub fn checked(
        from: &str,
        id: &str,
        body: &str,
        ts_ms: u64,
        notify: bool,
    ) -> Result<Self, InvalidId> {
        UserId::check(from)?;
        Ok(Self::joined(from, id, body, ts_ms, notify))
    }

    fn joined(from: &str, id: &str, body: &str, ts_ms: u64, notify: bool) -> Self {
        let text = [from.as_bytes(), id.as_bytes(), body.as_bytes()].concat();
        Self {
            text: text.into(),
            id_at: from.len(),
            body_at: from.len() + id.len(),
            ts_ms,
            notify,
        }
    }

    /// The sender's user id.
    #[must_use]
    pub fn from(&self) -> &str {
        text(&self.text[..self.id_at])
    }

    /// The sender.
    #[must_use]
    pub fn sender(&self) -> UserId {
        UserId::new(self.from()).expect("the sender was checked before")
    }

    /// The sender's name for it.
    #[must_use]
    pub fn id(&self) -> &str {
        text(&self.text[self.id_at..self.body_at])
    }

    /// JSON text.
    #[must_use]
    pub fn body(&self) -> &str {
        text(&self.text[self.body_at..])
    }

    /// The bytes of the body.
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.text.len() - self.body_at
    }

    /// What names it, in memory of its own.
    #[must_use]
    pub fn without_body(&self) -> Self {
        Self::joined(self.from(), self.id(), "", self.ts_ms, self.notify)
    }

    /// Sender, id and body, each a slice of the same memory.
    pub(crate) fn slices(&self) -> [Bytes; 3] {
        [
            self.text.slice(..self.id_at),
            self.text.slice(self.id_at..self.body_at),
            self.text.slice(self.body_at..),
        ]
    }

    /// Its key among those seen.
    #[must_use]
    pub fn key(&self) -> MessageKey {
        MessageKey::of_bytes(
            &self.text[..self.id_at],
            &self.text[self.id_at..self.body_at],
        )
    }

    /// What it counts against a stream's bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.len()
    }
}

/// Where a log keeps the text of its messages: in blocks, since what is written one after the other
/// goes one after the other, too. A block is there until the last message in it has gone.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    /// What is left of the last block.
    block: BytesMut,
    /// The size of that block.
    size: usize,
}

impl Texts {
    /// Moves the text of a message here.
    pub fn keep(&mut self, message: &mut Message) {
        let text = &message.text;
        if self.block.capacity() < text.len() {
            // A log with few messages takes little more than they do.
            self.size = (2 * self.size).min(BLOCK_BYTES).max(text.len());
            self.block = BytesMut::with_capacity(self.size);
        }
        self.block.extend_from_slice(text);
        message.text = self.block.split().freeze();
    }
}

/// A part of what was text when it came.
fn text(part: &[u8]) -> &str {
    std::str::from_utf8(part).unwrap_or_default()
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("from", &self.from())
            .field("id", &self.id())
            .field("body", &self.body())
            .field("ts_ms", &self.ts_ms)
            .field("notify", &self.notify)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_apart_as_it_was_put_together() {
        let from = UserId::new("Zoë").unwrap();
        let message = Message::new(&from, "m1", "\"é\"", 7, true);
        let parts = (message.from(), message.id(), message.body());
        assert_eq!(parts, ("Zoë", "m1", "\"é\""));
        assert_eq!(message.sender(), from);
        assert_eq!(message.slices().concat().len(), message.size());
        let again = Message::checked("Zoë", "m1", "\"é\"", 7, true);
        assert_eq!(again, Ok(message));
        assert!(Message::checked("Zoë\n", "m1", "1", 7, true).is_err());
    }

    #[test]
    fn a_log_keeps_text_in_blocks_that_grow_with_it() {
        let from = UserId::new("a").unwrap();
        let mut texts = Texts::default();
        let mut sizes = Vec::new();
        for number in 0..5000 {
            let id = format!("m{number}");
            let mut message = Message::new(&from, &id, "[1,2,3]", 7, false);
            let before = message.clone();
            texts.keep(&mut message);
            assert_eq!(message, before);
            if sizes.last() != Some(&texts.size) {
                sizes.push(texts.size);
            }
        }
        let first = "am0[1,2,3]".len();
        assert_eq!(sizes[..3], [first, 2 * first, 4 * first]);
        assert_eq!(sizes.last(), Some(&BLOCK_BYTES));
        let long = "1".repeat(2 * BLOCK_BYTES);
        let mut message = Message::new(&from, "long", &long, 7, false);
        texts.keep(&mut message);
        assert_eq!((message.body(), texts.size), (&*long, message.size()));
    }
}
