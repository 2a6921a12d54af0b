use hyper::header::HeaderValue;
use proptest::prelude::*;

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A good handshake's fields, with some left out and others added.
fn fields(without: &[&str], with: &[(&str, &str)]) -> HeaderMap {
    let good = [
        ("host", "server.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
    ];
    let mut headers = HeaderMap::new();
    let kept = good.iter().filter(|(name, _)| !without.contains(name));
    for (name, value) in kept.chain(with) {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn check(without: &[&str], with: &[(&str, &str)]) -> Result<Upgrade, Rejection> {
    check_upgrade(&Head {
        method: "GET",
        http11: true,
        path_and_query: "/ws",
        headers: &fields(without, with),
    })
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let upgrade = Upgrade {
        accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(),
        subprotocol: None,
    };
    assert_eq!(check(&[], &[]), Ok(upgrade));
}

#[test]
fn tokens_are_found_in_any_case_on_any_line_of_a_list() {
    for (name, values) in [
        ("upgrade", &["WebSocket"][..]),
        ("upgrade", &["h2c, websocket"]),
        ("upgrade", &["h2c", " WEBSOCKET "]),
        ("connection", &["keep-alive, Upgrade"]),
        ("connection", &["keep-alive", "upgrade,,"]),
        ("content-length", &["0"]),
        ("host", &["[::1]:80"]),
        ("host", &["my_host:"]),
        // Sixteen bytes and bits that mean nothing.
        ("sec-websocket-key", &["AAAAAAAAAAAAAAAAAAAAAB=="]),
    ] {
        let with: Vec<_> = values.iter().map(|value| (name, *value)).collect();
        let upgrade = check(&[name], &with);
        assert!(upgrade.is_ok(), "{name} {values:?}: {upgrade:?}");
    }
}

#[test]
fn a_bad_handshake_has_a_status() {
    for (status, name, values) in [
        (400, "host", &[][..]),
        (400, "host", &["a", "a"]),
        (400, "host", &["a, a"]),
        (400, "host", &[""]),
        (400, "host", &["a/b"]),
        (400, "host", &["u@a"]),
        (400, "content-length", &["1"]),
        (400, "content-length", &["0", "5"]),
        (400, "content-length", &["x"]),
        (400, "transfer-encoding", &["chunked"]),
        (400, "transfer-encoding", &["identity"]),
        (426, "upgrade", &[]),
        (426, "upgrade", &["h2c"]),
        (426, "upgrade", &["websockets"]),
        (426, "upgrade", &["web socket"]),
        (426, "connection", &[]),
        (426, "connection", &["keep-alive"]),
        (426, "sec-websocket-version", &[]),
        (426, "sec-websocket-version", &["8"]),
        (426, "sec-websocket-version", &["13, 8"]),
        (426, "sec-websocket-version", &["13", "13"]),
        (400, "sec-websocket-key", &[]),
        (400, "sec-websocket-key", &[KEY, KEY]),
        (400, "sec-websocket-key", &[""]),
        (400, "sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"]),
        (400, "sec-websocket-key", &["dGhlIHNhbXBsZSBub25j"]),
        (400, "sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZSE="]),
        (400, "sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZ!=="]),
    ] {
        let with: Vec<_> = values.iter().map(|value| (name, *value)).collect();
        let rejection = check(&[name], &with).unwrap_err();
        assert_eq!(rejection.status, status, "{name} {values:?}");
        let has = |field: &(&str, &str)| rejection.headers.contains(field);
        assert_eq!(has(&("sec-websocket-version", "13")), status == 426);
        assert_eq!(has(&("upgrade", "websocket")), status == 426);
    }
}

