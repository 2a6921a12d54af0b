//! Messages between users, kept and not, and where a client goes on.

use ringpost::proto::client_message::Request;
use ringpost::proto::server_message::Reply;
use ringpost::proto::target::To;
use ringpost::proto::{Ack, PresenceRequest, Send, Status, Welcome};
use serde_json::json;

use crate::client::{Binary, kept, to_user, unkept};
use crate::json_at;
use crate::support::client::outcome;
use crate::support::{Cluster, PATIENCE, wait_until};

const ODD: &str = r#"{ "a" : [1e400,"ü\u0041"] }"#;

fn ack(epoch: &str, offset: u64) -> Request {
    Request::Ack(Ack {
        stream: "inbox".to_owned(),
        epoch: epoch.to_owned(),
        offset,
    })
}

fn query(welcome: &Welcome) -> String {
    format!("&epoch={}&offset={}", welcome.epoch, welcome.offset)
}

#[test]
fn clients_of_both_forms_write_to_each_other_over_nodes() {
    let cluster = Cluster::of(3, &[]);
    let alice = cluster.user_of(0, "alice");
    let mut json = json_at(&cluster, 0, &alice);
    for (index, tag) in [(1, "home"), (2, "guest")] {
        let bob = cluster.user_of(1, tag);
        let (mut binary, welcome) = Binary::at(&cluster, index, &bob, "");
        assert_eq!(welcome.recovered, None);
        assert_eq!(welcome.max_message_bytes, 65_536);
        assert!(!welcome.epoch.is_empty(), "{welcome:?}");

        json.keep_accepted(&bob, &format!("{tag}1"), ODD);
        let message = binary.message();
        assert_eq!(
            (&*message.stream, &*message.id, &*message.from),
            ("inbox", &*format!("{tag}1"), &*alice)
        );
        assert_eq!(message.to, Some(to_user(&bob)));
        assert_eq!(message.body, ODD);
        assert_eq!(message.offset, welcome.offset + 1);
        assert!(message.ts > 0, "{message:?}");
        assert_eq!(json.deliver(&bob, &format!("{tag}2"), "2"), "sent");
        let message = binary.message();
        assert_eq!((&*message.epoch, message.offset), ("", 0));
        assert_eq!(message.body, "2");

        let id = format!("{tag}3");
        let receipt = binary.ask(&id, Request::Send(kept(to_user(&alice), ODD)));
        assert_eq!(receipt.status(), Status::Accepted, "{receipt:?}");
        assert_eq!((receipt.copies, receipt.duplicate), (2, false));
        let text = json.text(PATIENCE).expect("a message");
        assert!(text.contains(&format!("\"body\":{ODD},")), "{text}");
        let again = binary.ask(&id, Request::Send(kept(to_user(&alice), ODD)));
        assert_eq!((again.status(), again.duplicate), (Status::Accepted, true));
        let receipt = binary.ask(
            &format!("{tag}4"),
            Request::Send(unkept(to_user(&alice), "4")),
        );
        assert_eq!(receipt.status(), Status::Sent, "{receipt:?}");
        let message = json.expect("message");
        assert_eq!(
            (&message["body"], &message["from"]),
            (&json!(4), &json!(bob))
        );
        binary.assert_quiet_and_alive();
    }
}

#[test]
fn devices_of_both_forms_get_the_same() {
    let cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(0, "bob");
    let mut sender = json_at(&cluster, 1, "alice");
    let mut json = [0, 1].map(|index| json_at(&cluster, index, &bob));
    let mut binary = [0, 1, 0].map(|index| Binary::at(&cluster, index, &bob, "").0);
    for number in 0..20 {
        let (id, body) = (format!("m{number}"), number.to_string());
        if number % 2 == 0 {
            sender.keep_accepted(&bob, &id, &body);
        } else {
            assert_eq!(sender.deliver(&bob, &id, &body), "sent");
        }
        let offsets = json.each_mut().map(|device| {
            let message = device.expect("message");
            assert_eq!(
                (&message["id"], &message["body"]),
                (&json!(id), &json!(number))
            );
            message["offset"].as_u64().unwrap_or_default()
        });
        for device in &mut binary {
            let message = device.message();
            assert_eq!((&message.id, &*message.body), (&id, body.as_bytes()));
            assert_eq!(offsets, [message.offset; 2]);
        }
    }
}

