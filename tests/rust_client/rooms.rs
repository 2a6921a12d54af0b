//! Rooms of a cluster, while connections and nodes go.

use std::collections::BTreeSet;

use ringpost::client::{Client, Event, Joined, Recipient, SendError, SendOptions, Status};

use crate::cluster::Cluster;
use crate::load::{Reader, Writer};
use crate::proxy::Proxy;
use crate::{connected, event, hasty, message, soon, soon_true};

fn lobby() -> Recipient {
    Recipient::room("lobby")
}

async fn send(client: &Client, to: &Recipient, body: &str, options: SendOptions) -> Status {
    let receipt = soon("a receipt", client.send(to, body, options)).await;
    receipt.unwrap().status
}

async fn join(client: &Client, room: &str) -> Joined {
    soon("the join", client.join(room)).await.unwrap()
}

/// The node that owns a room: users and rooms of one name have one owner.
async fn owner_of(cluster: &Cluster, room: &str) -> String {
    let found = cluster.client(room).await;
    let node = connected(&found).await;
    soon("the close", found.close()).await;
    node
}

#[tokio::test]
async fn what_is_sent_to_a_room_comes_to_its_members_and_to_nobody_who_left() {
    let cluster = Cluster::start().await;
    let (alice, bob) = (cluster.client("alice").await, cluster.client("bob").await);
    let joined = join(&alice, "lobby").await;
    assert_eq!(joined.recovered, None);
    join(&bob, "lobby").await;
    let come = event(&alice, "bob", |event| match event {
        Event::Joined { room, user } => Some((room, user)),
        _ => None,
    });
    assert_eq!(come.await, ("lobby".to_owned(), "bob".to_owned()));

    let carol = cluster.client("carol").await;
    let (copies, duplicate) = (2, false);
    let accepted = Status::Accepted { copies, duplicate };
    let sent = send(&carol, &lobby(), "hi", SendOptions::default()).await;
    assert_eq!(sent, accepted);
    for client in [&alice, &bob] {
        let got = message(client).await;
        assert_eq!((got.room(), got.from.as_str()), (Some("lobby"), "carol"));
        assert_eq!(got.body, r#""hi""#);
        assert_eq!(client.room_position("lobby"), got.position);
    }
    // A sender in the room has it, too, unless it does not want to.
    send(
        &bob,
        &lobby(),
        "quiet",
        SendOptions::default().without_echo(),
    )
    .await;
    send(&bob, &lobby(), "loud", SendOptions::at_most_once()).await;
    // What is kept and what is not have no order among them.
    let mut heard = [message(&alice).await.body, message(&alice).await.body];
    heard.sort();
    assert_eq!(heard, [r#""loud""#, r#""quiet""#]);
    assert_eq!(message(&bob).await.body, r#""loud""#);

    soon("the leave", bob.leave("lobby")).await.unwrap();
    assert_eq!(bob.room_position("lobby"), None);
    let left = event(&alice, "bob", |event| match event {
        Event::Left { user, .. } => Some(user),
        _ => None,
    });
    assert_eq!(left.await, "bob");
    send(&carol, &lobby(), "later", SendOptions::default()).await;
    assert_eq!(message(&alice).await.body, r#""later""#);

    // Who was there catches up, but for what the same session did not want to have back.
    let again = bob.join_since("lobby", &joined.position);
    assert_eq!(soon("the join", again).await.unwrap().recovered, Some(true));
    for body in ["hi", "later"] {
        assert_eq!(message(&bob).await.json::<String>().unwrap(), body);
    }
}

#[tokio::test]
async fn who_is_in_a_room_is_told_page_by_page_or_all_at_once() {
    let cluster = Cluster::start().await;
    let mut clients = Vec::new();
    for user in ["alice", "bob", "carol"] {
        let client = cluster.client(user).await;
        join(&client, "lobby").await;
        clients.push(client);
    }
    let asker = cluster.client("dave").await;
    soon_true("all are there", async || {
        let page = asker.room_page("lobby", None).await.unwrap();
        page.count == 3 && page.next.is_none()
    })
    .await;
    let users = soon("who is there", asker.presence_of_room("lobby")).await;
    let users: BTreeSet<String> = users.unwrap().into_iter().collect();
    assert_eq!(users, ["alice", "bob", "carol"].map(str::to_owned).into());
    let page = soon("a page", asker.room_page("lobby", Some("alice"))).await;
    assert_eq!(page.unwrap().users, ["bob", "carol"]);
}

#[tokio::test]
async fn what_goes_to_everyone_comes_to_all_where_clients_may() {
    let cluster = Cluster::start_with(|config| config.clients_may_broadcast = true).await;
    let (alice, bob) = (cluster.client("alice").await, cluster.client("bob").await);
    let sent = send(&alice, &Recipient::Everyone, "all", SendOptions::default()).await;
    assert_eq!(sent, Status::Sent);
    for client in [&alice, &bob] {
        let got = message(client).await;
        assert_eq!((got.stream.as_str(), got.position), ("everyone", None));
    }
    drop(cluster);

    let cluster = Cluster::start().await;
    let alice = cluster.client("alice").await;
    let refused = alice.send(&Recipient::Everyone, "all", SendOptions::default());
    let refused = soon("the receipt", refused).await.unwrap_err();
    assert!(
        matches!(&refused, SendError::Failed(failure) if !failure.retry),
        "{refused}"
    );
}

/// A member of the room at this node.
async fn member_at(cluster: &Cluster, node: &str) -> Reader {
    let mut reader = Reader::new(cluster.client_at(node).await);
    join(&reader.client, "lobby").await;
    reader.nodes.push(node.to_owned());
    reader
}

#[tokio::test]
async fn a_member_whose_connection_is_cut_under_load_misses_and_repeats_nothing() {
    let cluster = Cluster::start().await;
    let found = cluster.client("bob").await;
    let node = connected(&found).await;
    soon("the close", found.close()).await;
    let proxy = Proxy::start(&cluster.url_of(&node)).await;
    let bob = Client::connect(&proxy.url(), hasty("bob")).await.unwrap();
    join(&bob, "lobby").await;
    let mut bob = Reader::new(bob);
    let writer = Writer::start("alice", cluster.client("alice").await, lobby());
    for _ in 0..6 {
        bob.more(20).await;
        let before = bob.nodes.len();
        proxy.cut();
        bob.until("bob is back", |bob| bob.nodes.len() > before)
            .await;
    }
    bob.more(20).await;
    bob.has_all([writer]).await;
}

#[tokio::test]
async fn members_on_three_nodes_see_all_while_one_node_is_killed_and_another_drained() {
    let mut cluster = Cluster::start().await;
    // The room's owner is the one that is killed, and who takes over may be the one that is drained.
    let killed = owner_of(&cluster, "lobby").await;
    let mut others = ["n1", "n2", "n3"]
        .into_iter()
        .filter(|node| *node != killed);
    let (drained, stays) = (others.next().unwrap(), others.next().unwrap());
    let mut one = member_at(&cluster, &killed).await;
    let mut two = member_at(&cluster, drained).await;
    let mut three = member_at(&cluster, stays).await;
    let writers = [
        Writer::start("killed", cluster.client_at(&killed).await, lobby()),
        Writer::start("drained", cluster.client_at(drained).await, lobby()),
        Writer::start("stays", cluster.client_at(stays).await, lobby()),
    ];
    tokio::join!(one.more(50), two.more(50), three.more(50));
    cluster.copied().await;

    drop(cluster.take(&killed));
    let elsewhere = async {
        one.until("it is elsewhere", |one| one.node() != killed)
            .await;
        one.more(100).await;
    };
    tokio::join!(elsewhere, two.more(300), three.more(300));
    let mut all = [&mut one, &mut two, &mut three];
    reading(&mut all, async {
        cluster.settled(2).await;
        cluster.copied().await;
    })
    .await;

    let node = cluster.take(drained);
    let draining = tokio::spawn(async move { node.drain().await });
    let elsewhere = async {
        two.until("it is elsewhere", |two| two.node() != drained)
            .await;
        two.more(100).await;
    };
    tokio::join!(one.more(100), elsewhere, three.more(100));
    let mut all = [&mut one, &mut two, &mut three];
    reading(&mut all, async {
        soon("the drain", draining).await.unwrap();
    })
    .await;
    tokio::join!(one.more(100), two.more(100), three.more(100));

    for writer in writers {
        let name = writer.name;
        let mut all = [&mut one, &mut two, &mut three];
        let sent = reading(&mut all, writer.accepted()).await;
        tokio::join!(
            one.has(name, &sent),
            two.has(name, &sent),
            three.has(name, &sent)
        );
    }
}

/// Lets the readers read until something is done.
async fn reading<T>(readers: &mut [&mut Reader; 3], until: impl Future<Output = T>) -> T {
    let [one, two, three] = readers;
    tokio::select! {
        done = until => done,
        () = async { tokio::join!(one.on(), two.on(), three.on()); } => unreachable!("they read on"),
    }
}
