//! Who is in a room, as any node tells it.

use serde_json::json;

use crate::support::kept::RECEIPT;
use crate::support::{Cluster, PATIENCE, wait_until};
use crate::{ask, join, leave, present, session_at};

#[test]
fn every_node_tells_exactly_who_is_there() {
    let cluster = Cluster::of(3, &[]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        let mut observers = [0, 1, 2].map(|index| session_at(&cluster, index, "eve"));
        let mut see = |expected: &[&str]| {
            for observer in &mut observers {
                assert_eq!(present(observer, &room), expected);
            }
        };
        see(&[]);
        let mut members = Vec::new();
        for (index, user) in [(1, "cyd"), (0, "ann"), (2, "ann"), (2, "bob")] {
            let mut client = session_at(&cluster, index, user);
            join(&mut client, &room);
            members.push(client);
        }
        // Whoever has its answer is counted.
        see(&["ann", "bob", "cyd"]);
        leave(&mut members[1], &room);
        see(&["ann", "bob", "cyd"]);
        leave(&mut members[2], &room);
        let mut observer = session_at(&cluster, 0, "eve");
        wait_until(PATIENCE, "Ann has left", || {
            present(&mut observer, &room) == ["bob", "cyd"]
        });
        members.clear();
        wait_until(PATIENCE, "all have gone", || {
            present(&mut observer, &room).is_empty()
        });
    }
}

#[test]
fn a_room_with_more_users_than_one_answer_names_is_told_in_pages() {
    // Sessions that are not read answer no ping.
    let cluster = Cluster::of(3, &["--heartbeat-interval", "10m"]);
    let room = cluster.user_of(1, "room");
    let users: Vec<_> = (0..1100).map(|number| format!("u{number:04}")).collect();
    let mut members: Vec<_> = (users.iter().enumerate())
        .map(|(number, user)| session_at(&cluster, number % 3, user))
        .collect();
    for member in &mut members {
        member.send_json(&json!({"type":"join","id":"join","room":room}));
    }
    for member in &mut members {
        let receipt = member.reply_to("join", RECEIPT);
        assert_eq!(receipt["status"], "joined", "{receipt}");
    }
    for index in 0..3 {
        let mut observer = session_at(&cluster, index, "eve");
        let first = ask(&mut observer, json!({"type":"presence","room":room}));
        assert_eq!(first["count"], 1100, "{first}");
        assert_eq!(first["users"].as_array().map(Vec::len), Some(1000));
        assert_eq!(first["next"], users[999].as_str());
        let rest = json!({"type":"presence","room":room,"after":first["next"]});
        let rest = ask(&mut observer, rest);
        assert_eq!(rest["count"], 1100, "{rest}");
        assert_eq!(rest["users"], json!(users[1000..]));
        assert!(rest.get("next").is_none(), "{rest}");
        // Behind a name that nobody has, and behind all.
        for (after, left) in [("u1098x", &users[1099..]), ("u1099", &[]), ("v", &[])] {
            let page = json!({"type":"presence","room":room,"after":after});
            assert_eq!(ask(&mut observer, page)["users"], json!(left), "{after}");
        }
    }
}
