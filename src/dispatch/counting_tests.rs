//! What is counted of messages, and what is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path as File;

use super::tests::{Hand, doubtful, doubtful_with, session, user_of, view};
use super::*;
use crate::core::peer::{Answer, Reply as Said};
use crate::core::view::Member;
use crate::core::view::MemberState::{Alive, Down, Suspect};
use crate::id::SessionId;

/// A user whom the other node owns.
fn user_elsewhere(dispatch: &Dispatch) -> UserId {
    let users = (0..100).map(|n| UserId::new(&format!("u{n}")).unwrap());
    let mut theirs = users.filter(|user| !dispatch.topology().is_mine(user.as_str()));
    theirs.next().unwrap()
}

pub(super) fn message(id: &str, to: Recipient, qos: Qos) -> Send<'_> {
    Send {
        id: id.into(),
        to,
        body: "12345",
        qos,
        notify: false,
        echo: true,
    }
}

pub(super) fn link(dispatch: &Dispatch) -> Arc<PeerLink> {
    let topology = dispatch.topology();
    Arc::clone(topology.links().next().unwrap())
}

/// A node with a connection to the other one, whose queue takes one message.
fn narrow() -> (Dispatch, Arc<Hand>, Arc<PeerLink>) {
    let (dispatch, clock) = doubtful_with(1);
    let link = link(&dispatch);
    // As `link_connected`, without what is told about guests.
    link.lock().connected();
    (dispatch, clock, link)
}

fn later(dispatch: &Dispatch, clock: &Hand, by: Duration) {
    *locked(&clock.1) += by;
    dispatch.tick();
}

/// Messages, and their bytes, that were sent on, and requests that a queue had no room for.
fn sent_on(dispatch: &Dispatch) -> (u64, u64, u64) {
    let counters = dispatch.counters();
    (
        counters.forwarded.get(),
        counters.forwarded_bytes.get(),
        counters.peer_queue_full.get(),
    )
}

#[test]
fn a_kept_message_is_sent_on_once_and_a_full_queue_counts_at_each_try() {
    let (dispatch, clock, _link) = narrow();
    let sender = session(&dispatch, &user_of(&dispatch));
    let to = StreamKey::from(&user_elsewhere(&dispatch));
    for id in ["m1", "m2"] {
        let send = message(id, Recipient::Stream(to.clone()), Qos::AtLeastOnce);
        dispatch.send(&sender, &send);
    }
    assert_eq!(sent_on(&dispatch), (1, 5, 1));
    for _ in 0..10 {
        later(&dispatch, &clock, Duration::from_millis(100));
    }
    let (messages, bytes, full) = sent_on(&dispatch);
    assert_eq!((messages, bytes), (1, 5));
    assert!(full > 5, "{full}");
}

#[test]
fn a_passing_message_that_a_full_queue_refuses_is_not_sent_on() {
    let (dispatch, _, _link) = narrow();
    let sender = session(&dispatch, &user_of(&dispatch));
    let to = StreamKey::from(&user_elsewhere(&dispatch));
    for id in ["m1", "m2", "m3"] {
        let send = message(id, Recipient::Stream(to.clone()), Qos::AtMostOnce);
        dispatch.send(&sender, &send);
    }
    assert_eq!(sent_on(&dispatch), (1, 5, 2));
}

#[test]
fn a_message_to_everyone_fills_no_queue_of_a_node_without_a_connection() {
    let (dispatch, _) = doubtful();
    let from = user_of(&dispatch);
    let send = |id| message(id, Recipient::Everyone, Qos::AtMostOnce);
    dispatch.broadcast(&from, &send("m1"));
    assert_eq!(sent_on(&dispatch), (0, 0, 0));
    link(&dispatch).lock().connected();
    dispatch.broadcast(&from, &send("m2"));
    assert_eq!(sent_on(&dispatch), (1, 5, 0));
}

