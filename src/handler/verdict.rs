//! What a handler is asked, and what it can say.

use std::borrow::Cow;

use super::Body;
use crate::core::protocol::{Qos, Recipient, Send};
use crate::error::{CloseCode, ErrorCode};
use crate::id::{RoomName, StreamKey, UserId};

/// A message that a client wants to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The client's id for it; with its user it names the message everywhere.
    pub id: Box<str>,
    /// Whom it is for.
    pub to: Recipient,
    /// What it says.
    pub body: Body,
    /// What its sender is promised.
    pub qos: Qos,
}

impl Incoming {
    pub(crate) fn of(send: &Send<'_>) -> Self {
        Self {
            id: Box::from(&*send.id),
            to: send.to.clone(),
            body: Body::checked(send.body),
            qos: send.qos,
        }
    }

    /// The user it is for, if it is for one.
    #[must_use]
    pub fn to_user(&self) -> Option<&UserId> {
        match self.to.key() {
            Some(StreamKey::Inbox(user)) => Some(user),
            Some(StreamKey::Room(_)) | None => None,
        }
    }

    /// The room it is for, if it is for one.
    #[must_use]
    pub fn to_room(&self) -> Option<&RoomName> {
        match self.to.key() {
            Some(StreamKey::Room(room)) => Some(room),
            Some(StreamKey::Inbox(_)) | None => None,
        }
    }
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on as it is.
    Pass,
    /// This goes on in its place, under its id and with its receipt. To everyone it is qos 0, whatever
    /// its sender wanted.
    Rewrite {
        /// Whom it is for now.
        to: Recipient,
        /// What it says now.
        body: Body,
    },
    /// It goes no further: its sender is told `failed`.
    Refuse(Refusal),
    /// It goes no further, for the handler has done what there was to do: its sender is told `sent`.
    Taken,
}

impl Verdict {
    /// Refuses a message with `not_allowed` and that sentence.
    #[must_use]
    pub fn refuse(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Refuse(Refusal::new(ErrorCode::NotAllowed, message))
    }

    /// Lets a message go on with another body or to somebody else.
    #[must_use]
    pub fn rewrite(to: impl Into<Recipient>, body: impl Into<Body>) -> Self {
        Self::Rewrite {
            to: to.into(),
            body: body.into(),
        }
    }
}

/// Why a request is refused, as its client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code; it also says whether to try again ([`ErrorCode::retry`]).
    pub code: ErrorCode,
    /// A sentence for a human.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// With that code and that sentence.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.message())
    }
}

/// The error because of which a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionError {
    /// The client broke the WebSocket protocol or its limits: 1002, 1007 or 1009.
    Violation(CloseCode),
    /// It sent ten messages in a row that are not the protocol's: 4500.
    NotTheProtocol,
    /// It went on sending more than it may: 4429.
    RateLimited,
    /// It read more slowly than it was written to: 4413.
    TooSlow,
    /// Nothing was heard of it in the heartbeat time: 4408.
    HeartbeatMissed,
    /// The user's owner could not be reached, so it was never welcomed: 1013.
    Unreachable,
    /// A call of this handler for this session panicked: 1011.
    Panicked,
}

impl SessionError {
    /// What the code says with which a session was closed by its node.
    pub(crate) fn of(code: u16) -> Option<Self> {
        let violations = [
            CloseCode::Protocol,
            CloseCode::InvalidUtf8,
            CloseCode::TooBig,
        ];
        let others = [
            (CloseCode::NotTheProtocol, Self::NotTheProtocol),
            (CloseCode::RateLimited, Self::RateLimited),
            (CloseCode::TooSlow, Self::TooSlow),
            (CloseCode::HeartbeatMissed, Self::HeartbeatMissed),
            (CloseCode::TryLater, Self::Unreachable),
            (CloseCode::Internal, Self::Panicked),
        ];
        (violations
            .map(|code| (code, Self::Violation(code)))
            .into_iter())
        .chain(others)
        .find_map(|(known, error)| (known.number() == code).then_some(error))
    }
}
