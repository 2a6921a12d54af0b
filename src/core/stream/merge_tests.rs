use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::core::stream::fixtures::{epoch, message};
use crate::core::stream::{LogLimits, Resume};

const WIDE: LogLimits = LogLimits {
    entries_max: 1000,
    bytes_max: 1_000_000,
    kept_entries_max: 1000,
    kept_bytes_max: 1_000_000,
    age_max: Duration::from_secs(1_000_000),
    seen_max: 1000,
    seen_age: Duration::from_secs(1_000_000),
};

fn append(log: &mut Log, now: u64, id: &str, limits: &LogLimits) -> bool {
    log.append(Duration::from_secs(now), message(id, 1), limits)
        .is_ok()
}

fn ids_of(log: &Log) -> Vec<&str> {
    log.after(0).map(|entry| entry.message.id()).collect()
}

fn replayed(log: &Log, position: Position) -> (Option<bool>, Vec<&str>) {
    let resumed = log.resume(Resume::At(position));
    let ids = log.after(resumed.position.offset);
    let ids = ids.filter(|entry| resumed.wants(entry));
    (resumed.recovered, ids.map(|e| e.message.id()).collect())
}

/// Both sides have 1 and 2; then the winner wrote `ours` and the loser `theirs`.
fn split(ours: &[&str], theirs: &[&str]) -> (Log, Log) {
    let mut winner = Log::new(epoch(1));
    for id in ["1", "2"] {
        append(&mut winner, 1, id, &WIDE);
    }
    let mut loser = winner.clone();
    loser.open_epoch(epoch(2));
    for id in ours {
        append(&mut winner, 2, id, &WIDE);
    }
    for id in theirs {
        append(&mut loser, 2, id, &WIDE);
    }
    (winner, loser)
}

#[test]
fn the_tail_of_the_loser_comes_behind_both_ends_in_its_order() {
    let (mut winner, loser) = split(&["a", "b"], &["x", "y", "z"]);
    winner.merge(&loser, epoch(3));
    assert_eq!(ids_of(&winner), ["1", "2", "a", "b", "x", "y", "z"]);
    let offsets: Vec<u64> = winner.after(4).map(|entry| entry.offset).collect();
    assert_eq!(offsets, [6, 7, 8]);
}

#[test]
fn clients_of_either_side_get_what_they_have_not_seen_and_nothing_twice() {
    let (mut winner, loser) = split(&["a", "b"], &["x", "y"]);
    let seen_a = Position {
        epoch: epoch(1),
        offset: 3,
    };
    let seen_x = Position {
        epoch: epoch(2),
        offset: 3,
    };
    let both = Position {
        epoch: epoch(2),
        offset: 2,
    };
    winner.merge(&loser, epoch(3));
    assert_eq!(replayed(&winner, seen_a), (Some(true), vec!["b", "x", "y"]));
    assert_eq!(replayed(&winner, seen_x), (Some(true), vec!["a", "b", "y"]));
    assert_eq!(
        replayed(&winner, both),
        (Some(true), vec!["a", "b", "x", "y"])
    );
}

#[test]
fn a_message_that_was_repeated_on_the_other_side_is_there_once() {
    let (mut winner, loser) = split(&["a", "m"], &["m", "x"]);
    let seen_m = Position {
        epoch: epoch(2),
        offset: 3,
    };
    winner.merge(&loser, epoch(3));
    assert_eq!(ids_of(&winner), ["1", "2", "a", "m", "x"]);
    assert_eq!(replayed(&winner, seen_m), (Some(true), vec!["a", "x"]));
}

#[test]
fn what_was_acked_on_either_side_is_acked() {
    let (mut winner, mut loser) = split(&["a", "m"], &["m", "x", "y"]);
    let tip = Position {
        offset: 4,
        ..loser.tip()
    };
    loser.ack(tip, &WIDE);
    winner.merge(&loser, epoch(3));
    assert_eq!(winner.acked(), 2);
    let resumed = winner.resume(Resume::Fresh);
    let waiting = winner.replay(&resumed).map(|e| e.message.id());
    assert_eq!(waiting.collect::<Vec<_>>(), ["a", "y"]);
    assert_eq!(winner.waiting().0, 2);
}

