//! What servers make of the client that do what a real one does rarely.

use std::time::Duration;

use ringpost::client::{Client, Error, Event, Options, Position, Recipient, SendError};
use ringpost::client::{SendOptions, Status};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::script::{PING, PONG, Server, TEXT, accepted, failed, frame, message as said};
use crate::{connected, event, hasty, message, soon};

fn bob() -> Recipient {
    Recipient::user("bob")
}

fn with_id(id: &str) -> SendOptions {
    SendOptions::default().id(id)
}

#[tokio::test]
async fn qos_1_is_repeated_in_order_after_a_break_and_then_comes_what_is_new() {
    let server = Server::start().await;
    let (client, mut first) = server.client(hasty("alice"), json!({})).await;
    let mut receipts = Vec::new();
    for id in ["m1", "m2", "m3"] {
        let receipt = client.start_send(&bob(), &id, with_id(id)).await.unwrap();
        receipts.push(receipt);
    }
    for id in ["m1", "m2", "m3"] {
        let got = first.json().await;
        assert_eq!((&got["id"], &got["body"]), (&id.into(), &id.into()));
        assert_eq!(got["qos"], 1);
    }
    first.say(&accepted("m2")).await;
    let second = receipts.remove(1);
    assert!(soon("the receipt of m2", second).await.is_ok());
    drop(first);

    let mut second = server.welcome(json!({})).await;
    let receipt = client.start_send(&bob(), "new", with_id("m4")).await;
    receipts.push(receipt.unwrap());
    for id in ["m1", "m3", "m4"] {
        assert_eq!(second.json().await["id"], id);
        second.say(&accepted(id)).await;
    }
    for receipt in receipts {
        let receipt = soon("a receipt", receipt).await.unwrap();
        let (copies, duplicate) = (2, false);
        assert_eq!(receipt.status, Status::Accepted { copies, duplicate });
    }
    assert_eq!(client.stats().reconnects, 1);
}

#[tokio::test]
async fn qos_0_without_a_receipt_is_unknown_after_a_break_and_not_repeated() {
    let server = Server::start().await;
    let (client, mut first) = server.client(hasty("alice"), json!({})).await;
    let options = SendOptions::at_most_once();
    let receipt = client.start_send(&bob(), "x", options).await.unwrap();
    assert_eq!(first.json().await["qos"], 0);
    drop(first);
    let error = soon("the outcome", receipt).await.unwrap_err();
    assert!(matches!(error, SendError::Unknown(_)), "{error}");
    let mut second = server.welcome(json!({})).await;
    let _receipt = client.start_send(&bob(), "y", SendOptions::default()).await;
    assert_eq!(second.json().await["body"], "y");
}

#[tokio::test]
async fn a_break_neither_loses_nor_repeats_a_message_and_acks_follow() {
    let server = Server::start().await;
    let at = |offset: u64| json!({"epoch": "e", "offset": offset});
    let (client, mut first) = server.client(hasty("alice"), at(0)).await;
    for (id, offset) in [("1", 1), ("2", 2), ("3", 3)] {
        first.message(id, Some(offset)).await;
    }
    for id in ["1", "2", "3"] {
        assert_eq!(message(&client).await.id, id);
    }
    let ack = json!({"type": "ack", "stream": "inbox", "epoch": "e", "offset": 3});
    let mut acked = first.json().await;
    while acked["offset"] != 3 {
        // The program was slow to take the next one.
        assert_eq!(acked["type"], "ack", "{acked}");
        acked = first.json().await;
    }
    assert_eq!(acked, ack);
    assert_eq!(client.position(), Some(Position::new("e", 3)));
    drop(first);

    let mut second = server.accept().await;
    let path = second.path().to_owned();
    assert_eq!(path, "/ws?user=alice&redirect=http&epoch=e&offset=3");
    second.upgrade().await;
    // As after a take-over: another epoch, and one message once more.
    let welcome = json!({"epoch": "f", "offset": 2, "recovered": true});
    second.welcome(welcome).await;
    for (id, offset) in [("3", 3), ("4", 4)] {
        let mut message = said(id, Some(offset));
        message["epoch"] = "f".into();
        second.say(&message).await;
    }
    assert_eq!(message(&client).await.id, "4");
    assert_eq!(client.position(), Some(Position::new("f", 4)));
    assert_eq!(client.stats().repeats_dropped, 1);
}

