//! Lanes, and what becomes of their messages.

use std::time::Instant;

use super::*;
use crate::id::UserId;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn inbox(name: &str) -> StreamKey {
    StreamKey::Inbox(user(name))
}

fn message(id: &str) -> Message {
    Message::new(&user("a"), id, "1", 0, false)
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn push(lanes: &mut Lanes<char>, id: &str) -> Option<Attempt> {
    let message = (message(id), None);
    lanes.push(&inbox("b"), (SessionId(1), 's'), message, at(1000))
}

/// What is sent again.
fn retried(lanes: &mut Lanes<char>, now: Duration, news: bool) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let send = |attempt| {
        attempts.push(attempt);
        true
    };
    lanes.retry(now, news, |_| false, send);
    attempts
}

fn accepted() -> Answer {
    Answer::Accepted {
        copies: 2,
        duplicate: false,
    }
}

#[test]
fn a_message_names_the_one_before_it_that_has_no_outcome() {
    let mut lanes = Lanes::default();
    let first = push(&mut lanes, "1").unwrap();
    assert_eq!(first.append.previous, None);
    let second = push(&mut lanes, "2").unwrap();
    assert_eq!(second.append.previous, Some(message("1").key()));
    for attempt in [first, second] {
        let settled = lanes.outcome(at(1), &attempt.ticket, Outcome::Done, &accepted());
        assert_eq!(settled.unwrap().message, attempt.append.message);
    }
    assert!(lanes.is_empty());
    assert_eq!(push(&mut lanes, "3").unwrap().append.previous, None);
}

#[test]
fn every_message_of_a_lane_has_a_sender_of_its_own() {
    let mut lanes = Lanes::default();
    let mut push = |id, sender| {
        let message = (message(id), None);
        let attempt = lanes.push(&inbox("b"), (SessionId(1), sender), message, at(1000));
        attempt.unwrap().ticket
    };
    // The second is the repeat of the first.
    let tickets = [push("1", 's'), push("1", 't'), push("2", 'u')];
    let senders = tickets.map(|ticket| {
        let settled = lanes.outcome(at(1), &ticket, Outcome::Done, &accepted());
        settled.unwrap().sender
    });
    assert_eq!(senders, ['s', 't', 'u']);
    assert!(lanes.is_empty());
}

#[test]
fn after_a_refusal_everything_is_sent_again_in_order() {
    let mut lanes = Lanes::default();
    let first = push(&mut lanes, "1").unwrap();
    let second = push(&mut lanes, "2").unwrap();
    let refused = |lanes: &mut Lanes<char>, attempt: &Attempt, outcome| {
        lanes.outcome(at(1), &attempt.ticket, outcome, &Answer::None)
    };
    assert_eq!(refused(&mut lanes, &first, Outcome::NotOwner), None);
    assert_eq!(push(&mut lanes, "3"), None, "it waits behind the others");
    assert_eq!(retried(&mut lanes, at(2), false), []);
    let again = retried(&mut lanes, at(60), false);
    let ids: Vec<_> = again.iter().map(|a| a.append.message.id()).collect();
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(again[1].append.previous, Some(message("1").key()));
    // What becomes of the former attempt does not count, unless it was accepted.
    assert_eq!(refused(&mut lanes, &second, Outcome::InboxFull), None);
    assert_eq!(retried(&mut lanes, at(999), false), []);
    let late = lanes.outcome(at(61), &second.ticket, Outcome::Done, &accepted());
    assert_eq!(late.unwrap().message.id(), "2");
    // All former attempts have been answered.
    let full = refused(&mut lanes, &again[0], Outcome::InboxFull);
    assert_eq!(full.unwrap().receipt, Receipt::Failed(Outcome::InboxFull));
}

#[test]
fn a_refusal_is_not_final_while_another_attempt_is_under_way() {
    let mut lanes = Lanes::default();
    push(&mut lanes, "1").unwrap();
    let second = push(&mut lanes, "2").unwrap();
    lanes.outcome(at(1), &second.ticket, Outcome::Busy, &Answer::None);
    let again = retried(&mut lanes, at(1), true);
    let full = lanes.outcome(at(1), &again[0].ticket, Outcome::InboxFull, &Answer::None);
    assert_eq!(full, None, "the first attempt may still be taken");
}

