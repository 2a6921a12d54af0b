//! What a client asks for: one JSON text message, taken apart in one pass.
//!
//! The pass only finds where the fields are (`Fields`); each is then looked at by itself. So a
//! request that is wrong in one field still has an `id` by which it can be refused.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::{Fields, Text, present, text_of};
use crate::core::stream::{OFFSET_END, Position, Resume, is_epoch};
use crate::error::ErrorCode;
use crate::id::{StreamKey, UserId};

/// Longest request id, in bytes of UTF-8 after unescaping; the shortest has one.
pub const REQUEST_ID_BYTES_MAX: usize = 64;

/// Deepest nesting of arrays and objects in a body.
///
/// Reading a body here costs no stack at any depth. The bound protects its readers: `serde_json`
/// reads 127 levels, and the message around a body is one of them.
pub const BODY_DEPTH_MAX: usize = 126;

/// A request that this server acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// One message to one user.
    Send(Send<'a>),
    /// The user has all of its inbox up to this position. Not answered.
    Ack {
        /// `None`: in an epoch that is none of ours, so it acks nothing.
        position: Option<Position>,
    },
    /// Which of these users are online? In the order asked, repeats included.
    Presence {
        /// Names the reply.
        id: Cow<'a, str>,
        /// At most as many as [`parse`] was told.
        users: Vec<UserId>,
    },
    /// Answered with a pong that echoes the id.
    Ping {
        /// Absent when the client gave none.
        id: Option<Cow<'a, str>>,
    },
}

/// One message to one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send<'a> {
    /// Chosen by the sender, 1 to 64 bytes.
    pub id: Cow<'a, str>,
    /// The recipient.
    pub to: StreamKey,
    /// Any JSON value, byte for byte as it was sent, at most [`BODY_DEPTH_MAX`] deep.
    pub body: &'a str,
    /// What the sender is promised.
    pub qos: Qos,
    /// It wants to hear when the recipient has acked the message; never with [`Qos::AtMostOnce`].
    pub notify: bool,
}

/// What a sender is promised for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Qos {
    /// `"qos":0`: handed to the sessions that are there now, or lost.
    AtMostOnce,
    /// `"qos":1`: kept until the recipient has it, and recognised when it is repeated.
    #[default]
    AtLeastOnce,
}

/// A request that is not acted on; [`super::reply::refusal`] makes the answer. The connection stays
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

/// Reads one text message. `presence_users_max` bounds the users of one presence request.
///
/// Unknown fields are ignored; a known one that stands there twice is refused.
///
/// # Errors
/// A [`Refusal`]: what to answer instead of acting on it.
pub fn parse(text: &str, presence_users_max: usize) -> Result<Request<'_>, Refusal> {
    let fields = fields_of(text)?;
    let kind = (fields.kind.and_then(text_of))
        .ok_or_else(|| not_the_protocol("the message has no type, or one that is no string"))?;
    let id = id_of(&fields);
    request(&kind, &fields, id.as_ref(), presence_users_max).map_err(|fault| refuse(id, fault))
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

fn not_the_protocol(message: &str) -> Refusal {
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

fn refuse(id: Option<Cow<'_, str>>, (code, message): Fault) -> Refusal {
    match id {
        Some(id) => Refusal::Failed {
            id: id.into_owned(),
            code,
            message,
        },
        None => Refusal::Error { code, message },
    }
}

type Fault = (ErrorCode, String);

fn bad(message: impl Into<String>) -> Fault {
    (ErrorCode::BadRequest, message.into())
}

fn unsupported(what: &str) -> Fault {
    (
        ErrorCode::Unsupported,
        format!("this server does not support {what}"),
    )
}

fn request<'a>(
    kind: &str,
    fields: &Fields<'a>,
    id: Option<&Cow<'a, str>>,
    presence_users_max: usize,
) -> Result<Request<'a>, Fault> {
    refuse_repeated(fields)?;
    match kind {
        "send" => send(named(id)?, fields).map(Request::Send),
        "presence" => presence(named(id)?, fields, presence_users_max),
        "ping" if fields.id.is_none() => Ok(Request::Ping { id: None }),
        "ping" => Ok(Request::Ping {
            id: Some(named(id)?),
        }),
        "join" | "leave" => Err(unsupported("rooms")),
        "ack" => ack(fields),
        "auth" => Err(unsupported("tokens")),
        _ => Err(bad("this type of request is not known")),
    }
}

fn refuse_repeated(fields: &Fields<'_>) -> Result<(), Fault> {
    match fields.repeated {
        None => Ok(()),
        Some(name) => Err(bad(format!("the field `{name}` stands there twice"))),
    }
}

