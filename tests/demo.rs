//! `ringpost demo` as a browser and its user see it: the page, the control of the nodes, the end.
#![cfg(unix)]
// `write!` to a string can fail only in name.
#![allow(clippy::format_push_string)]

mod support;

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::MutexGuard;
use std::time::Duration;

use serde_json::Value;
use support::http::{exchange, get};
use support::process::lines;
use support::{Killed, PATIENCE, Response, turn, wait_until};

/// A killed or stopped node is known everywhere within this.
const NOTICED: Duration = Duration::from_secs(20);

fn command(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringpost"));
    command
        .args(line.split_whitespace())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// A running demonstration, killed when the test ends.
struct Demo {
    process: Killed,
    page: SocketAddr,
    said: String,
    _turn: MutexGuard<'static, ()>,
}

impl Demo {
    fn start(nodes: u8) -> Self {
        let turn = turn();
        let child = command(&format!("demo --nodes {nodes} --listen 127.0.0.1:0"))
            .stdout(Stdio::piped())
            .spawn();
        let mut process = Killed(child.expect("the command starts"));
        let mut lines = lines(process.0.stdout.take().expect("a pipe"));
        let mut said = String::new();
        let page = loop {
            let line = lines.next().expect("it says where its page is");
            said += &format!("{line}\n");
            let url = line.split_once("http://").map(|(_, rest)| rest);
            let Some(rest) = url.filter(|_| line.starts_with("Open ")) else {
                continue;
            };
            let address = rest.split('/').next().unwrap_or_default();
            break address.parse().expect("an address");
        };
        Self {
            process,
            page,
            said,
            _turn: turn,
        }
    }

    fn nodes(&self) -> Vec<Value> {
        let nodes = get(self.page, "/api/nodes").expect("an answer").json();
        nodes.as_array().expect("a list").clone()
    }

    /// What the cluster thinks of a node: its state and its share.
    fn seen(&self, id: &str) -> Option<(String, bool, f64)> {
        let view = get(self.page, "/api/cluster").ok()?;
        let view = (view.status == 200).then(|| view.json())?;
        let member = view["members"].as_array()?.iter().find(|m| m["id"] == id)?;
        let state = member["state"].as_str()?.to_owned();
        Some((
            state,
            member["draining"].as_bool()?,
            member["share"].as_f64()?,
        ))
    }

    fn is_on_the_ring(&self, id: &str) -> bool {
        self.seen(id)
            .is_some_and(|(state, draining, share)| state == "alive" && !draining && share > 0.0)
    }

    fn wait_for_all(&self, nodes: u8) {
        wait_until(PATIENCE, "all nodes share the ring", || {
            (1..=nodes).all(|number| self.is_on_the_ring(&format!("n{number}")))
        });
    }

    fn post(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request =
            format!("POST {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        exchange(self.page, format!("{request}\r\n{{}}").as_bytes()).expect("an answer")
    }

    /// As the page itself does.
    fn order(&self, id: &str, order: &str) -> Response {
        self.ask_for(&format!("/api/nodes/{id}/{order}"))
    }

    /// As the page itself does.
    fn add(&self) -> Response {
        self.ask_for("/api/nodes")
    }

    fn ask_for(&self, path: &str) -> Response {
        let host = self.page.to_string();
        let origin = format!("http://{host}");
        let headers = [
            ("Host", host.as_str()),
            ("Origin", origin.as_str()),
            ("Content-Type", "application/json"),
        ];
        self.post(path, &headers)
    }

    fn state(&self, id: &str) -> String {
        let nodes = self.nodes();
        let node = nodes
            .iter()
            .find(|node| node["id"] == id)
            .expect("the node");
        node["state"].as_str().expect("a state").to_owned()
    }
}

#[test]
fn the_page_and_its_parts_come_from_here_and_may_reach_the_nodes_only() {
    let demo = Demo::start(2);
    let nodes = demo.nodes();
    assert_eq!(nodes.len(), 2);
    for node in &nodes {
        let url = node["url"].as_str().unwrap();
        assert!(demo.said.contains(url), "{}", demo.said);
    }
    let addresses = get(demo.page, "/api/addresses").unwrap().json();
    let addresses = addresses.as_array().unwrap();
    assert_eq!(addresses.len(), 8, "those of nodes that can be added, too");
    for (path, kind) in [
        ("/", "text/html"),
        ("/style.css", "text/css"),
        ("/demo.js", "text/javascript"),
        ("/cluster.js", "text/javascript"),
        ("/pane.js", "text/javascript"),
        ("/ringpost/index.js", "text/javascript"),
        ("/favicon.svg", "image/svg+xml"),
        ("/api/nodes", "application/json"),
        ("/api/addresses", "application/json"),
        ("/nothing", "text/plain"),
    ] {
        let answer = get(demo.page, path).unwrap();
        assert_eq!(
            answer.status,
            if path == "/nothing" { 404 } else { 200 },
            "{path}"
        );
        assert!(
            answer.header("content-type").unwrap().starts_with(kind),
            "{answer:?}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'self'"), "{policy}");
        let connect = policy.split("connect-src ").nth(1).unwrap();
        for url in addresses.iter().map(|url| url.as_str().unwrap()) {
            assert!(
                connect.split([' ', ';']).any(|source| source == url),
                "{policy}"
            );
        }
        assert!(
            !policy.contains('*') && !policy.contains("unsafe"),
            "{policy}"
        );
    }
    let page = get(demo.page, "/").unwrap().text();
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("style="));
}