#[test]
fn a_client_goes_on_from_its_position_or_from_what_is_acked() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = json_at(&cluster, 0, "alice");
    let (first, start) = Binary::at(&cluster, 1, &bob, "");
    drop(first);
    for id in ["m1", "m2", "m3"] {
        alice.keep_accepted(&bob, id, "1");
    }
    // As a guest, then at home.
    for index in [2, 1] {
        let (mut back, welcome) = Binary::at(&cluster, index, &bob, &query(&start));
        assert_eq!(welcome.recovered, Some(true), "{welcome:?}");
        assert_eq!(welcome.offset, start.offset);
        let messages = ["m1", "m2", "m3"].map(|_| back.message());
        assert_eq!(messages.each_ref().map(|m| &*m.id), ["m1", "m2", "m3"]);
        back.send("", ack(&messages[1].epoch, messages[1].offset));
        back.assert_quiet_and_alive();
    }
    wait_until(PATIENCE, "the ack is known", || {
        let welcome = Binary::at(&cluster, 1, &bob, "").1;
        welcome.offset == start.offset + 2
    });
    let (mut fresh, welcome) = Binary::at(&cluster, 1, &bob, "");
    assert_eq!(welcome.recovered, None);
    assert_eq!(fresh.message().id, "m3");
    fresh.assert_quiet_and_alive();
}

#[test]
fn a_notice_comes_when_the_recipient_has_acked() {
    let cluster = Cluster::of(2, &[]);
    let (alice, bob) = (cluster.user_of(0, "alice"), cluster.user_of(1, "bob"));
    let mut binary = Binary::at(&cluster, 0, &alice, "").0;
    let mut json = json_at(&cluster, 1, &bob);
    let send = Send {
        notify: true,
        ..kept(to_user(&bob), "1")
    };
    let receipt = binary.ask("m1", Request::Send(send));
    assert_eq!(receipt.status(), Status::Accepted, "{receipt:?}");
    let message = json.expect("message");
    json.ack(&message);
    let Reply::Delivered(delivered) = binary.next() else {
        panic!("no notice");
    };
    assert_eq!((&*delivered.id, &delivered.user), ("m1", &bob));

    // And the other way round.
    json.send_json(&json!({"type":"send","id":"m2","to":{"user":alice},"body":1,"notify":true}));
    let message = binary.message();
    assert_eq!(message.to.and_then(|to| to.to), Some(To::User(alice)));
    binary.send("", ack(&message.epoch, message.offset));
    let receipt = json.find(PATIENCE, |m| m["type"] == "receipt");
    assert_eq!(outcome(&receipt.expect("a receipt")), "accepted");
    let notice = json.find(PATIENCE, |m| m["type"] == "delivered");
    assert_eq!(notice.expect("a notice")["id"], "m2");
}

#[test]
fn it_is_told_who_is_online() {
    let cluster = Cluster::of(2, &[]);
    let (here, there) = (cluster.user_of(0, "here"), cluster.user_of(1, "there"));
    let mut binary = Binary::at(&cluster, 0, &here, "").0;
    let _json = json_at(&cluster, 1, &there);
    let users = vec![here.clone(), there.clone(), "nobody".to_owned()];
    let request = PresenceRequest {
        users,
        ..PresenceRequest::default()
    };
    binary.send("p1", Request::Presence(request));
    let Reply::Presence(presence) = binary.next() else {
        panic!("no presence");
    };
    assert_eq!((&*presence.id, presence.online.len()), ("p1", 3));
    let online = [&*here, &*there, "nobody"].map(|user| presence.online[user]);
    assert_eq!(online, [true, true, false]);
}
