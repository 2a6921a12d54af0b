//! A handle: messages and questions from anywhere in a program.

use ringpost::error::ErrorCode;
use ringpost::handler::{Qos, Receipt, Recipient, SendOptions};
use ringpost::id::UserId;
use serde_json::json;

use crate::ring::Ring;
use crate::script::{room, user};
use crate::support::PATIENCE;

fn code(receipt: &Receipt) -> Option<ErrorCode> {
    match receipt {
        Receipt::Failed { code, .. } => Some(*code),
        Receipt::Sent | Receipt::Accepted { .. } => None,
    }
}

#[test]
fn a_handle_reaches_users_on_whichever_node_in_its_order() {
    let ring = Ring::plain(3);
    let shop = user("shop");
    for node in 0..3 {
        let name = ring.user_of(node, "bob");
        let (mut client, handle) = (ring.client(&name), ring.handle(0));
        let receipts = ring.runtime.block_on(async {
            // Nobody waits for the first.
            handle.send(&shop, &user(&name), "one");
            [
                handle.send(&shop, &user(&name), "two").await,
                handle.send(&shop, &user(&name), "three").await,
            ]
        });
        let accepted = Receipt::Accepted {
            copies: 2,
            duplicate: false,
        };
        assert_eq!(receipts, [accepted.clone(), accepted]);
        for body in ["one", "two", "three"] {
            let message = client.expect("message");
            assert_eq!(
                (&message["from"], &message["body"]),
                (&json!("shop"), &json!(body))
            );
        }
    }
}

#[test]
fn a_handle_says_what_became_of_a_message() {
    let ring = Ring::plain(1);
    let (handle, shop, bob) = (ring.handle(0), user("shop"), user("bob"));
    let options = |id: &str, qos| SendOptions {
        id: Some(id.to_owned()),
        qos,
        notify: false,
    };
    let once = Some(Qos::AtMostOnce);
    ring.runtime.block_on(async {
        let offline = handle.send_with(&shop, &bob, "x", options("1", once)).await;
        assert_eq!(code(&offline), Some(ErrorCode::Offline));
        for duplicate in [false, true] {
            let receipt = handle.send_with(&shop, &bob, "x", options("2", None)).await;
            let copies = 1;
            assert_eq!(receipt, Receipt::Accepted { copies, duplicate });
        }
        let reused = handle
            .send_with(&shop, &shop, "x", options("2", None))
            .await;
        assert_eq!(code(&reused), Some(ErrorCode::IdReused));
        let kept = Some(Qos::AtLeastOnce);
        let everyone = Recipient::Everyone;
        let impossible = handle
            .send_with(&shop, everyone, "x", options("3", kept))
            .await;
        assert_eq!(code(&impossible), Some(ErrorCode::BadRequest));
        let nameless = handle.send_with(&shop, &bob, "x", options("", None)).await;
        assert_eq!(code(&nameless), Some(ErrorCode::BadRequest));
        let large = handle.send(&shop, &bob, "x".repeat(65536)).await;
        assert_eq!(code(&large), Some(ErrorCode::TooLarge));
    });
}

#[test]
fn a_handle_speaks_to_rooms_and_to_everyone() {
    let ring = Ring::plain(3);
    let (handle, shop, lobby) = (ring.handle(1), user("shop"), room("lobby"));
    let names: Vec<_> = (0..3).map(|node| ring.user_of(node, "member")).collect();
    let mut members: Vec<_> = names.iter().map(|name| ring.client(name)).collect();
    for member in &mut members {
        member.send_json(&json!({"type": "join", "id": "j", "room": "lobby"}));
        assert_eq!(member.reply_to("j", PATIENCE)["status"], "joined");
    }
    let mut other = ring.client("elsewhere");
    let page = ring.runtime.block_on(async {
        let receipt = handle.room(&lobby).send(&shop, "to the room").await;
        assert_eq!(code(&receipt), None);
        let receipt = handle.send(&shop, Recipient::Everyone, "to all").await;
        assert_eq!(receipt, Receipt::Sent);
        handle.room(&lobby).members(None).await.unwrap()
    });
    let mut sorted = names.clone();
    sorted.sort();
    let there: Vec<_> = page.users.iter().map(UserId::as_str).collect();
    assert_eq!(
        (page.count, there, page.more),
        (3, sorted.iter().map(String::as_str).collect(), false)
    );
    for member in &mut members {
        for (stream, body) in [("room:lobby", "to the room"), ("everyone", "to all")] {
            let message = member.find(PATIENCE, |m| m["stream"] == stream).unwrap();
            assert_eq!(message["body"], body);
        }
    }
    let message = other.expect("message");
    assert_eq!(
        (&message["stream"], &message["body"]),
        (&json!("everyone"), &json!("to all"))
    );
}

#[test]
fn a_handle_knows_the_sessions_of_a_user_and_ends_them() {
    let ring = Ring::plain(3);
    for node in 0..3 {
        let name = ring.user_of(node, "bob");
        let (bob, handle) = (user(&name), ring.handle(0));
        let sessions = || ring.runtime.block_on(handle.sessions_of(&bob)).unwrap();
        assert_eq!(sessions(), []);
        let (mut phone, mut laptop) = (ring.client(&name), ring.client(&name));
        assert_eq!(sessions().len(), 2);
        assert!(
            sessions()
                .iter()
                .all(|it| it.node.as_str() == format!("n{}", node + 1))
        );
        assert_eq!(ring.runtime.block_on(handle.disconnect(&bob)), Ok(2));
        for client in [&mut phone, &mut laptop] {
            assert_eq!(client.read_to_close(PATIENCE).1, Some(4510));
        }
        assert_eq!(sessions(), []);
    }
}

#[test]
fn a_handle_of_a_node_that_has_ended_fails_and_never_hangs() {
    let ring = Ring::plain(1);
    let handle = ring.handle(0);
    ring.drain();
    ring.runtime.block_on(async {
        let receipt = handle.send(&user("shop"), &user("bob"), "x").await;
        assert_eq!(code(&receipt), Some(ErrorCode::Unreachable));
    });
}
