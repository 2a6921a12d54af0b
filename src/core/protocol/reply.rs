//! What a node tells a client, in JSON: each reply one compact text, `type` first, the fields in the
//! order of the protocol's documentation.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::io::Write as _;

use crate::core::roster::RosterPage;
use crate::core::stream::Position;
use crate::error::ErrorCode;
use crate::id::{NodeId, RoomName, SessionId, StreamKey, UserId};

/// What nearly every reply has room in, in bytes.
const REPLY_BYTES: usize = 128;
/// What a message takes beside what its sender gave it, in bytes, at most.
const MESSAGE_BYTES: usize = 192;

/// The first message on every connection that is served.
#[derive(Debug, Clone, Copy)]
pub struct Welcome<'a> {
    /// Who the client is.
    pub user: &'a UserId,
    /// Its session.
    pub session: SessionId,
    /// The node that serves it.
    pub node: &'a NodeId,
    /// Where the client stands in its inbox; replay starts right after it.
    pub position: Option<Position>,
    /// Whether all behind the position it came with is replayed; `None` if it came with none.
    pub recovered: Option<bool>,
    /// How often the client is pinged, in milliseconds.
    pub heartbeat_ms: u64,
    /// Largest message the node takes, in bytes.
    pub max_message_bytes: usize,
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its place in the stream; `None` if it is not kept (qos 0).
    pub position: Option<Position>,
    /// The sender's id for it: (`from`, `id`) names it everywhere.
    pub id: &'a str,
    /// Who sent it.
    pub from: &'a str,
    /// Whom it was sent to; `None`: everyone.
    pub to: Option<&'a StreamKey>,
    /// One JSON value, put into the message as it stands.
    pub body: &'a str,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub ts: u64,
}

/// What became of a message, as its sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// Not kept (qos 0), and handed to at least one session.
    Sent,
    /// Kept by the owner and its live successors.
    Accepted {
        /// How many they are.
        copies: u8,
        /// It is the repeat of a message that was accepted before.
        duplicate: bool,
    },
    /// Neither, or nobody knows.
    Failed {
        /// Why.
        code: ErrorCode,
        /// The same for a human.
        message: Cow<'static, str>,
    },
}

impl From<ErrorCode> for Receipt {
    fn from(code: ErrorCode) -> Self {
        Self::Failed {
            code,
            message: code.message().into(),
        }
    }
}

/// Why a client is told to go elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The ring changed and another node owns the user now.
    Moved,
    /// The node is being stopped.
    Drain,
    /// The client came to a node that does not own the user.
    NotOwner,
}

impl Reason {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Drain => "drain",
            Self::NotOwner => "not_owner",
        }
    }
}

/// `welcome`.
#[must_use]
pub fn welcome(welcome: &Welcome<'_>) -> Vec<u8> {
    Object::of_type("welcome")
        .text("user", welcome.user.as_str())
        .text("session", &welcome.session.to_string())
        .text("node", welcome.node.as_str())
        .position(welcome.position)
        .flag("recovered", welcome.recovered)
        .raw("heartbeat_ms", welcome.heartbeat_ms)
        .raw("max_message_bytes", welcome.max_message_bytes)
        .end()
}

/// `message`, whole; the body is copied once.
#[must_use]
pub fn message(message: &Message<'_>) -> Vec<u8> {
    let size = message.id.len()
        + message.from.len()
        + 2 * message.to.map_or(0, |to| to.as_str().len())
        + message.body.len();
    Object::of_size("message", MESSAGE_BYTES + size)
        .stream(message.to)
        .position(message.position)
        .text("id", message.id)
        .text("from", message.from)
        .to(message.to)
        .raw("body", message.body)
        .raw("ts", message.ts)
        .end()
}

/// `receipt`: handed to at least one session.
#[must_use]
pub fn sent(id: &str) -> Vec<u8> {
    receipt(Some(id), &Receipt::Sent)
}

/// `receipt`: kept by the owner and its live successors, which are so many `copies`. A `duplicate`
/// is the repeat of a message that was accepted before.
#[must_use]
pub fn accepted(id: &str, copies: u8, duplicate: bool) -> Vec<u8> {
    receipt(Some(id), &Receipt::Accepted { copies, duplicate })
}

/// A room that was joined, or could not be.
pub type Joined<'a> = (&'a RoomName, Result<(Position, Option<bool>), ErrorCode>);

/// `receipt`: the room is joined from that position on; `recovered` if one was asked for.
#[must_use]
pub fn joined(id: &str, position: Position, recovered: Option<bool>) -> Vec<u8> {
    receipt_of(Some(id))
        .text("status", "joined")
        .position(Some(position))
        .flag("recovered", recovered)
        .end()
}

