//! What `POST /v1/send` is to send: one message or a list.

use serde_json::value::RawValue;

use super::{BATCH_MESSAGES_MAX, Fault};
use crate::core::protocol::request::parse_of_backend;
use crate::core::protocol::{Receipt, Refusal, Send};
use crate::error::ErrorCode;
use crate::id::UserId;

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order<'a> {
    /// One object: the answer is its receipt, with a status that fits.
    One(Result<Item<'a>, Refused>),
    /// A list of them: the answer is the list of their receipts.
    Many(Vec<Result<Item<'a>, Refused>>),
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// The user in whose name it is sent.
    pub from: UserId,
    /// All else.
    pub send: Send<'a>,
}

/// A message that is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its id, if it has a usable one.
    pub id: Option<String>,
    /// Why.
    pub code: ErrorCode,
    /// The same for a human.
    pub message: String,
}

impl Refused {
    /// The id, and what the backend is told.
    #[must_use]
    pub fn into_receipt(self) -> (Option<String>, Receipt) {
        let receipt = Receipt::Failed {
            code: self.code,
            message: self.message.into(),
        };
        (self.id, receipt)
    }
}

/// Reads a body. `message_bytes_max` bounds the text of each message.
///
/// # Errors
/// What the whole request is answered with: it is not JSON, or a list that is too long. What is wrong
/// with one message is said of that one alone.
pub fn parse(body: &[u8], message_bytes_max: usize) -> Result<Order<'_>, Fault> {
    let bad = |message: &str| Fault::new(ErrorCode::BadRequest, message);
    let text = std::str::from_utf8(body).map_err(|_| bad("the body is not UTF-8"))?;
    let value: &RawValue = serde_json::from_str(text).map_err(|_| bad("the body is not JSON"))?;
    let text = value.get();
    if text.starts_with('{') {
        return Ok(Order::One(item(text, message_bytes_max)));
    }
    if !text.starts_with('[') {
        return Err(bad("the body must be an object or a list of objects"));
    }
    // It is JSON, and a list.
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| bad("no list"))?;
    if items.len() > BATCH_MESSAGES_MAX {
        let message = format!("at most {BATCH_MESSAGES_MAX} messages in one request");
        return Err(Fault::new(ErrorCode::TooLarge, message));
    }
    let items = items.iter().map(|raw| item(raw.get(), message_bytes_max));
    Ok(Order::Many(items.collect()))
}

fn item(text: &str, message_bytes_max: usize) -> Result<Item<'_>, Refused> {
    let (from, send) = parse_of_backend(text).map_err(|refusal| match refusal {
        Refusal::NotTheProtocol { message } => Refused {
            id: None,
            code: ErrorCode::BadRequest,
            message,
        },
        Refusal::Failed { id, code, message } => Refused {
            id: Some(id),
            code,
            message,
        },
        Refusal::Error { code, message } => Refused {
            id: None,
            code,
            message,
        },
    })?;
    if text.len() > message_bytes_max {
        return Err(too_large(&send.id, message_bytes_max));
    }
    Ok(Item { from, send })
}

