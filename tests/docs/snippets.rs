//! The clients of `docs/snippets.md` do what the protocol wants of a client: they go where they are sent, get
//! a receipt, ack, come back after a kill -9 where they were, and follow their user.

use serde_json::{Value, json};

use super::book::{read, root};
use super::browser;
use super::place::Place;
use super::support::client::Client;
use super::support::cluster::{Cluster, Signal};
use super::support::skipped;
use super::support::wait::{PATIENCE, wait_until, within};

/// What a client under test has printed so far; fails if it has ended.
type Printed<'a> = dyn FnMut() -> String + 'a;

/// A node to begin at, and the users: the client's, whom another node owns, and the one that it writes to,
/// whose node is not killed.
struct Scene {
    place: Place,
    user: String,
    friend: String,
}

impl Scene {
    fn new() -> Self {
        let cluster = Cluster::of(3, &[]);
        let (user, friend) = (cluster.user_of(1, "alice"), cluster.user_of(0, "bob"));
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
        }
    }

    fn url(&self) -> String {
        self.place.cluster.nodes[0].url(&self.user)
    }

    /// Sends the client one message, and waits until it has acked it.
    fn talk(&self, friend: &mut Client, id: &str) {
        let send = json!({"type": "send", "id": id, "to": {"user": self.user}, "body": id, "notify": true});
        friend.send_json(&send);
        // They go different ways. A notice of a message before may come again: the ack is not what a crash
        // leaves behind.
        let (mut accepted, mut delivered) = (false, false);
        while !(accepted && delivered) {
            let told = friend.recv_json(PATIENCE);
            accepted |= told["id"] == id && told["status"] == "accepted";
            delivered |= told["id"] == id && told["type"] == "delivered";
            assert_ne!(told["status"], "failed", "{told}");
        }
    }

    /// Lets the client live through all of it.
    fn play(&mut self, printed: &mut Printed<'_>) {
        let (mut friend, _) = Client::welcomed(&self.place.cluster.nodes[0].url(&self.friend));
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
        cluster.wait_down("n2", PATIENCE);
        self.talk(&mut friend, "two");
        wait_for(printed, &line(&self.friend, "two"), 1);

        let cluster = &mut self.place.cluster;
        cluster.nodes[1].start();
        cluster.wait_settled(PATIENCE);
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
    let there = within(3 * PATIENCE, || count(&printed(), line) >= times);
    assert!(
        there.is_some(),
        "no {times} times `{line}` in:\n{}",
        printed()
    );
}

/// A client that is a command; a URL and a user stand behind it.
fn lives_through_a_crash(command: &str) {
    let mut scene = Scene::new();
    if !Place::can_run(command) {
        return;
    }
    let line = format!("{command} '{}' {}", scene.url(), scene.friend);
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
fn the_client_with_websockets_lives_through_a_crash() {
    lives_through_a_crash("python with_websockets.py");
}

#[test]
fn the_client_with_aiohttp_lives_through_a_crash() {
    lives_through_a_crash("python with_aiohttp.py");
}

#[test]
fn the_client_with_ws_lives_through_a_crash() {
    lives_through_a_crash("node with_ws.mjs");
}

#[test]
fn the_client_with_gorilla_lives_through_a_crash() {
    lives_through_a_crash("go run with_gorilla.go");
}

#[test]
fn the_client_in_a_browser_lives_through_a_crash() {
    let Some(chromium) = browser::chromium() else {
        return skipped("there is no Chromium (RINGPOST_CHROMIUM)");
    };
    let mut scene = Scene::new();
    let query = format!("?user={}&to={}", scene.user, scene.friend);
    let files = ["index.html", "page.js"].map(|name| (name, scene.place.path(name)));
    let page = browser::Page::open(&chromium, scene.place.cluster.ip, &files, &query);
    scene.play(&mut || page.printed());
}

#[test]
fn a_client_that_is_refused_gives_up() {
    let mut scene = Scene::new();
    let nobody = scene.place.cluster.nodes[0].url("");
    for command in [
        "python with_websockets.py",
        "python with_aiohttp.py",
        "node with_ws.mjs",
        "go run with_gorilla.go",
    ] {
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
