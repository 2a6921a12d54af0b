//! Told to go elsewhere while connected: the old connection serves until the new one does.

use super::*;

const REDIRECT: &str = r#"{"type":"redirect","url":"ws://b:2/ws?user=alice&epoch=old&offset=0&hop=1","reason":"moved","after_ms":350}"#;

/// A client at `e`:5 that was told to move, and the connection it makes then.
fn moving() -> (Script, ConnectionId, ConnectionId) {
    let (mut script, old) = Script::welcomed(|_| {});
    script.message(old, "m5", Some(5));
    script.text(old, REDIRECT);
    script.messages();
    script.outputs();
    script.pass(Duration::from_millis(349));
    assert!(
        !script
            .outputs
            .iter()
            .any(|o| matches!(o, Output::Connect { .. }))
    );
    script.message(old, "m6", Some(6));
    script.pass(Duration::from_millis(1));
    let (new, target, path, _) = script.connects();
    assert_eq!(target, "b:2");
    assert_eq!(path, "/ws?user=alice&hop=1&epoch=e&offset=6");
    (script, old, new)
}

#[test]
fn the_old_connection_is_used_until_the_new_one_is_welcomed() {
    let (mut script, old, new) = moving();
    script.request("r1", false);
    script.message(old, "m7", Some(7));
    assert_eq!(script.writes(), [(old, "r1".to_owned())]);
    script.welcome_at(new, "e", 6);
    script.outputs();
    script.request("r2", false);
    assert_eq!(script.writes(), [(new, "r2".to_owned())]);
    // What was kept comes again on the new connection; what was not kept came on the old one only.
    script.message(old, "m8", Some(8));
    script.message(old, "q1", None);
    script.message(new, "m7", Some(7));
    script.message(new, "m8", Some(8));
    script.message(new, "m9", Some(9));
    assert_eq!(script.messages(), ["m6", "m7", "q1", "m8", "m9"]);
    assert_eq!(script.machine.position(), Some(&Position::new("e", 9)));
}

#[test]
fn a_receipt_that_can_come_only_there_keeps_the_old_connection_open() {
    let (mut script, old, new) = moving();
    let number = script.request("r1", false);
    script.welcome(new, "n2");
    script.pass(2 * SECOND);
    script.outputs();
    script.sent(old, "r1");
    let outputs = script.outputs();
    assert!(
        matches!(&outputs[..], [Output::Settle(n, Ok(Reply::Receipt(_)))] if *n == number),
        "{outputs:?}"
    );
    script.pass_to_deadline();
    assert_eq!(script.outputs(), [Output::Close(old)]);
}

#[test]
fn a_receipt_that_does_not_come_there_in_time_is_unknown() {
    let (mut script, old, new) = moving();
    let number = script.request("r1", false);
    script.welcome(new, "n2");
    script.outputs();
    script.pass(5 * SECOND);
    let outputs = script.outputs();
    assert!(
        matches!(&outputs[..], [Output::Close(c), Output::Settle(n, Err(SendError::Unknown(_)))]
            if *c == old && *n == number),
        "{outputs:?}"
    );
}

#[test]
fn qos_1_is_repeated_on_the_new_connection_and_settled_by_whichever_answers() {
    let (mut script, old, new) = moving();
    let number = script.request("r1", true);
    script.outputs();
    script.welcome(new, "n2");
    let written = script.writes();
    assert!(written.contains(&(new, "r1".to_owned())), "{written:?}");
    script.sent(old, "r1");
    script.sent(new, "r1");
    let outputs = script.outputs();
    assert!(
        matches!(&outputs[..], [Output::Settle(n, Ok(_))] if *n == number),
        "{outputs:?}"
    );
}

#[test]
fn a_failure_on_the_old_connection_says_nothing_of_what_the_new_one_was_asked() {
    let (mut script, old, new) = moving();
    let accepted = script.request("r1", true);
    let failed = script.request("r2", true);
    let fleeting = script.request("r3", false);
    script.welcome(new, "n2");
    script.outputs();
    for id in ["r1", "r2", "r3"] {
        script.failed(old, id, "unreachable");
    }
    let outcomes = script.outcomes();
    assert!(
        matches!(&outcomes[..], [(n, Err(error))] if *n == fleeting && error.is_definite()),
        "{outcomes:?}"
    );
    script.sent(new, "r1");
    script.failed(new, "r2", "rate_limited");
    let outcomes = script.outcomes();
    assert!(
        matches!(&outcomes[..], [(n, Ok(_)), (m, Err(error))]
            if *n == accepted && *m == failed && !error.is_definite()),
        "{outcomes:?}"
    );
}

#[test]
fn a_failure_on_the_old_connection_settles_nothing_when_the_new_one_is_gone() {
    let (mut script, old, new) = moving();
    let number = script.request("r1", true);
    script.welcome(new, "n2");
    script.broken(new);
    let waiting = script.request("r2", true);
    script.outputs();
    for id in ["r1", "r2"] {
        script.failed(old, id, "unreachable");
    }
    assert_eq!(script.outputs(), []);
    let third = script.connects_again();
    script.welcome(third, "n1");
    script.sent(third, "r1");
    script.sent(third, "r2");
    let settled = script.outcomes().into_iter();
    let settled = settled.map(|(number, outcome)| (number, outcome.is_ok()));
    assert_eq!(
        settled.collect::<Vec<_>>(),
        [(number, true), (waiting, true)]
    );
}

#[test]
fn a_question_that_the_old_connection_refuses_is_answered_by_the_new_one() {
    let (mut script, old, new) = moving();
    let number = script.request("p", true);
    script.welcome(new, "n2");
    script.failed(old, "p", "rate_limited");
    script.outputs();
    script.text(new, r#"{"type":"presence","id":"p","online":{"bob":true}}"#);
    let outcomes = script.outcomes();
    assert!(
        matches!(&outcomes[..], [(n, Ok(Reply::Presence(_)))] if *n == number),
        "{outcomes:?}"
    );
}

#[test]
fn a_node_that_closes_early_is_left_at_once_for_where_it_said() {
    let (mut script, old) = Script::welcomed(|_| {});
    script.text(old, REDIRECT);
    script.closed(old, 4307);
    script.connects_to("b:2");
}

#[test]
fn a_move_that_fails_leaves_the_client_where_it_is_and_asks_its_nodes() {
    let (mut script, old, new) = moving();
    script.input(new, Input::Failed(refusal(401)));
    script.pass(Duration::ZERO);
    let next = script.connects_to("a:1");
    script.input(next, Input::Failed(connect_error()));
    assert_eq!(script.machine.end(), None);
    script.request("r1", false);
    assert_eq!(script.writes(), [(old, "r1".to_owned())]);
    script.pass_to_deadline();
    script.connects_to("a:1");
}

#[test]
fn the_session_that_the_new_one_replaces_is_no_end() {
    let (mut script, old, new) = moving();
    script.closed(old, 4511);
    assert_eq!(script.machine.end(), None);
    script.welcome(new, "n2");
    script.request("r1", false);
    assert_eq!(script.writes().last(), Some(&(new, "r1".to_owned())));
}

#[test]
fn a_break_while_the_new_connection_is_being_made_changes_nothing() {
    let (mut script, old, new) = moving();
    script.broken(old);
    assert_eq!(script.outputs(), []);
    script.welcome(new, "n2");
    script.message(new, "m7", Some(7));
    assert_eq!(script.messages(), ["m6", "m7"]);
}