#[tokio::test]
async fn a_move_keeps_the_old_connection_until_the_new_one_is_there() {
    let (old_server, new_server) = (Server::start().await, Server::start().await);
    let position = json!({"epoch": "e", "offset": 0});
    let (client, mut old) = old_server.client(hasty("alice"), position).await;
    connected(&client).await;
    let url = format!("ws://{}/ws?user=alice&hop=1", new_server.address);
    old.say(&json!({"type": "redirect", "url": url, "reason": "moved", "after_ms": 1}))
        .await;
    old.message("1", Some(1)).await;
    assert_eq!(message(&client).await.id, "1");

    let mut new = new_server.accept().await;
    let path = new.path().to_owned();
    assert!(
        ["&epoch=e&offset=0", "&epoch=e&offset=1"].contains(&&path["/ws?user=alice&hop=1".len()..]),
        "{path}"
    );
    new.upgrade().await;
    // Not welcome there yet: served here.
    old.message("2", Some(2)).await;
    assert_eq!(message(&client).await.id, "2");
    let receipt = client.start_send(&bob(), "x", with_id("m1")).await.unwrap();
    loop {
        let got = old.json().await;
        if got["id"] == "m1" {
            break;
        }
        assert_eq!(got["type"], "ack");
    }
    new.welcome(json!({"node": "n2", "epoch": "e", "offset": 1}))
        .await;
    assert_eq!(connected(&client).await, "n2");
    assert_eq!(new.json().await["id"], "m1");
    old.message("3", Some(3)).await;
    old.message("unkept", None).await;
    assert_eq!(message(&client).await.id, "unkept");
    for (id, offset) in [("2", 2), ("3", 3), ("4", 4)] {
        new.message(id, Some(offset)).await;
    }
    assert_eq!(message(&client).await.id, "3");
    assert_eq!(message(&client).await.id, "4");
    old.say(&accepted("m1")).await;
    assert!(soon("the receipt", receipt).await.is_ok());
    loop {
        let (opcode, payload) = old.hear().await;
        if opcode != TEXT {
            assert_eq!(payload, 1000_u16.to_be_bytes());
            break;
        }
    }
    assert_eq!(client.stats().redirects, 1);
}

#[tokio::test]
async fn a_move_on_which_both_nodes_refuse_leaves_the_outcome_to_the_new_one_and_open() {
    let (old_server, new_server) = (Server::start().await, Server::start().await);
    let (client, mut old) = old_server.client(hasty("alice"), json!({})).await;
    connected(&client).await;
    let mut receipts = Vec::new();
    for id in ["m1", "m2"] {
        let receipt = client.start_send(&bob(), &id, with_id(id)).await.unwrap();
        receipts.push(receipt);
        assert_eq!(old.json().await["id"], id);
    }
    let url = format!("ws://{}/ws?user=alice&hop=1", new_server.address);
    old.say(&json!({"type": "redirect", "url": url, "reason": "moved"}))
        .await;
    let mut new = new_server.welcome(json!({"node": "n2"})).await;
    assert_eq!(connected(&client).await, "n2");
    for id in ["m1", "m2"] {
        old.say(&failed(id, "unreachable")).await;
    }
    // The client has heard the failures when it has this.
    old.message("behind", None).await;
    assert_eq!(message(&client).await.id, "behind");
    for id in ["m1", "m2"] {
        assert_eq!(new.json().await["id"], id);
    }
    new.say(&accepted("m1")).await;
    new.say(&failed("m2", "rate_limited")).await;
    let second = receipts.pop().unwrap();
    let first = receipts.pop().unwrap();
    assert!(soon("the receipt of m1", first).await.is_ok());
    let error = soon("the failure of m2", second).await.unwrap_err();
    assert!(
        matches!(&error, SendError::Failed(failure) if failure.code == "rate_limited"),
        "{error}"
    );
    assert!(!error.is_definite(), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_in_every_form_and_only_given_nodes_see_the_token() {
    let (given, owner) = (Server::start().await, Server::start().await);
    let address = &owner.address;
    for location in [
        format!("Location: //{address}/ws?x=1\r\n"),
        format!("Location: ws://{address}/ws?x=1\r\n"),
        format!("Location: http://{address}/ws?x=1\r\n"),
    ] {
        let mut options = hasty("alice");
        options.token = Some("secret".into());
        let url = given.url();
        let server = async {
            let first = given.accept().await;
            assert_eq!(first.header("authorization"), Some("Bearer secret"));
            first.answer("307 Temporary Redirect", &location).await;
            let mut relative = owner.accept().await;
            assert_eq!(relative.path(), "/ws?x=1");
            assert_eq!(relative.header("authorization"), None);
            relative.upgrade().await;
            let there = json!({"type": "redirect", "url": "/ws?x=2", "reason": "not_owner"});
            relative.say(&there).await;
            relative.close(4307).await;
            let mut last = owner.accept().await;
            assert_eq!(last.path(), "/ws?x=2");
            last.upgrade().await;
            last.welcome(json!({})).await;
            last
        };
        let (client, _last) = tokio::join!(Client::connect(&url, options), server);
        assert_eq!(client.unwrap().stats().redirects, 2, "{location}");
    }
}

#[tokio::test]
async fn a_program_that_is_slow_slows_the_server_and_misses_nothing() {
    const MESSAGES: usize = 500;
    /// A write that takes so long waits for its reader.
    const HELD_UP: Duration = Duration::from_millis(200);
    let server = Server::start().await;
    let mut options = hasty("alice");
    options.events_ahead = 4;
    let (client, mut connection) = server.client(options, json!({})).await;
    let (count, mut written) = watch::channel(0);
    let writing = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let mut message = said(&number.to_string(), None);
            message["body"] = "x".repeat(100_000).into();
            let bytes = frame(TEXT, message.to_string().as_bytes());
            connection.bytes(&bytes).await.unwrap();
            count.send_modify(|count| *count += 1);
        }
        connection
    });
    soon("the server is held up", async {
        written.wait_for(|count| *count > 0).await.unwrap();
        while let Ok(more) = timeout(HELD_UP, written.changed()).await {
            more.expect("not all is written");
        }
    })
    .await;
    assert!(*written.borrow() < MESSAGES);
    for number in 0..MESSAGES {
        assert_eq!(message(&client).await.id, number.to_string());
    }
    soon("all is written", writing).await.unwrap();
}

