//! What a client asks for: one JSON text message, taken apart in one pass.
//!
//! The pass only finds where the fields are (`Fields`); each is then looked at by itself. So a
//! request that is wrong in one field still has an `id` by which it can be refused.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::within_depth;
use super::fields::{Fields, Text, present, text_of};
use super::rooms::{join, room_of, target};
use crate::core::stream::{OFFSET_END, Position, Resume, is_epoch};
use crate::core::trust::Hidden;
use crate::error::ErrorCode;
use crate::id::{RoomName, StreamKey, UserId};

/// Longest request id, in bytes of UTF-8 after unescaping; the shortest has one.
pub const REQUEST_ID_BYTES_MAX: usize = 64;

/// Bounds of what one request may name.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// Users of one presence request.
    pub presence_users_max: usize,
    /// Rooms of one join.
    pub rooms_max: usize,
}

/// A request that this server acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// One message to a user, a room or everyone.
    Send(Send<'a>),
    /// Be in these rooms from now on.
    Join(Join<'a>),
    /// Be in this room no longer.
    Leave {
        /// Names the reply.
        id: Cow<'a, str>,
        /// The room.
        room: RoomName,
    },
    /// The user has all of its inbox up to this position. Not answered.
    Ack {
        /// `None`: in an epoch that is none of ours, so it acks nothing.
        position: Option<Position>,
    },
    /// Which of these users are online? In the order asked, repeats included.
    Presence {
        /// Names the reply.
        id: Cow<'a, str>,
        /// At most [`RequestLimits::presence_users_max`].
        users: Vec<UserId>,
        /// Whether their changes are wanted from now on; `None`: as before.
        subscribe: Option<bool>,
    },
    /// Who is in this room?
    RoomPresence {
        /// Names the reply.
        id: Cow<'a, str>,
        /// The room.
        room: RoomName,
        /// Only users behind this one: the `next` of the page before.
        after: Option<UserId>,
        /// Whether changes of it are wanted from now on; `None`: as before.
        subscribe: Option<bool>,
    },
    /// A fresh token for the session.
    Auth {
        /// Names the reply.
        id: Cow<'a, str>,
        /// As it was sent.
        token: Hidden,
    },
    /// Answered with a pong that echoes the id.
    Ping {
        /// Absent when the client gave none.
        id: Option<Cow<'a, str>>,
    },
}

impl Request<'_> {
    /// What names the reply; `None`: there is none, or it needs no name.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Send(Send { id, .. })
            | Self::Join(Join { id, .. })
            | Self::Leave { id, .. }
            | Self::Presence { id, .. }
            | Self::RoomPresence { id, .. }
            | Self::Auth { id, .. } => Some(id),
            Self::Ping { id } => id.as_deref(),
            Self::Ack { .. } => None,
        }
    }

    /// Whether a client may make as many of these as it likes.
    #[must_use]
    pub fn is_free(&self) -> bool {
        matches!(self, Self::Ack { .. } | Self::Ping { .. })
    }
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// A user, or a room.
    Stream(StreamKey),
    /// Every session of the cluster; never with [`Qos::AtLeastOnce`].
    Everyone,
}

impl Recipient {
    /// The stream, unless it is everyone.
    #[must_use]
    pub fn key(&self) -> Option<&StreamKey> {
        match self {
            Self::Stream(key) => Some(key),
            Self::Everyone => None,
        }
    }
}

impl From<&UserId> for Recipient {
    fn from(user: &UserId) -> Self {
        Self::Stream(StreamKey::from(user))
    }
}

impl From<&RoomName> for Recipient {
    fn from(room: &RoomName) -> Self {
        Self::Stream(StreamKey::Room(room.clone()))
    }
}

/// Rooms to be joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join<'a> {
    /// Names the reply.
    pub id: Cow<'a, str>,
    /// At least one and at most [`RequestLimits::rooms_max`], each once.
    pub rooms: Vec<JoinRoom>,
    /// Asked for as `room`, not as `rooms`: the reply is about that one.
    pub single: bool,
}

