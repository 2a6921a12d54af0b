//! Which call a method and a path stand for.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::Fault;
use crate::error::ErrorCode;
use crate::id::{RoomName, UserId};

/// What can be asked for on the admin address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// The members as this node sees them.
    Cluster,
    /// The numbers of all members, the ring, and what happened lately.
    Stats,
    /// The same again and again, as server-sent events.
    Events,
    /// Whether the process lives.
    Alive,
    /// Whether the node is ready.
    Ready,
    /// Counters and gauges.
    Metrics,
    /// Messages to send.
    Send,
    /// The sessions of a user.
    Sessions(UserId),
    /// The end of the sessions of a user.
    Disconnect(UserId),
    /// Who is in a room.
    Room(RoomQuery),
}

/// Some of those who are in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomQuery {
    /// The room.
    pub room: RoomName,
    /// Only users behind this one.
    pub after: Option<UserId>,
    /// At most as many, 1 to [`ROOM_USERS_MAX`].
    pub limit: u32,
}

/// Users of a room that are named in one answer.
pub const ROOM_USERS_MAX: u32 = 1000;

/// All paths, and the methods that each takes.
pub const PATHS: [(&str, &str); 10] = [
    ("/v1/send", "POST"),
    ("/v1/users/{user}", READ),
    ("/v1/users/{user}/sessions", "DELETE"),
    ("/v1/rooms/{room}", READ),
    ("/v1/cluster", READ),
    ("/v1/cluster/stats", READ),
    ("/v1/cluster/events", READ),
    ("/healthz", READ),
    ("/readyz", READ),
    ("/metrics", READ),
];

const READ: &str = "GET, HEAD";

/// Finds the call.
///
/// # Errors
/// 404 for a path that is not there, 405 for a method that it does not take, 400 for a name that is
/// none or a wrong query.
pub fn route(method: &str, path: &str, query: &str) -> Result<Call, Fault> {
    let known = PATHS.iter().find_map(|(pattern, allow)| {
        let name = matches(pattern, path)?;
        Some((*pattern, *allow, name))
    });
    let Some((pattern, allow, name)) = known else {
        let paths = PATHS.map(|(pattern, _)| pattern).join(", ");
        let message = format!("there is no such path; there are {paths}");
        return Err(Fault::with_status(404, ErrorCode::BadRequest, message));
    };
    if !allow.split(", ").any(|allowed| allowed == method) {
        let message = format!("{pattern} takes {allow}");
        let fault = Fault::with_status(405, ErrorCode::BadRequest, message);
        return Err(Fault {
            allow: Some(allow),
            ..fault
        });
    }
    Ok(match pattern {
        "/v1/send" => Call::Send,
        "/v1/users/{user}" => Call::Sessions(user_id(name)?),
        "/v1/users/{user}/sessions" => Call::Disconnect(user_id(name)?),
        "/v1/rooms/{room}" => Call::Room(room_query(name, query)?),
        "/v1/cluster/stats" => Call::Stats,
        "/v1/cluster/events" => Call::Events,
        "/healthz" => Call::Alive,
        "/readyz" => Call::Ready,
        "/metrics" => Call::Metrics,
        _ => Call::Cluster,
    })
}

/// What stands in a path for the `{…}` of a pattern, nothing if that has none; `None` if the two do not
/// fit.
fn matches<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let mut name = "";
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(name),
            (Some(wanted), Some(segment)) if wanted.starts_with('{') => name = segment,
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

fn bad(why: impl Into<String>) -> Fault {
    Fault::new(ErrorCode::BadRequest, why)
}

fn user_id(segment: &str) -> Result<UserId, Fault> {
    UserId::new(&decoded(segment)?).map_err(|why| bad(format!("not a user id: {why}")))
}

fn room_query(segment: &str, query: &str) -> Result<RoomQuery, Fault> {
    let room = RoomName::new(&decoded(segment)?);
    let mut wanted = RoomQuery {
        room: room.map_err(|why| bad(format!("not a room: {why}")))?,
        after: None,
        limit: ROOM_USERS_MAX,
    };
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("after", user)) => wanted.after = Some(user_id(&user.replace('+', " "))?),
            Some(("limit", number)) => {
                let limit = number.parse().ok();
                let limit = limit.filter(|limit| (1..=ROOM_USERS_MAX).contains(limit));
                let rule = || bad(format!("`limit` must be 1 to {ROOM_USERS_MAX}"));
                wanted.limit = limit.ok_or_else(rule)?;
            }
            // As everywhere, what is not known is passed over.
            _ => {}
        }
    }
    Ok(wanted)
}

