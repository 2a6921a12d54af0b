//! How far one session has come in its user's stream, and what comes next for it.

use super::stream::{Entry, Log, Resumed};

/// A session's place in a log.
#[derive(Debug)]
pub struct Feed {
    /// The last offset that it has, or does not want.
    cursor: u64,
    /// What it does not want although it comes later; dropped once it has caught up.
    filter: Option<Box<Resumed>>,
    /// The log's floor when the session started. What is gone below it was told in its welcome; what
    /// is still there below it has not been acked, and is wanted.
    floor: u64,
}

impl Feed {
    /// A session starts there.
    #[must_use]
    pub fn new(resumed: &Resumed, log: Option<&Log>) -> Self {
        Self {
            cursor: resumed.position.offset,
            floor: log.map_or(0, Log::floor),
            filter: resumed.is_selective().then(|| Box::new(*resumed)),
        }
    }

    /// The last offset that the session has.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The session has everything up to that offset.
    pub fn advance(&mut self, cursor: u64) {
        self.cursor = self.cursor.max(cursor);
    }

    /// Whether entries that the session has not had are no longer there: it has to be told that.
    #[must_use]
    pub fn has_gap(&self, log: &Log) -> bool {
        self.cursor + 1 < log.floor() && self.floor < log.floor()
    }

    /// What comes next, up to the offset `visible`: at least one entry if there is one, and about
    /// `bytes_max` bytes.
    pub fn next<'a>(&mut self, log: &'a Log, visible: u64, bytes_max: usize) -> Vec<&'a Entry> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for entry in log.after(self.cursor) {
            if entry.offset > visible || bytes >= bytes_max {
                break;
            }
            if self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.wants(entry))
            {
                bytes += entry.message.size();
                batch.push(entry);
            }
        }
        if batch.is_empty() {
            // All there is was wanted by nobody.
            self.cursor = self.cursor.max(visible);
            self.filter = None;
        }
        batch
    }
}
