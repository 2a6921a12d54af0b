//! The generated types of the API, to and from the core's. What comes in is checked here.

use tonic::{Code, Status};

use crate::api;
use crate::core::api::order::{Item, Refused, too_large};
use crate::core::api::route::{ROOM_USERS_MAX, RoomQuery};
use crate::core::peer::UserSession;
use crate::core::protocol::request::{REQUEST_ID_BYTES_MAX, check_promise};
use crate::core::protocol::{Qos, Receipt, Send, binary};
use crate::core::protocol::{Recipient, check_body};
use crate::core::roster::RosterPage;
use crate::error::ErrorCode;
use crate::id::{RoomName, StreamKey, UserId};

/// A message to send. `message_bytes_max` bounds its encoded size.
pub(super) fn item_of(
    message: &api::SendRequest,
    message_bytes_max: usize,
) -> Result<Item<'_>, Refused> {
    let named = (1..=REQUEST_ID_BYTES_MAX).contains(&message.id.len());
    if prost::Message::encoded_len(message) > message_bytes_max {
        let refused = too_large(&message.id, message_bytes_max);
        return Err(Refused {
            id: refused.id.filter(|_| named),
            ..refused
        });
    }
    let item = || {
        if !named {
            let rule = format!("`id` must be 1 to {REQUEST_ID_BYTES_MAX} bytes");
            return Err((ErrorCode::BadRequest, rule));
        }
        checked(message)
    };
    item().map_err(|(code, why)| Refused {
        id: named.then(|| message.id.clone()),
        code,
        message: why,
    })
}

type Wrong = (ErrorCode, String);

fn checked(message: &api::SendRequest) -> Result<Item<'_>, Wrong> {
    let bad = |why: String| (ErrorCode::BadRequest, why);
    let user = |name: &str| UserId::new(name).map_err(|why| bad(format!("not a user id: {why}")));
    let room = |name: &str| RoomName::new(name).map_err(|why| bad(format!("not a room: {why}")));
    let to = match message.to.as_ref().and_then(|target| target.to.as_ref()) {
        None => return Err(bad("`to` is missing".to_owned())),
        Some(api::target::To::User(name)) => Recipient::Stream(StreamKey::Inbox(user(name)?)),
        Some(api::target::To::Room(name)) => Recipient::Stream(StreamKey::Room(room(name)?)),
        Some(api::target::To::Everyone(_)) => Recipient::Everyone,
    };
    let body = std::str::from_utf8(&message.body);
    let body = body.map_err(|_| bad("the body is not UTF-8".to_owned()))?;
    let qos = match api::Qos::try_from(message.qos) {
        Ok(api::Qos::AtMostOnce) => Qos::AtMostOnce,
        Ok(api::Qos::AtLeastOnce) => Qos::AtLeastOnce,
        Ok(api::Qos::Unspecified) => Qos::default_for(&to),
        Err(_) => return Err(bad(format!("unknown `qos`: {}", message.qos))),
    };
    check_promise(&to, qos, message.notify).map_err(|why| bad(why.to_owned()))?;
    Ok(Item {
        from: user(&message.from)?,
        send: Send {
            id: message.id.as_str().into(),
            to,
            body: check_body(body).map_err(bad)?,
            qos,
            notify: message.notify,
            echo: true,
        },
    })
}

pub(super) fn receipt_to_wire(id: Option<&str>, receipt: &Receipt) -> api::Receipt {
    binary::receipt(id, receipt)
}

/// Which part of which room; without a `limit` as much as there may be.
pub(super) fn room_query(request: &api::GetRoomRequest) -> Result<RoomQuery, Status> {
    let bad = |why: String| status_of(ErrorCode::BadRequest, why);
    let room = RoomName::new(&request.room).map_err(|why| bad(format!("not a room: {why}")))?;
    let after = (!request.after.is_empty()).then(|| user_id(&request.after));
    if request.limit > ROOM_USERS_MAX {
        return Err(bad(format!("`limit` must be at most {ROOM_USERS_MAX}")));
    }
    Ok(RoomQuery {
        room,
        after: after.transpose()?,
        limit: match request.limit {
            0 => ROOM_USERS_MAX,
            limit => limit,
        },
    })
}

pub(super) fn room_to_wire(room: &RoomName, page: &RosterPage) -> api::Room {
    let next = page.users.last().filter(|_| page.more);
    api::Room {
        room: room.as_str().to_owned(),
        count: page.count,
        users: page.users.iter().map(|u| u.as_str().to_owned()).collect(),
        next: next
            .map(|user| user.as_str().to_owned())
            .unwrap_or_default(),
    }
}

pub(super) fn user_to_wire(user: &UserId, sessions: Vec<UserSession>) -> api::User {
    let session = |session: UserSession| api::Session {
        node: session.node.as_str().to_owned(),
        session: session.session.to_string(),
        since_ms: session.since_ms,
    };
    api::User {
        user: user.as_str().to_owned(),
        online: !sessions.is_empty(),
        sessions: sessions.into_iter().map(session).collect(),
    }
}

