//! The first connection, redirects on the way to it, and new ones after it.

use super::*;

#[test]
fn the_first_connection_says_who_and_where_from() {
    let mut script = Script::of(&["a:1"], |options| {
        options.user = Some("Zoë&co".to_owned());
        options.resume = Some(Position::new("e-1", 17));
    });
    let (_, _, path, given) = script.connects();
    assert_eq!(
        path,
        "/ws?user=Zo%C3%AB%26co&redirect=http&epoch=e-1&offset=17"
    );
    assert!(given);
}

#[test]
fn a_client_that_is_not_to_be_redirected_says_so() {
    let mut script = Script::of(&["a:1"], |options| options.follow_redirects = false);
    assert_eq!(script.connects().2, "/ws?user=alice&redirect=never");
}

#[test]
fn redirects_of_both_kinds_are_followed_and_see_no_token() {
    let mut script = Script::of(&["a:1"], |_| {});
    let first = script.connects_to("a:1");
    let url = "//b:2/ws?user=alice&hop=1".to_owned();
    script.input(first, Input::Redirected(url));
    let (second, target, path, given) = script.connects();
    assert_eq!((target.as_str(), given), ("b:2", false));
    assert_eq!(path, "/ws?user=alice&hop=1");
    let redirect = r#"{"type":"redirect","url":"ws://c:3/ws?ticket=t","reason":"not_owner"}"#;
    script.text(second, redirect);
    assert!(script.outputs.contains(&Output::Close(second)));
    let third = script.connects_to("c:3");
    script.closed(second, 4307);
    script.welcome(third, "n3");
    assert_eq!(script.machine.stats().redirects, 2);
    let events = script.events();
    assert!(
        matches!(&events[..], [Event::Redirected { to, .. }, Event::Redirected { .. },
            Event::Connected { node, .. }] if to == "b:2" && node == "n3"),
        "{events:?}"
    );
}

#[test]
fn five_redirects_in_a_row_are_followed_and_no_sixth() {
    let mut script = Script::of(&["a:1"], |_| {});
    for _ in 0..=5 {
        let connection = script.connects().0;
        script.input(connection, Input::Redirected("/ws?x".to_owned()));
    }
    assert_eq!(script.outputs(), []);
    let end = script.machine.end().unwrap().to_string();
    assert_eq!(end, "a:1 redirected more than 5 times");
}

#[test]
fn at_the_start_every_node_is_tried_once() {
    let mut script = Script::of(&["a:1", "b:2"], |_| {});
    let first = script.connects_to("a:1");
    script.input(first, Input::Failed(connect_error()));
    script.pass(Duration::ZERO);
    let second = script.connects_to("b:2");
    assert_eq!(script.machine.end(), None);
    script.input(second, Input::Failed(connect_error()));
    assert_eq!(script.machine.end(), Some(&connect_error()));
    assert_eq!(script.events(), [Event::Ended(connect_error())]);
}

#[test]
fn a_client_that_keeps_trying_waits_longer_after_each_round() {
    let mut script = Script::of(&["a:1", "b:2"], |options| options.keep_trying = true);
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        for node in ["a:1", "b:2"] {
            let connection = script.connects_to(node);
            script.input(connection, Input::Failed(connect_error()));
            if node == "a:1" {
                script.pass(Duration::ZERO);
            }
        }
        let wait = script.machine.next_deadline().unwrap() - script.now;
        assert!(wait <= 30 * SECOND);
        longest = longest.max(wait);
        script.pass_to_deadline();
    }
    assert!(longest > 5 * SECOND, "{longest:?}");
}

#[test]
fn a_connection_without_a_welcome_is_given_up() {
    let mut script = Script::of(&["a:1"], |_| {});
    let first = script.connects_to("a:1");
    script.pass_to_deadline();
    assert_eq!(script.outputs(), [Output::Drop(first)]);
    let end = script.machine.end().unwrap();
    assert!(matches!(end, Error::Timeout { .. }), "{end}");
}

