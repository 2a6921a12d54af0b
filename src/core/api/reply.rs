//! What a backend is answered: compact JSON, and the HTTP status.

use bytes::Bytes;
use serde::Serialize;

use crate::core::peer::UserReport;
use crate::core::protocol::{Receipt, reply};
use crate::core::roster::RosterPage;
use crate::error::ErrorCode;
use crate::id::{NodeId, RoomName, UserId};

/// The HTTP status that goes with an error code.
#[must_use]
pub const fn status_of(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::BadRequest => 400,
        ErrorCode::NotAllowed => 403,
        ErrorCode::Offline => 404,
        ErrorCode::IdReused => 409,
        ErrorCode::TooLarge => 413,
        ErrorCode::RateLimited => 429,
        ErrorCode::Unsupported => 501,
        ErrorCode::Unreachable => 503,
        ErrorCode::Unknown => 504,
        ErrorCode::InboxFull => 507,
    }
}

/// The HTTP status that goes with a receipt.
#[must_use]
pub fn status(receipt: &Receipt) -> u16 {
    match receipt {
        Receipt::Sent | Receipt::Accepted { .. } => 200,
        Receipt::Failed { code, .. } => status_of(*code),
    }
}

/// The receipts of a list, in its order, each as a client gets it.
#[must_use]
pub fn receipts<'a>(all: impl IntoIterator<Item = (Option<&'a str>, &'a Receipt)>) -> Bytes {
    let mut out = vec![b'['];
    for (id, one) in all {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(&reply::receipt(id, one));
    }
    out.push(b']');
    out.into()
}

/// Whether a user is online, all sessions of the user, and who has the inbox: the owner first, then those
/// that take over after it.
#[must_use]
pub fn user(user: &UserId, known: &UserReport, preference: &[NodeId]) -> Bytes {
    #[derive(Serialize)]
    struct Presence<'a> {
        user: &'a str,
        online: bool,
        sessions: Vec<Place<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<&'a str>,
        successors: Vec<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        inbox: Option<Inbox>,
    }
    #[derive(Serialize)]
    struct Inbox {
        epoch: String,
        offset: u64,
        acked: u64,
        waiting: u64,
    }
    #[derive(Serialize)]
    struct Place<'a> {
        node: &'a str,
        session: String,
        since: u64,
    }
    let each = known.sessions.iter().map(|session| Place {
        node: session.node.as_str(),
        session: session.session.to_string(),
        since: session.since_ms,
    });
    json(&Presence {
        user: user.as_str(),
        online: !known.sessions.is_empty(),
        sessions: each.collect(),
        owner: preference.first().map(NodeId::as_str),
        successors: preference.iter().skip(1).map(NodeId::as_str).collect(),
        inbox: known.inbox.map(|inbox| Inbox {
            epoch: inbox.position.epoch.to_string(),
            offset: inbox.position.offset,
            acked: inbox.acked,
            waiting: inbox.waiting,
        }),
    })
}

/// Who is in a room.
#[must_use]
pub fn room(room: &RoomName, page: &RosterPage) -> Bytes {
    #[derive(Serialize)]
    struct Page<'a> {
        room: &'a str,
        count: u64,
        users: Vec<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<&'a str>,
    }
    json(&Page {
        room: room.as_str(),
        count: page.count,
        users: page.users.iter().map(UserId::as_str).collect(),
        next: page.users.last().filter(|_| page.more).map(UserId::as_str),
    })
}

/// How many sessions of a user were closed.
#[must_use]
pub fn closed(user: &UserId, closed: u64) -> Bytes {
    #[derive(Serialize)]
    struct Closed<'a> {
        user: &'a str,
        closed: u64,
    }
    let user = user.as_str();
    json(&Closed { user, closed })
}

