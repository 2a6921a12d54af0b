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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::stream::{Epoch, LogLimits, Message, Resume};
    use crate::id::{Generation, NodeId, UserId};

    const LIMITS: LogLimits = LogLimits {
        entries_max: 3,
        bytes_max: 1 << 20,
        kept_entries_max: 3,
        kept_bytes_max: 1 << 20,
        age_max: Duration::from_secs(10),
        seen_max: 100,
        seen_age: Duration::from_secs(20),
    };

    fn append(log: &mut Log, ids: &[&str]) {
        for id in ids {
            let message = Message::new(&UserId::new("a").unwrap(), id, "1", 0, false);
            log.append(Duration::from_secs(1), message, &LIMITS)
                .unwrap();
        }
    }

    fn log(ids: &[&str]) -> Log {
        let node = NodeId::new("n1").unwrap();
        let mut log = Log::new(Epoch::opened(1, &node, Generation(1)));
        append(&mut log, ids);
        log
    }

    fn next(feed: &mut Feed, log: &Log, visible: u64, bytes: usize) -> Vec<u64> {
        let batch = feed.next(log, visible, bytes);
        batch.iter().map(|entry| entry.offset).collect()
    }

    #[test]
    fn nothing_is_shown_before_it_is_committed() {
        let log = log(&["1", "2", "3"]);
        let mut feed = Feed::new(&log.resume(Resume::Fresh), Some(&log));
        assert_eq!(next(&mut feed, &log, 2, 1000), [1, 2]);
        feed.advance(2);
        assert!(next(&mut feed, &log, 2, 1000).is_empty());
        assert_eq!(next(&mut feed, &log, 3, 1000), [3]);
    }

    #[test]
    fn a_batch_is_bounded_and_has_one_entry_at_least() {
        let log = log(&["1", "2", "3"]);
        let mut feed = Feed::new(&log.resume(Resume::Fresh), Some(&log));
        assert_eq!(next(&mut feed, &log, 3, 1), [1]);
        feed.advance(1);
        assert_eq!(next(&mut feed, &log, 3, 4), [2, 3]);
    }

    #[test]
    fn a_session_that_falls_behind_what_is_kept_has_a_gap() {
        let mut log = log(&["1", "2", "3"]);
        let mut behind = Feed::new(&log.resume(Resume::Fresh), Some(&log));
        behind.advance(1);
        log.ack(log.tip(), &LIMITS);
        append(&mut log, &["4", "5", "6"]);
        assert!(!behind.has_gap(&log), "acked ones are kept for a while");
        log.ack(log.tip(), &LIMITS);
        assert!(behind.has_gap(&log));
        let fresh = Feed::new(&log.resume(Resume::Unknown), Some(&log));
        assert!(!fresh.has_gap(&log), "it was told in its welcome");
    }
}
