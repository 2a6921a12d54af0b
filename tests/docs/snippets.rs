//! The clients of `docs/snippets.md` do what the protocol wants of a client: they go where they are sent, get
//! a receipt, ack, come back after a kill -9 where they were, and follow their user; with tokens and without.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::book::{read, root};
use super::browser;
use super::door::{self, UNAUTHORIZED};
use super::place::Place;
use super::support::client::Client;
use super::support::wait::{PATIENCE, wait_until, within};
use super::support::{Cluster, Signal};
use super::support::{http, skipped};

/// What a client under test has printed so far; fails if it has ended.
type Printed<'a> = dyn FnMut() -> String + 'a;

const PROGRAMS: [&str; 4] = [
    "python with_websockets.py",
    "python with_aiohttp.py",
    "node with_ws.mjs",
    "go run with_gorilla.go",
];

/// What tokens are signed with.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// For an hour.
fn token(user: &str) -> String {
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    let claims = json!({"sub": user, "exp": get_current_timestamp() + 3600});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).expect("it can be signed")
}

/// Nodes that take those tokens.
fn with_tokens(nodes: usize) -> Cluster {
    let cluster = Cluster::reserve(nodes);
    let file = cluster.directory.join("jwt-secret");
    fs::write(&file, SECRET).expect("it can be written");
    let file = file.to_str().expect("it is text").to_owned();
    cluster.with(&["--jwt-secret-file", &file]).started()
}

/// A user of that node, of which the first node knows by a token alone.
fn user_with_a_token(cluster: &Cluster, node: usize, prefix: &str) -> String {
    let owner = |user: &String| {
        let bearer = format!("Bearer {}", token(user));
        let headers = [("Authorization", bearer.as_str())];
        let answer = http::get_with(cluster.nodes[0].listen, "/locate", &headers);
        answer.expect("an answer").json()["node"].clone()
    };
    let mut names = (0..10_000).map(|number| format!("{prefix}{number}"));
    let found = names.find(|user| owner(user) == cluster.nodes[node].id.as_str());
    found.expect("every node owns somebody")
}

/// A node to begin at, and the users: the client's, whom another node owns, and the one that it writes to,
/// whose node is not killed.
struct Scene {
    place: Place,
    user: String,
    friend: String,
    tokens: bool,
}

impl Scene {
    /// Where users are believed.
    fn new() -> Self {
        let cluster = Cluster::of(3, &[]);
        let (user, friend) = (cluster.user_of(1, "alice"), cluster.user_of(0, "bob"));
        Self::of(cluster, user, friend, false)
    }

    fn with_tokens() -> Self {
        let cluster = with_tokens(3);
        let user = user_with_a_token(&cluster, 1, "alice");
        let friend = user_with_a_token(&cluster, 0, "bob");
        Self::of(cluster, user, friend, true)
    }

    fn of(cluster: Cluster, user: String, friend: String, tokens: bool) -> Self {
        let place = Place::new(cluster);
        for block in read("docs/snippets.md").blocks {
            if let Some(file) = block.value("file") {
                place.write(file, &block.text);
            }
        }
        Self {
            place,
            user,
            friend,
            tokens,
        }
    }

    /// What stands behind the command of the client: a URL, whom it writes to, and its token.
    fn arguments(&self) -> String {
        let node = &self.place.cluster.nodes[0];
        if self.tokens {
            let token = token(&self.user);
            return format!("'ws://{}/ws' {} {token}", node.listen, self.friend);
        }
        format!("'{}' {}", node.url(&self.user), self.friend)
    }

    /// Where the friend connects.
    fn url_of_friend(&self) -> String {
        let node = &self.place.cluster.nodes[0];
        if self.tokens {
            return format!("ws://{}/ws?token={}", node.listen, token(&self.friend));
        }
        node.url(&self.friend)
    }