fn decoded(text: &str) -> Result<Cow<'_, str>, Fault> {
    let name = percent_decode_str(text).decode_utf8();
    name.map_err(|_| bad("the name in the path or the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn status(method: &str, path: &str) -> u16 {
        route(method, path, "").unwrap_err().status
    }

    #[test]
    fn every_path_leads_to_its_call() {
        let bob = || user("bob");
        for (method, path, call) in [
            ("POST", "/v1/send", Call::Send),
            ("GET", "/v1/users/bob", Call::Sessions(bob())),
            ("HEAD", "/v1/users/bob", Call::Sessions(bob())),
            ("DELETE", "/v1/users/bob/sessions", Call::Disconnect(bob())),
            ("GET", "/v1/cluster", Call::Cluster),
            ("GET", "/v1/cluster/stats", Call::Stats),
            ("GET", "/v1/cluster/events", Call::Events),
            ("GET", "/healthz", Call::Alive),
            ("HEAD", "/readyz", Call::Ready),
            ("GET", "/metrics", Call::Metrics),
        ] {
            assert_eq!(route(method, path, ""), Ok(call), "{method} {path}");
        }
    }

    #[test]
    fn a_room_is_asked_for_page_by_page() {
        let query = |after: Option<&str>, limit| {
            let (room, after) = (RoomName::new("lob by").unwrap(), after.map(user));
            Ok(Call::Room(RoomQuery { room, after, limit }))
        };
        for (text, expected) in [
            ("", query(None, 1000)),
            ("limit=7", query(None, 7)),
            ("after=b%26b&limit=1&x", query(Some("b&b"), 1)),
            ("after=b+b", query(Some("b b"), 1000)),
        ] {
            assert_eq!(route("GET", "/v1/rooms/lob%20by", text), expected, "{text}");
        }
        for wrong in ["limit=0", "limit=1001", "limit=x", "after=", "after=%ff"] {
            let fault = route("GET", "/v1/rooms/lobby", wrong).unwrap_err();
            assert_eq!(fault.status, 400, "{wrong}");
        }
    }

    #[test]
    fn a_user_in_a_path_may_be_anything_that_is_percent_encoded() {
        for (segment, name) in [
            ("a%2Fb", "a/b"),
            ("a+b", "a+b"),
            ("%F0%9F%A6%80", "🦀"),
            ("sessions", "sessions"),
            ("%", "%"),
        ] {
            let call = route("GET", &format!("/v1/users/{segment}"), "");
            assert_eq!(call, Ok(Call::Sessions(user(name))), "{segment}");
        }
        let sessions = route("DELETE", "/v1/users/a%2Fb/sessions", "");
        assert_eq!(sessions, Ok(Call::Disconnect(user("a/b"))));
        for segment in ["", "%ff", "%0a", &"u".repeat(257)] {
            let path = format!("/v1/users/{segment}");
            assert_eq!(status("GET", &path), 400, "{segment}");
        }
    }

    #[test]
    fn other_paths_and_methods_are_refused_with_what_would_do() {
        for path in [
            "/",
            "/v1",
            "/v1/send/",
            "/v1/users",
            "/v1/users/bob/x",
            "/V1/send",
        ] {
            assert_eq!(status("GET", path), 404, "{path}");
        }
        for (method, path, allow) in [
            ("GET", "/v1/send", "POST"),
            ("POST", "/v1/users/bob", "GET, HEAD"),
            ("GET", "/v1/users/bob/sessions", "DELETE"),
            ("POST", "/metrics", "GET, HEAD"),
            ("get", "/healthz", "GET, HEAD"),
        ] {
            let fault = route(method, path, "").unwrap_err();
            assert_eq!((fault.status, fault.allow), (405, Some(allow)), "{path}");
        }
    }
}
