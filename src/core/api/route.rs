//! Which call a method and a path stand for.

use percent_encoding::percent_decode_str;

use super::Fault;
use crate::error::ErrorCode;
use crate::id::UserId;

/// What can be asked for on the admin address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// The members as this node sees them.
    Cluster,
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
}

/// All paths, and the methods that each takes.
pub const PATHS: [(&str, &str); 7] = [
    ("/v1/send", "POST"),
    ("/v1/users/{user}", READ),
    ("/v1/users/{user}/sessions", "DELETE"),
    ("/v1/cluster", READ),
    ("/healthz", READ),
    ("/readyz", READ),
    ("/metrics", READ),
];

const READ: &str = "GET, HEAD";

/// Finds the call.
///
/// # Errors
/// 404 for a path that is not there, 405 for a method that it does not take, 400 for no user id.
pub fn route(method: &str, path: &str) -> Result<Call, Fault> {
    let known = PATHS.iter().find_map(|(pattern, allow)| {
        let user = matches(pattern, path)?;
        Some((*pattern, *allow, user))
    });
    let Some((pattern, allow, user)) = known else {
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
        "/v1/users/{user}" => Call::Sessions(user_id(user)?),
        "/v1/users/{user}/sessions" => Call::Disconnect(user_id(user)?),
        "/healthz" => Call::Alive,
        "/readyz" => Call::Ready,
        "/metrics" => Call::Metrics,
        _ => Call::Cluster,
    })
}

/// What stands in a path for the `{user}` of a pattern, nothing if that has none; `None` if the two do
/// not fit.
fn matches<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let mut user = "";
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(user),
            (Some("{user}"), Some(segment)) => user = segment,
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

fn user_id(segment: &str) -> Result<UserId, Fault> {
    let bad = |why: String| Fault::new(ErrorCode::BadRequest, why);
    let name = percent_decode_str(segment).decode_utf8();
    let name = name.map_err(|_| bad("the user id in the path is not UTF-8".to_owned()))?;
    UserId::new(&name).map_err(|why| bad(format!("not a user id: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn status(method: &str, path: &str) -> u16 {
        route(method, path).unwrap_err().status
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
            ("GET", "/healthz", Call::Alive),
            ("HEAD", "/readyz", Call::Ready),
            ("GET", "/metrics", Call::Metrics),
        ] {
            assert_eq!(route(method, path), Ok(call), "{method} {path}");
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
            let call = route("GET", &format!("/v1/users/{segment}"));
            assert_eq!(call, Ok(Call::Sessions(user(name))), "{segment}");
        }
        let sessions = route("DELETE", "/v1/users/a%2Fb/sessions");
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
            let fault = route(method, path).unwrap_err();
            assert_eq!((fault.status, fault.allow), (405, Some(allow)), "{path}");
        }
    }
}