/// A room to be joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRoom {
    /// Its name.
    pub room: RoomName,
    /// What came behind there is wanted; `None`: what comes from now on.
    pub since: Option<Resume>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send<'a> {
    /// Chosen by the sender, 1 to 64 bytes.
    pub id: Cow<'a, str>,
    /// Whom it is for.
    pub to: Recipient,
    /// Any JSON value, byte for byte as it was sent, at most [`super::BODY_DEPTH_MAX`] deep.
    pub body: &'a str,
    /// What the sender is promised.
    pub qos: Qos,
    /// It wants to hear when the recipient, which is a user, has acked the message; never with
    /// [`Qos::AtMostOnce`].
    pub notify: bool,
    /// A sender who is in the room receives it, too.
    pub echo: bool,
}

/// What a sender is promised for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Qos {
    /// `"qos":0`: handed to the sessions that are there now, or lost.
    AtMostOnce,
    /// `"qos":1`: kept until the recipient has it, and recognised when it is repeated.
    AtLeastOnce,
}

impl Qos {
    /// What is meant where a sender says nothing.
    #[must_use]
    pub fn default_for(to: &Recipient) -> Self {
        match to {
            Recipient::Stream(_) => Self::AtLeastOnce,
            Recipient::Everyone => Self::AtMostOnce,
        }
    }
}

/// A request that is not acted on; a [`Reply`](super::Reply) of it is the answer. The connection stays
/// open in each case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not a message of this protocol at all: not JSON, no object, or no string `type`. Ten of them
    /// in a row close the connection; each is answered with an `error`, `bad_request`.
    NotTheProtocol {
        /// What is wrong with it.
        message: String,
    },
    /// Refused by name: the answer is a `failed` receipt.
    Failed {
        /// The request's id.
        id: String,
        /// Why.
        code: ErrorCode,
        /// The same for a human.
        message: String,
    },
    /// Refused without a name, for it has no usable id: the answer is an `error`.
    Error {
        /// Why.
        code: ErrorCode,
        /// The same for a human.
        message: String,
    },
}

/// Reads one text message.
///
/// Unknown fields are ignored; a known one that stands there twice is refused.
///
/// # Errors
/// A [`Refusal`]: what to answer instead of acting on it.
pub fn parse<'a>(text: &'a str, limits: &RequestLimits) -> Result<Request<'a>, Refusal> {
    let fields = fields_of(text)?;
    let kind = (fields.kind.and_then(text_of))
        .ok_or_else(|| not_the_protocol("the message has no type, or one that is no string"))?;
    let id = id_of(&fields);
    request(&kind, &fields, id.as_ref(), limits).map_err(|fault| refuse(id, fault))
}

/// Reads one message of a backend: a `send` without `type`, with `from`, the user in whose name it
/// is.
///
/// # Errors
/// As [`parse`].
pub fn parse_of_backend(text: &str) -> Result<(UserId, Send<'_>), Refusal> {
    let fields = fields_of(text)?;
    let id = id_of(&fields);
    let read = || {
        refuse_repeated(&fields)?;
        let from = sender(text)?;
        Ok((from, send(named(id.as_ref())?, &fields)?))
    };
    read().map_err(|fault| refuse(id.clone(), fault))
}

pub(super) fn not_the_protocol(message: &str) -> Refusal {
    Refusal::NotTheProtocol {
        message: message.to_owned(),
    }
}

fn fields_of(text: &str) -> Result<Fields<'_>, Refusal> {
    serde_json::from_str(text).map_err(|error| {
        not_the_protocol(match error.classify() {
            serde_json::error::Category::Data => "the message is not a JSON object",
            _ => "the message is not JSON",
        })
    })
}