/// `receipt` for a list of rooms, in its order.
#[must_use]
pub fn joined_all(id: &str, rooms: &[Joined<'_>]) -> Vec<u8> {
    let room = |(room, outcome): &Joined<'_>| {
        let object = Object::empty().text("room", room.as_str());
        match outcome {
            Ok((position, recovered)) => object
                .position(Some(*position))
                .flag("recovered", *recovered)
                .end(),
            Err(code) => object
                .object("error", |error| error.fault(*code, code.message()))
                .end(),
        }
    };
    receipt_of(Some(id))
        .text("status", "joined")
        .list("rooms", rooms.iter().map(room))
        .end()
}

/// `receipt`: the session is not in the room any more.
#[must_use]
pub fn left(id: &str) -> Vec<u8> {
    receipt_of(Some(id)).text("status", "left").end()
}

/// `joined` or `left`, to the members of a room: that user has come or gone.
#[must_use]
pub fn member(room: &RoomName, user: &UserId, joined: bool) -> Vec<u8> {
    Object::of_type(if joined { "joined" } else { "left" })
        .text("room", room.as_str())
        .text("user", user.as_str())
        .end()
}

/// `presence` of a room: how many users are in it, some of them in their order, and, if there are
/// more, behind whom to go on.
#[must_use]
pub fn room_presence(id: &str, room: &RoomName, page: &RosterPage) -> Vec<u8> {
    let users = page.users.iter().map(|user| {
        let mut name = Vec::new();
        write_string(&mut name, user.as_str());
        name
    });
    let object = Object::of_type("presence")
        .text("id", id)
        .text("room", room.as_str())
        .raw("count", page.count)
        .list("users", users);
    match page.users.last().filter(|_| page.more) {
        Some(last) => object.text("next", last.as_str()).end(),
        None => object.end(),
    }
}

/// `presence_change`: a user has come or gone.
#[must_use]
pub fn user_changed(user: &UserId, online: bool) -> Vec<u8> {
    Object::of_type("presence_change")
        .text("user", user.as_str())
        .flag("online", Some(online))
        .end()
}

/// `presence_change`: so many users are in a room now. `who` has come to it or left it, if that is
/// known.
#[must_use]
pub fn room_changed(room: &RoomName, count: u64, who: Option<(&UserId, bool)>) -> Vec<u8> {
    let names = |joined: bool| {
        let who = who.filter(|(_, came)| *came == joined);
        who.map(|(user, _)| {
            let mut name = Vec::new();
            write_string(&mut name, user.as_str());
            name
        })
    };
    Object::of_type("presence_change")
        .text("room", room.as_str())
        .raw("count", count)
        .list("joined", names(true))
        .list("left", names(false))
        .end()
}

/// `delivered`, to the sender of a message: the user has acked it.
#[must_use]
pub fn delivered(id: &str, user: &UserId) -> Vec<u8> {
    Object::of_type("delivered")
        .text("id", id)
        .text("user", user.as_str())
        .end()
}

/// `receipt`: the request that it names did not succeed.
#[must_use]
pub fn failed(id: &str, code: ErrorCode, message: &str) -> Vec<u8> {
    failed_of(Some(id), code, message)
}

/// `receipt`, whatever it says. Only a backend may get one without an id: that of a message that had
/// no usable one.
#[must_use]
pub fn receipt(id: Option<&str>, receipt: &Receipt) -> Vec<u8> {
    match receipt {
        Receipt::Sent => receipt_of(id).text("status", "sent").end(),
        Receipt::Accepted { copies, duplicate } => receipt_of(id)
            .text("status", "accepted")
            .raw("copies", copies)
            .flag("duplicate", duplicate.then_some(true))
            .end(),
        Receipt::Failed { code, message } => failed_of(id, *code, message),
    }
}

fn receipt_of(id: Option<&str>) -> Object {
    let object = Object::of_type("receipt");
    match id {
        Some(id) => object.text("id", id),
        None => object,
    }
}

fn failed_of(id: Option<&str>, code: ErrorCode, message: &str) -> Vec<u8> {
    receipt_of(id)
        .text("status", "failed")
        .object("error", |error| error.fault(code, message))
        .end()
}

/// `presence`: each user once, in the order given; of a repeat the first answer counts.
#[must_use]
pub fn presence<'a>(id: &str, online: impl IntoIterator<Item = (&'a UserId, bool)>) -> Vec<u8> {
    let mut seen = HashSet::new();
    Object::of_type("presence")
        .text("id", id)
        .object("online", |users| {
            (online.into_iter())
                .filter(|(user, _)| seen.insert(*user))
                .fold(users, |users, (user, online)| {
                    users.flag(user.as_str(), Some(online))
                })
        })
        .end()
}

