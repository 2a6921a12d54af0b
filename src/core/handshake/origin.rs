//! Which pages may connect: the policy for the `Origin` that browsers send.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use hyper::HeaderMap;
use hyper::header::ORIGIN;

use super::Rejection;

/// A scheme, a host and a port, in one spelling: lower case, no default port, and IPv6 as RFC 5952
/// writes it. So equal origins are equal values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: String,
    /// `None`: the scheme's default.
    port: Option<u16>,
}

/// Why a text is not an [`Origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// It does not begin with a scheme and `://`.
    #[error("it must begin with a scheme, such as https://")]
    Scheme,
    /// What follows is not a host, with a port or without, and nothing else.
    #[error("after the scheme there must be a host, perhaps :port, and no path or final slash")]
    Host,
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, authority) = text.split_once("://").ok_or(InvalidOrigin::Scheme)?;
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            || !scheme.bytes().all(inner)
        {
            return Err(InvalidOrigin::Scheme);
        }
        let scheme = scheme.to_ascii_lowercase();
        let whole = Some(authority).filter(|authority| !authority.ends_with(':'));
        let (host, port) = whole.and_then(split_authority).ok_or(InvalidOrigin::Host)?;
        let default = match &*scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        Ok(Self {
            scheme,
            host: same_host(host),
            port: port.filter(|_| port != default),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// An entry of the list of those who may connect: one [`Origin`], or all below a domain, written
/// `https://*.example.com`. That is every name that ends in `.example.com`, however deep, and not
/// `example.com` itself; scheme and port are compared as in any entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AllowedOrigin {
    /// Of a wildcard, the domain without the `*.` stands for the host.
    origin: Origin,
    subdomains: bool,
}

/// Why a text is not an [`AllowedOrigin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// It is not an origin, even where its `*.` is left out.
    #[error(transparent)]
    Origin(#[from] InvalidOrigin),
    /// A `*` stands somewhere else than as the first label of the host.
    #[error("a * may only stand for what is before a domain, as in https://*.example.com")]
    Wildcard,
    /// A wildcard for what nobody owns as a whole.
    #[error("behind *. there must be a domain with at least two labels, or localhost")]
    Domain,
}

impl AllowedOrigin {
    /// Whether a page of this origin may connect.
    #[must_use]
    pub fn matches(&self, origin: &Origin) -> bool {
        if !self.subdomains {
            return self.origin == *origin;
        }
        let below = (origin.host.strip_suffix(&*self.origin.host))
            .and_then(|labels| labels.strip_suffix('.'));
        self.origin.scheme == origin.scheme
            && self.origin.port == origin.port
            && below.is_some_and(are_labels)
    }
}

impl FromStr for AllowedOrigin {
    type Err = InvalidEntry;

    fn from_str(text: &str) -> Result<Self, InvalidEntry> {
        let Some((scheme, domain)) = text.split_once("://*.") else {
            if text.contains('*') {
                return Err(InvalidEntry::Wildcard);
            }
            let origin = text.parse()?;
            return Ok(Self {
                origin,
                subdomains: false,
            });
        };
        if domain.contains('*') {
            return Err(InvalidEntry::Wildcard);
        }
        let origin: Origin = format!("{scheme}://{domain}").parse()?;
        if !is_domain(&origin.host) {
            return Err(InvalidEntry::Domain);
        }
        Ok(Self {
            origin,
            subdomains: true,
        })
    }
}

impl From<Origin> for AllowedOrigin {
    fn from(origin: Origin) -> Self {
        Self {
            origin,
            subdomains: false,
        }
    }
}

/// Why a request with an `Origin` is answered with 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is more than one.
    #[error("there is more than one Origin")]
    Repeated,
    /// It is `null`, or not an origin at all.
    #[error("the Origin is null, or none at all")]
    NotAnOrigin,
    /// It is one that may not connect.
    #[error("pages of this Origin may not connect")]
    NotAllowed,
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        Self::new(403, refused.to_string())
    }
}

/// Whether the request may come in. `Some` is its origin as the client wrote it, which is what
/// `Access-Control-Allow-Origin` must echo; `None`: it has no `Origin`, so it is no page's.
///
/// With `origins`, one of them must match it. Without, its host must be that of `Host` (of the
/// request) or of a member's advertised URL, whatever the ports.
///
/// # Errors
/// [`Refused`], to be answered with 403.
pub fn allowed<'a>(
    origins: &[AllowedOrigin],
    host: Option<&str>,
    member_urls: impl IntoIterator<Item = &'a str>,
    headers: &HeaderMap,
) -> Result<Option<String>, Refused> {
    let mut values = headers.get_all(ORIGIN).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refused::Repeated);
    }
    let text = value.to_str().map_err(|_| Refused::NotAnOrigin)?;
    let origin: Origin = text.parse().map_err(|_| Refused::NotAnOrigin)?;
    let same = |authority: &str| {
        split_authority(authority).is_some_and(|(host, _)| same_host(host) == origin.host)
    };
    let may = if origins.is_empty() {
        host.is_some_and(same) || member_urls.into_iter().any(|url| same(authority_of(url)))
    } else {
        origins.iter().any(|entry| entry.matches(&origin))
    };
    may.then(|| Some(text.to_owned()))
        .ok_or(Refused::NotAllowed)
}

fn authority_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// A host in the one spelling in which hosts are compared.
fn same_host(host: &str) -> String {
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match address.and_then(|address| address.parse::<Ipv6Addr>().ok()) {
        Some(address) => format!("[{address}]"),
        None => host.to_ascii_lowercase(),
    }
}

/// Takes `host`, `host:port` or `[v6]:port` apart; the port may be empty, as in RFC 3986.
pub(super) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => {
            (&authority[..colon], &authority[colon + 1..])
        }
        _ => (authority, ""),
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        "" => None,
        port => Some(port.parse().ok().filter(|_| digits)?),
    };
    is_host(host).then_some((host, port))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']');
        return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !host.is_empty() && host.bytes().all(allowed)
}

/// Whether names below it can be somebody's: no address, and no top-level domain.
fn is_domain(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit());
    are_labels(host)
        && !host.starts_with('[')
        && !number
        && (host.contains('.') || host == "localhost")
}

fn are_labels(name: &str) -> bool {
    name.split('.').all(|label| !label.is_empty())
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
