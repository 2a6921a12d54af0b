//! Messages to everyone.

use serde_json::{Value, json};

use crate::support::client::outcome;
use crate::support::kept::RECEIPT;
use crate::support::{Client, Cluster, http};
use crate::{assert_no_message, expect_messages, session_at};

fn to_everyone(id: &str) -> Value {
    json!({"type":"send","id":id,"to":"everyone","body":{"n":1}})
}

/// Sessions at every node, two of one user.
fn sessions(cluster: &Cluster) -> Vec<Client> {
    let users = [(0, "ann"), (1, "bob"), (2, "cyd"), (1, "ann"), (2, "dan")];
    let sessions = users.map(|(index, user)| session_at(cluster, index, user));
    sessions.into()
}

#[track_caller]
fn expect_everywhere(sessions: &mut [Client], from: &str, id: &str) {
    for session in sessions {
        let message = expect_messages(session, &[id]).remove(0);
        assert_eq!(message["stream"], "everyone", "{message}");
        assert_eq!(message["to"], "everyone", "{message}");
        assert_eq!(message["from"], from, "{message}");
        assert_eq!(message["body"], json!({"n":1}), "{message}");
        assert!(message.get("offset").is_none(), "{message}");
        assert_no_message(session);
    }
}

#[test]
fn clients_may_not_send_to_everyone_but_backends_may() {
    let cluster = Cluster::of(3, &[]);
    let mut sessions = sessions(&cluster);
    sessions[0].send_json(&to_everyone("m1"));
    let receipt = sessions[0].reply_to("m1", RECEIPT);
    assert_eq!(outcome(&receipt), "not_allowed", "{receipt}");
    for node in &cluster.nodes {
        let id = format!("backend-{}", node.id);
        let message = json!({"from":"shop","id":id,"to":"everyone","body":{"n":1}}).to_string();
        let headers = [("Content-Type", "application/json")];
        let call = ("POST", "/v1/send");
        let answer = http::call(node.admin, call, &headers, message.as_bytes()).expect("an answer");
        let sent = json!({"type":"receipt","id":id,"status":"sent"});
        assert_eq!((answer.status, answer.json()), (200, sent));
        expect_everywhere(&mut sessions, "shop", &id);
    }
}

#[test]
fn clients_that_may_reach_every_session_from_any_node() {
    let cluster = Cluster::of(3, &["--clients-may-broadcast"]);
    let mut sessions = sessions(&cluster);
    for index in [0, 1, 2] {
        let from = ["ann", "bob", "cyd"][index];
        let id = format!("m{index}");
        sessions[index].send_json(&to_everyone(&id));
        let receipt = sessions[index].reply_to(&id, RECEIPT);
        assert_eq!(outcome(&receipt), "sent", "{receipt}");
        expect_everywhere(&mut sessions, from, &id);
    }
    let mut kept = to_everyone("kept");
    kept["qos"] = json!(1);
    sessions[0].send_json(&kept);
    assert_eq!(
        outcome(&sessions[0].reply_to("kept", RECEIPT)),
        "bad_request"
    );
}
