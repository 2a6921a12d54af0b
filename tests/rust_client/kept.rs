//! Messages that are kept (qos 1), from one client to another, while connections and nodes go.

use ringpost::client::{Client, Event, Position, Recipient, SendOptions, Status};

use crate::cluster::Cluster;
use crate::load::{Reader, Writer};
use crate::proxy::Proxy;
use crate::{connected, event, hasty, message, soon, soon_true};

fn bob() -> Recipient {
    Recipient::user("bob")
}

fn with_id(id: &str) -> SendOptions {
    SendOptions::default().id(id)
}

/// Sends and gives what the receipt says.
async fn send(client: &Client, body: &str, options: SendOptions) -> Status {
    let receipt = soon("a receipt", client.send(&bob(), body, options)).await;
    receipt.unwrap().status
}

fn accepted(duplicate: bool) -> Status {
    let copies = 2;
    Status::Accepted { copies, duplicate }
}

/// Whether a new connection knows what came before it, as its welcome says.
async fn recovered(client: &Client) -> Option<bool> {
    event(client, "a welcome", |event| match event {
        Event::Connected { recovered, .. } => Some(recovered),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn messages_wait_for_a_user_who_is_away_and_the_sender_hears_when_they_were_read() {
    let cluster = Cluster::start().await;
    let alice = cluster.client("alice").await;
    for id in ["m1", "m2", "m3"] {
        let mut options = with_id(id);
        options.notify = true;
        assert_eq!(send(&alice, id, options).await, accepted(false));
    }
    let bob = cluster.client("bob").await;
    let mut offsets = Vec::new();
    for id in ["m1", "m2", "m3"] {
        let message = message(&bob).await;
        assert_eq!((message.id.as_str(), message.from.as_str()), (id, "alice"));
        offsets.push(message.position.unwrap().offset);
    }
    assert!(offsets.is_sorted_by(|one, next| one < next), "{offsets:?}");
    for id in ["m1", "m2", "m3"] {
        let read = event(&alice, "the notice", |event| match event {
            Event::Delivered { id, user } => Some((id, user)),
            _ => None,
        });
        assert_eq!(read.await, (id.to_owned(), "bob".to_owned()));
    }
    soon("the close", bob.close()).await;

    // What was acked does not come again, and what is repeated is not taken twice.
    assert_eq!(send(&alice, "m1", with_id("m1")).await, accepted(true));
    assert_eq!(send(&alice, "m4", with_id("m4")).await, accepted(false));
    let bob = cluster.client("bob").await;
    assert_eq!(message(&bob).await.id, "m4");
}

#[tokio::test]
async fn a_position_is_where_another_client_goes_on_and_without_it_all_that_is_not_acked_comes() {
    let cluster = Cluster::start().await;
    let alice = cluster.client("alice").await;
    for id in ["m1", "m2", "m3"] {
        send(&alice, id, with_id(id)).await;
    }
    let client = |resume: Option<Position>| {
        let mut options = hasty("bob");
        options.auto_ack = false;
        options.resume = resume;
        let url = cluster.urls().remove(0);
        async move { Client::connect(&url, options).await.unwrap() }
    };
    let first = client(None).await;
    assert_eq!(recovered(&first).await, None);
    assert_eq!(message(&first).await.id, "m1");
    let position = first.position();
    drop(first);

    let second = client(position.clone()).await;
    assert_eq!(recovered(&second).await, Some(true));
    assert_eq!(message(&second).await.id, "m2");
    assert_eq!(message(&second).await.id, "m3");
    drop(second);

    let third = client(None).await;
    for id in ["m1", "m2", "m3"] {
        let message = message(&third).await;
        assert_eq!(message.id, id);
        if id == "m2" {
            third.ack(message.position.unwrap());
        }
    }
    soon("the close", third.close()).await;
    assert_eq!(message(&client(None).await).await.id, "m3");
    // Acked ones are still there for who says where it was.
    assert_eq!(message(&client(position).await).await.id, "m2");

    let lost = client(Some(Position::new("no-such-epoch", 7))).await;
    assert_eq!(recovered(&lost).await, Some(false));
}

/// A user behind a proxy in front of the node that owns it.
async fn behind_a_proxy(cluster: &Cluster, user: &str) -> (Client, Proxy) {
    let found = cluster.client(user).await;
    let node = connected(&found).await;
    soon("the close", found.close()).await;
    let proxy = Proxy::start(&cluster.url_of(&node)).await;
    let client = Client::connect(&proxy.url(), hasty(user)).await;
    (client.unwrap(), proxy)
}

#[tokio::test]
async fn connections_that_are_cut_under_load_lose_repeat_and_reorder_nothing() {
    let cluster = Cluster::start().await;
    let (alice, to_alice) = behind_a_proxy(&cluster, "alice").await;
    let (bob, to_bob) = behind_a_proxy(&cluster, "bob").await;
    let alice = Writer::start("alice", alice, self::bob());
    let mut bob = Reader::new(bob);
    let cuts = [(true, false), (false, true), (true, true)];
    for (of_alice, of_bob) in cuts.into_iter().cycle().take(6) {
        bob.more(20).await;
        let before = (alice.client.stats().reconnects, bob.nodes.len());
        if of_alice {
            to_alice.cut();
        }
        if of_bob {
            to_bob.cut();
            bob.until("bob is back", |bob| bob.nodes.len() > before.1)
                .await;
        }
        soon_true("alice is back", async || {
            !of_alice || alice.client.stats().reconnects > before.0
        })
        .await;
    }
    bob.more(20).await;
    bob.has_all([alice]).await;
}

/// Bob, and two who write to him: one at his node and one at another.
async fn under_load(cluster: &Cluster) -> (Reader, Vec<Writer>) {
    let mut bob = Reader::new(cluster.client("bob").await);
    bob.until("a welcome", |bob| !bob.nodes.is_empty()).await;
    let writers = vec![
        Writer::start(
            "at his node",
            cluster.client_at(bob.node()).await,
            self::bob(),
        ),
        Writer::start(
            "at another",
            cluster.client_not_at(bob.node()).await,
            self::bob(),
        ),
    ];
    bob.more(50).await;
    cluster.copied().await;
    (bob, writers)
}

#[tokio::test]
async fn the_crash_of_bobs_node_under_load_loses_repeats_and_reorders_nothing() {
    let mut cluster = Cluster::start().await;
    let (mut bob, writers) = under_load(&cluster).await;
    let before = bob.node().to_owned();
    drop(cluster.take(&before));
    bob.until("bob is elsewhere", |bob| bob.node() != before)
        .await;
    bob.more(100).await;
    bob.has_all(writers).await;
}

#[tokio::test]
async fn a_drain_of_bobs_node_under_load_loses_repeats_and_reorders_nothing() {
    let mut cluster = Cluster::start().await;
    let (mut bob, writers) = under_load(&cluster).await;
    let before = bob.node().to_owned();
    let node = cluster.take(&before);
    let draining = tokio::spawn(async move { node.drain().await });
    bob.until("bob is elsewhere", |bob| bob.node() != before)
        .await;
    bob.more(100).await;
    soon("the drain", draining).await.unwrap();
    bob.more(100).await;
    bob.has_all(writers).await;
}

#[tokio::test]
async fn what_was_accepted_for_an_absent_user_survives_the_crash_of_its_owner() {
    let mut cluster = Cluster::start().await;
    let bob = cluster.client("bob").await;
    let owner = connected(&bob).await;
    soon("the close", bob.close()).await;
    let alice = cluster.client_not_at(&owner).await;
    for id in ["m1", "m2", "m3"] {
        assert_eq!(send(&alice, id, with_id(id)).await, accepted(false));
    }
    drop(cluster.take(&owner));
    let bob = cluster.client("bob").await;
    for id in ["m1", "m2", "m3"] {
        assert_eq!(message(&bob).await.id, id);
    }
    // The next owner knows the ids, too.
    assert_eq!(send(&alice, "m1", with_id("m1")).await, accepted(true));
    assert_eq!(send(&alice, "m4", with_id("m4")).await, accepted(false));
    assert_eq!(message(&bob).await.id, "m4");
}
