//! Requests and their replies, through breaks and to the end.

use super::*;

fn ids(written: &[(ConnectionId, String)], on: ConnectionId) -> Vec<&str> {
    let texts = written.iter().filter(|(connection, _)| *connection == on);
    texts.map(|(_, text)| text.as_str()).collect()
}

#[test]
fn what_is_asked_for_before_the_welcome_is_written_after_it_in_order() {
    let mut script = Script::of(&["a:1"], |_| {});
    let connection = script.connects_to("a:1");
    for id in ["1", "2", "3"] {
        script.request(id, id == "2");
    }
    assert_eq!(script.outputs(), []);
    script.welcome(connection, "n1");
    assert_eq!(ids(&script.writes(), connection), ["1", "2", "3"]);
}

#[test]
fn after_a_break_qos_1_is_repeated_in_order_before_anything_new() {
    let (mut script, first) = Script::welcomed(|_| {});
    for id in ["1", "2", "3"] {
        script.request(id, true);
    }
    script.sent(first, "2");
    script.broken(first);
    script.request("4", true);
    script.outputs();
    script.pass_to_deadline();
    let second = script.connects_to("a:1");
    script.welcome(second, "n1");
    script.request("5", true);
    assert_eq!(ids(&script.writes(), second), ["1", "3", "4", "5"]);
}

#[test]
fn qos_0_that_was_written_is_unknown_after_a_break_and_what_was_not_is_sent() {
    let (mut script, first) = Script::welcomed(|_| {});
    let written = script.request("1", false);
    script.outputs();
    script.broken(first);
    let outputs = script.outputs();
    assert!(
        matches!(&outputs[..], [Output::Settle(n, Err(error @ SendError::Unknown(_)))]
            if *n == written && !error.is_definite()),
        "{outputs:?}"
    );
    script.request("2", false);
    script.pass_to_deadline();
    let second = script.connects_to("a:1");
    script.welcome(second, "n1");
    assert_eq!(ids(&script.writes(), second), ["2"]);
}

#[test]
fn a_failure_is_told_and_not_tried_again() {
    let (mut script, first) = Script::welcomed(|_| {});
    let number = script.request("1", true);
    script.outputs();
    script.failed(first, "1", "offline");
    let outputs = script.outputs();
    assert!(
        matches!(&outputs[..], [Output::Settle(n, Err(error @ SendError::Failed(failure)))]
            if *n == number && failure.retry && error.is_definite()),
        "{outputs:?}"
    );
    script.broken(first);
    script.pass_to_deadline();
    let second = script.connects_to("a:1");
    script.welcome(second, "n1");
    assert_eq!(script.writes(), []);
}

#[test]
fn what_fails_on_a_later_connection_may_have_been_accepted_on_an_earlier_one() {
    let (mut script, first) = Script::welcomed(|_| {});
    let repeated = script.request("1", true);
    script.broken(first);
    let new = script.request("2", true);
    let fleeting = script.request("3", false);
    let second = script.connects_again();
    script.welcome(second, "n1");
    script.outputs();
    for id in ["1", "2", "3"] {
        script.failed(second, id, "unreachable");
    }
    let outcomes = script.outcomes().into_iter();
    let definite = outcomes.map(|(number, outcome)| (number, outcome.unwrap_err().is_definite()));
    let expected = [(repeated, false), (new, true), (fleeting, true)];
    assert_eq!(definite.collect::<Vec<_>>(), expected);
}

#[test]
fn a_code_that_leaves_it_open_is_not_definite_on_the_first_connection_either() {
    let (mut script, first) = Script::welcomed(|_| {});
    script.request("1", true);
    script.failed(first, "1", "unknown");
    let (_, outcome) = script.outcomes().remove(0);
    let error = outcome.unwrap_err();
    assert!(!error.is_definite(), "{error:?}");
    assert!(error.to_string().ends_with("all the same"), "{error}");
}

