//! What a member has missed, on its way.

use crate::core::stream::{Position, Resume};
use crate::id::SessionId;

/// What a member has missed is to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    /// The member.
    pub session: SessionId,
    /// Tells it from other fetches of the room.
    pub number: u64,
    /// From where.
    pub from: Resume,
}

/// Some of what a member has missed.
#[derive(Debug, Clone, Copy)]
pub struct Fetched {
    /// What the position from which it was fetched means in the log.
    pub position: Position,
    /// Whether all behind that is there.
    pub recovered: bool,
    /// The end of the page.
    pub upto: Position,
    /// There was nothing behind the position.
    pub empty: bool,
}

/// A room is joined at that position; whether all behind the position that was asked for comes, if one
/// was.
pub type Joined = (Position, Option<bool>);
