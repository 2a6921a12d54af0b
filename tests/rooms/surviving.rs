//! Rooms when nodes die, stop, restart and join.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::{Client, Cluster, PATIENCE, Signal, promised, wait_until};
use crate::wanderer::Crowd;
use crate::{assert_no_message, join, message, present, send, session_at};

/// Every stream has all its copies again.
const COPIED: Duration = Duration::from_secs(20);
/// A node that was asked to stop has ended.
const DRAINED: Duration = Duration::from_secs(10);
/// A node that was killed is known to be dead, and nobody has come back from there.
const GONE: Duration = Duration::from_secs(20);

/// Room for all that is sent while a member is on its way, however long a busy machine makes that.
const KEEPS_ALL: [&str; 4] = [
    "--max-room-messages",
    "100000",
    "--max-room-bytes",
    "16777216",
];

fn addresses(cluster: &Cluster) -> Vec<SocketAddr> {
    cluster.nodes.iter().map(|node| node.listen).collect()
}

#[test]
fn nothing_is_lost_when_the_owner_is_killed_under_load() {
    let mut cluster = Cluster::of(3, &KEEPS_ALL);
    let room = cluster.user_of(0, "room");
    let crowd = Crowd::start(addresses(&cluster), &room, 6, 3);
    for index in [0, 1] {
        crowd.wait_for_more(100);
        cluster.nodes[index].signal(Signal::Kill);
        crowd.wait_for_more(100);
        cluster.nodes[index].start();
        cluster.wait_settled(promised(COPIED));
    }
    crowd.wait_for_more(100);
    crowd.finish();
}

#[test]
fn a_rolling_restart_loses_nothing_for_members_that_come_back() {
    let arguments = [&KEEPS_ALL[..], &["--drain-timeout", "4s"]].concat();
    let mut cluster = Cluster::of(3, &arguments);
    let room = cluster.user_of(1, "room");
    let crowd = Crowd::start(addresses(&cluster), &room, 6, 3);
    for index in 0..3 {
        crowd.wait_for_more(50);
        cluster.nodes[index].signal(Signal::Terminate);
        let status = cluster.nodes[index].wait_exit(promised(DRAINED));
        assert_eq!(status.code(), Some(0));
        crowd.wait_for_more(20);
        cluster.nodes[index].start();
        cluster.wait_settled(promised(COPIED));
    }
    crowd.wait_for_more(50);
    crowd.finish();
}

#[test]
fn the_users_of_a_killed_node_have_left_whoever_owned_the_room() {
    for owner in 0..3 {
        let mut cluster = Cluster::of(3, &[]);
        let room = cluster.user_of(owner, "room");
        let mut watchers = [0, 2].map(|index| session_at(&cluster, index, &format!("w{index}")));
        for watcher in &mut watchers {
            join(watcher, &room);
        }
        let mut members = Vec::new();
        // One of them is at another node, too.
        for (index, user) in [(1, "ann"), (1, "bob"), (1, "cyd"), (2, "bob"), (0, "dan")] {
            let mut client = session_at(&cluster, index, user);
            join(&mut client, &room);
            members.push(client);
        }
        cluster.nodes[1].signal(Signal::Kill);
        let killed = Instant::now();
        for watcher in &mut watchers {
            let mut left: Vec<_> = (0..2)
                .map(|_| {
                    let news = watcher.find(2 * PATIENCE, |m| m["type"] == "left");
                    let news = news.unwrap_or_else(|| panic!("{room}: nobody has left"));
                    news["user"].as_str().expect("a user").to_owned()
                })
                .collect();
            left.sort();
            assert_eq!(left, ["ann", "cyd"]);
        }
        let after = killed.elapsed();
        assert!(after < promised(GONE), "{after:?}");
        for watcher in &mut watchers {
            assert_eq!(present(watcher, &room), ["bob", "dan", "w0", "w2"]);
            let news = watcher.find(Duration::from_millis(1), |m| m["type"] == "left");
            assert_eq!(news, None);
        }
        send(&mut watchers[0], &room, "after");
        for client in [&mut watchers[1]].into_iter().chain(&mut members[3..]) {
            assert_eq!(message(client)["id"], "after");
            assert_no_message(client);
        }
    }
}