#[test]
fn a_holder_is_not_passed_over_because_a_queue_of_ours_is_full() {
    let (dispatch, clock) = doubtful_with(4096);
    let link = link(&dispatch);
    link.lock().connected();
    // The other one does not say that it agrees, and is not waited for.
    later(&dispatch, &clock, Duration::from_secs(60));
    later(&dispatch, &clock, Duration::from_millis(100));
    link.take_batch(100, 1 << 20);
    let sender = session(&dispatch, &user_of(&dispatch));
    sender.outbox().open(None);
    let to = StreamKey::from(&user_of(&dispatch));
    let send = |id| {
        let send = message(id, Recipient::Stream(to.clone()), Qos::AtLeastOnce);
        dispatch.send(&sender, &send);
    };
    // Answers all copies that it is sent; says how many.
    let follow = || {
        let mut copies = 0;
        loop {
            let batch = link.take_batch(100, 1 << 20);
            if batch.is_empty() {
                return copies;
            }
            let is_copy = |request: &Request| {
                matches!(request, Request::Install(_) | Request::Replicate { .. })
            };
            for (seq, _) in batch.into_iter().filter(|(_, request)| is_copy(request)) {
                copies += 1;
                let said = Said {
                    seq,
                    outcome: Outcome::Done,
                    answer: Answer::None,
                };
                dispatch.link_reply(&link, said);
            }
        }
    };
    send("m1");
    assert_eq!(follow(), 2);
    let far = clock.now() + Duration::from_secs(60);
    let notice = || Request::Unregister {
        key: to.clone(),
        session: SessionId(1),
    };
    while link.push(notice(), None, far).is_ok() {}
    send("m2");
    for _ in 0..30 {
        later(&dispatch, &clock, Duration::from_millis(100));
    }
    link.take_batch(1000, 1 << 20);
    // It is asked, and has as long to answer as any other.
    for _ in 0..17 {
        later(&dispatch, &clock, Duration::from_millis(100));
    }
    assert_eq!(dispatch.counters().holders_passed_over.get(), 0);
    assert_eq!(follow(), 1);
    assert_eq!(dispatch.counters().accepted.get(), 2);
}

#[test]
fn a_notice_of_a_delivery_is_no_message() {
    let (dispatch, _) = doubtful();
    link(&dispatch).lock().connected();
    let mine = user_of(&dispatch);
    let theirs = user_elsewhere(&dispatch);
    let here = session(&dispatch, &mine);
    here.outbox().open(None);
    let route = |to: &UserId, content| {
        let envelope = Envelope {
            to: StreamKey::from(to),
            from: mine.clone(),
            id: "m".into(),
            content,
            ts_ms: 0,
            hops: 0,
            to_guests: false,
            trace: None,
        };
        dispatch.route(envelope, None);
    };
    let counted = || {
        let out = dispatch.counters().messages_out.get();
        (out, dispatch.counters().forwarded.get())
    };
    route(&mine, Content::Delivered);
    route(&theirs, Content::Delivered);
    assert_eq!(counted(), (0, 0));
    let body = || Content::Body(Bytes::from_static(b"1"));
    route(&mine, body());
    route(&theirs, body());
    assert_eq!(counted(), (1, 1));
}

#[test]
fn a_window_that_is_full_counts_once_until_there_is_an_answer() {
    let (dispatch, _) = doubtful();
    let link = link(&dispatch);
    link.lock().connected();
    let sender = session(&dispatch, &user_of(&dispatch));
    let to = StreamKey::from(&user_elsewhere(&dispatch));
    let full = || dispatch.counters().peer_window_full.get();
    for n in 0..10 {
        let id = format!("m{n}");
        let send = message(&id, Recipient::Stream(to.clone()), Qos::AtMostOnce);
        dispatch.send(&sender, &send);
    }
    // As many as may be under way.
    assert_eq!(link.take_batch(100, 1 << 20).len(), 10);
    assert_eq!(full(), 0);
    for id in ["over1", "over2"] {
        let send = message(id, Recipient::Stream(to.clone()), Qos::AtMostOnce);
        dispatch.send(&sender, &send);
        assert!(link.take_batch(100, 1 << 20).is_empty());
        assert_eq!(full(), 1);
    }
    let answer = |seq| Said {
        seq,
        outcome: Outcome::Done,
        answer: Answer::None,
    };
    dispatch.link_reply(&link, answer(1));
    assert_eq!(link.take_batch(100, 1 << 20).len(), 1);
    assert_eq!(full(), 2, "the second one waits anew");
}