#[test]
fn a_refusal_is_final_only_if_no_owner_can_have_the_message() {
    let full = |lanes: &mut Lanes<char>, attempt: &Attempt| {
        lanes.outcome(at(1), &attempt.ticket, Outcome::InboxFull, &Answer::None)
    };
    let mut lanes = Lanes::default();
    let first = push(&mut lanes, "1").unwrap();
    let failed = Receipt::Failed(Outcome::InboxFull);
    assert_eq!(full(&mut lanes, &first).unwrap().receipt, failed);
    let second = push(&mut lanes, "2").unwrap();
    let broken = lanes.outcome(at(1), &second.ticket, Outcome::Unknown, &Answer::None);
    assert_eq!(broken, None);
    let again = retried(&mut lanes, at(1), true);
    assert_eq!(full(&mut lanes, &again[0]), None);
    let expired = lanes.expire(at(1000));
    assert_eq!(expired[0].receipt, Receipt::Failed(Outcome::Unknown));
    assert!(lanes.is_empty());
}

#[test]
fn what_was_never_on_its_way_is_unreachable_at_its_deadline() {
    let mut lanes = Lanes::default();
    let first = push(&mut lanes, "1").unwrap();
    lanes.outcome(at(1), &first.ticket, Outcome::Busy, &Answer::None);
    push(&mut lanes, "2");
    let expired = lanes.expire(at(1000));
    let receipts: Vec<_> = expired.iter().map(|s| s.receipt).collect();
    assert_eq!(receipts, [Receipt::Failed(Outcome::Unreachable); 2]);
}

#[test]
fn a_lane_ends_with_its_session() {
    let mut lanes = Lanes::default();
    push(&mut lanes, "1");
    lanes.retry(at(1), true, |_| true, |_| panic!("nothing is sent"));
    assert!(lanes.is_empty());
}

#[test]
fn behind_what_cannot_be_sent_nothing_of_its_lane_is_tried() {
    let mut lanes = Lanes::default();
    let tickets = ["1", "2", "3"].map(|id| push(&mut lanes, id).unwrap().ticket);
    for ticket in &tickets {
        lanes.outcome(at(1), ticket, Outcome::Busy, &Answer::None);
    }
    let mut tried = Vec::new();
    let send = |attempt: Attempt| {
        tried.push(attempt.append.message.id().to_owned());
        tried.len() < 2
    };
    lanes.retry(at(60), false, |_| false, send);
    assert_eq!(tried, ["1", "2"]);
    assert_eq!(push(&mut lanes, "4"), None, "the lane waits");
    assert_eq!(retried(&mut lanes, at(61), false), []);
    let again = retried(&mut lanes, at(120), false);
    let full = again.iter().map(|attempt| {
        let full = lanes.outcome(at(121), &attempt.ticket, Outcome::InboxFull, &Answer::None);
        full.is_some()
    });
    let settled: Vec<_> = full.collect();
    // Only the first was sent before, and has another attempt under way.
    assert_eq!(settled, [false, true, true, true]);
}

#[test]
fn an_answer_to_what_was_given_up_is_none_to_its_repeat() {
    let mut lanes = Lanes::default();
    let first = push(&mut lanes, "1").unwrap();
    assert_eq!(lanes.expire(at(1000)).len(), 1);
    let second = push(&mut lanes, "1").unwrap();
    let mut full = |ticket| lanes.outcome(at(1), ticket, Outcome::InboxFull, &Answer::None);
    assert_eq!(full(&first.ticket), None);
    assert!(full(&second.ticket).is_some());
}

#[test]
fn answers_for_a_long_lane_take_a_time_in_proportion_to_it() {
    let busy = |count: u32| {
        let mut lanes = Lanes::default();
        let tickets: Vec<_> = (0..count)
            .map(|n| push(&mut lanes, &n.to_string()).unwrap().ticket)
            .collect();
        let began = Instant::now();
        for ticket in &tickets {
            lanes.outcome(at(1), ticket, Outcome::Busy, &Answer::None);
        }
        began.elapsed()
    };
    // The best of some, since others work here, too.
    let best = |count| (0..3).map(|_| busy(count)).min().unwrap();
    let (short, long) = (best(2_000), best(40_000));
    // Were each looked for from the front, it would be 400 times.
    assert!(long < 100 * short, "{long:?} after {short:?}");
}
