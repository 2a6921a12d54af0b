//! Backends send to rooms and to everyone, and ask who is in a room.

use serde_json::{Value, json};

use crate::support::{Client, Cluster, PATIENCE, wait_until};
use crate::{call, send};

fn member(cluster: &Cluster, index: usize, user: &str) -> Client {
    let url = format!("{}&redirect=never", cluster.nodes[index].url(user));
    let mut client = Client::connect(&url).expect("101");
    client.expect("welcome");
    client
}

fn enter(client: &mut Client, room: &str) {
    client.send_json(&json!({"type":"join","id":"j","room":room}));
    assert_eq!(client.reply_to("j", PATIENCE)["status"], "joined");
}

fn message_of(client: &mut Client) -> Value {
    let message = client.find(PATIENCE, |message| message["type"] == "message");
    message.expect("a message")
}

#[test]
fn a_backend_reaches_a_room_and_everyone_from_any_node() {
    let cluster = Cluster::of(3, &[]);
    let mut members: Vec<_> = (0..3)
        .map(|index| member(&cluster, index, &format!("member-{index}")))
        .collect();
    let mut other = member(&cluster, 0, "other");
    for client in &mut members {
        enter(client, "lobby");
    }
    for (index, node) in cluster.nodes.iter().enumerate() {
        let (kept, unkept) = (format!("kept-{index}"), format!("unkept-{index}"));
        let to = json!({"room":"lobby"});
        let order = json!({"from":"shop","to":to,"id":kept,"body":index});
        assert_eq!(send(node, &order).1["status"], "accepted");
        assert_eq!(send(node, &order).1["duplicate"], true);
        let order = json!({"from":"shop","to":to,"id":unkept,"body":index,"qos":0});
        assert_eq!(send(node, &order).1["status"], "sent");
        for client in &mut members {
            let mut ids = [
                message_of(client)["id"].clone(),
                message_of(client)["id"].clone(),
            ];
            ids.sort_by_key(ToString::to_string);
            assert_eq!(ids, [json!(kept), json!(unkept)]);
        }
        let order = json!({"from":"shop","to":"everyone","id":"all","body":index});
        assert_eq!(
            send(node, &order),
            (200, json!({"type":"receipt","id":"all","status":"sent"}))
        );
        for client in members.iter_mut().chain([&mut other]) {
            let message = message_of(client);
            assert_eq!(
                (&message["stream"], &message["to"], &message["body"]),
                (&json!("everyone"), &json!("everyone"), &json!(index))
            );
        }
    }
    other.assert_quiet_and_alive();
}

#[test]
fn who_is_in_a_room_is_told_by_any_node_page_by_page() {
    let cluster = Cluster::of(3, &[]);
    let room = |index: usize, query: &str| {
        let response = call(
            &cluster.nodes[index],
            "GET",
            &format!("/v1/rooms/a%2Fb{query}"),
            "",
        );
        assert_eq!(response.status, 200);
        response.json()
    };
    assert_eq!(room(0, ""), json!({"room":"a/b","count":0,"users":[]}));
    let mut clients: Vec<_> = (0..6)
        .map(|number| member(&cluster, number % 3, &format!("user-{number}")))
        .collect();
    for client in &mut clients {
        enter(client, "a/b");
    }
    let all: Vec<_> = (0..6).map(|number| format!("user-{number}")).collect();
    for index in 0..3 {
        assert_eq!(room(index, ""), json!({"room":"a/b","count":6,"users":all}));
        let first = room(index, "?limit=4");
        assert_eq!(
            (&first["users"], &first["next"]),
            (&json!(all[..4]), &json!("user-3"))
        );
        let last = room(index, "?limit=4&after=user-3");
        assert_eq!((&last["users"], last.get("next")), (&json!(all[4..]), None));
    }
    // A session that ends is not there any more, and a second one of its user still is.
    let second = member(&cluster, 0, "user-0");
    clients.remove(5).close();
    clients.remove(0).close();
    second.close();
    wait_until(PATIENCE, "two have gone", || room(1, "")["count"] == 4);
    let wrong = call(&cluster.nodes[0], "GET", "/v1/rooms/a%2Fb?limit=0", "");
    assert_eq!(
        (wrong.status, &wrong.json()["error"]["code"]),
        (400, &json!("bad_request"))
    );
}
