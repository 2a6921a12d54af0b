use proptest::prelude::*;

use super::*;
use crate::core::stream::Message;
use crate::id::SessionId;

const CONFIG: LaneConfig = LaneConfig {
    bytes_max: 1024 * 1024,
    retry_for: Duration::from_secs(600),
};

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn event(number: u64, user: &UserId, what: What) -> Event {
    Event {
        number,
        ts_ms: number,
        user: user.clone(),
        what,
    }
}

fn connected(number: u64) -> Event {
    event(number, &user("bob"), What::Connected(SessionId(number)))
}

fn message(bytes: usize) -> Message {
    Message::new(&user("alice"), "m", &"1".repeat(bytes), 0, false)
}

/// A lane with so many events, from 0 on.
fn filled(config: LaneConfig, now: Instant, count: u64) -> Lane {
    let mut lane = Lane::new(config);
    for number in 0..count {
        assert_eq!(lane.push(now, connected(number)), Pushed::Queued);
    }
    lane
}

/// The numbers of what is to be sent; empty if nothing is.
fn sent(lane: &mut Lane, now: Instant) -> Vec<u64> {
    match lane.next(now) {
        Next::Send(batch) => batch.iter().map(|event| event.number).collect(),
        Next::Wait(_) | Next::Nothing => Vec::new(),
    }
}

const AGAIN: Verdict = Verdict::Again(Duration::ZERO);

#[test]
fn what_comes_while_a_batch_is_under_way_goes_with_the_next_one() {
    let now = Instant::now();
    let mut lane = filled(CONFIG, now, 2);
    assert_eq!(sent(&mut lane, now), [0, 1]);
    lane.push(now, connected(2));
    let settled = lane.settle(now, Verdict::Taken, 0);
    assert_eq!(
        (settled.sent, settled.dropped, settled.again),
        (2, 0, false)
    );
    assert_eq!(sent(&mut lane, now), [2]);
    lane.settle(now, Verdict::Taken, 0);
    assert_eq!(lane.next(now), Next::Nothing);
    assert!(lane.is_empty());
}

#[test]
fn after_a_failure_the_same_events_are_sent_again_after_waits_that_grow() {
    let mut now = Instant::now();
    let mut lane = filled(CONFIG, now, 3);
    let mut waits = Vec::new();
    for _ in 0..8 {
        assert_eq!(sent(&mut lane, now), [0, 1, 2]);
        assert!(lane.settle(now, AGAIN, u32::MAX).again);
        let Next::Wait(until) = lane.next(now) else {
            panic!("it does not wait");
        };
        waits.push((until - now).as_millis());
        now = until;
    }
    assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    // It is well again.
    assert_eq!(sent(&mut lane, now).len(), 3);
    lane.settle(now, Verdict::Taken, 0);
    lane.push(now, connected(3));
    assert_eq!(sent(&mut lane, now), [3]);
    lane.settle(now, AGAIN, 0);
    assert_eq!(lane.next(now), Next::Wait(now + RETRY_MIN));
}

#[test]
fn a_receiver_says_how_long_to_wait_within_bounds() {
    assert_eq!(Verdict::of(204, None), Verdict::Taken);
    for status in [301, 307, 400, 401, 404, 410, 413] {
        assert_eq!(Verdict::of(status, Some("1")), Verdict::Refused, "{status}");
    }
    for status in [408, 429, 500, 502, 503, 599] {
        assert_eq!(Verdict::of(status, None), AGAIN, "{status}");
    }
    let seconds = |text| Verdict::of(503, Some(text));
    assert_eq!(seconds("7"), Verdict::Again(Duration::from_secs(7)));
    assert_eq!(seconds("86400"), Verdict::Again(RETRY_MAX));
    assert_eq!(seconds("Fri, 31 Dec 1999 23:59:59 GMT"), AGAIN);
    let now = Instant::now();
    let mut lane = filled(CONFIG, now, 1);
    sent(&mut lane, now);
    lane.settle(now, seconds("7"), 0);
    assert_eq!(lane.next(now), Next::Wait(now + Duration::from_secs(7)));
}

#[test]
fn an_event_is_given_up_when_a_request_fails_after_its_time_and_younger_ones_stay() {
    let start = Instant::now();
    let mut lane = filled(CONFIG, start, 2);
    lane.push(start + Duration::from_secs(1), connected(2));
    let later = start + CONFIG.retry_for;
    // However old they are, they are tried.
    assert_eq!(sent(&mut lane, later), [0, 1, 2]);
    let settled = lane.settle(later, AGAIN, 0);
    assert_eq!((settled.sent, settled.dropped, settled.again), (0, 2, true));
    let later = later + Duration::from_secs(1);
    assert_eq!(sent(&mut lane, later), [2]);
    let settled = lane.settle(later, AGAIN, 0);
    assert_eq!((settled.dropped, settled.again), (1, false));
    assert!(lane.is_empty());
    assert_eq!(lane.bytes, 0);
}

