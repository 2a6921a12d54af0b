//! What nodes say of rooms and to everyone, to and from its wire form.

use super::check::{body, bounded, message_id, room_name, user_id};
use super::stream::{entries, position};
use super::{WireError, proto};
use crate::core::peer::Broadcast;
use crate::core::roster::{RosterPage, Standing};
use crate::core::stream::History;
use crate::id::{RoomName, UserId};

/// Users, with what is said of each.
type Users = Vec<(UserId, Standing)>;

pub(super) fn members_to_wire(room: &RoomName, whole: bool, users: Users) -> proto::Members {
    let mut members = proto::Members {
        room: room.as_str().to_owned(),
        whole,
        ..Default::default()
    };
    for (user, standing) in users {
        let list = match standing {
            Standing::Came => &mut members.came,
            Standing::There => &mut members.there,
            Standing::Gone => &mut members.gone,
            Standing::Left => &mut members.left,
        };
        list.push(user.as_str().to_owned());
    }
    members
}

pub(super) fn members_from_wire(members: proto::Members) -> Result<(RoomName, Users), WireError> {
    let mut users = Users::new();
    for (list, standing) in [
        (members.came, Standing::Came),
        (members.there, Standing::There),
        (members.gone, Standing::Gone),
        (members.left, Standing::Left),
    ] {
        for user in bounded(list)? {
            users.push((user_id(&user)?, standing));
        }
    }
    Ok((room_name(&members.room)?, users))
}

impl From<Broadcast> for proto::Broadcast {
    fn from(broadcast: Broadcast) -> Self {
        Self {
            from: broadcast.from.as_str().to_owned(),
            id: broadcast.id.into_string(),
            body: broadcast.body,
            ts_ms: broadcast.ts_ms,
        }
    }
}

impl TryFrom<proto::Broadcast> for Broadcast {
    type Error = WireError;

    fn try_from(broadcast: proto::Broadcast) -> Result<Self, WireError> {
        Ok(Self {
            from: user_id(&broadcast.from)?,
            id: message_id(broadcast.id)?,
            body: body(broadcast.body)?,
            ts_ms: broadcast.ts_ms,
        })
    }
}

impl From<History> for proto::History {
    fn from(history: History) -> Self {
        Self {
            position: Some(history.position.into()),
            recovered: history.recovered,
            entries: history.entries.into_iter().map(Into::into).collect(),
            upto: Some(history.upto.into()),
        }
    }
}

impl TryFrom<proto::History> for History {
    type Error = WireError;

    fn try_from(history: proto::History) -> Result<Self, WireError> {
        let upto = position(history.upto)?;
        let entries = entries(history.entries)?;
        if entries.last().is_some_and(|last| last.offset > upto.offset) {
            return Err(WireError("a history that ends before its last entry"));
        }
        Ok(Self {
            position: position(history.position)?,
            recovered: history.recovered,
            entries,
            upto,
        })
    }
}

impl From<RosterPage> for proto::Roster {
    fn from(page: RosterPage) -> Self {
        let users = page.users.iter().map(|user| user.as_str().to_owned());
        Self {
            count: page.count,
            users: users.collect(),
            more: page.more,
        }
    }
}

impl TryFrom<proto::Roster> for RosterPage {
    type Error = WireError;

    fn try_from(page: proto::Roster) -> Result<Self, WireError> {
        let users = bounded(page.users)?;
        Ok(Self {
            count: page.count,
            users: users
                .iter()
                .map(|user| user_id(user))
                .collect::<Result<_, _>>()?,
            more: page.more,
        })
    }
}
