//! The addresses in a configuration that are text: `host:port`, URLs, origins.
//!
//! Each function gives the reason for a refusal: what is wrong and what would do.

use std::net::IpAddr;

use hyper::Uri;

/// The host of a `host:port` that another machine can dial, without the brackets of an IPv6
/// address.
pub(crate) fn dialable(text: &str) -> Result<&str, String> {
    const WANTED: &str =
        "it must be host:port, such as 10.0.0.1:7101, [::1]:7101 or n1.example:7101";
    let (host, port) = text.rsplit_once(':').ok_or_else(|| {
        if text.is_empty() {
            format!("it is empty; {WANTED}")
        } else {
            format!("the port is missing; {WANTED}")
        }
    })?;
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = if digits {
        port.parse().unwrap_or(0)
    } else {
        0_u16
    };
    if port == 0 {
        return Err(format!("the port must be 1 to 65535; {WANTED}"));
    }
    let host = unbracketed(host).ok_or_else(|| WANTED.to_owned())?;
    if is_wildcard(host) {
        return Err(
            "nobody can dial a wildcard address; give the address others reach it at".into(),
        );
    }
    Ok(host)
}

/// Whether a host is surely this machine: a loopback address or `localhost`. Names are not
/// resolved.
pub(super) fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Checks the URL that clients are sent to: `ws` or `wss`, a host, perhaps a port and a path that
/// `/ws` is appended to.
pub(crate) fn client_url(text: &str) -> Result<(), String> {
    const WANTED: &str = "it must be like ws://n1.example:7001 or wss://n1.example";
    let rest = text
        .strip_prefix("ws://")
        .or_else(|| text.strip_prefix("wss://"))
        .ok_or_else(|| format!("the scheme must be ws or wss; {WANTED}"))?;
    if rest.contains('?') {
        return Err(format!("it may not have a query; {WANTED}"));
    }
    if rest.contains('#') {
        return Err(format!("it may not have a fragment; {WANTED}"));
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err(format!("it may not have a user or a password; {WANTED}"));
    }
    if rest.ends_with('/') {
        return Err("it may not end in a slash, since /ws is appended to it".to_owned());
    }
    authority_of_client(authority).map_err(|reason| format!("{reason}; {WANTED}"))?;
    match text.parse::<Uri>() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("it is not a URL ({error}); {WANTED}")),
    }
}

/// Checks `scheme://host[:port]`, as browsers write it in `Origin`, or `scheme://*.domain[:port]`.
pub(super) fn origin(text: &str) -> Result<(), String> {
    const WANTED: &str = "it must be scheme://host or scheme://host:port, such as \
                          https://chat.example, or https://*.chat.example for what is below it";
    let (scheme, rest) = text.split_once("://").ok_or_else(|| WANTED.to_owned())?;
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(letters) {
        return Err(WANTED.to_owned());
    }
    if rest.contains(['/', '?', '#', '@']) {
        return Err(format!("an origin has no path, query or user; {WANTED}"));
    }
    if !rest.is_ascii() {
        return Err(format!(
            "a host is written as browsers send it, in ASCII (xn--...); {WANTED}"
        ));
    }
    let Some(domain) = rest.strip_prefix("*.") else {
        if rest.contains('*') {
            return Err(format!(
                "not every page may connect: a * only stands for what is before a domain; {WANTED}"
            ));
        }
        return authority_of_client(rest).map_err(|reason| format!("{reason}; {WANTED}"));
    };
    authority_of_client(domain).map_err(|reason| format!("{reason}; {WANTED}"))?;
    below_a_domain(domain).map_err(|reason| format!("{reason}; {WANTED}"))
}

/// Checks what stands behind the `*.` of an origin, which is an authority already.
fn below_a_domain(authority: &str) -> Result<(), &'static str> {
    let host = authority.split(':').next().unwrap_or_default();
    let number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    if host.starts_with('[') || host.rsplit('.').next().is_some_and(number) {
        return Err("behind *. there must be a name, and no address or final dot");
    }
    if host.split('.').any(str::is_empty) {
        return Err("the host has an empty label");
    }
    if !host.contains('.') && !host.eq_ignore_ascii_case("localhost") {
        return Err("a whole top-level domain is nobody's: behind *. there must be two labels");
    }
    Ok(())
}

