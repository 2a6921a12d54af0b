//! Sessions that end, handlers that are slow, and handlers that panic.

use std::net::SocketAddr;
use std::time::Duration;

use ringpost::error::{CloseCode, ErrorCode};
use ringpost::handler::{Message, RawHandler, RawSession, SessionError};
use serde_json::json;

use crate::ring::Ring;
use crate::script::{Script, room, say, user};
use crate::support::client::Event;
use crate::support::frames::{CLOSE, TEXT};
use crate::support::herd::{assert_no_herd, closes};
use crate::support::{Client, PATIENCE};

#[test]
fn a_panic_closes_its_session_and_no_more() {
    let (ring, _, calls) = Script::start(1);
    let mut alice = ring.client("alice");
    calls.expect(&["open alice"]);
    let mut bob = ring.client("bob");
    calls.expect(&["open bob"]);
    alice.send_json(&say(&json!({"user": "bob"}), "1", "panic on purpose"));
    alice.send_json(&say(&json!({"user": "bob"}), "2", "never looked at"));
    let (texts, code) = alice.read_to_close(PATIENCE);
    assert_eq!((texts, code), (vec![], Some(1011)));
    calls.expect(&["Panicked alice", "close alice"]);
    assert_eq!(ring.metric(0, "handler_panics"), 1);
    // The others go on, and so may she.
    bob.assert_quiet_and_alive();
    let mut alice = ring.client("alice");
    alice.send_json(&say(&json!({"user": "bob"}), "3", "back again"));
    assert_eq!(bob.expect("message")["body"], "back again");
}

#[test]
fn a_panic_at_the_start_closes_the_session_with_1011() {
    let (ring, _, calls) = Script::start(1);
    let mut client = Client::connect_following(&format!("{}/ws?user=unlucky", ring.url(0)));
    assert_eq!(client.read_to_close(PATIENCE).1, Some(1011));
    calls.expect(&["open unlucky", "Panicked unlucky", "close unlucky"]);
}

#[test]
fn a_slow_handler_holds_up_its_own_session_and_nobody_else() {
    let (ring, script, calls) = Script::start(1);
    let mut alice = ring.client("alice");
    calls.expect(&["open alice"]);
    let mut bob = ring.client("bob");
    calls.expect(&["open bob"]);
    alice.send_json(&say(&json!({"user": "bob"}), "1", "wait"));
    alice.send_json(&say(&json!({"user": "bob"}), "2", "later"));
    calls.expect(&["waits alice"]);
    // Others are served, and what they send to her is written.
    bob.send_json(&say(&json!({"user": "alice"}), "b1", "hello"));
    assert_eq!(bob.reply_to("b1", PATIENCE)["status"], "accepted");
    assert_eq!(alice.expect("message")["body"], "hello");
    bob.assert_quiet_and_alive();
    script.gate.add_permits(1);
    let messages = [bob.expect("message"), bob.expect("message")];
    assert_eq!(messages.map(|m| m["id"].clone()), ["1", "2"]);
    for id in ["1", "2"] {
        assert_eq!(alice.reply_to(id, PATIENCE)["status"], "accepted");
    }
}

#[test]
fn a_client_that_goes_while_its_handler_works_is_missed_when_that_is_done() {
    let (ring, script, calls) = Script::start(1);
    let mut alice = ring.client("alice");
    alice.send_json(&say(&json!({"user": "bob"}), "1", "wait"));
    calls.expect(&["open alice", "waits alice"]);
    drop(alice);
    script.gate.add_permits(1);
    calls.expect(&["close alice"]);
}

#[test]
fn who_has_gone_is_gone_however_long_the_handler_takes_to_hear_of_it() {
    let (ring, script, calls) = Script::start(1);
    let mut bob = ring.client("bob");
    bob.send_json(&json!({"type":"join","id":"j","room":"lobby"}));
    assert_eq!(bob.reply_to("j", PATIENCE)["status"], "joined");
    let mut alice = ring.client("endless-alice");
    alice.send_json(&json!({"type":"join","id":"j","room":"lobby"}));
    assert_eq!(alice.reply_to("j", PATIENCE)["status"], "joined");
    calls.expect(&["open bob", "open endless-alice"]);
    drop(alice);
    calls.expect(&["waits endless-alice"]);
    bob.send_json(&json!({"type":"presence","id":"p","users":["endless-alice"]}));
    let presence = bob.reply_to("p", PATIENCE);
    assert_eq!(presence["online"]["endless-alice"], false, "{presence}");
    bob.send_json(&json!({"type":"presence","id":"q","room":"lobby"}));
    assert_eq!(bob.reply_to("q", PATIENCE)["users"], json!(["bob"]));
    let to = json!({"user": "endless-alice"});
    bob.send_json(&json!({"type":"send","id":"m","to":to,"body":1,"qos":0}));
    assert_eq!(bob.reply_to("m", PATIENCE)["error"]["code"], "offline");
    assert_eq!(ring.metric(0, "sessions_closed"), 1);
    script.gate.add_permits(1);
    calls.expect(&["close endless-alice"]);
    assert_eq!(ring.metric(0, "sessions_closed"), 1);
}

