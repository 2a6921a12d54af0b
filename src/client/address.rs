//! Where a node is: from what people write, and from what redirects say.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;

/// A node's address, from `http://host:port`, `ws://host:port` or `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    /// As it stands in `Host`.
    pub(super) authority: String,
}

/// Why a text is not a [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// It is none of the forms.
    #[error("it must be http://host:port, ws://host:port or host:port")]
    Form,
    /// `https://` or `wss://`.
    #[error("TLS is not spoken here yet; it must be http://host:port, ws://host:port or host:port")]
    Tls,
}

impl Target {
    /// A whole URL, as a redirect gives it: the node and the path with the query. A URL that
    /// begins with `//` or `/` is relative to this one. `None` when it is no `ws://` or `http://`
    /// URL.
    #[must_use]
    pub fn resolve(&self, url: &str) -> Option<(Self, String)> {
        let rest = match url.split_once("://") {
            Some(("ws" | "http", rest)) => rest,
            None if url.starts_with("//") => &url[2..],
            None if url.starts_with('/') => return Some((self.clone(), url.to_owned())),
            Some(_) | None => return None,
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        Some((Self::from_authority(authority)?, path))
    }

    /// Whether it is on this machine, by its address or by the name `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        address.map_or(self.host == "localhost", |address| address.is_loopback())
    }

    fn from_authority(text: &str) -> Option<Self> {
        let authority: hyper::http::uri::Authority = text.parse().ok()?;
        let port = match authority.port() {
            Some(port) => port.as_str().parse().ok().filter(|port| *port > 0)?,
            None if authority.as_str() == authority.host() => 80,
            None => return None,
        };
        if text.contains('@') || authority.host().is_empty() {
            return None;
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Some(Self {
            host,
            port,
            authority: text.to_owned(),
        })
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let rest = match text.split_once("://") {
            Some(("http" | "ws", rest)) => rest,
            Some(("https" | "wss", _)) => return Err(InvalidTarget::Tls),
            Some(_) => return Err(InvalidTarget::Form),
            None => text,
        };
        let authority = rest
            .strip_suffix("/ws")
            .or_else(|| rest.strip_suffix('/'))
            .unwrap_or(rest);
        Self::from_authority(authority).ok_or(InvalidTarget::Form)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

/// A user id, or anything else, as it stands in a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_url_or_by_address() {
        for text in [
            "http://127.0.0.1:7001",
            "ws://127.0.0.1:7001/ws",
            "127.0.0.1:7001",
            "127.0.0.1:7001/",
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(
                (target.host.as_str(), target.port),
                ("127.0.0.1", 7001),
                "{text}"
            );
        }
        let target: Target = "http://[::1]".parse().unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 80));
        for text in [
            "", "ftp://a", "http://", "a:x", "a:", "a:70000", "u@a", "a/b",
        ] {
            assert_eq!(text.parse::<Target>(), Err(InvalidTarget::Form), "{text}");
        }
    }

    #[test]
    fn tls_is_refused_in_words_of_its_own() {
        for text in ["https://a", "wss://a:7001/ws"] {
            assert_eq!(text.parse::<Target>(), Err(InvalidTarget::Tls), "{text}");
        }
    }

    #[test]
    fn redirects_are_absolute_scheme_relative_or_paths() {
        let here: Target = "a:1".parse().unwrap();
        for (url, authority, path) in [
            ("ws://b:2/ws?user=x&hop=1", "b:2", "/ws?user=x&hop=1"),
            ("http://b:2", "b:2", "/"),
            ("//b:2/ws?x", "b:2", "/ws?x"),
            ("/ws?x", "a:1", "/ws?x"),
        ] {
            let (target, rest) = here.resolve(url).unwrap();
            assert_eq!(
                (target.authority.as_str(), rest.as_str()),
                (authority, path),
                "{url}"
            );
        }
        for url in ["wss://b/ws", "b:2/ws", "javascript:1", "ws://", ""] {
            assert!(here.resolve(url).is_none(), "{url}");
        }
    }

    #[test]
    fn loopback_is_an_address_or_localhost() {
        for (text, expected) in [
            ("127.0.0.1:1", true),
            ("127.9.8.7:1", true),
            ("[::1]:1", true),
            ("localhost:1", true),
            ("10.0.0.1:1", false),
            ("0.0.0.0:1", false),
            ("localhost.example:1", false),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.is_loopback(), expected, "{text}");
        }
    }

    #[test]
    fn users_are_encoded_byte_by_byte() {
        assert_eq!(encoded("Zoë +1&b=~"), "Zo%C3%AB%20%2B1%26b%3D~");
    }
}