#[test]
fn a_node_stops_is_killed_and_starts_again_and_the_cluster_notices() {
    let demo = Demo::start(3);
    demo.wait_for_all(3);
    let answer = demo.order("n1", "start");
    assert_eq!(answer.status, 409, "it runs already: {answer:?}");

    let answer = demo.order("n2", "stop");
    assert_eq!(answer.status, 200, "{answer:?}");
    wait_until(NOTICED, "the ring is without n2", || {
        !demo.is_on_the_ring("n2")
    });
    wait_until(PATIENCE, "n2 has stopped", || demo.state("n2") == "stopped");
    assert_eq!(demo.order("n2", "stop").status, 409);

    // The first one, so that another has to tell.
    assert_eq!(demo.order("n1", "kill").status, 200);
    assert_eq!(demo.state("n1"), "stopped");
    wait_until(NOTICED, "the ring is without n1", || {
        demo.seen("n1").is_some_and(|(state, _, _)| state == "down")
    });

    for id in ["n1", "n2"] {
        let answer = demo.order(id, "start");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    demo.wait_for_all(3);
}

#[test]
fn a_node_that_is_added_joins_and_can_be_found_by_those_that_start_after_it() {
    let demo = Demo::start(1);
    demo.wait_for_all(1);
    let answer = demo.add();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["id"], "n2");
    demo.wait_for_all(2);
    // Now n2 alone knows of n3, and n1 must ask it.
    assert_eq!(demo.order("n1", "kill").status, 200);
    assert_eq!(demo.add().json()["id"], "n3");
    assert_eq!(demo.order("n1", "start").status, 200);
    demo.wait_for_all(3);
}

#[test]
fn there_is_no_ninth_node() {
    let demo = Demo::start(8);
    let answer = demo.add();
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.text().contains("8 nodes already"), "{answer:?}");
    assert_eq!(demo.nodes().len(), 8);
}

#[test]
fn the_ring_is_drawn_as_the_nodes_see_it() {
    let demo = Demo::start(3);
    demo.wait_for_all(3);
    let ring = get(demo.page, "/api/ring?key=alice&key=bob")
        .unwrap()
        .json();
    let cluster = get(demo.page, "/api/cluster").unwrap().json();
    assert_eq!(ring["digest"], cluster["digest"]);
    let (nodes, parts) = (&ring["nodes"], ring["parts"].as_array().unwrap());
    for member in cluster["members"].as_array().unwrap() {
        let drawn = (parts.iter())
            .filter(|part| nodes[part_index(part)] == member["id"])
            .count();
        let drawn = f64::from(u32::try_from(drawn).unwrap()) / 720.0;
        let share = member["share"].as_f64().unwrap();
        assert!((drawn - share).abs() < 0.05, "{member}: {drawn}");
    }
    let first = demo.nodes()[0]["url"].as_str().unwrap().to_owned();
    let first: SocketAddr = first.strip_prefix("ws://").unwrap().parse().unwrap();
    for user in ["alice", "bob"] {
        let target = format!("/locate?user={user}");
        // It may have been seen by others before it has heard of them, or of all of them, itself.
        wait_until(PATIENCE, "it knows its cluster", || {
            get(first, &target).is_ok_and(|answer| {
                answer.status == 200 && answer.json()["node"] == ring["places"][user]["owner"]
            })
        });
    }
}