#[test]
fn a_node_that_restarts_at_once_has_nobody_in_its_rooms() {
    for owner in 0..2 {
        let mut cluster = Cluster::of(2, &[]);
        let room = cluster.user_of(owner, "room");
        let mut watcher = session_at(&cluster, 0, "watcher");
        join(&mut watcher, &room);
        let mut ann = session_at(&cluster, 1, "ann");
        join(&mut ann, &room);
        cluster.nodes[1].signal(Signal::Kill);
        cluster.nodes[1].start();
        cluster.wait_settled(promised(COPIED));
        wait_until(2 * PATIENCE, "Ann is not there any more", || {
            present(&mut watcher, &room) == ["watcher"]
        });
        // The owner that has restarted does not know that she was there before.
        if owner == 0 {
            let news = watcher.find(2 * PATIENCE, |m| m["type"] == "left");
            assert_eq!(news.expect("Ann has left")["user"], "ann");
        }
        assert_no_message(&mut watcher);
    }
}

#[test]
fn a_node_that_joins_and_owns_a_room_knows_who_is_there_and_tells_nobody() {
    let mut cluster = Cluster::of(3, &[]);
    let rooms: Vec<_> = (0..16).map(|number| format!("room{number}")).collect();
    let mut members: Vec<Client> = [(0, "ann"), (1, "bob"), (2, "cyd"), (0, "bob")]
        .map(|(index, user)| session_at(&cluster, index, user))
        .into();
    for member in &mut members {
        for room in &rooms {
            join(member, room);
        }
    }
    // News that are old by then: of each user who came after, in each room; the second Bob is none.
    for (member, later) in members.iter_mut().zip([2, 1, 0, 0]) {
        for _ in 0..later * rooms.len() {
            let news = member.find(PATIENCE, |m| m["type"] == "joined");
            assert!(news.is_some(), "somebody has joined");
        }
        assert_no_message(member);
    }
    let joining = cluster.add();
    cluster.nodes[joining].start();
    cluster.wait_settled(promised(COPIED));
    let moved: Vec<_> = (rooms.iter())
        .filter(|room| cluster.owner(room) == joining)
        .collect();
    assert!(!moved.is_empty(), "of 16 rooms one moves");
    for room in &rooms {
        for index in 0..4 {
            let mut observer = session_at(&cluster, index, "eve");
            // The last node that tells the new owner may do so a moment after it has agreed.
            wait_until(PATIENCE, "all are known to be there", || {
                present(&mut observer, room) == ["ann", "bob", "cyd"]
            });
        }
        send(&mut members[0], room, &format!("to {room}"));
    }
    // Rooms of several owners have no order among them.
    let expected: BTreeSet<_> = rooms.iter().map(|room| format!("to {room}")).collect();
    for member in &mut members {
        let mut told = BTreeSet::new();
        for _ in &rooms {
            let next = member.find(PATIENCE, |m| {
                m["type"] == "message" || m["type"] == "left" || m["type"] == "joined"
            });
            let next = next.expect("a message");
            let id = next["id"].as_str().unwrap_or_else(|| panic!("{next}"));
            told.insert(id.to_owned());
        }
        assert_eq!(told, expected);
        assert_no_message(member);
    }
    // One that leaves now has left for the new owner, too.
    let ann = members.remove(0);
    drop(ann);
    for room in &rooms {
        let news = members[1].find(2 * PATIENCE, |m| m["type"] == "left" && m["room"] == **room);
        assert_eq!(news.expect("Ann has left")["user"], "ann");
        assert_eq!(present(&mut members[1], room), ["bob", "cyd"], "{room}");
    }
}
