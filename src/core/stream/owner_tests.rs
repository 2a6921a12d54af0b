//! What senders hear of an owner whose holders come, go and are silent.

use std::time::Duration;

use super::fixtures::{LIMITS, Moment, Told, accepted, epoch, holder, message, node, settle};
use super::*;
use crate::core::peer::{Answer, Install, Outcome};
use crate::id::StreamKey;

fn append(streams: &mut Streams<char>, moment: &Moment, key: &StreamKey, id: &str, from: char) {
    moment.with(|ctx| streams.append(ctx, key, message(id, 1), None, from));
}

/// An inbox of `n1` and `n2`, and then of `n1` and `n3`, if there is one; both have `m1`.
fn kept(moment: &Moment) -> (Streams<char>, StreamKey) {
    let three = Moment::of(&["n1", "n2", "n3"], 0);
    let key = three.inboxes_of(&["n1", "n2", "n3"]).next().unwrap();
    let mut streams = Streams::new(holder("n1"));
    append(&mut streams, moment, &key, "m1", 'a');
    let told = Told::when_all_say(Outcome::Done, &mut streams, moment);
    assert_eq!(told.answers, [accepted('a', 2, false)]);
    (streams, key)
}

#[test]
fn a_repeat_is_not_said_to_be_on_a_holder_that_has_nothing_yet() {
    let both = Moment::of(&["n1", "n2", "n3"], 1);
    let (mut streams, key) = kept(&both);
    append(&mut streams, &both, &key, "m1", 'b');
    let told = Told::by(&mut streams);
    assert_eq!(told.answers, [accepted('b', 2, true)], "at once");

    // The next holder is asked to take everything, and has not done so.
    let next = Moment::of(&["n1", "n3"], 2);
    next.with(|ctx| streams.on_view(ctx));
    append(&mut streams, &next, &key, "m1", 'c');
    let told = Told::by(&mut streams);
    assert_eq!((told.answers, told.asked.len()), (Vec::new(), 1));
    settle(&mut streams, &next, told.asked, Outcome::Done);
    let told = Told::by(&mut streams);
    assert_eq!(told.answers, [accepted('c', 2, true)]);
}

#[test]
fn what_too_few_have_is_shown_and_not_accepted() {
    let two = |names, number| {
        let mut moment = Moment::of(names, number);
        moment.config.min_copies = 2;
        moment
    };
    let both = two(&["n1", "n2"], 1);
    let (mut streams, key) = kept(&both);
    append(&mut streams, &both, &key, "m2", 'a');
    assert_eq!(
        Told::by(&mut streams).answers,
        [],
        "the other one is silent"
    );

    let alone = two(&["n1"], 2);
    alone.with(|ctx| streams.on_view(ctx));
    for (id, from) in [("m1", 'b'), ("m2", 'c')] {
        append(&mut streams, &alone, &key, id, from);
    }
    append(&mut streams, &alone, &key, "m3", 'd');
    let unknown = |from| (from, Outcome::Unknown, Answer::None);
    let refused = ('d', Outcome::Unreachable, Answer::None);
    assert_eq!(
        Told::by(&mut streams).answers,
        [unknown('a'), unknown('b'), unknown('c'), refused]
    );
    assert_eq!(streams.shown(&key).unwrap().1, 2);

    let both = two(&["n1", "n2"], 3);
    both.with(|ctx| streams.on_view(ctx));
    for (id, from) in [("m1", 'b'), ("m2", 'c')] {
        append(&mut streams, &both, &key, id, from);
    }
    let told = Told::when_all_say(Outcome::Done, &mut streams, &both);
    assert_eq!(
        told.answers,
        [accepted('b', 2, true), accepted('c', 2, true)]
    );
}

#[test]
fn one_that_takes_over_alone_accepts_nothing_if_it_is_too_few() {
    let both = Moment::of(&["n1", "n2"], 1);
    let key = both.inboxes_of(&["n2", "n1"]).next().unwrap();
    let mut log = Log::new(epoch(1));
    log.append(both.now, message("m1", 1), &LIMITS).unwrap();
    let install = Install {
        key: key.clone(),
        number: 1,
        holders: vec![holder("n2"), holder("n1")],
        seq: 2,
        snapshot: log.snapshot(both.now),
    };
    let mut streams = Streams::new(holder("n1"));
    let installed = both.with(|ctx| streams.install(ctx, &holder("n2"), install));
    assert_eq!(installed, (Outcome::Done, Answer::None));
    let mut alone = Moment::of(&["n1"], 2);
    alone.config.min_copies = 2;
    alone.with(|ctx| streams.on_view(ctx));
    append(&mut streams, &alone, &key, "m1", 'a');
    let told = Told::by(&mut streams);
    assert_eq!(told.answers, [('a', Outcome::Unknown, Answer::None)]);
}

