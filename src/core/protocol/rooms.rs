//! What requests say of rooms and recipients.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::{Fields, present, text_of};
use super::request::{Fault, Join, JoinRoom, Recipient, bad, position, user};
use crate::core::stream::Resume;
use crate::error::ErrorCode;
use crate::id::{RoomName, StreamKey};

pub(super) fn room(name: &str) -> Result<RoomName, Fault> {
    RoomName::new(name).map_err(|why| bad(format!("not a room: {why}")))
}

/// The `room` of a request.
pub(super) fn room_of(fields: &Fields<'_>) -> Result<RoomName, Fault> {
    let raw = fields.room.ok_or_else(|| bad("`room` is missing"))?;
    let name = text_of(raw).ok_or_else(|| bad("`room` must be a string"))?;
    room(&name)
}

/// The `to` of a message.
pub(super) fn target(raw: &str) -> Result<Recipient, Fault> {
    #[derive(Deserialize)]
    struct To<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        user: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        room: Option<&'a RawValue>,
    }
    let wrong = || bad("`to` must be {\"user\":…}, {\"room\":…} or \"everyone\"");
    if let Some(word) = text_of(raw) {
        let everyone = (word == "everyone").then_some(Recipient::Everyone);
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
            user(&name).map(|user| Recipient::Stream(StreamKey::Inbox(user)))
        }
        (None, Some(raw)) => {
            let name = text_of(raw.get()).ok_or_else(|| bad("`to.room` must be a string"))?;
            room(&name).map(|room| Recipient::Stream(StreamKey::Room(room)))
        }
        _ => Err(wrong()),
    }
}

/// A `join`: of one room, or of a list of at most `rooms_max`.
pub(super) fn join<'a>(
    id: Cow<'a, str>,
    fields: &Fields<'a>,
    rooms_max: usize,
) -> Result<Join<'a>, Fault> {
    let Some(list) = fields.rooms else {
        let since = fields.since.map(since).transpose()?;
        let room = room_of(fields)?;
        return Join::new(id, vec![JoinRoom { room, since }], true);
    };
    let alone = fields.room.is_none() && fields.since.is_none();
    let list: Vec<&RawValue> =
        serde_json::from_str(list).map_err(|_| bad("`rooms` must be a list"))?;
    check_list(alone, list.len(), rooms_max)?;
    let rooms = list.into_iter().map(|raw| room_to_join(raw.get()));
    Join::new(id, rooms.collect::<Result<_, _>>()?, false)
}

/// A list of rooms, which must be `alone`, has so many.
pub(super) fn check_list(alone: bool, rooms: usize, rooms_max: usize) -> Result<(), Fault> {
    if !alone {
        return Err(bad(
            "`rooms` stands alone: each room in it has its own `since`",
        ));
    }
    if rooms > rooms_max {
        let message = format!("at most {rooms_max} rooms in one request");
        return Err((ErrorCode::TooLarge, message));
    }
    Ok(())
}

impl<'a> Join<'a> {
    pub(super) fn new(id: Cow<'a, str>, rooms: Vec<JoinRoom>, single: bool) -> Result<Self, Fault> {
        let mut names: Vec<_> = rooms.iter().map(|join| &join.room).collect();
        names.sort();
        if rooms.is_empty() || names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(bad("`rooms` must name one room at least, and each once"));
        }
        Ok(Self { id, rooms, single })
    }
}

fn room_to_join(raw: &str) -> Result<JoinRoom, Fault> {
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        room: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        since: Option<&'a RawValue>,
    }
    let wrong = || bad("each of `rooms` must be {\"room\":…}, with a `since` if you like");
    if !raw.starts_with('{') {
        return Err(wrong());
    }
    let item: Item<'_> = serde_json::from_str(raw).map_err(|_| wrong())?;
    let name = item.room.and_then(|raw| text_of(raw.get()));
    Ok(JoinRoom {
        room: room(&name.ok_or_else(wrong)?)?,
        since: item.since.map(|raw| since(raw.get())).transpose()?,
    })
}

/// A position: `{"epoch":"…","offset":4}`.
fn since(raw: &str) -> Result<Resume, Fault> {
    #[derive(Deserialize)]
    struct Since<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        epoch: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        offset: Option<&'a RawValue>,
    }
    let wrong = || bad("`since` must be {\"epoch\":…,\"offset\":…}");
    if !raw.starts_with('{') {
        return Err(wrong());
    }
    let since: Since<'_> = serde_json::from_str(raw).map_err(|_| wrong())?;
    position(
        since.epoch.map(RawValue::get),
        since.offset.map(RawValue::get),
    )
}
