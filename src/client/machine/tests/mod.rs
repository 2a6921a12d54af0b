//! The machine against scripts: what connections say, and what it does then.

mod connecting;
mod moving;
mod random;
mod rooms;
mod sending;

use super::*;
use crate::client::event::Message;

const SECOND: Duration = Duration::from_secs(1);

/// A machine, the time, and what it has done that was not looked at yet.
struct Script {
    machine: Machine,
    now: Instant,
    outputs: Vec<Output>,
}

impl Script {
    /// A client of these nodes, as alice.
    fn of(nodes: &[&str], change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::for_user("alice");
        change(&mut options);
        let nodes = nodes.iter().map(|node| node.parse().unwrap()).collect();
        let now = Instant::now();
        let mut script = Self {
            machine: Machine::new(now, nodes, options, 7),
            now,
            outputs: Vec::new(),
        };
        script.pass(Duration::ZERO);
        script
    }

    /// A client that node `n1` at `a:1` has welcomed.
    fn welcomed(change: impl FnOnce(&mut Options)) -> (Self, ConnectionId) {
        let mut script = Self::of(&["a:1"], change);
        let connection = script.connects_to("a:1");
        script.welcome(connection, "n1");
        (script, connection)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.machine.tick(self.now);
        self.collect();
    }

    /// To the next deadline.
    fn pass_to_deadline(&mut self) {
        let deadline = self.machine.next_deadline().expect("something is due");
        self.pass(deadline.saturating_duration_since(self.now));
    }

    fn collect(&mut self) {
        while let Some(output) = self.machine.next_output() {
            self.outputs.push(output);
        }
    }

    fn input(&mut self, connection: ConnectionId, input: Input<'_>) {
        self.machine.handle(self.now, connection, input);
        self.collect();
    }

    fn text(&mut self, connection: ConnectionId, text: &str) {
        self.input(connection, Input::Text(text));
    }