pub(super) fn user_id(name: &str) -> Result<UserId, Status> {
    UserId::new(name).map_err(|why| {
        let message = format!("not a user id: {why}");
        status_of(ErrorCode::BadRequest, message)
    })
}

/// The status of a call that is not acted on.
pub(super) fn status_of(code: ErrorCode, message: impl Into<String>) -> Status {
    let code = match code {
        ErrorCode::BadRequest | ErrorCode::IdReused => Code::InvalidArgument,
        ErrorCode::Unsupported => Code::Unimplemented,
        ErrorCode::Offline => Code::NotFound,
        ErrorCode::Unreachable => Code::Unavailable,
        ErrorCode::Unknown => Code::DeadlineExceeded,
        ErrorCode::InboxFull | ErrorCode::TooLarge | ErrorCode::RateLimited => {
            Code::ResourceExhausted
        }
        ErrorCode::NotAllowed => Code::PermissionDenied,
    };
    Status::new(code, message)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message() -> api::SendRequest {
        api::SendRequest {
            from: "shop".into(),
            to: Some(api::Target {
                to: Some(api::target::To::User("bob".into())),
            }),
            id: "o1".into(),
            body: Bytes::from_static(b"{ \"a\" : 1e400 }"),
            qos: 0,
            notify: false,
        }
    }

    fn refused(change: impl FnOnce(&mut api::SendRequest)) -> (Option<String>, ErrorCode) {
        let mut message = message();
        change(&mut message);
        let refused = item_of(&message, 1000).unwrap_err();
        (refused.id, refused.code)
    }

    #[test]
    fn a_message_is_kept_unless_it_says_otherwise() {
        let message = message();
        let item = item_of(&message, 1000).unwrap();
        assert_eq!(item.from.as_str(), "shop");
        assert_eq!(
            (item.send.to.key().map(StreamKey::as_str), &*item.send.id),
            (Some("bob"), "o1")
        );
        assert_eq!(item.send.body, "{ \"a\" : 1e400 }");
        assert_eq!((item.send.qos, item.send.notify), (Qos::AtLeastOnce, false));
        let unkept = api::SendRequest {
            qos: api::Qos::AtMostOnce.into(),
            ..message
        };
        assert_eq!(item_of(&unkept, 1000).unwrap().send.qos, Qos::AtMostOnce);
    }

    #[test]
    fn what_is_wrong_in_a_message_is_said_under_its_id() {
        use api::target::To;
        let bad = (Some("o1".to_owned()), ErrorCode::BadRequest);
        assert_eq!(refused(|m| m.from = String::new()), bad);
        assert_eq!(refused(|m| m.to = None), bad);
        assert_eq!(refused(|m| m.qos = 7), bad);
        assert_eq!(refused(|m| m.to = Some(api::Target { to: None })), bad);
        assert_eq!(refused(|m| m.body = Bytes::new()), bad);
        assert_eq!(refused(|m| m.body = Bytes::from_static(b"\xff")), bad);
        assert_eq!(refused(|m| m.body = Bytes::from_static(b"1 2")), bad);
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(refused(|m| m.body = deep.into()), bad);
        let unkept_notice = |m: &mut api::SendRequest| {
            m.qos = api::Qos::AtMostOnce.into();
            m.notify = true;
        };
        assert_eq!(refused(unkept_notice), bad);
        let to = |to| move |m: &mut api::SendRequest| m.to = Some(api::Target { to: Some(to) });
        assert_eq!(refused(to(To::Room("a\n".into()))), bad);
        let kept_for_everyone = |m: &mut api::SendRequest| {
            to(To::Everyone(api::Everyone {}))(m);
            m.qos = api::Qos::AtLeastOnce.into();
        };
        assert_eq!(refused(kept_for_everyone), bad);
        let nameless = (None, ErrorCode::BadRequest);
        assert_eq!(refused(|m| m.id = String::new()), nameless);
        assert_eq!(refused(|m| m.id = "m".repeat(65)), nameless);
        let large = (Some("o1".to_owned()), ErrorCode::TooLarge);
        assert_eq!(refused(|m| m.body = vec![b'1'; 1000].into()), large);
    }

    #[test]
    fn receipts_say_what_the_json_ones_say() {
        let accepted = Receipt::Accepted {
            copies: 2,
            duplicate: true,
        };
        let wire = receipt_to_wire(Some("o1"), &accepted);
        assert_eq!(
            (wire.id.as_str(), wire.status()),
            ("o1", api::Status::Accepted)
        );
        assert_eq!((wire.copies, wire.duplicate, wire.error), (2, true, None));
        let wire = receipt_to_wire(None, &ErrorCode::Offline.into());
        assert_eq!((wire.id.as_str(), wire.status()), ("", api::Status::Failed));
        let error = wire.error.unwrap();
        assert_eq!((error.code.as_str(), error.retry), ("offline", true));
    }
}
