//! What a position that somebody presents means in this log.

use super::log::{Entry, Log};
use super::position::{Epoch, Position};
use super::resume::Resume;

/// A position in the terms of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resolved {
    /// All entries up to this offset stand before the position.
    pub upto: u64,
    /// So do those that came here by a merge from that epoch, up to this position.
    pub beyond: Option<Position>,
    /// Nothing else stands before it: the log knows the position exactly.
    pub known: bool,
}

/// Where a session starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// The client's position, in the epoch of the log: replay starts right after it.
    pub position: Position,
    /// Whether everything behind the position it gave can be replayed; `None` if it gave none.
    pub recovered: Option<bool>,
    beyond: Option<Position>,
    unacked_only: bool,
}

impl Resumed {
    /// Where a session starts in a stream that does not exist.
    #[must_use]
    pub fn of_nothing(resume: Resume) -> Self {
        let nothing_yet = Position {
            epoch: Epoch::ROOT,
            offset: 0,
        };
        Self {
            position: nothing_yet,
            recovered: match resume {
                Resume::Fresh | Resume::Now => None,
                Resume::At(position) => Some(position == nothing_yet),
                Resume::Unknown => Some(false),
            },
            beyond: None,
            unacked_only: false,
        }
    }

    /// Whether some entries above the position are not to be replayed.
    #[must_use]
    pub fn is_selective(&self) -> bool {
        self.beyond.is_some() || self.unacked_only
    }

    /// Whether an entry above the position is to be replayed.
    #[must_use]
    pub fn wants(&self, entry: &Entry) -> bool {
        let has = self.beyond.is_some_and(|beyond| entry.came_by(beyond));
        !(has || self.unacked_only && entry.acked)
    }
}

impl Log {
    pub(super) fn resolve(&self, position: Position) -> Resolved {
        let exact = |upto: u64, known| Resolved {
            upto,
            beyond: None,
            known,
        };
        if position.epoch == self.epoch {
            let last = self.next - 1;
            return exact(position.offset.min(last), position.offset <= last);
        }
        let Some(branch) = self.branch(position.epoch) else {
            return exact(0, false);
        };
        if position.offset <= branch.shared {
            return exact(position.offset, true);
        }
        match branch.merged {
            None => exact(branch.shared, false),
            Some(end) => Resolved {
                upto: branch.shared,
                beyond: Some(Position {
                    epoch: end.epoch,
                    offset: position.offset.min(end.offset),
                }),
                known: position.offset <= end.offset,
            },
        }
    }

    /// Whether everything up to a position is in this log, or was.
    #[must_use]
    pub fn knows(&self, position: Position) -> bool {
        self.resolve(position).known
    }

    /// Where a session starts that gave a position, or that gave none and so wants what is not
    /// acked. One whose position is not known gets everything that is there.
    #[must_use]
    pub fn resume(&self, resume: Resume) -> Resumed {
        let here = |offset| Position {
            epoch: self.epoch,
            offset,
        };
        match resume {
            Resume::Unknown => Resumed {
                position: here(0),
                recovered: Some(false),
                beyond: None,
                unacked_only: false,
            },
            Resume::Fresh => Resumed {
                position: here(self.acked),
                recovered: None,
                beyond: None,
                unacked_only: true,
            },
            Resume::Now => Resumed {
                position: self.tip(),
                recovered: None,
                beyond: None,
                unacked_only: false,
            },
            Resume::At(position) => {
                let Resolved {
                    upto,
                    beyond,
                    known,
                } = self.resolve(position);
                Resumed {
                    position: here(upto),
                    recovered: Some(known && upto + 1 >= self.floor),
                    beyond,
                    unacked_only: false,
                }
            }
        }
    }

    /// The entries to replay to a session that starts there.
    pub fn replay<'a>(&'a self, resumed: &'a Resumed) -> impl Iterator<Item = &'a Entry> {
        self.after(resumed.position.offset)
            .filter(|entry| resumed.wants(entry))
    }
}
