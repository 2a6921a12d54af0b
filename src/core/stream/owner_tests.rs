//! What senders hear of an owner whose holders come, go and are silent.

use super::fixtures::{Moment, Told, accepted, holder, message, settle};
use super::*;
use crate::core::peer::Outcome;
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