/// Refuses the message of that id for its size.
#[must_use]
pub fn too_large(id: &str, message_bytes_max: usize) -> Refused {
    Refused {
        id: Some(id.to_owned()),
        code: ErrorCode::TooLarge,
        message: format!("a message may have {message_bytes_max} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::protocol::Qos;
    use crate::id::StreamKey;

    fn one(text: &str) -> Result<Item<'_>, Refused> {
        match parse(text.as_bytes(), 1000) {
            Ok(Order::One(item)) => item,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn refused(text: &str) -> (Option<String>, ErrorCode) {
        let refused = one(text).unwrap_err();
        (refused.id, refused.code)
    }

    #[test]
    fn a_message_is_a_send_with_a_sender() {
        let text = r#" {"from":"shop","to":{"user":"bob"},"id":"o1","body": {"a": 1.0 } ,"qos":0,"x":1}
        "#;
        let item = one(text).unwrap();
        assert_eq!(item.from.as_str(), "shop");
        assert_eq!(
            (item.send.to.key().map(StreamKey::as_str), &*item.send.id),
            (Some("bob"), "o1")
        );
        assert_eq!(item.send.body, r#"{"a": 1.0 }"#);
        assert_eq!(item.send.qos, Qos::AtMostOnce);
        let default = one(r#"{"from":"s","to":{"user":"b"},"id":"1","body":null,"notify":true}"#);
        let send = default.unwrap().send;
        assert_eq!((send.qos, send.notify), (Qos::AtLeastOnce, true));
    }

    #[test]
    fn what_is_missing_or_wrong_in_a_message_is_said_under_its_id() {
        let id = || Some("1".to_owned());
        for (text, expected) in [
            (
                r#"{"to":{"user":"b"},"id":"1","body":1}"#,
                (id(), ErrorCode::BadRequest),
            ),
            (
                r#"{"from":7,"to":{"user":"b"},"id":"1","body":1}"#,
                (id(), ErrorCode::BadRequest),
            ),
            (
                r#"{"from":"","to":{"user":"b"},"id":"1","body":1}"#,
                (id(), ErrorCode::BadRequest),
            ),
            (
                r#"{"from":"a","from":"b","to":{"user":"b"},"id":"1","body":1}"#,
                (id(), ErrorCode::BadRequest),
            ),
            (
                r#"{"from":"a","to":{"user":"b"},"id":"1"}"#,
                (id(), ErrorCode::BadRequest),
            ),
            (
                r#"{"from":"a","to":{"user":"b"},"to":{"user":"c"},"id":"1","body":1}"#,
                (id(), ErrorCode::BadRequest),
            ),
            (
                r#"{"from":"a","to":"everyone","id":"1","body":1,"qos":1}"#,
                (id(), ErrorCode::BadRequest),
            ),
            (
                r#"{"from":"a","to":{"user":"b"},"body":1}"#,
                (None, ErrorCode::BadRequest),
            ),
            (r"{}", (None, ErrorCode::BadRequest)),
        ] {
            assert_eq!(refused(text), expected, "{text}");
        }
    }

    #[test]
    fn a_message_over_the_limit_is_too_large_and_one_at_it_is_not() {
        let text = |bytes: usize| {
            let empty = r#"{"from":"a","to":{"user":"b"},"id":"1","body":""}"#;
            empty.replace(r#""""#, &format!("\"{}\"", "x".repeat(bytes - empty.len())))
        };
        assert!(one(&text(1000)).is_ok());
        let too_large = (Some("1".to_owned()), ErrorCode::TooLarge);
        assert_eq!(refused(&text(1001)), too_large);
    }

    #[test]
    fn in_a_list_each_message_is_read_by_itself() {
        let text = r#"[{"from":"a","to":{"user":"b"},"id":"1","body":1}, 7, {"id":"3"}, []]"#;
        let Ok(Order::Many(items)) = parse(text.as_bytes(), 1000) else {
            panic!("no list");
        };
        assert!(items[0].is_ok());
        let ids: Vec<_> = items[1..].iter().map(|i| i.as_ref().err()).collect();
        assert_eq!(
            ids[0].map(|r| (&r.id, r.code)),
            Some((&None, ErrorCode::BadRequest))
        );
        assert_eq!(ids[1].and_then(|r| r.id.as_deref()), Some("3"));
        assert_eq!(ids[2].map(|r| r.code), Some(ErrorCode::BadRequest));
        assert_eq!(parse(b"[]", 1000), Ok(Order::Many(Vec::new())));
    }

    #[test]
    fn a_list_that_is_too_long_and_what_is_no_json_are_refused_as_a_whole() {
        let list = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        assert!(parse(list(BATCH_MESSAGES_MAX).as_bytes(), 1000).is_ok());
        let longer = list(BATCH_MESSAGES_MAX + 1);
        let fault = parse(longer.as_bytes(), 1000).unwrap_err();
        assert_eq!((fault.status, fault.code), (413, ErrorCode::TooLarge));
        for body in [
            &b""[..],
            b"{",
            b"\"x\"",
            b"7",
            b"null",
            b"{} {}",
            b"\xff",
            b"[1,]",
        ] {
            let fault = parse(body, 1000).unwrap_err();
            assert_eq!(fault.status, 400, "{body:?}");
        }
    }
}
