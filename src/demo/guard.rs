//! Who may use the page: browsers on this machine that show this very page.
//!
//! Any web site can make a browser send requests to loopback addresses, and can even give those
//! addresses a name of its own (DNS rebinding). So `Host` must be one of the page's own names, a
//! page that asks must have come from there, and what changes something must be sent as JSON, which
//! no other site's page may do without asking first.

use std::net::SocketAddr;

use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN};

/// The names under which the page is served.
#[derive(Debug)]
pub struct Guard {
    authorities: Vec<String>,
}

impl Guard {
    /// For a page that is served on a loopback address.
    pub fn new(at: SocketAddr) -> Self {
        let port = at.port();
        let mut authorities = vec![at.to_string()];
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let authority = format!("{host}:{port}");
            if !authorities.contains(&authority) {
                authorities.push(authority);
            }
        }
        if port == 80 {
            // Browsers leave it out.
            let bare: Vec<_> = (authorities.iter())
                .filter_map(|authority| authority.strip_suffix(":80").map(str::to_owned))
                .collect();
            authorities.extend(bare);
        }
        Self { authorities }
    }

    /// The page's origins, for the nodes to allow.
    pub fn origins(&self) -> Vec<String> {
        let origin = |authority: &String| format!("http://{authority}");
        self.authorities.iter().map(origin).collect()
    }

    /// Whether a request may be answered; the error is a sentence for 403.
    pub fn may_read(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let host = only(headers, &HOST).ok_or("exactly one Host is needed")?;
        if !(self.authorities.iter()).any(|own| own.eq_ignore_ascii_case(host)) {
            return Err("this page is not served under that name");
        }
        Ok(())
    }

    /// Whether a request may change something; the error is a sentence for 403.
    pub fn may_change(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        self.may_read(headers)?;
        if headers.contains_key(ORIGIN) {
            let same = only(headers, &ORIGIN)
                .and_then(|origin| origin.strip_prefix("http://"))
                .zip(only(headers, &HOST))
                .is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host));
            if !same {
                return Err("only this page itself may do that");
            }
        }
        let json = only(headers, &CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("application/json")
        });
        if json {
            Ok(())
        } else {
            Err("Content-Type must be application/json")
        }
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_page_is_served_under_its_own_names_only() {
        let guard = Guard::new("127.0.0.1:8080".parse().unwrap());
        for host in [
            "127.0.0.1:8080",
            "localhost:8080",
            "LOCALHOST:8080",
            "[::1]:8080",
        ] {
            assert!(guard.may_read(&headers(&[(HOST, host)])).is_ok(), "{host}");
        }
        for host in [
            "evil.example:8080",
            "127.0.0.1:80",
            "127.0.0.1",
            "localhost.evil:8080",
            "",
        ] {
            assert!(guard.may_read(&headers(&[(HOST, host)])).is_err(), "{host}");
        }
        assert!(guard.may_read(&headers(&[])).is_err());
        let twice = headers(&[(HOST, "localhost:8080"), (HOST, "localhost:8080")]);
        assert!(guard.may_read(&twice).is_err());
    }

    #[test]
    fn on_port_80_the_port_may_be_left_out() {
        let guard = Guard::new("127.0.0.1:80".parse().unwrap());
        assert!(guard.may_read(&headers(&[(HOST, "localhost")])).is_ok());
    }

    #[test]
    fn a_change_needs_json_and_no_origin_but_the_pages_own() {
        let guard = Guard::new("127.0.0.1:8080".parse().unwrap());
        let may = |host, origin: Option<&str>, kind: Option<&str>| {
            let mut pairs = vec![(HOST, host)];
            pairs.extend(origin.map(|origin| (ORIGIN, origin)));
            pairs.extend(kind.map(|kind| (CONTENT_TYPE, kind)));
            guard.may_change(&headers(&pairs)).is_ok()
        };
        let (host, json) = ("localhost:8080", Some("application/json"));
        assert!(may(host, Some("http://localhost:8080"), json));
        assert!(may(host, None, Some("application/json; charset=utf-8")));
        for origin in [
            "http://evil.example",
            "http://localhost",
            "http://localhost:8081",
            "https://localhost:8080",
            "null",
        ] {
            assert!(!may(host, Some(origin), json), "{origin}");
        }
        assert!(!may(
            "evil.example:8080",
            Some("http://evil.example:8080"),
            json
        ));
        for kind in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
        ] {
            assert!(!may(host, Some("http://localhost:8080"), kind), "{kind:?}");
        }
    }
}
