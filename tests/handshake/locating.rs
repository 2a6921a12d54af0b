//! What `/locate` says, and which pages may ask and connect.

use crate::support::http::{exchange, get_with};
use crate::support::{Client, Cluster, Handshake, PATIENCE, Response};
use crate::{assert_is_owners_url, stranger};

#[test]
fn locate_names_the_owner_and_how_to_get_there() {
    let cluster = Cluster::of(3, &[]);
    let (_, owner, user) = stranger(&cluster);
    for node in &cluster.nodes {
        let response = node.get(&format!("/locate?user={user}"));
        assert_eq!(response.status, 200, "{response:?}");
        let cache = response.header("cache-control").unwrap_or_default();
        assert!(cache.contains("no-store"), "{response:?}");
        let answer = response.json();
        assert_eq!(answer["user"], user.as_str());
        assert_eq!(answer["node"], cluster.nodes[owner].id.as_str());
        assert_eq!(answer["ttl_ms"], 30_000);
        let view = node.view().expect("it answers");
        assert_eq!(answer["digest"], view.digest());
        let url = answer["url"].as_str().expect("a URL");
        assert_is_owners_url(url, cluster.nodes[owner].listen, &user);
        let mut client = Client::connect(url).expect("101");
        client.expect("welcome");
        assert_eq!(node.get("/nothing").status, 404);
    }
}

/// A CORS request to `/locate`: the answer, and the origin that it lets in.
fn cors(cluster: &Cluster, method: &str, origin: &str) -> (Response, Option<String>) {
    let address = cluster.nodes[0].listen;
    let request = format!(
        "{method} /locate?user=alice HTTP/1.1\r\nHost: {address}\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: GET\r\n\
         Access-Control-Request-Headers: authorization\r\nConnection: close\r\n\r\n"
    );
    let response = exchange(address, request.as_bytes()).expect("an answer");
    let allowed = response.header("access-control-allow-origin");
    let allowed = allowed.map(str::to_owned);
    (response, allowed)
}

#[test]
fn locate_answers_pages_of_allowed_origins_only() {
    let cluster = Cluster::of(1, &[]);
    let ours = format!("http://{}:8000", cluster.ip);
    let (preflight, allowed) = cors(&cluster, "OPTIONS", &ours);
    assert!(matches!(preflight.status, 200 | 204), "{preflight:?}");
    assert_eq!(allowed.as_ref(), Some(&ours), "{preflight:?}");
    let methods = preflight.header("access-control-allow-methods");
    assert!(methods.is_some_and(|m| m.contains("GET")), "{preflight:?}");
    let headers = preflight.header("access-control-allow-headers");
    let headers = headers.unwrap_or_default().to_ascii_lowercase();
    assert!(headers.contains("authorization"), "{preflight:?}");
    let (answer, allowed) = cors(&cluster, "GET", &ours);
    assert_eq!((answer.status, allowed), (200, Some(ours)), "{answer:?}");

    for method in ["OPTIONS", "GET"] {
        let (answer, allowed) = cors(&cluster, method, "https://evil.example");
        assert_eq!(allowed, None, "{answer:?}");
        assert_eq!(answer.status, 403, "{answer:?}");
    }
}

#[test]
fn a_page_of_a_foreign_origin_is_refused() {
    let cluster = Cluster::of(1, &[]);
    let url = format!("{}&redirect=http", cluster.nodes[0].url("alice"));
    for origin in ["https://evil.example", "null", "http://"] {
        let refusal = Handshake::to(&url).header("Origin", origin).connect();
        let refusal = refusal.expect_err("it is refused");
        assert_eq!(refusal.status, 403, "{origin}: {refusal:?}");
    }
    // A page that asks to be told in band cannot see a status: it gets an error and a Close.
    let url = format!("{}&redirect=frame", cluster.nodes[0].url("alice"));
    let browser = Handshake::to(&url).header("Origin", "https://evil.example");
    let mut client = browser.connect().expect("101 in this mode");
    let (texts, code) = client.read_to_close(PATIENCE);
    assert_eq!(code, Some(4503), "{texts:?}");
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(
        texts[0].starts_with(r#"{"type":"error","code":"not_allowed""#),
        "{texts:?}"
    );
}

#[test]
fn listed_origins_match_exactly() {
    let cluster = Cluster::of(1, &["--allowed-origins", "https://app.example"]);
    let url = format!("{}&redirect=http", cluster.nodes[0].url("alice"));
    let connect = |origin: &str| Handshake::to(&url).header("Origin", origin).connect();
    connect("https://app.example").expect("it is on the list");
    let own = format!("http://{}", cluster.nodes[0].listen);
    for origin in [
        "http://app.example",
        "https://app.example:8443",
        "https://x.app.example",
        &own,
    ] {
        assert_eq!(
            connect(origin).expect_err("refused").status,
            403,
            "{origin}"
        );
    }
    let none = get_with(cluster.nodes[0].listen, "/locate?user=alice", &[]);
    assert_eq!(none.expect("an answer").status, 200, "no origin, no page");
}