#[test]
fn close_codes_say_whether_to_connect_again() {
    for (code, again) in [
        (1000, false),
        (1001, true),
        (1002, false),
        (1005, false),
        (1006, true),
        (1009, false),
        (1012, true),
        (1013, true),
        (4307, true),
        (4408, true),
        (4499, true),
        (4500, false),
        (4511, false),
    ] {
        let (mut script, connection) = Script::welcomed(|_| {});
        script.events();
        script.closed(connection, code);
        let events = script.events();
        if again {
            assert!(
                matches!(&events[..], [Event::Disconnected { .. }]),
                "{code}: {events:?}"
            );
            script.pass_to_deadline();
            script.connects_to("a:1");
        } else {
            assert!(
                matches!(&events[..], [Event::Ended(Error::Closed { code: c, .. })] if *c == code),
                "{code}: {events:?}"
            );
            assert_eq!(script.machine.next_deadline(), None);
        }
    }
}

#[test]
fn after_a_break_the_client_starts_again_from_its_nodes_with_its_position() {
    let mut script = Script::of(&["a:1"], |_| {});
    let first = script.connects_to("a:1");
    script.input(first, Input::Redirected("//b:2/ws?hop=1".to_owned()));
    let second = script.connects_to("b:2");
    script.welcome_at(second, "e", 3);
    script.message(second, "1", Some(4));
    script.broken(second);
    script.pass_to_deadline();
    let (_, target, path, given) = script.connects();
    assert_eq!((target.as_str(), given), ("a:1", true));
    assert_eq!(path, "/ws?user=alice&redirect=http&epoch=e&offset=4");
}

#[test]
fn refusals_for_good_end_a_client_and_others_do_not() {
    for (status, again) in [(401, false), (404, false), (429, true), (503, true)] {
        let (mut script, connection) = Script::welcomed(|_| {});
        script.broken(connection);
        script.pass_to_deadline();
        let next = script.connects_to("a:1");
        script.input(next, Input::Failed(refusal(status)));
        assert_eq!(script.machine.end().is_none(), again, "{status}");
    }
}

#[test]
fn a_ticket_that_is_refused_sends_the_client_back_to_its_nodes() {
    let (mut script, connection) = Script::welcomed(|_| {});
    script.broken(connection);
    script.pass_to_deadline();
    let next = script.connects_to("a:1");
    script.input(next, Input::Redirected("//b:2/ws?ticket=spent".to_owned()));
    let next = script.connects_to("b:2");
    script.input(next, Input::Failed(refusal(401)));
    assert_eq!(script.machine.end(), None);
    script.pass_to_deadline();
    script.connects_to("a:1");
}

#[test]
fn an_error_in_place_of_the_welcome_is_the_reason_of_the_end() {
    let mut script = Script::of(&["a:1"], |options| options.keep_trying = true);
    let first = script.connects_to("a:1");
    script.text(
        first,
        r#"{"type":"error","code":"not_allowed","message":"no"}"#,
    );
    script.closed(first, 4503);
    let end = script.machine.end().unwrap().to_string();
    assert_eq!(end, "a:1 refused: not_allowed, no");
}

#[test]
fn repeats_after_a_break_are_dropped_and_counted() {
    let (mut script, first) = Script::welcomed(|_| {});
    script.message(first, "1", Some(1));
    script.message(first, "2", Some(2));
    script.broken(first);
    script.pass_to_deadline();
    let second = script.connects_to("a:1");
    script.welcome_at(second, "f", 0);
    script.message(second, "1", Some(1));
    script.message(second, "2", Some(2));
    script.message(second, "3", Some(3));
    assert_eq!(script.messages(), ["1", "2", "3"]);
    let stats = script.machine.stats();
    assert_eq!((stats.repeats_dropped, stats.reconnects), (2, 1));
}