fn id_of<'a>(fields: &Fields<'a>) -> Option<Cow<'a, str>> {
    (fields.id.filter(|_| fields.repeated != Some("id"))).and_then(usable_id)
}

pub(super) fn refuse(id: Option<Cow<'_, str>>, (code, message): Fault) -> Refusal {
    match id {
        Some(id) => Refusal::Failed {
            id: id.into_owned(),
            code,
            message,
        },
        None => Refusal::Error { code, message },
    }
}

pub(super) type Fault = (ErrorCode, String);

pub(super) fn bad(message: impl Into<String>) -> Fault {
    (ErrorCode::BadRequest, message.into())
}

fn request<'a>(
    kind: &str,
    fields: &Fields<'a>,
    id: Option<&Cow<'a, str>>,
    limits: &RequestLimits,
) -> Result<Request<'a>, Fault> {
    refuse_repeated(fields)?;
    match kind {
        "send" => send(named(id)?, fields).map(Request::Send),
        "join" => join(named(id)?, fields, limits.rooms_max).map(Request::Join),
        "leave" => Ok(Request::Leave {
            id: named(id)?,
            room: room_of(fields)?,
        }),
        "presence" => presence(named(id)?, fields, limits.presence_users_max),
        "ping" if fields.id.is_none() => Ok(Request::Ping { id: None }),
        "ping" => Ok(Request::Ping {
            id: Some(named(id)?),
        }),
        "ack" => ack(fields),
        "auth" => auth(named(id)?, fields),
        _ => Err(bad("this type of request is not known")),
    }
}

fn refuse_repeated(fields: &Fields<'_>) -> Result<(), Fault> {
    match fields.repeated {
        None => Ok(()),
        Some(name) => Err(bad(format!("the field `{name}` stands there twice"))),
    }
}

pub(super) fn named<'a>(id: Option<&Cow<'a, str>>) -> Result<Cow<'a, str>, Fault> {
    let rule = || format!("`id` must be a string of 1 to {REQUEST_ID_BYTES_MAX} bytes");
    id.cloned().ok_or_else(|| bad(rule()))
}

/// The `from` of an object, which for clients is a field like any unknown one.
fn sender(object: &str) -> Result<UserId, Fault> {
    #[derive(Deserialize)]
    struct From<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        from: Option<&'a RawValue>,
    }
    // All else in it has been read before.
    let twice = |_| bad("the field `from` stands there twice");
    let from: From<'_> = serde_json::from_str(object).map_err(twice)?;
    let from = from.from.ok_or_else(|| bad("`from` is missing"))?;
    let name = text_of(from.get()).ok_or_else(|| bad("`from` must be a string"))?;
    user(&name)
}

fn send<'a>(id: Cow<'a, str>, fields: &Fields<'a>) -> Result<Send<'a>, Fault> {
    let to = target(fields.to.ok_or_else(|| bad("`to` is missing"))?)?;
    let body = fields.body.ok_or_else(|| bad("`body` is missing"))?;
    let body = within_depth(body).map_err(bad)?;
    let qos = match fields.qos {
        None => Qos::default_for(&to),
        Some("0") => Qos::AtMostOnce,
        Some("1") => Qos::AtLeastOnce,
        Some(_) => return Err(bad("`qos` must be 0 or 1")),
    };
    let notify = flag("notify", fields.notify)?;
    let echo = fields.echo.is_none() || flag("echo", fields.echo)?;
    check_promise(&to, qos, notify).map_err(bad)?;
    Ok(Send {
        id,
        to,
        body,
        qos,
        notify,
        echo,
    })
}

/// Checks that a recipient can be promised that.
///
/// # Errors
/// A sentence that says what cannot be.
pub fn check_promise(to: &Recipient, qos: Qos, notify: bool) -> Result<(), &'static str> {
    let user = matches!(to, Recipient::Stream(StreamKey::Inbox(_)));
    match (to, qos) {
        (Recipient::Everyone, Qos::AtLeastOnce) => Err("a message to everyone needs qos 0"),
        (_, Qos::AtMostOnce) if notify => Err("a notice needs qos 1"),
        _ if notify && !user => Err("a notice needs a recipient that is a user"),
        _ => Ok(()),
    }
}

