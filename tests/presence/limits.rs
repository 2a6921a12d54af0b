//! `--max-sessions-per-user`: exact although sessions come on all nodes at the same time.

use std::thread;

use serde_json::{Value, json};

use crate::support::{Client, Cluster, PATIENCE, Signal, wait_until};

/// Ten sessions of one user on all nodes at the same time: those that were welcomed, and the close
/// codes of the others.
fn race(cluster: &Cluster, user: &str) -> (Vec<Client>, Vec<Option<u16>>) {
    let connect = |index: usize| {
        let url = format!("{}&redirect=never", cluster.nodes[index % 3].url(user));
        let mut client = Client::connect(&url).expect("101");
        let first = client.text(PATIENCE).map_or(Value::Null, |text| {
            serde_json::from_str(&text).expect("JSON")
        });
        if first["type"] == "welcome" {
            Ok(client)
        } else {
            Err(client.read_to_close(PATIENCE).1)
        }
    };
    let all: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..10)
            .map(|index| scope.spawn(move || connect(index)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("it connects"))
            .collect()
    });
    let (mut welcomed, mut refused) = (Vec::new(), Vec::new());
    for one in all {
        match one {
            Ok(client) => welcomed.push(client),
            Err(code) => refused.push(code),
        }
    }
    (welcomed, refused)
}

fn sessions(cluster: &Cluster, user: &str) -> usize {
    let user = cluster.nodes[0]
        .get_admin(&format!("/v1/users/{user}"))
        .json();
    user["sessions"].as_array().expect("a list").len()
}

#[test]
fn the_newest_are_refused_when_ten_come_at_once_on_all_nodes() {
    let cluster = Cluster::of(3, &["--max-sessions-per-user", "3"]);
    for owner in 0..3 {
        let user = cluster.user_of(owner, "racer");
        let (mut welcomed, refused) = race(&cluster, &user);
        assert_eq!(welcomed.len(), 3, "{refused:?}");
        assert_eq!(refused, [Some(4509); 7]);
        for client in &mut welcomed {
            client.assert_quiet_and_alive();
        }
        // Who leaves makes room for another one.
        welcomed.pop().expect("three").close();
        wait_until(PATIENCE, "a place is free", || {
            sessions(&cluster, &user) == 2
        });
        let (more, refused) = race(&cluster, &user);
        assert_eq!((more.len(), refused.len()), (1, 9));
    }
    for name in ["sessions_over_limit", "handshakes_refused"] {
        let nodes = cluster.nodes.iter();
        let refused: u64 = nodes
            .map(|node| node.metric(&format!("ringpost_{name}_total")))
            .sum();
        assert_eq!(refused, 3 * (7 + 9), "{name}");
    }
}

#[test]
fn the_oldest_are_replaced_if_that_is_wanted() {
    let args = [
        "--max-sessions-per-user",
        "2",
        "--at-session-limit",
        "replace-oldest",
    ];
    let cluster = Cluster::of(3, &args);
    for owner in 0..3 {
        let user = cluster.user_of(owner, "racer");
        let mut clients: Vec<_> = (0..4)
            .map(|index| {
                let node = &cluster.nodes[(owner + index) % 3];
                let url = format!("{}&redirect=never", node.url(&user));
                let client = Client::welcomed(&url).0;
                let known = (index + 1).min(2);
                wait_until(PATIENCE, "it is known", || {
                    sessions(&cluster, &user) == known
                });
                client
            })
            .collect();
        for client in &mut clients[..2] {
            assert_eq!(client.read_to_close(PATIENCE).1, Some(4511));
        }
        for client in &mut clients[2..] {
            client.assert_quiet_and_alive();
        }
        assert_eq!(sessions(&cluster, &user), 2);
    }
}

#[test]
fn a_change_of_owner_closes_nobody() {
    let mut cluster = Cluster::of(2, &["--max-sessions-per-user", "2"]);
    let user = cluster.user_of(0, "user");
    let url = format!("{}&redirect=never", cluster.nodes[1].url(&user));
    let mut clients = [Client::welcomed(&url).0, Client::welcomed(&url).0];
    cluster.nodes[0].signal(Signal::Kill);
    let id = cluster.nodes[0].id.clone();
    cluster.wait_down(&id, PATIENCE);
    for client in &mut clients {
        client.assert_quiet_and_alive();
    }
    let mut third = Client::connect(&url).expect("101");
    assert_eq!(third.read_to_close(PATIENCE).1, Some(4509));
}

