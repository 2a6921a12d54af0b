//! Where a node is: from what people write, and from what redirects say.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;

use super::tls::RootCertificates;

/// A node's address, from `http://host:port`, `ws://host:port` or `host:port`, or for TLS from
/// `https://host:port` or `wss://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    /// As it stands in `Host`.
    pub(super) authority: String,
    /// Whether TLS is spoken.
    pub(super) tls: bool,
    /// Whom its certificate must be signed by then.
    pub(super) roots: RootCertificates,
}

/// Why a text is not a [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// It is none of the forms.
    #[error(
        "it must be ws://host:port, http://host:port or host:port, or for TLS wss://host:port or https://host:port"
    )]
    Form,
}

impl Target {
    /// A whole URL, as a redirect gives it: the node and the path with the query. A URL that
    /// begins with `//` or `/` is relative to this one. `None` when it is no URL of a node, or leads from TLS
    /// to none.
    #[must_use]
    pub fn resolve(&self, url: &str) -> Option<(Self, String)> {
        let (tls, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (self.over(scheme)?, rest),
            None if url.starts_with("//") => (self.tls, &url[2..]),
            None if url.starts_with('/') => return Some((self.clone(), url.to_owned())),
            None => return None,
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let target = Self::from_authority(authority, tls)?;
        Some((target.trusting(&self.roots), path))
    }

    /// Whether TLS is spoken after a redirect from here to a URL of this scheme.
    fn over(&self, scheme: &str) -> Option<bool> {
        match scheme {
            "ws" | "http" if !self.tls => Some(false),
            "wss" | "https" => Some(true),
            _ => None,
        }
    }

    /// The same, with these root certificates if TLS is spoken.
    #[must_use]
    pub fn trusting(mut self, roots: &RootCertificates) -> Self {
        self.roots.clone_from(roots);
        self
    }

    /// Whether it is on this machine, by its address or by the name `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        address.map_or(self.host == "localhost", |address| address.is_loopback())
    }

    fn from_authority(text: &str, tls: bool) -> Option<Self> {
        let authority: hyper::http::uri::Authority = text.parse().ok()?;
        let port = match authority.port() {
            Some(port) => port.as_str().parse().ok().filter(|port| *port > 0)?,
            None if authority.as_str() == authority.host() => {
                if tls {
                    443
                } else {
                    80
                }
            }
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
            tls,
            roots: RootCertificates::system(),
        })
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let (tls, rest) = match text.split_once("://") {
            Some(("http" | "ws", rest)) => (false, rest),
            Some(("https" | "wss", rest)) => (true, rest),
            Some(_) => return Err(InvalidTarget::Form),
            None => (false, text),
        };
        let authority = rest
            .strip_suffix("/ws")
            .or_else(|| rest.strip_suffix('/'))
            .unwrap_or(rest);
        Self::from_authority(authority, tls).ok_or(InvalidTarget::Form)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss://" } else { "" };
        write!(f, "{scheme}{}", self.authority)
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
    fn tls_is_in_the_scheme_and_shown_and_has_a_port_of_its_own() {
        for (text, port, shown) in [
            ("https://a", 443, "wss://a"),
            ("wss://a:7001/ws", 7001, "wss://a:7001"),
            ("ws://a:7001/ws", 7001, "a:7001"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.port, port, "{text}");
            assert_eq!(target.to_string(), shown, "{text}");
            assert_eq!(target.to_string().parse(), Ok(target), "{text}");
        }
    }

    #[test]
    fn a_redirect_may_lead_to_tls_and_never_away_from_it() {
        let plain: Target = "a:1".parse().unwrap();
        let (secure, _) = plain.resolve("wss://b/ws").unwrap();
        assert_eq!((secure.port, secure.tls), (443, true));
        for url in ["//c:2/ws", "/ws", "wss://c:2/ws", "https://c:2/ws"] {
            assert!(secure.resolve(url).unwrap().0.tls, "{url}");
        }
        for url in ["ws://c:2/ws", "http://c:2/ws"] {
            assert_eq!(secure.resolve(url), None, "{url}");
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
        for url in ["ftp://b/ws", "b:2/ws", "javascript:1", "ws://", ""] {
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