fn part_index(part: &Value) -> usize {
    let number = part.as_u64().expect("a number");
    usize::try_from(number).expect("a place in a list")
}

#[test]
fn the_page_may_connect_to_the_nodes_under_every_name_it_has() {
    let demo = Demo::start(1);
    let node = demo.nodes()[0]["url"].as_str().unwrap().to_owned();
    let at: SocketAddr = node.strip_prefix("ws://").unwrap().parse().unwrap();
    let port = demo.page.port();
    let connect = |origin: &str| {
        let request = format!(
            "GET /ws?user=alice HTTP/1.1\r\nHost: {at}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        exchange(at, request.as_bytes()).unwrap().status
    };
    for name in ["127.0.0.1", "localhost"] {
        assert_eq!(connect(&format!("http://{name}:{port}")), 101, "{name}");
    }
    assert_eq!(connect("http://evil.example"), 403);
    assert_eq!(connect(&format!("http://127.0.0.1:{}", port ^ 1)), 403);
}

#[test]
fn other_sites_cannot_control_the_nodes() {
    let demo = Demo::start(1);
    let host = demo.page.to_string();
    let own = format!("http://{host}");
    let json = ("Content-Type", "application/json");
    let refused: &[&[(&str, &str)]] = &[
        &[("Host", &host), ("Origin", "http://evil.example"), json],
        &[("Host", &host), ("Origin", "null"), json],
        &[
            ("Host", &host),
            ("Origin", &own),
            ("Content-Type", "text/plain"),
        ],
        &[("Host", &host), ("Origin", &own)],
        // A name that somebody has pointed here.
        &[
            ("Host", "evil.example"),
            ("Origin", "http://evil.example"),
            json,
        ],
    ];
    for headers in refused {
        for path in ["/api/nodes/n1/kill", "/api/nodes"] {
            let answer = demo.post(path, headers);
            assert_eq!(answer.status, 403, "{path} {headers:?}: {answer:?}");
        }
    }
    assert_eq!(demo.nodes().len(), 1);
    let request = "GET /api/nodes HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(demo.page, request.as_bytes()).unwrap().status, 403);
    assert_eq!(get(demo.page, "/api/nodes/n1/kill").unwrap().status, 405);
    assert_eq!(demo.order("n9", "kill").status, 404);
    assert_eq!(demo.order("n1", "burn").status, 404);
    assert_eq!(demo.state("n1"), "running");
}

#[test]
fn a_signal_ends_it_with_exit_code_0() {
    for signal in ["-TERM", "-INT"] {
        let mut demo = Demo::start(3);
        let id = demo.process.0.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
        let mut code = None;
        wait_until(3 * PATIENCE, "it has ended", || {
            code = demo
                .process
                .0
                .try_wait()
                .unwrap()
                .map(|status| status.code());
            code.is_some()
        });
        assert_eq!(code, Some(Some(0)), "{signal}");
    }
}

#[test]
fn an_address_that_cannot_be_had_is_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|at| (taken, at)).unwrap();
    for (listen, words) in [
        (taken.1.to_string(), "another program"),
        ("0.0.0.0:0".to_owned(), "loopback"),
    ] {
        let mut child = command(&format!("demo --listen {listen}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut out, mut error) = (String::new(), String::new());
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut error)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{error}");
        assert_eq!(out, "");
        assert!(error.contains(&listen) && error.contains(words), "{error}");
    }
}
