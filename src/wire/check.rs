//! What is checked of everything that comes in on a link.

use bytes::Bytes;

use super::{WireError, proto};
use crate::core::protocol::request::REQUEST_ID_BYTES_MAX;
use crate::core::stream::Message;
use crate::id::{Generation, NodeId, RoomName, StreamKey, UserId};

/// Offsets, generations and times stay exact in JSON and JavaScript.
const EXACT_END: u64 = 1 << 53;
/// What tells the name of a room from a user id, in which no control character stands.
const ROOM_MARK: char = '\u{1}';
/// Most users, offers, entries or keys in one message. Never reached by what a node sends; the
/// bytes of a gRPC message are bounded as well.
const LIST_MAX: usize = 1 << 20;

pub(super) fn user_id(user: &str) -> Result<UserId, WireError> {
    UserId::new(user).map_err(|_| WireError("a user id out of bounds"))
}

/// Text in a field of bytes.
pub(super) fn text(bytes: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(bytes).map_err(|_| WireError("text that is not UTF-8"))
}

/// A stream's key: a user id, or a room's name behind [`ROOM_MARK`].
pub(super) fn stream_key(key: impl AsRef<[u8]>) -> Result<StreamKey, WireError> {
    let key = text(key.as_ref())?;
    match key.strip_prefix(ROOM_MARK) {
        None => user_id(key).map(StreamKey::Inbox),
        Some(room) => room_name(room).map(StreamKey::Room),
    }
}

pub(super) fn room_name(room: &str) -> Result<RoomName, WireError> {
    RoomName::new(room).map_err(|_| WireError("a room name out of bounds"))
}

/// What [`stream_key`] reads.
pub(super) fn stream_key_to_wire(key: &StreamKey) -> String {
    match key {
        StreamKey::Inbox(user) => user.as_str().to_owned(),
        StreamKey::Room(room) => format!("{ROOM_MARK}{room}"),
    }
}

pub(super) fn node_id(node: &str) -> Result<NodeId, WireError> {
    NodeId::new(node).map_err(|_| WireError("a node id out of bounds"))
}

pub(super) fn message_id(id: String) -> Result<Box<str>, WireError> {
    check_message_id(&id)?;
    Ok(id.into_boxed_str())
}

fn check_message_id(id: &str) -> Result<(), WireError> {
    if (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) {
        Ok(())
    } else {
        Err(WireError("a message id out of bounds"))
    }
}

/// A body as it lies in what was received.
pub(super) fn body(body: Bytes) -> Result<Bytes, WireError> {
    match std::str::from_utf8(&body) {
        Ok(_) => Ok(body),
        Err(_) => Err(WireError("a body that is not UTF-8")),
    }
}

/// A message that will be kept, in memory of its own: a slice would keep all that came with it.
pub(super) fn kept(message: &proto::Message) -> Result<Message, WireError> {
    let proto::Message {
        from,
        id,
        body,
        ts_ms,
        notify,
    } = message;
    let id = text(id)?;
    check_message_id(id)?;
    Message::checked(text(from)?, id, text(body)?, *ts_ms, *notify)
        .map_err(|_| WireError("a user id out of bounds"))
}

pub(super) fn generation(generation: u64) -> Result<Generation, WireError> {
    if generation < EXACT_END {
        Ok(Generation(generation))
    } else {
        Err(WireError("a generation out of bounds"))
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn moment(ms: u64) -> Result<u64, WireError> {
    if ms < EXACT_END {
        Ok(ms)
    } else {
        Err(WireError("a time out of bounds"))
    }
}

/// 0 is before the first entry.
pub(super) fn offset(offset: u64) -> Result<u64, WireError> {
    if offset < EXACT_END {
        Ok(offset)
    } else {
        Err(WireError("an offset out of bounds"))
    }
}

/// An offset that an entry has, or will have.
pub(super) fn entry_offset(of_entry: u64) -> Result<u64, WireError> {
    offset(counted(of_entry)?)
}

/// A number that counts up from 1.
pub(super) fn counted(number: u64) -> Result<u64, WireError> {
    if number > 0 {
        Ok(number)
    } else {
        Err(WireError("a zero where numbers start from 1"))
    }
}

/// A part that must be there.
pub(super) fn required<W, T>(part: Option<W>, missing: &'static str) -> Result<T, WireError>
where
    T: TryFrom<W, Error = WireError>,
{
    part.ok_or(WireError(missing))?.try_into()
}

/// A list that is no longer than anything a node sends.
pub(super) fn bounded<W>(list: Vec<W>) -> Result<Vec<W>, WireError> {
    at_most(LIST_MAX, list)
}

pub(super) fn at_most<W>(max: usize, list: Vec<W>) -> Result<Vec<W>, WireError> {
    if list.len() <= max {
        Ok(list)
    } else {
        Err(WireError("a list that is too long"))
    }
}

pub(super) fn each<W, T>(list: Vec<W>) -> Result<Vec<T>, WireError>
where
    T: TryFrom<W, Error = WireError>,
{
    list.into_iter().map(TryInto::try_into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_have_1_to_64_bytes() {
        for (id, right) in [("", false), ("m", true)] {
            assert_eq!(message_id(id.to_owned()).is_ok(), right);
        }
        assert!(message_id("m".repeat(64)).is_ok());
        assert!(message_id("m".repeat(65)).is_err());
    }

    #[test]
    fn offsets_generations_and_times_end_below_2_to_the_53() {
        assert!(offset((1 << 53) - 1).is_ok() && offset(0).is_ok());
        assert!(generation((1 << 53) - 1).is_ok());
        assert!(moment((1 << 53) - 1).is_ok() && moment(1 << 53).is_err());
        assert!(offset(1 << 53).is_err());
        assert!(generation(1 << 53).is_err());
        assert!(entry_offset(0).is_err());
    }

    #[test]
    fn rooms_and_users_of_one_name_stay_apart() {
        let inbox = StreamKey::Inbox(UserId::new("lobby").unwrap());
        let room = StreamKey::Room(RoomName::new("lobby").unwrap());
        for key in [inbox, room] {
            assert_eq!(stream_key(stream_key_to_wire(&key)), Ok(key));
        }
        for wrong in ["", "\u{1}", "\u{1}\u{1}", "a\u{1}", "\u{2}a"] {
            assert!(stream_key(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_list_over_the_bound_is_refused() {
        assert!(bounded(vec![(); LIST_MAX]).is_ok());
        assert!(bounded(vec![(); LIST_MAX + 1]).is_err());
    }
}
