//! What a client asks for in a binary message.

use std::borrow::Cow;

use bytes::Bytes;
use prost::Message as _;

use crate::core::protocol::request::{
    Fault, bad, check_promise, named, not_the_protocol, refuse, resume, usable, user,
};
use crate::core::protocol::rooms::{check_list, room};
use crate::core::protocol::{
    Join, JoinRoom, Qos, Recipient, Refusal, Request, RequestLimits, Send, check_body,
};
use crate::core::stream::Resume;
use crate::core::trust::Hidden;
use crate::error::ErrorCode;
use crate::id::StreamKey;
use crate::proto::{self, ClientMessage, client_message};

/// Reads one binary message; what it asks for, [`request`] says.
///
/// # Errors
/// It is no message of this protocol at all.
pub fn decode(frame: &Bytes) -> Result<ClientMessage, Refusal> {
    let message = ClientMessage::decode(frame.clone())
        .map_err(|_| not_the_protocol("the message is no ClientMessage"))?;
    // Of a request that is not known here only its bytes are left to be seen.
    if message.request.is_none() && message.encoded_len() == frame.len() {
        return Err(not_the_protocol("the message has no request"));
    }
    Ok(message)
}

/// What a message asks for.
///
/// # Errors
/// A [`Refusal`]: what to answer instead of acting on it.
pub fn request<'a>(
    message: &'a ClientMessage,
    limits: &RequestLimits,
) -> Result<Request<'a>, Refusal> {
    let id = usable(Cow::from(&*message.id));
    read(message, id.as_ref(), limits).map_err(|fault| refuse(id, fault))
}

fn read<'a>(
    message: &'a ClientMessage,
    id: Option<&Cow<'a, str>>,
    limits: &RequestLimits,
) -> Result<Request<'a>, Fault> {
    use client_message::Request as Asked;
    let asked = message.request.as_ref();
    match asked.ok_or_else(|| bad("this type of request is not known"))? {
        Asked::Send(asked) => send(named(id)?, asked).map(Request::Send),
        Asked::Join(asked) => join(named(id)?, asked, limits.rooms_max).map(Request::Join),
        Asked::Leave(asked) => Ok(Request::Leave {
            id: named(id)?,
            room: room(&asked.room)?,
        }),
        Asked::Ack(asked) => ack(asked),
        Asked::Presence(asked) => presence(named(id)?, asked, limits.presence_users_max),
        Asked::Auth(asked) => Ok(Request::Auth {
            id: named(id)?,
            token: Hidden::new(&*asked.token),
        }),
        Asked::Ping(_) if message.id.is_empty() => Ok(Request::Ping { id: None }),
        Asked::Ping(_) => Ok(Request::Ping {
            id: Some(named(id)?),
        }),
    }
}

fn send<'a>(id: Cow<'a, str>, asked: &'a proto::Send) -> Result<Send<'a>, Fault> {
    let to = asked.to.as_ref().and_then(|target| target.to.as_ref());
    let to = recipient(to.ok_or_else(|| bad("`to` is missing"))?)?;
    let body = std::str::from_utf8(&asked.body).map_err(|_| bad("the body is not UTF-8"))?;
    let body = check_body(body).map_err(bad)?;
    let qos = match proto::Qos::try_from(asked.qos) {
        Ok(proto::Qos::Unspecified) => Qos::default_for(&to),
        Ok(proto::Qos::AtMostOnce) => Qos::AtMostOnce,
        Ok(proto::Qos::AtLeastOnce) => Qos::AtLeastOnce,
        Err(_) => return Err(bad("this `qos` is not known")),
    };
    check_promise(&to, qos, asked.notify).map_err(bad)?;
    Ok(Send {
        id,
        to,
        body,
        qos,
        notify: asked.notify,
        echo: asked.echo.unwrap_or(true),
    })
}

fn recipient(to: &proto::target::To) -> Result<Recipient, Fault> {
    Ok(match to {
        proto::target::To::User(name) => Recipient::Stream(StreamKey::Inbox(user(name)?)),
        proto::target::To::Room(name) => Recipient::Stream(StreamKey::Room(room(name)?)),
        proto::target::To::Everyone(_) => Recipient::Everyone,
    })
}

fn join<'a>(id: Cow<'a, str>, asked: &proto::Join, rooms_max: usize) -> Result<Join<'a>, Fault> {
    let single = asked.rooms.is_empty();
    let rooms = if single {
        vec![room_to_join(&asked.room, asked.since.as_ref())?]
    } else {
        let alone = asked.room.is_empty() && asked.since.is_none();
        check_list(alone, asked.rooms.len(), rooms_max)?;
        let rooms = asked.rooms.iter();
        let rooms = rooms.map(|asked| room_to_join(&asked.room, asked.since.as_ref()));
        rooms.collect::<Result<_, _>>()?
    };
    Join::new(id, rooms, single)
}

fn room_to_join(name: &str, since: Option<&proto::Position>) -> Result<JoinRoom, Fault> {
    Ok(JoinRoom {
        room: room(name)?,
        since: since.map(position).transpose()?,
    })
}

fn position(at: &proto::Position) -> Result<Resume, Fault> {
    resume(Some(&at.epoch), Some(at.offset))
}

fn ack<'a>(asked: &proto::Ack) -> Result<Request<'a>, Fault> {
    match &*asked.stream {
        "inbox" => {}
        room if room.starts_with("room:") => return Err(bad("nothing is acked in rooms")),
        _ => return Err(bad("`stream` must be \"inbox\"")),
    }
    let resume = resume(Some(&asked.epoch), Some(asked.offset))?;
    Ok(Request::Ack {
        position: resume.position(),
    })
}

fn presence<'a>(
    id: Cow<'a, str>,
    asked: &proto::PresenceRequest,
    users_max: usize,
) -> Result<Request<'a>, Fault> {
    let subscribe = asked.subscribe;
    if asked.users.is_empty() == asked.room.is_empty() {
        return Err(bad("exactly one of `users` and `room` must be there"));
    }
    if asked.users.len() > users_max {
        let message = format!("at most {users_max} users in one request");
        return Err((ErrorCode::TooLarge, message));
    }
    if asked.users.is_empty() {
        let after = Some(&asked.after).filter(|after| !after.is_empty());
        return Ok(Request::RoomPresence {
            id,
            room: room(&asked.room)?,
            after: after.map(|name| user(name)).transpose()?,
            subscribe,
        });
    }
    let users = asked.users.iter().map(|name| user(name));
    Ok(Request::Presence {
        id,
        users: users.collect::<Result<_, _>>()?,
        subscribe,
    })
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
