use super::*;
use crate::core::stream::fixtures::{epoch, message};
use crate::core::stream::{Resume, Resumed};

const LIMITS: LogLimits = LogLimits {
    entries_max: 4,
    bytes_max: 100,
    kept_entries_max: 4,
    kept_bytes_max: 100,
    age_max: Duration::from_secs(100),
    seen_max: 10,
    seen_age: Duration::from_secs(20),
};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn log_with(ids: &[&str]) -> Log {
    let mut log = Log::new(epoch(1));
    for (second, id) in (1..).zip(ids) {
        log.append(at(second), message(id, 1), &LIMITS).unwrap();
    }
    log
}

fn here(log: &Log, offset: u64) -> Position {
    Position {
        offset,
        ..log.tip()
    }
}

fn replayed(log: &Log, resumed: &Resumed) -> Vec<String> {
    let ids = log
        .replay(resumed)
        .map(|entry| entry.message.id().to_owned());
    ids.collect()
}

#[test]
fn offsets_count_from_one_and_a_repeat_takes_none() {
    let mut log = log_with(&["1", "2"]);
    let repeat = log.append(at(9), message("1", 1), &LIMITS);
    let seen = Seen {
        offset: 1,
        at: at(1),
    };
    assert_eq!(repeat, Ok(Appended::Repeat(seen)));
    let new = log.append(at(9), message("3", 1), &LIMITS);
    assert_eq!(new, Ok(Appended::New(3)));
    assert_eq!(log.tip().offset, 3);
}

#[test]
fn a_full_log_refuses_new_messages_knows_repeats_and_loses_nothing() {
    let mut log = log_with(&["1", "2", "3", "4"]);
    let refused = log.append(at(5), message("5", 1), &LIMITS);
    assert_eq!(refused, Err(Full::Unacked));
    assert!(matches!(
        log.append(at(5), message("2", 1), &LIMITS),
        Ok(Appended::Repeat(_))
    ));
    assert_eq!(log.ack(here(&log, 2), &LIMITS), [1, 2]);
    assert_eq!(log.ack(here(&log, 2), &LIMITS), [0; 0]);
    assert!(log.append(at(5), message("5", 1), &LIMITS).is_ok());
    assert!(log.append(at(5), message("6", 88), &LIMITS).is_ok());
    let refused = log.append(at(5), message("7", 1), &LIMITS);
    assert_eq!(refused, Err(Full::Unacked), "now for its bytes");
    assert_eq!(log.waiting().0, 4);
}

#[test]
fn acked_entries_go_first_and_within_the_bounds_they_are_kept() {
    let mut log = log_with(&["1", "2", "3", "4"]);
    log.ack(here(&log, 4), &LIMITS);
    assert_eq!((log.waiting().0, log.size().0), (0, 4));
    for id in ["5", "6"] {
        log.append(at(6), message(id, 1), &LIMITS).unwrap();
    }
    log.ack(here(&log, 6), &LIMITS);
    assert_eq!(log.size().0, 4);
    let behind = log.resume(Resume::At(here(&log, 1)));
    assert_eq!(behind.recovered, Some(false), "2 is gone");
    assert_eq!(replayed(&log, &behind), ["3", "4", "5", "6"]);
    assert_eq!(log.resume(Resume::At(here(&log, 2))).recovered, Some(true));
}

#[test]
fn age_drops_entries_and_tells_the_unacked_ones() {
    let mut log = log_with(&["1", "2", "3"]);
    log.ack(here(&log, 1), &LIMITS);
    assert_eq!(log.expire(at(100), &LIMITS), 0);
    assert_eq!(log.expire(at(102), &LIMITS), 1, "1 was acked, 2 was not");
    assert_eq!(log.resume(Resume::At(here(&log, 1))).recovered, Some(false));
    assert_eq!(log.resume(Resume::At(here(&log, 2))).recovered, Some(true));
    assert_eq!(log.expire(at(103), &LIMITS), 1);
    assert!(log.is_empty());
    assert_eq!(log.size(), (0, 0));
}

