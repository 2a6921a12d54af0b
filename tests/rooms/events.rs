//! Who is told that somebody has come to a room, or has left it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, Cluster, promised};
use crate::{assert_no_message, join, leave, session_at};

/// Who loses a connection has left after this.
const GONE: Duration = Duration::from_secs(5);
/// What that takes at most, on a machine that is busy.
const LATE: Duration = Duration::from_secs(20);

/// The next news of a room; of some other room, or anybody else, there must be none before.
#[track_caller]
fn expect_news(client: &mut Client, kind: &str, room: &str, user: &str) {
    let news = client.find(LATE, |m| m["type"] == "joined" || m["type"] == "left");
    let expected = json!({"type":kind,"room":room,"user":user});
    assert_eq!(news, Some(expected), "{}", client.url);
}

#[test]
fn members_hear_once_of_a_user_however_many_devices_it_has() {
    let cluster = Cluster::of(3, &[]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        let mut watchers = [0, 1, 2].map(|index| session_at(&cluster, index, "watcher"));
        for watcher in &mut watchers {
            join(watcher, &room);
        }
        let mut first = session_at(&cluster, 0, "ann");
        let mut second = session_at(&cluster, 1, "ann");
        let mut bob = session_at(&cluster, 2, "bob");
        join(&mut first, &room);
        join(&mut second, &room);
        join(&mut bob, &room);
        // The second device joins in between and is not heard of.
        for watcher in &mut watchers {
            expect_news(watcher, "joined", &room, "ann");
            expect_news(watcher, "joined", &room, "bob");
        }
        // One device leaves, and the other one is still there.
        leave(&mut first, &room);
        let asked = Instant::now();
        leave(&mut bob, &room);
        for watcher in &mut watchers {
            expect_news(watcher, "left", &room, "bob");
        }
        assert!(
            asked.elapsed() < promised(GONE),
            "who leaves at will has left at once"
        );
        let ended = Instant::now();
        drop(second);
        for watcher in &mut watchers {
            expect_news(watcher, "left", &room, "ann");
        }
        let after = ended.elapsed();
        assert!(after >= GONE, "{after:?} is not enough to come back");
        watchers.iter_mut().for_each(assert_no_message);
    }
}

#[test]
fn who_comes_back_in_time_has_never_left() {
    let cluster = Cluster::of(3, &[]);
    let room = cluster.user_of(1, "room");
    let mut watcher = session_at(&cluster, 0, "watcher");
    join(&mut watcher, &room);
    let mut ann = session_at(&cluster, 1, "ann");
    let mut bob = session_at(&cluster, 1, "bob");
    join(&mut ann, &room);
    join(&mut bob, &room);
    expect_news(&mut watcher, "joined", &room, "ann");
    expect_news(&mut watcher, "joined", &room, "bob");
    let mut slowest = Duration::ZERO;
    for index in [2, 0, 1] {
        let start = Instant::now();
        drop(ann);
        ann = session_at(&cluster, index, "ann");
        join(&mut ann, &room);
        slowest = slowest.max(start.elapsed());
    }
    drop(bob);
    // Bob goes after all that, so when that is told there is nothing of Ann, if she was in time.
    let is_news = |m: &Value| {
        let of_ann = m["user"] == "ann" && slowest >= GONE;
        !of_ann && (m["type"] == "joined" || m["type"] == "left")
    };
    let expected = json!({"type":"left","room":room,"user":"bob"});
    assert_eq!(watcher.find(LATE, is_news), Some(expected));
    ann.close();
    if slowest < GONE {
        expect_news(&mut watcher, "left", &room, "ann");
    }
}

#[test]
fn nobody_hears_of_itself_or_of_rooms_where_it_is_not() {
    let cluster = Cluster::of(3, &[]);
    let room = cluster.user_of(2, "room");
    let mut ann = session_at(&cluster, 0, "ann");
    let mut twin = session_at(&cluster, 1, "ann");
    let mut outsider = session_at(&cluster, 1, "eve");
    join(&mut outsider, "elsewhere");
    join(&mut twin, &room);
    join(&mut ann, &room);
    let mut bob = session_at(&cluster, 2, "bob");
    join(&mut bob, &room);
    leave(&mut bob, &room);
    for client in [&mut ann, &mut twin] {
        expect_news(client, "joined", &room, "bob");
        expect_news(client, "left", &room, "bob");
    }
    join(&mut bob, "elsewhere");
    expect_news(&mut outsider, "joined", "elsewhere", "bob");
}

#[test]
fn only_the_rooms_that_are_named_are_announced() {
    let cluster = Cluster::of(2, &["--announced-rooms", "lobby,game-*"]);
    let mut watcher = session_at(&cluster, 0, "watcher");
    let rooms = ["lobby2", "gam", "the lobby", "lobby", "game-", "game-7"];
    for room in rooms {
        join(&mut watcher, room);
    }
    let mut ann = session_at(&cluster, 1, "ann");
    for room in rooms {
        join(&mut ann, room);
        leave(&mut ann, room);
    }
    // In this order, since each is told before the next one is joined; the others never.
    let mut told = Vec::new();
    for _ in 0..6 {
        let news = watcher.find(LATE, |m| m["type"] == "joined" || m["type"] == "left");
        told.push(news.expect("news"));
    }
    let count = |kind: &str, room: &str| {
        let same = |m: &&Value| m["type"] == kind && m["room"] == room && m["user"] == "ann";
        told.iter().filter(same).count()
    };
    for room in &rooms[3..] {
        assert_eq!(
            (count("joined", room), count("left", room)),
            (1, 1),
            "{told:?}"
        );
    }
    assert_no_message(&mut watcher);
}
