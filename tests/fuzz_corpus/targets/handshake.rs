//! Request heads of clients.

use hyper::HeaderMap;
use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use ringpost::config::RedirectLocation;
use ringpost::core::handshake::query::Query;
use ringpost::core::handshake::{Head, check_upgrade, origin, redirect};

const ADVERTISED: &str = "wss://n2.example:7002/base";

/// A head as it stands on the connection. Whatever it says, the client is sent nowhere but to a
/// member, and the headers of the answer are good ones.
pub fn handshake(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or("/");
    let http11 = words.next() == Some("HTTP/1.1");
    let headers: HeaderMap = lines.filter_map(field).collect();
    let head = Head {
        method,
        http11,
        path_and_query: target,
        headers: &headers,
    };
    check_head(&head);
    check_query(head.query(), &headers);
    // As hyper reads the target, which passes on only what can stand there.
    if let Ok(uri) = target.parse::<Uri>()
        && let Some(path_and_query) = uri.path_and_query()
    {
        let head = Head {
            path_and_query: path_and_query.as_str(),
            ..head
        };
        check_head(&head);
        check_query(head.query(), &headers);
    }
}

fn field(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    Some((name, HeaderValue::from_bytes(value.trim().as_bytes()).ok()?))
}

fn check_head(head: &Head<'_>) {
    assert!(!head.path().contains('?'));
    let host = head.host();
    match check_upgrade(head) {
        Ok(upgrade) => {
            assert!(head.method == "GET" && head.http11 && host.is_some());
            assert_eq!(upgrade.accept.len(), 28);
        }
        Err(rejection) => {
            assert!(matches!(rejection.status, 400 | 405 | 426));
            assert!(
                rejection
                    .message
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() || byte == b' ')
            );
        }
    }
    let list = ["https://*.example.com".parse().expect("a good entry")];
    for origins in [&list[..], &[]] {
        if let Ok(Some(echoed)) = origin::allowed(origins, host, [ADVERTISED], head.headers) {
            assert!(echoed.bytes().all(|byte| byte.is_ascii_graphic()));
            assert_ne!(echoed, "null");
        }
    }
}

fn check_query(raw: &str, headers: &HeaderMap) {
    let parsed = Query::parse(raw);
    for onward in [Query::onward(raw), Query::onward_later(raw)] {
        assert_eq!(
            Query::onward(&onward),
            onward,
            "sent on twice, it is the same"
        );
        let url = redirect::target_url(ADVERTISED, &onward);
        let uri: Uri = url.parse().expect("a URL");
        assert_eq!(
            uri.authority().map(Authority::as_str),
            Some("n2.example:7002")
        );
        assert_eq!(uri.path(), "/base/ws");
        for form in [RedirectLocation::SchemeRelative, RedirectLocation::Absolute] {
            let location = redirect::location(&url, form);
            assert!(HeaderValue::from_str(&location).is_ok());
            assert!(location.contains("//n2.example:7002/base/ws?"));
        }
    }
    match parsed {
        Ok(query) => {
            let _ = redirect::mode(query.redirect, headers);
            let onward = Query::parse(&Query::onward(raw)).expect("what was good is good there");
            assert_eq!((&onward.user, &onward.resume), (&query.user, &query.resume));
            assert!(onward.hop && onward.redirect.is_none());
        }
        Err(bad) => assert!(
            bad.0.len() < 100 && !bad.0.contains(char::is_control),
            "{bad}"
        ),
    }
}
