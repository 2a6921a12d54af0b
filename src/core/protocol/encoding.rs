//! What a node tells a client, whatever form it takes on the wire, and its two forms.

use bytes::Bytes;

use super::request::Refusal;
use super::{Joined, Message, Reason, Receipt, Welcome, binary, reply};
use crate::core::frame::encode;
use crate::core::roster::RosterPage;
use crate::core::stream::Position;
use crate::error::ErrorCode;
use crate::id::{RoomName, UserId};

/// What a client's frames are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `ringpost.v1.json`: text frames.
    Json,
    /// `ringpost.v1.proto`: binary frames.
    Proto,
}

/// What a node tells a client: one frame.
#[derive(Debug, Clone, Copy)]
pub enum Reply<'a> {
    /// `welcome`.
    Welcome(Welcome<'a>),
    /// `message`.
    Message(Message<'a>),
    /// `receipt` of a message.
    Receipt {
        /// The message's id.
        id: &'a str,
        /// What became of it.
        receipt: &'a Receipt,
    },
    /// `receipt`: the request did not succeed.
    Failed {
        /// The request's id.
        id: &'a str,
        /// Why.
        code: ErrorCode,
        /// The same for a human.
        message: &'a str,
    },
    /// `receipt` of a `join` that named one room.
    Joined {
        /// The request's id.
        id: &'a str,
        /// From where on messages come.
        position: Position,
        /// Whether all behind the position that was asked for comes, if one was.
        recovered: Option<bool>,
    },
    /// `receipt` of a `join` that named a list.
    JoinedAll {
        /// The request's id.
        id: &'a str,
        /// In the order of the list.
        rooms: &'a [Joined<'a>],
    },
    /// `receipt` of a `leave`.
    Left {
        /// The request's id.
        id: &'a str,
    },
    /// `joined` or `left`, to the members of a room.
    Member {
        /// The room.
        room: &'a RoomName,
        /// Who has come or gone.
        user: &'a UserId,
        /// Whether the user has come.
        joined: bool,
    },
    /// `presence` of users.
    Presence {
        /// The request's id.
        id: &'a str,
        /// Who is online; of a repeat the first answer counts.
        online: &'a [(&'a UserId, bool)],
    },
    /// `presence` of a room.
    RoomPresence {
        /// The request's id.
        id: &'a str,
        /// The room.
        room: &'a RoomName,
        /// Who is in it.
        page: &'a RosterPage,
    },
    /// `presence_change` of a user.
    UserChanged {
        /// The user.
        user: &'a UserId,
        /// Whether the user has come.
        online: bool,
    },
    /// `presence_change` of a room.
    RoomChanged {
        /// The room.
        room: &'a RoomName,
        /// How many users are in it now.
        count: u64,
        /// Who has come to it (`true`) or left it, if that is known.
        who: Option<(&'a UserId, bool)>,
    },
    /// `delivered`.
    Delivered {
        /// The message's id.
        id: &'a str,
        /// Who has acked it.
        user: &'a UserId,
    },
    /// `receipt` of a fresh token.
    Renewed {
        /// The request's id.
        id: &'a str,
    },
    /// `token_expiring`.
    TokenExpiring {
        /// How long the token is still good.
        in_ms: u64,
    },
    /// `redirect`.
    Redirect {
        /// Where to go.
        url: &'a str,
        /// Why.
        reason: Reason,
        /// How long to wait before.
        after_ms: Option<u64>,
    },
    /// `error`, for what no id can be named.
    Error {
        /// What is wrong.
        code: ErrorCode,
        /// The same for a human.
        message: &'a str,
    },
    /// `error`, to the members of a room: messages of it may be missing.
    RoomGap {
        /// The room.
        room: &'a RoomName,
    },
    /// `pong`.
    Pong {
        /// The ping's id.
        id: Option<&'a str>,
    },
}

