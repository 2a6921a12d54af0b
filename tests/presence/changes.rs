//! `presence_change`: of users and of rooms, wherever they and those who watch them are.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, Cluster, PATIENCE, Signal};

/// Who is back within this was not away.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Who loses a connection has left its rooms after this.
const GONE: Duration = Duration::from_secs(5);

fn session(cluster: &Cluster, index: usize, user: &str) -> Client {
    let url = format!("{}&redirect=never", cluster.nodes[index].url(user));
    let mut client = Client::connect(&url).expect("101");
    client.expect("welcome");
    client
}

fn ask(client: &mut Client, request: &Value) -> Value {
    client.send_json(request);
    let id = request["id"].as_str().expect("an id").to_owned();
    client.reply_to(&id, PATIENCE)
}

/// Waits for a change of that user to that state: for a death to be noticed, at most.
#[track_caller]
fn hears(client: &mut Client, user: &str, online: bool) {
    let change = client.find(2 * PATIENCE, |message| {
        message["type"] == "presence_change" && message["user"] == user
    });
    assert_eq!(change.expect("a change")["online"], online, "{user}");
}

#[test]
fn who_watches_users_hears_of_each_once_wherever_all_of_them_are() {
    let cluster = Cluster::of(3, &[]);
    for at in 0..3 {
        let mut watcher = session(&cluster, at, &format!("watcher-{at}"));
        let users: Vec<_> = (0..3)
            .map(|owner| cluster.user_of(owner, &format!("seen-by-{at}-")))
            .collect();
        let request = json!({"type":"presence","id":"p","users":users,"subscribe":true});
        let presence = ask(&mut watcher, &request);
        assert!(users.iter().all(|user| presence["online"][user] == false));
        // One session at the owner, one as a guest, one elsewhere.
        for (index, user) in users.iter().enumerate() {
            let first = session(&cluster, index, user);
            hears(&mut watcher, user, true);
            let second = session(&cluster, (index + 1) % 3, user);
            first.close();
            second.close();
            // Both, and not one of them, are gone: there is no other change before this one.
            hears(&mut watcher, user, false);
        }
        watcher.assert_quiet_and_alive();
    }
}

#[test]
fn a_reconnect_at_once_is_no_change_and_who_has_unsubscribed_hears_nothing() {
    let cluster = Cluster::of(2, &[]);
    let mut watcher = session(&cluster, 0, "watcher");
    let (user, fence) = (cluster.user_of(1, "a"), cluster.user_of(1, "b"));
    let mut first = Some(session(&cluster, 1, &user));
    let request = json!({"type":"presence","id":"p","users":[user, fence],"subscribe":true});
    assert_eq!(ask(&mut watcher, &request)["online"][&user], true);
    let start = Instant::now();
    for index in [0, 1, 0] {
        first.take().expect("a session").close();
        first = Some(session(&cluster, index, &user));
    }
    // Looks that far apart may both have found it away, and not have been in the same gap.
    let took = start.elapsed();
    let other = session(&cluster, 0, &fence);
    let mut change = watcher.expect("presence_change");
    while change["user"] != fence {
        let at_once = took < AT_ONCE;
        assert!(!at_once, "{change} after {took:?}");
        change = watcher.expect("presence_change");
    }
    assert_eq!(change["online"], true, "{change}");
    let request = json!({"type":"presence","id":"q","users":[user],"subscribe":false});
    assert_eq!(ask(&mut watcher, &request)["online"][&user], true);
    first.take().expect("a session").close();
    other.close();
    // That of the other one comes when that of the first would have come.
    let change = watcher.expect("presence_change");
    assert_eq!(
        (&change["user"], &change["online"]),
        (&json!(fence), &json!(false))
    );
}

#[test]
fn a_dead_nodes_users_are_told_and_those_of_a_new_owner_are_not() {
    let mut cluster = Cluster::of(3, &[]);
    let mut watcher = session(&cluster, 0, "watcher");
    // Owned by the node that will die; one lives there, one elsewhere.
    let owned: Vec<_> = cluster.users_of(2, "owned", 2);
    let lost = session(&cluster, 2, &owned[0]);
    let kept = session(&cluster, 1, &owned[1]);
    let request = json!({"type":"presence","id":"p","users":owned,"subscribe":true});
    let presence = ask(&mut watcher, &request);
    assert!(owned.iter().all(|user| presence["online"][user] == true));
    cluster.nodes[2].signal(Signal::Kill);
    hears(&mut watcher, &owned[0], false);
    drop(lost);
    // Under the owners of now: they come and go as before.
    kept.close();
    hears(&mut watcher, &owned[1], false);
    let back = session(&cluster, 1, &owned[0]);
    hears(&mut watcher, &owned[0], true);
    back.close();
}

#[test]
fn who_watches_a_room_need_not_be_in_it() {
    let cluster = Cluster::of(3, &["--announced-rooms", ""]);
    let mut watcher = session(&cluster, 0, "watcher");
    let request = json!({"type":"presence","id":"p","room":"lobby","subscribe":true});
    assert_eq!(ask(&mut watcher, &request)["count"], 0);
    let mut members: Vec<_> = (0..3)
        .map(|index| session(&cluster, index, &format!("member-{index}")))
        .collect();
    let enter = json!({"type":"join","id":"j","room":"lobby"});
    for (index, member) in members.iter_mut().enumerate() {
        assert_eq!(ask(member, &enter)["status"], "joined");
        let change = watcher.expect("presence_change");
        let joined = json!([format!("member-{index}")]);
        assert_eq!(change["room"], "lobby");
        assert_eq!((&change["joined"], &change["left"]), (&joined, &json!([])));
        assert_eq!(change["count"], index + 1);
    }
    let leave = json!({"type":"leave","id":"l","room":"lobby"});
    assert_eq!(ask(&mut members[1], &leave)["status"], "left");
    let change = watcher.expect("presence_change");
    assert_eq!(
        (&change["left"], &change["count"]),
        (&json!(["member-1"]), &json!(2))
    );
    // Nobody else was told: rooms are not announced here.
    for member in &mut members {
        member.assert_quiet_and_alive();
    }
}

