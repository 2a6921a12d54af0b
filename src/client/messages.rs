//! The client protocol from the client's side: requests as JSON texts, and what a node says.
//!
//! A node's message is read in two steps, so that a type that is not known, or a field that it has
//! in another form, does no harm.

mod rooms;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::Failure;
use super::event::{Message, Position, Receipt, Recipient, RoomPage, Status};
use super::options::Qos;
pub(super) use rooms::{JoinReply, join, join_all, leave, room_presence, room_to_join};

/// How a message is sent, as far as the node hears of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub qos: Qos,
    pub notify: bool,
    pub echo: bool,
}

/// `send`.
pub(super) fn send(
    id: &str,
    to: &Recipient,
    body: &RawValue,
    how: How,
) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Send<'a> {
        r#type: &'static str,
        id: &'a str,
        to: &'a Recipient,
        body: &'a RawValue,
        qos: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        notify: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        echo: Option<bool>,
    }
    serde_json::to_string(&Send {
        r#type: "send",
        id,
        to,
        body,
        qos: match how.qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => 1,
        },
        notify: how.notify.then_some(true),
        echo: (!how.echo).then_some(false),
    })
}

/// `presence`.
pub(super) fn presence(id: &str, users: &[&str]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Presence<'a> {
        r#type: &'static str,
        id: &'a str,
        users: &'a [&'a str],
    }
    serde_json::to_string(&Presence {
        r#type: "presence",
        id,
        users,
    })
}

/// `ack`, up to this position in the inbox.
pub(super) fn ack(position: &Position) -> String {
    let epoch = serde_json::Value::from(&*position.epoch);
    let offset = position.offset;
    format!(r#"{{"type":"ack","stream":"inbox","epoch":{epoch},"offset":{offset}}}"#)
}

/// `ping`.
pub(super) fn ping() -> String {
    r#"{"type":"ping"}"#.to_owned()
}

/// What a node says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Welcome(Welcome),
    Message(Message),
    Receipt(String, Result<Receipt, Failure>),
    /// A `join` has its reply.
    Joined(String, JoinReply),
    /// A `leave` has its reply.
    Left(String),
    Presence(String, HashMap<String, bool>),
    /// Some of the users of a room.
    RoomPage(String, RoomPage),
    Delivered {
        id: String,
        user: String,
    },
    /// Another user has come into a room, or has left it.
    Member {
        room: String,
        user: String,
        joined: bool,
    },
    Redirect(Redirect),
    Error {
        code: String,
        message: String,
        /// Messages of this room may be missing.
        room: Option<String>,
    },
    Pong,
    /// Of a type that is not known.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Welcome {
    pub node: String,
    epoch: Option<String>,
    offset: Option<u64>,
    pub recovered: Option<bool>,
    pub heartbeat_ms: Option<u64>,
    pub max_message_bytes: Option<usize>,
}

