//! What a node tells a client, as a binary message.

use std::collections::HashMap;

use bytes::Bytes;

use crate::core::protocol::reply::gap_message;
use crate::core::protocol::{Joined, Message, Receipt, Reply, Welcome};
use crate::core::stream::Position;
use crate::error::ErrorCode;
use crate::id::{StreamKey, UserId};
use crate::proto::presence_change::{self, About};
use crate::proto::server_message::Reply as Told;
use crate::proto::{self, PresenceChange, ServerMessage, Status, target};

/// The message that says a reply.
#[must_use]
pub fn server_message(reply: &Reply<'_>) -> ServerMessage {
    let told = match *reply {
        Reply::Welcome(ref welcome) => Told::Welcome(self::welcome(welcome)),
        Reply::Message(ref message) => Told::Message(self::message(message)),
        Reply::Receipt { id, receipt } => Told::Receipt(self::receipt(Some(id), receipt)),
        Reply::Failed { id, code, message } => Told::Receipt(proto::Receipt {
            error: Some(error(code, message)),
            ..receipt_of(id, Status::Failed)
        }),
        Reply::Joined {
            id,
            position,
            recovered,
        } => Told::Receipt(proto::Receipt {
            epoch: position.epoch.to_string(),
            offset: position.offset,
            recovered,
            ..receipt_of(id, Status::Joined)
        }),
        Reply::JoinedAll { id, rooms } => Told::Receipt(proto::Receipt {
            rooms: rooms.iter().map(room_receipt).collect(),
            ..receipt_of(id, Status::Joined)
        }),
        Reply::Left { id } => Told::Receipt(receipt_of(id, Status::Left)),
        Reply::Member { room, user, joined } => {
            let (room, user) = (room.to_string(), user.to_string());
            if joined {
                Told::Joined(proto::Joined { room, user })
            } else {
                Told::Left(proto::Left { room, user })
            }
        }
        Reply::Presence { id, online } => Told::Presence(proto::Presence {
            id: id.to_owned(),
            online: first_answers(online),
            ..Default::default()
        }),
        Reply::RoomPresence { id, room, page } => {
            let last = page.users.last().filter(|_| page.more);
            Told::Presence(proto::Presence {
                id: id.to_owned(),
                room: room.to_string(),
                count: page.count,
                users: page.users.iter().map(ToString::to_string).collect(),
                next: last.map(ToString::to_string).unwrap_or_default(),
                ..Default::default()
            })
        }
        Reply::UserChanged { user, online } => {
            let user = user.to_string();
            presence_change(About::User(presence_change::User { user, online }))
        }
        Reply::RoomChanged { room, count, who } => {
            let names = |joined: bool| {
                let who = who.filter(|(_, came)| *came == joined);
                who.map(|(user, _)| user.to_string()).into_iter().collect()
            };
            presence_change(About::Room(presence_change::Room {
                room: room.to_string(),
                count,
                joined: names(true),
                left: names(false),
            }))
        }
        Reply::Delivered { id, user } => Told::Delivered(proto::Delivered {
            id: id.to_owned(),
            user: user.to_string(),
        }),
        Reply::Renewed { id } => Told::Receipt(receipt_of(id, Status::Accepted)),
        Reply::TokenExpiring { in_ms } => Told::TokenExpiring(proto::TokenExpiring { in_ms }),
        Reply::Redirect {
            url,
            reason,
            after_ms,
        } => Told::Redirect(proto::Redirect {
            url: url.to_owned(),
            reason: reason.as_str().to_owned(),
            after_ms,
        }),
        Reply::Error { code, message } => Told::Error(error(code, message)),
        Reply::RoomGap { room } => Told::Error(proto::Error {
            room: room.to_string(),
            ..error(ErrorCode::Unknown, &gap_message(room))
        }),
        Reply::Pong { id } => Told::Pong(proto::Pong {
            id: id.unwrap_or_default().to_owned(),
        }),
    };
    ServerMessage { reply: Some(told) }
}

fn presence_change(about: About) -> Told {
    Told::PresenceChange(PresenceChange { about: Some(about) })
}

/// What became of a message. Only a backend's may have no id.
#[must_use]
pub fn receipt(id: Option<&str>, receipt: &Receipt) -> proto::Receipt {
    let id = id.unwrap_or_default();
    match receipt {
        Receipt::Sent => receipt_of(id, Status::Sent),
        Receipt::Accepted { copies, duplicate } => proto::Receipt {
            copies: u32::from(*copies),
            duplicate: *duplicate,
            ..receipt_of(id, Status::Accepted)
        },
        Receipt::Failed { code, message } => proto::Receipt {
            error: Some(error(*code, message)),
            ..receipt_of(id, Status::Failed)
        },
    }
}

fn receipt_of(id: &str, status: Status) -> proto::Receipt {
    proto::Receipt {
        id: id.to_owned(),
        status: status.into(),
        ..Default::default()
    }
}

fn error(code: ErrorCode, message: &str) -> proto::Error {
    proto::Error {
        code: code.as_str().to_owned(),
        message: message.to_owned(),
        retry: code.retry(),
        ..Default::default()
    }
}

fn room_receipt((room, outcome): &Joined<'_>) -> proto::RoomReceipt {
    let receipt = proto::RoomReceipt {
        room: room.to_string(),
        ..Default::default()
    };
    match *outcome {
        Ok((position, recovered)) => proto::RoomReceipt {
            epoch: position.epoch.to_string(),
            offset: position.offset,
            recovered,
            ..receipt
        },
        Err(code) => proto::RoomReceipt {
            error: Some(error(code, code.message())),
            ..receipt
        },
    }
}

fn welcome(welcome: &Welcome<'_>) -> proto::Welcome {
    let (epoch, offset) = place(welcome.position);
    proto::Welcome {
        user: welcome.user.to_string(),
        session: welcome.session.to_string(),
        node: welcome.node.to_string(),
        epoch,
        offset,
        recovered: welcome.recovered,
        heartbeat_ms: welcome.heartbeat_ms,
        max_message_bytes: welcome.max_message_bytes as u64,
    }
}

fn message(message: &Message<'_>) -> proto::Message {
    let (epoch, offset) = place(message.position);
    let (stream, to) = match message.to {
        Some(StreamKey::Inbox(user)) => ("inbox".to_owned(), target::To::User(user.to_string())),
        Some(StreamKey::Room(room)) => (format!("room:{room}"), target::To::Room(room.to_string())),
        None => (
            "everyone".to_owned(),
            target::To::Everyone(proto::Everyone {}),
        ),
    };
    proto::Message {
        stream,
        epoch,
        offset,
        id: message.id.to_owned(),
        from: message.from.to_owned(),
        to: Some(proto::Target { to: Some(to) }),
        body: Bytes::copy_from_slice(message.body.as_bytes()),
        ts: message.ts,
    }
}

/// No epoch where there is no position.
fn place(position: Option<Position>) -> (String, u64) {
    position.map_or_else(Default::default, |at| (at.epoch.to_string(), at.offset))
}

fn first_answers(online: &[(&UserId, bool)]) -> HashMap<String, bool> {
    let mut answers = HashMap::with_capacity(online.len());
    for (user, online) in online {
        answers.entry(user.to_string()).or_insert(*online);
    }
    answers
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
