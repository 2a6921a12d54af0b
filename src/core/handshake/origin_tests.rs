use hyper::header::HeaderValue;
use proptest::prelude::*;

use super::*;

fn headers(origins: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for origin in origins {
        headers.append(ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
    }
    headers
}

fn by_list(list: &[&str], origin: &str) -> bool {
    let list: Vec<AllowedOrigin> = list.iter().map(|entry| entry.parse().unwrap()).collect();
    let answer = allowed(
        &list,
        Some("elsewhere"),
        ["ws://elsewhere"],
        &headers(&[origin]),
    );
    if answer.is_ok() {
        assert_eq!(answer, Ok(Some(origin.to_owned())));
    }
    answer.is_ok()
}

fn by_host(host: Option<&str>, members: &[&str], origin: &str) -> bool {
    allowed(&[], host, members.iter().copied(), &headers(&[origin])).is_ok()
}

#[test]
fn a_listed_origin_matches_in_scheme_host_and_port() {
    let list = [
        "https://chat.example.com",
        "http://localhost:3000",
        "http://[::1]:80",
    ];
    for (origin, may) in [
        ("https://chat.example.com", true),
        ("https://chat.example.com:443", true),
        ("HTTPS://Chat.Example.com", true),
        ("http://localhost:3000", true),
        ("http://[::1]", true),
        ("http://[0:0::1]:80", true),
        ("http://chat.example.com", false),
        ("https://chat.example.com:8443", false),
        ("https://chat.example.com.evil.org", false),
        ("https://evil.org", false),
        ("https://example.com", false),
        ("http://localhost", false),
        ("https://localhost:3000", false),
        ("https://elsewhere", false),
    ] {
        assert_eq!(by_list(&list, origin), may, "{origin}");
    }
}

#[test]
fn a_wildcard_stands_for_what_is_below_its_domain() {
    let list = ["https://*.Example.com", "http://*.localhost:3000"];
    for (origin, may) in [
        ("https://a.example.com", true),
        ("https://a.b.example.com", true),
        ("https://A.EXAMPLE.COM:443", true),
        ("http://a.localhost:3000", true),
        ("https://example.com", false),
        ("https://.example.com", false),
        ("https://a..example.com", false),
        ("https://evilexample.com", false),
        ("https://example.com.evil.org", false),
        ("https://a.example.com.evil.org", false),
        ("https://a.example.com.", false),
        ("https://a.example.com:8443", false),
        ("http://a.example.com", false),
        ("wss://a.example.com", false),
        ("https://u@a.example.com", false),
        ("https://evil.org/.example.com", false),
        ("https://evil.org#.example.com", false),
        ("https://*.example.com", false),
        ("https://[::1].example.com", false),
        ("http://a.localhost", false),
        ("http://localhost:3000", false),
    ] {
        assert_eq!(by_list(&list, origin), may, "{origin}");
    }
}

#[test]
fn a_final_dot_is_another_origin() {
    assert!(!by_list(&["https://example.com"], "https://example.com."));
    assert!(by_list(&["https://example.com."], "https://example.com."));
    assert!(!by_host(Some("n1"), &[], "http://n1."));
}

#[test]
fn without_a_list_the_host_must_be_the_requests_or_a_members() {
    let members = [
        "ws://N2.example.com:7002",
        "wss://n3.example.com/",
        "ws://[2001:db8::1]:7003",
    ];
    for (host, origin, may) in [
        (Some("n1:7001"), "http://n1", true),
        (Some("n1:7001"), "https://N1:9999", true),
        (Some("N1"), "http://n1:8080", true),
        (Some("[::1]:7001"), "http://[::1]:8080", true),
        (Some("127.0.0.1:7001"), "http://127.0.0.1:8080", true),
        (Some("n1"), "http://n2.example.com", true),
        (Some("n1"), "https://n3.example.com:1", true),
        (None, "http://[2001:DB8:0::1]", true),
        (Some("n1"), "http://n11", false),
        (Some("n1"), "http://example.com", false),
        (Some("127.0.0.1:7001"), "http://localhost:7001", false),
        (Some("not a host"), "http://n1", false),
        (None, "http://n1", false),
    ] {
        assert_eq!(by_host(host, &members, origin), may, "{host:?} {origin}");
    }
    assert!(!by_host(None, &["", "ws://", "nonsense/"], "http://n1"));
}

#[test]
fn what_is_no_origin_is_refused_whatever_the_policy() {
    for origin in [
        "null",
        "",
        "n1",
        "//n1",
        "://n1",
        "http:n1",
        "http://",
        "http://n1/",
        "http://n1/path",
        "http://n1?x",
        "http://u@n1",
        "http://n1 http://n1",
        "http://n1, http://n1",
        "http://n1:",
        "http://n1:+80",
        "http://n1:65536",
        "http://n1:80:80",
        "http://[::1",
        "http://::1",
        "http://[n1]",
        "http://[::1]x",
        "http://*",
        "1http://n1",
        "http://n\u{e9}1",
    ] {
        assert!(!by_host(Some("n1"), &[], origin), "{origin}");
        assert!(!by_list(&["http://n1"], origin), "{origin}");
    }
    let twice = headers(&["http://n1", "http://n1"]);
    assert_eq!(allowed(&[], Some("n1"), [], &twice), Err(Refused::Repeated));
    assert_eq!(Rejection::from(Refused::NotAllowed).status, 403);
}

#[test]
fn who_sends_no_origin_is_no_page() {
    let list = ["https://a".parse().unwrap()];
    for list in [&list[..], &[]] {
        assert_eq!(allowed(list, None, [], &HeaderMap::new()), Ok(None));
    }
}

#[test]
fn entries_say_what_is_wrong_with_them() {
    let parse = str::parse::<Origin>;
    assert_eq!(parse("example.com"), Err(InvalidOrigin::Scheme));
    assert_eq!(parse("https://example.com/"), Err(InvalidOrigin::Host));
    let entry = str::parse::<AllowedOrigin>;
    for (text, reason) in [
        ("*", InvalidEntry::Wildcard),
        ("https://*", InvalidEntry::Wildcard),
        ("https://*:443", InvalidEntry::Wildcard),
        ("https://*example.com", InvalidEntry::Wildcard),
        ("https://a.*.example.com", InvalidEntry::Wildcard),
        ("https://*.*.example.com", InvalidEntry::Wildcard),
        ("https://*.", InvalidEntry::Origin(InvalidOrigin::Host)),
        (
            "https://*.example.com/",
            InvalidEntry::Origin(InvalidOrigin::Host),
        ),
        ("https://*.com", InvalidEntry::Domain),
        ("https://*.example.com.", InvalidEntry::Domain),
        ("https://*..com", InvalidEntry::Domain),
        ("https://*.0.0.1", InvalidEntry::Domain),
        ("https://*.[::1]", InvalidEntry::Domain),
    ] {
        assert_eq!(entry(text), Err(reason), "{text}");
    }
    let shown = |text| parse(text).unwrap().to_string();
    assert_eq!(shown("HTTPS://A.b:443"), "https://a.b");
    assert_eq!(shown("http://[0::1]:81"), "http://[::1]:81");
}

proptest! {
    #[test]
    fn a_wildcard_matches_only_what_ends_in_its_domain_with_a_dot_before(
        domain in "[a-c]{1,2}\\.[a-c]{1,2}",
        before in "[a-c.]{0,4}",
        end in "(\\.[a-c]{1,2})?",
    ) {
        let list = [format!("https://*.{domain}")];
        let host = format!("{before}{domain}{end}");
        let origin = format!("https://{host}");
        if by_list(&[&*list[0]], &origin) {
            let below = host.strip_suffix(&format!(".{domain}"));
            prop_assert!(below.is_some_and(|labels| !labels.is_empty()), "{}", host);
        }
        let below = format!("https://x.{domain}");
        prop_assert!(by_list(&[&*list[0]], &below));
    }

    #[test]
    fn no_text_makes_it_panic(
        origin in any::<String>(), host in any::<String>(), url in any::<String>(),
    ) {
        if let Ok(value) = HeaderValue::from_bytes(origin.as_bytes()) {
            let mut headers = HeaderMap::new();
            headers.append(ORIGIN, value);
            let _ = allowed(&[], Some(&host), [&*url], &headers);
        }
        let _ = split_authority(&host);
        let _ = origin.parse::<Origin>();
        let _ = origin.parse::<AllowedOrigin>();
    }

    #[test]
    fn an_origin_is_the_same_after_it_is_shown(
        text in "[a-zA-Z]{1,5}://([a-zA-Z0-9.-]{1,9}|\\[[0-9a-f]{0,4}::[0-9a-f]{1,4}\\])(:[0-9]{1,5})?",
    ) {
        if let Ok(origin) = text.parse::<Origin>() {
            prop_assert_eq!(origin.to_string().parse(), Ok(origin));
        }
    }
}