#[tokio::test]
async fn sends_wait_for_room() {
    let server = Server::start().await;
    let mut options = hasty("alice");
    options.outstanding_max = 1;
    let (client, mut connection) = server.client(options, json!({})).await;
    let first = client.start_send(&bob(), "1", with_id("m1")).await.unwrap();
    let to = bob();
    let mut second = Box::pin(client.start_send(&to, "2", with_id("m2")));
    assert_eq!(connection.json().await["id"], "m1");
    let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx)));
    assert!(waits.await.is_pending());
    connection.say(&accepted("m1")).await;
    soon("the first receipt", first).await.unwrap();
    let _receipt = soon("room", second).await.unwrap();
    assert_eq!(connection.json().await["id"], "m2");
}

#[tokio::test]
async fn pings_are_answered_and_a_server_that_masks_is_left() {
    let server = Server::start().await;
    let (_client, mut first) = server.client(hasty("alice"), json!({})).await;
    first.frame(PING, b"there?").await;
    assert_eq!(first.hear().await, (PONG, b"there?".to_vec()));
    first.bytes(&[0x81, 0x81, 0, 0, 0, 0, b'x']).await.unwrap();
    assert_eq!(first.closed().await, 1002);
    let _second = server.welcome(json!({})).await;
}

#[tokio::test]
async fn an_end_for_good_is_told_to_all_who_wait() {
    let server = Server::start().await;
    let (client, mut connection) = server.client(hasty("alice"), json!({})).await;
    let receipt = client.start_send(&bob(), "x", SendOptions::default()).await;
    connection.json().await;
    connection.close(4510).await;
    assert_eq!(connection.closed().await, 4510);
    connection.ended().await;
    let end = event(&client, "the end", |event| match event {
        Event::Ended(error) => Some(error),
        _ => None,
    })
    .await;
    assert!(matches!(end, Error::Closed { code: 4510, .. }), "{end}");
    assert_eq!(client.next().await, None);
    let outcome = soon("the outcome", receipt.unwrap()).await;
    assert_eq!(outcome, Err(SendError::Unknown(end.clone())));
    let late = client.send(&bob(), "y", SendOptions::default()).await;
    assert_eq!(late, Err(SendError::NotSent(end)));
    soon("closing what has ended", client.close()).await;
}

#[tokio::test]
async fn a_close_waits_for_receipts_acks_and_says_goodbye() {
    let server = Server::start().await;
    let position = json!({"epoch": "e", "offset": 0});
    let (client, mut connection) = server.client(hasty("alice"), position).await;
    connection.message("1", Some(1)).await;
    assert_eq!(message(&client).await.id, "1");
    let receipt = client.start_send(&bob(), "x", with_id("m1")).await.unwrap();
    let closing = async {
        client.close().await;
        client.next().await
    };
    let server = async {
        let mut seen = Vec::new();
        loop {
            let got = connection.json().await;
            seen.push(got["type"].clone());
            if got["type"] == "send" {
                connection.say(&accepted("m1")).await;
            }
            if seen.len() == 2 {
                break;
            }
        }
        assert!(seen.contains(&"ack".into()), "{seen:?}");
        assert_eq!(connection.closed().await, 1000);
        connection.close(1000).await;
    };
    let (end, ()) = soon("the close", async { tokio::join!(closing, server) }).await;
    assert_eq!(end, None);
    assert!(receipt.await.is_ok());
}

#[tokio::test]
async fn a_client_that_is_dropped_ends_its_connection() {
    let server = Server::start().await;
    let (client, mut connection) = server.client(hasty("alice"), json!({})).await;
    let other = client.clone();
    drop(client);
    let _receipt = other.start_send(&bob(), "x", SendOptions::default()).await;
    connection.json().await;
    drop(other);
    connection.ended().await;
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_is_tried() {
    let user = || Options::for_user("alice");
    let form = Client::connect("ftp://x", user()).await.unwrap_err();
    assert!(matches!(form, Error::Url { .. }), "{form}");
    let nobody = Client::connect("ws://127.0.0.1:1", Options::new()).await;
    assert_eq!(nobody.unwrap_err(), Error::Nobody);
    let mut options = Options::new();
    options.token = Some("\n".into());
    let token = Client::connect("ws://127.0.0.1:1", options).await;
    assert_eq!(token.unwrap_err(), Error::Token);
}
