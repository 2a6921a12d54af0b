//! The cluster as it is watched: the numbers of all nodes from any node, as JSON, as server-sent events
//! and in a terminal.

mod support;

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::node::BINARY;
use support::process::lines;
use support::{Client, Cluster, Killed, Node, PATIENCE, Signal, http, wait_until};

/// `GET /v1/cluster/stats`.
fn stats(node: &Node) -> Value {
    node.get_admin("/v1/cluster/stats").json()
}

fn member<'a>(stats: &'a Value, id: &str) -> &'a Value {
    let members = stats["members"].as_array().expect("members");
    let found = members.iter().find(|member| member["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {stats}"))
}

/// What happened, as (event, whom or where).
fn told(events: &Value) -> Vec<(String, String)> {
    let events = events.as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let about = |event: &Value| match &event["member"] {
        Value::Null => text(&event["node"]),
        member => text(member),
    };
    events
        .map(|event| (text(&event["event"]), about(event)))
        .collect()
}

fn has(events: &[(String, String)], event: &str, about: &str) -> bool {
    events.iter().any(|(e, a)| e == event && a == about)
}

fn send(node: &Node, to: &str, id: usize) {
    let body = json!({"from": "shop", "to": {"user": to}, "id": format!("m{id}"), "body": id});
    let headers = [("Content-Type", "application/json")];
    let body = body.to_string();
    let sent = http::call(node.admin, ("POST", "/v1/send"), &headers, body.as_bytes());
    assert_eq!(sent.expect("an answer").status, 200);
}

/// A watcher, and its events.
struct Watcher(BufReader<TcpStream>);

impl Watcher {
    #[track_caller]
    fn new(node: &Node) -> Self {
        Self::with(node, "")
    }

    /// With these header fields more.
    #[track_caller]
    fn with(node: &Node, headers: &str) -> Self {
        let mut stream = TcpStream::connect(node.admin).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let head = format!(
            "GET /v1/cluster/events HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            node.admin
        );
        stream.write_all(head.as_bytes()).expect("a request");
        let mut watcher = Self(BufReader::new(stream));
        assert_eq!(watcher.line().as_deref(), Some("HTTP/1.1 200 OK"));
        watcher
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).unwrap_or(0);
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event; `None` at the end.
    fn event(&mut self) -> Option<(String, Value)> {
        let mut name = None;
        loop {
            let line = self.line()?;
            if let Some(event) = line.strip_prefix("event: ") {
                name = Some(event.to_owned());
            } else if let (Some(data), Some(name)) = (line.strip_prefix("data: "), &name) {
                let data = serde_json::from_str(data).expect("JSON");
                return Some((name.clone(), data));
            }
        }
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut found: impl FnMut(&str, &Value) -> bool) -> Value {
        let start = Instant::now();
        while start.elapsed() < 6 * PATIENCE {
            let (name, data) = self
                .event()
                .unwrap_or_else(|| panic!("no end before: {what}"));
            if found(&name, &data) {
                return data;
            }
        }
        panic!("not within {:?}: {what}", 6 * PATIENCE);
    }
}

#[test]
fn every_node_tells_the_numbers_of_all() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let url = format!("{}&redirect=never", cluster.nodes[2].url(&bob));
    let mut guest = Client::connect(&url).expect("101");
    guest.expect("welcome");
    for id in 0..5 {
        send(&cluster.nodes[0], &bob, id);
        guest.expect("message");
    }
    for node in &cluster.nodes {
        let number = |all: &Value, id: &str, name: &str| member(all, id)["stats"][name].as_u64();
        let mut all = Value::Null;
        wait_until(PATIENCE, "the numbers are those of all nodes", || {
            all = stats(node);
            let fresh = |id: &&str| member(&all, id)["stale"] == false;
            let told = [
                ("n1", "messages_in", 5),
                ("n1", "bytes_in", 5),
                ("n1", "messages_accepted", 5),
                ("n2", "guests", 1),
                ("n2", "streams_owned", 1),
                ("n3", "sessions", 1),
                ("n3", "messages_out", 5),
            ]
            .iter()
            .all(|(id, name, expected)| number(&all, id, name) == Some(*expected));
            told && ["n1", "n2", "n3"].iter().all(fresh)
        });
        assert_eq!(all["node"], node.id.as_str());
        let owners = all["ring"]["owners"].as_array().expect("owners");
        assert_eq!(owners.len(), 720);
        for (place, id) in ["n1", "n2", "n3"].iter().enumerate() {
            let one = member(&all, id);
            assert_eq!(one["stale"], false, "{one}");
            let drawn = owners
                .iter()
                .filter(|owner| **owner == json!(place))
                .count();
            let share = one["share"].as_f64().expect("a share");
            let drawn = f64::from(u32::try_from(drawn).expect("few")) / 720.0;
            assert!((drawn - share).abs() < 0.08, "{id}: {drawn} of {share}");
        }
        let taken = member(&all, "n2")["stats"]["replication_buckets"].as_array();
        let copies = taken.expect("buckets").iter().filter_map(Value::as_u64);
        assert!(copies.sum::<u64>() > 0, "copies were acknowledged");
    }
}