    fn welcome(&mut self, connection: ConnectionId, node: &str) {
        let text = format!(r#"{{"type":"welcome","node":"{node}","heartbeat_ms":20000}}"#);
        self.text(connection, &text);
    }

    /// The connection has ended, and the next one is there and not welcomed.
    fn connects_again(&mut self) -> ConnectionId {
        self.outputs();
        while !(self.outputs.iter()).any(|output| matches!(output, Output::Connect { .. })) {
            self.pass_to_deadline();
        }
        self.connects_to("a:1")
    }

    fn welcome_at(&mut self, connection: ConnectionId, epoch: &str, offset: u64) {
        let text = format!(
            r#"{{"type":"welcome","node":"n","epoch":"{epoch}","offset":{offset},"recovered":true}}"#
        );
        self.text(connection, &text);
    }

    fn message(&mut self, connection: ConnectionId, id: &str, offset: Option<u64>) {
        let position = offset.map_or(String::new(), |offset| {
            format!(r#""epoch":"e","offset":{offset},"#)
        });
        let text = format!(
            r#"{{"type":"message","stream":"inbox",{position}"id":"{id}","from":"bob","to":{{"user":"alice"}},"body":1,"ts":1}}"#
        );
        self.text(connection, &text);
    }

    fn sent(&mut self, connection: ConnectionId, id: &str) {
        let text = format!(r#"{{"type":"receipt","id":"{id}","status":"sent"}}"#);
        self.text(connection, &text);
    }

    fn failed(&mut self, connection: ConnectionId, id: &str, code: &str) {
        let text = format!(
            r#"{{"type":"receipt","id":"{id}","status":"failed","error":{{"code":"{code}","message":"x","retry":true}}}}"#
        );
        self.text(connection, &text);
    }

    fn broken(&mut self, connection: ConnectionId) {
        self.input(connection, Input::Broken("gone".to_owned()));
    }

    fn closed(&mut self, connection: ConnectionId, code: u16) {
        self.input(connection, Input::Closed(code, String::new()));
    }

    fn request(&mut self, id: &str, repeatable: bool) -> RequestNumber {
        let number = self.machine.request(id, id.into(), repeatable).unwrap();
        self.collect();
        number
    }

    /// The outcomes of requests; other outputs are thrown away.
    fn outcomes(&mut self) -> Vec<(RequestNumber, Result<Reply, SendError>)> {
        let settled = |output| match output {
            Output::Settle(number, outcome) => Some((number, outcome)),
            _ => None,
        };
        self.outputs().into_iter().filter_map(settled).collect()
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// What was written, and where; other outputs are thrown away.
    fn writes(&mut self) -> Vec<(ConnectionId, String)> {
        let written = |output| match output {
            Output::Write(connection, text) => Some((connection, text.to_string())),
            _ => None,
        };
        self.outputs().into_iter().filter_map(written).collect()
    }

    /// The one connection that is to be made, and its node and path.
    fn connects(&mut self) -> (ConnectionId, String, String, bool) {
        let mut found = Vec::new();
        for output in self.outputs() {
            if let Output::Connect {
                connection,
                target,
                path,
                given,
            } = output
            {
                found.push((connection, target.to_string(), path, given));
            }
        }
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    fn connects_to(&mut self, node: &str) -> ConnectionId {
        let (connection, target, ..) = self.connects();
        assert_eq!(target, node);
        connection
    }

    fn event(&mut self) -> Option<Event> {
        let event = self.machine.take_event(self.now);
        self.collect();
        event
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.event()).collect()
    }

    /// The ids of the messages that wait for the program.
    fn messages(&mut self) -> Vec<String> {
        let id = |event| match event {
            Event::Message(Message { id, .. }) => Some(id),
            _ => None,
        };
        self.events().into_iter().filter_map(id).collect()
    }
}

fn connect_error() -> Error {
    Error::Connect {
        os_error: None,
        node: "a:1".parse().unwrap(),
        reason: "refused".to_owned(),
    }
}

fn refusal(status: u16) -> Error {
    Error::Refused {
        node: "a:1".parse().unwrap(),
        status,
        answer: status.to_string(),
    }
}

#[test]
fn silence_is_answered_with_a_ping_and_then_with_another_connection() {
    let (mut script, first) = Script::welcomed(|_| {});
    script.pass(30 * SECOND);
    let ping = r#"{"type":"ping"}"#.to_owned();
    assert_eq!(script.writes(), [(first, ping.clone())]);
    script.input(first, Input::Heard);
    script.pass(10 * SECOND);
    assert_eq!(script.outputs(), []);
    script.pass(20 * SECOND);
    assert_eq!(script.writes(), [(first, ping)]);
    script.pass(10 * SECOND);
    assert_eq!(script.outputs(), [Output::Drop(first)]);
    script.pass_to_deadline();
    script.connects_to("a:1");
}

#[test]
fn a_program_that_takes_nothing_stops_the_reading_and_not_the_connection() {
    let (mut script, first) = Script::welcomed(|options| options.events_ahead = 2);
    script.event();
    script.message(first, "1", None);
    assert!(script.machine.reads());
    script.message(first, "2", None);
    assert!(!script.machine.reads());
    script.outputs();
    for _ in 0..5 {
        script.pass(20 * SECOND);
        assert_eq!(script.outputs(), [Output::Pong(first)]);
    }
    script.event();
    assert!(script.machine.reads());
    script.pass(20 * SECOND);
    assert_eq!(script.outputs(), []);
}

#[test]
fn messages_handed_over_are_acked_together_and_a_close_acks_the_rest() {
    let (mut script, first) = Script::welcomed(|_| {});
    script.outputs();
    for (id, offset) in [("1", 1), ("2", 2), ("3", 3)] {
        script.message(first, id, Some(offset));
    }
    script.pass(SECOND);
    assert_eq!(script.outputs(), [], "nothing was handed over");
    for _ in 0..3 {
        script.event();
    }
    script.pass(Duration::from_millis(100));
    let ack =
        |offset| format!(r#"{{"type":"ack","stream":"inbox","epoch":"e","offset":{offset}}}"#);
    assert_eq!(script.writes(), [(first, ack(2))]);
    assert_eq!(script.messages(), ["3"]);
    script.machine.close(script.now);
    script.collect();
    let expected = Output::Write(first, ack(3).into());
    assert_eq!(script.outputs(), [expected, Output::Close(first)]);
}

#[test]
fn without_auto_ack_only_the_program_acks() {
    let (mut script, first) = Script::welcomed(|options| options.auto_ack = false);
    script.message(first, "1", Some(1));
    assert_eq!(script.messages(), ["1"]);
    script.outputs();
    script.pass(SECOND);
    assert_eq!(script.outputs(), []);
    script.machine.ack(script.now, Position::new("e", 1));
    script.pass(SECOND);
    assert_eq!(script.writes().len(), 1);
}

#[test]
fn an_ack_that_may_be_lost_is_repeated_after_the_welcome() {
    let (mut script, first) = Script::welcomed(|_| {});
    script.message(first, "1", Some(1));
    script.messages();
    script.pass(SECOND);
    assert_eq!(script.writes().len(), 1);
    script.broken(first);
    script.pass_to_deadline();
    let second = script.connects_to("a:1");
    script.welcome(second, "n1");
    let ack = r#"{"type":"ack","stream":"inbox","epoch":"e","offset":1}"#;
    assert_eq!(script.writes(), [(second, ack.to_owned())]);
}

#[test]
fn complaints_and_unknown_messages_are_told_and_harm_nothing() {
    let (mut script, first) = Script::welcomed(|_| {});
    script.events();
    script.text(
        first,
        r#"{"type":"error","code":"bad_request","message":"x"}"#,
    );
    script.text(first, r#"{"type":"news"}"#);
    script.text(first, "what?");
    let events = script.events();
    assert!(
        matches!(&events[..], [Event::Error { code, .. }, Event::Other(news), Event::Error { .. }]
            if code == "bad_request" && news.contains("news")),
        "{events:?}"
    );
    script.message(first, "1", None);
    assert_eq!(script.messages(), ["1"]);
}

#[test]
fn no_time_that_is_named_is_too_long() {
    let (mut script, first) = Script::welcomed(|options| {
        options.connect_timeout = Duration::MAX;
        options.close_timeout = Duration::MAX;
        options.backoff_first = Duration::MAX;
    });
    let later = format!(
        r#"{{"type":"redirect","url":"/ws","reason":"moved","after_ms":{0}}}"#,
        u64::MAX
    );
    script.text(first, &later);
    script.request("1", true);
    script.machine.close(script.now);
    script.broken(first);
    assert!(script.machine.next_deadline().is_some());

    let (mut script, first) = Script::welcomed(|options| {
        options.backoff_min = Duration::MAX;
        options.backoff_first = Duration::MAX;
        options.backoff_max = Duration::MAX;
    });
    script.broken(first);
    script.pass_to_deadline();
    script.connects_to("a:1");

    let next = format!(
        r#"{{"type":"welcome","node":"n","heartbeat_ms":{}}}"#,
        u64::MAX
    );
    let mut script = Script::of(&["a:1"], |_| {});
    let connection = script.connects_to("a:1");
    script.text(connection, &next);
    assert!(script.machine.next_deadline().is_some());
}
