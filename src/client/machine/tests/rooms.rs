//! Rooms: each one stream for the program, whatever becomes of connections.

use super::*;

impl Script {
    pub(super) fn join(&mut self, id: &str, room: &str, since: Option<u64>) -> RequestNumber {
        let since = since.map(|offset| Position::new("e", offset));
        let number = self.machine.join(id, room, since.as_ref()).unwrap();
        self.collect();
        number
    }

    fn leave(&mut self, id: &str, room: &str) -> RequestNumber {
        let number = self.machine.leave(self.now, id, room).unwrap();
        self.collect();
        number
    }

    pub(super) fn joined(&mut self, connection: ConnectionId, id: &str, offset: u64) {
        let text = format!(
            r#"{{"type":"receipt","id":"{id}","status":"joined","epoch":"e","offset":{offset}}}"#
        );
        self.text(connection, &text);
    }

    /// The answer to the one list of rooms that was asked for last.
    fn rejoined(&mut self, connection: ConnectionId, asked: &str, rooms: &str) {
        let id = id_of(asked);
        let text =
            format!(r#"{{"type":"receipt","id":"{id}","status":"joined","rooms":[{rooms}]}}"#);
        self.text(connection, &text);
    }

    fn refused(&mut self, connection: ConnectionId, id: &str, retry: bool) {
        let text = format!(
            r#"{{"type":"receipt","id":"{id}","status":"failed","error":{{"code":"x","message":"x","retry":{retry}}}}}"#
        );
        self.text(connection, &text);
    }

    pub(super) fn in_room(
        &mut self,
        connection: ConnectionId,
        room: &str,
        id: &str,
        offset: Option<u64>,
    ) {
        let position = offset.map_or(String::new(), |offset| {
            format!(r#""epoch":"e","offset":{offset},"#)
        });
        let text = format!(
            r#"{{"type":"message","stream":"room:{room}",{position}"id":"{id}","from":"bob","to":{{"room":"{room}"}},"body":1,"ts":1}}"#
        );
        self.text(connection, &text);
    }

    /// The connection breaks, and another one is welcomed.
    fn reconnect(&mut self, first: ConnectionId) -> ConnectionId {
        self.broken(first);
        self.pass_to_deadline();
        let second = self.connects_to("a:1");
        self.welcome(second, "n1");
        second
    }

    /// What is written to this connection, which must be one text.
    fn one_write(&mut self, to: ConnectionId) -> String {
        let writes = self.writes();
        let [(connection, text)] = &writes[..] else {
            panic!("{writes:?}");
        };
        assert_eq!(*connection, to);
        text.clone()
    }
}

fn id_of(request: &str) -> String {
    let request: serde_json::Value = serde_json::from_str(request).unwrap();
    request["id"].as_str().unwrap().to_owned()
}

/// The rooms that a request asks for, with the offset behind which.
fn asked_rooms(request: &str) -> Vec<(String, u64)> {
    let request: serde_json::Value = serde_json::from_str(request).unwrap();
    assert_eq!(request["type"], "join");
    let rooms = request["rooms"].as_array().unwrap().iter();
    rooms
        .map(|room| {
            assert_eq!(room["since"]["epoch"], "e");
            let offset = room["since"]["offset"].as_u64().unwrap();
            (room["room"].as_str().unwrap().to_owned(), offset)
        })
        .collect()
}

fn rooms(rooms: &[(&str, u64)]) -> Vec<(String, u64)> {
    let rooms = rooms.iter();
    rooms
        .map(|(room, offset)| ((*room).to_owned(), *offset))
        .collect()
}

/// A client in room `r` at offset 4.
fn in_a_room() -> (Script, ConnectionId) {
    let (mut script, first) = Script::welcomed(|_| {});
    script.join("j", "r", None);
    script.joined(first, "j", 4);
    script.outputs();
    script.events();
    (script, first)
}

#[test]
fn a_room_is_joined_and_its_messages_come_once() {
    let (mut script, first) = Script::welcomed(|_| {});
    let number = script.join("j", "r", None);
    assert_eq!(
        script.one_write(first),
        r#"{"type":"join","id":"j","room":"r"}"#
    );
    script.joined(first, "j", 4);
    let outputs = script.outputs();
    assert!(
        matches!(&outputs[..], [Output::Settle(n, Ok(Reply::Joined(joined)))]
            if *n == number && joined.position == Position::new("e", 4)),
        "{outputs:?}"
    );
    script.in_room(first, "r", "5", Some(5));
    script.in_room(first, "r", "5", Some(6));
    script.in_room(first, "r", "q", None);
    script.in_room(first, "r", "q", None);
    // The same name in another stream is another message.
    script.message(first, "5", Some(1));
    assert_eq!(script.messages(), ["5", "q", "5"]);
    assert_eq!(script.machine.stats().repeats_dropped, 2);
    assert_eq!(
        script.machine.room_position("r"),
        Some(&Position::new("e", 6))
    );
}

#[test]
fn what_the_program_has_of_a_room_is_what_it_was_given() {
    let (mut script, first) = in_a_room();
    let handed = |script: &Script| script.machine.room_position("r").map(|p| p.offset);
    assert_eq!(handed(&script), Some(4));
    script.in_room(first, "r", "5", Some(5));
    script.in_room(first, "r", "6", Some(6));
    script.in_room(first, "r", "5", Some(7));
    assert_eq!(handed(&script), Some(4));
    script.event();
    assert_eq!(handed(&script), Some(5));
    script.event();
    assert_eq!(handed(&script), Some(7));
    // Nothing is acked in rooms.
    script.pass(SECOND);
    assert_eq!(script.outputs(), []);
}

#[test]
fn after_a_break_all_rooms_are_joined_again_in_one_request_from_where_they_were() {
    let (mut script, first) = in_a_room();
    script.join("j2", "a", None);
    script.joined(first, "j2", 1);
    script.in_room(first, "r", "5", Some(5));
    script.broken(first);
    script.request("s", true);
    script.outputs();
    script.pass_to_deadline();
    let second = script.connects_to("a:1");
    script.welcome(second, "n1");
    let writes = script.writes();
    assert_eq!(asked_rooms(&writes[0].1), rooms(&[("a", 1), ("r", 5)]));
    assert_eq!(writes[1..], [(second, "s".to_owned())]);
    script.in_room(second, "r", "5", Some(5));
    script.in_room(second, "r", "6", Some(6));
    let list = r#"{"room":"a","epoch":"e","offset":1,"recovered":true},{"room":"r","epoch":"e","offset":5,"recovered":true}"#;
    script.rejoined(second, &writes[0].1, list);
    script.in_room(second, "r", "7", Some(7));
    assert_eq!(script.messages(), ["5", "6", "7"]);
    let third = script.reconnect(second);
    let writes = script.writes();
    assert_eq!(writes[0].0, third);
    assert_eq!(asked_rooms(&writes[0].1), rooms(&[("a", 1), ("r", 7)]));
}

#[test]
fn a_move_while_messages_come_hands_each_over_once_and_in_order() {
    let (mut script, old) = in_a_room();
    script.in_room(old, "r", "5", Some(5));
    let redirect = r#"{"type":"redirect","url":"ws://b:2/ws?hop=1","reason":"moved"}"#;
    script.text(old, redirect);
    script.pass(Duration::ZERO);
    let new = script.connects_to("b:2");
    script.in_room(old, "r", "6", Some(6));
    script.welcome(new, "n2");
    let asked = script.one_write(new);
    assert_eq!(asked_rooms(&asked), rooms(&[("r", 6)]));
    // What is kept comes on the new one, what is not comes where it comes first.
    script.in_room(old, "r", "7", Some(7));
    script.in_room(old, "r", "q", None);
    let someone =
        |kind: &str, user: &str| format!(r#"{{"type":"{kind}","room":"r","user":"{user}"}}"#);
    script.text(old, &someone("joined", "carol"));
    script.rejoined(
        new,
        &asked,
        r#"{"room":"r","epoch":"e","offset":6,"recovered":true}"#,
    );
    script.in_room(new, "r", "7", Some(7));
    script.in_room(new, "r", "q", None);
    script.text(new, &someone("left", "carol"));
    script.text(old, &someone("left", "carol"));
    script.in_room(old, "r", "8", Some(8));
    script.in_room(new, "r", "8", Some(8));
    let events = script.events();
    let of_carol = |event: &&Event| matches!(event, Event::Joined { .. } | Event::Left { .. });
    assert_eq!(events.iter().filter(of_carol).count(), 2, "{events:?}");
    let ids: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Message(message) => Some(message.id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["5", "6", "q", "7", "8"]);
}

#[test]
fn the_old_connection_stays_until_the_new_one_is_in_the_rooms() {
    let (mut script, old) = in_a_room();
    script.text(
        old,
        r#"{"type":"redirect","url":"ws://b:2/ws?hop=1","reason":"moved"}"#,
    );
    script.pass(Duration::ZERO);
    let new = script.connects_to("b:2");
    script.welcome(new, "n2");
    let asked = script.one_write(new);
    script.pass(2 * SECOND);
    assert_eq!(script.outputs(), []);
    script.rejoined(new, &asked, r#"{"room":"r","epoch":"e","offset":4}"#);
    script.pass(Duration::ZERO);
    assert_eq!(script.outputs(), [Output::Close(old)]);
}

#[test]
fn a_join_that_is_answered_on_the_connection_that_is_left_waits_for_the_other() {
    let (mut script, old) = Script::welcomed(|_| {});
    let number = script.join("j", "r", None);
    script.text(
        old,
        r#"{"type":"redirect","url":"ws://b:2/ws?hop=1","reason":"moved"}"#,
    );
    script.pass(Duration::ZERO);
    script
        .outputs
        .retain(|o| matches!(o, Output::Connect { .. }));
    let new = script.connects_to("b:2");
    script.welcome(new, "n2");
    assert_eq!(id_of(&script.one_write(new)), "j");
    script.refused(old, "j", true);
    assert_eq!(script.outputs(), []);
    // What would come behind it there is not taken.
    script.joined(old, "j", 3);
    assert_eq!(script.outputs(), []);
    script.joined(new, "j", 5);
    let outputs = script.outputs();
    assert!(
        matches!(&outputs[..], [Output::Settle(n, Ok(Reply::Joined(joined)))]
            if *n == number && joined.position.offset == 5),
        "{outputs:?}"
    );
}

#[test]
fn a_gap_is_told_and_what_is_there_comes_in_order() {
    let (mut script, first) = in_a_room();
    let second = script.reconnect(first);
    let asked = script.one_write(second);
    script.events();
    let list = r#"{"room":"r","epoch":"f","offset":20,"recovered":false}"#;
    script.rejoined(second, &asked, list);
    script.in_room(second, "r", "21", Some(21));
    let events = script.events();
    let room = "r".to_owned();
    assert_eq!(events[0], Event::RoomGap { room: room.clone() });
    assert_eq!(events.len(), 2, "{events:?}");
    script.text(
        second,
        r#"{"type":"error","code":"unknown","message":"x","retry":true,"room":"r"}"#,
    );
    assert_eq!(script.events(), [Event::RoomGap { room }]);
}

#[test]
fn a_place_that_messages_have_passed_by_is_not_gone_back_to() {
    let (mut script, first) = in_a_room();
    let second = script.reconnect(first);
    let asked = script.one_write(second);
    script.in_room(second, "r", "5", Some(5));
    let list = r#"{"room":"r","epoch":"d","offset":4,"recovered":true}"#;
    script.rejoined(second, &asked, list);
    let third = script.reconnect(second);
    let asked = script.one_write(third);
    assert_eq!(asked_rooms(&asked), rooms(&[("r", 5)]));
}

#[test]
fn a_room_that_cannot_be_joined_again_is_told_and_tried_again_or_forgotten() {
    let (mut script, first) = in_a_room();
    script.join("j2", "a", None);
    script.joined(first, "j2", 1);
    script.outputs();
    let second = script.reconnect(first);
    let asked = script.one_write(second);
    script.events();
    let error = |retry| format!(r#"{{"code":"x","message":"x","retry":{retry}}}"#);
    let (no, later) = (error(false), error(true));
    let list = format!(r#"{{"room":"a","error":{no}}},{{"room":"r","error":{later}}}"#);
    script.rejoined(second, &asked, &list);
    let events = script.events();
    assert!(
        matches!(&events[..], [Event::NotRejoined { room: a, failure: no },
            Event::NotRejoined { room: r, failure: later }]
            if a == "a" && !no.retry && r == "r" && later.retry),
        "{events:?}"
    );
    assert_eq!(script.machine.room_position("a"), None);
    script.pass(5 * SECOND);
    let asked = script.one_write(second);
    assert_eq!(asked_rooms(&asked), rooms(&[("r", 4)]));
    // So it is with a list that is refused as a whole.
    script.refused(second, &id_of(&asked), true);
    assert_eq!(script.events().len(), 1);
    script.pass(5 * SECOND);
    let asked = script.one_write(second);
    script.rejoined(second, &asked, r#"{"room":"r","epoch":"e","offset":4}"#);
    script.in_room(second, "r", "5", Some(5));
    assert_eq!(script.messages(), ["5"]);
    script.pass(5 * SECOND);
    assert_eq!(script.writes(), []);
}

#[test]
fn a_list_that_is_too_long_for_one_message_is_asked_for_in_several() {
    let (mut script, first) = Script::welcomed(|_| {});
    let names: Vec<String> = (0..50).map(|number| format!("room-{number:02}")).collect();
    for (name, offset) in names.iter().zip(0..) {
        script.join(name, name, None);
        script.joined(first, name, offset);
    }
    script.broken(first);
    script.outputs();
    script.pass_to_deadline();
    let second = script.connects_to("a:1");
    script.text(
        second,
        r#"{"type":"welcome","node":"n1","max_message_bytes":1000}"#,
    );
    let mut all = Vec::new();
    for (_, asked) in script.writes() {
        assert!(asked.len() <= 1000, "{}", asked.len());
        all.extend(asked_rooms(&asked));
    }
    let expected: Vec<_> = names.into_iter().zip(0..).collect();
    assert_eq!(all, expected);
}

#[test]
fn rooms_that_are_joined_and_left_while_there_is_no_connection_are_so_afterwards() {
    let (mut script, first) = in_a_room();
    script.in_room(first, "r", "5", Some(5));
    script.broken(first);
    script.outputs();
    let left = script.leave("l", "r");
    script.join("j2", "a", Some(7));
    assert_eq!(script.machine.room_position("r"), None);
    assert!(script.messages().is_empty(), "nothing of it is handed over");
    script.pass_to_deadline();
    let second = script.connects_to("a:1");
    script.welcome(second, "n1");
    let expected = [
        r#"{"type":"leave","id":"l","room":"r"}"#,
        r#"{"type":"join","id":"j2","room":"a","since":{"epoch":"e","offset":7}}"#,
    ];
    assert_eq!(
        script.writes(),
        expected.map(|text| (second, text.to_owned()))
    );
    script.in_room(second, "r", "6", Some(6));
    script.text(second, r#"{"type":"receipt","id":"l","status":"left"}"#);
    script.joined(second, "j2", 7);
    let outputs = script.outputs();
    assert_eq!(outputs[0], Output::Settle(left, Ok(Reply::Left)));
    assert!(script.messages().is_empty());
    let third = script.reconnect(second);
    let asked = script.one_write(third);
    assert_eq!(asked_rooms(&asked), rooms(&[("a", 7)]));
}

#[test]
fn a_room_that_is_left_before_it_was_joined_is_not_kept() {
    let (mut script, first) = Script::welcomed(|_| {});
    script.join("j", "r", None);
    script.leave("l", "r");
    script.joined(first, "j", 4);
    script.in_room(first, "r", "5", Some(5));
    script.text(first, r#"{"type":"receipt","id":"l","status":"left"}"#);
    assert!(script.messages().is_empty());
    let _second = script.reconnect(first);
    assert_eq!(script.writes(), []);
}

#[test]
fn to_join_again_goes_on_and_to_join_from_a_position_goes_back() {
    let (mut script, first) = in_a_room();
    script.in_room(first, "r", "5", Some(5));
    script.join("j2", "r", None);
    let asked = r#"{"type":"join","id":"j2","room":"r","since":{"epoch":"e","offset":5}}"#;
    assert_eq!(script.one_write(first), asked);
    script.in_room(first, "r", "6", Some(6));
    script.joined(first, "j2", 5);
    script.in_room(first, "r", "6", Some(6));
    assert_eq!(script.messages(), ["5", "6"]);

    script.in_room(first, "r", "7", Some(7));
    script.join("j3", "r", Some(4));
    script.joined(first, "j3", 4);
    for offset in [5, 6, 7] {
        script.in_room(first, "r", &offset.to_string(), Some(offset));
    }
    assert_eq!(script.messages(), ["5", "6", "7"]);
}

#[test]
fn a_join_that_fails_is_told_and_a_room_that_was_joined_before_is_joined_again() {
    let (mut script, first) = Script::welcomed(|_| {});
    let number = script.join("j", "r", None);
    script.outputs();
    script.refused(first, "j", true);
    let outputs = script.outputs();
    assert!(
        matches!(&outputs[..], [Output::Settle(n, Err(SendError::Failed(_)))] if *n == number),
        "{outputs:?}"
    );
    script.pass(5 * SECOND);
    assert_eq!(script.writes(), []);

    let (mut script, first) = in_a_room();
    script.join("j2", "r", None);
    script.refused(first, "j2", true);
    script.outputs();
    script.pass(5 * SECOND);
    let asked = script.one_write(first);
    assert_eq!(asked_rooms(&asked), rooms(&[("r", 4)]));
}

#[test]
fn messages_to_everyone_come_once_though_both_connections_have_them() {
    let (mut script, old) = Script::welcomed(|_| {});
    script.text(
        old,
        r#"{"type":"redirect","url":"ws://b:2/ws?hop=1","reason":"moved"}"#,
    );
    script.pass(Duration::ZERO);
    let new = script.connects_to("b:2");
    script.welcome(new, "n2");
    let text = r#"{"type":"message","stream":"everyone","id":"1","from":"bob","to":"everyone","body":1,"ts":1}"#;
    for connection in [old, new, old] {
        script.text(connection, text);
    }
    assert_eq!(script.messages(), ["1"]);
}