#[test]
fn a_member_that_does_not_answer_is_stale_and_holds_up_nobody() {
    let long = ["--suspicion-timeout", "20s"];
    let mut cluster = Cluster::of(3, &long);
    let uptime = |all: &Value, id: &str| member(all, id)["stats"]["uptime_ms"].as_u64();
    wait_until(PATIENCE, "numbers of all", || {
        uptime(&stats(&cluster.nodes[0]), "n3").is_some()
    });
    cluster.nodes[2].signal(Signal::Stop);
    wait_until(PATIENCE, "the stopped node is stale", || {
        member(&stats(&cluster.nodes[0]), "n3")["stale"] == true
    });
    let before = stats(&cluster.nodes[0]);
    assert!(uptime(&before, "n3").is_some(), "the last numbers stay");
    wait_until(PATIENCE, "the others' are fresh", || {
        let now = stats(&cluster.nodes[0]);
        let n2 = member(&now, "n2");
        n2["stale"] == false && uptime(&now, "n2") > uptime(&before, "n2").map(|ms| ms + 2000)
    });
    cluster.nodes[2].signal(Signal::Continue);
    wait_until(PATIENCE, "it tells its numbers again", || {
        member(&stats(&cluster.nodes[0]), "n3")["stale"] == false
    });
}

#[test]
fn the_timeline_tells_of_a_join_a_hand_over_and_a_kill() {
    let mut cluster = Cluster::of(2, &[]);
    for id in 0..40 {
        send(&cluster.nodes[0], &format!("user-{id}"), id);
    }
    let mut watcher = Watcher::new(&cluster.nodes[0]);
    let first = watcher.until("a timeline", |name, _| name == "timeline");
    assert!(has(&told(&first), "member_up", "n2"), "{first}");
    let index = cluster.add();
    cluster.nodes[index].start();
    let mut seen = Vec::new();
    watcher.until("the join and its hand-overs", |name, data| {
        if name == "timeline" {
            seen.extend(told(data));
        }
        // n3 is asked for its own.
        has(&seen, "member_up", "n3") && has(&seen, "hand_over_finished", "n3")
    });
    assert!(has(&seen, "hand_over_begun", "n3"), "{seen:?}");
    assert!(has(&seen, "ring_changed", "n1"), "{seen:?}");
    cluster.nodes[1].signal(Signal::Kill);
    watcher.until("the kill", |name, data| {
        name == "timeline" && has(&told(data), "member_down", "n2")
    });
    let all = stats(&cluster.nodes[0]);
    assert!(has(&told(&all["events"]), "member_down", "n2"));
    let dead = member(&all, "n2");
    assert_eq!(
        (&dead["state"], &dead["stale"]),
        (&json!("down"), &json!(false))
    );
    assert_eq!(dead.get("stats"), None, "what it had is nobody's");
}

#[test]
fn watchers_are_told_when_their_node_drains() {
    let mut cluster = Cluster::of(2, &[]);
    let mut watcher = Watcher::new(&cluster.nodes[0]);
    watcher.until("a snapshot", |name, _| name == "snapshot");
    // Held up by a client that does not go.
    let mut client =
        Client::connect(&cluster.nodes[0].url(&cluster.user_of(0, "bob"))).expect("101");
    client.expect("welcome");
    cluster.nodes[0].signal(Signal::Terminate);
    let end = watcher.until("the end", |name, _| name == "end");
    assert_eq!(end["reason"], "draining");
    assert_eq!(watcher.event(), None, "nothing comes after it");
}