/// Ticks from one time to another, while nobody answers.
fn ticks(streams: &mut Streams<char>, moment: &mut Moment, ms: std::ops::Range<u64>) -> Told {
    let mut all = Told::default();
    for ms in ms.step_by(50) {
        moment.now = Duration::from_millis(ms);
        moment.with(|ctx| streams.tick(ctx, |_| true));
        let told = Told::by(streams);
        all.asked.extend(told.asked);
        all.slow.extend(told.slow);
    }
    all
}

#[test]
fn a_full_queue_to_a_holder_is_not_its_silence() {
    let mut both = Moment::of(&["n1", "n2"], 1);
    let (mut streams, key) = kept(&both);
    ticks(&mut streams, &mut both, 950..1000);
    // One time it was silent, as when its connection breaks …
    append(&mut streams, &both, &key, "m2", 'a');
    let asked = Told::by(&mut streams).asked;
    settle(&mut streams, &both, asked, Outcome::Unknown);
    // … and then there is so much for it that it is not asked, or is refused by the queue.
    both.room = Room::Full;
    let told = ticks(&mut streams, &mut both, 1000..5000);
    assert_eq!((told.slow, told.asked.len()), (Vec::new(), 0));
    both.room = Room::Free;
    let told = ticks(&mut streams, &mut both, 5000..5050);
    assert_eq!(told.asked.len(), 1);
    settle(&mut streams, &both, told.asked, Outcome::Busy);
    both.room = Room::Full;
    let told = ticks(&mut streams, &mut both, 5050..7000);
    assert_eq!((told.slow, told.asked.len()), (Vec::new(), 0));
    // From now on it is silent.
    both.room = Room::Free;
    let told = ticks(&mut streams, &mut both, 7000..8400);
    assert_eq!((told.slow, told.asked.len()), (Vec::new(), 1));
    let told = ticks(&mut streams, &mut both, 8400..8600);
    assert_eq!(told.slow, [node("n2")]);
}

#[test]
fn a_holder_of_a_busy_stream_that_was_silent_once_is_not_given_up_at_the_next_time() {
    let mut both = Moment::of(&["n1", "n2"], 1);
    let (mut streams, key) = kept(&both);
    ticks(&mut streams, &mut both, 950..1000);
    append(&mut streams, &both, &key, "m2", 'a');
    let asked = Told::by(&mut streams).asked;
    settle(&mut streams, &both, asked, Outcome::Unknown);
    // More comes before each answer of it.
    let mut asked = ticks(&mut streams, &mut both, 1000..1200).asked;
    for id in ["m3", "m4", "m5"] {
        append(&mut streams, &both, &key, id, 'a');
        settle(&mut streams, &both, asked, Outcome::Done);
        asked = Told::by(&mut streams).asked;
        assert_eq!(asked.len(), 1);
    }
    let told = ticks(&mut streams, &mut both, 1200..3000);
    assert_eq!((told.slow, told.asked.len()), (Vec::new(), 0));
    settle(&mut streams, &both, asked, Outcome::Unknown);
    let told = ticks(&mut streams, &mut both, 3000..4400);
    assert_eq!((told.slow, told.asked.len()), (Vec::new(), 1));
    let told = ticks(&mut streams, &mut both, 4400..4600);
    assert_eq!(told.slow, [node("n2")]);
}

#[test]
fn a_stream_is_starting_until_it_was_told_that_it_is_served() {
    let alone = Moment::of(&["n1"], 1);
    let key = alone.inboxes_of(&["n1"]).next().unwrap();
    let mut streams = Streams::new(holder("n1"));
    append(&mut streams, &alone, &key, "m1", 'a');
    assert!(streams.shown(&key).is_some() && streams.is_starting(&key));
    let told = Told::by(&mut streams);
    assert_eq!(told.answers, [accepted('a', 1, false)]);
    assert!(!streams.is_starting(&key));
}