/// Why a request is not acted on.
#[must_use]
pub fn error(code: ErrorCode, message: &str) -> Bytes {
    #[derive(Serialize)]
    struct Error<'a> {
        code: &'static str,
        message: &'a str,
        retry: bool,
    }
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: Error<'a>,
    }
    json(&Refusal {
        error: Error {
            code: code.as_str(),
            message,
            retry: code.retry(),
        },
    })
}

fn json(value: &impl Serialize) -> Bytes {
    let text = serde_json::to_vec(value);
    text.expect("strings, numbers and lists of them are JSON")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::peer::{InboxReport, UserSession};
    use crate::core::stream::{Epoch, Position};
    use crate::id::SessionId;

    fn bob() -> UserId {
        UserId::new("b\"ob").unwrap()
    }

    #[test]
    fn receipts_are_those_of_clients_in_their_order() {
        let accepted = Receipt::Accepted {
            copies: 2,
            duplicate: true,
        };
        let offline = Receipt::from(ErrorCode::Offline);
        let bad = Receipt::Failed {
            code: ErrorCode::BadRequest,
            message: "no".into(),
        };
        let all = [
            (Some("a"), &accepted),
            (Some("b"), &Receipt::Sent),
            (Some("c"), &offline),
            (None, &bad),
        ];
        assert_eq!(
            receipts(all),
            concat!(
                r#"[{"type":"receipt","id":"a","status":"accepted","copies":2,"duplicate":true},"#,
                r#"{"type":"receipt","id":"b","status":"sent"},"#,
                r#"{"type":"receipt","id":"c","status":"failed","error":{"code":"offline","message":"the user has no session","retry":true}},"#,
                r#"{"type":"receipt","status":"failed","error":{"code":"bad_request","message":"no","retry":false}}]"#,
            )
        );
        assert_eq!(receipts([]), "[]");
        assert_eq!(
            all.map(|(_, receipt)| status(receipt)),
            [200, 200, 404, 400]
        );
    }

    #[test]
    fn a_user_is_online_with_a_session_and_has_an_owner() {
        let node = |id: &str| NodeId::new(id).unwrap();
        let session = UserSession {
            node: NodeId::new("n1").unwrap(),
            session: SessionId(31),
            since_ms: 1_732_350_000_123,
        };
        let online = UserReport {
            sessions: vec![session],
            inbox: Some(InboxReport {
                position: Position {
                    epoch: Epoch::ROOT,
                    offset: 9,
                },
                acked: 7,
                waiting: 2,
            }),
        };
        assert_eq!(
            user(&bob(), &online, &[node("n2"), node("n1")]),
            r#"{"user":"b\"ob","online":true,"sessions":[{"node":"n1","session":"000000000000001f","since":1732350000123}],"owner":"n2","successors":["n1"],"inbox":{"epoch":"0","offset":9,"acked":7,"waiting":2}}"#
        );
        let offline = r#"{"user":"b\"ob","online":false,"sessions":[],"successors":[]}"#;
        assert_eq!(user(&bob(), &UserReport::default(), &[]), offline);
        assert_eq!(closed(&bob(), 3), r#"{"user":"b\"ob","closed":3}"#);
    }

    #[test]
    fn a_room_names_some_users_and_behind_whom_to_go_on() {
        let lobby = RoomName::new("lobby").unwrap();
        let page = |more| RosterPage {
            count: 7,
            users: vec![UserId::new("alice").unwrap(), bob()],
            more,
        };
        assert_eq!(
            room(&lobby, &page(true)),
            r#"{"room":"lobby","count":7,"users":["alice","b\"ob"],"next":"b\"ob"}"#
        );
        let last = r#"{"room":"lobby","count":7,"users":["alice","b\"ob"]}"#;
        assert_eq!(room(&lobby, &page(false)), last);
    }

    #[test]
    fn an_error_says_whether_to_try_again() {
        assert_eq!(
            error(ErrorCode::Unreachable, "why"),
            r#"{"error":{"code":"unreachable","message":"why","retry":true}}"#
        );
    }
}
