//! What a load test reads of a node's answers.

use serde::Deserialize;

use super::fields::{Fields, number, text};

/// Names one message of a load test: it is in the message's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// The load test it belongs to.
    pub run: u64,
    /// Who sent it.
    pub sender: usize,
    /// Its number among those of its sender, from 0.
    pub number: u64,
}

impl Name {
    /// From `RUN-SENDER-NUMBER`; `None` for an id that no load test made.
    pub fn from_id(id: &str) -> Option<Self> {
        let mut parts = id.splitn(3, '-');
        Some(Self {
            run: u64::from_str_radix(parts.next()?, 16).ok()?,
            sender: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
        })
    }
}

/// Where a session stands in its inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub epoch: String,
    pub offset: u64,
}

impl Position {
    /// Goes on to there.
    pub fn advance(position: &mut Option<Self>, epoch: &str, offset: u64) {
        match position {
            Some(position) => {
                if position.epoch != epoch {
                    epoch.clone_into(&mut position.epoch);
                }
                position.offset = offset;
            }
            None => {
                *position = Some(Self {
                    epoch: epoch.to_owned(),
                    offset,
                });
            }
        }
    }
}

/// The id of every join.
const JOIN_ID: &str = "join";

/// A message from a node, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    Welcome {
        /// As the welcome says it, if it does.
        position: Option<Position>,
    },
    /// For a receiver.
    Message {
        name: Name,
        /// When it was sent, or was to be sent, in the sender's microseconds.
        time_us: u64,
        /// Epoch and offset; none with qos 0.
        position: Option<(&'a str, u64)>,
    },
    /// What became of a send; the error is its code.
    Receipt {
        name: Name,
        outcome: Result<(), &'a str>,
    },
    /// The room is joined, and stands there.
    Joined {
        position: Option<(&'a str, u64)>,
    },
    /// It is not; the error's code.
    NotJoined {
        code: &'a str,
    },
    Redirect {
        url: String,
        after_ms: u64,
    },
    /// Not about a send; its code.
    Error {
        code: String,
    },
    /// Not ours, or of no interest.
    Other,
}

impl<'a> Incoming<'a> {
    /// Reads a text message.
    pub fn read(json: &'a [u8]) -> Self {
        // Nodes put `type` first.
        let Some((b"type", kind)) = Fields::of(json).next() else {
            return Self::Other;
        };
        match kind {
            br#""message""# => Self::read_message(json).unwrap_or(Self::Other),
            br#""receipt""# => Self::read_receipt(json).unwrap_or(Self::Other),
            br#""welcome""# | br#""redirect""# | br#""error""# => {
                serde_json::from_slice(json).map_or(Self::Other, Rare::into_incoming)
            }
            _ => Self::Other,
        }
    }

    fn read_message(json: &'a [u8]) -> Option<Self> {
        let (mut name, mut time_us, mut epoch, mut offset) = (None, None, None, None);
        for (field, value) in Fields::of(json) {
            match field {
                b"id" => name = Name::from_id(text(value)?),
                b"epoch" => epoch = text(value),
                b"offset" => offset = number(value),
                b"body" => {
                    let mut fields = Fields::of(value);
                    time_us = fields.find_map(|(field, value)| match field {
                        b"t" => number(value),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        Some(Self::Message {
            name: name?,
            time_us: time_us?,
            position: epoch.zip(offset),
        })
    }

    fn read_receipt(json: &'a [u8]) -> Option<Self> {
        let (mut id, mut status, mut error, mut epoch, mut offset) = (None, None, None, None, None);
        for (field, value) in Fields::of(json) {
            match field {
                b"id" => id = text(value),
                b"epoch" => epoch = text(value),
                b"offset" => offset = number(value),
                b"status" => status = text(value),
                b"error" => {
                    let mut fields = Fields::of(value);
                    error = fields.find_map(|(field, value)| match field {
                        b"code" => text(value),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        let outcome = match status? {
            "accepted" | "sent" => Ok(()),
            "joined" => {
                let position = epoch.zip(offset);
                return Some(Self::Joined { position });
            }
            other => Err(error.unwrap_or(other)),
        };
        match (id?, outcome) {
            (JOIN_ID, Err(code)) => Some(Self::NotJoined { code }),
            (id, outcome) => Some(Self::Receipt {
                name: Name::from_id(id)?,
                outcome,
            }),
        }
    }
}

/// The messages that come seldom, which any parser is fast enough for.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Rare {
    Welcome {
        epoch: Option<String>,
        offset: Option<u64>,
    },
    Redirect {
        url: String,
        after_ms: Option<u64>,
    },
    Error {
        code: String,
    },
}

impl Rare {
    fn into_incoming<'a>(self) -> Incoming<'a> {
        match self {
            Self::Welcome { epoch, offset } => Incoming::Welcome {
                position: epoch
                    .zip(offset)
                    .map(|(epoch, offset)| Position { epoch, offset }),
            },
            Self::Redirect { url, after_ms } => Incoming::Redirect {
                url,
                after_ms: after_ms.unwrap_or(0),
            },
            Self::Error { code } => Incoming::Error { code },
        }
    }
}

/// A cumulative acknowledgement of an inbox.
pub fn ack(position: &Position) -> String {
    let Position { epoch, offset } = position;
    format!(r#"{{"type":"ack","stream":"inbox","epoch":"{epoch}","offset":{offset}}}"#)
}

/// A join of a room, which needs no escapes in JSON, from a position on if there is one.
pub fn join(room: &str, since: Option<&Position>) -> String {
    let since = since.map_or(String::new(), |Position { epoch, offset }| {
        format!(r#","since":{{"epoch":"{epoch}","offset":{offset}}}"#)
    });
    format!(r#"{{"type":"join","id":"{JOIN_ID}","room":"{room}"{since}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = Name {
        run: 0xab,
        sender: 3,
        number: 17,
    };

    #[test]
    fn a_message_is_read_with_and_without_a_position() {
        let plain = br#"{"type":"message","stream":"inbox","id":"00ab-3-17","from":"b\"s3","to":{"user":"r"},"body":{"n":17,"t":5,"p":"x"},"ts":1}"#;
        let (name, time_us) = (NAME, 5);
        let expected = Incoming::Message {
            name,
            time_us,
            position: None,
        };
        assert_eq!(Incoming::read(plain), expected);
        let kept = br#"{"type":"message","stream":"inbox","epoch":"e1","offset":9,"id":"00ab-3-17","from":"s","body":{"n":17,"t":5}}"#;
        let expected = Incoming::Message {
            name,
            time_us,
            position: Some(("e1", 9)),
        };
        assert_eq!(Incoming::read(kept), expected);
        for other in [
            r#"{"type":"message","id":"x","body":{"t":5}}"#,
            r#"{"type":"message","id":"00ab-3-17","body":"t"}"#,
        ] {
            assert_eq!(Incoming::read(other.as_bytes()), Incoming::Other);
        }
    }

    #[test]
    fn a_receipt_says_what_became_of_a_send() {
        for (status, outcome) in [
            (r#""accepted","copies":2"#, Ok(())),
            (r#""sent""#, Ok(())),
            (
                r#""failed","error":{"code":"offline","message":"gone","retry":true}"#,
                Err("offline"),
            ),
            (r#""odd""#, Err("odd")),
        ] {
            let json = format!(r#"{{"type":"receipt","id":"ab-3-17","status":{status}}}"#);
            let receipt = Incoming::Receipt {
                name: NAME,
                outcome,
            };
            assert_eq!(Incoming::read(json.as_bytes()), receipt);
        }
    }

    #[test]
    fn a_join_is_read_as_what_became_of_it() {
        let joined = br#"{"type":"receipt","id":"join","status":"joined","epoch":"e","offset":4}"#;
        let position = Some(("e", 4));
        assert_eq!(Incoming::read(joined), Incoming::Joined { position });
        let failed = br#"{"type":"receipt","id":"join","status":"failed","error":{"code":"x"}}"#;
        assert_eq!(Incoming::read(failed), Incoming::NotJoined { code: "x" });
    }

    #[test]
    fn welcomes_redirects_and_errors_are_read() {
        let position = Some(Position {
            epoch: "e".to_owned(),
            offset: 12,
        });
        assert_eq!(
            Incoming::read(br#"{"type":"welcome","user":"a","epoch":"e","offset":12}"#),
            Incoming::Welcome { position }
        );
        assert_eq!(
            Incoming::read(br#"{"type":"welcome","user":"a"}"#),
            Incoming::Welcome { position: None }
        );
        let url = "ws://a/ws?user=a&hop=1".to_owned();
        assert_eq!(
            Incoming::read(br#"{"type":"redirect","url":"ws://a/ws?user=a&hop=1","after_ms":350}"#),
            Incoming::Redirect { url, after_ms: 350 }
        );
        let code = "rate_limited".to_owned();
        assert_eq!(
            Incoming::read(br#"{"type":"error","code":"rate_limited","message":"m"}"#),
            Incoming::Error { code }
        );
        assert_eq!(Incoming::read(br#"{"type":"pong"}"#), Incoming::Other);
        assert_eq!(Incoming::read(b"no json"), Incoming::Other);
    }
}
