//! What senders hear of an owner whose holders come, go and are silent.

use super::fixtures::{LIMITS, Moment, Told, accepted, epoch, holder, message, settle};
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
