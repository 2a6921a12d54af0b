//! What clients are told when something goes wrong: one table of error codes, one of close codes.

use std::fmt;

use crate::id::{Generation, NodeId};

/// Why a request of a client failed. The name in `snake_case` is what stands in `error.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request is not understood: bad JSON, a missing or a wrong field.
    BadRequest,
    /// Understood, but this server does not do it.
    Unsupported,
    /// The recipient has no session anywhere. Definite: it was not delivered.
    Offline,
    /// No way to the node that could deliver or keep it. Definite: it was neither.
    Unreachable,
    /// No answer before the deadline: it may or may not have been delivered.
    Unknown,
    /// Too much waits for the recipient, or for all users of its node. Definite: it was not kept.
    InboxFull,
    /// The sender has used this id for another recipient. Definite: it was not kept.
    IdReused,
    /// The body is larger than the server takes.
    TooLarge,
    /// Too many messages in too short a time.
    RateLimited,
    /// This user may not do that.
    NotAllowed,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::BadRequest,
        Self::Unsupported,
        Self::Offline,
        Self::Unreachable,
        Self::Unknown,
        Self::InboxFull,
        Self::IdReused,
        Self::TooLarge,
        Self::RateLimited,
        Self::NotAllowed,
    ];

    /// The code on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unsupported => "unsupported",
            Self::Offline => "offline",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
            Self::InboxFull => "inbox_full",
            Self::IdReused => "id_reused",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::NotAllowed => "not_allowed",
        }
    }

    /// Whether the very same request may succeed later.
    #[must_use]
    pub const fn retry(self) -> bool {
        match self {
            Self::BadRequest
            | Self::Unsupported
            | Self::IdReused
            | Self::TooLarge
            | Self::NotAllowed => false,
            Self::Offline
            | Self::Unreachable
            | Self::Unknown
            | Self::InboxFull
            | Self::RateLimited => true,
        }
    }

    /// The sentence that goes with the code where nothing more particular is known.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::BadRequest => "the request is not well formed",
            Self::Unsupported => "this server does not support that",
            Self::Offline => "the user has no session",
            Self::Unreachable => {
                "the user's node, or enough nodes to keep it, could not be reached; nothing was \
                 delivered or kept"
            }
            Self::Unknown => "no answer in time; it may or may not have been delivered",
            Self::InboxFull => "the recipient's inbox is full",
            Self::IdReused => "this id was used for another recipient",
            Self::TooLarge => "the message is too large",
            Self::RateLimited => "too many messages",
            Self::NotAllowed => "not allowed",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The WebSocket close codes that a node sends. Of 4000 to 4999, those below 4500 mean: reconnect
/// (with jitter); those from 4500 on mean: do not, unless something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// Normal end.
    Normal = 1000,
    /// The node is going away.
    GoingAway = 1001,
    /// RFC 6455: the peer broke the protocol.
    Protocol = 1002,
    /// RFC 6455: a text that is not UTF-8.
    InvalidUtf8 = 1007,
    /// RFC 6455: a message over the limit, in one frame or many.
    TooBig = 1009,
    /// The program that serves the session failed.
    Internal = 1011,
    /// The node restarts and could not say where to go.
    Restart = 1012,
    /// Overloaded, or the user's owner cannot be reached: try again later.
    TryLater = 1013,
    /// Redirected; the `redirect` message before it said where.
    Redirect = 4307,
    /// Nothing was heard of the client in the heartbeat time.
    HeartbeatMissed = 4408,
    /// The client reads more slowly than it is written to.
    TooSlow = 4413,
    /// The client goes on sending more than it may.
    RateLimited = 4429,
    /// Ten messages in a row that are not the protocol's.
    NotTheProtocol = 4500,
    /// Nobody knows who this is.
    Unauthorized = 4501,
    /// The origin or the user is not allowed.
    NotAllowed = 4503,
    /// The user has as many sessions as are allowed.
    TooManySessions = 4509,
    /// A backend has disconnected the user.
    Disconnected = 4510,
    /// A newer session of the user has taken its place.
    Replaced = 4511,
}

impl CloseCode {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Normal,
        Self::GoingAway,
        Self::Protocol,
        Self::InvalidUtf8,
        Self::TooBig,
        Self::Internal,
        Self::Restart,
        Self::TryLater,
        Self::Redirect,
        Self::HeartbeatMissed,
        Self::TooSlow,
        Self::RateLimited,
        Self::NotTheProtocol,
        Self::Unauthorized,
        Self::NotAllowed,
        Self::TooManySessions,
        Self::Disconnected,
        Self::Replaced,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}

/// Whether a client whose connection was closed with this code is to connect again. A connection
/// that ends without a close counts as 1006, a close without a code as 1005.
#[must_use]
pub const fn close_means_reconnect(code: u16) -> bool {
    matches!(code, 1001 | 1006 | 1012 | 1013 | 3000..=4499)
}

/// Why a node that ran has ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Another process runs under this node's id and started later.
    #[error("another process took over the node id {id} (generation {by}); this one has ended")]
    Replaced {
        /// The id.
        id: NodeId,
        /// The other process's generation.
        by: Generation,
    },
}