    /// Sends the client one message, and waits until it has acked it.
    fn talk(&self, friend: &mut Client, id: &str) {
        let send = json!({"type": "send", "id": id, "to": {"user": self.user}, "body": id, "notify": true});
        friend.send_json(&send);
        // They go different ways. A notice of a message before may come again: the ack is not what a crash
        // leaves behind.
        let (mut accepted, mut delivered) = (false, false);
        while !(accepted && delivered) {
            // It may be on its way back, after a pause that has grown.
            let told = friend.recv_json(3 * PATIENCE);
            accepted |= told["id"] == id && told["status"] == "accepted";
            delivered |= told["id"] == id && told["type"] == "delivered";
            assert_ne!(told["status"], "failed", "{told}");
        }
    }

    /// Lets the client live through all of it.
    fn play(&mut self, printed: &mut Printed<'_>) {
        let (mut friend, _) = Client::welcomed(&self.url_of_friend());
        // A compiler or a browser may have to start first.
        let greeting: Value = friend.recv_json(12 * PATIENCE);
        assert_eq!(greeting["type"], "message", "{greeting}");
        assert_eq!(greeting["body"], "good morning", "{greeting}");
        assert_eq!(greeting["from"], self.user.as_str(), "{greeting}");
        wait_for(printed, "welcome n2", 1);
        wait_for(printed, "receipt accepted", 1);
        self.talk(&mut friend, "one");
        wait_for(printed, &line(&self.friend, "one"), 1);

        let cluster = &mut self.place.cluster;
        cluster.nodes[1].signal(Signal::Kill);
        cluster.wait_down("n2", 3 * PATIENCE);
        self.talk(&mut friend, "two");
        wait_for(printed, &line(&self.friend, "two"), 1);

        let cluster = &mut self.place.cluster;
        cluster.nodes[1].start();
        cluster.wait_settled(3 * PATIENCE);
        wait_for(printed, "welcome n2", 2);
        self.talk(&mut friend, "three");
        wait_for(printed, &line(&self.friend, "three"), 1);
        let output = printed();
        for line in ["one", "two", "three"].map(|body| line(&self.friend, body)) {
            assert_eq!(count(&output, &line), 1, "{output}");
        }
        assert_eq!(count(&output, "receipt accepted"), 1, "{output}");
    }
}

fn line(from: &str, body: &str) -> String {
    format!("message from {from}: \"{body}\"")
}

fn count(output: &str, line: &str) -> usize {
    output.lines().filter(|there| *there == line).count()
}

#[track_caller]
fn wait_for(printed: &mut Printed<'_>, line: &str, times: usize) {
    wait_longer_for(3 * PATIENCE, printed, line, times);
}

/// For the first line: a compiler or a browser may have to start before it.
#[track_caller]
fn wait_for_start(printed: &mut Printed<'_>, line: &str) {
    wait_longer_for(12 * PATIENCE, printed, line, 1);
}

#[track_caller]
fn wait_longer_for(deadline: Duration, printed: &mut Printed<'_>, line: &str, times: usize) {
    let there = within(deadline, || count(&printed(), line) >= times);
    assert!(
        there.is_some(),
        "no {times} times `{line}` in:\n{}",
        printed()
    );
}

/// A client that is a command.
fn lives_through_a_crash(command: &str, scene: fn() -> Scene) {
    if !Place::can_run(command) {
        return;
    }
    let mut scene = scene();
    let line = format!("{command} {}", scene.arguments());
    let mut running = scene.place.start(&line);
    scene.play(&mut || {
        assert!(
            running.status().is_none(),
            "it has ended:\n{}",
            running.output()
        );
        running.output()
    });
    scene.place.end(running);
}

#[test]
fn a_client_that_is_believed_lives_through_a_crash() {
    lives_through_a_crash("python with_websockets.py", Scene::new);
}

#[test]
fn the_client_with_websockets_lives_through_a_crash() {
    lives_through_a_crash("python with_websockets.py", Scene::with_tokens);
}

#[test]
fn the_client_with_aiohttp_lives_through_a_crash() {
    lives_through_a_crash("python with_aiohttp.py", Scene::with_tokens);
}