#[test]
fn one_watcher_too_many_is_refused_until_another_has_gone() {
    let cluster = Cluster::of(1, &[]);
    let node = &cluster.nodes[0];
    let mut all: Vec<_> = (0..32).map(|_| Watcher::new(node)).collect();
    let refused = node.get_admin("/v1/cluster/events");
    assert_eq!(refused.status, 429);
    let error = &refused.json()["error"];
    assert_eq!(
        (&error["code"], &error["retry"]),
        (&json!("rate_limited"), &json!(true))
    );
    all.pop();
    wait_until(PATIENCE, "there is room for one", || {
        node.get_admin("/v1/cluster/events").status == 200
    });
}

/// Its place is wanted for others: there are only so many, and probes need one, too.
#[test]
fn who_asks_and_does_not_read_loses_its_connection() {
    let cluster = Cluster::of(1, &[]);
    let mut stream = TcpStream::connect(cluster.nodes[0].admin).expect("a connection");
    stream.set_nonblocking(true).expect("it can be");
    let ask = b"GET /dashboard/style.css HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let asks = ask.repeat(1024);
    let (mut at, mut is_full) = (0, false);
    wait_until(3 * PATIENCE, "the node gives up", || {
        match stream.write(&asks[at..]) {
            Ok(written) => {
                at = (at + written) % ask.len();
                false
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                is_full = true;
                false
            }
            Err(_) => true,
        }
    });
    assert!(is_full, "more was asked for than could be answered");
}

/// Nobody has to be asked, so it is over as soon as the death is known.
#[test]
fn the_last_node_tells_what_it_took_over_from_the_other() {
    let mut cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(1, "bob");
    send(&cluster.nodes[0], &bob, 0);
    cluster.nodes[1].signal(Signal::Kill);
    let node = &cluster.nodes[0];
    wait_until(2 * PATIENCE, "n1 has taken a stream over", || {
        let all = stats(node);
        let events = all["events"].as_array().expect("a list");
        events.iter().any(|event| {
            event["event"] == "hand_over_finished" && event["taken_over"].as_u64() > Some(0)
        })
    });
}

#[test]
fn a_page_from_elsewhere_takes_no_watchers_place() {
    let cluster = Cluster::of(1, &[]);
    let node = &cluster.nodes[0];
    let ask = |site: &str| {
        let headers = [("Sec-Fetch-Site", site)];
        let call = ("GET", "/v1/cluster/events");
        http::call(node.admin, call, &headers, b"").expect("an answer")
    };
    assert_eq!(ask("same-origin").status, 200);
    for site in ["cross-site", "same-site"] {
        let refused = ask(site);
        assert_eq!(refused.status, 403, "{site}");
        assert_eq!(refused.json()["error"]["code"], "not_allowed");
    }
}

#[test]
fn the_page_needs_no_key_and_what_it_shows_does() {
    let keys = std::env::temp_dir().join(format!("ringpost-dashboard-{}", std::process::id()));
    std::fs::write(&keys, "0123456789abcdef0123456789abcdef\n").expect("a file");
    let flags = ["--api-keys-file", keys.to_str().expect("UTF-8")];
    let mut cluster = Cluster::reserve(1).with(&flags);
    cluster.nodes[0].start();
    let node = &cluster.nodes[0];
    for (path, status) in [
        ("/", 200),
        ("/dashboard/dashboard.js", 200),
        ("/v1/cluster/stats", 401),
        ("/v1/cluster/events", 401),
    ] {
        assert_eq!(node.get_admin(path).status, status, "{path}");
    }
    let page = node.get_admin("/");
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let _ = std::fs::remove_file(&keys);
}