#[test]
fn other_methods_and_http_1_0_are_refused_however_good_the_rest() {
    let headers = fields(&[], &[]);
    let good = Head {
        method: "GET",
        http11: true,
        path_and_query: "/ws",
        headers: &headers,
    };
    for method in ["POST", "HEAD", "get", "OPTIONS", ""] {
        let rejection = check_upgrade(&Head { method, ..good }).unwrap_err();
        assert_eq!(rejection.status, 405);
        assert_eq!(rejection.headers, [("allow", "GET")]);
    }
    let old = Head {
        http11: false,
        ..good
    };
    assert_eq!(check_upgrade(&old).unwrap_err().status, 400);
}

#[test]
fn the_first_subprotocol_of_ours_is_named_and_no_other() {
    let (json, proto) = (Some(SUBPROTOCOL_JSON), Some(SUBPROTOCOL_PROTO));
    for (offered, named) in [
        (&["ringpost.v1.json"][..], json),
        (&["chat, ringpost.v1.json"], json),
        (&["ringpost.bearer.secret", "ringpost.v1.json"], json),
        (&["ringpost.v1.proto"], proto),
        (&["chat", "ringpost.v1.proto, ringpost.v1.json"], proto),
        (&["ringpost.v1.json, ringpost.v1.proto"], json),
        (&["ringpost.v1.json", "ringpost.v1.proto"], json),
        (&["Ringpost.V1.Json"], None),
        (&["ringpost.v2.proto"], None),
        (&["ringpost.bearer.secret"], None),
        (&[""], None),
    ] {
        let with: Vec<_> = offered
            .iter()
            .map(|o| ("sec-websocket-protocol", *o))
            .collect();
        let upgrade = check(&[], &with).unwrap();
        assert_eq!(upgrade.subprotocol, named, "{offered:?}");
        let binary = upgrade.encoding() == Encoding::Proto;
        assert_eq!(binary, named == proto, "{offered:?}");
    }
}

#[test]
fn targets_of_either_form_have_a_path_and_a_query() {
    let headers = HeaderMap::new();
    for (target, path, query) in [
        ("/ws?user=a&b=?c", "/ws", "user=a&b=?c"),
        ("/ws", "/ws", ""),
        ("/ws?", "/ws", ""),
        ("/ws?to=http://h/x?y", "/ws", "to=http://h/x?y"),
        ("//h://x/ws?a", "//h://x/ws", "a"),
        ("http://h:1/ws?user=a", "/ws", "user=a"),
        ("ws://h?user=a/b", "/", "user=a/b"),
        ("http://h", "/", ""),
        ("/ws?a#b", "/ws", "a"),
        ("*", "*", ""),
        ("", "/", ""),
    ] {
        let head = Head {
            method: "GET",
            http11: true,
            path_and_query: target,
            headers: &headers,
        };
        assert_eq!((head.path(), head.query()), (path, query), "{target}");
    }
}

proptest! {
    #[test]
    fn no_head_makes_it_panic(
        method in "GET|.{0,5}",
        target in any::<String>(),
        values in prop::collection::vec(
            (0..8_usize, prop::collection::vec(any::<u8>(), 0..30)), 0..12,
        ),
        good in any::<bool>(),
    ) {
        let names = [
            HOST, UPGRADE, CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
            SEC_WEBSOCKET_PROTOCOL, CONTENT_LENGTH, TRANSFER_ENCODING,
        ];
        let mut headers = if good { fields(&[], &[]) } else { HeaderMap::new() };
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(names[name].clone(), value);
            }
        }
        let head = Head { method: &method, http11: true, path_and_query: &target, headers: &headers };
        if let Err(rejection) = check_upgrade(&head) {
            prop_assert!([400, 405, 426].contains(&rejection.status));
        }
        let _ = (head.path(), head.query(), head.host());
    }

    #[test]
    fn every_key_of_sixteen_bytes_is_good_and_no_other(key in prop::collection::vec(any::<u8>(), 0..40)) {
        let text = base64::engine::general_purpose::STANDARD.encode(&key);
        prop_assert_eq!(is_key(&text), key.len() == 16);
    }
}