#[test]
fn an_ack_from_the_losing_side_covers_what_was_seen_there() {
    let (mut winner, loser) = split(&["a"], &["x", "y"]);
    winner.merge(&loser, epoch(3));
    let seen_x = Position {
        epoch: epoch(2),
        offset: 3,
    };
    winner.ack(seen_x, &WIDE);
    let resumed = winner.resume(Resume::Fresh);
    let waiting = winner.replay(&resumed).map(|e| e.message.id());
    assert_eq!(waiting.collect::<Vec<_>>(), ["a", "y"]);
}

#[test]
fn merging_twice_or_merging_a_copy_left_behind_changes_nothing() {
    let (mut winner, loser) = split(&["a"], &["x"]);
    let behind = winner.clone();
    winner.merge(&loser, epoch(3));
    let before = format!("{winner:?}");
    winner.merge(&loser, epoch(4));
    winner.merge(&behind, epoch(5));
    assert_eq!(format!("{winner:?}"), before);
}

#[test]
fn a_loser_that_writes_on_is_merged_again_and_then_included() {
    let (mut winner, mut loser) = split(&["a"], &["x"]);
    winner.merge(&loser, epoch(3));
    append(&mut loser, 3, "y", &WIDE);
    winner.merge(&loser, epoch(4));
    assert_eq!(ids_of(&winner), ["1", "2", "a", "x", "y"]);
    assert!(winner.includes(&loser));
    assert_eq!(replayed(&winner, loser.tip()), (Some(true), vec!["a"]));
    let x = &winner.entries[3];
    assert_eq!(x.origins.as_ref().map(|origins| origins.len()), Some(1));
}

#[test]
fn merged_epochs_are_bounded_too() {
    let (mut winner, _) = split(&[], &[]);
    for number in 0..100 {
        let mut loser = Log::new(epoch(1000 + number));
        append(&mut loser, 3, &format!("x{number}"), &WIDE);
        winner.merge(&loser, epoch(2000 + number));
        assert!(winner.includes(&loser));
        assert!(winner.branches.len() <= 64);
    }
}

#[test]
fn what_the_loser_no_longer_has_is_not_promised_to_anybody() {
    let narrow = LogLimits {
        entries_max: 1,
        kept_entries_max: 1,
        ..WIDE
    };
    let (mut winner, mut loser) = split(&["a"], &["x", "y"]);
    loser.ack(loser.tip(), &narrow);
    assert_eq!(ids_of(&loser), ["y"], "x was acked and evicted");
    let tip = winner.tip();
    winner.merge(&loser, epoch(3));
    assert_eq!(replayed(&winner, tip), (Some(false), vec!["y"]));
}

#[test]
fn what_the_loser_lost_to_age_is_missing_even_if_nothing_is_left_of_its_tail() {
    let (mut winner, mut loser) = split(&["a"], &["x"]);
    let brief = LogLimits {
        age_max: Duration::from_secs(10),
        ..WIDE
    };
    assert_eq!(loser.expire(Duration::from_secs(20), &brief), 3);
    let tip = winner.tip();
    winner.merge(&loser, epoch(3));
    assert_eq!(replayed(&winner, tip), (Some(false), vec![]));
    assert_eq!(replayed(&winner, winner.tip()), (Some(true), vec![]));
}