fn ack<'a>(fields: &Fields<'_>) -> Result<Request<'a>, Fault> {
    match fields.stream.and_then(text_of).as_deref() {
        Some("inbox") => {}
        Some(room) if room.starts_with("room:") => return Err(bad("nothing is acked in rooms")),
        _ => return Err(bad("`stream` must be \"inbox\"")),
    }
    Ok(Request::Ack {
        position: position(fields.epoch, fields.offset)?.position(),
    })
}

/// A position that a client gives.
pub(super) fn position(epoch: Option<&str>, offset: Option<&str>) -> Result<Resume, Fault> {
    let offset = offset.and_then(|raw| raw.parse().ok());
    resume(epoch.and_then(text_of).as_deref(), offset)
}

/// As [`position`], of what is no JSON.
pub(super) fn resume(epoch: Option<&str>, offset: Option<u64>) -> Result<Resume, Fault> {
    let rule = "`epoch` must be a string of 1 to 64 of A-Z a-z 0-9 _ -";
    let epoch = epoch.filter(|epoch| is_epoch(epoch));
    let epoch = epoch.ok_or_else(|| bad(rule))?;
    let offset = offset.filter(|&offset| offset < OFFSET_END);
    let offset = offset.ok_or_else(|| bad("`offset` must be a whole number below 2^53"))?;
    Ok(Resume::given(epoch, offset))
}

fn presence<'a>(
    id: Cow<'a, str>,
    fields: &Fields<'a>,
    users_max: usize,
) -> Result<Request<'a>, Fault> {
    let subscribe = fields.subscribe.map(|raw| flag("subscribe", Some(raw)));
    let subscribe = subscribe.transpose()?;
    let users = match (fields.users, fields.room) {
        (Some(users), None) => users,
        (None, Some(_)) => {
            let room = room_of(fields)?;
            let after = fields.after.map(|raw| {
                let name = text_of(raw).ok_or_else(|| bad("`after` must be a string"))?;
                user(&name)
            });
            return Ok(Request::RoomPresence {
                id,
                room,
                after: after.transpose()?,
                subscribe,
            });
        }
        _ => return Err(bad("exactly one of `users` and `room` must be there")),
    };
    let names: Vec<Text<'_>> =
        serde_json::from_str(users).map_err(|_| bad("`users` must be a list of strings"))?;
    if names.len() > users_max {
        let message = format!("at most {users_max} users in one request");
        return Err((ErrorCode::TooLarge, message));
    }
    let users = names.iter().map(|name| user(&name.0));
    let users = users.collect::<Result<Vec<_>, _>>()?;
    Ok(Request::Presence {
        id,
        users,
        subscribe,
    })
}

pub(super) fn user(name: &str) -> Result<UserId, Fault> {
    UserId::new(name).map_err(|why| bad(format!("not a user id: {why}")))
}

fn auth<'a>(id: Cow<'a, str>, fields: &Fields<'a>) -> Result<Request<'a>, Fault> {
    let token = fields.token.and_then(text_of);
    let token = token.ok_or_else(|| bad("`token` must be a string"))?;
    Ok(Request::Auth {
        id,
        token: Hidden::new(token),
    })
}

fn flag(name: &str, raw: Option<&str>) -> Result<bool, Fault> {
    match raw {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(bad(format!("`{name}` must be true or false"))),
    }
}

fn usable_id(raw: &str) -> Option<Cow<'_, str>> {
    text_of(raw).and_then(usable)
}

/// The id, if it can name a reply.
pub(super) fn usable(id: Cow<'_, str>) -> Option<Cow<'_, str>> {
    Some(id).filter(|id| (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "request_rooms_tests.rs"]
mod rooms_tests;
