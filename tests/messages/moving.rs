//! Sessions that are told to move, and drains.

use std::time::{Duration, Instant};

use crate::kept_at;
use crate::support::herd::{assert_no_herd, closes};
use crate::support::{Client, Cluster, Handshake, PATIENCE, Signal, promised, wait_until};

#[test]
fn sessions_whose_owner_changed_are_told_to_move_and_lose_nothing_meanwhile() {
    let mut cluster = Cluster::of(2, &["--rebalance-rate", "100"]);
    let users: Vec<_> = (0..30).map(|n| format!("user{n}")).collect();
    let mut clients: Vec<_> = users
        .iter()
        .map(|user| Client::welcomed(&cluster.nodes[0].url(user)).0)
        .collect();
    let staying = &users[0];
    let mut guest = kept_at(&cluster, 1 - cluster.owner(staying), staying);
    let mut alices = kept_at(&cluster, 0, "alice");
    let third = cluster.add();
    cluster.nodes[third].seeds = cluster.seeds();
    cluster.nodes[third].start();
    cluster.wait_agreed(PATIENCE);
    for (number, user) in users.iter().enumerate() {
        let id = format!("m{number}");
        wait_until(PATIENCE, "the session is known", || {
            alices.deliver(user, &id, "1") == "sent"
        });
    }
    let mut moved = 0;
    for (user, client) in users.iter().zip(&mut clients) {
        let owner = cluster.owner(user);
        let message = client.find(PATIENCE, |m| m["type"] == "message");
        assert!(message.is_some(), "{user} got nothing");
        if owner != third {
            client.assert_quiet_and_alive();
            continue;
        }
        moved += 1;
        let redirect = client.find(PATIENCE, |m| m["type"] == "redirect");
        let redirect = redirect.unwrap_or_else(|| panic!("{user} is not told to move"));
        assert_eq!(redirect["reason"], "moved", "{redirect}");
        assert!(redirect["after_ms"].is_u64(), "{redirect}");
        client.assert_quiet_and_alive();
        let url = redirect["url"].as_str().expect("a URL");
        let mut next = Client::connect(url).expect("the new owner takes it");
        assert_eq!(
            next.expect("welcome")["node"],
            cluster.nodes[third].id.as_str()
        );
        assert_eq!(alices.deliver(user, "both", "2"), "sent");
        next.expect("message");
        client.expect("message");
    }
    println!("{moved} of {} users moved", users.len());
    assert!((2..=20).contains(&moved), "{moved} users moved");
    guest.expect("message");
    while let Some(text) = guest.text(Duration::from_millis(500)) {
        assert!(!text.contains("redirect"), "a never-guest is told {text}");
    }
}

#[test]
fn a_drain_sends_clients_away_and_closes_those_that_stay() {
    // At such a pace those that stay are served for ten seconds.
    let flags = ["--drain-timeout", "12s", "--rebalance-rate", "2"];
    let mut cluster = Cluster::of(3, &flags);
    let users = cluster.users_of(0, "u", 10);
    let mut clients: Vec<_> = users
        .iter()
        .map(|user| Client::welcomed(&cluster.nodes[0].url(user)).0)
        .collect();
    let other = cluster.user_of(1, "guest");
    let mut guest = kept_at(&cluster, 0, &other);
    let mut alices = kept_at(&cluster, 2, "alice");
    cluster.nodes[0].signal(Signal::Terminate);
    let asked = Instant::now();
    for (user, client) in users.iter().zip(&mut clients) {
        let redirect = client.find(Duration::from_secs(12), |m| m["type"] == "redirect");
        let redirect = redirect.unwrap_or_else(|| panic!("{user} is not told to leave"));
        assert_eq!(redirect["reason"], "drain", "{redirect}");
        assert!(redirect["after_ms"].is_u64(), "{redirect}");
        let url = redirect["url"].as_str().expect("a URL");
        let away = cluster.nodes[1..]
            .iter()
            .any(|n| url.contains(&n.listen.to_string()));
        assert!(away, "{redirect}");
        assert!(
            asked.elapsed() < Duration::from_secs(12),
            "{:?}",
            asked.elapsed()
        );
    }
    // The first leaves; the others stay, and are served until the end.
    clients.remove(0).close();
    wait_until(PATIENCE, "the last user is still served", || {
        alices.deliver(&users[9], "late", "1") == "sent"
    });
    clients[8].expect("message");
    for client in &mut clients {
        let (_, code) = client.read_to_close(2 * PATIENCE);
        assert_eq!(code, Some(4307));
    }
    assert_eq!(guest.read_to_close(2 * PATIENCE).1, Some(1012));
    let status = cluster.nodes[0].wait_exit(Duration::from_secs(12));
    println!("the drain took {:?}", asked.elapsed());
    assert_eq!(status.code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(24),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn a_drain_ends_early_when_all_clients_have_left() {
    let mut cluster = Cluster::of(2, &["--drain-timeout", "30s"]);
    let user = cluster.user_of(0, "u");
    let url = cluster.nodes[0].url(&user) + "&colour=red&epoch=0&offset=0";
    let (mut client, _) = Client::welcomed(&url);
    cluster.nodes[0].signal(Signal::Terminate);
    let redirect = client.expect("redirect");
    let url = redirect["url"].as_str().expect("a URL");
    // The rest of the query comes along; the position is the client's to give, it has moved on.
    assert!(url.contains("&colour=red&"), "{url}");
    assert!(!url.contains("epoch") && !url.contains("offset"), "{url}");
    let mut next = Handshake::to(url)
        .connect()
        .expect("the other node takes it");
    assert_eq!(next.expect("welcome")["node"], "n2");
    client.close();
    let status = cluster.nodes[0].wait_exit(promised(Duration::from_secs(5)));
    assert_eq!(status.code(), Some(0));
    next.assert_quiet_and_alive();
}

#[test]
fn a_drain_closes_those_that_it_cannot_send_anywhere_one_after_the_other() {
    let mut cluster = Cluster::of(2, &["--rebalance-rate", "25"]);
    let users = (0..100).map(|n| format!("user{n}"));
    let clients = users.map(|user| kept_at(&cluster, 0, &user)).collect();
    cluster.nodes[0].signal(Signal::Terminate);
    let closes = closes(clients, 2 * PATIENCE);
    assert_no_herd(&closes, Duration::from_secs(4));
    // None of them was told to move, so nobody has to be waited for.
    let status = cluster.nodes[0].wait_exit(promised(Duration::from_secs(3)));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_drain_of_a_few_that_it_cannot_send_anywhere_is_over_at_once() {
    let mut cluster = Cluster::of(2, &[]);
    let mut guest = kept_at(&cluster, 0, &cluster.user_of(1, "u"));
    cluster.nodes[0].signal(Signal::Terminate);
    let (_, code) = guest.read_to_close(promised(Duration::from_secs(2)));
    assert_eq!(code, Some(1012));
    let status = cluster.nodes[0].wait_exit(promised(Duration::from_secs(3)));
    assert_eq!(status.code(), Some(0));
}