/// A member of the lobby, at that node.
fn member(cluster: &Cluster, index: usize, user: &str) -> Client {
    let mut member = session(cluster, index, user);
    let enter = json!({"type":"join","id":"j","room":"lobby"});
    assert_eq!(ask(&mut member, &enter)["status"], "joined");
    member
}

/// Waits for a change of the lobby by which so many are there; says who has come and left by it.
#[track_caller]
fn hears_count(watcher: &mut Client, count: usize) -> (Value, Value) {
    let change = watcher.find(2 * PATIENCE, |message| {
        message["type"] == "presence_change" && message["count"] == count
    });
    let change = change.expect("a change");
    (change["joined"].clone(), change["left"].clone())
}

#[test]
fn a_rooms_count_is_right_after_somebody_has_come_back() {
    let cluster = Cluster::of(3, &[]);
    let mut members: Vec<_> = ["ann", "bob", "cyd"]
        .iter()
        .enumerate()
        .map(|(index, user)| member(&cluster, index, user))
        .collect();
    let nobody = || (json!([]), json!([]));
    let mut watcher = session(&cluster, 0, "watcher");
    let request = json!({"type":"presence","id":"p","room":"lobby","subscribe":true});
    assert_eq!(ask(&mut watcher, &request)["count"], 3);
    let closed = Instant::now();
    members.remove(1).close();
    assert_eq!(hears_count(&mut watcher, 2), nobody());
    members.push(member(&cluster, 0, "dan"));
    assert_eq!(hears_count(&mut watcher, 3), (json!(["dan"]), json!([])));
    members.push(member(&cluster, 2, "bob"));
    // On a machine that is too busy he has left, and that has been told.
    let in_time = closed.elapsed() < GONE;
    let change = hears_count(&mut watcher, 4);
    if in_time {
        assert_eq!(change, nobody());
        watcher.assert_quiet_and_alive();
    }
}

#[test]
fn a_rooms_count_is_right_after_its_owner_has_died() {
    let mut cluster = Cluster::of(3, &[]);
    let owner = cluster.owner("lobby");
    let (one, other) = ((owner + 1) % 3, (owner + 2) % 3);
    let _stay = [member(&cluster, one, "ann"), member(&cluster, other, "bob")];
    let lost = member(&cluster, owner, "cyd");
    let mut watcher = session(&cluster, one, "watcher");
    let request = json!({"type":"presence","id":"p","room":"lobby","subscribe":true});
    assert_eq!(ask(&mut watcher, &request)["count"], 3);
    cluster.nodes[owner].signal(Signal::Kill);
    drop(lost);
    hears_count(&mut watcher, 2);
    // Not for long enough to have left.
    let _back = member(&cluster, other, "cyd");
    hears_count(&mut watcher, 3);
}

#[test]
fn a_pulled_plug_shows_within_the_heartbeat_time() {
    let args = ["--heartbeat-interval", "4s", "--heartbeat-timeout", "4s"];
    let cluster = Cluster::of(2, &args);
    let (user, room) = (cluster.user_of(0, "user"), cluster.user_of(1, "room"));
    let mut silent = session(&cluster, 0, &user);
    silent.send_json(&json!({"type":"join","id":"j","room":room}));
    assert_eq!(silent.reply_to("j", PATIENCE)["status"], "joined");
    let mut watcher = session(&cluster, 1, "watcher");
    let requests = [json!({"users":[user]}), json!({"room":room})];
    for (id, mut request) in ["p", "q"].into_iter().zip(requests) {
        request["type"] = json!("presence");
        request["id"] = json!(id);
        request["subscribe"] = json!(true);
        ask(&mut watcher, &request);
    }
    // From now on it is not read, so it answers no ping. Its connection is not closed.
    let gone = watcher.find(2 * PATIENCE, |m| {
        m["type"] == "presence_change" && m["room"] == *room
    });
    assert_eq!(gone.expect("a change")["count"], 0);
    hears(&mut watcher, &user, false);
    drop(silent);
}

#[test]
fn no_more_is_watched_than_is_allowed() {
    let cluster = Cluster::of(1, &[]);
    let mut watcher = session(&cluster, 0, "watcher");
    for page in 0..4 {
        let users: Vec<_> = (0..256).map(|n| format!("user-{page}-{n}")).collect();
        let request = json!({"type":"presence","id":"p","users":users,"subscribe":true});
        assert!(ask(&mut watcher, &request)["online"].is_object());
    }
    let one_more = json!({"type":"presence","id":"p","users":["x"],"subscribe":true});
    assert_eq!(ask(&mut watcher, &one_more)["error"]["code"], "not_allowed");
    let known = json!({"type":"presence","id":"p","users":["user-0-0"],"subscribe":true});
    assert!(ask(&mut watcher, &known)["online"].is_object());
    let asked = json!({"type":"presence","id":"p","users":["x"]});
    assert!(ask(&mut watcher, &asked)["online"].is_object());
    let user = session(&cluster, 0, "user-3-255");
    let change = watcher.find(PATIENCE, |m| m["type"] == "presence_change");
    assert_eq!(change.expect("a change")["user"], "user-3-255");
    user.close();
}