/// `receipt` of a fresh token: it is good.
#[must_use]
pub fn renewed(id: &str) -> Vec<u8> {
    receipt_of(Some(id)).text("status", "accepted").end()
}

/// `token_expiring`: so long the session's token is still good.
#[must_use]
pub fn token_expiring(in_ms: u64) -> Vec<u8> {
    Object::of_type("token_expiring").raw("in_ms", in_ms).end()
}

/// `redirect`; `after_ms` is how long to wait before following it.
#[must_use]
pub fn redirect(url: &str, reason: Reason, after_ms: Option<u64>) -> Vec<u8> {
    let object = Object::of_type("redirect")
        .text("url", url)
        .text("reason", reason.as_str());
    match after_ms {
        Some(after_ms) => object.raw("after_ms", after_ms).end(),
        None => object.end(),
    }
}

/// `error`, for what no id can be named.
#[must_use]
pub fn error(code: ErrorCode, message: &str) -> Vec<u8> {
    Object::of_type("error").fault(code, message).end()
}

/// `error`, to the members of a room: messages of it may be missing.
#[must_use]
pub fn room_gap(room: &RoomName) -> Vec<u8> {
    Object::of_type("error")
        .fault(ErrorCode::Unknown, &gap_message(room))
        .text("room", room.as_str())
        .end()
}

/// What is said to humans of a gap in a room.
pub(super) fn gap_message(room: &RoomName) -> String {
    format!("messages of the room {room} may be missing")
}

/// `pong`, with the ping's id.
#[must_use]
pub fn pong(id: Option<&str>) -> Vec<u8> {
    let object = Object::of_type("pong");
    match id {
        Some(id) => object.text("id", id).end(),
        None => object.end(),
    }
}

/// A JSON object on its way into memory.
struct Object {
    out: Vec<u8>,
}

impl Object {
    fn of_type(kind: &'static str) -> Self {
        Self::of_size(kind, REPLY_BYTES)
    }

    fn empty() -> Self {
        Self { out: vec![b'{'] }
    }

    /// With room for so many bytes; it takes more if it must.
    fn of_size(kind: &'static str, bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        out.push(b'{');
        Self { out }.text("type", kind)
    }

    fn text(self, name: &str, value: &str) -> Self {
        let mut object = self.name(name);
        write_string(&mut object.out, value);
        object
    }

    /// A value that is JSON as it is displayed.
    fn raw(self, name: &str, json: impl fmt::Display) -> Self {
        let mut object = self.name(name);
        write!(object.out, "{json}").expect("memory takes all");
        object
    }

    fn stream(self, to: Option<&StreamKey>) -> Self {
        match to {
            Some(StreamKey::Inbox(_)) => self.text("stream", "inbox"),
            Some(StreamKey::Room(room)) => self.text("stream", &format!("room:{room}")),
            None => self.text("stream", "everyone"),
        }
    }

    fn to(self, to: Option<&StreamKey>) -> Self {
        match to {
            Some(StreamKey::Inbox(user)) => self.object("to", |to| to.text("user", user.as_str())),
            Some(StreamKey::Room(room)) => self.object("to", |to| to.text("room", room.as_str())),
            None => self.text("to", "everyone"),
        }
    }

    /// Nothing where there is no value.
    fn flag(self, name: &str, value: Option<bool>) -> Self {
        match value {
            None => self,
            Some(true) => self.raw(name, "true"),
            Some(false) => self.raw(name, "false"),
        }
    }

    /// Nothing where there is no position.
    fn position(self, position: Option<Position>) -> Self {
        match position {
            None => self,
            // An epoch has no character that would have to be escaped.
            Some(Position { epoch, offset }) => self
                .raw("epoch", format_args!("\"{epoch}\""))
                .raw("offset", offset),
        }
    }

    /// A list of values that are JSON already.
    fn list(self, name: &str, values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut object = self.name(name);
        object.out.push(b'[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                object.out.push(b',');
            }
            object.out.extend_from_slice(&value);
        }
        object.out.push(b']');
        object
    }

    fn object(self, name: &str, fill: impl FnOnce(Self) -> Self) -> Self {
        let mut object = self.name(name);
        object.out.push(b'{');
        let mut object = fill(object);
        object.out.push(b'}');
        object
    }

    fn fault(self, code: ErrorCode, message: &str) -> Self {
        self.text("code", code.as_str())
            .text("message", message)
            .flag("retry", Some(code.retry()))
    }

    fn name(mut self, name: &str) -> Self {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        write_string(&mut self.out, name);
        self.out.push(b':');
        self
    }

    fn end(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is written into memory without fail");
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
