//! Logs: one event a line, of plain characters, and no line is long, whatever clients and peers say.

use serde_json::json;

use crate::support::http::{call, exchange, get_with};
use crate::support::{Client, Handshake, PATIENCE};
use crate::{escaped, logged, talkative};

/// Longest line, in bytes. What is longest is said by the libraries below, not by this program.
const LINE_BYTES_MAX: usize = 4096;

/// What somebody may want to put into a log: a line of its own, a colour, a title, a change of
/// direction. The last letters are looked for afterwards.
const HOSTILE: [&str; 7] = [
    "\nERROR forged",
    "\r\n2026-01-01T00:00:00Z ERROR forged",
    "\u{1b}[31mred\u{1b}]0;title\u{7}",
    "\u{9b}31mred",
    "\u{202e}gnirts a",
    "\u{2028}ERROR forged",
    "\0zero\u{7f}\u{85}",
];

pub fn assert_is_clean(log: &str) {
    assert!(!log.is_empty());
    for line in log.lines() {
        assert!(
            line.len() <= LINE_BYTES_MAX,
            "{} bytes: {line:?}",
            line.len()
        );
        let plain = |c: char| {
            !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}')
        };
        assert!(line.chars().all(|c| plain(c) || c == '\t'), "{line:?}");
        assert!(!line.starts_with("ERROR forged"), "{line:?}");
        assert!(!line.starts_with("2026-01-01T00:00:00Z"), "{line:?}");
    }
}

#[test]
fn whatever_clients_are_called_the_log_keeps_its_lines() {
    let cluster = talkative(2, &[]);
    let node = &cluster.nodes[0];
    // Where everybody gets a session, names that are allowed come into the log as well.
    let longest = [
        "x".repeat(256),
        "\u{202e}".repeat(85),
        "\u{10fffd}".repeat(64),
    ];
    let allowed = ["\u{202e}gnirts a", "\u{2028}ERROR forged", "\"quoted\\n\""];
    for user in HOSTILE
        .iter()
        .copied()
        .chain(longest.iter().map(String::as_str))
        .chain(allowed)
    {
        for mode in ["http", "frame", "never"] {
            let url = format!("{}&redirect={mode}", node.url(&escaped(user)));
            let controls = user.contains(char::is_control);
            match Handshake::to(&url).connect() {
                Ok(_) if controls => panic!("{user:?} is welcome"),
                Ok(client) => client.close(),
                Err(refusal) if controls => {
                    assert_eq!(refusal.status, 400, "{user:?}: {refusal:?}");
                    assert!(
                        !refusal.text().trim_end().contains(char::is_control),
                        "{refusal:?}"
                    );
                }
                Err(refusal) => assert_eq!(refusal.status, 307, "{user:?}: {refusal:?}"),
            }
        }
        let located = node.get(&format!("/locate?user={}", escaped(user)));
        assert!(
            !located.text().trim_end().contains(char::is_control),
            "{located:?}"
        );
    }
    let log = logged(&cluster);
    assert_is_clean(&log);
    assert!(
        log.contains(r"\u{202e}gnirts a"),
        "sessions are logged, and by their names"
    );
    assert!(log.contains("... (256 bytes)"), "long names are cut");
}

