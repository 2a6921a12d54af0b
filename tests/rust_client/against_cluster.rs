//! The client and a cluster of three: found from anywhere, moved by a drain, back after a crash; with qos 0.

use std::collections::HashSet;

use ringpost::client::{Client, Event, Options, Recipient, SendError, SendOptions, Status};
use serde_json::value::RawValue;

use crate::cluster::Cluster;
use crate::{connected, message, soon};

#[tokio::test]
async fn a_user_is_found_from_every_node_and_gets_the_body_as_it_was_written() {
    let cluster = Cluster::start().await;
    let mut nodes = HashSet::new();
    let mut redirects = 0;
    for url in cluster.urls() {
        let bob = Client::connect(&url, Options::for_user("bob"))
            .await
            .unwrap();
        nodes.insert(connected(&bob).await);
        redirects += bob.stats().redirects;
    }
    assert_eq!((nodes.len(), redirects), (1, 2), "{nodes:?}");

    let bob = cluster.client("bob").await;
    let alice = cluster.client_not_at(nodes.iter().next().unwrap()).await;
    let body: Box<RawValue> = serde_json::from_str(r#"{"n": 1.0e2,  "x":[]}"#).unwrap();
    let options = SendOptions::at_most_once().id("m1");
    let to = Recipient::user("bob");
    let receipt = soon("the receipt", alice.send(&to, &body, options)).await;
    assert_eq!(receipt.unwrap().status, Status::Sent);
    let message = message(&bob).await;
    assert_eq!(message.body, body.get());
    assert_eq!((message.id.as_str(), message.position), ("m1", None));

    let online = alice.presence(&["bob", "nobody"]).await.unwrap();
    assert_eq!((online["bob"], online["nobody"]), (true, false));
    let nobody = Recipient::user("nobody");
    let options = SendOptions::at_most_once();
    match alice.send(&nobody, "x", options).await {
        Err(SendError::Failed(failure)) => assert_eq!(failure.code, "offline"),
        other => panic!("{other:?}"),
    }
    soon("the close", bob.close()).await;
    assert_eq!(bob.next().await, None);
}

#[tokio::test]
async fn a_drain_moves_a_client_that_is_written_to_without_losing_or_repeating_anything() {
    let mut cluster = Cluster::start().await;
    let bob = cluster.client("bob").await;
    let before = connected(&bob).await;
    let alice = cluster.client_not_at(&before).await;
    let node = cluster.take(&before);
    let draining = tokio::spawn(async move { node.drain().await });

    let to = Recipient::user("bob");
    let mut got = Vec::new();
    let mut sent = Vec::new();
    let mut after = None;
    let mut left = 50;
    soon("the move, and fifty messages behind it", async {
        while left > 0 {
            let number = sent.len();
            let options = SendOptions::at_most_once();
            match alice.send(&to, &number, options).await {
                Ok(_) => sent.push(number),
                // For a moment the new owner may not know of the session yet, and says so.
                Err(error) if error.is_definite() => continue,
                Err(error) => panic!("{error}"),
            }
            while got.len() < sent.len() {
                match bob.next().await.unwrap() {
                    Event::Message(message) => got.push(message.json::<usize>().unwrap()),
                    Event::Connected { node, .. } => after = Some(node),
                    Event::Disconnected { error, .. } => panic!("a gap: {error}"),
                    _ => {}
                }
            }
            if after.is_some() {
                left -= 1;
            }
        }
    })
    .await;
    assert_eq!(got, sent);
    assert_ne!(after, Some(before));
    soon("the drain", draining).await.unwrap();
    let receipt = alice.send(&to, "still there?", SendOptions::at_most_once());
    assert!(soon("the receipt", receipt).await.is_ok());
    assert_eq!(message(&bob).await.body, r#""still there?""#);
    assert_eq!(bob.stats().reconnects, 1);
}

#[tokio::test]
async fn a_client_whose_node_dies_comes_back_at_the_next_one() {
    let mut cluster = Cluster::start().await;
    let bob = cluster.client("bob").await;
    let before = connected(&bob).await;
    let alice = cluster.client_not_at(&before).await;
    drop(cluster.take(&before));
    let after = connected(&bob).await;
    assert_ne!(after, before);
    cluster.settled(2).await;

    let to = Recipient::user("bob");
    let received = soon("a message gets through", async {
        loop {
            let options = SendOptions::at_most_once();
            match alice.send(&to, "back?", options).await {
                Ok(_) => return message(&bob).await,
                Err(SendError::Failed(failure)) if failure.retry => {}
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    assert_eq!(received.body, r#""back?""#);
}