/// The one answer to a request that is not acted on.
impl<'a> From<&'a Refusal> for Reply<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        match refusal {
            Refusal::NotTheProtocol { message } => Self::Error {
                code: ErrorCode::BadRequest,
                message,
            },
            &Refusal::Failed {
                ref id,
                code,
                ref message,
            } => Self::Failed { id, code, message },
            &Refusal::Error { code, ref message } => Self::Error { code, message },
        }
    }
}

impl Reply<'_> {
    /// Its frame for a client of that encoding.
    #[must_use]
    pub fn frame(&self, encoding: Encoding) -> Bytes {
        match encoding {
            Encoding::Json => encode::text(&self.json()),
            Encoding::Proto => binary::frame(self),
        }
    }

    /// Its JSON text.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        match *self {
            Self::Welcome(ref welcome) => reply::welcome(welcome),
            Self::Message(ref message) => reply::message(message),
            Self::Receipt { id, receipt } => reply::receipt(Some(id), receipt),
            Self::Failed { id, code, message } => reply::failed(id, code, message),
            Self::Joined {
                id,
                position,
                recovered,
            } => reply::joined(id, position, recovered),
            Self::JoinedAll { id, rooms } => reply::joined_all(id, rooms),
            Self::Left { id } => reply::left(id),
            Self::Member { room, user, joined } => reply::member(room, user, joined),
            Self::Presence { id, online } => reply::presence(id, online.iter().copied()),
            Self::RoomPresence { id, room, page } => reply::room_presence(id, room, page),
            Self::UserChanged { user, online } => reply::user_changed(user, online),
            Self::RoomChanged { room, count, who } => reply::room_changed(room, count, who),
            Self::Delivered { id, user } => reply::delivered(id, user),
            Self::Renewed { id } => reply::renewed(id),
            Self::TokenExpiring { in_ms } => reply::token_expiring(in_ms),
            Self::Redirect {
                url,
                reason,
                after_ms,
            } => reply::redirect(url, reason, after_ms),
            Self::Error { code, message } => reply::error(code, message),
            Self::RoomGap { room } => reply::room_gap(room),
            Self::Pong { id } => reply::pong(id),
        }
    }
}

/// The frames of one reply to several sessions: each encoding's is made once, when the first session
/// wants it.
#[derive(Debug)]
pub struct Encoded {
    shared: bool,
    json: Option<Bytes>,
    proto: Option<Bytes>,
}

impl Encoded {
    /// For one session, if it is not `shared`: then nothing is kept, since a frame that two hold
    /// costs more.
    #[must_use]
    pub fn of_some(shared: bool) -> Self {
        Self {
            shared,
            json: None,
            proto: None,
        }
    }

    /// The frame for clients of that encoding. The reply is always the same one.
    pub fn frame<'a>(&mut self, encoding: Encoding, reply: impl FnOnce() -> Reply<'a>) -> Bytes {
        let made = match encoding {
            Encoding::Json => &mut self.json,
            Encoding::Proto => &mut self.proto,
        };
        if let Some(frame) = made {
            return frame.clone();
        }
        let frame = reply().frame(encoding);
        if self.shared {
            *made = Some(frame.clone());
        }
        frame
    }
}

/// For any number of sessions.
impl Default for Encoded {
    fn default() -> Self {
        Self::of_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_to_many_is_encoded_once_for_each_encoding() {
        let mut made = 0;
        let mut encoded = Encoded::default();
        let wanted = [
            Encoding::Json,
            Encoding::Proto,
            Encoding::Json,
            Encoding::Proto,
        ];
        let frames = wanted.map(|encoding| {
            let reply = || {
                made += 1;
                Reply::Pong { id: Some("x") }
            };
            encoded.frame(encoding, reply)
        });
        assert_eq!(made, 2);
        assert_eq!(frames[0][..], *b"\x81\x18{\"type\":\"pong\",\"id\":\"x\"}");
        assert_eq!(frames[1][..], *b"\x82\x05\x5a\x03\x0a\x01x");
        assert_eq!((&frames[2], &frames[3]), (&frames[0], &frames[1]));
    }
}
