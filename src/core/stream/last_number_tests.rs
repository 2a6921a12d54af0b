//! What a peer may name as a number, at its end: nothing begins anew, and nothing breaks.

use super::fixtures::{LIMITS, Moment, epoch, holder, message};
use super::*;
use crate::core::peer::{Answer, Install, Operation, Outcome};
use crate::id::StreamKey;

/// In the epoch that `n1` would open next by itself.
fn install(key: &StreamKey, seq: u64) -> Install {
    let now = Moment::of(&[], 0).now;
    let mut log = Log::new(epoch(1));
    log.append(now, message("m1", 1), &LIMITS).unwrap();
    Install {
        key: key.clone(),
        number: u64::MAX,
        holders: vec![holder("n2"), holder("n1")],
        seq,
        snapshot: log.snapshot(now),
    }
}

#[test]
fn behind_the_last_number_nothing_begins_anew() {
    let both = Moment::of(&["n1", "n2"], 1);
    let key = both.inboxes_of(&["n2", "n1"]).next().unwrap();
    let mut streams: Streams<()> = Streams::new(holder("n1"));
    both.with(|ctx| {
        let installed = streams.install(ctx, &holder("n2"), install(&key, u64::MAX - 1));
        assert_eq!(installed, (Outcome::Done, Answer::None));
        let entry = |offset| {
            let (snapshot, message) = (install(&key, 1).snapshot, message("m2", 1));
            Operation::Append(SnapshotEntry {
                offset,
                message,
                ..snapshot.entries[0].clone()
            })
        };
        // The first gets the last number there is, and the second would get none.
        let about = (&key, u64::MAX, u64::MAX);
        let done = streams.replicate(ctx, &holder("n2"), about, vec![entry(2), entry(3)]);
        assert_eq!(done, Outcome::NotOwner);
        let again = streams.replicate(ctx, &holder("n2"), about, vec![entry(2)]);
        assert_eq!(again, Outcome::Done, "it is known");
    });
    // The owner goes, and the copy is served here, under the last number still, and in an epoch that
    // nobody has used.
    Moment::of(&["n1"], 2).with(|ctx| {
        streams.on_view(ctx);
        streams.advance(ctx);
        streams.append(ctx, &key, message("m4", 1), None, ());
    });
    let answers = std::iter::from_fn(|| streams.poll_output());
    let outcomes = answers.filter_map(|output| match output {
        Output::Answer { outcome, .. } => Some(outcome),
        _ => None,
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), [Outcome::Done]);
    let pulled = streams.pull(both.now, &key).unwrap();
    assert_eq!(pulled.config.number, u64::MAX);
    assert_eq!(pulled.snapshot.epoch, epoch(2));
}