#[test]
fn the_client_with_ws_lives_through_a_crash() {
    lives_through_a_crash("node with_ws.mjs", Scene::with_tokens);
}

#[test]
fn the_client_with_gorilla_lives_through_a_crash() {
    lives_through_a_crash("go run with_gorilla.go", Scene::with_tokens);
}

#[test]
fn the_client_in_a_browser_lives_through_a_crash() {
    let Some(chromium) = browser::chromium() else {
        return skipped("there is no Chromium (RINGPOST_CHROMIUM)");
    };
    let mut scene = Scene::with_tokens();
    let token = token(&scene.user);
    let query = format!("?user={}&to={}&token={token}", scene.user, scene.friend);
    let files = ["index.html", "page.js"].map(|name| (name, scene.place.path(name)));
    let page = browser::Page::open(&chromium, scene.place.cluster.ip, &files, &query);
    scene.play(&mut || page.printed());
}

#[test]
fn a_client_that_is_refused_gives_up() {
    let mut scene = Scene::new();
    let nobody = scene.place.cluster.nodes[0].url("");
    for command in PROGRAMS {
        if Place::can_run(command) {
            let mut running = scene.place.start(&format!("{command} '{nobody}' bob"));
            let what = format!("{command} gives up");
            wait_until(12 * PATIENCE, &what, || running.status().is_some());
            let status = running.status().expect("it has ended");
            assert!(!status.success(), "{command}: {}", running.output());
        }
    }
}

#[test]
fn clients_come_back_from_a_handshake_that_was_cut_and_from_a_ticket_that_was_late() {
    let mut scene = Scene::new();
    let node = scene.place.cluster.nodes[1].url(&scene.user);
    let owner = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}\r\n",
        node.trim_start_matches("ws:")
    );
    for command in PROGRAMS {
        if Place::can_run(command) {
            let door = door::open(scene.place.cluster.ip, &["", UNAUTHORIZED, &owner]);
            let line = format!("{command} 'ws://{door}/ws' {}", scene.friend);
            let mut running = scene.place.start(&line);
            wait_for_start(&mut || running.output(), "welcome n2");
            assert!(running.status().is_none(), "{}", running.output());
            scene.place.end(running);
        }
    }
}

#[test]
fn the_client_in_a_browser_asks_again_when_its_ticket_was_late() {
    let Some(chromium) = browser::chromium() else {
        return skipped("there is no Chromium (RINGPOST_CHROMIUM)");
    };
    let scene = Scene::of(with_tokens(1), "alice".into(), "bob".into(), true);
    let (node, place) = (&scene.place.cluster.nodes[0], &scene.place);
    let located = |proof: &str| {
        let url = json!({"url": format!("ws://{}/ws?hop=1&{proof}", node.listen)});
        format!("HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n\r\n{url}")
    };
    let good = format!("token={}", token("alice"));
    let answers = [located("ticket=late"), located(&good)];
    let door = door::open(place.cluster.ip, &answers.each_ref().map(String::as_str));
    let page = fs::read_to_string(place.path("page.js")).expect("it was written");
    let page = page.replace(&node.listen.to_string(), &door.to_string());
    place.write("page.js", &page);
    let files = ["index.html", "page.js"].map(|name| (name, place.path(name)));
    let page = browser::Page::open(&chromium, place.cluster.ip, &files, "?user=alice&to=bob");
    wait_for_start(&mut || page.printed(), "welcome n1");
}

#[test]
fn every_snippet_stands_in_the_document() {
    let document = read("docs/snippets.md");
    let files: Vec<_> = document
        .blocks
        .iter()
        .filter_map(|block| block.value("file"))
        .collect();
    let wanted = [
        "with_websockets.py",
        "with_aiohttp.py",
        "with_ws.mjs",
        "with_gorilla.go",
        "index.html",
        "page.js",
    ];
    assert_eq!(files, wanted, "{}", root().display());
}
