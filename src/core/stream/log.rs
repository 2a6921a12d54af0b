//! The log of one stream: entries with offsets, what is acked, what has been seen, and the epochs
//! that led here.
//!
//! *Invariants:* offsets grow from entry to entry, and an offset is used once. Every entry at or
//! above `floor` that was ever in the log is still there. An entry that is not acked leaves only by
//! age.

use std::collections::VecDeque;
use std::time::Duration;

use super::ids::{MessageKey, Seen, SeenIds};
use super::message::{Message, Texts};
use super::position::{Epoch, Position};
use super::replay::Resolved;
use crate::id::UserId;

/// Epochs that a log knows besides its own. A guess: as many changes of owner as a client will miss.
const BRANCHES_MAX: usize = 64;

/// A message with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its offset.
    pub offset: u64,
    /// When it was first appended, in the time of this node.
    pub at: Duration,
    /// The user has acked it: it takes no part in the bounds of what waits.
    pub acked: bool,
    /// Where it stood in logs that were merged into this one; mostly nowhere.
    pub(super) origins: Option<Box<[Position]>>,
    /// The message.
    pub message: Message,
}

/// Bounds of a log. A hand-over or a merge may exceed all but the ages: what was accepted is kept.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Entries that are not acked.
    pub entries_max: usize,
    /// Bytes of entries that are not acked.
    pub bytes_max: usize,
    /// Acked entries that are kept beside them.
    pub kept_entries_max: usize,
    /// Bytes of those.
    pub kept_bytes_max: usize,
    /// An entry leaves at this age, acked or not.
    pub age_max: Duration,
    /// Messages that are recognised when they are repeated. Younger ones are never forgotten for
    /// newer ones: at the bound new messages are refused.
    pub seen_max: usize,
    /// How long a message is recognised.
    pub seen_age: Duration,
}

/// A message was appended, or recognised as a repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// At this offset.
    New(u64),
    /// It is there already, or was; nothing changed.
    Repeat(Seen),
}

/// The log takes no more for now; nothing changed. To try again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Too much waits to be acked.
    #[error("too much waits to be acked")]
    Unacked,
    /// Too many messages came within the time in which repeats are recognised.
    #[error("too many messages in too short a time")]
    Seen,
}

/// An epoch that this log knows besides its own: it grew out of it, or has merged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Branch {
    pub epoch: Epoch,
    /// The last offset of that epoch that means the same here.
    pub shared: u64,
    /// Entries of that epoch above `shared`, up to this position, were merged: they carry it, or
    /// one before it in its epoch, as an origin.
    pub merged: Option<Position>,
}

impl Branch {
    /// The last offset of that epoch that is here in some form.
    pub(super) fn reach(&self) -> u64 {
        self.merged.map_or(self.shared, |merged| merged.offset)
    }
}

/// One stream.
#[derive(Debug, Clone)]
pub struct Log {
    pub(super) epoch: Epoch,
    pub(super) branches: Vec<Branch>,
    pub(super) entries: VecDeque<Entry>,
    texts: Texts,
    pub(super) next: u64,
    pub(super) acked: u64,
    pub(super) floor: u64,
    pub(super) seen: SeenIds,
    /// When an entry last grew too old that nobody had acked.
    lost_at: Option<Duration>,
    waiting: Total,
    kept: Total,
}

/// How much there is of one kind of entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Total {
    entries: usize,
    bytes: usize,
}

impl Total {
    fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.bytes += entry.message.size();
    }

    fn take(&mut self, entry: &Entry) {
        self.entries -= 1;
        self.bytes -= entry.message.size();
    }
}