#[test]
fn whoever_breaks_the_protocol_is_an_error_and_whoever_leaves_or_is_closed_is_none() {
    let (ring, _, calls) = Script::start(1);
    let mut alice = ring.client("alice");
    alice.send_frame(true, TEXT, b"\xff");
    assert_eq!(alice.read_to_close(PATIENCE).1, Some(1007));
    calls.expect(&["open alice", "Violation(InvalidUtf8) alice", "close alice"]);
    ring.client("bob").close();
    calls.expect(&["open bob", "close bob"]);
    let mut carol = ring.client("carol");
    carol.send_json(&say(&json!({"user": "bob"}), "1", "close 4999"));
    assert_eq!(carol.read_to_close(PATIENCE).1, Some(4999));
    calls.expect(&["open carol", "close carol"]);
    let mut dave = ring.client("dave");
    for _ in 0..10 {
        dave.send_text("nonsense");
    }
    assert_eq!(dave.read_to_close(PATIENCE).1, Some(4500));
    calls.expect(&["open dave", "NotTheProtocol dave", "close dave"]);
}

#[test]
fn a_client_that_leaves_with_a_code_of_an_error_has_left_and_no_more() {
    let (ring, _, calls) = Script::start(1);
    for code in [
        1002_u16, 1007, 1009, 1011, 1013, 4408, 4413, 4429, 4500, 1000,
    ] {
        let mut alice = ring.client("alice");
        alice.send_frame(true, CLOSE, &code.to_be_bytes());
        assert_eq!(alice.read_to_close(PATIENCE).1, Some(code));
        calls.expect(&["open alice", "close alice"]);
    }
    assert_eq!(ring.metric(0, "slow_readers"), 0);
    assert_eq!(ring.metric(0, "handler_panics"), 0);
}

#[test]
fn a_program_closes_only_with_codes_that_are_its_own() {
    let (ring, script, calls) = Script::start(1);
    let mut alice = ring.client("alice");
    calls.expect(&["open alice"]);
    let session = script.last.lock().unwrap().clone().unwrap();
    assert!(!session.close_with(1006, "no such code"));
    assert!(!session.close_with(5000, "no such code"));
    alice.assert_quiet_and_alive();
    assert!(session.is_open());
    assert!(session.close_with(4000, "the end"));
    assert!(!session.close(CloseCode::Normal, "a second one"));
    assert!(!session.is_open());
    let closed = alice.event(PATIENCE);
    assert_eq!(closed, Some(Event::Close(Some(4000), "the end".to_owned())));
    assert!(!session.send(&user("host"), "too late"));
}

#[test]
fn a_client_that_does_not_read_ends_as_too_slow() {
    let (ring, script, calls) = Script::start(1);
    let _alice = ring.client("alice");
    calls.expect(&["open alice"]);
    let session = script.last.lock().unwrap().clone().unwrap();
    let body = "x".repeat(60_000);
    // More than the buffers of the system take.
    let taken = (0..10_000).take_while(|_| session.send(&user("host"), &*body));
    assert!(taken.count() < 10_000);
    calls.expect(&["TooSlow alice", "close alice"]);
    assert_eq!(ring.metric(0, "slow_readers"), 1);
    assert!(!session.send(&user("host"), "more"));
}

#[test]
fn nothing_can_be_sent_to_a_session_that_has_ended() {
    let (ring, script, calls) = Script::start(1);
    drop(ring.client("alice"));
    calls.expect(&["open alice", "close alice"]);
    let session = script.last.lock().unwrap().clone().unwrap();
    assert!(!session.is_open());
    assert!(!session.send(&user("host"), "anybody there?"));
    let joined = ring.runtime.block_on(session.join(&room("lobby")));
    assert_eq!(joined, Err(ErrorCode::Unknown));
}

