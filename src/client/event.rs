//! What a client tells the program that has it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{Error, Failure};

/// Something that happened, in the order in which it did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message has arrived. One that was seen before is not told again.
    Message(Message),
    /// A message that was sent with `notify` has reached its user.
    Delivered {
        /// The id it was sent under.
        id: String,
        /// Who has it.
        user: String,
    },
    /// Another user has come into a room that the client is in. Told where the nodes announce the
    /// room's members.
    Joined {
        /// The room.
        room: String,
        /// Who has come.
        user: String,
    },
    /// Another user has left a room that the client is in, or is gone.
    Left {
        /// The room.
        room: String,
        /// Who was there.
        user: String,
    },
    /// Messages of this room may be missing: after a reconnect it could not be gone on where the
    /// client was, or the node says so. What comes behind is in order.
    RoomGap {
        /// The room.
        room: String,
    },
    /// A room that the client is in could not be joined again after a reconnect.
    NotRejoined {
        /// The room.
        room: String,
        /// Why. With `retry` the client tries again by itself, from where it was; without, it is no
        /// longer in the room.
        failure: Failure,
    },
    /// A node has welcomed the client.
    Connected {
        /// The node's id.
        node: String,
        /// Only with a position to resume from: whether everything after it is there. `false`: some
        /// of it is gone.
        recovered: Option<bool>,
    },
    /// The client is being sent to another node. Nothing needs to be done.
    Redirected {
        /// The node's address.
        to: String,
        /// `moved`, `drain` or `not_owner`.
        reason: String,
    },
    /// The connection is gone, and the client will make another.
    Disconnected {
        /// What ended it.
        error: Error,
        /// How long the client waits first.
        retry_in: Duration,
    },
    /// The node complains about a request that it cannot name.
    Error {
        /// One of the protocol's error codes.
        code: String,
        /// A sentence.
        message: String,
    },
    /// A message of a type that this client does not know, in JSON.
    Other(String),
    /// The last event: there will be no other connection.
    Ended(Error),
}

/// One message to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The stream it came through: `inbox`, `room:NAME` or `everyone`.
    pub stream: String,
    /// Who sent it. Together with `id` its name everywhere.
    pub from: String,
    /// The sender's id for it.
    pub id: String,
    /// Whom it was sent to.
    pub to: Recipient,
    /// The body as it was sent: one JSON value, as text.
    pub body: String,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub ts: u64,
    /// Its place in the stream; `None` for a message that is not kept (qos 0).
    pub position: Option<Position>,
}

impl Message {
    /// The room that it came through.
    #[must_use]
    pub fn room(&self) -> Option<&str> {
        self.stream.strip_prefix("room:")
    }

    /// The body as a value.
    ///
    /// # Errors
    /// It is not one of that type.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.body)
    }
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipient {
    /// One user, on all of its sessions.
    User(String),
    /// Who is in this room.
    Room(String),
    /// Everybody who is connected. Nodes take it from clients only if they are told to.
    Everyone,
}

impl Recipient {
    /// A user.
    #[must_use]
    pub fn user(user: &str) -> Self {
        Self::User(user.to_owned())
    }

    /// A room.
    #[must_use]
    pub fn room(room: &str) -> Self {
        Self::Room(room.to_owned())
    }
}

/// What a room is joined with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Where the room stands: what comes behind there will come.
    pub position: Position,
    /// Only with a position to go on from: whether everything behind it comes. `false`: some of it is
    /// gone.
    pub recovered: Option<bool>,
}

/// Some of the users in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPage {
    /// How many there are in all.
    pub count: u64,
    /// Some of them, in an order that stays.
    pub users: Vec<String>,
    /// Behind whom the next page begins; `None`: there are no more.
    pub next: Option<String>,
}

/// A place in a stream: behind the entry of that offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The stretch of the stream that the offset counts in.
    pub epoch: Arc<str>,
    /// The entry.
    pub offset: u64,
}

impl Position {
    /// The position of these two.
    #[must_use]
    pub fn new(epoch: &str, offset: u64) -> Self {
        let epoch = epoch.into();
        Self { epoch, offset }
    }

    /// The further one where both are of one epoch, else the other.
    #[must_use]
    pub(super) fn or_further(self, other: Self) -> Self {
        if self.epoch == other.epoch && self.offset > other.offset {
            self
        } else {
            other
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

/// What became of a message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What it says.
    pub status: Status,
    /// The receipt as it came, in JSON.
    pub json: Arc<str>,
}

/// The good outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// qos 1: kept.
    Accepted {
        /// How many nodes hold it.
        copies: u32,
        /// The cluster had it already, from an earlier try.
        duplicate: bool,
    },
    /// qos 0: handed to at least one session.
    Sent,
}

/// What a client has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Welcomes after the first, moves to another node included.
    pub reconnects: u64,
    /// Redirects followed.
    pub redirects: u64,
    /// Messages that had been seen and were dropped.
    pub repeats_dropped: u64,
}
