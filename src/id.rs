//! Names: nodes, users, rooms, sessions and generations, each a type of its own.
//!
//! All of them are cheap to clone (a reference count or a number) and compare byte by byte.
//!
//! For logs there is [`Shown`]: whoever chooses a name must not choose what a log says.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest node id, in bytes.
pub const NODE_ID_BYTES_MAX: usize = 64;
/// Longest user id, in bytes of UTF-8.
pub const USER_ID_BYTES_MAX: usize = 256;

/// Why a string is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The string is empty.
    #[error("it is empty")]
    Empty,
    /// The string has more bytes than the limit given here.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// The string has a character that may not stand in an id.
    #[error("it contains the character {0:?}, which is not allowed")]
    Character(char),
}

/// The name of a node, unique in its cluster: 1 to 64 of `A-Z a-z 0-9 . _ -`.
///
/// A node's place on the ring comes from this name alone, so a node that restarts under its id
/// takes the same users back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// [`InvalidId`] when it is empty, over 64 bytes, or has a character outside the set above.
    pub fn new(name: &str) -> Result<Self, InvalidId> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        check(name, NODE_ID_BYTES_MAX, allowed)?;
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A user, the key of the ring: 1 to 256 bytes of UTF-8 without control characters, compared byte
/// by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Checks and wraps a user id.
    ///
    /// # Errors
    /// [`InvalidId`] when it is empty, over 256 bytes, or has a control character.
    pub fn new(user: &str) -> Result<Self, InvalidId> {
        Self::check(user)?;
        Ok(Self(user.into()))
    }

    /// Whether text is a user id.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn check(user: &str) -> Result<(), InvalidId> {
        check(user, USER_ID_BYTES_MAX, |c| !c.is_control())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A room: named by the rules for users.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// As [`UserId::new`].
    pub fn new(room: &str) -> Result<Self, InvalidId> {
        UserId::new(room).map(|name| Self(name.0))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a stream is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKey {
    /// The inbox of a user.
    Inbox(UserId),
    /// A room.
    Room(RoomName),
}

impl StreamKey {
    /// By what the ring places it: the name of the user or the room. That of a user and a room of
    /// one name is the same.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Inbox(user) => user.as_str(),
            Self::Room(room) => room.as_str(),
        }
    }

    /// Whether it is that of a room.
    #[must_use]
    pub fn is_room(&self) -> bool {
        matches!(self, Self::Room(_))
    }
}

impl From<&UserId> for StreamKey {
    fn from(user: &UserId) -> Self {
        Self::Inbox(user.clone())
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inbox(user) => write!(f, "inbox:{user}"),
            Self::Room(room) => write!(f, "room:{room}"),
        }
    }
}

impl Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for NodeId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Somebody else's text, for a log: in quotes, with everything escaped that is no plain character, and
/// cut. It is at most ten times as many bytes as it has characters, and two dozen more.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    text: &'a str,
    chars_max: usize,
}

impl<'a> Shown<'a> {
    /// Enough to know a name by.
    const NAME_CHARS_MAX: usize = 64;

    /// A name.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self::up_to(Self::NAME_CHARS_MAX, text)
    }

    /// No more than this many characters of a text.
    #[must_use]
    pub fn up_to(chars_max: usize, text: &'a str) -> Self {
        Self { text, chars_max }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.text.char_indices().nth(self.chars_max);
        match cut {
            None => write!(f, "{:?}", self.text),
            Some((at, _)) => write!(f, "{:?}... ({} bytes)", &self.text[..at], self.text.len()),
        }
    }
}

fn check(text: &str, bytes_max: usize, allowed: impl Fn(char) -> bool) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > bytes_max {
        return Err(InvalidId::TooLong(bytes_max));
    }
    match text.chars().find(|&c| !allowed(c)) {
        Some(c) => Err(InvalidId::Character(c)),
        None => Ok(()),
    }
}

/// One client connection, unique among all that its node has had since it started.
///
/// Together with the node's generation it is unique in the cluster for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// A number that grows at every start of the same node id: its boot time in milliseconds since the
/// Unix epoch, below 2^53.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// All are below it, so that they stay exact in JSON and JavaScript.
    pub const END: u64 = 1 << 53;

    /// The one after it, unless it is the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        let next = self.0.checked_add(1)?;
        (next < Self::END).then_some(Self(next))
    }
}

macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )*};
}
shown_as_text!(NodeId, UserId, RoomName);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_take_any_printable_text_up_to_256_bytes() {
        assert!(UserId::new("Zoë +1 🦀").is_ok());
        assert!(UserId::new(&"a".repeat(256)).is_ok());
        assert_eq!(UserId::new(&"a".repeat(257)), Err(InvalidId::TooLong(256)));
        assert_eq!(UserId::new(""), Err(InvalidId::Empty));
        assert_eq!(UserId::new("a\nb"), Err(InvalidId::Character('\n')));
        assert_eq!(UserId::new("a\u{85}b"), Err(InvalidId::Character('\u{85}')));
    }

    #[test]
    fn no_generation_comes_after_the_last() {
        assert_eq!(Generation(7).next(), Some(Generation(8)));
        assert_eq!(Generation(Generation::END - 1).next(), None);
        assert_eq!(Generation(u64::MAX).next(), None);
    }

    #[test]
    fn what_is_shown_is_escaped_and_cut() {
        let shown = |text: &str| Shown::new(text).to_string();
        assert_eq!(shown("Zo\u{eb} 🦀"), "\"Zo\u{eb} 🦀\"");
        assert_eq!(shown("a\n\u{1b}[31m\""), r#""a\n\u{1b}[31m\"""#);
        assert_eq!(shown("\u{202e}\u{2028}"), r#""\u{202e}\u{2028}""#);
        let cut = format!("\"{}\"... (256 bytes)", "x".repeat(64));
        assert_eq!(shown(&"x".repeat(256)), cut);
        assert_eq!(shown(&"x".repeat(64)), format!("\"{}\"", "x".repeat(64)));
        assert!(shown(&"\u{10ffff}".repeat(64)).len() < 64 * 10 + 24);
    }

    #[test]
    fn node_ids_are_names_that_fit_into_a_host_name_or_a_log_line() {
        assert!(NodeId::new("ringpost-0.eu_west").is_ok());
        assert_eq!(NodeId::new("n 1"), Err(InvalidId::Character(' ')));
        assert_eq!(NodeId::new(&"n".repeat(65)), Err(InvalidId::TooLong(64)));
    }
}