/// Tells a client where it comes from, echoes, and closes when it is told to.
struct Raw;

#[ringpost::async_trait]
impl RawHandler for Raw {
    async fn on_open(&self, session: &RawSession) {
        session.insert::<SocketAddr>(session.remote_addr());
        let welcome = format!("hello {}", session.user());
        session.send(&Message::Text(welcome.into()));
    }

    async fn on_message(&self, session: &RawSession, message: Message) {
        match &message {
            Message::Text(text) if text == "panic" => panic!("as it was told to"),
            Message::Text(text) if text == "end" => {
                session.close_with(4001, "bye");
            }
            Message::Text(text) if text == "where" => {
                let address = session.get::<SocketAddr>().unwrap().to_string();
                session.send(&Message::Text(address.into()));
            }
            Message::Text(_) | Message::Binary(_) => {
                session.send(&message);
            }
        }
    }

    async fn on_error(&self, _: &RawSession, error: SessionError) {
        assert_eq!(error, SessionError::Panicked);
    }
}

#[test]
fn a_raw_handler_has_the_frames_for_itself() {
    let ring = Ring::raw(Raw);
    let connect = || {
        let mut client = Client::connect_following(&format!("{}/ws?user=alice", ring.url(0)));
        let hello = client.text(PATIENCE);
        assert_eq!(hello.as_deref(), Some("hello alice"));
        client
    };
    let (mut alice, mut unlucky) = (connect(), connect());
    alice.send_text("x");
    assert_eq!(alice.text(PATIENCE).as_deref(), Some("x"));
    alice.send_text("where");
    assert!(alice.text(PATIENCE).unwrap().starts_with("127.0.0.1:"));
    unlucky.send_text("panic");
    assert_eq!(unlucky.read_to_close(PATIENCE).1, Some(1011));
    alice.send_text("end");
    assert_eq!(alice.read_to_close(PATIENCE).1, Some(4001));
    assert_eq!(
        ring.metric(0, "handler_panics"),
        1,
        "on_error was told the right thing"
    );
}

#[test]
fn a_drain_sends_the_clients_away_and_closes_their_sessions() {
    let (ring, _, calls) = Script::start(1);
    let mut alice = ring.client("alice");
    calls.expect(&["open alice"]);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| alice.read_to_close(Duration::from_secs(40)).1);
        ring.drain();
        let code = client.join().unwrap();
        assert!(matches!(code, Some(1012 | 4307)), "{code:?}");
    });
    calls.expect(&["close alice"]);
}

#[test]
fn a_drain_closes_raw_sessions_one_after_the_other() {
    let ring = Ring::raw_at(25, 2, || Raw);
    let connect = |n| Client::connect(&format!("{}/ws?user=u{n}", ring.url(0)));
    // A node takes its own.
    let mine = (0..).filter_map(|n| connect(n).ok());
    let clients = mine.take(100).collect();
    std::thread::scope(|scope| {
        let closes = scope.spawn(|| closes(clients, Duration::from_secs(40)));
        ring.drain();
        let closes = closes.join().unwrap();
        assert_no_herd(&closes, Duration::from_secs(4));
    });
}

#[test]
fn a_client_whose_frames_come_too_fast_is_closed_with_4429() {
    struct Silent;

    #[ringpost::async_trait]
    impl RawHandler for Silent {
        async fn on_message(&self, _: &RawSession, _: Message) {}
    }

    let ring = Ring::raw(Silent);
    let connect = |user| {
        let url = format!("{}/ws?user={user}", ring.url(0));
        Client::connect(&url).unwrap()
    };
    let (mut client, mut other) = (connect("alice"), connect("bob"));
    // A burst of 1,000 passes; nothing of this protocol can be refused by name.
    for _ in 0..3_000 {
        if client.try_send_frame(true, TEXT, b"x").is_err() {
            break;
        }
    }
    assert_eq!(client.read_to_close(PATIENCE).1, Some(4429));
    assert_eq!(ring.metric(0, "sessions_over_rate"), 1);
    other.send_frame(true, TEXT, b"x");
    other.send_frame(true, crate::support::frames::PING, b"alive?");
    let pong = other.event(PATIENCE);
    assert_eq!(pong, Some(Event::Pong(b"alive?".to_vec())));
}
