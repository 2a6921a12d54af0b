//! `locate`, `status` and `send` against servers that say what a node would.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use sha1::{Digest, Sha1};

use crate::{output, ringpost};

/// Answers every connection with the next of these, and gives the request heads.
fn server(answers: Vec<String>) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = thread::spawn(move || {
        let answer = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let head = head_of(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
            head
        };
        answers.into_iter().map(answer).collect()
    });
    (address, heads)
}

pub fn head_of(stream: &mut TcpStream) -> String {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn http(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

#[test]
fn locate_prints_a_row_a_user_and_says_which_were_not_found() {
    let (node, heads) = server(vec![
        http(
            "200 OK",
            r#"{"user":"a b","node":"n2","url":"ws://h:1/ws?user=a+b&hop=1"}"#,
        ),
        http(
            "429 Too Many Requests",
            r#"{"error":{"code":"rate_limited","message":"slow"}}"#,
        ),
    ]);
    let (code, out, error) = output(
        ringpost("locate --node")
            .arg(format!("ws://{node}"))
            .args(["a b", "c"]),
    );
    assert_eq!(code, 1);
    assert!(
        out.contains("USER") && out.contains("a b   n2    ws://h:1/ws?user=a+b&hop=1"),
        "{out}"
    );
    assert!(
        error.contains("c: ") && error.contains("429") && error.contains("slow"),
        "{error}"
    );
    let heads = heads.join().unwrap();
    assert!(
        heads[0].starts_with("GET /locate?user=a%20b HTTP/1.1\r\n"),
        "{heads:?}"
    );
    assert!(
        heads[0]
            .to_lowercase()
            .contains(&format!("host: {node}\r\n")),
        "{heads:?}"
    );
}

#[test]
fn status_and_locate_say_when_they_were_given_the_other_address() {
    let (node, _) = server(vec![http("404 Not Found", ""), http("404 Not Found", "")]);
    let (code, _, error) = output(ringpost("status --node").arg(&node));
    assert!(code == 1 && error.contains("--admin-listen"), "{error}");
    let (code, _, error) = output(ringpost("locate --node").arg(&node).arg("a"));
    assert!(code == 1 && error.contains("client address"), "{error}");
}

#[test]
fn a_node_that_is_not_there_is_a_sentence_and_exit_code_1() {
    // Below all ports that anybody is given.
    let free = "127.0.0.1:1";
    for line in [
        format!("status --node http://{free}"),
        format!("locate --node {free} alice"),
        format!("send --node ws://{free} --from a --to b hi"),
    ] {
        let (code, out, error) = output(&mut ringpost(&line));
        assert_eq!((code, out.as_str()), (1, ""), "{line}");
        assert!(
            error.contains(&format!("cannot connect to {free}")),
            "{error}"
        );
    }
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let line = format!("send --node {address} --from a --to b --timeout 200ms hi");
    let (code, _, error) = output(&mut ringpost(&line));
    assert!(code == 1 && error.contains("may or may not"), "{error}");
}

#[test]
fn send_follows_a_redirect_by_its_body_or_its_location() {
    let (owner, owner_heads) = server(vec![http("503 Service Unavailable", ""); 2]);
    let body = format!(r#"{{"node":"n2","url":"ws://{owner}/ws?user=a&hop=1"}}"#);
    let (node, heads) = server(vec![
        http("307 Temporary Redirect", &body),
        http(
            &format!("307 Temporary Redirect\r\nLocation: //{owner}/ws?user=a&hop=1"),
            "",
        ),
    ]);
    for _ in 0..2 {
        let line = format!("send --node {node} --from a --to b hi");
        let (code, _, error) = output(&mut ringpost(&line));
        assert!(code == 1 && error.contains("503"), "{error}");
    }
    assert!(heads.join().unwrap()[0].starts_with("GET /ws?user=a&redirect=http HTTP/1.1\r\n"));
    for head in owner_heads.join().unwrap() {
        assert!(
            head.starts_with("GET /ws?user=a&hop=1 HTTP/1.1\r\n"),
            "{head}"
        );
    }
}

/// What to answer a message with.
type Answer = fn(&serde_json::Value) -> String;

/// Takes one WebSocket connection, says these texts, and answers the first text that comes.
fn websocket(
    said: Vec<String>,
    answer: impl Fn(&serde_json::Value) -> String + Send + 'static,
) -> (String, thread::JoinHandle<Option<serde_json::Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let got = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = head_of(&mut stream);
        stream.write_all(switching(&head).as_bytes()).unwrap();
        for text in said {
            stream.write_all(&short_text_frame(&text)).unwrap();
        }
        let message = masked_text(&mut stream)?;
        stream
            .write_all(&short_text_frame(&answer(&message)))
            .unwrap();
        Some(message)
    });
    (address, got)
}

/// The head of the answer that accepts a handshake.
pub fn switching(request: &str) -> String {
    let field = |name: &str| {
        let mut lines = request.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .unwrap()
            .1
    };
    assert_eq!(field("sec-websocket-protocol"), "ringpost.v1.json");
    let mut hash = Sha1::new();
    hash.update(field("sec-websocket-key"));
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = base64::engine::general_purpose::STANDARD.encode(hash.finalize());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

fn short_text_frame(text: &str) -> Vec<u8> {
    assert!(text.len() < 126, "it would need a longer length");
    [&[0x81, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// The next text frame of a client, of up to 64 KiB; `None` when there is none.
pub fn masked_text(stream: &mut TcpStream) -> Option<serde_json::Value> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    if head[0] != 0x81 {
        return None;
    }
    let mut length = usize::from(head[1] & 0x7f);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).unwrap();
        length = usize::from(u16::from_be_bytes(long));
    }
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).unwrap();
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    payload
        .iter_mut()
        .zip(mask.iter().cycle())
        .for_each(|(byte, mask)| *byte ^= mask);
    Some(serde_json::from_slice(&payload).unwrap())
}

const WELCOME: &str = r#"{"type":"welcome","user":"a","session":"1","node":"n1"}"#;

fn sent(got: &serde_json::Value) -> String {
    format!(r#"{{"type":"receipt","id":{},"status":"sent"}}"#, got["id"])
}

fn accepted(got: &serde_json::Value) -> String {
    format!(
        r#"{{"type":"receipt","id":{},"status":"accepted","copies":2}}"#,
        got["id"]
    )
}

fn failed(got: &serde_json::Value) -> String {
    format!(
        r#"{{"type":"receipt","id":{},"status":"failed"}}"#,
        got["id"]
    )
}

#[test]
fn send_prints_its_own_receipt_and_exits_by_its_status() {
    let answers: [(&str, i32, Answer, i32); 4] = [
        ("", 1, accepted, 0),
        ("--qos 1", 1, failed, 1),
        ("--qos 0", 0, sent, 0),
        ("--qos 0", 0, failed, 1),
    ];
    for (flag, qos, answer, expected) in answers {
        let other = r#"{"type":"receipt","id":"other","status":"failed"}"#;
        let (node, got) = websocket(vec![WELCOME.into(), other.into()], answer);
        let line = format!("send --node {node} --from a --to b {flag} --json-body");
        let mut command = ringpost(&line);
        let (code, out, error) = output(command.arg(r#"{"n":1}"#));
        assert_eq!(code, expected, "{error}");
        let got = got.join().unwrap().unwrap();
        assert_eq!(out.trim(), answer(&got));
        assert_eq!((&got["type"], &got["qos"]), (&"send".into(), &qos.into()));
        assert_eq!(got["to"], serde_json::json!({"user": "b"}));
        assert_eq!(got["body"], serde_json::json!({"n": 1}));
    }
}

#[test]
fn send_sends_to_a_room_or_to_everyone_and_prints_the_receipt() {
    let room = serde_json::json!({"room": "lobby"});
    let answers: [(&str, serde_json::Value, i32, Answer); 3] = [
        ("--to-room lobby", room.clone(), 1, accepted),
        ("--to-room lobby --qos 0", room, 0, sent),
        ("--everyone", "everyone".into(), 0, sent),
    ];
    for (flags, to, qos, answer) in answers {
        let (node, got) = websocket(vec![WELCOME.into()], answer);
        let line = format!("send --node {node} --from a {flags} hi");
        let (code, out, error) = output(&mut ringpost(&line));
        assert_eq!(code, 0, "{error}");
        let got = got.join().unwrap().unwrap();
        assert_eq!(out.trim(), answer(&got));
        assert_eq!((&got["to"], &got["qos"]), (&to, &qos.into()));
    }
}

#[test]
fn send_takes_one_recipient_of_whichever_kind() {
    for (flags, named) in [
        ("", "--to-room"),
        ("--to b --to-room r", "--to-room"),
        ("--to-room r --everyone", "--everyone"),
        ("--to-room=", "--to-room"),
        ("--everyone --qos 1", "--qos 0"),
    ] {
        let line = format!("send --node 127.0.0.1:1 --from a {flags} hi");
        let (code, _, error) = output(&mut ringpost(&line));
        assert!(code == 2 && error.contains(named), "{flags}: {error}");
    }
}

#[test]
fn send_follows_a_redirect_that_comes_as_a_message() {
    let (owner, owner_got) = websocket(vec![WELCOME.into()], sent);
    let redirect = format!(r#"{{"type":"redirect","url":"ws://{owner}/ws?user=a&hop=1"}}"#);
    let (node, got) = websocket(vec![redirect], failed);
    let line = format!("send --node ws://{node} --from a --to b hi");
    let (code, _, error) = output(&mut ringpost(&line));
    assert_eq!(code, 0, "{error}");
    assert_eq!(got.join().unwrap(), None);
    assert_eq!(owner_got.join().unwrap().unwrap()["body"], "hi");
}

#[test]
fn send_says_that_a_message_may_have_been_delivered_if_its_repeat_fails() {
    let refused = |got: &serde_json::Value| {
        let id = &got["id"];
        let error = r#"{"code":"offline","message":"x"}"#;
        format!(r#"{{"type":"receipt","id":{id},"status":"failed","error":{error}}}"#)
    };
    let said = |node: &str| {
        let line = format!("send --node {node} --from a --to b hi");
        let (code, out, error) = output(&mut ringpost(&line));
        assert_eq!(code, 1, "{error}");
        assert!(out.contains("offline"), "{out}");
        error
    };
    let (node, _) = websocket(vec![WELCOME.into()], refused);
    assert_eq!(said(&node), "");

    let (owner, _) = websocket(vec![WELCOME.into()], refused);
    let moved = format!(r#"{{"type":"redirect","url":"ws://{owner}/ws?hop=1","reason":"moved"}}"#);
    let (node, got) = websocket(vec![WELCOME.into()], move |_| moved.clone());
    let error = said(&node);
    assert!(got.join().unwrap().is_some());
    assert!(error.contains("may have been delivered"), "{error}");
}

#[test]
fn send_refuses_a_qos_that_there_is_not() {
    let line = "send --node 127.0.0.1:1 --from a --to b --qos 2 hi";
    let (code, _, error) = output(&mut ringpost(line));
    assert!(code == 2 && error.contains("--qos"), "{error}");
}

#[test]
fn send_refuses_a_body_that_is_not_json() {
    let line = "send --node 127.0.0.1:1 --from a --to b --json-body hi";
    let (code, _, error) = output(&mut ringpost(line));
    assert!(code == 2 && error.contains("--json-body"), "{error}");
}
