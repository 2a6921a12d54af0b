//! How a client is told which node to go to.

use hyper::HeaderMap;
use hyper::header::{HeaderName, ORIGIN};
use serde::Serialize;

use crate::config::RedirectLocation;
use crate::id::{NodeId, UserId};

/// How long an answer of `/locate` may be used, in milliseconds.
pub const LOCATE_TTL_MS: u64 = 30_000;

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What a node does with a client whose user it does not own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedirectMode {
    /// Answer 307.
    Http,
    /// Answer 101, one `redirect` message and a Close; refusals likewise.
    Frame,
    /// Serve it here, as a guest, and never tell it to move.
    Never,
}

impl RedirectMode {
    /// The mode that a `redirect` parameter names.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "http" => Some(Self::Http),
            "frame" => Some(Self::Frame),
            "never" => Some(Self::Never),
            _ => None,
        }
    }
}

/// The mode that the client asked for, or else the one it can make use of: browsers refuse every
/// redirect of a handshake, and show scripts nothing of it.
#[must_use]
pub fn mode(asked: Option<RedirectMode>, headers: &HeaderMap) -> RedirectMode {
    let fetched = (headers.get_all(SEC_FETCH_MODE).iter())
        .any(|mode| mode.as_bytes().eq_ignore_ascii_case(b"websocket"));
    match asked {
        Some(asked) => asked,
        None if fetched || headers.contains_key(ORIGIN) => RedirectMode::Frame,
        None => RedirectMode::Http,
    }
}

/// Where the client connects: a member's advertised URL and the query of [`super::Query::onward`].
#[must_use]
pub fn target_url(advertised_url: &str, onward_query: &str) -> String {
    format!("{}/ws?{onward_query}", advertised_url.trim_end_matches('/'))
}

/// The same with a ticket, for a URL that has a query.
#[must_use]
pub fn with_ticket(url: &str, ticket: &str) -> String {
    format!("{url}&ticket={ticket}")
}

/// The `Location` of a 307 to this URL.
#[must_use]
pub fn location(url: &str, form: RedirectLocation) -> String {
    let relative = match form {
        RedirectLocation::SchemeRelative => {
            (url.strip_prefix("ws:")).or_else(|| url.strip_prefix("wss:"))
        }
        RedirectLocation::Absolute => None,
    };
    relative.unwrap_or(url).to_owned()
}

/// The JSON body of a 307.
#[must_use]
pub fn redirect_body(node: &NodeId, url: &str) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        node: &'a str,
        url: &'a str,
    }
    let node = node.as_str();
    json(&Body { node, url })
}

/// The JSON body of an answer of `/locate`. `digest` is that of the ring that was asked.
#[must_use]
pub fn locate_body(user: &UserId, node: &NodeId, url: &str, digest: &str) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        user: &'a str,
        node: &'a str,
        url: &'a str,
        ttl_ms: u64,
        digest: &'a str,
    }
    json(&Body {
        user: user.as_str(),
        node: node.as_str(),
        url,
        ttl_ms: LOCATE_TTL_MS,
        digest,
    })
}

fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("a struct of strings and numbers has a JSON form")
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_asked_for_beats_who_asks() {
        let plain = HeaderMap::new();
        let mut browser = HeaderMap::new();
        browser.insert(ORIGIN, HeaderValue::from_static("null"));
        let mut fetch = HeaderMap::new();
        fetch.insert(SEC_FETCH_MODE, HeaderValue::from_static("websocket"));
        let mut page = HeaderMap::new();
        page.insert(SEC_FETCH_MODE, HeaderValue::from_static("navigate"));
        for (headers, by_itself) in [
            (&plain, RedirectMode::Http),
            (&page, RedirectMode::Http),
            (&browser, RedirectMode::Frame),
            (&fetch, RedirectMode::Frame),
        ] {
            assert_eq!(mode(None, headers), by_itself);
            for name in ["http", "frame", "never"] {
                let asked = RedirectMode::from_name(name);
                assert!(asked.is_some());
                assert_eq!(Some(mode(asked, headers)), asked);
            }
        }
        assert_eq!(RedirectMode::from_name("HTTP"), None);
    }

    #[test]
    fn urls_are_the_members_own_with_path_and_query() {
        let url = target_url("ws://n2:7002", "user=a%2Fb&hop=1");
        assert_eq!(url, "ws://n2:7002/ws?user=a%2Fb&hop=1");
        assert_eq!(target_url("wss://n2/", "hop=1"), "wss://n2/ws?hop=1");
        assert_eq!(
            target_url("wss://h/base/", "hop=1"),
            "wss://h/base/ws?hop=1"
        );
    }

    #[test]
    fn locations_lose_their_scheme_unless_told_otherwise() {
        use RedirectLocation::{Absolute, SchemeRelative};
        assert_eq!(location("ws://h:1/ws?a", SchemeRelative), "//h:1/ws?a");
        assert_eq!(location("wss://h/ws?a", SchemeRelative), "//h/ws?a");
        assert_eq!(location("wss://h/ws?a", Absolute), "wss://h/ws?a");
    }

    #[test]
    fn bodies_have_the_documented_form() {
        let node = NodeId::new("n2").unwrap();
        let user = UserId::new("a\"b").unwrap();
        assert_eq!(
            redirect_body(&node, "ws://h/ws?x"),
            r#"{"node":"n2","url":"ws://h/ws?x"}"#
        );
        assert_eq!(
            locate_body(&user, &node, "ws://h/ws?x", "00ff"),
            r#"{"user":"a\"b","node":"n2","url":"ws://h/ws?x","ttl_ms":30000,"digest":"00ff"}"#
        );
    }

    proptest! {
        #[test]
        fn a_location_is_the_url_or_its_tail(url in any::<String>()) {
            prop_assert!(url.ends_with(&location(&url, RedirectLocation::SchemeRelative)));
            prop_assert_eq!(location(&url, RedirectLocation::Absolute), url);
        }
    }
}
