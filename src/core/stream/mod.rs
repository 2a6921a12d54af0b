//! Streams: the ordered logs that a node keeps for its users, and what becomes of them when two
//! nodes have each written one.
//!
//! This is the log by itself: positions, bounds, repeats, acks, taking over, merging. Who owns a
//! stream, who holds copies of it and when an entry is committed is decided around it; the rules
//! are in ARCHITECTURE.md, *Streams*.

mod configuration;
mod context;
mod copy;
#[cfg(test)]
mod fixtures;
mod holder;
mod ids;
#[cfg(test)]
mod last_number_tests;
mod log;
mod merge;
mod message;
mod owner;
#[cfg(test)]
mod owner_tests;
mod position;
mod replay;
mod report;
mod resume;
mod snapshot;
mod streams;
mod takeover;
#[cfg(test)]
mod takeover_tests;
#[cfg(test)]
mod under_replicated_tests;
mod upkeep;

pub use self::configuration::{ConfigId, Holder};
pub use self::context::{About, Context, History, Output, Room, StreamConfig, Subscription};
pub use self::ids::{MessageKey, Seen};
pub use self::log::{Appended, Entry, Full, Log, LogLimits};
pub use self::message::Message;
pub use self::position::{Epoch, InvalidEpoch, Position};
pub use self::replay::Resumed;
pub use self::report::{CopyReport, Part, Report};
pub use self::resume::{OFFSET_END, Resume, is_epoch};
pub use self::snapshot::{Snapshot, SnapshotBranch, SnapshotEntry, SnapshotSeen};
pub use self::streams::Streams;