#[test]
// Of whole seconds.
#[allow(clippy::float_cmp)]
fn histograms_tell_how_long_it_took_and_on_which_path() {
    let (dispatch, clock) = doubtful();
    let link = link(&dispatch);
    link.lock().connected();
    let mine = user_of(&dispatch);
    let sender = session(&dispatch, &mine);
    sender.outbox().open(None);
    let to = StreamKey::from(&user_elsewhere(&dispatch));
    for (id, qos) in [("kept", Qos::AtLeastOnce), ("passing", Qos::AtMostOnce)] {
        dispatch.send(&sender, &message(id, Recipient::Stream(to.clone()), qos));
    }
    let batch = link.take_batch(10, 1 << 20);
    let kinds = batch.iter().map(|(seq, request)| match request {
        Request::Append(_) => (
            *seq,
            Duration::from_secs(2),
            Answer::Accepted {
                copies: 2,
                duplicate: false,
            },
        ),
        Request::Envelope(_) => (*seq, Duration::from_secs(1), Answer::None),
        other => panic!("{other:?}"),
    });
    for (seq, took, answer) in kinds {
        *locked(&clock.1) += took;
        let outcome = Outcome::Done;
        dispatch.link_reply(
            &link,
            Said {
                seq,
                outcome,
                answer,
            },
        );
    }
    // At home, at once.
    dispatch.send(
        &sender,
        &message(
            "home",
            Recipient::Stream(StreamKey::from(&mine)),
            Qos::AtMostOnce,
        ),
    );
    let stats = dispatch.stats();
    let told = |durations: &Durations| (durations.count(), durations.sum_seconds());
    // The kept one after two seconds, and the other one another second later.
    assert_eq!(told(&stats.delivery.hop), (2, 5.0));
    assert_eq!(told(&stats.delivery.local), (1, 0.0));
    assert_eq!(told(&stats.delivery.guest), (0, 0.0));
    assert_eq!(told(&stats.receipt_qos1), (1, 2.0));
    assert_eq!(told(&stats.receipt_qos0), (2, 3.0));
    assert_eq!(told(&stats.replication), (0, 0.0));
    let within = |seconds: f64| BOUNDS.partition_point(|bound| *bound < seconds);
    assert_eq!(stats.delivery.hop.buckets[within(2.0)], 1);
    assert_eq!(stats.delivery.hop.buckets[within(3.0)], 1);
}

#[test]
fn a_member_is_suspected_once_until_it_is_not_any_more() {
    let (dispatch, _) = doubtful();
    let publish = |state| {
        let known = view(&["n1", "n2", "n3"]);
        let members = known.members.iter().map(|member| Member {
            state: if member.id.as_str() == "n2" {
                state
            } else {
                Alive
            },
            ..member.clone()
        });
        let seed = crate::core::ring::Seed(7);
        let next = View::new(known.me.clone(), seed, members.collect(), None);
        dispatch.publish(Arc::new(next));
        dispatch.counters().suspicions.get()
    };
    let states = [Alive, Suspect, Suspect, Alive, Suspect, Down];
    assert_eq!(states.map(publish), [0, 1, 1, 1, 2, 2]);
}

#[test]
fn keys_are_stale_until_they_are_fresh_again() {
    let (dispatch, _) = doubtful();
    let steps = [
        (false, false),
        (false, true),
        (true, true),
        (false, true),
        (true, false),
    ];
    let told = steps.map(|(was, is)| {
        dispatch.count_stale_keys(was, is);
        dispatch.stale_keys()
    });
    assert_eq!(told, [0, 1, 1, 2, 1]);
}

fn sources(folder: &File, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            all.extend(text.chars().filter(|c| !c.is_whitespace()));
        }
    }
}

#[test]
fn every_counter_is_counted_somewhere() {
    let mut all = String::new();
    sources(&File::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    // By itself, or by whoever chooses among several.
    let is_counted = |name: &str| {
        let ways = [".add(", ".add_many(", ")", ",", ";"];
        ways.iter()
            .any(|way| all.contains(&format!("counters.{name}{way}")))
            || all.contains(&format!("counters().{name};"))
            || all.contains(&format!("counters().{name}.add"))
            || all.contains(&format!("self.{name}.add"))
    };
    let counters = Counters::default();
    let names = counters.all().map(|(name, _, _)| name);
    let never: BTreeSet<&str> = names.filter(|name| !is_counted(name)).collect();
    assert!(never.is_empty(), "{never:?}");
}
