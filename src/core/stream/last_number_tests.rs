//! What a peer may name as a number, at its end: nothing begins anew, and nothing breaks.

use std::time::Duration;

use super::fixtures::{LIMITS, epoch, holder, message, node, view, with};
use super::*;
use crate::core::peer::{Answer, Install, Operation, Outcome};
use crate::id::{StreamKey, UserId};

const NOW: Duration = Duration::from_secs(1);

/// In the epoch that `n1` would open next by itself.
fn install(key: &StreamKey, seq: u64) -> Install {
    let mut log = Log::new(epoch(1));
    log.append(NOW, message("m1", 1), &LIMITS).unwrap();
    Install {
        key: key.clone(),
        number: u64::MAX,
        holders: vec![holder("n2"), holder("n1")],
        seq,
        snapshot: log.snapshot(NOW),
    }
}

#[test]
fn behind_the_last_number_nothing_begins_anew() {
    let both = view(&["n1", "n2"]);
    let mut keys = (0..).map(|n| StreamKey::Inbox(UserId::new(&format!("u{n}")).unwrap()));
    let key = keys.find(|key| both.owner(key.as_str()).unwrap().id == node("n2"));
    let key = key.unwrap();
    let mut streams: Streams<()> = Streams::new(holder("n1"));
    with(NOW, (&both, 1), |ctx| {
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
    with(NOW, (&view(&["n1"]), 2), |ctx| {
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
    let pulled = streams.pull(NOW, &key).unwrap();
    assert_eq!(pulled.config.number, u64::MAX);
    assert_eq!(pulled.snapshot.epoch, epoch(2));
}