#[test]
fn who_watches_with_a_key_that_is_withdrawn_is_told_no_more() {
    const KEYS: [&str; 2] = ["first-key-0123456789", "second-key-0123456789"];
    let keys = std::env::temp_dir().join(format!("ringpost-watchers-{}", std::process::id()));
    std::fs::write(&keys, KEYS.join("\n")).expect("a file");
    let flags = ["--api-keys-file", keys.to_str().expect("UTF-8")];
    let mut cluster = Cluster::reserve(1).with(&flags);
    cluster.nodes[0].start();
    let watch = |key: &str| {
        let headers = format!("Authorization: Bearer {key}\r\n");
        Watcher::with(&cluster.nodes[0], &headers)
    };
    let (mut first, mut second) = (watch(KEYS[0]), watch(KEYS[1]));
    first.until("a snapshot", |name, _| name == "snapshot");
    std::fs::write(&keys, KEYS[1]).expect("a file");
    while first.event().is_some() {}
    let ended = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    second.until("a later snapshot", |name, data| {
        let at = data["at_ms"].as_u64();
        name == "snapshot" && at > u64::try_from(ended.as_millis()).ok()
    });
    let _ = std::fs::remove_file(&keys);
}

#[test]
fn a_node_on_loopback_is_not_asked_for_by_the_name_of_a_web_site() {
    let cluster = Cluster::of(1, &[]);
    for (host, status) in [("evil.example", 403), ("localhost:80", 200)] {
        let head = format!("GET /v1/cluster HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = http::exchange(cluster.nodes[0].admin, head.as_bytes()).expect("an answer");
        assert_eq!(answer.status, status, "{host}");
    }
}

#[test]
fn status_watch_prints_again_and_again_and_ends_with_ctrl_c() {
    let cluster = Cluster::of(2, &[]);
    for json in [false, true] {
        let mut command = Command::new(BINARY);
        command.args([
            "status",
            "--watch",
            "--node",
            &cluster.nodes[0].admin.to_string(),
        ]);
        command.args(json.then_some("--json"));
        let child = command.stdout(Stdio::piped()).spawn();
        let mut status = Killed(child.expect("it starts"));
        let mut lines = lines(status.0.stdout.take().expect("a pipe"));
        let mut next = || lines.next().expect("a line");
        if json {
            let uptime = |line: &str| {
                let all: Value = serde_json::from_str(line).expect("a line of JSON");
                member(&all, "n2")["stats"]["uptime_ms"].as_u64()
            };
            let first = uptime(&next());
            let grows = (0..5).any(|_| uptime(&next()) > first);
            assert!(grows, "later lines have later numbers");
        } else {
            let mut tables = 0;
            while tables < 2 {
                let line = next();
                assert!(!line.contains('\x1b'), "no terminal: {line:?}");
                tables += usize::from(line.starts_with("ID "));
            }
        }
        let interrupt = format!("kill -INT {}", status.0.id());
        let sent = Command::new("sh").args(["-c", &interrupt]).status();
        assert!(sent.expect("there is a shell").success());
        let mut ended = None;
        wait_until(PATIENCE, "it ends", || {
            ended = status.0.try_wait().expect("a child can be waited for");
            ended.is_some()
        });
        assert!(ended.is_some_and(|ended| ended.success()), "{ended:?}");
    }
}

#[test]
fn status_watch_shows_the_last_numbers_until_ten_answers_in_a_row_were_lost() {
    let mut cluster = Cluster::of(1, &[]);
    let admin = cluster.nodes[0].admin.to_string();
    let mut command = Command::new(BINARY);
    command.args(["status", "--watch", "--node", &admin]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let (mut is_killed, mut tables, mut losses) = (false, 0, 0);
    for line in lines.map(|line| line.expect("UTF-8")) {
        if line.starts_with("ID ") && !is_killed {
            cluster.nodes[0].signal(Signal::Kill);
            is_killed = true;
        }
        losses += usize::from(line.contains(&admin));
        tables += usize::from(line.starts_with("n1 "));
    }
    assert_eq!(losses, 10);
    assert!(tables > losses, "the last numbers stay: {tables}");
    let end = child.wait_with_output().expect("it has ended");
    assert_eq!(end.status.code(), Some(1));
    let sentence = String::from_utf8_lossy(&end.stderr);
    assert!(sentence.contains(&admin), "{sentence}");
}