#[test]
fn a_refused_batch_goes_one_by_one_and_only_what_is_refused_alone_is_dropped() {
    let now = Instant::now();
    let mut lane = filled(CONFIG, now, 4);
    assert_eq!(sent(&mut lane, now), [0, 1, 2, 3]);
    let settled = lane.settle(now, Verdict::Refused, 0);
    assert_eq!((settled.dropped, settled.again), (0, true));
    lane.push(now, connected(4));
    lane.push(now, connected(5));
    for number in 0..4 {
        assert_eq!(sent(&mut lane, now), [number]);
        let bad = number == 2;
        let verdict = if bad {
            Verdict::Refused
        } else {
            Verdict::Taken
        };
        let settled = lane.settle(now, verdict, 0);
        assert_eq!(settled.dropped, usize::from(bad));
        assert_eq!(settled.sent, usize::from(!bad));
    }
    assert_eq!(sent(&mut lane, now), [4, 5], "together again");
}

#[test]
fn a_full_lane_drops_what_is_new_and_takes_some_when_there_is_room() {
    let now = Instant::now();
    let size = connected(0).size();
    let config = LaneConfig {
        bytes_max: 3 * size,
        ..CONFIG
    };
    let mut lane = filled(config, now, 3);
    assert_eq!(lane.push(now, connected(3)), Pushed::NoRoom);
    assert_eq!(sent(&mut lane, now), [0, 1, 2]);
    assert_eq!(lane.push(now, connected(4)), Pushed::NoRoom, "under way");
    lane.settle(now, Verdict::Taken, 0);
    assert_eq!(lane.push(now, connected(5)), Pushed::Queued);
    assert_eq!(sent(&mut lane, now), [5]);
}

#[test]
fn a_batch_is_bounded_by_count_and_bytes_and_one_large_event_goes_alone() {
    let now = Instant::now();
    let mut lane = filled(CONFIG, now, 150);
    assert_eq!(sent(&mut lane, now).len(), BATCH_EVENTS);
    lane.settle(now, Verdict::Taken, 0);
    assert_eq!(sent(&mut lane, now).len(), 50);
    lane.settle(now, Verdict::Taken, 0);
    for (number, bytes) in [(0, BATCH_BYTES * 2), (1, BATCH_BYTES / 2), (2, 10)] {
        let what = What::OfflineMessage(Box::new(message(bytes)));
        lane.push(now, event(number, &user("bob"), what));
    }
    for expected in [&[0][..], &[1, 2]] {
        assert_eq!(sent(&mut lane, now), expected);
        lane.settle(now, Verdict::Taken, 0);
    }
}

#[test]
fn a_full_inbox_is_told_once_in_a_while_for_each_user() {
    let mut now = Instant::now();
    let mut lane = Lane::new(CONFIG);
    let mut push = |now, name| {
        let what = What::InboxFull(Box::new(message(1)));
        lane.push(now, event(0, &user(name), what))
    };
    assert_eq!(push(now, "bob"), Pushed::Queued);
    assert_eq!(push(now, "bob"), Pushed::Like);
    assert_eq!(push(now, "carol"), Pushed::Queued);
    now += FULL_EVERY;
    assert_eq!(push(now, "bob"), Pushed::Queued);
    assert_eq!(push(now, "bob"), Pushed::Like);
    assert_eq!(lane.len(), 3);
}

#[test]
fn at_the_end_what_waits_is_tried_at_once_and_the_rest_is_counted() {
    let now = Instant::now();
    let mut lane = filled(CONFIG, now, 2);
    sent(&mut lane, now);
    lane.settle(now, Verdict::Again(RETRY_MAX), 0);
    assert!(matches!(lane.next(now), Next::Wait(_)));
    lane.hurry();
    assert_eq!(sent(&mut lane, now), [0, 1]);
    assert_eq!(lane.give_up(), 2);
    // The answer comes too late to count.
    assert_eq!(lane.settle(now, Verdict::Taken, 0), Settled::default());
    assert!(lane.is_empty());
}

proptest! {
    /// Whatever the receiver says, and whenever: it gets events in their order, and every event is
    /// counted once.
    #[test]
    fn order_and_counts_hold_whatever_the_receiver_says(
        steps in prop::collection::vec((0_u8..4, any::<u32>(), 0_u64..120), 1..300),
    ) {
        let config = LaneConfig { bytes_max: 20 * connected(0).size(), ..CONFIG };
        let mut lane = Lane::new(config);
        let mut now = Instant::now();
        let (mut pushed, mut gone) = (0, 0);
        for (step, random, seconds) in steps {
            now += Duration::from_secs(seconds);
            if step == 0 {
                for _ in 0..random % 5 {
                    match lane.push(now, connected(pushed)) {
                        Pushed::Queued => pushed += 1,
                        Pushed::NoRoom => {}
                        Pushed::Like => panic!("there is none like it"),
                    }
                }
                continue;
            }
            let batch = sent(&mut lane, now);
            if batch.is_empty() {
                continue;
            }
            prop_assert_eq!(batch[0], gone);
            prop_assert!(batch.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            let verdict = [Verdict::Taken, Verdict::Refused, AGAIN][usize::from(step) - 1];
            let settled = lane.settle(now, verdict, random);
            gone += (settled.sent + settled.dropped) as u64;
            prop_assert_eq!(lane.len() as u64, pushed - gone);
        }
    }
}
