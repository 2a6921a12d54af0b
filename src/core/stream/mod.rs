//! Streams: the ordered logs that a node keeps for its users, and what becomes of them when two
//! nodes have each written one.
//!
//! This is the log by itself: positions, bounds, repeats, acks, taking over, merging. Who owns a
//! stream, who holds copies of it and when an entry is committed is decided around it; the rules
//! are in ARCHITECTURE.md, *Streams*.

#[cfg(test)]
mod fixtures;
mod ids;
mod log;
mod merge;
mod position;
mod replay;
mod resume;

pub use self::ids::{MessageKey, Seen};
pub use self::log::{Appended, Entry, Full, Log, LogLimits, Message};
pub use self::position::{Epoch, InvalidEpoch, Position};
pub use self::replay::Resumed;
pub use self::resume::{OFFSET_END, Resume, is_epoch};