/// One step of a history of logs that fork and merge.
#[derive(Debug, Clone)]
enum Step {
    Append { log: usize, id: u8 },
    Ack { log: usize },
    Expire { log: usize },
    TakeOver { log: usize },
    Fork { log: usize, both: bool },
    Connect { log: usize },
    Merge { into: usize, from: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let log = 0..4_usize;
    prop_oneof![
        6 => (log.clone(), 0..60_u8).prop_map(|(log, id)| Step::Append { log, id }),
        1 => log.clone().prop_map(|log| Step::Ack { log }),
        1 => log.clone().prop_map(|log| Step::Expire { log }),
        1 => log.clone().prop_map(|log| Step::TakeOver { log }),
        1 => (log.clone(), any::<bool>()).prop_map(|(log, both)| Step::Fork { log, both }),
        3 => log.clone().prop_map(|log| Step::Connect { log }),
        1 => (log.clone(), log).prop_map(|(into, from)| Step::Merge { into, from }),
    ]
}

/// A log, and all that was ever accepted into it.
#[derive(Clone)]
struct Side {
    log: Log,
    accepted: BTreeSet<String>,
}

/// What a client knows that left a side at its tip.
struct Client {
    position: Position,
    seen: BTreeSet<String>,
}

fn run(steps: &[Step], limits: &LogLimits) -> (Side, Vec<Client>) {
    let mut sides = vec![Side {
        log: Log::new(epoch(1)),
        accepted: BTreeSet::new(),
    }];
    let mut clients = Vec::new();
    let mut epochs = (2..).map(epoch);
    let mut fresh = || epochs.next().expect("there is no end");
    for (now, step) in (1_u64..).zip(steps) {
        let count = sides.len();
        match *step {
            Step::Append { log, id } => {
                let side = &mut sides[log % count];
                let id = id.to_string();
                if append(&mut side.log, now, &id, limits) {
                    side.accepted.insert(id);
                }
            }
            Step::Ack { log } => {
                let log = &mut sides[log % count].log;
                log.ack(log.tip(), limits);
            }
            Step::Expire { log } => {
                let log = &mut sides[log % count].log;
                log.expire(Duration::from_secs(now), limits);
            }
            Step::TakeOver { log } => sides[log % count].log.open_epoch(fresh()),
            Step::Fork { log, both } => {
                let mut copy = sides[log % count].clone();
                copy.log.open_epoch(fresh());
                if both {
                    sides[log % count].log.open_epoch(fresh());
                }
                sides.push(copy);
            }
            Step::Connect { log } => {
                let side = &sides[log % count];
                clients.push(Client {
                    position: side.log.tip(),
                    seen: side.accepted.clone(),
                });
            }
            Step::Merge { into, from } if into % count != from % count => {
                let from = sides[from % count].clone();
                let into = &mut sides[into % count];
                into.log.merge(&from.log, fresh());
                assert!(into.log.includes(&from.log), "nothing is left to offer");
                into.accepted.extend(from.accepted);
            }
            Step::Merge { .. } => {}
        }
    }
    let mut last = sides.remove(0);
    for side in sides {
        last.log.merge(&side.log, fresh());
        last.accepted.extend(side.accepted);
    }
    (last, clients)
}

proptest! {
    #[test]
    fn however_logs_fork_and_merge_every_client_gets_all_that_was_accepted(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let (last, clients) = run(&steps, &WIDE);
        let there: Vec<&str> = ids_of(&last.log);
        let distinct: BTreeSet<String> = there.iter().map(ToString::to_string).collect();
        prop_assert_eq!(distinct.len(), there.len(), "nothing is there twice");
        prop_assert_eq!(&distinct, &last.accepted, "nothing is lost");
        for client in &clients {
            let (_, replayed) = replayed(&last.log, client.position);
            let mut has = client.seen.clone();
            has.extend(replayed.iter().map(ToString::to_string));
            prop_assert_eq!(&has, &last.accepted, "{:?}", client.position);
        }
    }

    #[test]
    fn recovered_is_said_only_to_a_client_that_misses_nothing(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let narrow = LogLimits {
            entries_max: 5,
            kept_entries_max: 5,
            age_max: Duration::from_secs(40),
            ..WIDE
        };
        let (last, clients) = run(&steps, &narrow);
        for client in &clients {
            let (recovered, replayed) = replayed(&last.log, client.position);
            if recovered == Some(true) {
                let mut has = client.seen.clone();
                has.extend(replayed.iter().map(ToString::to_string));
                prop_assert_eq!(&has, &last.accepted, "{:?}", client.position);
            }
        }
    }

    #[test]
    fn after_one_split_nobody_is_replayed_what_was_seen(
        before in 0..5_u8, ours in prop::collection::vec(0..20_u8, 0..10),
        theirs in prop::collection::vec(0..20_u8, 0..10), both in any::<bool>(),
    ) {
        let mut sides = [Log::new(epoch(1)), Log::new(epoch(1))];
        for id in 100..100 + before {
            append(&mut sides[0], 1, &id.to_string(), &WIDE);
        }
        sides[1] = sides[0].clone();
        sides[1].open_epoch(epoch(2));
        if both {
            sides[0].open_epoch(epoch(3));
        }
        let mut clients = Vec::new();
        for (side, ids) in sides.iter_mut().zip([ours, theirs]) {
            for id in ids {
                append(side, 2, &id.to_string(), &WIDE);
                let seen: Vec<String> = ids_of(side).iter().map(ToString::to_string).collect();
                clients.push((side.tip(), seen));
            }
        }
        let [mut winner, loser] = sides;
        winner.merge(&loser, epoch(4));
        for (position, seen) in &clients {
            let (recovered, replayed) = replayed(&winner, *position);
            prop_assert_eq!(recovered, Some(true));
            for id in replayed {
                prop_assert!(!seen.iter().any(|s| s == id), "{id} again from {position:?}");
            }
        }
    }
}