#[test]
fn whatever_clients_and_backends_say_the_log_keeps_its_lines() {
    let cluster = talkative(2, &[]);
    let node = &cluster.nodes[0];
    let (mut client, _) = Client::welcomed(&format!("{}&redirect=never", node.url("alice")));
    for (number, text) in HOSTILE.iter().enumerate() {
        let name = format!("{text}{}", "y".repeat(200));
        let id = format!("m{number}");
        for request in [
            json!({"type": "send", "id": id, "to": {"user": name}, "body": name}),
            json!({"type": "send", "id": text, "to": {"room": name}, "body": name}),
            json!({"type": "join", "id": "j", "room": name}),
            json!({"type": "leave", "id": "l", "room": name}),
            json!({"type": "presence", "id": "p", "users": [name], "subscribe": true}),
            json!({"type": name, "id": "t"}),
            json!({"type": "ack", "stream": name, "epoch": name, "offset": 1}),
        ] {
            client.send_json(&request);
        }
        let body = json!({"from": name, "id": id, "to": {"user": name}, "body": name}).to_string();
        let sent = call(node.admin, ("POST", "/v1/send"), &[], body.as_bytes()).expect("an answer");
        assert!(
            !sent.text().trim_end().contains(char::is_control),
            "{sent:?}"
        );
        for path in ["users", "rooms"] {
            node.get_admin(&format!(
                "/v1/{path}/{}?after={}",
                escaped(&name),
                escaped(text)
            ));
        }
        let field = escaped(text);
        let fields = [
            ("User-Agent", &*field),
            ("Origin", &field),
            ("X-Request-Id", "\u{9b}31m"),
        ];
        get_with(node.listen, &format!("/{field}"), &fields).expect("an answer");
    }
    client.send_json(&json!({"type": "ping", "id": "alive"}));
    client.reply_to("alive", PATIENCE);
    client.send_frame(true, 8, b"\x0f\xa0\x1b[31m\nERROR forged");
    client.read_to_close(PATIENCE);
    for bytes in [
        &b"\x1b[31m\nERROR forged\r\n\r\n"[..],
        b"GET /\x1b[31m HTTP/1.1\r\n\r\n",
        b"\0\xff\n\n",
    ] {
        for address in [node.listen, node.peer, node.admin] {
            // Whether there is an answer to that does not matter.
            let _ = exchange(address, bytes);
        }
    }
    assert_is_clean(&logged(&cluster));
}

#[test]
fn what_shows_who_a_client_is_stays_out_of_logs_and_answers() {
    const SECRET: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2VjcmV0";
    let cluster = talkative(2, &[]);
    let there = cluster.user_of(1, "u");
    let here = cluster.user_of(0, "u");
    let node = &cluster.nodes[0];
    let bearer = format!("Bearer {SECRET}");
    let protocols = format!("ringpost.v1.json, ringpost.bearer.{SECRET}");
    let mut answers: Vec<String> = Vec::new();
    for user in [&*there, &here, "", "a%00b"] {
        for mode in ["http", "frame", "never"] {
            for name in ["token", "ticket", "%74oken", "tick%65t"] {
                let query = format!("user={user}&redirect={mode}&{name}={SECRET}");
                let handshake = Handshake::to(&format!("ws://{}/ws?{query}", node.listen))
                    .header("Authorization", &bearer)
                    .header("Sec-WebSocket-Protocol", &protocols)
                    .header("Cookie", &format!("token={SECRET}"));
                match handshake.connect() {
                    Err(refusal) => answers.push(format!("{refusal:?} {}", refusal.text())),
                    Ok(mut client) => {
                        answers.push(format!("{:?}", client.head));
                        client.send_json(&json!({"type": "auth", "id": "a", "token": SECRET}));
                        client.send_json(&json!({"type": "auth", "token": SECRET}));
                        client.send_frame(true, 8, b"\x03\xe8");
                        let (texts, _) = client.read_to_close(PATIENCE);
                        answers.extend(texts);
                    }
                }
                let target = format!("/locate?{query}");
                let located = get_with(node.listen, &target, &[("Authorization", &bearer)]);
                let located = located.expect("an answer");
                answers.push(format!("{located:?} {}", located.text()));
            }
        }
    }
    for target in ["/v1/users/alice", "/v1/cluster", "/v1/nothing", "/metrics"] {
        let target = format!("{target}?token={SECRET}");
        let headers = [("Authorization", &*bearer), ("Cookie", SECRET)];
        let response = get_with(node.admin, &target, &headers).expect("an answer");
        answers.push(format!("{response:?} {}", response.text()));
    }
    let answers = answers.concat();
    assert!(
        answers.contains("307") && answers.contains("welcome"),
        "{answers}"
    );
    assert!(!answers.contains(SECRET), "{answers}");
    let log = logged(&cluster);
    assert!(log.contains("TRACE"), "it logs everything");
    for line in log.lines() {
        assert!(!line.contains(SECRET), "{line}");
    }
}