fn named<'a>(id: Option<&Cow<'a, str>>) -> Result<Cow<'a, str>, Fault> {
    let rule = format!("`id` must be a string of 1 to {REQUEST_ID_BYTES_MAX} bytes");
    id.cloned().ok_or_else(|| bad(rule))
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
        None => Qos::default(),
        Some("0") => Qos::AtMostOnce,
        Some("1") => Qos::AtLeastOnce,
        Some(_) => return Err(bad("`qos` must be 0 or 1")),
    };
    let notify = flag("notify", fields.notify)?;
    if notify && qos == Qos::AtMostOnce {
        return Err(bad("a notice needs qos 1"));
    }
    match to {
        Target::User(to) => Ok(Send {
            id,
            to: StreamKey::Inbox(to),
            body,
            qos,
            notify,
        }),
        Target::Room => Err(unsupported("rooms")),
        Target::Everyone => Err(unsupported("sending to everyone")),
    }
}

fn ack<'a>(fields: &Fields<'_>) -> Result<Request<'a>, Fault> {
    match fields.stream.and_then(text_of).as_deref() {
        Some("inbox") => {}
        Some(room) if room.starts_with("room:") => return Err(unsupported("acks in rooms")),
        _ => return Err(bad("`stream` must be \"inbox\"")),
    }
    let rule = "`epoch` must be a string of 1 to 64 of A-Z a-z 0-9 _ -";
    let epoch = (fields.epoch.and_then(text_of)).filter(|epoch| is_epoch(epoch));
    let epoch = epoch.ok_or_else(|| bad(rule))?;
    let offset = fields.offset.and_then(|raw| raw.parse().ok());
    let offset = offset.filter(|&offset| offset < OFFSET_END);
    let offset = offset.ok_or_else(|| bad("`offset` must be a whole number below 2^53"))?;
    Ok(Request::Ack {
        position: Resume::given(&epoch, offset).position(),
    })
}

fn presence<'a>(
    id: Cow<'a, str>,
    fields: &Fields<'a>,
    users_max: usize,
) -> Result<Request<'a>, Fault> {
    let subscribe = flag("subscribe", fields.subscribe)?;
    let users = match (fields.users, fields.room) {
        (Some(users), None) => users,
        (None, Some(room)) => {
            text_of(room).ok_or_else(|| bad("`room` must be a string"))?;
            return Err(unsupported("rooms"));
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
    if subscribe {
        return Err(unsupported("changes of presence"));
    }
    Ok(Request::Presence { id, users })
}

enum Target {
    User(UserId),
    Room,
    Everyone,
}

fn target(raw: &str) -> Result<Target, Fault> {
    #[derive(Deserialize)]
    struct To<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        user: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        room: Option<&'a RawValue>,
    }
    let wrong = || bad("`to` must be {\"user\":…}, {\"room\":…} or \"everyone\"");
    if let Some(word) = text_of(raw) {
        let everyone = (word == "everyone").then_some(Target::Everyone);
        return everyone.ok_or_else(wrong);
    }
    // Derived structs are also read from arrays, which no client may come to rely on.
    if !raw.starts_with('{') {
        return Err(wrong());
    }
    let to: To<'_> = serde_json::from_str(raw).map_err(|_| wrong())?;
    match (to.user, to.room) {
        (Some(raw), None) => {
            let name = text_of(raw.get()).ok_or_else(|| bad("`to.user` must be a string"))?;
            user(&name).map(Target::User)
        }
        (None, Some(raw)) => {
            text_of(raw.get()).ok_or_else(|| bad("`to.room` must be a string"))?;
            Ok(Target::Room)
        }
        _ => Err(wrong()),
    }
}

fn user(name: &str) -> Result<UserId, Fault> {
    UserId::new(name).map_err(|why| bad(format!("not a user id: {why}")))
}

fn flag(name: &str, raw: Option<&str>) -> Result<bool, Fault> {
    match raw {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(bad(format!("`{name}` must be true or false"))),
    }
}

fn usable_id(raw: &str) -> Option<Cow<'_, str>> {
    text_of(raw).filter(|id| (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()))
}

/// Checks a body that did not come in an object: one JSON value, at most [`BODY_DEPTH_MAX`] deep.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check_body(body: &str) -> Result<&str, String> {
    let value: &RawValue =
        serde_json::from_str(body).map_err(|_| "the body is not JSON".to_owned())?;
    within_depth(value.get())
}

fn within_depth(body: &str) -> Result<&str, String> {
    if depth(body) > BODY_DEPTH_MAX {
        return Err(format!(
            "the body is nested deeper than {BODY_DEPTH_MAX} levels"
        ));
    }
    Ok(body)
}

/// Levels of arrays and objects in a text that is known to be a JSON value.
fn depth(json: &str) -> usize {
    let (mut level, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => level += 1,
            b']' | b'}' => level -= 1,
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
        deepest = deepest.max(level);
    }
    deepest
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