impl Log {
    /// An empty log in an epoch that nobody has used.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            branches: vec![Branch {
                epoch: Epoch::ROOT,
                shared: 0,
                merged: None,
            }],
            entries: VecDeque::new(),
            texts: Texts::default(),
            next: 1,
            acked: 0,
            floor: 1,
            seen: SeenIds::default(),
            lost_at: None,
            waiting: Total::default(),
            kept: Total::default(),
        }
    }

    /// The position behind the last entry.
    #[must_use]
    pub fn tip(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.next - 1,
        }
    }

    /// All entries up to this offset are acked; single ones above it may be.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// Entries that are not acked, and their bytes.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting.entries, self.waiting.bytes)
    }

    /// All entries that are kept, acked ones included, and their bytes.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (
            self.waiting.entries + self.kept.entries,
            self.waiting.bytes + self.kept.bytes,
        )
    }

    /// Whether nothing would be lost with it: no entries, and nothing whose repeat must be known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.seen.len() == 0
    }

    /// Whether something was lost by age not longer ago than entries are kept: who comes back with a
    /// position from before that has to hear of it.
    #[must_use]
    pub fn remembers_loss(&self, now: Duration, limits: &LogLimits) -> bool {
        let until = now.saturating_sub(limits.age_max);
        self.lost_at.is_some_and(|at| at >= until)
    }

    /// What is known of this message, if it has been here.
    #[must_use]
    pub fn seen(&self, key: MessageKey) -> Option<Seen> {
        self.seen.get(key)
    }

    /// The entries above an offset, in order.
    pub fn after(&self, offset: u64) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.index_after(offset)..)
    }

    /// Puts an entry of another copy of this log at its end; says whether it fits there.
    pub fn copy(&mut self, entry: Entry) -> bool {
        let fits = entry.offset >= self.next;
        if fits {
            self.push(entry);
        }
        fits
    }

    /// The last entry that is still there.
    #[must_use]
    pub fn last(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// Every entry from this offset on that was ever here is still here.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// The place of the first entry above an offset.
    pub(super) fn index_after(&self, offset: u64) -> usize {
        // Where it is if no offset is missing behind it, which is nearly always so: a search would
        // touch memory all over the log.
        let behind = usize::try_from((self.next - 1).saturating_sub(offset)).unwrap_or(usize::MAX);
        let guess = self.entries.len().saturating_sub(behind);
        let before = guess.checked_sub(1).map(|index| &self.entries[index]);
        let at = self.entries.get(guess);
        if before.is_none_or(|entry| entry.offset <= offset)
            && at.is_none_or(|entry| entry.offset > offset)
        {
            return guess;
        }
        self.entries.partition_point(|entry| entry.offset <= offset)
    }

    /// Appends a message, unless it is a repeat.
    ///
    /// # Errors
    /// [`Full`]; a repeat is recognised even then.
    pub fn append(
        &mut self,
        now: Duration,
        message: Message,
        limits: &LogLimits,
    ) -> Result<Appended, Full> {
        let key = message.key();
        if let Some(seen) = self.seen.get(key) {
            return Ok(Appended::Repeat(seen));
        }
        self.has_room(message.size(), limits)?;
        Ok(Appended::New(self.append_new(now, (key, message))))
    }

    /// Whether a new message of that size is taken.
    pub(super) fn has_room(&self, bytes: usize, limits: &LogLimits) -> Result<(), Full> {
        if self.seen.len() >= limits.seen_max {
            return Err(Full::Seen);
        }
        let bytes = self.waiting.bytes + bytes;
        if self.waiting.entries >= limits.entries_max || bytes > limits.bytes_max {
            return Err(Full::Unacked);
        }
        Ok(())
    }

    /// As [`Self::append`], of a message that is not known and for which there is room, with its key.
    pub(super) fn append_new(
        &mut self,
        now: Duration,
        (key, message): (MessageKey, Message),
    ) -> u64 {
        let entry = Entry {
            offset: self.next,
            at: now,
            acked: false,
            origins: None,
            message,
        };
        self.push_new(key, entry)
    }

    /// Puts an entry at the end; its offset is the next one or above.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        self.push_new(entry.message.key(), entry)
    }

    /// As [`Self::push`], with the message's key.
    fn push_new(&mut self, key: MessageKey, mut entry: Entry) -> u64 {
        let offset = entry.offset;
        assert!(offset >= self.next, "offsets grow");
        self.next = offset + 1;
        let seen = Seen {
            offset,
            at: entry.at,
        };
        self.seen.replace(key, seen);
        if entry.acked {
            self.kept.add(&entry);
        } else {
            self.waiting.add(&entry);
        }
        self.texts.keep(&mut entry.message);
        self.entries.push_back(entry);
        offset
    }

    /// The user has everything up to this position. Returns the entries for which that is news, in
    /// order. Of a position that is not known only the part counts that is.
    pub fn ack(&mut self, position: Position, limits: &LogLimits) -> Vec<u64> {
        let resolved = self.resolve(position);
        let start = self.ack_start(&resolved);
        self.acked = self.acked.max(resolved.upto);
        let end = match resolved.beyond {
            None => self.index_after(resolved.upto),
            Some(_) => self.entries.len(),
        };
        let mut news = Vec::new();
        for index in start..end {
            let entry = &self.entries[index];
            let covered = entry.offset <= resolved.upto
                || resolved.beyond.is_some_and(|beyond| entry.came_by(beyond));
            if covered && self.set_acked(index) {
                news.push(self.entries[index].offset);
            }
        }
        // An ack that tells nothing is not told to the other copies: it changes nothing here, either.
        if !news.is_empty() {
            self.evict(limits);
        }
        news
    }

    /// The first entry that an ack may be about: all before it are acked, but for what came by a
    /// merge.
    fn ack_start(&self, resolved: &Resolved) -> usize {
        if resolved.beyond.is_some() {
            0
        } else {
            self.index_after(self.acked)
        }
    }

    /// The entries up to this position whose senders want to hear when they are acked, and are not
    /// yet: offset, sender, and the sender's id.
    pub fn noticed_by(&self, position: Position) -> Vec<(u64, UserId, Box<str>)> {
        let resolved = self.resolve(position);
        let wants = |entry: &&Entry| {
            let covered = entry.offset <= resolved.upto
                || resolved.beyond.is_some_and(|beyond| entry.came_by(beyond));
            covered && !entry.acked && entry.message.notify
        };
        let noticed = self
            .entries
            .range(self.ack_start(&resolved)..)
            .filter(wants);
        noticed
            .map(|e| (e.offset, e.message.sender(), e.message.id().into()))
            .collect()
    }

    /// Marks one entry; says whether that is news.
    pub(super) fn set_acked(&mut self, index: usize) -> bool {
        let entry = &mut self.entries[index];
        if entry.acked {
            return false;
        }
        entry.acked = true;
        self.waiting.take(entry);
        self.kept.add(entry);
        true
    }

    /// Lets the oldest acked entries go until the others of them are within bounds.
    fn evict(&mut self, limits: &LogLimits) {
        let mut index = 0;
        while self.kept.entries > limits.kept_entries_max || self.kept.bytes > limits.kept_bytes_max
        {
            while !self.entries[index].acked {
                index += 1;
            }
            let Some(entry) = self.entries.remove(index) else {
                return;
            };
            self.kept.take(&entry);
            self.floor = self.floor.max(entry.offset + 1);
        }
    }

    /// Drops what is too old. Returns how many of the dropped entries were never acked.
    ///
    /// What came by a merge may stay longer: it waits for those before it.
    pub fn expire(&mut self, now: Duration, limits: &LogLimits) -> usize {
        let mut lost = 0;
        if let Some(until) = now.checked_sub(limits.age_max) {
            while self.entries.front().is_some_and(|entry| entry.at <= until)
                && let Some(entry) = self.entries.pop_front()
            {
                if entry.acked {
                    self.kept.take(&entry);
                } else {
                    self.waiting.take(&entry);
                    self.lost_at = Some(now);
                    lost += 1;
                }
                self.floor = self.floor.max(entry.offset + 1);
            }
        }
        if let Some(until) = now.checked_sub(limits.seen_age) {
            let entries = &self.entries;
            self.seen.forget_until(until, |offset| {
                entries
                    .binary_search_by(|entry| entry.offset.cmp(&offset))
                    .is_ok()
            });
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
            self.texts = Texts::default();
        }
        lost
    }

    /// The owner is another one, or cannot know whether it is: from here on the log is numbered in
    /// this epoch, which nobody has used. The offsets go on.
    pub fn open_epoch(&mut self, epoch: Epoch) {
        assert!(!self.was_in(epoch), "an epoch is opened once");
        self.remember(Branch {
            epoch: self.epoch,
            shared: self.next - 1,
            merged: None,
        });
        self.epoch = epoch;
    }

    /// Whether some of it was numbered in this epoch.
    pub(super) fn was_in(&self, epoch: Epoch) -> bool {
        epoch == self.epoch || self.branch(epoch).is_some()
    }

    /// Adds a branch. At the bound the oldest is forgotten, but never the root, which stands first:
    /// who comes from there gets all there is.
    pub(super) fn remember(&mut self, branch: Branch) {
        if self.branches.len() >= BRANCHES_MAX {
            self.branches.remove(1);
        }
        self.branches.push(branch);
    }

    pub(super) fn branch(&self, epoch: Epoch) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.epoch == epoch)
    }
}

impl Entry {
    /// Whether it stood at or before this position in a log that was merged.
    pub(super) fn came_by(&self, position: Position) -> bool {
        let mut origins = self.origins.iter().flatten();
        origins.any(|o| o.epoch == position.epoch && o.offset <= position.offset)
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
