//! Origins: which pages come in, and what `/locate` says to them.

use crate::support::http::{Response, exchange};
use crate::support::{Cluster, Handshake};

/// `--allowed-origins` of these tests.
const LIST: &str = "https://*.example.com,https://chat.example.org:8443,http://[::1]:3000";

const GOOD: [&str; 6] = [
    "https://a.example.com",
    "https://a.b.example.com",
    "https://A.Example.COM:443",
    "https://chat.example.org:8443",
    "http://[::1]:3000",
    "http://[0:0:0::1]:3000",
];

const BAD: [&str; 20] = [
    "null",
    "https://example.com",
    "https://evilexample.com",
    "https://good.evil",
    "https://example.com.evil.com",
    "https://a.example.com.evil.com",
    "https://a.example.com.",
    "https://a.example.com:8443",
    "https://a.example.com:444",
    "http://a.example.com",
    "https://.example.com",
    "https://*.example.com",
    "https://user@a.example.com",
    "https://user:a.example.com@evil.com",
    "https://a.example.com/",
    "https://chat.example.org",
    "http://[::1]:3001",
    "http://[::2]:3000",
    "https://evil.com#.example.com",
    "https://evil.com\\.example.com",
];

/// A CORS request: the answer.
fn locate(cluster: &Cluster, method: &str, origins: &[&str]) -> Response {
    let address = cluster.nodes[0].listen;
    let fields = origins.iter().map(|origin| format!("Origin: {origin}\r\n"));
    let fields = fields.collect::<Vec<_>>().concat();
    let request = format!(
        "{method} /locate?user=alice HTTP/1.1\r\nHost: {address}\r\n{fields}\
         Access-Control-Request-Method: GET\r\nConnection: close\r\n\r\n"
    );
    exchange(address, request.as_bytes()).expect("an answer")
}

fn assert_says_nothing_to_pages(response: &Response) {
    let cors = |name: &str| name.starts_with("access-control-");
    assert!(
        !response.headers.iter().any(|(name, _)| cors(name)),
        "{response:?}"
    );
}

#[test]
fn pages_below_a_listed_domain_come_in_and_others_do_not() {
    let cluster = Cluster::of(1, &["--allowed-origins", LIST]);
    let url = format!("{}&redirect=http", cluster.nodes[0].url("alice"));
    for origin in GOOD {
        let client = Handshake::to(&url).header("Origin", origin).connect();
        client
            .unwrap_or_else(|refusal| panic!("{origin}: {refusal:?}"))
            .close();
    }
    for origin in BAD {
        let refusal = Handshake::to(&url).header("Origin", origin).connect();
        let refusal = refusal.expect_err(origin);
        assert_eq!(refusal.status, 403, "{origin}: {refusal:?}");
        assert_says_nothing_to_pages(&refusal);
    }
    let twice = Handshake::to(&url)
        .header("Origin", GOOD[0])
        .header("Origin", GOOD[0]);
    assert_eq!(twice.connect().expect_err("repeated").status, 403);
}

#[test]
fn locate_tells_the_same_pages_and_never_all() {
    let cluster = Cluster::of(1, &["--allowed-origins", LIST]);
    for origin in GOOD {
        for (method, status) in [("OPTIONS", 204), ("GET", 200), ("PUT", 405)] {
            let response = locate(&cluster, method, &[origin]);
            assert_eq!(response.status, status, "{origin}: {response:?}");
            let echoed = response.header("access-control-allow-origin");
            assert_eq!(echoed, Some(origin), "as it was written: {response:?}");
            assert_eq!(response.header("vary"), Some("Origin"), "{response:?}");
            // Cookies mean nothing here, so no page needs to send any.
            assert_eq!(response.header("access-control-allow-credentials"), None);
        }
    }
    for origins in BAD
        .iter()
        .map(|origin| vec![*origin])
        .chain([vec![GOOD[0], GOOD[0]]])
    {
        for method in ["OPTIONS", "GET", "PUT"] {
            let response = locate(&cluster, method, &origins);
            assert_eq!(response.status, 403, "{origins:?}: {response:?}");
            assert_says_nothing_to_pages(&response);
        }
    }
}

#[test]
fn a_list_that_lets_every_page_in_is_refused_at_start() {
    let cluster = Cluster::reserve(1);
    for list in [
        "*",
        "https://*",
        "https://*:443",
        "https://*.com",
        "https://a.*.example.com",
    ] {
        let mut command = cluster.nodes[0].command();
        let output = command
            .args(["--allowed-origins", list, "--check"])
            .output();
        let output = output.expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{list}: {said}");
        let begins = format!("--allowed-origins = {list}: ");
        assert!(
            said.contains(&begins) && said.contains("such as https://"),
            "{said}"
        );
    }
}