#[test]
fn what_a_later_node_does_not_take_may_have_been_accepted_by_an_earlier_one() {
    let (mut script, first) = Script::welcomed(|_| {});
    let number = script.request("four!", true);
    script.broken(first);
    let new = script.request("five!", true);
    let second = script.connects_again();
    script.text(
        second,
        r#"{"type":"welcome","node":"n2","max_message_bytes":4}"#,
    );
    let error = |definite| SendError::TooLarge {
        bytes: 5,
        bytes_max: 4,
        definite,
    };
    let expected = [(number, Err(error(false))), (new, Err(error(true)))];
    assert_eq!(script.outcomes(), expected);
    assert!(!error(false).is_definite() && error(true).is_definite());
}

#[test]
fn an_id_that_waits_for_its_receipt_is_not_taken_twice() {
    let (mut script, first) = Script::welcomed(|_| {});
    script.request("1", true);
    let again = script.machine.request("1", "1".into(), true);
    assert_eq!(again, Err(SendError::IdInUse));
    script.sent(first, "1");
    script.request("1", true);
}

#[test]
fn what_the_node_does_not_take_is_not_written() {
    let mut script = Script::of(&["a:1"], |_| {});
    let connection = script.connects_to("a:1");
    script.text(
        connection,
        r#"{"type":"welcome","node":"n1","max_message_bytes":4}"#,
    );
    let text: Arc<str> = "four!".into();
    let number = script.machine.request("1", text, true).unwrap();
    script.collect();
    let (bytes, bytes_max) = (5, 4);
    let error = SendError::TooLarge {
        bytes,
        bytes_max,
        definite: true,
    };
    assert_eq!(script.outputs(), [Output::Settle(number, Err(error))]);
    script.request("four", true);
    assert_eq!(script.writes().len(), 1);
}

#[test]
fn the_end_settles_everything_and_says_what_was_never_sent() {
    let (mut script, first) = Script::welcomed(|_| {});
    let written = script.request("1", true);
    script.broken(first);
    let waits = script.request("2", false);
    script.pass_to_deadline();
    let second = script.connects_to("a:1");
    script.input(second, Input::Failed(refusal(403)));
    assert_eq!(
        script.outputs(),
        [
            Output::Settle(written, Err(SendError::Unknown(refusal(403)))),
            Output::Settle(waits, Err(SendError::NotSent(refusal(403)))),
        ]
    );
    assert_eq!(script.events().last(), Some(&Event::Ended(refusal(403))));
    let after = script.machine.request("3", "3".into(), true);
    assert_eq!(after, Err(SendError::NotSent(refusal(403))));
}

#[test]
fn a_close_waits_for_receipts_and_takes_nothing_new() {
    let (mut script, first) = Script::welcomed(|_| {});
    script.request("1", true);
    script.machine.close(script.now);
    script.message(first, "late", Some(1));
    script.outputs();
    let refused = script.machine.request("2", "2".into(), true);
    assert_eq!(refused, Err(SendError::NotSent(Error::ByProgram)));
    assert_eq!(script.machine.end(), None);
    script.sent(first, "1");
    let outputs = script.outputs();
    assert!(
        matches!(&outputs[..], [Output::Settle(_, Ok(_)), Output::Close(c)] if *c == first),
        "{outputs:?}"
    );
    assert_eq!(script.machine.end(), Some(&Error::ByProgram));
    assert!(script.messages().is_empty());
}

#[test]
fn a_close_does_not_wait_for_ever() {
    let (mut script, first) = Script::welcomed(|_| {});
    let number = script.request("1", true);
    script.outputs();
    script.machine.close(script.now);
    script.pass_to_deadline();
    let error = SendError::Unknown(Error::ByProgram);
    assert_eq!(
        script.outputs(),
        [Output::Close(first), Output::Settle(number, Err(error))]
    );
}

#[test]
fn a_close_goes_on_through_a_break_while_receipts_are_missing() {
    let (mut script, first) = Script::welcomed(|_| {});
    script.request("1", true);
    script.machine.close(script.now);
    script.broken(first);
    script.outputs();
    script.pass_to_deadline();
    let second = script.connects_to("a:1");
    script.welcome(second, "n1");
    assert_eq!(ids(&script.writes(), second), ["1"]);
    script.sent(second, "1");
    assert_eq!(script.machine.end(), Some(&Error::ByProgram));
}