/// Checks `host` or `host:port`.
pub(super) fn authority_of_client(authority: &str) -> Result<(), &'static str> {
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[after_brackets..].rfind(':') {
        Some(at) => {
            let at = after_brackets + at;
            (&authority[..at], Some(&authority[at + 1..]))
        }
        None => (authority, None),
    };
    if let Some(port) = port {
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        if !digits || !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err("the port must be 1 to 65535");
        }
    }
    if host.is_empty() {
        return Err("the host is missing");
    }
    match unbracketed(host) {
        None => Err("the host is not a name or an address"),
        Some(host) if is_wildcard(host) => Err("nobody can be sent to a wildcard address"),
        Some(_) => Ok(()),
    }
}

fn is_wildcard(host: &str) -> bool {
    host.parse::<IpAddr>()
        .is_ok_and(|ip| ip.to_canonical().is_unspecified())
}

/// A host without the brackets of an IPv6 address; `None` when it cannot be a host.
fn unbracketed(host: &str) -> Option<&str> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        return inner.parse::<std::net::Ipv6Addr>().is_ok().then_some(inner);
    }
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!host.is_empty() && host.chars().all(allowed)).then_some(host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::handshake::AllowedOrigin;

    #[test]
    fn host_and_port_can_be_dialled_by_others() {
        for (text, host) in [
            ("127.0.0.1:7101", "127.0.0.1"),
            ("[::1]:7101", "::1"),
            ("ringpost-0.ringpost.svc:1", "ringpost-0.ringpost.svc"),
            ("my_host:65535", "my_host"),
        ] {
            assert_eq!(dialable(text), Ok(host), "{text}");
        }
        for text in [
            "",
            "host",
            ":7101",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "::1:7101",
            "[::1]",
            "[x]:1",
            "http://host:1",
            "a b:1",
            "u@h:1",
            "0.0.0.0:1",
            "[::]:1",
            "h/x:1",
        ] {
            assert!(dialable(text).is_err(), "{text}");
        }
    }

    #[test]
    fn client_urls_are_ws_with_a_host_and_nothing_that_ws_could_not_follow() {
        for text in [
            "ws://a",
            "wss://a.example:1/n1",
            "ws://[::1]:7001",
            "ws://127.0.0.1:7001",
        ] {
            assert_eq!(client_url(text), Ok(()), "{text}");
        }
        for (text, words) in [
            ("http://a", "scheme"),
            ("a:7001", "scheme"),
            ("ws://", "host is missing"),
            ("ws://:7001", "host is missing"),
            ("ws://a?x=1", "query"),
            ("ws://a#x", "fragment"),
            ("ws://u:p@a", "user"),
            ("ws://a/", "slash"),
            ("ws://a:0", "port"),
            ("ws://a:", "port"),
            ("ws://0.0.0.0:7001", "wildcard"),
            ("ws://[::]:7001", "wildcard"),
            ("ws://a b", "host"),
            ("ws://a/b c", "URL"),
        ] {
            let reason = client_url(text).unwrap_err();
            assert!(reason.contains(words), "{text}: {reason}");
        }
    }

    #[test]
    fn origins_are_scheme_host_and_port() {
        for text in [
            "https://chat.example",
            "http://localhost:3000",
            "capacitor://localhost",
            "https://*.chat.example",
            "https://*.chat.example:8443",
            "http://*.localhost:3000",
        ] {
            assert_eq!(origin(text), Ok(()), "{text}");
        }
        for (text, words) in [
            ("*", "scheme://host"),
            ("chat.example", "scheme://host"),
            ("https://", "host is missing"),
            ("https://a/", "no path"),
            ("https://u@a", "no path, query or user"),
            ("https://a:x", "port"),
            ("https://*", "not every page"),
            ("https://*:443", "not every page"),
            ("https://*example.com", "not every page"),
            ("https://a.*.example.com", "not every page"),
            ("*://a.example", "scheme://host"),
            ("https://*.", "host is missing"),
            ("https://*.*.example.com", "not a name"),
            ("https://*.com", "top-level"),
            ("https://*..com", "empty label"),
            ("https://*.example.com.", "final dot"),
            ("https://*.0.0.1", "no address"),
            ("https://*.[::1]", "no address"),
            ("https://b\u{fc}cher.example", "xn--"),
        ] {
            let reason = origin(text).unwrap_err();
            assert!(reason.contains(words), "{text}: {reason}");
        }
    }

    proptest! {
        #[test]
        fn an_origin_that_passes_can_be_matched(
            text in "[a-z]{1,5}://(\\*\\.)?[a-zA-Z0-9.:_~*\\[\\]-]{0,12}",
        ) {
            if origin(&text).is_ok() {
                prop_assert!(text.parse::<AllowedOrigin>().is_ok());
            }
        }
    }

    #[test]
    fn only_loopback_addresses_and_localhost_are_surely_this_machine() {
        for host in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "LOCALHOST",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "localhost.example", "fe80::1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
