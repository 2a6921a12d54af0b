//! Rooms in the client protocol, from the client's side.

use serde::Deserialize;
use serde_json::Value;

use super::{Fault, Position, Said, position};
use crate::client::error::Failure;
use crate::client::event::{Joined, RoomPage};

/// What a `join` is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::client) enum JoinReply {
    /// Of one room.
    One(Joined),
    /// Of a list, what became of each.
    All(Vec<(String, Result<Joined, Failure>)>),
}

/// `join`, of one room.
pub(in crate::client) fn join(id: &str, room: &str, since: Option<&Position>) -> String {
    let (id, fields) = (Value::from(id), room_fields(room, since));
    format!(r#"{{"type":"join","id":{id},{fields}}}"#)
}

/// One of the rooms of [`join_all`].
pub(in crate::client) fn room_to_join(room: &str, since: Option<&Position>) -> String {
    format!("{{{}}}", room_fields(room, since))
}

/// `join`, of a list of [rooms](room_to_join).
pub(in crate::client) fn join_all(id: &str, rooms: &[String]) -> String {
    let (id, rooms) = (Value::from(id), rooms.join(","));
    format!(r#"{{"type":"join","id":{id},"rooms":[{rooms}]}}"#)
}

fn room_fields(room: &str, since: Option<&Position>) -> String {
    let room = Value::from(room);
    match since {
        None => format!(r#""room":{room}"#),
        Some(Position { epoch, offset }) => {
            let epoch = Value::from(&**epoch);
            format!(r#""room":{room},"since":{{"epoch":{epoch},"offset":{offset}}}"#)
        }
    }
}

/// `leave`.
pub(in crate::client) fn leave(id: &str, room: &str) -> String {
    let (id, room) = (Value::from(id), Value::from(room));
    format!(r#"{{"type":"leave","id":{id},"room":{room}}}"#)
}

/// `presence` of a room: of the users behind one of them, or all.
pub(in crate::client) fn room_presence(id: &str, room: &str, after: Option<&str>) -> String {
    let (id, room) = (Value::from(id), Value::from(room));
    match after.map(Value::from) {
        None => format!(r#"{{"type":"presence","id":{id},"room":{room}}}"#),
        Some(after) => {
            format!(r#"{{"type":"presence","id":{id},"room":{room},"after":{after}}}"#)
        }
    }
}

/// A receipt `joined`.
pub(super) fn joined(text: &str) -> serde_json::Result<Said> {
    #[derive(Deserialize)]
    struct One {
        epoch: String,
        offset: u64,
        recovered: Option<bool>,
    }
    #[derive(Deserialize)]
    struct Of {
        room: String,
        epoch: Option<String>,
        offset: Option<u64>,
        recovered: Option<bool>,
        error: Option<Fault>,
    }
    #[derive(Deserialize)]
    struct Raw {
        id: String,
        rooms: Option<Vec<Of>>,
    }
    let Raw { id, rooms } = serde_json::from_str(text)?;
    let Some(rooms) = rooms else {
        let One {
            epoch,
            offset,
            recovered,
        } = serde_json::from_str(text)?;
        let position = Position::new(&epoch, offset);
        let joined = Joined {
            position,
            recovered,
        };
        return Ok(Said::Joined(id, JoinReply::One(joined)));
    };
    let outcome = |of: Of| {
        let recovered = of.recovered;
        let outcome = match (of.error, position(of.epoch.as_deref(), of.offset)) {
            (None, Some(position)) => Ok(Joined {
                position,
                recovered,
            }),
            (Some(error), _) => Err(error.into_failure(text.into())),
            (None, None) => Err(Failure::odd(text)),
        };
        (of.room, outcome)
    };
    let rooms = rooms.into_iter().map(outcome).collect();
    Ok(Said::Joined(id, JoinReply::All(rooms)))
}

/// `joined` and `left`, about another member.
pub(super) fn member(text: &str, joined: bool) -> serde_json::Result<Said> {
    #[derive(Deserialize)]
    struct Raw {
        room: String,
        user: String,
    }
    let Raw { room, user } = serde_json::from_str(text)?;
    Ok(Said::Member { room, user, joined })
}

/// `presence` of a room.
pub(super) fn page(text: &str) -> serde_json::Result<Said> {
    #[derive(Deserialize)]
    struct Raw {
        id: String,
        count: u64,
        users: Vec<String>,
        next: Option<String>,
    }
    let Raw {
        id,
        count,
        users,
        next,
    } = serde_json::from_str(text)?;
    Ok(Said::RoomPage(id, RoomPage { count, users, next }))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn requests_are_what_the_protocol_says() {
        let since = Position::new("e-1", 4);
        assert_eq!(
            join("j", "a\"b", None),
            r#"{"type":"join","id":"j","room":"a\"b"}"#
        );
        assert_eq!(
            join("j", "r", Some(&since)),
            r#"{"type":"join","id":"j","room":"r","since":{"epoch":"e-1","offset":4}}"#
        );
        let rooms = [room_to_join("a", None), room_to_join("b", Some(&since))];
        assert_eq!(
            join_all("j", &rooms),
            r#"{"type":"join","id":"j","rooms":[{"room":"a"},{"room":"b","since":{"epoch":"e-1","offset":4}}]}"#
        );
        assert_eq!(leave("l", "r"), r#"{"type":"leave","id":"l","room":"r"}"#);
        assert_eq!(
            room_presence("p", "r", None),
            r#"{"type":"presence","id":"p","room":"r"}"#
        );
        assert_eq!(
            room_presence("p", "r", Some("bob")),
            r#"{"type":"presence","id":"p","room":"r","after":"bob"}"#
        );
    }

    #[test]
    fn a_join_is_answered_for_one_room_or_for_each_of_a_list() {
        let one = r#"{"type":"receipt","id":"j","status":"joined","epoch":"e","offset":4,"recovered":true}"#;
        let joined = |recovered| Joined {
            position: Position::new("e", 4),
            recovered,
        };
        assert_eq!(
            parse(one).unwrap(),
            Said::Joined("j".to_owned(), JoinReply::One(joined(Some(true))))
        );
        let all = r#"{"type":"receipt","id":"j","status":"joined","rooms":[{"room":"a","epoch":"e","offset":4},
            {"room":"b","error":{"code":"unreachable","message":"x","retry":true}},{"room":"c"}]}"#;
        let Ok(Said::Joined(_, JoinReply::All(rooms))) = parse(all) else {
            panic!("{all}");
        };
        assert_eq!(rooms[0], ("a".to_owned(), Ok(joined(None))));
        let failed = |index: usize| rooms[index].1.as_ref().unwrap_err();
        assert_eq!(
            (failed(1).code.as_str(), failed(1).retry),
            ("unreachable", true)
        );
        assert_eq!(
            (failed(2).code.as_str(), failed(2).retry),
            ("unknown", false)
        );
    }

    #[test]
    fn members_and_pages_of_them_are_read() {
        let (room, user) = ("r".to_owned(), "bob".to_owned());
        assert_eq!(
            parse(r#"{"type":"left","room":"r","user":"bob"}"#).unwrap(),
            Said::Member {
                room,
                user: user.clone(),
                joined: false
            }
        );
        let page =
            r#"{"type":"presence","id":"p","room":"r","count":2,"users":["bob"],"next":"bob"}"#;
        let expected = RoomPage {
            count: 2,
            users: vec![user.clone()],
            next: Some(user),
        };
        assert_eq!(
            parse(page).unwrap(),
            Said::RoomPage("p".to_owned(), expected)
        );
        let left = r#"{"type":"receipt","id":"l","status":"left"}"#;
        assert_eq!(parse(left).unwrap(), Said::Left("l".to_owned()));
    }
}