#[test]
fn who_is_not_let_in_yet_does_nothing_and_what_it_has_sent_waits() {
    // The node that stands still is not to be taken for dead.
    let flags = ["--max-sessions-per-user", "1", "--suspicion-timeout", "30s"];
    let mut cluster = Cluster::of(2, &flags);
    let (full, free) = (cluster.user_of(0, "full"), cluster.user_of(0, "free"));
    let mut first = Client::welcomed(&cluster.nodes[0].url(&full)).0;
    let mut bob = Client::welcomed(&cluster.nodes[1].url(&cluster.user_of(1, "bob"))).0;
    let room = cluster.user_of(1, "room");
    bob.send_json(&json!({"type":"join","id":"k","room":room}));
    assert_eq!(bob.reply_to("k", PATIENCE)["status"], "joined");
    // Their owner does not answer for a while.
    cluster.nodes[0].signal(Signal::Stop);
    let mut guests = [&full, &free].map(|user| {
        let url = format!("{}&redirect=never", cluster.nodes[1].url(user));
        let mut guest = Client::connect(&url).expect("101");
        let join = json!({"type":"join","id":"j","room":room});
        let send = json!({"type":"send","id":"m","to":{"room":room},"body":1,"qos":0});
        guest.send_json(&join);
        guest.send_json(&send);
        guest
    });
    bob.assert_quiet_and_alive();
    bob.assert_quiet_and_alive();
    cluster.nodes[0].signal(Signal::Continue);
    let (texts, code) = guests[0].read_to_close(PATIENCE);
    assert_eq!(code, Some(4509), "{texts:?}");
    assert_eq!(texts.len(), 1, "an error: {texts:?}");
    guests[1].expect("welcome");
    assert_eq!(guests[1].reply_to("j", PATIENCE)["status"], "joined");
    assert_eq!(guests[1].reply_to("m", PATIENCE)["status"], "sent");
    // All that is heard there is of the one that was let in.
    assert_eq!(bob.expect("joined")["user"], free.as_str());
    assert_eq!(bob.expect("message")["from"], free.as_str());
    bob.assert_quiet_and_alive();
    first.assert_quiet_and_alive();
}

/// A client that is told to move does so at once, and lets go of its old session only then.
#[track_caller]
fn follow(client: &mut Client, reason: &str) {
    let redirect = client.find(2 * PATIENCE, |message| message["type"] == "redirect");
    let redirect = redirect.expect("a redirect");
    assert_eq!(redirect["reason"], reason);
    let mut moved = Client::connect(redirect["url"].as_str().expect("a URL")).expect("101");
    moved.expect("welcome");
    std::mem::replace(client, moved).close();
}

#[test]
fn a_rolling_restart_sends_nobody_away_who_has_as_many_sessions_as_are_allowed() {
    for limit in [1, 2] {
        let mut cluster = Cluster::of(3, &["--max-sessions-per-user", &limit.to_string()]);
        let users: Vec<_> = (0..3).map(|owner| cluster.user_of(owner, "user")).collect();
        let mut devices: Vec<Vec<Client>> = (users.iter())
            .enumerate()
            .map(|(owner, user)| {
                let url = cluster.nodes[owner].url(user);
                (0..limit).map(|_| Client::welcomed(&url).0).collect()
            })
            .collect();
        for (node, devices) in cluster.nodes.iter_mut().zip(&mut devices) {
            node.signal(Signal::Terminate);
            for device in devices.iter_mut() {
                follow(device, "drain");
            }
            node.wait_exit(PATIENCE);
            node.start();
            for device in devices {
                follow(device, "moved");
            }
        }
        cluster.wait_settled(3 * PATIENCE);
        for (user, devices) in users.iter().zip(&mut devices) {
            // Those that were left may end a moment after their connections.
            wait_until(PATIENCE, "only the devices are there", || {
                sessions(&cluster, user) == limit
            });
            let (more, refused) = race(&cluster, user);
            assert_eq!((more.len(), refused), (0, vec![Some(4509); 10]));
            for device in devices {
                device.send_text(r#"{"type":"ping","id":"p"}"#);
                assert_eq!(device.reply_to("p", PATIENCE)["type"], "pong");
            }
        }
    }
}