impl Welcome {
    /// Where the client stands, on a node that keeps messages.
    pub fn position(&self) -> Option<Position> {
        position(self.epoch.as_deref(), self.offset)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Redirect {
    pub url: String,
    #[serde(default)]
    pub reason: String,
    pub after_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Fault {
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    retry: bool,
    room: Option<String>,
}

impl Fault {
    fn into_failure(self, json: Arc<str>) -> Failure {
        Failure {
            definite: self.code != "unknown",
            code: self.code,
            message: self.message,
            retry: self.retry,
            json,
        }
    }
}

/// Reads one text message of a node.
pub(super) fn parse(text: &str) -> serde_json::Result<Said> {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    let Typed { r#type } = serde_json::from_str(text)?;
    match r#type.as_str() {
        "welcome" => serde_json::from_str(text).map(Said::Welcome),
        "message" => message(text).map(Said::Message),
        "receipt" => receipt(text),
        "presence" => presence_reply(text),
        "delivered" => delivered(text),
        "redirect" => serde_json::from_str(text).map(Said::Redirect),
        "error" => {
            let Fault {
                code,
                message,
                room,
                ..
            } = serde_json::from_str(text)?;
            Ok(Said::Error {
                code,
                message,
                room,
            })
        }
        "joined" => rooms::member(text, true),
        "left" => rooms::member(text, false),
        "pong" => Ok(Said::Pong),
        _ => Ok(Said::Other),
    }
}

fn message(text: &str) -> serde_json::Result<Message> {
    #[derive(Deserialize)]
    struct Raw {
        stream: String,
        from: String,
        id: String,
        to: Recipient,
        body: Box<RawValue>,
        #[serde(default)]
        ts: u64,
        epoch: Option<String>,
        offset: Option<u64>,
    }
    let raw: Raw = serde_json::from_str(text)?;
    Ok(Message {
        position: position(raw.epoch.as_deref(), raw.offset),
        stream: raw.stream,
        from: raw.from,
        id: raw.id,
        to: raw.to,
        body: Box::<str>::from(raw.body).into(),
        ts: raw.ts,
    })
}

fn receipt(text: &str) -> serde_json::Result<Said> {
    #[derive(Deserialize)]
    struct Raw {
        id: String,
        status: String,
        #[serde(default)]
        copies: u32,
        #[serde(default)]
        duplicate: bool,
        error: Option<Fault>,
    }
    let raw: Raw = serde_json::from_str(text)?;
    let json: Arc<str> = text.into();
    let status = match raw.status.as_str() {
        "sent" => Status::Sent,
        "accepted" => Status::Accepted {
            copies: raw.copies,
            duplicate: raw.duplicate,
        },
        "joined" => return rooms::joined(text),
        "left" => return Ok(Said::Left(raw.id)),
        other => {
            let error = raw.error.unwrap_or_else(|| Fault {
                code: "unknown".to_owned(),
                message: format!("a receipt with the status {other:?} and no error"),
                retry: false,
                room: None,
            });
            return Ok(Said::Receipt(raw.id, Err(error.into_failure(json))));
        }
    };
    Ok(Said::Receipt(raw.id, Ok(Receipt { status, json })))
}

fn presence_reply(text: &str) -> serde_json::Result<Said> {
    #[derive(Deserialize)]
    struct Raw {
        id: String,
        online: Option<HashMap<String, bool>>,
    }
    match serde_json::from_str(text)? {
        Raw {
            id,
            online: Some(online),
        } => Ok(Said::Presence(id, online)),
        Raw { online: None, .. } => rooms::page(text),
    }
}

fn delivered(text: &str) -> serde_json::Result<Said> {
    #[derive(Deserialize)]
    struct Raw {
        id: String,
        user: String,
    }
    let Raw { id, user } = serde_json::from_str(text)?;
    Ok(Said::Delivered { id, user })
}

fn position(epoch: Option<&str>, offset: Option<u64>) -> Option<Position> {
    Some(Position::new(epoch?, offset?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_the_protocol_says() {
        let body: Box<RawValue> = serde_json::from_str(r#"{"n": 1.0}"#).unwrap();
        let to = Recipient::user("bob");
        let how = |qos, notify| How {
            qos,
            notify,
            echo: true,
        };
        assert_eq!(
            send("m1", &to, &body, how(Qos::AtMostOnce, false)).unwrap(),
            r#"{"type":"send","id":"m1","to":{"user":"bob"},"body":{"n": 1.0},"qos":0}"#
        );
        assert_eq!(
            send(
                "m1",
                &Recipient::Everyone,
                &body,
                how(Qos::AtLeastOnce, true)
            )
            .unwrap(),
            r#"{"type":"send","id":"m1","to":"everyone","body":{"n": 1.0},"qos":1,"notify":true}"#
        );
        let mut quiet = how(Qos::AtLeastOnce, false);
        quiet.echo = false;
        assert_eq!(
            send("m1", &Recipient::room("r"), &body, quiet).unwrap(),
            r#"{"type":"send","id":"m1","to":{"room":"r"},"body":{"n": 1.0},"qos":1,"echo":false}"#
        );
        assert_eq!(
            presence("p", &["a", "b\""]).unwrap(),
            r#"{"type":"presence","id":"p","users":["a","b\""]}"#
        );
        assert_eq!(
            ack(&Position::new("e-1", 7)),
            r#"{"type":"ack","stream":"inbox","epoch":"e-1","offset":7}"#
        );
    }

    #[test]
    fn a_body_is_kept_as_it_was_sent() {
        let text = r#"{"type":"message","stream":"inbox","epoch":"e","offset":3,"id":"m","from":"a",
            "to":{"room":"r"},"body":{"n": 1.0e2,  "x":[]},"ts":5}"#;
        let Ok(Said::Message(message)) = parse(text) else {
            panic!("{text}");
        };
        assert_eq!(message.body, r#"{"n": 1.0e2,  "x":[]}"#);
        assert_eq!(message.position, Some(Position::new("e", 3)));
        assert_eq!(message.to, Recipient::Room("r".to_owned()));
    }

    #[test]
    fn what_is_not_known_is_no_error_and_what_is_wrong_is_one() {
        assert_eq!(parse(r#"{"type":"news","id":7}"#).unwrap(), Said::Other);
        for text in ["", "[]", "{}", r#"{"type":"welcome"}"#, "not json"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_receipt_is_good_or_says_why_not() {
        let text = r#"{"type":"receipt","id":"m","status":"accepted","copies":2,"duplicate":true}"#;
        let Ok(Said::Receipt(id, Ok(receipt))) = parse(text) else {
            panic!("{text}");
        };
        assert_eq!((id.as_str(), &*receipt.json), ("m", text));
        let (copies, duplicate) = (2, true);
        assert_eq!(receipt.status, Status::Accepted { copies, duplicate });
        let text = r#"{"type":"receipt","id":"m","status":"failed","error":{"code":"offline","message":"x","retry":true}}"#;
        let Ok(Said::Receipt(_, Err(failure))) = parse(text) else {
            panic!("{text}");
        };
        assert_eq!((failure.code.as_str(), failure.retry), ("offline", true));
    }
}