#[test]
fn what_was_seen_outlives_its_entry_and_is_forgotten_by_age_alone() {
    let mut log = log_with(&["1"]);
    log.ack(log.tip(), &LIMITS);
    for n in 0..9 {
        log.append(at(2), message(&format!("x{n}"), 1), &LIMITS)
            .unwrap();
        log.ack(log.tip(), &LIMITS);
    }
    let refused = log.append(at(2), message("new", 1), &LIMITS);
    assert_eq!(refused, Err(Full::Seen));
    assert!(log.seen(message("1", 1).key()).is_some());
    log.expire(at(21), &LIMITS);
    assert!(log.seen(message("1", 1).key()).is_none());
    assert!(log.append(at(21), message("new", 1), &LIMITS).is_ok());
}

#[test]
fn without_a_position_everything_unacked_is_replayed_from_the_welcome_on() {
    let mut log = log_with(&["1", "2", "3"]);
    log.ack(here(&log, 1), &LIMITS);
    let resumed = log.resume(Resume::Fresh);
    assert_eq!((resumed.position, resumed.recovered), (here(&log, 1), None));
    assert_eq!(replayed(&log, &resumed), ["2", "3"]);
}

#[test]
fn a_client_that_has_received_nothing_resumes_from_where_it_was_welcomed() {
    let mut log = Log::new(epoch(1));
    let welcomed = log.resume(Resume::Fresh).position;
    let root = Position {
        epoch: Epoch::ROOT,
        offset: 0,
    };
    log.append(at(1), message("1", 1), &LIMITS).unwrap();
    for position in [welcomed, root] {
        let resumed = log.resume(Resume::At(position));
        assert_eq!(resumed.recovered, Some(true));
        assert_eq!(replayed(&log, &resumed), ["1"]);
    }
}

#[test]
fn a_position_of_an_earlier_epoch_is_a_prefix_up_to_where_that_ended() {
    let mut log = log_with(&["1", "2"]);
    let before = log.tip();
    log.open_epoch(epoch(2));
    log.append(at(3), message("3", 1), &LIMITS).unwrap();
    assert_eq!(log.tip().offset, 3, "the numbers go on");
    let resumed = log.resume(Resume::At(before));
    assert_eq!(resumed.recovered, Some(true));
    assert_eq!(replayed(&log, &resumed), ["3"]);
    let lost = Position {
        offset: 3,
        ..before
    };
    let resumed = log.resume(Resume::At(lost));
    assert_eq!(resumed.recovered, Some(false), "that 3 is another one");
    assert_eq!(replayed(&log, &resumed), ["3"]);
    assert_eq!(log.ack(lost, &LIMITS), [1, 2], "up to the fork only");
}

#[test]
fn a_position_that_is_not_known_gets_all_there_is_and_the_truth() {
    let mut log = log_with(&["1", "2"]);
    log.ack(here(&log, 1), &LIMITS);
    let strange = Position {
        epoch: epoch(9),
        offset: 1,
    };
    let resumed = log.resume(Resume::At(strange));
    assert_eq!(resumed.recovered, Some(false));
    assert_eq!(replayed(&log, &resumed), ["1", "2"]);
    assert_eq!(log.ack(strange, &LIMITS), [0; 0]);
    let future = log.resume(Resume::At(here(&log, 7)));
    assert_eq!(future.recovered, Some(false));
    assert_eq!(future.position, log.tip());
}

#[test]
fn epochs_are_forgotten_oldest_first_and_the_root_never() {
    let mut log = log_with(&["1"]);
    let first = log.tip();
    for number in 2..200 {
        log.open_epoch(epoch(number));
    }
    assert_eq!(log.branches.len(), BRANCHES_MAX);
    assert_eq!(log.resume(Resume::At(first)).recovered, Some(false));
    let root = Position {
        epoch: Epoch::ROOT,
        offset: 0,
    };
    assert_eq!(log.resume(Resume::At(root)).recovered, Some(true));
}
